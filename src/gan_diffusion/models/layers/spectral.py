# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
Spectral and batch normalisation as the projected GANs use them.

Spectral normalisation divides a weight by an estimate of its largest singular value (Miyato et al. 2018, arXiv
1802.05957, algorithm 1). PyTorch has it twice: as a hook, whose weights neither offloading nor layerwise casting
finds, and as a parametrization, which updates the two vectors in the other order and so gives other numbers. The
layers here do it where they use their weight.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...kernels.convolution import conv2d
from .precision import at_least_float32


_EPS = 1e-12
# Before the training, as in PyTorch's parametrization: from random vectors a fresh network would give huge numbers.
_FIRST_ITERATIONS = 15
_BATCH_NORM_EPS, _BATCH_NORM_MOMENTUM = 1e-5, 0.1


class SpectralNorm(nn.Module):
    """
    Adds to a layer the vectors u and v, of which u^T W v estimates the largest singular value of its weight.

    Each call in training mode improves them by one power iteration, also without gradients. In evaluation mode they
    stay as they are.
    """

    weight: Tensor
    weight_u: Tensor
    weight_v: Tensor
    _output_axis = 0

    def _add_vectors(self) -> None:
        rows = self.weight.shape[self._output_axis]
        self.register_buffer("weight_u", F.normalize(torch.randn(rows), dim=0))
        self.register_buffer("weight_v", F.normalize(torch.randn(self.weight.numel() // rows), dim=0))
        if not self.weight.is_meta:
            for _ in range(_FIRST_ITERATIONS):
                self._iterate(*self._matrix(self.weight.detach()))

    def _matrix(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """
        The weight with a row per output, and v as a view of what is stored, of the shape that a row has.

        Columns are in the order in which the weight lies in memory, which differs from that of v in channels-last
        format: so no weight is copied.
        """
        rows = weight.transpose(0, self._output_axis)
        order = sorted(range(1, rows.ndim), key=lambda axis: rows.stride(axis), reverse=True)
        v = self.weight_v.view(rows.shape[1:]).permute([axis - 1 for axis in order])
        return rows.permute(0, *order).flatten(1), v

    def normalized_weight(self) -> Tensor:
        """The weight over the estimate of its largest singular value."""
        with torch.autocast(self.weight.device.type, enabled=False):
            weight = at_least_float32(self.weight)
            matrix, v = self._matrix(weight)
            if self.training:
                self._iterate(matrix.detach(), v)
            # Copies: the next call may change the vectors before the backward pass of this one.
            u, v = (vector.to(weight.dtype, copy=True).flatten() for vector in (self.weight_u, v))
            # A product: the gradients of a quotient pass over the weight twice as often.
            return (weight * torch.dot(u, torch.mv(matrix, v)).reciprocal()).to(self.weight.dtype)

    @torch.no_grad()
    def _iterate(self, matrix: Tensor, v: Tensor) -> None:
        vector = F.normalize(torch.mv(matrix.t(), self.weight_u.to(matrix.dtype)), dim=0, eps=_EPS)
        v.copy_(vector.view(v.shape))
        self.weight_u.copy_(F.normalize(torch.mv(matrix, vector), dim=0, eps=_EPS))


class SpectralConv2d(nn.Conv2d, SpectralNorm):
    """Convolution with spectral normalisation; the arguments of `torch.nn.Conv2d`."""

    padding: tuple[int, ...]  # numbers, not one of PyTorch's words such as "same"

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._add_vectors()

    def forward(self, sample: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H', W')."""
        weight = self.normalized_weight()
        if self.groups > 1:
            return self._conv_forward(sample, weight, self.bias)
        return conv2d(sample, weight, self.bias, self.stride[0], self.padding[0])


class SpectralConvTranspose2d(nn.ConvTranspose2d, SpectralNorm):
    """Transposed convolution with spectral normalisation; the arguments of `torch.nn.ConvTranspose2d`."""

    padding: tuple[int, ...]  # numbers, not one of PyTorch's words such as "same"
    _output_axis = 1

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._add_vectors()

    def forward(self, sample: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H', W')."""
        stride, padding = self.stride[0], self.padding[0]
        return F.conv_transpose2d(sample, self.normalized_weight(), self.bias, stride, padding)


class SpectralLinear(nn.Linear, SpectralNorm):
    """Linear layer with spectral normalisation; the arguments of `torch.nn.Linear`."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._add_vectors()

    def forward(self, features: Tensor) -> Tensor:
        """(B, in) -> (B, out)."""
        return F.linear(features, self.normalized_weight(), self.bias)


class _BatchStatistics(nn.Module):
    """The mean and variance of each channel: those of the batch in training mode, running ones in evaluation mode."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def _normalize(self, sample: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        mean, var = self.running_mean, self.running_var
        return F.batch_norm(sample, mean, var, weight, bias, self.training, _BATCH_NORM_MOMENTUM, _BATCH_NORM_EPS)


class BatchNorm(_BatchStatistics):
    """
    Batch norm with an affine map: (B, C, H, W) -> (B, C, H, W).

    It equals `torch.nn.BatchNorm2d` without the count of batches, which the fixed momentum has no use for and which
    is no floating-point number, as all our weights are.

    Args:
        channels (`int`): Number of channels C.
    """

    def __init__(self, channels: int):
        super().__init__(channels)
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, sample: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return self._normalize(sample, self.weight, self.bias)


class ConditionalBatchNorm(_BatchStatistics):
    """
    Batch norm whose scale and shift are linear in a vector: (1 + gain(e)) norm(x) + bias(e).

    Args:
        channels (`int`): Number of channels C.
        embed_dim (`int`): Width of the vector.
    """

    def __init__(self, channels: int, embed_dim: int):
        super().__init__(channels)
        self.gain = SpectralLinear(embed_dim, channels)
        self.bias = SpectralLinear(embed_dim, channels)

    def forward(self, sample: Tensor, embedding: Tensor) -> Tensor:
        """(B, C, H, W), (B, embed_dim) -> (B, C, H, W)."""
        gain, bias = (layer(embedding)[:, :, None, None] for layer in (self.gain, self.bias))
        return (1 + gain) * self._normalize(sample) + bias
