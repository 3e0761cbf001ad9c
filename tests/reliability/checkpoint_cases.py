# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""A small training state with all kinds of parts, for the harnesses that attack checkpoints."""

import torch
from diffusers.training_utils import EMAModel

from gan_diffusion.training.state import AverageState, OptimizerState, TrainingState


class Counter:
    """Like the state of an objective."""

    value = 0.5

    def state_dict(self) -> dict:
        return {"p": self.value, "signs": [1.0, 2.0], "updates": 3}

    def load_state_dict(self, state: dict) -> None:
        self.value = state["p"]


def make_state(step: int, width: int = 64) -> TrainingState:
    """A state after one update, whose numbers follow from the step."""
    torch.manual_seed(step)
    network = torch.nn.Sequential(torch.nn.Linear(width, width), torch.nn.Linear(width, width))
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.randn(4, width)).square().sum().backward()
    optimizer.step()
    objective = Counter()
    objective.value = 1 / (step + 1)
    parts = {
        "network.generator": network,
        "optimizer.generator": OptimizerState(optimizer),
        "objective": objective,
        "ema": AverageState(EMAModel(network.parameters())),
    }
    return TrainingState(
        parts, {"generator": {"width": width}}, {"seed": 1, "rate": 1e-4}, 16, {"identity": "ab", "samples": 9},
        step=step, seconds=step / 3,
    )  # fmt: skip


def same(one, two) -> bool:
    """Whether two contents are equal to the bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(same, one, two))
    return one == two
