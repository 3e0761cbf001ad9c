# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Layers with equalised learning rate (Karras et al. 2018, section 4.1).

Weights are stored with unit variance and scaled by 1 / sqrt(fan_in) at run time, so that Adam moves all layers at one
relative speed.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .resampling import fir_kernel, resampled_conv


# Restores the scale that a leaky ReLU takes from a normal distribution, nearly (exactly so for a ReLU).
LEAKY_RELU_GAIN = math.sqrt(2)


def leaky_relu(sample: Tensor, clamp: float | None = None) -> Tensor:
    """Leaky ReLU (slope 0.2), in place, then clamping to [-clamp, clamp].

    The gain of sqrt(2) that belongs to it is homogeneous: layers multiply it to their weights, which are smaller.
    """
    hidden = F.leaky_relu(sample, 0.2, inplace=True)
    if clamp is None:
        return hidden
    return hidden.clamp(-clamp, clamp) if torch.is_grad_enabled() else hidden.clamp_(-clamp, clamp)


class EqualizedLinear(nn.Module):
    """Linear layer with equalised learning rate: (B, in_features) -> (B, out_features).

    Args:
        in_features: Width of the input.
        out_features: Width of the output.
        bias_init: Initial value of the bias.
        lr_multiplier: Factor of the learning rate: weights are stored larger and used smaller by it.
        activation: End in leaky ReLU (slope 0.2, gain sqrt(2)).
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias_init: float = 0.0,
        lr_multiplier: float = 1.0,
        activation: bool = False,
    ):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((out_features,), bias_init / lr_multiplier))
        self.bias_gain = lr_multiplier * (LEAKY_RELU_GAIN if activation else 1.0)
        self.gain = self.bias_gain / math.sqrt(in_features)
        self.activation = activation

    def forward(self, features: Tensor) -> Tensor:
        hidden = F.linear(features * self.gain, self.weight, self.bias * self.bias_gain)
        return leaky_relu(hidden) if self.activation else hidden


class EqualizedConv2d(nn.Module):
    """Convolution with equalised learning rate, optionally resampling: (B, in, H, W) -> (B, out, H', W').

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: 1 or 3; the image is zero-padded to keep its size.
        bias: Whether there is a bias.
        resample: None, "up" or "down", by two.
        fir_taps: Taps of the resampling filter; needed with `resample`.
        activation: End in leaky ReLU (slope 0.2, gain sqrt(2)).
        clamp: Bound of the absolute output before `gain`, or None.
        gain: Factor of the output.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        bias: bool = True,
        resample: str | None = None,
        fir_taps: Sequence[float] = (1, 3, 3, 1),
        activation: bool = False,
        clamp: float | None = None,
        gain: float = 1.0,
    ):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.resample = resample
        self.register_buffer("kernel", None if resample is None else fir_kernel(fir_taps), persistent=False)
        self.activation = activation
        self.clamp = None if clamp is None else clamp * gain
        self.bias_gain = gain * (LEAKY_RELU_GAIN if activation else 1.0)
        self.gain = self.bias_gain / math.sqrt(in_channels * kernel_size**2)

    def forward(self, sample: Tensor, shift: Tensor | None = None) -> Tensor:
        """`shift` (B, out) is added to the bias of each sample."""
        bias = None if self.bias is None else self.bias * self.bias_gain
        hidden = resampled_conv(sample, self.weight * self.gain, bias, self.kernel, self.resample)
        if shift is not None:
            hidden = hidden.add_((shift * self.bias_gain)[:, :, None, None])
        if self.activation:
            return leaky_relu(hidden, self.clamp)
        return hidden if self.clamp is None else hidden.clamp(-self.clamp, self.clamp)
