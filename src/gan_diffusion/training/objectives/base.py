# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""What the objectives of all methods share: players, half-steps, and how a loss is written."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.distributed
from accelerate.utils import extract_model_from_parallel
from torch import nn

from ..augmentation import Augmentation
from ..losses import ADVERSARIAL_LOSSES


@dataclass
class StepOutput:
    """
    What a loss returns.

    Args:
        loss (`torch.Tensor`): Scalar to differentiate.
        logs (`dict[str, torch.Tensor]`): Detached scalars to report.
    """

    loss: torch.Tensor
    logs: dict[str, torch.Tensor]

    @classmethod
    def from_terms(cls, terms: Mapping[str, torch.Tensor]) -> "StepOutput":
        """A loss that is the sum of named terms, which are all reported."""
        first, *others = terms.values()
        return cls(sum(others, start=first), {name: value.detach() for name, value in terms.items()})


@dataclass(frozen=True)
class Player:
    """
    Networks that share one optimiser.

    Args:
        networks (`tuple[str, ...]`): Names of the networks.
        learning_rate (`str`, defaults to `"discriminator"`):
            Whose learning rate the optimiser takes: `"generator"` or `"discriminator"`.
        lazy_interval (`int`, *optional*):
            k, if a half-step every k steps gives this player one optimiser step more: its Adam is adapted to that, see
            [`~training.schedules.lazy_adam`].
        partners (`tuple[Player, ...]`, defaults to `()`):
            Players that learn in this one's half-steps, from the same gradients and with the same optimiser, but at
            rates of their own.
    """

    networks: tuple[str, ...]
    learning_rate: Literal["generator", "discriminator"] = "discriminator"
    lazy_interval: int | None = None
    partners: tuple["Player", ...] = ()


@dataclass(frozen=True)
class HalfStep:
    """
    One optimiser step of one player.

    Args:
        name (`str`): Name, for messages.
        player (`str`): Name of the player that it trains.
        loss (`Callable`):
            `loss(batch, **terms)` -> [`StepOutput`], for a [`~data.Batch`] and, for each name in `terms`, whether that
            term is due. All random numbers that it draws come from torch's global generators.
        every (`int`, defaults to 1): It is due at steps 0, `every`, 2 `every`, ...
        terms (`Mapping[str, int]`, defaults to `{}`):
            Terms of the loss that are due less often than the half-step itself, with their intervals.
    """

    name: str
    player: str
    loss: Callable[..., StepOutput]
    every: int = 1
    terms: Mapping[str, int] = field(default_factory=dict)

    def is_due(self, step: int) -> bool:
        """Whether the half-step belongs to step number `step`, counted from 0."""
        return step % self.every == 0

    def terms_due(self, step: int) -> dict[str, bool]:
        """For each term, whether it belongs to step number `step`."""
        return {name: step % interval == 0 for name, interval in self.terms.items()}


