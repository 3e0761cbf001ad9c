# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
Resampling by a factor of two: FIR (StyleGAN2 manner) or naive.

The FIR operations are depthwise convolutions: one pass in either memory format, differentiable twice. Outside the
image the signal is zero, so a constant image is dimmed at its border.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...kernels.convolution import conv2d, conv_transpose2d
from .initialization import conv


def fir_kernel(fir_taps: Sequence[float]) -> Tensor:
    """
    Separable low-pass kernel of the given taps, scaled to sum 1, in the order in which a correlation reads them.

    Args:
        fir_taps (`tuple[float, ...]`):
            At least two numbers with a positive sum; (1, 3, 3, 1) in every published model.

    Returns:
        `torch.Tensor` of shape (K, K) in float32: K is the number of taps, made even by a zero tap if need be.

    Raises:
        ValueError: If there are fewer than two taps, or their sum is not positive.
    """
    taps = [float(tap) for tap in fir_taps]
    if len(taps) < 2 or sum(taps) <= 0:
        raise ValueError(f"`fir_taps` must be two or more numbers with a positive sum, got {tuple(taps)}.")
    row = torch.tensor(taps[::-1] + [0.0] * (len(taps) % 2), dtype=torch.float32, device="cpu")
    kernel = torch.outer(row, row)
    return kernel / kernel.sum()


def add_fir_kernel(module: nn.Module, fir_taps: Sequence[float] | None) -> None:
    """
    Gives a module the buffer `kernel`; without taps, an attribute that is None.

    accelerate cannot offload a buffer that is None.

    Args:
        module (`nn.Module`): The module.
        fir_taps (`tuple[float, ...]`, *optional*): Taps of the filter; `None` for no kernel.
    """
    if fir_taps is None:
        module.kernel = None  # pyright: ignore[reportArgumentType]  # an attribute, neither tensor nor module
    else:
        module.register_buffer("kernel", fir_kernel(fir_taps), persistent=False)


