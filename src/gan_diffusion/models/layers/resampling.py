# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Resampling by a factor of two: FIR (StyleGAN2 manner) or naive.

The FIR operations are depthwise convolutions: one pass in either memory format, differentiable twice. Outside the image
the signal is zero, so a constant image is dimmed at its border.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .initialization import conv


def fir_kernel(taps: Sequence[float]) -> Tensor:
    """Separable low-pass kernel `outer(taps, taps)`, scaled to sum 1.

    Args:
        taps: At least two numbers, symmetric, with a positive sum; (1, 3, 3, 1) in every published model.

    Returns:
        Float32 tensor (len(taps), len(taps)).

    Raises:
        ValueError: If `taps` is too short, not symmetric, or sums to zero or less.
    """
    taps = [float(tap) for tap in taps]
    if len(taps) < 2 or taps != taps[::-1] or sum(taps) <= 0:
        raise ValueError(f"fir_kernel: expected two or more symmetric taps with a positive sum, got {tuple(taps)}.")
    row = torch.tensor(taps, dtype=torch.float32, device="cpu")
    kernel = torch.outer(row, row)
    return kernel / kernel.sum()


def fir_upsample(sample: Tensor, kernel: Tensor) -> Tensor:
    """Inserts zeros, then filters with four times `kernel`: (B, C, H, W) -> (B, C, 2H, 2W).

    For taps (1, 3, 3, 1), along one axis: y[2i] = (x[i-1] + 3 x[i]) / 4 and y[2i+1] = (3 x[i] + x[i+1]) / 4.
    """
    height, width = sample.shape[-2:]
    weight = _depthwise(4 * kernel, sample)
    padding = kernel.shape[-1] - 2 - (kernel.shape[-1] - 1) // 2
    out = F.conv_transpose2d(sample, weight, stride=2, padding=padding, groups=sample.shape[1])
    # Kernels of odd length leave one row and column too many.
    return out[..., : 2 * height, : 2 * width] if kernel.shape[-1] % 2 else out


def fir_downsample(sample: Tensor, kernel: Tensor) -> Tensor:
    """Filters with `kernel`, then keeps every second position: (B, C, H, W) -> (B, C, H // 2, W // 2).

    For taps (1, 3, 3, 1), along one axis: y[i] = (x[2i-1] + 3 x[2i] + 3 x[2i+1] + x[2i+2]) / 8.
    """
    return _filter(sample, kernel, total_padding=kernel.shape[-1] - 2, stride=2)


def fir_blur(sample: Tensor, kernel: Tensor, conv_size: int = 3) -> Tensor:
    """Filters ahead of an unpadded convolution of stride 2 with a `conv_size` kernel: (B, C, H, W) -> (B, C, H+1, W+1).

    Sizes are for a kernel of 3; the convolution that follows gives (H // 2, W // 2).
    """
    return _filter(sample, kernel, total_padding=kernel.shape[-1] - 2 + conv_size - 1, stride=1)


def _filter(sample: Tensor, kernel: Tensor, total_padding: int, stride: int) -> Tensor:
    before, after = (total_padding + 1) // 2, total_padding // 2
    if before != after:
        sample = F.pad(sample, (before, after, before, after))
        before = 0
    weight = _depthwise(kernel, sample)
    return F.conv2d(sample, weight, stride=stride, padding=before, groups=sample.shape[1])


def _depthwise(kernel: Tensor, sample: Tensor) -> Tensor:
    return kernel.to(sample.dtype).expand(sample.shape[1], 1, *kernel.shape)


class Upsample(nn.Module):
    """Doubles height and width: FIR with the given taps, or nearest neighbour without."""

    def __init__(self, taps: Sequence[float] | None = None):
        super().__init__()
        self.register_buffer("kernel", None if taps is None else fir_kernel(taps), persistent=False)

    def forward(self, sample: Tensor) -> Tensor:
        if self.kernel is None:
            return F.interpolate(sample, scale_factor=2, mode="nearest")
        return fir_upsample(sample, self.kernel)


class Downsample(nn.Module):
    """Halves height and width: FIR with the given taps, or 2x2 mean without."""

    def __init__(self, taps: Sequence[float] | None = None):
        super().__init__()
        self.register_buffer("kernel", None if taps is None else fir_kernel(taps), persistent=False)

    def forward(self, sample: Tensor) -> Tensor:
        if self.kernel is None:
            return F.avg_pool2d(sample, 2)
        return fir_downsample(sample, self.kernel)


class ConvUpsample(nn.Module):
    """Doubles height and width with a learned 3x3 filter.

    With taps, the filter acts on the zero-inserted image before the low-pass kernel does (StyleGAN2). Both are linear and
    commute, so the kernel goes first here, on an image extended by one position per side. Without taps: nearest
    neighbour, then the convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, taps: Sequence[float] | None = None):
        super().__init__()
        self.register_buffer("kernel", None if taps is None else fir_kernel(taps), persistent=False)
        if taps is not None and len(taps) != 4:
            raise ValueError(f"fir_kernel: a learned upsampling filter needs four taps, got {len(taps)}.")
        self.conv = conv(in_channels, out_channels, 3, padding=1 if taps is None else 0)

    def forward(self, sample: Tensor) -> Tensor:
        if self.kernel is None:
            return self.conv(F.interpolate(sample, scale_factor=2, mode="nearest"))
        weight = _depthwise(4 * self.kernel, sample)
        return self.conv(F.conv_transpose2d(sample, weight, stride=2, groups=sample.shape[1]))


class ConvDownsample(nn.Module):
    """Halves height and width with a learned 3x3 filter of stride 2, after a FIR blur when taps are given."""

    def __init__(self, in_channels: int, out_channels: int, taps: Sequence[float] | None = None):
        super().__init__()
        self.register_buffer("kernel", None if taps is None else fir_kernel(taps), persistent=False)
        self.conv = conv(in_channels, out_channels, 3, stride=2, padding=0)

    def forward(self, sample: Tensor) -> Tensor:
        if self.kernel is None:
            return self.conv(F.pad(sample, (0, 1, 0, 1)))
        return self.conv(fir_blur(sample, self.kernel))