class Objective(ABC):
    """
    What one training step is: networks, players, and an ordered list of half-steps.

    It knows nothing of devices, clocks and files.

    The loop runs the half-steps that are due, in order, and then `finish_step`. A subclass adds a network by putting
    it into `networks` and `players`, and a half-step of its own to the list.

    In the half-step of one player the networks of the others must get no gradient: run the generator under
    `torch.no_grad()` in a discriminator's half-step, and take the discriminator as [`frozen`] in a generator's.

    Args:
        generator (`nn.Module`): The network that the pipeline samples from.
        discriminator (`nn.Module`): Its opponent.
        scheduler (`SchedulerMixin`): The forward process.
        adversarial_loss (`str`, defaults to `"logistic"`):
            "logistic", "hinge", "least_squares" or "relativistic", see [`~training.losses`].
        augmentation ([`~training.Augmentation`], *optional*):
            What the discriminator's samples go through; nothing by default.

    Raises:
        ValueError: If the loss is unknown, or undefined for the discriminator's last layer.

    Attributes:
        networks (`dict[str, nn.Module]`): All networks by name. The loop replaces them by distributed wrappers.
        players (`dict[str, Player]`): All players by name.
        adversarial_loss ([`~training.losses.AdversarialLoss`]): The loss.
        augmentation ([`~training.Augmentation`]): The augmentation.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        scheduler: Any,
        adversarial_loss: str = "logistic",
        augmentation: Augmentation | None = None,
    ):
        if adversarial_loss not in ADVERSARIAL_LOSSES:
            raise ValueError(
                f"`adversarial_loss` must be one of {tuple(ADVERSARIAL_LOSSES)}, got {adversarial_loss!r}."
            )
        self.networks: dict[str, nn.Module] = {"generator": generator, "discriminator": discriminator}
        self.players: dict[str, Player] = {
            "generator": Player(("generator",), learning_rate="generator"),
            "discriminator": Player(("discriminator",)),
        }
        self.scheduler = scheduler
        self.adversarial_loss = ADVERSARIAL_LOSSES[adversarial_loss]
        self.augmentation = augmentation or Augmentation()
        config = getattr(extract_model_from_parallel(discriminator), "config", {})
        if config.get("last_layer") == "san":
            self.adversarial_loss.check_direction()

    @property
    def generator(self) -> nn.Module:
        """The generator, in its distributed wrapper if there is one."""
        return self.networks["generator"]

    @property
    def discriminator(self) -> nn.Module:
        """The discriminator, in its distributed wrapper if there is one."""
        return self.networks["discriminator"]

    @property
    @abstractmethod
    def half_steps(self) -> tuple[HalfStep, ...]:
        """The half-steps of a training step, in the order in which they run."""

    def adversarial_terms(self, real: Any, fake: Any) -> dict[str, torch.Tensor]:
        """
        Terms of the discriminator's loss.

        Args:
            real (`DiscriminatorOutput`): What it says of real samples.
            fake (`DiscriminatorOutput`): What it says of generated samples.

        Returns:
            `dict[str, torch.Tensor]`: those of the adversarial loss, and for a SAN that of the direction.
        """
        terms = self.adversarial_loss.discriminator_terms(real.logits, fake.logits)
        directions = getattr(real, "direction_logits", None)
        if directions is not None:
            terms["loss_d_direction"] = self.adversarial_loss.direction_loss(directions, fake.direction_logits)
        return terms

    def finish_step(self, step: int) -> dict[str, float]:
        """Called in every process after the optimisers of step number `step`. Returns numbers to report."""
        return self.augmentation.adapt(step)

    def state_dict(self) -> dict:
        """
        What a resumed run needs beyond the networks. A subclass with more state adds to it.

        Every process calls it, so it may gather from all of them.
        """
        return {"augmentation": self.augmentation.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        """Puts back what `state_dict` gave."""
        self.augmentation.load_state_dict(state["augmentation"])


def check_ranges(*ranges: tuple[str, float, float, float]) -> None:
    """
    Checks numbers that have a range.

    Args:
        ranges (`tuple[str, float, float, float]`): Name, value, lowest and highest value of each.

    Raises:
        ValueError: If one is out of its range, or not a number.
    """
    for name, value, low, high in ranges:
        if not low <= value <= high or value == math.inf:
            raise ValueError(f"`{name}` must lie in [{low}, {high}], got {value}.")


def of_all_processes(value: torch.Tensor) -> torch.Tensor:
    """Detached rows of all processes of a distributed run, in their order. Each has as many."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return value
    parts = [torch.empty_like(value) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(parts, value.contiguous())
    return torch.cat(parts)


def mean_of_processes(value: torch.Tensor) -> float:
    """Mean of a detached scalar over all processes of a distributed run."""
    value = value.double()
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(value)
        value = value / torch.distributed.get_world_size()
    return value.item()


def outputs_of(output: Any) -> list[torch.Tensor]:
    """All that a discriminator says in the output, for [`lazy`]: in a SAN, the logits lead to no last layer."""
    directions = getattr(output, "direction_logits", None)
    return [output.logits] if directions is None else [output.logits, directions]


def lazy(penalties: Mapping[str, torch.Tensor], interval: int, *outputs: torch.Tensor) -> StepOutput:
    """
    The half-step that penalties have for themselves every `interval` steps: their sum times the interval.

    The network's outputs are added with weight 0: the last bias has no part in a gradient penalty, but a distributed
    wrapper waits for a gradient of every parameter.

    Args:
        penalties (`Mapping[str, torch.Tensor]`): The penalties by name, to report as they are.
        interval (`int`): Steps between two of these half-steps.
        outputs (`torch.Tensor`): What the network gave.

    Returns:
        [`StepOutput`]: the loss, and the penalties to report.
    """
    result = StepOutput.from_terms(penalties)
    result.loss = interval * result.loss + sum(0 * each.sum() for each in outputs)
    return result


@contextmanager
def frozen(network: nn.Module) -> Iterator[nn.Module]:
    """
    The network without gradients for its parameters, for the half-step of its opponent.

    A distributed wrapper is taken off: it would wait for gradients of parameters that never come.
    """
    network = extract_model_from_parallel(network, keep_fp32_wrapper=True)
    required = [parameter.requires_grad for parameter in network.parameters()]
    network.requires_grad_(False)
    try:
        yield network
    finally:
        for parameter, requires_grad in zip(network.parameters(), required, strict=True):
            parameter.requires_grad_(requires_grad)
