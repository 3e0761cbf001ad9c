# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The FastGAN generator."""

from collections.abc import Sequence

from diffusers.configuration_utils import register_to_config
from torch import Generator, Tensor, nn

from ..layers.embeddings import check_class_labels, pixel_norm
from ..layers.precision import at_least_float32
from ..network import Network
from ..outputs import GeneratorOutput
from .fastgan_blocks import NOISE_MODES, FastGANSynthesis


# Channels of each level in units of `base_channels`.
_WIDTHS = {4: 16, 8: 8, 16: 4, 32: 2, 64: 2, 128: 1, 256: 0.5, 512: 0.25, 1024: 0.125}


class FastGANGenerator(Network):
    r"""
    Generator G(z) -> x_0 of FastGAN (Liu et al., ICLR 2021), as in Projected GAN and Diffusion-ProjectedGAN.

    It is called like [`StyleGAN2Generator`]. It learns fast and samples fast, and varies less than StyleGAN2. The last
    layer is linear: images are limited to [-1, 1] by the pipeline.

    It has batch norm and spectral norm, whose running statistics and vectors are stored with the weights. A moving
    average of the weights uses those of the network itself, as in the reference.

    Args:
        sample_size (`int`, defaults to 256): Height and width of the images: 32, 64, 128, 256, 512 or 1024.
        out_channels (`int`, defaults to 3): Image channels.
        latent_dim (`int`, defaults to 256): Width of z.
        base_channels (`int`, defaults to 128):
            Channels at 128x128. Levels of 4 to 1024 have 16, 8, 4, 2, 2, 1, 1/2, 1/4 and 1/8 times as many.
        lite (`bool`, defaults to `False`):
            Whether levels have one convolution, without noise, rather than two with noise.
        num_class_embeds (`int`, *optional*): Number of classes, for a class-conditional generator.

    Raises:
        ValueError: From the constructor, if the size is another one, or a level would have no channels.
    """

    _no_split_modules = ["FastGANStart", "FastGANBlock", "SkipExcitation"]
    # Levels differ in shape, so each is compiled.
    _repeated_blocks = ["FastGANBlock"]

    @register_to_config
    def __init__(
        self,
        sample_size: int = 256,
        out_channels: int = 3,
        latent_dim: int = 256,
        base_channels: int = 128,
        lite: bool = False,
        num_class_embeds: int | None = None,
    ):
        super().__init__()
        sizes = [side for side in _WIDTHS if side >= 32]
        if sample_size not in sizes:
            raise ValueError(f"`sample_size` must be one of {sizes}, got {sample_size!r}.")
        channels = {side: int(width * base_channels) for side, width in _WIDTHS.items() if side <= sample_size}
        if min(channels.values()) < 1:
            raise ValueError(
                f"`base_channels` must leave at least one channel at every level up to {sample_size}, got "
                f"{base_channels}. Take at least {int(1 / _WIDTHS[sample_size])}."
            )
        embed_dim = None if num_class_embeds is None else latent_dim
        self.class_embed = None if num_class_embeds is None else nn.Embedding(num_class_embeds, latent_dim)
        self.synthesis = FastGANSynthesis(channels, latent_dim, out_channels, lite, embed_dim)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample, (C, H, W)."""
        return (self.config.out_channels, self.config.sample_size, self.config.sample_size)

    def forward(
        self,
        latent: Tensor,
        class_labels: Tensor | None = None,
        truncation_psi: float = 1.0,
        noise_mode: str = "random",
        return_dict: bool = True,
        *,
        generator: Generator | list[Generator] | None = None,
    ) -> GeneratorOutput | tuple[Tensor]:
        """
        Paints images.

        Args:
            latent (`torch.Tensor` of shape (B, latent_dim)): z ~ N(0, I). Only its direction counts.
            class_labels (`torch.Tensor` of shape (B,), *optional*):
                Integer labels, for a class-conditional generator.
            truncation_psi (`float`, defaults to 1.0): 1; there is no space of styles to truncate in.
            noise_mode (`str`, defaults to `"random"`): Noise of the layers: "random" (drawn anew) or "none".
            return_dict (`bool`, defaults to `True`): Whether to return an output rather than a tuple.
            generator (`torch.Generator` or `list[torch.Generator]`, *optional*):
                Source of the random noise: one for the batch, or a list with one per sample.

        Returns:
            [`GeneratorOutput`] or `tuple`: images as `.sample`, (B, out_channels, side, side).

        Raises:
            ValueError: If a shape, `truncation_psi` or `noise_mode` is not as described, class labels are missing,
                unexpected or out of range, or a list of generators is not as long as the batch.
            TypeError: If class labels are not integers.
        """
        if latent.ndim != 2 or latent.shape[1] != self.config.latent_dim:
            raise ValueError(f"`latent` must have shape (batch, {self.config.latent_dim}), got {tuple(latent.shape)}.")
        if truncation_psi != 1.0:
            raise ValueError(f"`truncation_psi` must be 1 for a network without styles, got {truncation_psi}.")
        if noise_mode not in NOISE_MODES:
            raise ValueError(f"`noise_mode` must be one of {NOISE_MODES} for FastGAN, got {noise_mode!r}.")
        if isinstance(generator, Sequence) and len(generator) != latent.shape[0]:
            raise ValueError(
                f"`generator` must be one generator, or a list of {latent.shape[0]} for the batch, got a list of "
                f"{len(generator)}."
            )
        check_class_labels(class_labels, self.config.num_class_embeds, latent.shape[0])
        embedding = None if self.class_embed is None else self.class_embed(class_labels)
        sample = self.synthesis(pixel_norm(at_least_float32(latent)), embedding, noise_mode, generator)
        return GeneratorOutput(sample=sample) if return_dict else (sample,)
