# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
Layers with equalised learning rate (Karras et al. 2018, section 4.1).

Weights are stored with unit variance and scaled by 1 / sqrt(fan_in) at run time, so that Adam moves all layers at one
relative speed. The layers are PyTorch's own `nn.Linear` and `nn.Conv2d` to everyone who looks for these by class, such
as diffusers' layerwise casting.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .embeddings import pixel_norm
from .resampling import add_fir_kernel, resampled_conv


# Restores the scale that a leaky ReLU takes from a normal distribution, nearly (exactly so for a ReLU).
LEAKY_RELU_GAIN = math.sqrt(2)


def leaky_relu(sample: Tensor, clamp: float | None = None) -> Tensor:
    """
    Leaky ReLU (slope 0.2), in place, then clamping to [-clamp, clamp].

    The gain of sqrt(2) that belongs to it is not applied here: layers multiply it to their weights, which are smaller.
    """
    hidden = F.leaky_relu(sample, 0.2, inplace=True)
    if clamp is None:
        return hidden
    # Not `clamp`, whose gradient takes four passes instead of one.
    return F.hardtanh(hidden, -clamp, clamp, inplace=not torch.is_grad_enabled())


class EqualizedLinear(nn.Linear):
    """
    Linear layer with equalised learning rate: (B, in_features) -> (B, out_features).

    Args:
        in_features (`int`): Width of the input.
        out_features (`int`): Width of the output.
        bias_init (`float`, defaults to 0.0): Initial value of the bias.
        lr_multiplier (`float`, defaults to 1.0):
            Factor of the learning rate: weights are stored larger and used smaller by it.
        activation (`bool`, defaults to `False`): Whether to end in leaky ReLU (slope 0.2, gain sqrt(2)).
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias_init: float = 0.0,
        lr_multiplier: float = 1.0,
        activation: bool = False,
    ):
        super().__init__(in_features, out_features)
        with torch.no_grad():
            self.weight.div_(lr_multiplier)
            self.bias.fill_(bias_init / lr_multiplier)
        self.bias_gain = lr_multiplier * (LEAKY_RELU_GAIN if activation else 1.0)
        self.gain = self.bias_gain / math.sqrt(in_features)
        self.activation = activation

    def reset_parameters(self) -> None:
        """Called by the constructor: a normal distribution of unit variance."""
        nn.init.normal_(self.weight)

    def forward(self, features: Tensor) -> Tensor:
        """(B, in_features) -> (B, out_features)."""
        hidden = F.linear(features * self.gain, self.weight, self.bias * self.bias_gain)
        return leaky_relu(hidden) if self.activation else hidden


class ClassEmbedding(EqualizedLinear):
    """
    Vectors of unit root mean square for class labels: (B,) -> (B, dim).

    Args:
        num_classes (`int`): Number of classes.
        dim (`int`): Width of the vectors.
    """

    def __init__(self, num_classes: int, dim: int):
        super().__init__(num_classes, dim)

    def forward(self, class_labels: Tensor) -> Tensor:
        """(B,) -> (B, dim)."""
        one_hot = F.one_hot(class_labels.long(), self.in_features).to(self.weight.dtype)
        return pixel_norm(super().forward(one_hot))


class EqualizedConv2d(nn.Conv2d):
    """
    Convolution with equalised learning rate, optionally resampling: (B, in, H, W) -> (B, out, H', W').

    Args:
        in_channels (`int`): Channels of the input.
        out_channels (`int`): Channels of the output.
        kernel_size (`int`): 1 or 3; the image is zero-padded to keep its size.
        bias (`bool`, defaults to `True`): Whether there is a bias.
        resample (`str`, *optional*): "up" or "down", by two.
        fir_taps (`tuple[float, ...]`, defaults to `(1, 3, 3, 1)`): Taps of the resampling filter, used with
            `resample`.
        activation (`bool`, defaults to `False`): Whether to end in leaky ReLU (slope 0.2, gain sqrt(2)).
        clamp (`float`, *optional*): Bound of the absolute output before `gain`.
        gain (`float`, defaults to 1.0): Factor of the output.
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
        super().__init__(in_channels, out_channels, kernel_size, bias=bias)
        self.resample = resample
        self.kernel: Tensor | None
        add_fir_kernel(self, None if resample is None else fir_taps)
        self.activation = activation
        self.clamp = None if clamp is None else clamp * gain
        self.bias_gain = gain * (LEAKY_RELU_GAIN if activation else 1.0)
        self.gain = self.bias_gain / math.sqrt(in_channels * kernel_size**2)

    def reset_parameters(self) -> None:
        """Called by the constructor: a normal distribution of unit variance, no bias."""
        nn.init.normal_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, sample: Tensor, shift: Tensor | None = None) -> Tensor:
        """(B, in, H, W) -> (B, out, H', W'); `shift` (B, out) is added to the bias of each sample."""
        bias = None if self.bias is None else self.bias * self.bias_gain
        hidden = resampled_conv(sample, self.weight * self.gain, bias, self.kernel, self.resample)
        if shift is not None:
            hidden = hidden.add_((shift * self.bias_gain)[:, :, None, None])
        if self.activation:
            return leaky_relu(hidden, self.clamp)
        return hidden if self.clamp is None else F.hardtanh(hidden, -self.clamp, self.clamp)
