# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The folder of a run: one run at a time, and everything that it prints in `run.log`."""

import io
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from filelock import FileLock, Timeout


LOCK, LOG = "run.lock", "run.log"


def is_main_process() -> bool:
    """Whether this process is the first of the run. Launchers say so before there is an accelerator."""
    return int(os.environ.get("RANK", 0)) == 0


@contextmanager
def run_folder(output_dir: str | Path) -> Iterator[None]:
    """
    Makes the folder and keeps it for this run alone, until the end of the process even if that is killed.

    In a run of several processes the first one does so. A run that has the folder may enter it again.

    Args:
        output_dir (`str` or `Path`): The folder.

    Raises:
        ValueError: If it cannot be written, or another run is training in it.
    """
    output_dir = Path(output_dir)
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        lock = FileLock(output_dir.resolve() / LOCK, timeout=0, is_singleton=True)
        if is_main_process():
            lock.acquire()
    except Timeout:
        raise ValueError(
            f"`output_dir` must be the folder of one run at a time, got {str(output_dir)!r}, in which another run is "
            "training. Wait for its end, or give another folder."
        ) from None
    except OSError as error:
        raise ValueError(
            f"`output_dir` must be a folder that can be written, got {str(output_dir)!r}: {error}."
        ) from error
    try:
        yield
    finally:
        if is_main_process():
            lock.release()


@contextmanager
def logged_output(output_dir: str | Path) -> Iterator[None]:
    """
    Copies each line that is printed to `run.log` in the folder, and goes on when nobody reads the output any more.

    A closed terminal or pipe would end the process at its next line. Progress bars are not copied.

    Args:
        output_dir (`str` or `Path`): The folder.
    """
    outputs = sys.stdout, sys.stderr
    log = open(Path(output_dir) / LOG, "a", encoding="utf-8", errors="replace") if is_main_process() else None
    sys.stdout, sys.stderr = (_Output(stream, log) for stream in outputs)
    try:
        yield
    except Exception:
        sys.stdout.copy(traceback.format_exc())
        raise
    finally:
        for output in (sys.stdout, sys.stderr):
            output.flush()
        sys.stdout, sys.stderr = outputs
        if log is not None:
            log.close()


class _Output(io.TextIOBase):
    """A stream that also goes to a log, and that ends quietly."""

    def __init__(self, stream: TextIO, log: TextIO | None):
        self.stream = stream
        self.log = log
        self.line = ""

    @property
    def encoding(self) -> str:
        return self.stream.encoding

    def isatty(self) -> bool:
        return self.stream.isatty()

    def fileno(self) -> int:
        return self.stream.fileno()

    def write(self, text: str) -> int:
        self._try(self.stream.write, text)
        *lines, self.line = (self.line + text).split("\n")
        for line in lines:
            self.copy(line.rsplit("\r", 1)[-1] + "\n")
        return len(text)

    def flush(self) -> None:
        self._try(self.stream.flush)

    def copy(self, text: str) -> None:
        """Writes to the log alone. A full disk does not end the training."""
        if self.log is not None:
            with suppress(OSError):
                self.log.write(text)
                self.log.flush()

    def _try(self, act: Any, *arguments: str) -> None:
        try:
            act(*arguments)
        except OSError as error:
            # What the stream still holds would fail again at the end of the process.
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())
            self.copy(f"Nobody reads this output any more ({error}). The training goes on.\n")
