# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Parts of the discriminator of Projected GAN (Sauer et al. 2021, arXiv 2111.01007): random projections and heads."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layers.embeddings import sinusoidal_embedding
from ..layers.sliced import SlicedConv2d, project_on
from ..layers.spectral import BatchNorm, SpectralConv2d


# Side of the last convolution of a head, which has no padding.
_LAST_KERNEL = 4


def _leaky_relu(sample: Tensor) -> Tensor:
    return F.leaky_relu(sample, 0.2, inplace=True)


class FeatureMixing(nn.Module):
    """
    Fixed random projections of feature maps: each is mixed across its channels, then with the coarser ones.

    The first are 1x1 convolutions to `channels`, twice as many for each coarser level. Then, from the coarsest level
    on, the sum of a level and of the result for the next coarser one is enlarged and goes through another 1x1
    convolution. The weights are random, stored, and never trained.

    Args:
        in_channels (`tuple[int, ...]`): Channels of the maps, from the finest to the coarsest.
        channels (`int`): Channels of the finest map after its projection.
    """

    def __init__(self, in_channels: Sequence[int], channels: int):
        super().__init__()
        widths = [channels << level for level in range(len(in_channels))]
        self.out_channels = [channels, *widths[:-1]]
        self.across_channels = nn.ModuleList(
            nn.Conv2d(width_in, width, 1) for width_in, width in zip(in_channels, widths, strict=True)
        )
        self.across_scales = nn.ModuleList(
            nn.Conv2d(width, width_out, 1) for width, width_out in zip(widths, self.out_channels, strict=True)
        )
        self.requires_grad_(False)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """
        Mixes maps.

        Args:
            maps (`list[torch.Tensor]`): Of shape (B, C_i, H_i, W_i), from the finest to the coarsest, each usually
                half as large as the one before.

        Returns:
            `list[torch.Tensor]`: maps of the sizes of the next finer level each, the first of twice its own size.
        """
        projected = [layer(each) for layer, each in zip(self.across_channels, maps, strict=True)]
        mixed: list[Tensor] = []
        for level in reversed(range(len(projected))):
            hidden = projected[level] + mixed[-1] if mixed else projected[level]
            height, width = hidden.shape[-2:]
            size = projected[level - 1].shape[-2:] if level else (2 * height, 2 * width)
            hidden = F.interpolate(hidden, size, mode="bilinear", align_corners=True)
            mixed.append(self.across_scales[level](hidden))
        return mixed[::-1]


class HeadBlock(nn.Module):
    """
    Halves height and width: convolution, batch norm, leaky ReLU.

    Args:
        in_channels (`int`): Channels of the input.
        out_channels (`int`): Channels of the output.
        separable (`bool`): A 3x3 convolution of each channel, a 1x1 convolution, and a mean over 2x2 positions at the
            end, rather than a 4x4 convolution of stride 2.
        patch (`bool`): A 1x1 convolution more, with its own batch norm and leaky ReLU.
    """

    def __init__(self, in_channels: int, out_channels: int, separable: bool = False, patch: bool = False):
        super().__init__()
        self.separable = separable
        if separable:
            depthwise = SpectralConv2d(in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False)
            convs = [depthwise, SpectralConv2d(in_channels, out_channels, 1, bias=False)]
        else:
            convs = [SpectralConv2d(in_channels, out_channels, 4, stride=2, padding=1)]
        self.convs = nn.Sequential(*convs)
        self.norm = BatchNorm(out_channels)
        self.patch_conv = SpectralConv2d(out_channels, out_channels, 1, bias=False) if patch else None
        self.patch_norm = BatchNorm(out_channels) if patch else None

    def forward(self, sample: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H / 2, W / 2)."""
        sample = _leaky_relu(self.norm(self.convs(sample)))
        if self.separable:
            sample = F.avg_pool2d(sample, 2)
        if self.patch_conv is not None and self.patch_norm is not None:
            sample = _leaky_relu(self.patch_norm(self.patch_conv(sample)))
        return sample


class ProjectedHead(nn.Module):
    """
    The discriminator of one feature map: blocks that halve it, then a map of logits.

    With classes or timesteps, the last convolution has `condition_dim` outputs instead of one, on which a vector made
    of the condition is projected.

    Args:
        channels (`tuple[int, ...]`): Channels of the input, then of each block.
        separable (`bool`, defaults to `False`): See [`HeadBlock`].
        patch (`bool`, defaults to `False`): See [`HeadBlock`].
        num_class_embeds (`int`, *optional*): Number of classes.
        time_embed_dim (`int`, *optional*): Number of sines and cosines of the timestep; `None` if it is not told.
        class_embed_dim (`int`, defaults to 128): Width of the class embedding.
        condition_dim (`int`, defaults to 64): Width of the vector.
        sliced (`bool`, defaults to `False`):
            Whether the head is a SAN. What has length 1 is then the vector of the condition, or without one the last
            convolution.
    """

    def __init__(
        self,
        channels: Sequence[int],
        separable: bool = False,
        patch: bool = False,
        num_class_embeds: int | None = None,
        time_embed_dim: int | None = None,
        class_embed_dim: int = 128,
        condition_dim: int = 64,
        sliced: bool = False,
    ):
        super().__init__()
        self.blocks = nn.ModuleList(
            HeadBlock(width, next_width, separable, patch)
            for width, next_width in zip(channels, channels[1:], strict=False)
        )
        self.time_embed_dim = time_embed_dim
        self.class_embed = None if num_class_embeds is None else nn.Embedding(num_class_embeds, class_embed_dim)
        width = (time_embed_dim or 0) + (0 if num_class_embeds is None else class_embed_dim)
        self.condition = nn.Linear(width, condition_dim) if width else None
        self.sliced = sliced
        if sliced and not width:
            self.conv_out = SlicedConv2d(channels[-1], 1, _LAST_KERNEL)
        else:
            self.conv_out = SpectralConv2d(channels[-1], condition_dim if width else 1, _LAST_KERNEL, bias=False)

    @property
    def smallest_side(self) -> int:
        """Smallest side of a map that a logit can be made of."""
        return _LAST_KERNEL << len(self.blocks)

    def forward(
        self, features: Tensor, class_labels: Tensor | None = None, timesteps: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """
        Judges a feature map.

        Args:
            features (`torch.Tensor` of shape (B, C, H, W)): The map, with sides of at least `smallest_side`.
            class_labels (`torch.Tensor` of shape (B,), *optional*): Labels, if the head has classes.
            timesteps (`torch.Tensor` of shape (B,), *optional*): t, if the head is told it.

        Returns:
            `tuple[torch.Tensor, torch.Tensor | None]`: logits, (B, 1, h, w), and those of the direction in a SAN.
        """
        for block in self.blocks:
            features = block(features)
        logits = self.conv_out(features)
        if self.condition is None:
            return logits if self.sliced else (logits, None)
        condition = []
        if self.time_embed_dim is not None and timesteps is not None:
            condition.append(sinusoidal_embedding(timesteps, self.time_embed_dim).to(logits.dtype))
        if self.class_embed is not None:
            condition.append(self.class_embed(class_labels).to(logits.dtype))
        vector = _leaky_relu(self.condition(torch.cat(condition, dim=1)))
        if self.sliced:
            return project_on(logits, vector)
        return (logits * vector[:, :, None, None]).sum(1, keepdim=True) / math.sqrt(vector.shape[1]), None
