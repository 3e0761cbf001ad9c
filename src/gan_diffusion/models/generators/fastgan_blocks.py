# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Parts of the FastGAN generator (Liu et al. 2021, arXiv 2101.04775) as Projected GAN uses it."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from diffusers.utils.torch_utils import randn_tensor
from torch import Generator, Tensor, nn

from ..layers.precision import to_compute_dtype
from ..layers.spectral import BatchNorm, ConditionalBatchNorm, SpectralConv2d, SpectralConvTranspose2d


NOISE_MODES = ("random", "none")


def gated_linear(sample: Tensor) -> Tensor:
    """(B, 2C, H, W) -> (B, C, H, W), as `torch.nn.functional.glu`, whose gradient leaves channels-last format."""
    hidden, gate = sample.chunk(2, dim=1)
    return hidden * gate.sigmoid()


class NoiseInjection(nn.Module):
    """Adds one normal number per position, times a learned strength that starts at zero."""

    def __init__(self):
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(1))

    def forward(
        self, sample: Tensor, noise_mode: str = "random", generator: Generator | Sequence[Generator] | None = None
    ) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W); see [`FastGANGenerator.forward`] for the mode and the source of the noise."""
        if noise_mode == "none":
            return sample
        shape = (sample.shape[0], 1, *sample.shape[2:])
        generators = list(generator) if isinstance(generator, Sequence) else generator
        return sample + self.strength.to(sample.dtype) * randn_tensor(shape, generators, sample.device, sample.dtype)


class FastGANStart(nn.Module):
    """
    From latents to a map of 4x4 positions: transposed convolution, batch norm, gated linear unit.

    Args:
        latent_dim (`int`): Width of z.
        channels (`int`): Channels of the map.
    """

    def __init__(self, latent_dim: int, channels: int):
        super().__init__()
        self.conv = SpectralConvTranspose2d(latent_dim, 2 * channels, 4, bias=False)
        self.norm = BatchNorm(2 * channels)

    def forward(self, latent: Tensor) -> Tensor:
        """(B, latent_dim) -> (B, channels, 4, 4)."""
        return gated_linear(self.norm(self.conv(latent[:, :, None, None])))


class FastGANBlock(nn.Module):
    """
    Doubles height and width: nearest neighbour, then 3x3 convolutions, each with batch norm and gated linear unit.

    Args:
        in_channels (`int`): Channels of the input.
        out_channels (`int`): Channels of the output.
        lite (`bool`): One convolution, without noise, rather than two with noise before their batch norms.
        embed_dim (`int`, *optional*): Width of the class embedding that scales and shifts after the batch norms.
    """

    def __init__(self, in_channels: int, out_channels: int, lite: bool, embed_dim: int | None = None):
        super().__init__()
        inputs = [in_channels] if lite else [in_channels, out_channels]
        self.convs = nn.ModuleList(
            SpectralConv2d(width, 2 * out_channels, 3, padding=1, bias=False) for width in inputs
        )
        self.norms = nn.ModuleList(
            BatchNorm(2 * out_channels) if embed_dim is None else ConditionalBatchNorm(2 * out_channels, embed_dim)
            for _ in inputs
        )
        # With classes, the reference has one strength for both convolutions.
        num_noises = 0 if lite else len(inputs) if embed_dim is None else 1
        self.noises = nn.ModuleList(NoiseInjection() for _ in range(num_noises))

    def forward(
        self,
        sample: Tensor,
        embedding: Tensor | None = None,
        noise_mode: str = "random",
        generator: Generator | Sequence[Generator] | None = None,
    ) -> Tensor:
        """(B, in, H, W), and (B, embed_dim) with classes -> (B, out, 2H, 2W)."""
        sample = F.interpolate(sample, scale_factor=2, mode="nearest")
        condition = () if embedding is None else (embedding,)
        for number, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            sample = conv(sample)
            if len(self.noises):
                sample = self.noises[min(number, len(self.noises) - 1)](sample, noise_mode, generator)
            sample = gated_linear(norm(sample, *condition))
        return sample


class SkipExcitation(nn.Module):
    """
    Scales the channels of a large map by what a small map shows.

    Args:
        in_channels (`int`): Channels of the small map.
        out_channels (`int`): Channels of the large map.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv1 = SpectralConv2d(in_channels, out_channels, 4, bias=False)
        self.conv2 = SpectralConv2d(out_channels, out_channels, 1, bias=False)

    def forward(self, small: Tensor, large: Tensor) -> Tensor:
        """(B, in, h, w), (B, out, H, W) -> (B, out, H, W)."""
        hidden = F.silu(self.conv1(F.adaptive_avg_pool2d(small, 4)))
        return large * self.conv2(hidden).sigmoid()


class FastGANSynthesis(nn.Module):
    """
    The network from normalised latents to images.

    Args:
        channels (`dict[int, int]`): Side -> channels of each level, from 4 up.
        latent_dim (`int`): Width of z.
        out_channels (`int`): Image channels.
        lite (`bool`): Whether blocks have one convolution rather than two.
        embed_dim (`int`, *optional*): Width of the class embedding.
    """

    def __init__(
        self, channels: dict[int, int], latent_dim: int, out_channels: int, lite: bool, embed_dim: int | None = None
    ):
        super().__init__()
        sides = list(channels)
        self.start = FastGANStart(latent_dim, channels[4])
        self.blocks = nn.ModuleList(
            FastGANBlock(channels[small], channels[large], lite, embed_dim)
            for small, large in zip(sides, sides[1:], strict=False)
        )
        # Levels 64 to 512 are scaled by those of a sixteenth of their size.
        self.excitations = nn.ModuleList(
            SkipExcitation(channels[side // 16], channels[side]) for side in sides if 64 <= side <= 512
        )
        self.to_rgb = SpectralConv2d(channels[sides[-1]], out_channels, 3, padding=1)

    def forward(
        self,
        latent: Tensor,
        embedding: Tensor | None = None,
        noise_mode: str = "random",
        generator: Generator | Sequence[Generator] | None = None,
    ) -> Tensor:
        """(B, latent_dim), and (B, embed_dim) with classes -> (B, out_channels, side, side), not limited."""
        hidden = self.start(to_compute_dtype(latent, self.start.norm.weight))
        if hidden.device.type == "cpu":
            hidden = hidden.contiguous(memory_format=torch.channels_last)
        levels = [hidden]
        for number, block in enumerate(self.blocks):
            hidden = block(hidden, embedding, noise_mode, generator)
            if 0 <= number - 3 < len(self.excitations):  # block 3 makes the level of 64
                hidden = self.excitations[number - 3](levels[number - 3], hidden)
            levels.append(hidden)
        return self.to_rgb(hidden)
