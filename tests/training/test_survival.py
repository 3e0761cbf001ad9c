# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""What a run survives: signals, closed pipes, a second run in its folder, launchers that go or lie."""

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import forked_scripts
import psutil
import pytest
import torch
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from accelerate.utils import LoggerType
from training_runs import ROOT, command, last_state, make_recipe

from gan_diffusion.data.loader import STOP_SIGNALS
from gan_diffusion.processes import check_processes
from gan_diffusion.training.accelerator import _check_launcher, _check_tracker
from gan_diffusion.training.run_folder import logged_output, run_folder
from gan_diffusion.training.signals import stop_request


LONG = ("--max_train_steps", "100000", "--checkpointing_steps", "100000", "--validation_steps", "0")
ENVIRONMENT = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}


@pytest.fixture(autouse=True)
def usual_signals():
    """A shell may have started the tests with signals ignored, as `nohup` and background jobs have them."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    return make_recipe("ddgan", tmp_path_factory.mktemp("recipes") / "ddgan")


def wait_for_steps(output_dir: Path, exit_code: Callable[[], int | None]) -> None:
    """Until the tracker has got a loss."""
    deadline = time.monotonic() + 120
    while not any(b"loss_g" in file.read_bytes() for file in output_dir.rglob("events*")):
        assert exit_code() is None and time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("number", STOP_SIGNALS, ids=lambda number: number.name)
def test_each_signal_is_collected(number):
    with stop_request() as received:
        os.kill(os.getpid(), number)
        assert received == [number.name]
        if number != signal.SIGINT:
            os.kill(os.getpid(), number)
            assert received == [number.name] * 2


def test_signals_have_their_old_meaning_again():
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    with stop_request():
        assert before != [signal.getsignal(number) for number in STOP_SIGNALS]
    assert before == [signal.getsignal(number) for number in STOP_SIGNALS]


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT], ids=["nohup", "background"])
def test_an_ignored_signal_stays_ignored(number):
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with stop_request() as received:
            os.kill(os.getpid(), number)
            assert received == []
    finally:
        signal.signal(number, before)


def test_a_second_interrupt_counts_when_it_is_not_the_first_one_passed_on():
    with stop_request() as received:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        assert len(received) == 2
        time.sleep(1.1)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1], ids=lambda number: number.name)
def test_a_signal_to_the_whole_group_loses_nothing(recipe, tmp_path, number):
    process = forked_scripts.start(command(recipe, tmp_path, *LONG, "--dataloader_num_workers", "1")[1:], recipe)
    wait_for_steps(tmp_path, lambda: process.exitcode)
    os.killpg(process.pid, number)
    process.join(60)
    assert process.exitcode == 0
    state = last_state(tmp_path)
    assert state["step"] >= 1 and state["half_steps"] == 0
    log = (tmp_path / "run.log").read_text()
    assert f"by {number.name}. Run the same command to go on from checkpoint-{state['step']}." in log


def test_workers_end_with_a_killed_run_and_a_second_run_is_refused_until_then(recipe, tmp_path):
    process = forked_scripts.start(command(recipe, tmp_path, *LONG, "--dataloader_num_workers", "1")[1:], recipe)
    wait_for_steps(tmp_path, lambda: process.exitcode)
    with pytest.raises(ValueError, match="`output_dir` must be the folder of one run at a time"), run_folder(tmp_path):
        pass
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.kill()
    process.join()
    with run_folder(tmp_path):
        pass
    assert not psutil.wait_procs(children, timeout=30)[1]


def test_a_run_may_enter_its_folder_again(tmp_path):
    with run_folder(tmp_path / "a" / "b"), run_folder(f"{tmp_path}/a/b/"):
        pass


@pytest.mark.parametrize("kind", ["file", "below a file"])
def test_a_folder_that_cannot_be_made_is_refused(tmp_path, kind):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="`output_dir` must be a folder that can be written"):
        with run_folder(tmp_path / "file" / ("x" if kind == "below a file" else "")):
            pass


@pytest.mark.parametrize("output", ["stdout", "stderr", "both"])
def test_a_closed_pipe_does_not_end_a_run(tmp_path, monkeypatch, output):
    for name in ("stdout", "stderr"):
        descriptors = os.pipe()
        if output in (name, "both"):
            os.close(descriptors[0])
        monkeypatch.setattr(sys, name, open(descriptors[1], "w"))
    with logged_output(tmp_path):
        for number in range(1000):
            print("line", number, flush=number % 3 == 0)
            print("error", number, file=sys.stderr)
        print("done")
    sys.stdout.close()
    sys.stderr.close()
    log = (tmp_path / "run.log").read_text().splitlines()
    assert {"line 999", "error 999", "done"} <= set(log)
    assert sum("Nobody reads this output any more" in line for line in log) == (2 if output == "both" else 1)


def test_the_log_holds_lines_and_errors_but_no_progress(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    with pytest.raises(ZeroDivisionError), logged_output(tmp_path):
        sys.stdout.write("10%\r50%\r")
        sys.stdout.write("100%\nhal")
        sys.stdout.write("f\n")
        raise ZeroDivisionError
    assert sys.stdout.getvalue() == "10%\r50%\r100%\nhalf\n"
    log = (tmp_path / "run.log").read_text()
    assert log.startswith("100%\nhalf\nTraceback") and log.endswith("ZeroDivisionError\n")
    with logged_output(tmp_path):
        print("again")
    assert (tmp_path / "run.log").read_text() == log + "again\n"


@pytest.mark.parametrize(
    "name", sorted({*map(str, LOGGER_TYPE_TO_CLASS)} - {str(t) for t in get_available_trackers()})
)
def test_a_tracker_that_is_not_installed_is_refused(name):
    with pytest.raises(ValueError, match=f"`report_to` '{name}' needs the package {name}.*pip install {name}"):
        _check_tracker(name)


@pytest.mark.parametrize("name", ["none", "all", "tensorboard"])
def test_other_trackers_are_taken(name):
    assert name == "none" or LoggerType(name)
    _check_tracker(name)


@pytest.mark.parametrize("name", ["nothing", "", "Tensorboard"])
def test_an_unknown_tracker_is_refused(name):
    with pytest.raises(ValueError, match="`report_to` must be one of .*'wandb'"):
        _check_tracker(name)


@pytest.mark.parametrize("count", [1, 2])
def test_a_launcher_that_starts_too_few_processes_is_noticed(tmp_path, count):
    script = tmp_path / "script.py"
    script.write_text("from gan_diffusion.training.accelerator import _check_launcher as check; check()")
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", str(count)]
    rest = ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", str(script)]
    result = subprocess.run([*launch, *rest], capture_output=True, text=True)
    assert (result.returncode == 0) == (count == 1), result.stderr
    assert count == 1 or "torchrun --nproc_per_node" in result.stderr


@pytest.mark.parametrize("variable", ["WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE"])
def test_other_launchers_are_left_alone(monkeypatch, variable):
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setenv(variable, "2")
    _check_launcher()


def test_the_address_of_a_cluster_is_left_alone(monkeypatch):
    monkeypatch.setenv("MASTER_ADDR", "10.0.0.1")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    _check_launcher()


def start_two(
    recipe: Path, output_dir: Path, *options: str, environment: dict[str, str] = ENVIRONMENT
) -> subprocess.Popen:
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    return subprocess.Popen(
        [*launch, *command(recipe, output_dir, *LONG, *options)[1:]], env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.mark.skipif(torch.accelerator.is_available(), reason="its processes would be those of the devices")
@pytest.mark.parametrize("told", [{}, {"ACCELERATE_USE_CPU": "false"}])
def test_processes_on_cpus_work_together_without_being_told(recipe, tmp_path, told):
    environment = {name: value for name, value in ENVIRONMENT.items() if name != "ACCELERATE_USE_CPU"} | told
    launcher = start_two(recipe, tmp_path, "--max_train_steps", "1", environment=environment)
    assert launcher.wait(120) == 0
    assert "Training on 2 x 1 CPU threads" in (tmp_path / "run.log").read_text()


@pytest.mark.parametrize(("started", "known", "refused"), [("2", 1, True), ("2", 2, False), ("1", 1, False)])
def test_processes_that_do_not_know_of_each_other_are_refused(monkeypatch, started, known, refused):
    monkeypatch.setenv("WORLD_SIZE", started)
    check_processes(known)  # Some clusters set it for every command.
    monkeypatch.setenv("LOCAL_RANK", "0")
    with (
        pytest.raises(ValueError, match="must be 1 on this device, .* got 2 from the launcher")
        if refused
        else nullcontext()
    ):
        check_processes(known)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has gone")
def test_a_killed_launcher_takes_its_processes_with_it_and_loses_nothing(recipe, tmp_path):
    launcher = start_two(recipe, tmp_path)
    wait_for_steps(tmp_path, launcher.poll)
    children = psutil.Process(launcher.pid).children(recursive=True)
    launcher.kill()
    launcher.wait()
    assert not psutil.wait_procs(children, timeout=60)[1]
    assert last_state(tmp_path)["step"] >= 1


def test_a_frozen_process_ends_the_run(recipe, tmp_path):
    launcher = start_two(recipe, tmp_path, "--distributed_timeout", "5")
    wait_for_steps(tmp_path, launcher.poll)
    ranks = psutil.Process(launcher.pid).children()
    frozen = next(each for each in ranks if each.environ().get("RANK") == "1")
    frozen.suspend()
    try:
        assert launcher.wait(120) != 0  # torchrun gives the frozen process 30 seconds.
    finally:
        for each in ranks:
            if each.is_running():
                each.kill()
    assert last_state(tmp_path)["step"] >= 1
    log = (tmp_path / "run.log").read_text()
    assert "did not answer within `--distributed_timeout` 5 seconds" in log and "last good state" in log


def test_the_command_says_what_it_trains_on(recipe, tmp_path):
    result = subprocess.run(
        [*command(recipe, tmp_path, "--max_train_steps", "1"), "--report_to", "none"],
        capture_output=True, text=True, env=ENVIRONMENT, cwd=ROOT,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    line = "Training on 1 x 1 CPU threads, mixed precision: no."
    assert line in result.stderr and line in (tmp_path / "run.log").read_text()
