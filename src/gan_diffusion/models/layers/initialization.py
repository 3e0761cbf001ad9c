# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Layers and weight initialisation of the score-based U-Net (NCSN++) family."""

import math

from torch import Tensor, nn

from ...kernels.convolution import conv2d


# The reference writes "zero" initialisation as this variance scale: standard deviation 1e-5 / sqrt(fan_avg), not
# zeros.
NEAR_ZERO_SCALE = 1e-10


# From this width on, our own convolution is faster on the CPU, forward and backward; below, PyTorch's is.
_WIDE = 256


class Conv2d(nn.Conv2d):
    """`torch.nn.Conv2d` whose wide layers are computed by our own kernels on the CPU."""

    padding: tuple[int, ...]  # numbers, not one of PyTorch's words such as "same"

    def forward(self, sample: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H', W')."""
        if min(self.in_channels, self.out_channels) < _WIDE:
            return super().forward(sample)
        return conv2d(sample, self.weight, self.bias, self.stride[0], self.padding[0])


def variance_scaling_(weight: Tensor, scale: float = 1.0) -> Tensor:
    """
    Fills a linear or convolution weight from a uniform distribution of variance `scale / fan_avg`, in place.

    Args:
        weight (`torch.Tensor` of shape (out, in) or (out, in, height, width)): The weight.
        scale (`float`, defaults to 1.0):
            Variance times the mean of fan-in and fan-out; 0 is replaced by the near-zero scale of the reference.

    Returns:
        `torch.Tensor`: the weight itself.
    """
    receptive_field = math.prod(weight.shape[2:])
    fan_avg = (weight.shape[0] + weight.shape[1]) * receptive_field / 2
    bound = math.sqrt(3 * (scale or NEAR_ZERO_SCALE) / fan_avg)
    return nn.init.uniform_(weight, -bound, bound)


def conv(in_channels: int, out_channels: int, kernel_size: int, scale: float = 1.0, **kwargs) -> Conv2d:
    """Convolution with variance-scaled weight, zero bias and, by default, size-preserving zero padding."""
    kwargs.setdefault("padding", kernel_size // 2)
    module = Conv2d(in_channels, out_channels, kernel_size, **kwargs)
    return _initialise(module, scale)


def linear(in_features: int, out_features: int, scale: float = 1.0, **kwargs) -> nn.Linear:
    """Linear layer with variance-scaled weight and zero bias."""
    return _initialise(nn.Linear(in_features, out_features, **kwargs), scale)


def _initialise(module, scale: float):
    variance_scaling_(module.weight, scale)
    if module.bias is not None:
        nn.init.zeros_(module.bias)
    return module
