# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Self-attention over the positions of a feature map."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .initialization import linear
from .normalization import GroupNorm


class AttentionBlock(nn.Module):
    """
    Group norm, one attention head over all positions, and a residual connection: (B, C, H, W) -> same.

    Args:
        channels (`int`): Number of channels C.
        skip_rescale (`bool`, defaults to `True`): Whether to divide the sum of input and attention by sqrt(2).
    """

    def __init__(self, channels: int, skip_rescale: bool = True):
        super().__init__()
        self.norm = GroupNorm(channels)
        self.to_q = linear(channels, channels, scale=0.1)
        self.to_k = linear(channels, channels, scale=0.1)
        self.to_v = linear(channels, channels, scale=0.1)
        self.to_out = linear(channels, channels, scale=0.0)
        self.output_scale = math.sqrt(0.5) if skip_rescale else 1.0

    def forward(self, sample: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        height, width = sample.shape[-2:]
        hidden = self.norm(sample).permute(0, 2, 3, 1).flatten(1, 2)  # [batch, position, channel]
        query, key, value = (layer(hidden)[:, None] for layer in (self.to_q, self.to_k, self.to_v))
        hidden = F.scaled_dot_product_attention(query, key, value).squeeze(1)
        hidden = self.to_out(hidden).unflatten(1, (height, width)).permute(0, 3, 1, 2)
        return torch.add(sample, hidden).mul_(self.output_scale)
