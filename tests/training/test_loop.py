# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""The training scripts as users run them: end to end, interrupted, resumed, and fed with bad input."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import forked_scripts
import pytest
import torch
from PIL import Image
from training_runs import (
    METHODS,
    ROOT,
    assert_equal_runs,
    command,
    comparable_evaluations,
    content_of,
    evaluations_of,
    final_weights,
    last_state,
    make_recipe,
    run,
    run_two_processes,
)

from gan_diffusion import DDGANPipeline
from gan_diffusion.pipelines import load_pipeline
from gan_diffusion.training.checkpoints import list_checkpoints


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    return make_recipe("ddgan", tmp_path_factory.mktemp("recipes") / "ddgan")


@pytest.fixture(scope="module", params=["diffusion-gan", "spi-gan"])
def other_recipe(request, tmp_path_factory) -> Path:
    """The methods beside DDGAN, for what depends on the objective."""
    return make_recipe(request.param, tmp_path_factory.mktemp("recipes") / request.param)


@pytest.fixture(scope="module")
def uninterrupted(recipe, tmp_path_factory) -> Path:
    output_dir = tmp_path_factory.mktemp("runs") / "uninterrupted"
    result = run(recipe, output_dir)
    assert result.returncode == 0, result.stderr
    return output_dir


def test_a_run_leaves_a_pipeline_a_card_samples_logs_and_checkpoints(uninterrupted):
    pipeline = DDGANPipeline.from_pretrained(uninterrupted)
    assert pipeline(output_type="pt").images.shape == (1, 1, 8, 8)
    card = (uninterrupted / "README.md").read_text()
    assert "| training steps | 6 |" in card and "| real images seen | 96 |" in card
    assert (uninterrupted / "pipeline.py").is_file() and (uninterrupted / "discriminator" / "config.json").is_file()
    assert [path.name for path in list_checkpoints(uninterrupted)] == ["checkpoint-3", "checkpoint-6"]
    grids = sorted(path.name for path in (uninterrupted / "samples").iterdir())
    assert grids == ["step-0000003.png", "step-0000006.png"]
    assert Image.open(uninterrupted / "samples" / grids[0]).size == (16, 16)
    assert list((uninterrupted / "logs").rglob("events.out.tfevents.*"))
    names = {p.name for p in uninterrupted.iterdir()} - {".gitignore"}
    leftovers = [name for name in names if name.startswith(".") or name.endswith(".partial")]
    assert not leftovers


def test_the_saved_generator_is_the_average_not_the_raw_weights(uninterrupted):
    weights = final_weights(uninterrupted)
    averaged = {name: value for name, value in weights.items() if name.startswith("generator.")}
    assert any(not torch.equal(value, weights[f"raw.{name}"]) for name, value in averaged.items())
    state = last_state(uninterrupted)
    shadow = {tuple(p.shape) for p in state["parts"]["ema"]["shadow_params"]}
    assert {tuple(p.shape) for p in averaged.values()} == shadow


def run_killed_after_a_checkpoint(recipe: Path, output_dir: Path) -> None:
    process = forked_scripts.start(command(recipe, output_dir)[1:], recipe)
    deadline = time.monotonic() + 120
    while not (output_dir / "checkpoint-3").exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not (output_dir / "generator").exists()


def test_stopped_and_resumed_equals_uninterrupted(recipe, uninterrupted, tmp_path):
    """A checkpoint in the middle of an epoch, a new process, and the same command."""
    run_killed_after_a_checkpoint(recipe, tmp_path / "run")
    result = run(recipe, tmp_path / "run")
    assert result.returncode == 0, result.stderr
    assert "Going on from" in result.stderr
    assert_equal_runs(uninterrupted, tmp_path / "run")


