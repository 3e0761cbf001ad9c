# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Building blocks of the StyleGAN2 discriminator: levels, trunk, epilogue, and the mapping of its condition."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layers.embeddings import pixel_norm, sinusoidal_embedding
from ..layers.equalized import EqualizedConv2d, EqualizedLinear
from ..layers.minibatch_stddev import minibatch_stddev
from ..layers.pyramid import pyramid_channels, size_pair
from ..layers.resampling import Downsample
from ..layers.sliced import SlicedLinear


TIMESTEP_EMBEDDINGS = ("sinusoidal", "official", None)


class StyleGAN2DiscriminatorBlock(nn.Module):
    """
    Two convolutions, the second of which halves height and width: (B, in, H, W) -> (B, out, H / 2, W / 2).

    Args:
        in_channels (`int`): Channels of the input.
        out_channels (`int`): Channels of the output.
        residual (`bool`, defaults to `True`): Whether there is a residual connection.
        fir_taps (`tuple[float, ...]`, defaults to `(1, 3, 3, 1)`): Taps of the downsampling filter.
        clamp (`float`, *optional*): Bound of the absolute activations.
        embed_dim (`int`, *optional*):
            Width of an embedding; a linear function of it is added to the bias of the first convolution. `None` for a
            block without.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        residual: bool = True,
        fir_taps: Sequence[float] = (1, 3, 3, 1),
        clamp: float | None = None,
        embed_dim: int | None = None,
    ):
        super().__init__()
        gain = math.sqrt(0.5) if residual else 1.0
        down = {"resample": "down", "fir_taps": fir_taps, "gain": gain}
        self.conv0 = EqualizedConv2d(in_channels, in_channels, 3, activation=True, clamp=clamp)
        self.embed_proj = None if embed_dim is None else EqualizedLinear(embed_dim, in_channels)
        self.conv1 = EqualizedConv2d(in_channels, out_channels, 3, activation=True, clamp=clamp, **down)
        self.skip = EqualizedConv2d(in_channels, out_channels, 1, bias=False, **down) if residual else None

    def forward(self, sample: Tensor, embedding: Tensor | None = None) -> Tensor:
        """(B, in, H, W), for a block that sees an embedding (B, embed_dim) -> (B, out, H / 2, W / 2)."""
        shift = None if self.embed_proj is None else self.embed_proj(embedding)
        hidden = self.conv1(self.conv0(sample, shift))
        return hidden if self.skip is None else self.skip(sample).add_(hidden)


class StyleGAN2Trunk(nn.Module):
    """
    Levels that bring images down to small features: (B, in_channels, height, width) -> (B, out_channels, *out_size).

    Args:
        sample_size (`int` or `tuple[int, int]`):
            Size of the images, one number or (height, width): a size with a shorter side of 4 to 7, doubled any number
            of times.
        in_channels (`int`, defaults to 3): Image channels.
        channel_base (`int`, defaults to 32768): Width of each level times its resolution.
        channel_max (`int`, defaults to 512): Largest width.
        architecture (`str`, defaults to `"resnet"`):
            "resnet" (levels have residual connections), "skip" (the image enters at every level) or "orig" (neither).
        fir_taps (`tuple[float, ...]`, defaults to `(1, 3, 3, 1)`): Taps of the downsampling filter.
        activation_clamp (`float`, *optional*, defaults to 256.0): Bound of the absolute activations.
        embed_dim (`int`, *optional*): Width of an embedding that every level sees.
        patch_size (`int`, defaults to 1):
            Side of the square patches whose pixels become channels at the input, as in [`NCSNppGenerator`]. The levels
            are those of the grid of patches.

    Attributes:
        out_channels: Channels of the features.
        out_size: Height and width of the features, 4x4 for a square power of two.

    Raises:
        ValueError: From the constructor, if an option is out of range.
    """

    def __init__(
        self,
        sample_size: int | Sequence[int],
        in_channels: int = 3,
        channel_base: int = 32768,
        channel_max: int = 512,
        architecture: str = "resnet",
        fir_taps: Sequence[float] = (1, 3, 3, 1),
        activation_clamp: float | None = 256.0,
        embed_dim: int | None = None,
        patch_size: int = 1,
    ):
        super().__init__()
        channels = pyramid_channels(sample_size, channel_base, channel_max, architecture, patch_size)
        widths = list(channels.values())[::-1]
        self.sample_shape = (in_channels, *size_pair(sample_size))
        self.patch_size = patch_size
        self.out_size, self.out_channels = next(iter(channels.items()))
        self.downsample = Downsample(fir_taps) if architecture == "skip" else None
        # One for each level that the image enters.
        self.from_rgb = nn.ModuleList(
            EqualizedConv2d(in_channels * patch_size**2, width, 1, activation=True, clamp=activation_clamp)
            for width in (widths if architecture == "skip" else widths[:1])
        )
        self.blocks = nn.ModuleList(
            StyleGAN2DiscriminatorBlock(*pair, architecture == "resnet", tuple(fir_taps), activation_clamp, embed_dim)
            for pair in zip(widths[:-1], widths[1:], strict=True)
        )

    def forward(self, sample: Tensor, embedding: Tensor | None = None) -> Tensor:
        """
        Makes features.

        Args:
            sample (`torch.Tensor` of shape (B, in_channels, height, width)): Images.
            embedding (`torch.Tensor` of shape (B, embed_dim), *optional*): Embedding, for levels that see one.

        Returns:
            `torch.Tensor` of shape (B, out_channels, *out_size).

        Raises:
            ValueError: If the shape of `sample` is not as described.
        """
        if sample.ndim != 4 or sample.shape[1:] != self.sample_shape:
            expected = ", ".join(map(str, self.sample_shape))
            raise ValueError(f"`sample` must have shape (batch, {expected}), got {tuple(sample.shape)}.")
        sample = F.pixel_unshuffle(sample, self.patch_size)
        if sample.device.type == "cpu":
            sample = sample.contiguous(memory_format=torch.channels_last)
        hidden = self.from_rgb[0](sample)
        for i, block in enumerate(self.blocks, start=1):
            hidden = block(hidden, embedding)
            if self.downsample is not None:
                sample = self.downsample(sample)
                hidden = hidden + self.from_rgb[i](sample)
        return hidden


class StyleGAN2Epilogue(nn.Module):
    """
    Minibatch standard deviation, a convolution and two linear layers: (B, channels, *size) -> (B, out_features).

    Args:
        channels (`int`): Channels of the input and width of the layers.
        size (`tuple[int, int]`): Height and width of the input.
        out_features (`int`): Width of the output.
        stddev_group_size (`int`, defaults to 4):
            Largest number of samples compared by the minibatch standard deviation. Batches that it does not divide use
            smaller groups.
        num_stddev_channels (`int`, defaults to 1):
            Channels of the minibatch standard deviation, a divisor of `channels`; 0 for none.
        clamp (`float`, *optional*, defaults to 256.0): Bound of the absolute activations.
        sliced (`bool`, defaults to `False`): Whether the last layer is that of a SAN, with two outputs (B, 1).

    Raises:
        ValueError: From the constructor, if an option is out of range.
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        out_features: int,
        stddev_group_size: int = 4,
        num_stddev_channels: int = 1,
        clamp: float | None = 256.0,
        sliced: bool = False,
    ):
        super().__init__()
        if stddev_group_size < 1:
            raise ValueError(f"`stddev_group_size` must be at least 1, got {stddev_group_size}.")
        if num_stddev_channels < 0 or (num_stddev_channels and channels % num_stddev_channels):
            raise ValueError(
                f"`num_stddev_channels` must be 0 or a divisor of {channels} channels, got {num_stddev_channels}."
            )
        self.stddev_group_size = stddev_group_size
        self.num_stddev_channels = num_stddev_channels
        self.conv = EqualizedConv2d(channels + num_stddev_channels, channels, 3, activation=True, clamp=clamp)
        self.linear = EqualizedLinear(channels * math.prod(size), channels, activation=True)
        if sliced:
            self.linear_out = SlicedLinear(channels)
            nn.init.normal_(self.linear_out.weight)  # turns at the learning rate, as the equalised layers do
        else:
            self.linear_out = EqualizedLinear(channels, out_features)

    def forward(self, hidden: Tensor) -> Any:
        """(B, channels, *size) -> (B, out_features), or those of a SAN."""
        if self.num_stddev_channels:
            hidden = minibatch_stddev(hidden, self.stddev_group_size, self.num_stddev_channels)
        return self.linear_out(self.linear(self.conv(hidden).flatten(1)))


