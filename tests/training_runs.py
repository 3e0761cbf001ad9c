# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""Training runs of a few steps on tiny networks, as users start them."""

import copy
import json
import sys
from pathlib import Path
from subprocess import CompletedProcess

import forked_scripts
import torch
from safetensors.torch import load_file

from gan_diffusion.training.checkpoint_format import read_files
from gan_diffusion.training.checkpoints import list_checkpoints


ROOT = Path(__file__).parents[1]
# Per method: changes that make the networks of its digits recipe so small that a step takes milliseconds, and options.
METHODS = {
    "ddgan": (
        {
            "generator": {"base_channels": 8, "layers_per_block": 1, "channel_multipliers": [1, 1], "dropout": 0.1},
            "discriminator": {"hidden_dim": 8},
        },
        "r1_interval: 2\nr2_gamma: 0.02\naugmentation: adaptive\naugmentation_kimg: 0.1\naugmentation_target: -0.9\n"
        "ema_decay: 0.9\n",
    ),
    "diffusion-gan": (
        {
            "generator": {"channel_max": 8, "w_dim": 8},
            "discriminator": {"channel_max": 8},
            "scheduler": {"update_interval": 2, "adaptation_kimg": 0.1, "discriminator_target": -0.9},
        },
        "r1_interval: 2\npath_length_weight: 2.0\npath_length_interval: 2\nstyle_mixing_probability: 0.5\n"
        "augmentation: adaptive\ninstance_discrimination: true\nqueue_size: 40\nema_kimg: 0.05\nema_rampup: 0.5\n",
    ),
    "spi-gan": (
        {"generator": {"channel_max": 8, "w_dim": 8, "mapping_dim": 8}, "discriminator": {"channel_max": 8}},
        "r1_interval: 2\nr2_gamma: 0.01\nadversarial_loss: relativistic\naugmentation: adaptive\n"
        "augmentation_kimg: 0.1\naugmentation_target: -0.9\nema_decay: 0.9\n",
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


def command(recipe: Path, output_dir: Path, *options: str) -> list[str]:
    script = ROOT / "training_scripts" / f"train_{recipe.name.replace('-', '_')}.py"
    return [sys.executable, str(script), "--recipe", str(recipe), "--output_dir", str(output_dir), *options]


def run(recipe: Path, output_dir: Path, *options: str) -> CompletedProcess:
    return forked_scripts.run(command(recipe, output_dir, *options)[1:])


def final_weights(output_dir: Path) -> dict[str, torch.Tensor]:
    """Everything that training produced: averaged generator, discriminator, and the last checkpoint's tensors."""
    weights = {}
    for part in ("generator", "discriminator"):
        for name, value in load_file(output_dir / part / "diffusion_pytorch_model.safetensors").items():
            weights[f"{part}.{name}"] = value
    state = last_state(output_dir)
    for part in ("generator", "discriminator"):
        weights.update({f"raw.{part}.{name}": value for name, value in state["parts"][f"network.{part}"].items()})
        for index, entry in state["parts"][f"optimizer.{part}"]["state"].items():
            weights.update({f"optimizer.{part}.{index}.{name}": value for name, value in entry.items()})
    return weights


def assert_equal_runs(first: Path, second: Path) -> None:
    one, two = final_weights(first), final_weights(second)
    assert one.keys() == two.keys()
    different = [name for name in one if not torch.equal(one[name], two[name])]
    assert not different, f"{len(different)} of {len(one)} tensors differ, the first is {different[0]}"


def run_two_processes(recipe: Path, output_dir: Path, *options: str) -> dict:
    """The last checkpoint of a run of two processes."""
    result = forked_scripts.run_ranks(command(recipe, output_dir, *options)[1:])
    assert result.returncode == 0, result.stderr
    return last_state(output_dir)


def last_state(output_dir: Path) -> dict:
    """Content of the newest checkpoint, with its step."""
    return content_of(list_checkpoints(output_dir)[-1])


def content_of(checkpoint: Path) -> dict:
    with read_files(checkpoint) as (content, manifest):
        return copy.deepcopy(content) | {"step": manifest.step, "half_steps": manifest.half_steps}


def evaluations_of(output_dir: Path) -> list[dict]:
    return json.loads((output_dir / "evaluations.json").read_text())


def comparable_evaluations(output_dir: Path) -> list[tuple]:
    """Step, images and numbers of each evaluation, without what depends on the clock."""
    return [
        (each["step"], each["images_seen"], {n: v for n, v in each["metrics"].items() if n != "images_per_second"})
        for each in evaluations_of(output_dir)
    ]
