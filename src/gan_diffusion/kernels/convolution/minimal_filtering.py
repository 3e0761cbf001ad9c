# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
3x3 convolutions on the CPU by minimal filtering, F(2x2, 3x3).

Winograd 1980; Lavin and Gray, "Fast algorithms for convolutional neural networks" (CVPR 2016), section 4.1. Every 2x2
tile of the output is a linear transform of 16 products, where the definition has 36. Summed over the input channels,
the products are 16 matrix products over all tiles. The transforms only add, subtract and halve, so the result is about
as precise as a direct sum.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


# With fewer channels, the transforms cost more than the products that are saved.
_MIN_CHANNELS = 256
# With fewer tiles of output, the weight is not used often enough to be worth its transform.
_MIN_TILES = 256
# Tiles per matrix product: enough to fill it, few enough for the cache.
_MAX_TILES = 512


def suits_winograd(sample: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> bool:
    """
    Whether [`winograd_conv2d`] can compute a convolution, and in less time than PyTorch on the CPU.

    Args:
        sample (`torch.Tensor` of shape (B, C, H, W)):
            The input, in float32 or float64.
        weight (`torch.Tensor` of shape (O, C, k, k)):
            The filters.
        stride (`int`, defaults to 1):
            Step between positions of the filters.
        padding (`int`, defaults to 0):
            Zeros added on each side.

    Returns:
        `bool`: Whether it should be used.
    """
    batch_size, channels, height, width = sample.shape
    rows, columns = height + 2 * padding - 2, width + 2 * padding - 2
    return (
        weight.shape[-2:] == (3, 3)
        and stride == 1
        and padding >= 0
        and min(weight.shape[:2]) >= _MIN_CHANNELS
        and weight.shape[1] == channels
        and rows > 0
        and columns > 0
        and rows % 2 == columns % 2 == 0
        and batch_size * rows * columns >= 4 * _MIN_TILES
        and sample.dtype == weight.dtype
        and sample.is_contiguous(memory_format=torch.channels_last)
    )


def winograd_conv2d(sample: Tensor, weight: Tensor, padding: int = 0) -> Tensor:
    """
    Convolution by minimal filtering, without derivatives.

    Args:
        sample (`torch.Tensor` of shape (B, C, H, W)):
            The input, in channels-last memory format.
        weight (`torch.Tensor` of shape (O, C, 3, 3)):
            The filters.
        padding (`int`, defaults to 0):
            Zeros added on each side. Height and width of the output must be even.

    Returns:
        `torch.Tensor` of shape (B, O, H + 2 padding - 2, W + 2 padding - 2): The output, in channels-last format.
    """
    batch_size, channels, height, width = sample.shape
    out_channels = len(weight)
    # Of the output, in tiles.
    rows, columns = height // 2 + padding - 1, width // 2 + padding - 1
    count, first_images = _pieces(batch_size, _MAX_TILES // (rows * columns))
    strip, first_rows = _pieces(rows, _MAX_TILES // columns)
    filters = _transform_filters(weight)

    shape = batch_size, out_channels, 2 * rows, 2 * columns
    output = torch.empty(shape, dtype=sample.dtype, device=sample.device, memory_format=torch.channels_last)
    padded = sample.new_zeros(count, height + 2 * padding, width + 2 * padding, channels)
    # The channels last, as they lie in memory. The output itself is no view: callers may change it in place.
    images, painted = sample.permute(0, 2, 3, 1), output.permute(0, 2, 3, 1)
    inner = padded[:, padding : padding + height, padding : padding + width]
    lines = sample.new_empty(4, count, strip, 2 * columns + 2, channels)
    tiles = sample.new_empty(4, 4, count, strip, columns, channels)
    products = sample.new_empty(4, 4, count, strip, columns, out_channels)
    out_lines = sample.new_empty(2, 4, count, strip, columns, out_channels)
    for image in first_images:
        inner.copy_(images[image : image + count])
        for row in first_rows:
            _transform_input(padded[:, 2 * row : 2 * (row + strip) + 2], 1, lines)
            _transform_input(lines, 3, tiles.transpose(0, 1))
            torch.bmm(tiles.view(16, -1, channels), filters, out=products.view(16, -1, out_channels))
            _transform_output(products, out_lines)
            part = painted[image : image + count, 2 * row : 2 * (row + strip)]
            for line, target in zip(out_lines, part.unflatten(1, (strip, 2)).unbind(2), strict=True):
                _transform_output(line, target.unflatten(2, (columns, 2)).unbind(3))
    return output


def _pieces(length: int, limit: int) -> tuple[int, list[int]]:
    """Size (at most `limit`, at least 1) and starts of equal pieces that cover `length`; the last two may overlap."""
    number = -(-length // max(1, limit))
    size = -(-length // number)
    return size, [min(i * size, length - size) for i in range(number)]


def _transform_filters(weight: Tensor) -> Tensor:
    """G g G^T of every filter: (O, C, 3, 3) -> (16, C, O)."""
    if weight.stride(0) > weight.stride(1):  # Channels-last format: the order of memory is the one to copy in.
        return _transform_filters(weight.transpose(0, 1)).transpose(1, 2)
    matrix = weight.new_tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
    taps = weight.permute(2, 3, 1, 0)
    return (torch.kron(matrix, matrix) @ taps.reshape(9, -1)).view(16, *taps.shape[2:])


def _transform_input(sample: Tensor, dim: int, out: Tensor) -> None:
    """B^T d along `dim` of `sample`, for windows of four at every second position; `out` is (4, ...)."""
    span = sample.shape[dim] - 3
    a, b, c, d = (sample.narrow(dim, i, span)[(slice(None),) * dim + (slice(None, None, 2),)] for i in range(4))
    torch.sub(a, c, out=out[0])
    torch.add(b, c, out=out[1])
    torch.sub(c, b, out=out[2])
    torch.sub(b, d, out=out[3])


def _transform_output(products: Sequence[Tensor] | Tensor, out: Sequence[Tensor] | Tensor) -> None:
    """A^T m: from four tensors, two."""
    a, b, c, d = products
    torch.add(a, b, out=out[0]).add_(c)
    torch.sub(b, c, out=out[1]).sub_(d)
