# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Signals that end a run: a step is finished and a checkpoint saved first."""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ..data.loader import STOP_SIGNALS


_PR_SET_PDEATHSIG = 1  # linux/prctl.h


@contextmanager
def stop_request() -> Iterator[list[str]]:
    """
    Collects the signals that ask a run to end, by name.

    A signal that was ignored before stays ignored, as SIGHUP under nohup. A second SIGINT, a second or more after the
    first, is not held back. (Launchers pass on a Ctrl-C that the process has got itself, which is soon.)

    Yields:
        `list[str]`: names of the signals received; it grows.
    """
    received: list[str] = []
    first = 0.0

    def handle(number, frame):
        nonlocal first
        if signal.SIGINT.name in received and number == signal.SIGINT and time.monotonic() - first > 1:
            raise KeyboardInterrupt
        first = first or time.monotonic()
        received.append(signal.Signals(number).name)

    previous = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    held = [number for number, handler in previous.items() if handler != signal.SIG_IGN]
    for number in held:
        signal.signal(number, handle)
    try:
        yield received
    finally:
        for number in held:
            signal.signal(number, previous[number])


def end_with_launcher() -> None:
    """
    Asks for a SIGTERM at the end of `torchrun` or `accelerate launch`, so that these leave no process when killed.

    On Linux alone; elsewhere nothing happens.
    """
    launched = "TORCHELASTIC_RUN_ID" in os.environ or "ACCELERATE_MIXED_PRECISION" in os.environ
    if launched and sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
