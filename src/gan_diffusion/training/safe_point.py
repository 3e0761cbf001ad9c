# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The last good state between two half-steps, for a checkpoint after an error."""

import copy
from collections.abc import Mapping

import torch
from torch import nn

from .objectives.base import Objective


class SafePoint:
    """
    Copies of what a half-step changes before its update: the objective's state, and the networks' buffers.

    Weights, optimisers and the moving average change in updates alone, so together with them this is the state after
    the last update, also when a later half-step fails. One process can save it without the others.

    Args:
        objective ([`~training.objectives.Objective`]): The objective.
        networks (`Mapping[str, nn.Module]`): Its networks.
    """

    def __init__(self, objective: Objective, networks: Mapping[str, nn.Module]):
        self.objective = objective
        self.buffers = [buffer for network in networks.values() for buffer in network.buffers()]
        self.copies = [buffer.clone() for buffer in self.buffers]
        self.take()

    @torch.no_grad()
    def take(self) -> None:
        """Makes the copies. Every process must call it."""
        self._state = copy.deepcopy(self.objective.state_dict())
        if self.buffers:
            torch._foreach_copy_(self.copies, self.buffers)

    @torch.no_grad()
    def restore(self) -> None:
        """Puts the buffers back."""
        if self.buffers:
            torch._foreach_copy_(self.buffers, self.copies)

    def state_dict(self) -> dict:
        """The objective's state as it was."""
        return self._state

    def load_state_dict(self, state: dict) -> None:
        """Puts a state of the objective back."""
        self.objective.load_state_dict(state)
