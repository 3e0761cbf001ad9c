# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Building blocks of the StyleGAN2 discriminator: levels, trunk, epilogue, and the mapping of its condition."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layers.embeddings import pixel_norm, sinusoidal_embedding
from ..layers.equalized import EqualizedConv2d, EqualizedLinear
from ..layers.minibatch_stddev import minibatch_stddev
from ..layers.pyramid import pyramid_channels
from ..layers.resampling import Downsample


TIMESTEP_EMBEDDINGS = ("sinusoidal", "official", None)


class StyleGAN2DiscriminatorBlock(nn.Module):
    """Two convolutions, the second of which halves height and width: (B, in, H, W) -> (B, out, H / 2, W / 2).

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        residual: Whether there is a residual connection.
        fir_taps: Taps of the downsampling filter.
        clamp: Bound of the absolute activations, or None.
        embed_dim: Width of an embedding; a linear function of it is added to the bias of the first convolution. None for
            a block without.
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
        shift = None if self.embed_proj is None else self.embed_proj(embedding)
        hidden = self.conv1(self.conv0(sample, shift))
        return hidden if self.skip is None else self.skip(sample).add_(hidden)


class StyleGAN2Trunk(nn.Module):
    """Levels that bring images down to features of 4x4: (B, in_channels, size, size) -> (B, out_channels, 4, 4).

    Args:
        sample_size: Height and width of the images, a power of two from 4 up.
        in_channels: Image channels.
        channel_base: Width of each level times its resolution.
        channel_max: Largest width.
        architecture: "resnet" (levels have residual connections), "skip" (the image enters at every level) or "orig"
            (neither).
        fir_kernel: Taps of the downsampling filter.
        activation_clamp: Bound of the absolute activations, or None.
        embed_dim: Width of an embedding that every level sees, or None.

    Attributes:
        out_channels: Channels of the features.

    Raises:
        ValueError: From the constructor, if an option is out of range.
    """

    def __init__(
        self,
        sample_size: int,
        in_channels: int = 3,
        channel_base: int = 32768,
        channel_max: int = 512,
        architecture: str = "resnet",
        fir_kernel: Sequence[float] = (1, 3, 3, 1),
        activation_clamp: float | None = 256.0,
        embed_dim: int | None = None,
    ):
        super().__init__()
        channels = pyramid_channels(sample_size, channel_base, channel_max, architecture)
        widths = list(channels.values())[::-1]
        taps = tuple(fir_kernel)
        self.sample_shape = (in_channels, sample_size, sample_size)
        self.out_channels = widths[-1]
        self.downsample = Downsample(taps) if architecture == "skip" else None
        # One for each level that the image enters.
        self.from_rgb = nn.ModuleList(
            EqualizedConv2d(in_channels, width, 1, activation=True, clamp=activation_clamp)
            for width in (widths if architecture == "skip" else widths[:1])
        )
        self.blocks = nn.ModuleList(
            StyleGAN2DiscriminatorBlock(*pair, architecture == "resnet", taps, activation_clamp, embed_dim)
            for pair in zip(widths[:-1], widths[1:], strict=True)
        )

    def forward(self, sample: Tensor, embedding: Tensor | None = None) -> Tensor:
        """Images and, where the levels see one, an embedding (B, embed_dim) -> features.

        Raises:
            ValueError: If `sample` is not of the shape (B, in_channels, sample_size, sample_size).
        """
        if sample.ndim != 4 or sample.shape[1:] != self.sample_shape:
            expected = ", ".join(map(str, self.sample_shape))
            raise ValueError(f"sample: expected shape (batch, {expected}), got {tuple(sample.shape)}.")
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
    """Minibatch standard deviation, a convolution and two linear layers: (B, channels, 4, 4) -> (B, out_features).

    Args:
        channels: Channels of the input and width of the layers.
        out_features: Width of the output.
        stddev_group_size: Number of samples compared by the minibatch standard deviation; smaller batches are one group.
        num_stddev_channels: Channels of the minibatch standard deviation, a divisor of `channels`; 0 for none.
        clamp: Bound of the absolute activations, or None.

    Raises:
        ValueError: From the constructor, if an option is out of range.
    """

    def __init__(
        self,
        channels: int,
        out_features: int,
        stddev_group_size: int = 4,
        num_stddev_channels: int = 1,
        clamp: float | None = 256.0,
    ):
        super().__init__()
        if stddev_group_size < 1:
            raise ValueError(f"stddev_group_size: expected at least 1, got {stddev_group_size}.")
        if num_stddev_channels < 0 or (num_stddev_channels and channels % num_stddev_channels):
            raise ValueError(
                f"num_stddev_channels: expected 0 or a divisor of {channels} channels, got {num_stddev_channels}."
            )
        self.stddev_group_size = stddev_group_size
        self.num_stddev_channels = num_stddev_channels
        self.conv = EqualizedConv2d(channels + num_stddev_channels, channels, 3, activation=True, clamp=clamp)
        self.linear = EqualizedLinear(channels * 16, channels, activation=True)
        self.linear_out = EqualizedLinear(channels, out_features)

    def forward(self, hidden: Tensor) -> Tensor:
        """Raises a ValueError if the batch does not divide by the group size."""
        if self.num_stddev_channels:
            batch_size = hidden.shape[0]
            group = min(self.stddev_group_size, batch_size)
            if batch_size % group:
                raise ValueError(
                    f"sample: expected a batch that divides by stddev_group_size={group}, got {batch_size}."
                )
            hidden = minibatch_stddev(hidden, group, self.num_stddev_channels)
        return self.linear_out(self.linear(self.conv(hidden).flatten(1)))


class ConditionMapping(nn.Module):
    """Maps timesteps and class labels to the vectors that features are projected on, (B, dim).

    "official" puts the bare number t beside the one-hot label and brings one linear function of both to unit root mean
    square: as the bias starts at zero, all t > 0 are one there, t = 0 gives zero, and a label next to a large t is lost.
    "sinusoidal" embeds t by sines and cosines, and brings time and label to unit root mean square each for itself.

    Args:
        dim: Width of the layers.
        timestep_embedding: "sinusoidal", "official" or None for labels alone.
        timestep_embed_dim: Number of sines and cosines.
        num_class_embeds: Number of classes; None without.
        num_layers: Number of layers after the embedding.
        lr_multiplier: Factor of their learning rate.

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
            raise ValueError(f"timestep_embedding: expected one of {TIMESTEP_EMBEDDINGS}, got {timestep_embedding!r}.")
        if timestep_embed_dim < 4:
            raise ValueError(f"timestep_embed_dim: expected at least 4, got {timestep_embed_dim}.")
        if num_layers < 0:
            raise ValueError(f"num_mapping_layers: expected at least 0, got {num_layers}.")
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
        features = []
        if self.timestep_embedding == "sinusoidal":
            features.append(sinusoidal_embedding(timesteps, self.timestep_embed_dim).to(dtype))
        if self.num_class_embeds is not None:
            features.append(F.one_hot(class_labels.long(), self.num_class_embeds).to(dtype))
        if self.timestep_embedding == "official":
            features = [torch.cat([*features, timesteps.to(dtype)[:, None]], dim=1)]
        normed = [pixel_norm(embed(feature)) for embed, feature in zip(self.embeds, features, strict=True)]
        hidden = sum(normed) / math.sqrt(len(normed))
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden
