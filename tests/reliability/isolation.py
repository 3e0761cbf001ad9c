# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""Runs functions in child processes with limits of time and memory."""

import importlib
import json
import os
import resource
import runpy
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any


CLEAR_ERRORS = (ValueError, TypeError, OSError)


def mapped_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def run(function: Callable[[], Any], seconds: float = 10, memory: int | None = 2 * 2**30) -> tuple[str, Any]:
    """
    Calls a function in a child process.

    Args:
        function (`Callable`): The function. It returns something that JSON can hold.
        seconds (`float`, defaults to 10): Time after which the child is killed.
        memory (`int`, *optional*, defaults to 2 GiB): Bytes that it may map besides what is mapped already.

    Returns:
        `tuple[str, Any]`: "returned" and the value, "refused" and the message of a clear error, "raw" and that of any
        other, "died" and the signal or exit code, or "slow" and the seconds.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            _work(function, memory, writing)
        finally:
            os._exit(99)
    os.close(writing)
    chunks, deadline = [], time.monotonic() + seconds
    try:
        while ready := select.select([reading], [], [], max(0.0, deadline - time.monotonic()))[0]:
            chunk = os.read(reading, 2**16)
            if not chunk:
                break
            chunks.append(chunk)
    finally:
        os.close(reading)
        if not ready:
            os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
    if not ready:
        return "slow", seconds
    return tuple(json.loads(b"".join(chunks))) if chunks else ("died", os.waitstatus_to_exitcode(status))


def _work(function: Callable[[], Any], memory: int | None, writing: int) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    sys.stdout = sys.stderr = open(os.devnull, "w")
    if memory is not None:
        limit = mapped_bytes() + memory
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        result = "returned", function()
    except BaseException as error:
        kind = "refused" if isinstance(error, CLEAR_ERRORS) else "raw"
        result = kind, f"{type(error).__name__}: {str(error)[:4000]}"
    with open(writing, "w") as stream:
        json.dump(result, stream)
    os._exit(0)


def import_what_it_imports(function: Callable[[], Any]) -> None:
    """Imports what a function imports in a child process, so that later children need not."""

    def names() -> list[str]:
        function()
        return sorted(name for name in sys.modules if not name.startswith("__"))

    kind, value = run(names, seconds=300, memory=None)
    if kind != "returned":
        raise RuntimeError(f"{kind}: {value}")
    for name in value:
        try:
            importlib.import_module(name)
        except Exception:  # Some modules exist for their parents alone.
            continue


class ScriptProcess:
    """
    A child process that runs a script as `python script options` does, without importing anew what is imported here.

    Args:
        script (`str`): Path of the script.
        options (`list[str]`): Its command line.
        errors (`Path`): File for its stderr. Its stdout is lost.
    """

    def __init__(self, script: str, options: list[str], errors: Path):
        self.pid = os.fork()
        if self.pid == 0:
            self._run([script, *options], errors)

    @staticmethod
    def _run(argv: list[str], errors: Path) -> None:
        code = 0
        try:
            for descriptor, file in ((0, os.devnull), (1, os.devnull), (2, errors)):
                os.dup2(os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND), descriptor)
            sys.argv = argv
            runpy.run_path(argv[0], run_name="__main__")
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1 if end.code else 0
        except BaseException:
            traceback.print_exc()
            code = 1
        finally:
            os._exit(code)

    def wait(self, seconds: float | None = None) -> int | None:
        """Its exit code, negative for a signal; `None` if it still runs after some seconds."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while deadline is None or time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, 0 if deadline is None else os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        return None