def test_other_methods_resume_exactly_with_the_state_of_their_objective(other_recipe, tmp_path):
    result = run(other_recipe, tmp_path / "uninterrupted")
    assert result.returncode == 0, result.stderr
    run_killed_after_a_checkpoint(other_recipe, tmp_path / "resumed")
    result = run(other_recipe, tmp_path / "resumed")
    assert result.returncode == 0, result.stderr
    assert "Going on from" in result.stderr
    assert_equal_runs(tmp_path / "uninterrupted", tmp_path / "resumed")

    states = [
        content_of(tmp_path / name / "checkpoint-6")["parts"]["objective"] for name in ("uninterrupted", "resumed")
    ]
    assert_equal_states(*states)
    # There is something to resume: noise and augmentation have moved.
    moved = states[0]["scheduler"] if "scheduler" in states[0] else states[0]["augmentation"]
    assert moved["p"] > 0
    pipeline = load_pipeline(tmp_path / "resumed")
    assert pipeline(2, output_type="pt").images.isfinite().all()


def assert_equal_states(one, two) -> None:
    if isinstance(one, dict):
        assert one.keys() == two.keys()
        for name in one:
            assert_equal_states(one[name], two[name])
    elif isinstance(one, list | tuple):
        for left, right in zip(one, two, strict=True):
            assert_equal_states(left, right)
    else:
        assert torch.equal(one, two) if isinstance(one, torch.Tensor) else one == two


