# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
Convolutions on the CPU as matrix products, where these are faster: minimal filtering, and the gradients of weights.

In channels-last memory format, PyTorch's own weight gradient takes about twice the time of the forward pass, and more
with a stride of two. Its second derivatives transpose batch and channels.

Three maps belong together here: convolution, transposed convolution and the gradient of the weight. The derivatives of
each one are the other two, so there are gradients of every order.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .minimal_filtering import suits_winograd, winograd_conv2d


# Rows of a matrix of patches: enough for a matrix product, few enough for the cache.
_MAX_ROWS = 1024


def conv2d(sample: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1, padding: int = 0) -> Tensor:
    """
    `torch.nn.functional.conv2d`, with square filters and the same stride and padding in both directions.

    Args:
        sample (`torch.Tensor` of shape (B, C, H, W)):
            The input.
        weight (`torch.Tensor` of shape (O, C, k, k)):
            The filters.
        bias (`torch.Tensor` of shape (O,), *optional*):
            Added to every pixel of an output channel.
        stride (`int`, defaults to 1):
            Step between positions of the filters.
        padding (`int`, defaults to 0):
            Zeros added on each side.

    Returns:
        `torch.Tensor` of shape (B, O, H', W'): The output; H' = (H + 2 padding - k) // stride + 1, W' likewise.
    """
    if not _is_ours(sample, weight):
        return F.conv2d(sample, weight, bias, stride, padding)
    # A view is no leaf. The engine answers `_wants_weight` for nodes inside the graph only.
    return _Conv.apply(sample, weight.view_as(weight), bias, stride, padding)


def conv_transpose2d(sample: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
    """
    `torch.nn.functional.conv_transpose2d`, with square filters and without padding.

    Args:
        sample (`torch.Tensor` of shape (B, C, H, W)):
            The input.
        weight (`torch.Tensor` of shape (C, O, k, k)):
            The filters.
        stride (`int`, defaults to 1):
            Step between positions of the filters in the output.

    Returns:
        `torch.Tensor` of shape (B, O, H', W'): The output; H' = (H - 1) stride + k, W' likewise.
    """
    if not _is_ours(sample, weight):
        return F.conv_transpose2d(sample, weight, stride=stride)
    size = [(length - 1) * stride + weight.shape[-1] for length in sample.shape[-2:]]
    return _TransposedConv.apply(sample, weight.view_as(weight), stride, 0, size)


def _is_ours(sample: Tensor, weight: Tensor) -> bool:
    """Whether this or its gradients may be faster here. Half precision stays PyTorch's: its sums would lose digits."""
    return (
        sample.device.type == "cpu"
        and weight.shape[-1] > 1
        and sample.dtype in (torch.float32, torch.float64)
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def _wants_weight(ctx) -> bool:
    """
    Whether the running backward pass needs the gradient of the weight. A gradient penalty needs the input's alone.

    This asks a private function of PyTorch, because no public one knows. `ctx.needs_input_grad` is set in the forward
    pass and says only whether the weight requires a gradient (pytorch/pytorch, issue 174017).
    """
    node = ctx.next_functions[1][0]
    return node is not None and torch._C._will_engine_execute_node(node)


def _convolve(sample: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """`conv2d` without derivatives."""
    if not suits_winograd(sample, weight, stride, padding):
        return F.conv2d(sample, weight, bias, stride, padding)
    output = winograd_conv2d(sample, weight, padding)
    return output if bias is None else output.add_(bias[:, None, None])


class _Conv(torch.autograd.Function):
    """Convolution."""

    @staticmethod
    def forward(ctx, sample: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(sample, weight)
        ctx.stride, ctx.padding = stride, padding
        return _convolve(sample, weight, bias, stride, padding)

    @staticmethod
    def backward(ctx, grad: Tensor):
        sample, weight = ctx.saved_tensors
        options = ctx.stride, ctx.padding
        grad_sample = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            grad_sample = _TransposedConv.apply(grad, weight, *options, sample.shape[-2:])
        if _wants_weight(ctx):
            grad_weight = _WeightGradient.apply(sample, grad, *options, weight.shape[-1])
            grad_bias = grad.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None
        return grad_sample, grad_weight, grad_bias, None, None


class _TransposedConv(torch.autograd.Function):
    """Gradient of the input of a convolution, of the given height and width, from the gradient of its output."""

    @staticmethod
    def forward(ctx, sample: Tensor, weight: Tensor, stride: int, padding: int, size: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(sample, weight)
        ctx.stride, ctx.padding = stride, padding
        swapped, margin = weight.transpose(0, 1), weight.shape[-1] - 1 - padding
        if suits_winograd(sample, swapped, stride, margin):
            return winograd_conv2d(sample, swapped.flip(2, 3), margin)
        # PyTorch reads only the shape and memory format of `like`. Its transposed convolution would copy the weight.
        shape = (sample.shape[0], weight.shape[1], *size)
        like = torch.empty(shape, dtype=sample.dtype, device=sample.device, memory_format=torch.channels_last)
        mask = (True, False, False)
        return torch.ops.aten.convolution_backward(
            sample, like, weight, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1, mask
        )[0]

    @staticmethod
    def backward(ctx, grad: Tensor):
        sample, weight = ctx.saved_tensors
        options = ctx.stride, ctx.padding
        grad_sample = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_sample = _Conv.apply(grad, weight, None, *options)
        if _wants_weight(ctx):
            grad_weight = _WeightGradient.apply(grad, sample, *options, weight.shape[-1])
        return grad_sample, grad_weight, None, None, None


class _WeightGradient(torch.autograd.Function):
    """Gradient of the weight of a convolution, (O, C, k, k), from its input and the gradient of its output."""

    @staticmethod
    def forward(ctx, sample: Tensor, grad: Tensor, stride: int, padding: int, kernel_size: int) -> Tensor:
        ctx.save_for_backward(sample, grad)
        ctx.stride, ctx.padding = stride, padding
        (batch_size, channels), (out_channels, height, width) = sample.shape[:2], grad.shape[1:]
        padded = F.pad(sample, (padding,) * 4).permute(0, 2, 3, 1).contiguous()
        image, row, column, _ = padded.stride()
        grad_rows = grad.permute(0, 2, 3, 1).reshape(batch_size, -1, out_channels)
        weight = sample.new_zeros(out_channels, kernel_size * kernel_size * channels)
        count = max(1, _MAX_ROWS // (height * width))
        for part, part_grad in zip(padded.split(count), grad_rows.split(count), strict=True):
            patches = part.as_strided(
                (len(part), height, width, kernel_size, kernel_size, channels),
                (image, row * stride, column * stride, row, column, 1),
            )
            weight.addmm_(part_grad.flatten(0, 1).t(), patches.reshape(-1, weight.shape[1]))
        return weight.view(out_channels, kernel_size, kernel_size, channels).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx, grad_weight: Tensor):
        sample, grad = ctx.saved_tensors
        options = ctx.stride, ctx.padding
        grad_sample = grad_grad = None
        if ctx.needs_input_grad[0]:
            grad_sample = _TransposedConv.apply(grad, grad_weight, *options, sample.shape[-2:])
        if ctx.needs_input_grad[1]:
            grad_grad = _Conv.apply(sample, grad_weight, None, *options)
        return grad_sample, grad_grad, None, None, None
