# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Building blocks of the NCSN++ generator: residual blocks, image pyramids, and the levels of the U-Net."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..layers.attention import AttentionBlock
from ..layers.initialization import conv, linear
from ..layers.normalization import AdaptiveGroupNorm, GroupNorm, silu
from ..layers.resampling import ConvDownsample, Downsample, Upsample


class ResidualBlock(nn.Module):
    """
    Two convolutions under adaptive group norm, with a residual connection.

    Args:
        in_channels (`int`): Channels of the input.
        out_channels (`int`): Channels of the output.
        style_dim (`int`): Width of the style embedding.
        time_dim (`int`, *optional*): Width of the time embedding; `None` for a block without one.
        resample (`str`, *optional*):
            "up" or "down"; the resampling sits between the first activation and the first convolution.
        second_norm_adaptive (`bool`, defaults to `True`):
            Whether the second norm takes its scale and shift from the style too.
        shortcut_scale (`float`, defaults to 1.0):
            Initialisation scale of the 1x1 convolution that adapts the input where shapes differ.
        fir_taps (`tuple[float, ...]`, *optional*): Taps of the resampling filter; `None` for naive resampling.
        skip_rescale (`bool`, defaults to `True`): Whether to divide the sum of both branches by sqrt(2).
        dropout (`float`, defaults to 0.0): Dropout probability before the second convolution.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        style_dim: int,
        time_dim: int | None = None,
        resample: str | None = None,
        second_norm_adaptive: bool = True,
        shortcut_scale: float = 1.0,
        fir_taps: Sequence[float] | None = None,
        skip_rescale: bool = True,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.norm1 = AdaptiveGroupNorm(in_channels, style_dim)
        self.resample = None if resample is None else {"up": Upsample, "down": Downsample}[resample](fir_taps)
        self.conv1 = conv(in_channels, out_channels, 3)
        self.time_proj = None if time_dim is None else linear(time_dim, out_channels)
        self.norm2 = AdaptiveGroupNorm(out_channels, style_dim) if second_norm_adaptive else GroupNorm(out_channels)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = conv(out_channels, out_channels, 3, scale=0.0)
        self.shortcut = None
        if in_channels != out_channels or resample is not None:
            self.shortcut = conv(in_channels, out_channels, 1, scale=shortcut_scale)
        self.output_scale = math.sqrt(0.5) if skip_rescale else 1.0

    def forward(self, sample: Tensor, time: Tensor | None, style: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H', W'); `time` is the time embedding after its activation."""
        hidden = silu(self.norm1(sample, style))
        if self.resample is not None:
            hidden, sample = self.resample(hidden), self.resample(sample)
        hidden = self.conv1(hidden)
        if self.time_proj is not None:
            hidden = hidden.add_(self.time_proj(time)[:, :, None, None])
        hidden = self.norm2(hidden, style) if isinstance(self.norm2, AdaptiveGroupNorm) else self.norm2(hidden)
        hidden = self.conv2(self.dropout(silu(hidden)))
        if self.shortcut is not None:
            sample = self.shortcut(sample)
        return hidden.add_(sample).mul_(self.output_scale)


class InputSkip(nn.Module):
    """
    Joins the features with the downsampled input image after a 1x1 convolution.

    The image is added to the features ("sum"), or its channels come before theirs ("cat").

    Args:
        image_channels (`int`): Image channels.
        channels (`int`): Channels of the features.
        combine (`str`): "sum" or "cat".
        fir_taps (`tuple[float, ...]`, *optional*): Taps of the resampling filter; `None` for naive resampling.
    """

    def __init__(self, image_channels: int, channels: int, combine: str, fir_taps: Sequence[float] | None = None):
        super().__init__()
        self.downsample = Downsample(fir_taps)
        self.conv = conv(image_channels, channels, 1)
        self.concatenate = combine == "cat"

    def forward(self, hidden: Tensor, pyramid: Tensor) -> tuple[Tensor, Tensor]:
        """Features and pyramid -> both of this level."""
        pyramid = self.downsample(pyramid)
        image = self.conv(pyramid)
        return torch.cat([image, hidden], dim=1) if self.concatenate else image + hidden, pyramid


class InputResidual(nn.Module):
    """
    Downsamples the pyramid with a learned filter and adds it to the features; the sum is the next pyramid.

    Args:
        in_channels (`int`): Channels of the pyramid.
        channels (`int`): Channels of the features.
        fir_taps (`tuple[float, ...]`, *optional*): Taps of the resampling filter; `None` for naive resampling.
        skip_rescale (`bool`, defaults to `True`): Whether to divide the sum by sqrt(2).
    """

    def __init__(
        self, in_channels: int, channels: int, fir_taps: Sequence[float] | None = None, skip_rescale: bool = True
    ):
        super().__init__()
        self.downsample = ConvDownsample(in_channels, channels, fir_taps)
        self.output_scale = math.sqrt(0.5) if skip_rescale else 1.0

    def forward(self, hidden: Tensor, pyramid: Tensor) -> tuple[Tensor, Tensor]:
        """Features and pyramid -> both of this level."""
        hidden = torch.add(self.downsample(pyramid), hidden).mul_(self.output_scale)
        return hidden, hidden