def test_an_interrupted_run_saves_and_goes_on(recipe, tmp_path):
    long = ("--max_train_steps", "100000", "--checkpointing_steps", "100000", "--validation_steps", "0")
    process = subprocess.Popen(
        command(recipe, tmp_path, *long),
        env={**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    while "loss_g" not in process.stderr.readline():  # The progress bar's carriage returns count as line ends.
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    errors = process.communicate(timeout=120)[1]
    assert process.returncode == 0, errors
    assert "Run the same command to go on" in errors
    assert last_state(tmp_path)["step"] >= 1


def test_finished_runs_are_not_trained_again(recipe, uninterrupted):
    before = final_weights(uninterrupted)
    result = run(recipe, uninterrupted)
    assert result.returncode == 0, result.stderr
    after = final_weights(uninterrupted)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_other_settings_do_not_resume(recipe, uninterrupted):
    result = run(recipe, uninterrupted, "--learning_rate_g", "0.5")
    assert result.returncode != 0
    assert "The checkpoint was made with another learning_rate_g: 0.00016 then, 0.5 now" in result.stderr


def test_settings_can_be_changed_by_naming_them(recipe, uninterrupted, tmp_path):
    shutil.copytree(uninterrupted, tmp_path / "run")
    changed = ("--learning_rate_g", "0.5", "--train_batch_size", "8", "--max_train_steps", "8")
    result = run(recipe, tmp_path / "run", *changed, "--change_on_resume", "learning_rate_g")
    assert result.returncode != 0 and "another train_batch_size" in result.stderr
    result = run(recipe, tmp_path / "run", *changed, "--change_on_resume", "learning_rate_g", "train_batch_size")
    assert result.returncode == 0, result.stderr
    assert "learning_rate_g changes: 0.00016 then, 0.5 now" in result.stderr
    assert "train_batch_size changes: 16 images per step then, 8 now" in result.stderr
    assert f"| real images seen | {6 * 16 + 2 * 8} |" in (tmp_path / "run" / "README.md").read_text()
    result = run(recipe, tmp_path / "run", "--change_on_resume", "learning_rat")
    assert result.returncode == 2 and "learning_rat" in result.stderr.strip().splitlines()[-1]


def test_accumulated_images_are_counted(recipe, tmp_path):
    result = run(recipe, tmp_path, "--gradient_accumulation_steps", "2", "--max_train_steps", "2")
    assert result.returncode == 0, result.stderr
    assert last_state(tmp_path)["step"] == 2
    assert "| real images seen | 64 |" in (tmp_path / "README.md").read_text()


def test_class_conditional_bfloat16_on_a_folder(recipe, tmp_path):
    for label in ("dark", "light"):
        (tmp_path / "images" / label).mkdir(parents=True)
        for number in range(8):
            Image.new("L", (10, 10), 200 * (label == "light") + number).save(
                tmp_path / "images" / label / f"{number}.png"
            )
    options = ["--train_data_dir", str(tmp_path / "images"), "--class_conditional", "--mixed_precision", "bf16"]
    result = run(recipe, tmp_path / "run", *options, "--random_flip", "--gradient_checkpointing")
    assert result.returncode == 0, result.stderr
    pipeline = DDGANPipeline.from_pretrained(tmp_path / "run")
    assert pipeline.generator.config.num_class_embeds == 2
    assert pipeline(2, class_labels=[0, 1], output_type="pt").images.isfinite().all()


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_resume_exactly(method, tmp_path):
    """What each process has gathered since the last update of the noise or the augmentation is resumed too."""
    recipe = make_recipe(method, tmp_path / method)
    constant = ("--lr_scheduler", "constant", "--checkpointing_steps", "100", "--max_train_samples", "200")
    measured = ("--evaluation_steps", "2", "--evaluation_features", "mnist", "--evaluation_samples", "40")
    run_two_processes(recipe, tmp_path / "whole", *constant, *measured, "--max_train_steps", "5")
    run_two_processes(recipe, tmp_path / "parts", *constant, *measured, "--max_train_steps", "3")
    run_two_processes(recipe, tmp_path / "parts", *constant, *measured, "--max_train_steps", "5")
    assert_equal_runs(tmp_path / "whole", tmp_path / "parts")
    assert_equal_states(*(last_state(tmp_path / name)["parts"]["objective"] for name in ("whole", "parts")))
    # Both processes draw samples for the evaluations.
    assert comparable_evaluations(tmp_path / "whole") == comparable_evaluations(tmp_path / "parts")
    assert [each["protocol"]["processes"] for each in evaluations_of(tmp_path / "parts")] == [2, 2]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are listed by name on Linux alone")
def test_two_processes_leave_no_thread_that_could_abort_them():
    harness = ROOT / "tests" / "reliability" / "exit_of_two_processes.py"
    result = subprocess.run(
        [sys.executable, str(harness), "--runs", "1", "--methods", "diffusion-gan"], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert "diffusion-gan: 1 runs, {'ended well': 1}" in result.stdout


def test_another_number_of_processes_goes_on_with_the_same_images_per_step(recipe, tmp_path):
    constant = ("--lr_scheduler", "constant")
    run_two_processes(recipe, tmp_path, *constant, "--max_train_steps", "3")
    result = run(recipe, tmp_path, *constant)
    assert result.returncode != 0
    assert (
        "32 images per step then, 16 now" in result.stderr and "--change_on_resume train_batch_size" in result.stderr
    )
    result = run(recipe, tmp_path, *constant, "--train_batch_size", "32")
    assert result.returncode == 0, result.stderr
    assert "| real images seen | 192 |" in (tmp_path / "README.md").read_text()


def test_two_processes_of_the_other_methods_adapt_together(other_recipe, tmp_path):
    state = run_two_processes(other_recipe, tmp_path)["parts"]["objective"]
    assert "| real images seen | 192 |" in (tmp_path / "README.md").read_text()
    if "scheduler" in state:
        # Three updates, each up or down by the 64 images that both processes saw, of 100 that move p by 1.
        assert state["scheduler"]["p"] in (pytest.approx(0.36), pytest.approx(0.64), pytest.approx(1.0))
    else:
        # One update after four steps by the clean images, about half of 128: one process alone has seen 64 in all.
        assert 0.64 < state["augmentation"]["p"] <= 0.8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--report_to", "nothing"], "nothing"),
        (["--resume_from_checkpoint", "checkpoint-9"], "must be the folder of a checkpoint"),
        (["--train_data_dir", "nowhere"], "`train_data_dir` must be a folder, or a file"),
        (["--train_batch_size", "0"], "`--train_batch_size` must be at least 1, got 0"),
        (["--learning_rat", "1"], "unrecognized arguments: --learning_rat 1"),
    ],
)
def test_bad_options_end_with_one_clear_error(recipe, tmp_path, options, message):
    result = run(recipe, tmp_path / "run", *options)
    assert result.returncode != 0
    assert message in result.stderr.strip().splitlines()[-1]
    assert not list_checkpoints(tmp_path / "run")


def test_an_output_folder_that_cannot_be_written_is_refused(recipe, tmp_path):
    (tmp_path / "file").write_text("")
    # Started as users do, so that nothing at the end of the interpreter follows the message.
    result = subprocess.run(command(recipe, tmp_path / "file" / "run"), capture_output=True, text=True)
    assert result.returncode != 0
    assert "`output_dir`" in result.stderr.strip().splitlines()[-1]
