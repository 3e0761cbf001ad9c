# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""The training scripts as users run them: end to end, interrupted, resumed, and fed with bad input."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from PIL import Image
from safetensors.torch import load_file

from gan_diffusion import DDGANPipeline
from gan_diffusion.pipelines import load_pipeline
from gan_diffusion.training.state import (
    TrainingState,
    list_checkpoints,
    load_checkpoint,
    random_state,
    save_checkpoint,
    set_random_state,
)


ROOT = Path(__file__).parents[2]
# Per method: changes that make the networks of its digits recipe so small that a step takes milliseconds, and options.
METHODS = {
    "ddgan": (
        {
            "generator": {"base_channels": 8, "layers_per_block": 1, "channel_multipliers": [1, 1], "dropout": 0.1},
            "discriminator": {"hidden_dim": 8},
        },
        "r1_interval: 2\nema_decay: 0.9\n",
    ),
    "diffusion-gan": (
        {
            "generator": {"channel_max": 8, "w_dim": 8},
            "discriminator": {"channel_max": 8},
            "scheduler": {"update_interval": 2, "adaptation_kimg": 0.1, "discriminator_target": -0.9},
        },
        "r1_interval: 2\npath_length_weight: 2.0\npath_length_interval: 2\nstyle_mixing_probability: 0.5\n"
        "ema_kimg: 0.05\nema_rampup: 0.5\n",
    ),
    "spi-gan": (
        {"generator": {"channel_max": 8, "w_dim": 8, "mapping_dim": 8}, "discriminator": {"channel_max": 8}},
        "r1_interval: 2\naugmentation: true\naugmentation_kimg: 0.1\naugmentation_target: -0.9\nema_decay: 0.9\n",
    ),
}


def make_recipe(method: str, folder: Path) -> Path:
    changes, options = METHODS[method]
    source = ROOT / "pipelines" / f"{method}-digits"
    for file in source.rglob("*.*"):
        target = folder / file.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(file.read_text())
    for part, values in changes.items():
        file = folder / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
        config = json.loads(file.read_text())
        assert set(values) <= set(config)
        file.write_text(json.dumps(config | values))
    (folder / "training.yaml").write_text(
        "dataset_name: digits\ntrain_batch_size: 16\nmax_train_steps: 6\n"
        "checkpointing_steps: 3\nvalidation_steps: 3\nnum_validation_images: 4\nlogging_steps: 1\n" + options
    )
    return folder


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    return make_recipe("ddgan", tmp_path_factory.mktemp("recipes") / "ddgan")


@pytest.fixture(scope="module", params=["diffusion-gan", "spi-gan"])
def other_recipe(request, tmp_path_factory) -> Path:
    """The methods beside DDGAN, for what depends on the objective."""
    return make_recipe(request.param, tmp_path_factory.mktemp("recipes") / request.param)


def command(recipe: Path, output_dir: Path, *options: str) -> list[str]:
    script = ROOT / "training_scripts" / f"train_{recipe.name.replace('-', '_')}.py"
    return [sys.executable, str(script), "--recipe", str(recipe), "--output_dir", str(output_dir), *options]


def run(recipe: Path, output_dir: Path, *options: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command(recipe, output_dir, *options), capture_output=True, text=True, env=environment)


def final_weights(output_dir: Path) -> dict[str, torch.Tensor]:
    """Everything that training produced: averaged generator, discriminator, and the last checkpoint's tensors."""
    weights = {}
    for part in ("generator", "discriminator"):
        for name, value in load_file(output_dir / part / "diffusion_pytorch_model.safetensors").items():
            weights[f"{part}.{name}"] = value
    state = torch.load(list_checkpoints(output_dir)[-1] / "state.pt", weights_only=True)
    for part in ("generator", "discriminator"):
        weights.update({f"raw.{part}.{name}": value for name, value in state["parts"][part].items()})
    for part in ("optimizer_g", "optimizer_d"):
        for index, entry in state["parts"][part]["state"].items():
            weights.update({f"{part}.{index}.{name}": value for name, value in entry.items()})
    return weights


def assert_equal_runs(first: Path, second: Path) -> None:
    one, two = final_weights(first), final_weights(second)
    assert one.keys() == two.keys()
    different = [name for name in one if not torch.equal(one[name], two[name])]
    assert not different, f"{len(different)} of {len(one)} tensors differ, the first is {different[0]}"


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
    leftovers = [p.name for p in uninterrupted.iterdir() if p.name.startswith(".") or p.name.endswith(".partial")]
    assert not leftovers


def test_the_saved_generator_is_the_average_not_the_raw_weights(uninterrupted):
    weights = final_weights(uninterrupted)
    averaged = {name: value for name, value in weights.items() if name.startswith("generator.")}
    assert any(not torch.equal(value, weights[f"raw.{name}"]) for name, value in averaged.items())
    state = torch.load(list_checkpoints(uninterrupted)[-1] / "state.pt", weights_only=True)
    for saved, average in zip(averaged.values(), state["parts"]["ema"]["shadow_params"], strict=False):
        assert saved.numel() > 0 and average.numel() > 0
    shadow = {tuple(p.shape) for p in state["parts"]["ema"]["shadow_params"]}
    assert {tuple(p.shape) for p in averaged.values()} == shadow


