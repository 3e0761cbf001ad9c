# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Everything that a training run must save to go on exactly where it stopped."""

import uuid
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from torch import nn

from .checkpoint_format import DamagedCheckpointError, Manifest


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
        data (`dict[str, Any]`, defaults to `{}`): What tells these samples from others, see [`data_identity`]. Other
            data is refused like other settings.
        step (`int`, defaults to 0): Steps done.
        half_steps (`int`, defaults to 0): Half-steps done of the step after those, for a checkpoint after an error.
        seconds (`float`, defaults to 0): Time spent in training steps.
        origin (`tuple[int, int]`, defaults to (0, 0)): Step and images seen when `samples_per_step` changed last.
        run (`str`, *optional*): Name of the run; by default a random one.
    """

    parts: dict[str, Any]
    configs: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    samples_per_step: int = 1
    data: dict[str, Any] = field(default_factory=dict)
    step: int = 0
    half_steps: int = 0
    seconds: float = 0.0
    origin: tuple[int, int] = (0, 0)
    run: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def images_seen(self) -> int:
        """Real samples used so far, of all processes together."""
        step, images = self.origin
        return images + (self.step - step) * self.samples_per_step

    def state_dict(self) -> dict:
        """The bundle as tensors, numbers and strings."""
        return {
            "configs": self.configs,
            "settings": self.settings,
            "data": self.data,
            "samples_per_step": self.samples_per_step,
            "counters": {"seconds": self.seconds, "origin": self.origin},
            "parts": {name: part.state_dict() for name, part in self.parts.items()},
        }

    def check_finite(self) -> None:
        """
        Looks for NaN and infinity in all that would be saved.

        Raises:
            FloatingPointError: If there is any.
        """
        for name, part in self.parts.items():
            for path, value in _tensors(part.state_dict(), name):
                if value.is_floating_point() and not value.isfinite().all():
                    raise FloatingPointError(f"{path} is not finite after step {self.step}. It is not saved.")

    def load_state_dict(self, state: dict, manifest: Manifest, changes: Collection[str] = ()) -> list[str]:
        """
        Puts a bundle back, all of it or, if anything does not fit, nothing.

        Args:
            state (`dict`): What `state_dict` gave.
            manifest ([`~training.checkpoint_format.Manifest`]): With its step.
            changes (`Collection[str]`, defaults to `()`): Names of settings that may differ.

        Returns:
            `list[str]`: what differs from the checkpoint, in words.

        Raises:
            ValueError: If it belongs to other networks, or to settings or data that differ and are not in `changes`.
            DamagedCheckpointError: If it cannot come from `state_dict`.
        """
        own = self.state_dict()
        _check_same_form(
            state, {**own, "configs": None, "settings": None, "data": None, "parts": None}, "the checkpoint"
        )
        for name in ("configs", "settings", "data", "parts"):
            if type(state[name]) is not dict:
                raise DamagedCheckpointError(f"`{name}` of the checkpoint must be a dict, got {type(state[name])}.")
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
            saved = state["parts"][name]
            expected = part.expected_form(saved) if hasattr(part, "expected_form") else own["parts"][name]
            _check_same_form(saved, expected, name)
        seconds, origin = state["counters"]["seconds"], state["counters"]["origin"]
        if not (0 <= seconds < 2**53 and 0 <= origin[0] <= manifest.step and 0 <= origin[1] < 2**63):
            raise DamagedCheckpointError(f"`counters` of the checkpoint must be possible, got {state['counters']}.")
        if not 0 < state["samples_per_step"] < 2**63:
            raise DamagedCheckpointError("`samples_per_step` of the checkpoint must be positive.")
        self._load(state, manifest)
        return [f"{name} changes: {changed[name]}" for name in sorted(changed)]

    def _load(self, state: dict, manifest: Manifest) -> None:
        # What checks its own values comes first, and the networks last.
        for name, part in sorted(self.parts.items(), key=lambda item: isinstance(item[1], nn.Module)):
            try:
                part.load_state_dict(_copied(state["parts"][name]))
            except (ValueError, TypeError, LookupError, ArithmeticError, RuntimeError) as error:
                raise DamagedCheckpointError(f"`{name}` of the checkpoint must fit, got: {error!r:.300}.") from error
        self.step, self.half_steps, self.run = manifest.step, manifest.half_steps, manifest.run
        self.seconds, self.origin = float(state["counters"]["seconds"]), state["counters"]["origin"]
        if state["samples_per_step"] != self.samples_per_step:
            step, images = self.origin
            self.origin = self.step, images + (self.step - step) * state["samples_per_step"]

    def _changed_settings(self, state: dict) -> dict[str, str]:
        """Old and new value of each setting that differs, in words."""
        old, new = state["settings"], self.settings
        changed = {n: f"{old.get(n)!r} then, {new.get(n)!r} now" for n in {*old, *new} if old.get(n) != new.get(n)}
        if state["samples_per_step"] != self.samples_per_step:
            changed["train_batch_size"] = (
                f"{state['samples_per_step']} images per step then, {self.samples_per_step} now (batch size x accumulation "
                "steps x processes)"
            )
        old, new = state["data"], self.data
        facts = [
            f"{n} {old.get(n)!r} then, {new.get(n)!r} now" for n in sorted({*old, *new}) if old.get(n) != new.get(n)
        ]
        if facts:
            changed["data"] = ", ".join(facts)
        return changed


class OptimizerState:
    """
    What a checkpoint holds of an optimiser: the moments of Adam. Learning rate and betas follow from the options.

    Args:
        optimizer (`torch.optim.Optimizer`): An Adam.
    """

    def __init__(self, optimizer: Any):
        self.optimizer = optimizer

    def state_dict(self) -> dict:
        """The moments and steps by number of the parameter."""
        return {"state": self.optimizer.state_dict()["state"]}

    def load_state_dict(self, state: dict) -> None:
        """Puts back what `state_dict` gave."""
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), **state})

    def expected_form(self, saved: Any) -> dict:
        """The form of `state_dict`, with entries for the parameters that `saved` has some for."""
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        numbers = saved["state"] if type(saved) is dict and type(saved.get("state")) is dict else {}
        entries = {
            number: {"step": torch.empty(()), "exp_avg": parameters[number], "exp_avg_sq": parameters[number]}
            for number in numbers
            if type(number) is int and 0 <= number < len(parameters)
        }
        return {"state": entries}


class AverageState:
    """
    What a checkpoint holds of a moving average: its weights and the number of its updates.

    Args:
        ema (`EMAModel`): The moving average.
    """

    def __init__(self, ema: EMAModel):
        self.ema = ema

    def state_dict(self) -> dict:
        """Weights, and number of updates."""
        return {"shadow_params": self.ema.shadow_params, "optimization_step": self.ema.optimization_step}

    def load_state_dict(self, state: dict) -> None:
        """Puts back what `state_dict` gave."""
        for own, saved in zip(self.ema.shadow_params, state["shadow_params"], strict=True):
            own.copy_(saved)
        self.ema.optimization_step = state["optimization_step"]


def data_identity(dataset: Any) -> dict[str, Any]:
    """
    What tells a data set from others: a checksum of names, sizes and labels, the classes, the number of samples.

    Args:
        dataset ([`~data.Samples`]): The data set. One without a report is known by its length alone.

    Returns:
        `dict[str, Any]`: for [`TrainingState`].
    """
    report = getattr(dataset, "report", None)
    return {
        "samples": len(dataset),
        "identity": None if report is None else report.identity,
        "classes": getattr(dataset, "class_names", None),
    }


def plain_configs(owners: Mapping[str, Any]) -> dict[str, dict]:
    """
    The configs of networks and scheduler as they come back from a checkpoint, without what diffusers adds.

    Args:
        owners (`Mapping[str, Any]`): Networks and scheduler by name; those without a config are left out.

    Returns:
        `dict[str, dict]`: their configs by name.
    """

    def plain(value: Any) -> Any:
        return [plain(item) for item in value] if isinstance(value, list | tuple) else value

    return {
        name: {key: plain(value) for key, value in owner.config.items() if not key.startswith("_")}
        for name, owner in owners.items()
        if hasattr(owner, "config")
    }


def _tensors(value: Any, path: str) -> Iterator[tuple[str, torch.Tensor]]:
    """All tensors in nested dicts, lists and tuples, with their places."""
    if isinstance(value, torch.Tensor):
        yield path, value
    elif isinstance(value, dict | list | tuple):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _tensors(item, f"{path}.{key}")


def _copied(value: Any) -> Any:
    """The same with copies of the tensors."""
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return type(value)(_copied(item) for item in value) if isinstance(value, list | tuple) else value


def _check_same_form(saved: Any, expected: Any, path: str) -> None:
    """Compares keys, lengths, types, shapes and dtypes, but no values. Everything fits where `None` is expected."""
    if expected is None:
        return
    if isinstance(expected, torch.Tensor):
        if not isinstance(saved, torch.Tensor) or (saved.shape, saved.dtype) != (expected.shape, expected.dtype):
            got = f"{tuple(saved.shape)}, {saved.dtype}" if isinstance(saved, torch.Tensor) else type(saved).__name__
            raise DamagedCheckpointError(f"`{path}` must be {tuple(expected.shape)}, {expected.dtype}, got {got}.")
    elif isinstance(expected, dict):
        if not isinstance(saved, dict) or saved.keys() != expected.keys():
            keys = (
                sorted(map(str, saved.keys() ^ expected.keys())) if isinstance(saved, dict) else type(saved).__name__
            )
            raise DamagedCheckpointError(f"`{path}` must have the keys of this run, got a difference: {keys}.")
        for key in expected:
            _check_same_form(saved[key], expected[key], f"{path}.{key}")
    elif isinstance(expected, list | tuple):
        if type(saved) is not type(expected) or len(saved) != len(expected):
            raise DamagedCheckpointError(f"`{path}` must be {len(expected)} entries, got {type(saved).__name__}.")
        for number, pair in enumerate(zip(saved, expected, strict=True)):
            _check_same_form(*pair, f"{path}.{number}")
    elif type(saved) is not type(expected) and {type(saved), type(expected)} != {int, float}:
        raise DamagedCheckpointError(f"`{path}` must be a {type(expected).__name__}, got {type(saved).__name__}.")
