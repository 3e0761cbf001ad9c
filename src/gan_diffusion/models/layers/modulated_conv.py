# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Convolutions whose input channels are scaled by a style (Karras et al. 2020, section 2.2)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .resampling import add_fir_kernel, resampled_conv


DEMODULATION_EPS = 1e-8


def demodulation(weight: Tensor, style: Tensor, eps: float = DEMODULATION_EPS) -> Tensor:
    """
    Coefficients that bring the filters of each sample, scaled by its style, to unit length.

    d_bo = 1 / sqrt(sum_ck (w_ock s_bc)^2 + eps), computed in float32 or better.

    Args:
        weight (`torch.Tensor` of shape (O, C, k, k)): The filters.
        style (`torch.Tensor` of shape (B, C)): The styles.
        eps (`float`, defaults to 1e-8): Keeps the root from zero.

    Returns:
        `torch.Tensor` of shape (B, O), in the dtype of `style`.
    """
    dtype = torch.promote_types(style.dtype, torch.float32)
    power = weight.square().flatten(2).sum(dim=2, dtype=dtype)  # one dimension is summed faster than two
    return torch.rsqrt(style.to(dtype).square() @ power.t() + eps).to(style.dtype)


class ModulatedConv2d(nn.Conv2d):
    """
    Convolution with a style per sample: (B, in, H, W), (B, in) -> (B, out, H', W').

    The style scales the activations, which is the same as scaling the weight for each sample and far cheaper.

    Args:
        in_channels (`int`): Channels of the input.
        out_channels (`int`): Channels of the output.
        kernel_size (`int`, defaults to 3): 1 or 3.
        fir_taps (`tuple[float, ...]`, *optional*):
            Taps of the filter that doubles the size; `None` for a convolution that keeps it.
        demodulate (`bool`, defaults to `True`):
            Whether to bring the scaled filters to unit length. Without, the learning rate is equalised.
        gain (`float`, defaults to 1.0): Factor of the output.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        fir_taps: Sequence[float] | None = None,
        demodulate: bool = True,
        gain: float = 1.0,
    ):
        super().__init__(in_channels, out_channels, kernel_size, bias=False)
        self.resample = None if fir_taps is None else "up"
        self.kernel: Tensor | None
        add_fir_kernel(self, fir_taps)
        self.demodulate = demodulate
        self.gain = gain
        self.style_gain = 1 / math.sqrt(in_channels * kernel_size**2)

    def reset_parameters(self) -> None:
        """Called by the constructor: a normal distribution of unit variance."""
        nn.init.normal_(self.weight)

    def forward(self, sample: Tensor, style: Tensor, shift: Tensor) -> Tensor:
        """(B, in, H, W), (B, in) -> (B, out, H', W'); `shift`, which broadcasts to the output, is added at the end."""
        # Demodulation takes the gain of the style out again; until then it keeps half precision in range.
        style = style * self.style_gain
        hidden = sample * style[:, :, None, None]
        hidden = resampled_conv(hidden, self.weight, kernel=self.kernel, resample=self.resample)
        if not self.demodulate:
            return torch.add(shift, hidden, alpha=self.gain)
        scale = demodulation(self.weight, style, DEMODULATION_EPS * self.style_gain**2) * self.gain
        scale = scale[:, :, None, None]
        if torch.is_grad_enabled():
            return torch.addcmul(shift, hidden, scale)
        return hidden.mul_(scale).add_(shift)  # fresh memory costs more than a second pass
