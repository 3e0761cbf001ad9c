# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""What the objectives of all methods share."""

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
