# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Everything that a training run must save to go on exactly where it stopped, as one file written atomically."""

import os
import re
import shutil
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator


@dataclass
class TrainingState:
    """
    The bundle: one counter, and the parts with `state_dict` and `load_state_dict`.

    Everything else that a run needs follows from the step: learning rates, decay, position in the data, random
    numbers.

    Args:
        parts (`dict[str, Any]`): Networks, moving average, optimisers, objective.
        configs (`dict[str, Any]`): What the parts are. A checkpoint of other parts is refused.
        settings (`dict[str, Any]`): The options that numbers in a checkpoint depend on. A checkpoint with others is
            refused, unless the change was asked for.
        samples_per_step (`int`, defaults to 1): Real samples of one step, of all processes together.
        step (`int`, defaults to 0): Steps done.
        seconds (`float`, defaults to 0): Time spent in training steps.
        origin (`tuple[int, int]`, defaults to (0, 0)): Step and images seen when `samples_per_step` changed last.
    """

    parts: dict[str, Any]
    configs: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    samples_per_step: int = 1
    step: int = 0
    seconds: float = 0.0
    origin: tuple[int, int] = (0, 0)

    @property
    def images_seen(self) -> int:
        """Real samples used so far, of all processes together."""
        step, images = self.origin
        return images + (self.step - step) * self.samples_per_step

    def state_dict(self) -> dict:
        """The bundle as tensors, numbers and strings. Every process must call this."""
        return {
            "configs": self.configs,
            "settings": self.settings,
            "samples_per_step": self.samples_per_step,
            "counters": {"step": self.step, "seconds": self.seconds, "origin": list(self.origin)},
            "parts": {name: part.state_dict() for name, part in self.parts.items()},
        }

    def load_state_dict(self, state: dict, changes: Collection[str] = ()) -> list[str]:
        """
        Puts a bundle back.

        Args:
            state (`dict`): What `state_dict` gave.
            changes (`Collection[str]`, defaults to `()`): Names of settings that may differ.

        Returns:
            `list[str]`: what differs from the checkpoint, in words.

        Raises:
            ValueError: If it belongs to other networks, or to settings that differ and are not in `changes`.
        """
        different = [name for name in sorted(self.configs) if state["configs"].get(name) != self.configs[name]]
        if different or state["parts"].keys() != self.parts.keys():
            names = ", ".join(different) or "set of " + ", ".join(sorted(state["parts"].keys() ^ self.parts.keys()))
            raise ValueError(
                f"The checkpoint was made with another {names}. Give the same recipe and data, another `--output_dir`, or "
                "`--resume_from_checkpoint no` to start anew."
            )
        changed = self._changed_settings(state)
        refused = sorted(set(changed) - set(changes))
        if refused:
            raise ValueError(
                f"The checkpoint was made with another {', '.join(refused)}: {'; '.join(changed[n] for n in refused)}. Give "
                f"the same, or allow the change by `--change_on_resume {' '.join(refused)}`."
            )
        for name, part in self.parts.items():
            part.load_state_dict(state["parts"][name])
        counters = state["counters"]
        self.step, self.seconds, self.origin = counters["step"], counters["seconds"], tuple(counters["origin"])
        if state["samples_per_step"] != self.samples_per_step:
            step, images = self.origin
            self.origin = self.step, images + (self.step - step) * state["samples_per_step"]
        return [f"{name} changes: {changed[name]}" for name in sorted(changed)]

    def _changed_settings(self, state: dict) -> dict[str, str]:
        """Old and new value of each setting that differs, in words."""
        old, new = state["settings"], self.settings
        changed = {n: f"{old.get(n)!r} then, {new.get(n)!r} now" for n in {*old, *new} if old.get(n) != new.get(n)}
        if state["samples_per_step"] != self.samples_per_step:
            changed["train_batch_size"] = (
                f"{state['samples_per_step']} images per step then, {self.samples_per_step} now (batch size x accumulation "
                "steps x processes)"
            )
        return changed


def list_checkpoints(output_dir: str | Path) -> list[Path]:
    """Complete checkpoints in a folder, oldest first."""
    found = [(re.fullmatch(r"checkpoint-(\d+)", path.name), path) for path in Path(output_dir).glob("checkpoint-*")]
    return [path for _, path in sorted((int(match[1]), path) for match, path in found if match)]


def save_checkpoint(
    state: TrainingState, output_dir: str | Path, accelerator: Accelerator, total_limit: int | None = None
) -> Path:
    """
    Writes `output_dir/checkpoint-<step>` and removes the oldest ones over the limit.

    The file is written to a temporary folder that is renamed at the end: a checkpoint is whole or it is not there.
    Every process must call this.

    Args:
        state ([`TrainingState`]): What to save.
        output_dir (`str` or `Path`): Where.
        accelerator (`Accelerator`): Of the run.
        total_limit (`int`, *optional*): Number of checkpoints to keep.

    Returns:
        `Path`: the checkpoint.
    """
    final = Path(output_dir) / f"checkpoint-{state.step}"
    partial = final.with_name(final.name + ".partial")
    content = state.state_dict()
    if accelerator.is_main_process:
        for leftover in Path(output_dir).glob("checkpoint-*.partial"):
            shutil.rmtree(leftover)
        partial.mkdir(parents=True)
        with open(partial / "state.pt", "wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        if final.exists():
            shutil.rmtree(final)
        os.replace(partial, final)
        if total_limit is not None:
            for old in list_checkpoints(output_dir)[:-total_limit]:
                shutil.rmtree(old)
    accelerator.wait_for_everyone()
    return final


def load_checkpoint(state: TrainingState, checkpoint: str | Path, changes: Collection[str] = ()) -> list[str]:
    """
    Puts a checkpoint back. Nothing in it is executed.

    Args:
        state ([`TrainingState`]): Where to.
        checkpoint (`str` or `Path`): Its folder.
        changes (`Collection[str]`, defaults to `()`): Names of settings that may differ.

    Returns:
        `list[str]`: what differs from the checkpoint, in words.

    Raises:
        ValueError: If the folder is no checkpoint, its file is damaged, or it belongs to another run.
    """
    return state.load_state_dict(read_checkpoint(checkpoint), changes)


def read_checkpoint(checkpoint: str | Path) -> dict:
    """
    Reads a checkpoint. Nothing in it is executed.

    Args:
        checkpoint (`str` or `Path`): Its folder.

    Returns:
        `dict`: what `state_dict` of [`TrainingState`] gave.

    Raises:
        ValueError: If the folder is no checkpoint or its file is damaged.
    """
    file = Path(checkpoint) / "state.pt"
    if not file.is_file():
        raise ValueError(
            f"`resume_from_checkpoint` must be the folder of a checkpoint, got {str(checkpoint)!r}, which holds no state.pt."
        )
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # Damaged archives and refused objects raise many kinds.
        raise ValueError(
            f"`{file}` must be a readable checkpoint, got: {error}. Remove its folder to go on from an earlier one."
        ) from error