class ConditionMapping(nn.Module):
    """
    Maps timesteps and class labels to the vectors that features are projected on, (B, dim).

    "official" puts the bare number t beside the one-hot label and brings one linear function of both to unit root mean
    square: as the bias starts at zero, all t > 0 are one there, t = 0 gives zero, and a label next to a large t is
    lost. "sinusoidal" embeds t by sines and cosines, and brings time and label to unit root mean square each for
    itself.

    Args:
        dim (`int`): Width of the layers.
        timestep_embedding (`str`, *optional*, defaults to `"sinusoidal"`):
            "sinusoidal", "official" or `None` for labels alone.
        timestep_embed_dim (`int`, defaults to 256): Number of sines and cosines.
        num_class_embeds (`int`, *optional*): Number of classes.
        num_layers (`int`, defaults to 8): Number of layers after the embedding.
        lr_multiplier (`float`, defaults to 0.01): Factor of their learning rate.

    Raises:
        ValueError: From the constructor, if an option is out of range.
    """

    def __init__(
        self,
        dim: int,
        timestep_embedding: str | None = "sinusoidal",
        timestep_embed_dim: int = 256,
        num_class_embeds: int | None = None,
        num_layers: int = 8,
        lr_multiplier: float = 0.01,
    ):
        super().__init__()
        if timestep_embedding not in TIMESTEP_EMBEDDINGS:
            raise ValueError(f"`timestep_embedding` must be one of {TIMESTEP_EMBEDDINGS}, got {timestep_embedding!r}.")
        if timestep_embed_dim < 4:
            raise ValueError(f"`timestep_embed_dim` must be at least 4, got {timestep_embed_dim}.")
        if num_layers < 0:
            raise ValueError(f"`num_mapping_layers` must be at least 0, got {num_layers}.")
        self.timestep_embedding = timestep_embedding
        self.timestep_embed_dim = timestep_embed_dim
        self.num_class_embeds = num_class_embeds
        num_classes = num_class_embeds or 0
        widths = {
            "official": [num_classes + 1],
            "sinusoidal": [timestep_embed_dim] + [num_classes] * bool(num_classes),
            None: [num_classes],
        }
        self.embeds = nn.ModuleList(EqualizedLinear(width, dim) for width in widths[timestep_embedding])
        self.layers = nn.ModuleList(
            EqualizedLinear(dim, dim, lr_multiplier=lr_multiplier, activation=True) for _ in range(num_layers)
        )

    def forward(self, timesteps: Tensor | None, class_labels: Tensor | None, dtype: torch.dtype) -> Tensor:
        """Timesteps (B,) and labels (B,), each where the network is told them -> (B, dim)."""
        features = []
        if timesteps is not None and self.timestep_embedding == "sinusoidal":
            features.append(sinusoidal_embedding(timesteps, self.timestep_embed_dim).to(dtype))
        if class_labels is not None and self.num_class_embeds is not None:
            features.append(F.one_hot(class_labels.long(), self.num_class_embeds).to(dtype))
        if timesteps is not None and self.timestep_embedding == "official":
            features = [torch.cat([*features, timesteps.to(dtype)[:, None]], dim=1)]
        normed = [pixel_norm(embed(feature)) for embed, feature in zip(self.embeds, features, strict=True)]
        hidden = sum(normed[1:], start=normed[0]) / math.sqrt(len(normed))
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden
