# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
The last layer of a slicing adversarial network (SAN, Takida et al. 2024, arXiv 2301.12811).

A discriminator whose last layer is linear is f(x) = <w, h(x)>. In a SAN, w has length 1 and is trained apart from the
features h. So there are two outputs of the same value: the logits teach h alone, the direction logits w alone. The
length of a stored weight is without effect, and is not set to 1 after each step, as it is in the authors' code.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .precision import at_least_float32


LAST_LAYERS = ("linear", "san")


def check_last_layer(last_layer: str) -> None:
    """
    Checks the option of a discriminator.

    Args:
        last_layer (`str`): The option.

    Raises:
        ValueError: If there is no such layer.
    """
    if last_layer not in LAST_LAYERS:
        raise ValueError(f"`last_layer` must be one of {LAST_LAYERS}, got {last_layer!r}.")


def unit_length(vectors: Tensor) -> Tensor:
    """Vectors (N, ...), one in each row -> the same over their length. It is computed in float32 at least."""
    with torch.autocast(vectors.device.type, enabled=False):
        rows = at_least_float32(vectors).flatten(1)
        return F.normalize(rows, dim=1).view(vectors.shape).to(vectors.dtype)


def project_on(features: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
    """
    Projects features on the directions of vectors, as the last layer of a SAN with a condition.

    Args:
        features (`torch.Tensor` of shape (B, C, ...)): h, one or a map of them for each sample.
        vectors (`torch.Tensor` of shape (B, C)): Vectors of any length, one for each sample.

    Returns:
        `tuple[torch.Tensor, torch.Tensor]`: logits and direction logits, (B, 1, ...).
    """
    directions = unit_length(vectors).view(*vectors.shape, *[1] * (features.ndim - 2))
    logits = (features * directions.detach()).sum(1, keepdim=True)
    return logits, (features.detach() * directions).sum(1, keepdim=True)


class SlicedConv2d(nn.Conv2d):
    """The last layer of a SAN as a convolution; the arguments of `torch.nn.Conv2d`, without a bias."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs, bias=False)

    def forward(self, sample: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, in, H, W) -> logits and direction logits, (B, out, H', W')."""
        weight = unit_length(self.weight)
        logits = self._conv_forward(sample, weight.detach(), None)
        return logits, self._conv_forward(sample.detach(), weight, None)


class SlicedLinear(nn.Linear):
    """
    The last layer of a SAN for one logit per sample.

    Args:
        in_features (`int`): Width of the features.
    """

    def __init__(self, in_features: int):
        super().__init__(in_features, 1, bias=False)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, in) -> logits and direction logits, (B, 1)."""
        weight = unit_length(self.weight)
        return F.linear(features, weight.detach()), F.linear(features.detach(), weight)
