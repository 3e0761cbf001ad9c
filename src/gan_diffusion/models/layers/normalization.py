# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Group normalisation, plain and with scale and shift taken from a style vector."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .initialization import linear


GROUP_NORM_EPS = 1e-6


def num_groups(channels: int) -> int:
    """
    Number of groups for a feature map: a quarter of its channels, at most 32.

    Args:
        channels (`int`): Number of channels, at least 4.

    Returns:
        `int`: the number of groups.

    Raises:
        ValueError: If the groups do not divide the channels.
    """
    groups = min(channels // 4, 32)
    if groups == 0 or channels % groups:
        raise ValueError(
            f"`base_channels` and `channel_multipliers` must give widths that group norm can cut into "
            f"min(width // 4, 32) groups, got a width of {channels} for {groups} groups. Take multiples of 4, and of 32 "
            "above 128; in the up path the widths of a layer and of its skip connection add up."
        )
    return groups


def silu(normed: Tensor) -> Tensor:
    """SiLU of the output of a norm: in place where nothing is recorded for a backward pass."""
    return F.silu(normed, inplace=not torch.is_grad_enabled())


def _group_norm(sample: Tensor, groups: int, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    # On a CPU, torch's kernels for channels-last features take twice as long in bfloat16 as in float32.
    if sample.device.type == "cpu" and sample.dtype != torch.float64:
        weight, bias = (None if values is None else values.float() for values in (weight, bias))
        return F.group_norm(sample.float(), groups, weight, bias, GROUP_NORM_EPS).to(sample.dtype)
    return F.group_norm(sample, groups, weight, bias, GROUP_NORM_EPS)


class GroupNorm(nn.GroupNorm):
    """Group norm with an affine map, the group rule and the epsilon shared by all layers here."""

    def __init__(self, channels: int):
        super().__init__(num_groups(channels), channels, eps=GROUP_NORM_EPS)

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return _group_norm(input, self.num_groups, self.weight, self.bias)


class AdaptiveGroupNorm(nn.Module):
    """
    Group norm whose scale and shift are a linear function of a style vector: gamma(z) norm(x) + beta(z).

    gamma is used as it is (not 1 + gamma); its bias starts at 1.

    Args:
        channels (`int`): Number of channels C.
        style_dim (`int`): Width of the style vector.
    """

    def __init__(self, channels: int, style_dim: int):
        super().__init__()
        self.num_groups = num_groups(channels)
        self.style = linear(style_dim, 2 * channels)
        with torch.no_grad():
            self.style.bias[:channels] = 1.0

    def forward(self, sample: Tensor, style: Tensor) -> Tensor:
        """(B, C, H, W), (B, style_dim) -> (B, C, H, W)."""
        gamma, beta = self.style(style)[:, :, None, None].chunk(2, dim=1)
        normed = _group_norm(sample, self.num_groups)
        # Fresh memory costs more than the arithmetic. A compiler finds out by itself.
        reuse = not torch.is_grad_enabled() and not torch.compiler.is_compiling()
        return torch.addcmul(beta, gamma, normed, out=normed if reuse else None)