def run_killed_after_a_checkpoint(recipe: Path, output_dir: Path) -> None:
    process = subprocess.Popen(
        command(recipe, output_dir),
        env={**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not (output_dir / "checkpoint-3").exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
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
        torch.load(tmp_path / name / "checkpoint-6" / "state.pt", weights_only=True)["parts"]["objective"]
        for name in ("uninterrupted", "resumed")
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
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=120)[1]
    assert process.returncode == 0, errors
    assert "Run the same command to go on" in errors
    (checkpoint,) = list_checkpoints(tmp_path)
    assert torch.load(checkpoint / "state.pt", weights_only=True)["counters"]["step"] >= 1


def test_finished_runs_are_not_trained_again(recipe, uninterrupted):
    before = final_weights(uninterrupted)
    result = run(recipe, uninterrupted)
    assert result.returncode == 0, result.stderr
    after = final_weights(uninterrupted)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_other_settings_do_not_resume(recipe, uninterrupted):
    result = run(recipe, uninterrupted, "--learning_rate_g", "0.5")
    assert result.returncode != 0
    assert "The checkpoint was made with another learning_rate_g" in result.stderr


def test_accumulation_equals_a_larger_batch_count(recipe, tmp_path):
    result = run(recipe, tmp_path, "--gradient_accumulation_steps", "2", "--max_train_steps", "2")
    assert result.returncode == 0, result.stderr
    state = torch.load(list_checkpoints(tmp_path)[-1] / "state.pt", weights_only=True)
    assert state["counters"]["step"] == 2 and state["counters"]["batch"] == 4
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


def run_two_processes(recipe: Path, output_dir: Path) -> dict:
    """The last checkpoint of a run of two processes."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [*launch, *command(recipe, output_dir)[1:]], capture_output=True, text=True, env=environment
    )
    assert result.returncode == 0, result.stderr
    assert "| real images seen | 192 |" in (output_dir / "README.md").read_text()
    return torch.load(list_checkpoints(output_dir)[-1] / "state.pt", weights_only=True)


def test_two_processes_agree(recipe, tmp_path):
    run_two_processes(recipe, tmp_path)
    checkpoint = list_checkpoints(tmp_path)[-1]
    states = [torch.load(checkpoint / f"random_{rank}.pt", weights_only=True)["torch"] for rank in (0, 1)]
    assert not torch.equal(*states)


def test_two_processes_of_the_other_methods_adapt_together(other_recipe, tmp_path):
    state = run_two_processes(other_recipe, tmp_path)["parts"]["objective"]
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
        (["--resume_from_checkpoint", "checkpoint-9"], "is not a checkpoint"),
        (["--train_data_dir", "nowhere"], "`train_data_dir` 'nowhere' is not a folder"),
        (["--train_batch_size", "5000"], "`train_batch_size` 5000"),
    ],
)
def test_bad_options_end_with_one_clear_error(recipe, tmp_path, options, message):
    result = run(recipe, tmp_path / "run", *options)
    assert result.returncode != 0
    assert message in result.stderr.strip().splitlines()[-1]
    assert not list_checkpoints(tmp_path / "run")


def test_an_output_folder_that_cannot_be_written_is_refused(recipe, tmp_path):
    (tmp_path / "file").write_text("")
    result = run(recipe, tmp_path / "file" / "run")
    assert "`output_dir`" in result.stderr.strip().splitlines()[-1]


class TestState:
    def make(self) -> tuple[TrainingState, torch.nn.Linear]:
        network = torch.nn.Linear(2, 2)
        return TrainingState({"network": network}, {"generator": "A"}, step=5), network

    def test_round_trip_with_random_state(self, tmp_path):
        state, network = self.make()
        weight = network.weight.detach().clone()
        checkpoint = save_checkpoint(state, tmp_path, Accelerator(cpu=True))
        expected = torch.rand(3)
        torch.nn.init.zeros_(network.weight)
        state.step = 0
        load_checkpoint(state, checkpoint, Accelerator(cpu=True))
        assert state.step == 5 and torch.equal(network.weight, weight)
        assert torch.equal(torch.rand(3), expected)

    def test_python_and_numpy_random_states(self):
        import random

        import numpy as np

        state = random_state()
        drawn = (random.random(), np.random.rand(), torch.rand(1))
        set_random_state(state)
        assert (random.random(), np.random.rand(), torch.rand(1)) == drawn

    def test_old_checkpoints_are_removed_and_leftovers_cleared(self, tmp_path):
        state, _ = self.make()
        (tmp_path / "checkpoint-1.partial").mkdir()
        for state.step in (1, 2, 10):
            save_checkpoint(state, tmp_path, Accelerator(cpu=True), total_limit=2)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-2"]

    def test_damaged_and_hostile_files_are_refused(self, tmp_path):
        state, network = self.make()
        checkpoint = save_checkpoint(state, tmp_path, Accelerator(cpu=True))
        content = (checkpoint / "state.pt").read_bytes()
        (checkpoint / "state.pt").write_bytes(content[: len(content) // 2])
        with pytest.raises(ValueError, match="Cannot read .*state.pt"):
            load_checkpoint(state, checkpoint, Accelerator(cpu=True))
        torch.save({"description": Hostile(tmp_path / "executed")}, checkpoint / "state.pt")
        with pytest.raises(ValueError, match="Cannot read .*state.pt"):
            load_checkpoint(state, checkpoint, Accelerator(cpu=True))
        assert not (tmp_path / "executed").exists()

    def test_other_networks_are_refused(self, tmp_path):
        state, network = self.make()
        checkpoint = save_checkpoint(state, tmp_path, Accelerator(cpu=True))
        state.description = {"generator": "B"}
        with pytest.raises(ValueError, match="another generator"):
            load_checkpoint(state, checkpoint, Accelerator(cpu=True))


class Hostile:
    """Unpickling it would create a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))
