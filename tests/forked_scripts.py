# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""Scripts in processes of their own, which are forked from one that has imported everything: imports take seconds."""

import multiprocessing
import os
import runpy
import signal
import sys
import tempfile
from multiprocessing import connection, forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from subprocess import CompletedProcess
from unittest import mock

from torch.distributed import TCPStore


# What the process that is forked starts with, so that torch has no threads there, and every script as well.
ENVIRONMENT = {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
_CONTEXT = multiprocessing.get_context("forkserver")
# The package, and what trainings and evaluations import on their way.
_CONTEXT.set_forkserver_preload(
    ["gan_diffusion.training", "pandas", "sklearn.datasets", "torch.utils.tensorboard", "torchmetrics.image.kid"]
)


def start(words: list[str], folder: Path, **variables: str) -> BaseProcess:
    """
    Starts `python words` in a process and a process group of its own.

    Args:
        words (`list[str]`): A script or `-m` and a module, and options.
        folder (`Path`): For the files `stdout` and `stderr`.
        variables (`str`): Added to the environment of this process.

    Returns:
        `BaseProcess`: the process, with `exitcode`, `join` and `kill`.
    """
    with mock.patch.dict(os.environ, ENVIRONMENT):
        forkserver.ensure_running()
    environment = {**os.environ, **ENVIRONMENT, **variables}
    process = _CONTEXT.Process(target=_run, args=(words, folder, environment, multiprocessing.get_start_method()))
    process.start()
    return process


def _run(words: list[str], folder: Path, environment: dict[str, str], start_method: str) -> None:
    multiprocessing.set_start_method(start_method, force=True)  # Of the script's own processes, as usual.
    os.setsid()  # A group of its own, as a shell makes.
    # A shell may have started the tests with signals ignored, as `nohup` and background jobs have them.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    os.environ.clear()
    os.environ.update(environment)
    if words[0] == "-m":
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        sys.path.insert(0, str(Path(words[0]).parent))
        runpy.run_path(words[0], run_name="__main__")


def run(words: list[str]) -> CompletedProcess:
    """Runs `python words` to its end."""
    with tempfile.TemporaryDirectory() as folder:
        return _finish(words, [Path(folder)], [start(words, Path(folder))])


def run_ranks(words: list[str], count: int = 2) -> CompletedProcess:
    """Runs `python words` in several processes to their end, as torchrun does. Their outputs follow each other."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    shared |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    with tempfile.TemporaryDirectory() as folder:
        folders = [Path(tempfile.mkdtemp(dir=folder)) for _ in range(count)]
        ranks = [
            start(words, each, **shared, RANK=str(rank), LOCAL_RANK=str(rank)) for rank, each in enumerate(folders)
        ]
        return _finish(words, folders, ranks)


def kill_all() -> None:
    """Ends what is left of the processes that were started here."""
    for process in multiprocessing.active_children():
        if isinstance(process, _CONTEXT.Process):
            process.kill()


def _finish(words: list[str], folders: list[Path], processes: list[BaseProcess]) -> CompletedProcess:
    """Waits for all processes. When one fails, the others are killed: they would wait for it."""
    try:
        left = {process.sentinel: process for process in processes}
        while left and not any(process.exitcode for process in processes):
            for sentinel in connection.wait(list(left)):
                left.pop(sentinel).join()
    finally:
        failed = next((process.exitcode for process in processes if process.exitcode), 0)
        for process in processes:
            process.kill()
            process.join()
    outputs = ("".join((each / name).read_text() for each in folders) for name in ("stdout", "stderr"))
    return CompletedProcess(words, failed, *outputs)
