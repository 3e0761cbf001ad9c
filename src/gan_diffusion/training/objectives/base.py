# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""What the objectives of all methods share."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from accelerate.utils import extract_model_from_parallel
from torch import nn


@dataclass
class StepOutput:
    """
    One half of an adversarial step.

    Args:
        loss (`torch.Tensor`): Scalar to differentiate.
        logs (`dict[str, torch.Tensor]`): Detached scalars to report.
    """

    loss: torch.Tensor
    logs: dict[str, torch.Tensor]


class Objective(ABC):
    """
    What one adversarial step is: the losses of both networks. It knows networks and scheduler, nothing of devices and files.

    The loop calls `discriminator_step`, `discriminator_penalty`, `generator_step`, `generator_penalty` and, once the
    optimisers have stepped, `finish_step`. Each loss gets an optimiser step of its own. The generator runs without gradients
    in the discriminator's half, and the discriminator is frozen in the generator's.

    Args:
        generator, discriminator (`nn.Module`): The networks; the loop replaces them by distributed wrappers.
        scheduler (`SchedulerMixin`): The forward process.
    """

    # Lazy regularisation: a penalty every k steps, weighted k, with the optimiser slowed down to match; None without.
    discriminator_penalty_interval: int | None = None
    generator_penalty_interval: int | None = None

    def __init__(self, generator: nn.Module, discriminator: nn.Module, scheduler):
        self.generator = generator
        self.discriminator = discriminator
        self.scheduler = scheduler

    @abstractmethod
    def discriminator_step(self, samples: torch.Tensor, step: int, class_labels=None, draws=None) -> StepOutput:
        """Loss of the discriminator on real samples (B, ...) in training step number `step`, counted from 0."""

    @abstractmethod
    def generator_step(self, samples: torch.Tensor, step: int, class_labels=None, draws=None) -> StepOutput:
        """Loss of the generator, the discriminator being frozen."""

    def discriminator_penalty(self, samples: torch.Tensor, step: int, class_labels=None, draws=None):
        """A [`StepOutput`] where a regularisation of the discriminator with an optimiser step of its own is due, else `None`."""
        return None

    def generator_penalty(self, samples: torch.Tensor, step: int, class_labels=None, draws=None):
        """The same for the generator."""
        return None

    def finish_step(self) -> dict[str, float]:
        """Called once per training step, in every process, after the optimisers; returns numbers to report."""
        return {}

    def state_dict(self) -> dict:
        """What a resumed run needs beyond the networks."""
        return {}

    def load_state_dict(self, state: dict) -> None:  # noqa: B027 (most objectives have no state)
        """Puts back what `state_dict` gave."""


def lazy(penalty: torch.Tensor, interval: int, outputs: torch.Tensor) -> torch.Tensor:
    """
    Loss of a step that a penalty has for itself every `interval` steps.

    The network's outputs enter with weight 0: the last bias has no part in a gradient penalty, and a distributed wrapper waits
    for every parameter.
    """
    return interval * penalty + 0 * outputs.sum()


@contextmanager
def frozen(network: nn.Module) -> Iterator[nn.Module]:
    """
    The network without gradients for its parameters, for the step of its opponent.

    A distributed wrapper is taken off: it would wait for parameter gradients that never come.
    """
    network = extract_model_from_parallel(network, keep_fp32_wrapper=True)
    required = [parameter.requires_grad for parameter in network.parameters()]
    network.requires_grad_(False)
    try:
        yield network
    finally:
        for parameter, requires_grad in zip(network.parameters(), required, strict=True):
            parameter.requires_grad_(requires_grad)
