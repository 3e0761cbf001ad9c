# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""A player with its optimiser."""

from collections.abc import Mapping
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from .arguments import OptimizationArguments
from .objectives.base import Player
from .schedules import cosine_factor, lazy_adam


# Updates that the scaler of float16 may skip one after the other. It halves its factor each time: from 2^16 down to
# 2^-34, far below any gradient.
MAX_SKIPPED_UPDATES = 50


class PlayerState:
    """
    A player with its Adam.

    Args:
        player ([`~training.Player`]): The player.
        networks (`Mapping[str, nn.Module]`): All networks by name, in their distributed wrappers.
        options ([`OptimizationArguments`]): Learning rates, betas, clipping.
        accelerator (`Accelerator`): Of the run.

    Attributes:
        optimizer (`torch.optim.Optimizer`): Its Adam.
        skipped (`int`): Updates in a row that the scaler of float16 has skipped.
    """

    def __init__(
        self,
        player: Player,
        networks: Mapping[str, nn.Module],
        options: OptimizationArguments,
        accelerator: Accelerator,
    ):
        self.player = player
        members = (player, *player.partners)
        self.networks = {name: networks[name] for each in members for name in each.networks}
        self.options = options
        self.accelerator = accelerator
        groups, self.learning_rates = [], []
        for each in members:
            rate = options.learning_rate_g if each.learning_rate == "generator" else options.learning_rate_d
            rate, betas = lazy_adam(rate, (options.adam_beta1, options.adam_beta2), each.lazy_interval)
            parameters = [parameter for name in each.networks for parameter in networks[name].parameters()]
            groups.append({"params": parameters, "lr": rate, "betas": betas})
            self.learning_rates.append(rate)
        adam = torch.optim.Adam(groups, eps=options.adam_epsilon, fused=True)
        self.optimizer: Any = accelerator.prepare(adam)
        self.skipped = 0

    def _parameters(self) -> list[nn.Parameter]:
        return [parameter for network in self.networks.values() for parameter in network.parameters()]

    def set_learning_rate(self, step: int, max_steps: int) -> None:
        """Learning rate of a step out of `max_steps`."""
        if self.options.lr_scheduler == "constant":
            return
        for group, rate in zip(self.optimizer.param_groups, self.learning_rates, strict=True):
            floor = min(self.options.lr_eta_min / rate, 1.0) if rate else 1.0
            group["lr"] = rate * cosine_factor(step, max_steps, floor)

    def clip(self) -> torch.Tensor:
        """Clips the gradients if that was asked for. Gives the norm that they had, which shows what is not finite."""
        parameters = self._parameters()
        if self.options.max_grad_norm is not None:
            return torch.as_tensor(self.accelerator.clip_grad_norm_(parameters, self.options.max_grad_norm))
        return torch.nn.utils.get_total_norm([each.grad for each in parameters if each.grad is not None])

    def update(self) -> None:
        """One step of the optimiser. The scaler of float16 skips it if the gradients are not finite."""
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def check_skipped(self) -> None:
        """
        Ends a training in which float16 does not work.

        Raises:
            FloatingPointError: If too many updates in a row were skipped.
        """
        if self.skipped >= MAX_SKIPPED_UPDATES:
            raise FloatingPointError(
                f"The scaler of float16 has skipped {self.skipped} updates of {' and '.join(self.networks)} in a row. "
                "Give `--mixed_precision bf16` or `no`, with `--change_on_resume mixed_precision`."
            )
