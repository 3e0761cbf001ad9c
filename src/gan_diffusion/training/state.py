# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Everything that a training run must save to go on exactly where it stopped, as one bundle written atomically."""

import os
import random
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator


@dataclass
class TrainingState:
    """
    The bundle: counters, and the parts with `state_dict` and `load_state_dict`.

    Args:
        parts (`dict[str, Any]`): Networks, moving average, optimisers, learning-rate schedules, stateful noise schedulers.
        description (`dict[str, str]`): What the parts are, such as their configs; a checkpoint with another description is
            refused.
        step (`int`): Optimiser steps done.
        epoch (`int`): Number of the current epoch.
        batch (`int`): Batches of the current epoch done.
        seconds (`float`): Time spent in training steps.
    """

    parts: dict[str, Any]
    description: dict[str, str] = field(default_factory=dict)
    step: int = 0
    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0

    _COUNTERS = ("step", "epoch", "batch", "seconds")

    def state_dict(self) -> dict:
        """The bundle as tensors, numbers and strings."""
        return {
            "description": self.description,
            "counters": {name: getattr(self, name) for name in self._COUNTERS},
            "parts": {name: part.state_dict() for name, part in self.parts.items()},
        }

    def load_state_dict(self, state: dict) -> None:
        """
        Puts a bundle back.

        Raises:
            ValueError: if it belongs to other networks or settings.
        """
        if state["description"] != self.description:
            names = {*state["description"], *self.description}
            different = [n for n in sorted(names) if state["description"].get(n) != self.description.get(n)]
            raise ValueError(
                f"The checkpoint was made with another {', '.join(different)}. Give the same settings, another "
                "`output_dir`, or `--resume_from_checkpoint no` to start anew."
            )
        for name, part in self.parts.items():
            part.load_state_dict(state["parts"][name])
        for name, value in state["counters"].items():
            setattr(self, name, value)


def random_state() -> dict:
    """The state of every random-number generator of this process."""
    numpy_state = np.random.get_state()
    state = {
        "python": random.getstate(),
        "numpy": [numpy_state[0], numpy_state[1].tolist(), *numpy_state[2:]],
        "torch": torch.get_rng_state(),
    }
    if torch.accelerator.is_available():
        state["device"] = torch.get_device_module().get_rng_state()
    return state


def set_random_state(state: dict) -> None:
    """Puts back what [`random_state`] gave."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    np.random.set_state((state["numpy"][0], np.array(state["numpy"][1], dtype=np.uint32), *state["numpy"][2:]))
    torch.set_rng_state(state["torch"])
    if "device" in state and torch.accelerator.is_available():
        torch.get_device_module().set_rng_state(state["device"])


def list_checkpoints(output_dir: str | Path) -> list[Path]:
    """Complete checkpoints in a folder, oldest first."""
    found = [(re.fullmatch(r"checkpoint-(\d+)", path.name), path) for path in Path(output_dir).glob("checkpoint-*")]
    return [path for _, path in sorted((int(match[1]), path) for match, path in found if match)]


def save_checkpoint(
    state: TrainingState, output_dir: str | Path, accelerator: Accelerator, total_limit: int | None = None
) -> Path:
    """
    Writes `output_dir/checkpoint-<step>` and removes the oldest ones over the limit.

    The files are written to a temporary folder that is renamed at the end: a checkpoint is whole or it is not there.
    Every process must call this.

    Args:
        state ([`TrainingState`]): What to save.
        output_dir (`str` or `Path`): Where.
        accelerator (`Accelerator`): Of the run.
        total_limit (`int`, *optional*): Checkpoints to keep.

    Returns:
        `Path`: the checkpoint.
    """
    final = Path(output_dir) / f"checkpoint-{state.step}"
    partial = final.with_name(final.name + ".partial")
    if accelerator.is_main_process:
        for leftover in Path(output_dir).glob("checkpoint-*.partial"):
            shutil.rmtree(leftover)
        partial.mkdir(parents=True)
        torch.save(state.state_dict(), partial / "state.pt")
    accelerator.wait_for_everyone()
    torch.save(random_state(), partial / f"random_{accelerator.process_index}.pt")
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        for file in partial.iterdir():
            with open(file, "rb") as handle:
                os.fsync(handle.fileno())
        if final.exists():
            shutil.rmtree(final)
        os.replace(partial, final)
        if total_limit is not None:
            for old in list_checkpoints(output_dir)[:-total_limit]:
                shutil.rmtree(old)
    accelerator.wait_for_everyone()
    return final


def load_checkpoint(state: TrainingState, checkpoint: str | Path, accelerator: Accelerator) -> None:
    """
    Puts a checkpoint back, random state included. Nothing in it is executed.

    Raises:
        ValueError: if the folder is no checkpoint, a file is damaged, or it belongs to another run.
    """
    checkpoint = Path(checkpoint)
    if not (checkpoint / "state.pt").is_file():
        raise ValueError(f"`resume_from_checkpoint` {str(checkpoint)!r} is not a checkpoint: it holds no state.pt.")
    state.load_state_dict(_read(checkpoint / "state.pt"))
    own_random_state = checkpoint / f"random_{accelerator.process_index}.pt"
    if own_random_state.is_file():
        set_random_state(_read(own_random_state))


def _read(file: Path) -> dict:
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # Damaged archives and refused objects raise many kinds.
        raise ValueError(
            f"Cannot read {file}: {error}. Remove its folder to go on from an earlier checkpoint."
        ) from error