class _Filter(torch.autograd.Function):
    """
    Depthwise correlation with one kernel for all channels. Its derivative is its transpose, and the other way round.

    PyTorch's own second derivative of a depthwise convolution loops over channels for a weight gradient nobody asked
    for.
    """

    @staticmethod
    def forward(ctx, sample: Tensor, kernel: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(kernel)
        ctx.stride, ctx.padding, ctx.size = stride, padding, sample.shape[-2:]
        return F.conv2d(sample, _depthwise(kernel, sample), stride=stride, padding=padding, groups=sample.shape[1])

    @staticmethod
    def backward(ctx, grad: Tensor):
        (kernel,) = ctx.saved_tensors
        return _TransposedFilter.apply(grad, kernel, ctx.stride, ctx.padding, ctx.size), None, None, None


class _TransposedFilter(torch.autograd.Function):
    """Transpose of `_Filter`: zero insertion, then filtering, to a given size."""

    @staticmethod
    def forward(ctx, sample: Tensor, kernel: Tensor, stride: int, padding: int, size: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(kernel)
        ctx.stride, ctx.padding = stride, padding
        groups = sample.shape[1]
        if stride == 1:  # An ordinary convolution is the faster one.
            weight = _depthwise(kernel.flip(0, 1), sample)
            return F.conv2d(sample, weight, padding=kernel.shape[-1] - 1 - padding, groups=groups)
        surplus = [
            target - ((length - 1) * stride - 2 * padding + kernel.shape[-1])
            for target, length in zip(size, sample.shape[-2:], strict=True)
        ]
        dtype = sample.dtype
        if dtype not in (torch.bfloat16, torch.float16) or sample.device.type != "cpu":
            weight = _depthwise(kernel, sample)
            return F.conv_transpose2d(sample, weight, None, stride, padding, surplus, groups)
        # PyTorch's transposed depthwise convolution on the CPU is 25 times slower with 16 bits.
        with torch.autocast("cpu", enabled=False):
            sample = sample.float()
            weight = _depthwise(kernel, sample)
            return F.conv_transpose2d(sample, weight, None, stride, padding, surplus, groups).to(dtype)

    @staticmethod
    def backward(ctx, grad: Tensor):
        (kernel,) = ctx.saved_tensors
        return _Filter.apply(grad, kernel, ctx.stride, ctx.padding), None, None, None, None


def _depthwise(kernel: Tensor, sample: Tensor) -> Tensor:
    return kernel.to(sample.dtype).expand(sample.shape[1], 1, *kernel.shape)


def fir_upsample(sample: Tensor, kernel: Tensor) -> Tensor:
    """
    Inserts zeros, then filters with four times `kernel`: (B, C, H, W) -> (B, C, 2H, 2W).

    For taps (1, 3, 3, 1), along one axis: y[2i] = (x[i-1] + 3 x[i]) / 4 and y[2i+1] = (3 x[i] + x[i+1]) / 4.

    Args:
        sample (`torch.Tensor` of shape (B, C, H, W)): The input.
        kernel (`torch.Tensor` of shape (K, K)): What `fir_kernel` returns.

    Returns:
        `torch.Tensor` of shape (B, C, 2H, 2W).
    """
    size = [2 * length for length in sample.shape[-2:]]
    return _TransposedFilter.apply(sample, 4 * kernel.flip(0, 1), 2, (kernel.shape[-1] - 2) // 2, size)


def fir_downsample(sample: Tensor, kernel: Tensor) -> Tensor:
    """
    Filters with `kernel`, then keeps every second position: (B, C, H, W) -> (B, C, H // 2, W // 2).

    For taps (1, 3, 3, 1), along one axis: y[i] = (x[2i-1] + 3 x[2i] + 3 x[2i+1] + x[2i+2]) / 8.
    """
    return _Filter.apply(sample, kernel, 2, (kernel.shape[-1] - 2) // 2)


def fir_blur(sample: Tensor, kernel: Tensor) -> Tensor:
    """Filters ahead of an unpadded 3x3 convolution of stride 2, to halve images: (B, C, H, W) -> (B, C, H+1, W+1)."""
    return _Filter.apply(sample, kernel, 1, kernel.shape[-1] // 2)


def resampled_conv(
    sample: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    kernel: Tensor | None = None,
    resample: str | None = None,
) -> Tensor:
    """
    Convolution with zero padding, joined with resampling by two at the cost of the lower resolution (StyleGAN2).

    Down: the low-pass kernel, then the learned filter at every second position. Up: the learned filter on the
    zero-inserted image, as a transposed convolution, then the low-pass kernel. The transposed convolution reads a 3x3
    weight the other way round than an ordinary one does.

    Args:
        sample (`torch.Tensor` of shape (B, C, H, W)): The input.
        weight (`torch.Tensor` of shape (O, C, k, k)): The learned filter, k = 1 or 3.
        bias (`torch.Tensor` of shape (O,), *optional*): The bias.
        kernel (`torch.Tensor`, *optional*): What `fir_kernel` returns; needed with `resample`.
        resample (`str`, *optional*): "up" or "down".

    Returns:
        `torch.Tensor` of shape (B, O, H, W), (B, O, 2H, 2W) or (B, O, H // 2, W // 2).

    Raises:
        ValueError: If `kernel` is missing.
    """
    size = weight.shape[-1]
    if resample is None:
        return conv2d(sample, weight, bias, padding=size // 2)
    if kernel is None:
        raise ValueError("`kernel` must be given with `resample`, got None.")
    if resample == "down":
        if size == 1:
            return conv2d(fir_downsample(sample, kernel), weight, bias)
        return conv2d(fir_blur(sample, kernel), weight, bias, stride=2)
    if size == 1:
        hidden = fir_upsample(conv2d(sample, weight), kernel)
    else:
        hidden = conv_transpose2d(sample, weight.transpose(0, 1), stride=2)
        hidden = _Filter.apply(hidden, 4 * kernel, 1, (kernel.shape[-1] - 2) // 2)
    return hidden if bias is None else hidden.add_(bias[:, None, None])


class Upsample(nn.Module):
    """Doubles height and width: FIR with the given taps, or nearest neighbour without."""

    def __init__(self, fir_taps: Sequence[float] | None = None):
        super().__init__()
        self.kernel: Tensor | None
        add_fir_kernel(self, fir_taps)

    def forward(self, sample: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, 2H, 2W)."""
        if self.kernel is None:
            return F.interpolate(sample, scale_factor=2, mode="nearest")
        return fir_upsample(sample, self.kernel)


class Downsample(nn.Module):
    """Halves height and width: FIR with the given taps, or 2x2 mean without."""

    def __init__(self, fir_taps: Sequence[float] | None = None):
        super().__init__()
        self.kernel: Tensor | None
        add_fir_kernel(self, fir_taps)

    def forward(self, sample: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H // 2, W // 2)."""
        if self.kernel is None:
            return F.avg_pool2d(sample, 2)
        return fir_downsample(sample, self.kernel)


class ConvDownsample(nn.Module):
    """Halves height and width with a learned 3x3 filter of stride 2, after a FIR blur when taps are given."""

    def __init__(self, in_channels: int, out_channels: int, fir_taps: Sequence[float] | None = None):
        super().__init__()
        self.kernel: Tensor | None
        add_fir_kernel(self, fir_taps)
        self.conv = conv(in_channels, out_channels, 3, stride=2, padding=0)

    def forward(self, sample: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H // 2, W // 2)."""
        if self.kernel is None:
            return self.conv(F.pad(sample, (0, 1, 0, 1)))
        return self.conv(fir_blur(sample, self.kernel))