class OutputSkip(nn.Module):
    """
    Turns features into an image and adds it to the upsampled image of the level below (`None` at the lowest).

    Args:
        channels (`int`): Channels of the features.
        image_channels (`int`): Image channels.
        fir_taps (`tuple[float, ...]`, *optional*): Taps of the resampling filter; `None` for naive resampling.
    """

    def __init__(self, channels: int, image_channels: int, fir_taps: Sequence[float] | None = None):
        super().__init__()
        self.upsample = Upsample(fir_taps)
        self.norm = GroupNorm(channels)
        self.conv = conv(channels, image_channels, 3, scale=0.0)

    def forward(self, hidden: Tensor, pyramid: Tensor | None) -> tuple[Tensor, Tensor]:
        """Features and pyramid -> both of this level."""
        image = self.conv(silu(self.norm(hidden)))
        return hidden, image if pyramid is None else self.upsample(pyramid) + image


class _Level(nn.Module):
    """What the levels of the U-Net share: calling their parts, under gradient checkpointing if asked."""

    _gradient_checkpointing_func: Callable[..., Any]

    def __init__(self):
        super().__init__()
        self.gradient_checkpointing = False

    def _call(self, module: nn.Module, hidden: Tensor, time: Tensor | None, style: Tensor) -> Tensor:
        args = (hidden, time, style) if isinstance(module, ResidualBlock) else (hidden,)
        if torch.is_grad_enabled() and self.gradient_checkpointing:
            return self._gradient_checkpointing_func(module, *args)
        return module(*args)


class DownBlock(_Level):
    """
    One level on the way down: residual blocks, each followed by attention if asked, then downsampling.

    Args:
        resnets (`list[nn.Module]`): Residual blocks.
        attentions (`list[nn.Module]`): As many attention blocks, or none.
        downsampler (`nn.Module` or `None`): Residual block or plain resampling; `None` at the lowest level.
        pyramid (`nn.Module` or `None`):
            `InputSkip` or `InputResidual`; `None` without a progressive input and at the lowest level.
    """

    def __init__(
        self,
        resnets: Sequence[nn.Module],
        attentions: Sequence[nn.Module],
        downsampler: nn.Module | None,
        pyramid: nn.Module | None,
    ):
        super().__init__()
        self.resnets = nn.ModuleList(resnets)
        self.attentions = nn.ModuleList(attentions)
        self.downsampler = downsampler
        self.pyramid = pyramid

    def forward(
        self, hidden: Tensor, pyramid: Tensor, time: Tensor | None, style: Tensor
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Returns the features, the pyramid, and the features to hand across to the way up."""
        skips = []
        for i, resnet in enumerate(self.resnets):
            hidden = self._call(resnet, hidden, time, style)
            if self.attentions:
                hidden = self._call(self.attentions[i], hidden, time, style)
            skips.append(hidden)
        if self.downsampler is not None:
            hidden = self._call(self.downsampler, hidden, time, style)
            if self.pyramid is not None:
                hidden, pyramid = self.pyramid(hidden, pyramid)
            skips.append(hidden)
        return hidden, pyramid, tuple(skips)


class MidBlock(_Level):
    """
    The lowest resolution: residual block, attention, residual block.

    Args:
        resnets (`list[nn.Module]`): The two residual blocks.
        attention (`AttentionBlock`): The attention block.
    """

    def __init__(self, resnets: Sequence[nn.Module], attention: AttentionBlock):
        super().__init__()
        self.resnets = nn.ModuleList(resnets)
        self.attention = attention

    def forward(self, hidden: Tensor, time: Tensor | None, style: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        hidden = self._call(self.resnets[0], hidden, time, style)
        hidden = self._call(self.attention, hidden, time, style)
        return self._call(self.resnets[1], hidden, time, style)


class UpBlock(_Level):
    """
    One level on the way up: residual blocks on features and skip connections, attention if asked, then upsampling.

    Args:
        resnets (`list[nn.Module]`): Residual blocks, each of which takes one skip connection.
        attention (`nn.Module` or `None`): Attention block after them.
        pyramid (`nn.Module` or `None`): `OutputSkip`; `None` without a progressive output.
        upsampler (`nn.Module` or `None`): Residual block or plain resampling; `None` at the highest level.
    """

    def __init__(
        self,
        resnets: Sequence[nn.Module],
        attention: nn.Module | None,
        pyramid: nn.Module | None,
        upsampler: nn.Module | None,
    ):
        super().__init__()
        self.resnets = nn.ModuleList(resnets)
        self.attention = attention
        self.pyramid = pyramid
        self.upsampler = upsampler

    def forward(
        self, hidden: Tensor, skips: Sequence[Tensor], pyramid: Tensor | None, time: Tensor | None, style: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Takes one of `skips` for each residual block, the last first; returns the features and the pyramid."""
        for resnet, skip in zip(self.resnets, reversed(skips), strict=True):
            hidden = self._call(resnet, torch.cat([hidden, skip], dim=1), time, style)
        if self.attention is not None:
            hidden = self._call(self.attention, hidden, time, style)
        if self.pyramid is not None:
            hidden, pyramid = self.pyramid(hidden, pyramid)
        if self.upsampler is not None:
            hidden = self._call(self.upsampler, hidden, time, style)
        return hidden, pyramid
