# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The StyleGAN2 generator."""

import math
from dataclasses import dataclass
from numbers import Real

import torch
from diffusers.configuration_utils import register_to_config
from torch import Generator, Tensor

from ..layers.pyramid import size_pair
from ..network import Network
from ..outputs import GeneratorOutput
from .stylegan2_blocks import StyleGAN2Mapping, StyleGAN2Synthesis


@dataclass
class StyleGAN2Output(GeneratorOutput):
    """
    Output of the StyleGAN2 generator.

    Args:
        sample (`torch.Tensor` of shape (B, C, H, W)): Images, nominally in [-1, 1] but not limited to it.
        ws (`torch.Tensor` of shape (B, num_ws, w_dim)):
            The vectors that the images were painted from, in float32 or better: path-length regularisation
            differentiates with respect to them.
    """

    ws: Tensor | None = None


class StyleGAN2Generator(Network):
    r"""
    Generator G(z) -> x_0 of StyleGAN2 (Karras et al., CVPR 2020; with ADA, NeurIPS 2020), as in Diffusion-GAN.

    `generator.mapping` makes vectors w from latents, `generator.synthesis` paints images from them. It runs in
    channels-last memory format on the CPU. The last layer is linear: images are limited to [-1, 1] by the pipeline.

    Args:
        sample_size (`int` or `tuple[int, int]`, defaults to 32):
            Size of the images, one number or (height, width): a size with a shorter side of 4 to 7, doubled any number
            of times.
        out_channels (`int`, defaults to 3): Image channels.
        latent_dim (`int`, defaults to 512): Width of z.
        w_dim (`int`, defaults to 512): Width of w.
        num_class_embeds (`int`, *optional*): Number of classes, for a class-conditional generator.
        num_mapping_layers (`int`, defaults to 8): Number of layers from z to w, at least 1.
        mapping_lr_multiplier (`float`, defaults to 0.01): Factor of their learning rate.
        w_avg_decay (`float`, defaults to 0.995): Decay of the moving average of w, per call in training mode.
        channel_base (`int`, defaults to 32768): Width of each level times its resolution.
        channel_max (`int`, defaults to 512): Largest width.
        architecture (`str`, defaults to `"skip"`):
            "skip" (images of all levels are summed), "resnet" (levels have residual connections) or "orig" (neither).
        fir_taps (`tuple[float, ...]`, defaults to `(1, 3, 3, 1)`): Taps of the resampling filter.
        activation_clamp (`float`, *optional*, defaults to 256.0): Bound of the absolute activations.
        patch_size (`int`, defaults to 1):
            Side of the square patches whose pixels are channels up to the output, as in [`NCSNppGenerator`]. The
            levels are those of the grid of patches.

    Raises:
        ValueError: From the constructor, if an option is out of range.
    """

    _supports_gradient_checkpointing = True
    _no_split_modules = ["StyleGAN2Mapping", "SynthesisBlock"]
    # Levels differ in shape, so each is compiled: nine of them (1024x1024) need a recompile limit above the default 8.
    _repeated_blocks = ["SynthesisBlock"]

    @register_to_config
    def __init__(
        self,
        sample_size: int | tuple[int, int] = 32,
        out_channels: int = 3,
        latent_dim: int = 512,
        w_dim: int = 512,
        num_class_embeds: int | None = None,
        num_mapping_layers: int = 8,
        mapping_lr_multiplier: float = 0.01,
        w_avg_decay: float = 0.995,
        channel_base: int = 32768,
        channel_max: int = 512,
        architecture: str = "skip",
        fir_taps: tuple[float, ...] = (1, 3, 3, 1),
        activation_clamp: float | None = 256.0,
        patch_size: int = 1,
    ):
        super().__init__()
        if num_mapping_layers < 1:
            raise ValueError(f"`num_mapping_layers` must be at least 1, got {num_mapping_layers}.")
        self.synthesis = StyleGAN2Synthesis(
            sample_size,
            out_channels,
            w_dim,
            channel_base,
            channel_max,
            architecture,
            fir_taps,
            activation_clamp,
            patch_size,
        )
        self.mapping = StyleGAN2Mapping(
            latent_dim,
            w_dim,
            self.synthesis.num_ws,
            num_class_embeds,
            num_mapping_layers,
            mapping_lr_multiplier,
            w_avg_decay,
        )

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample, (C, H, W)."""
        return (self.config.out_channels, *size_pair(self.config.sample_size))

    def forward(
        self,
        latent: Tensor,
        class_labels: Tensor | None = None,
        truncation_psi: float = 1.0,
        noise_mode: str = "random",
        return_dict: bool = True,
        *,
        truncation_cutoff: int | None = None,
        style_mixing: tuple[Tensor, int] | None = None,
        generator: Generator | list[Generator] | None = None,
    ) -> StyleGAN2Output | tuple[Tensor, Tensor]:
        """
        Paints images.

        Args:
            latent (`torch.Tensor` of shape (B, latent_dim)): z ~ N(0, I).
            class_labels (`torch.Tensor` of shape (B,), *optional*):
                Integer labels, for a class-conditional generator.
            truncation_psi (`float`, defaults to 1.0):
                Factor of the distance of w from its average: less than 1 gives typical images, 1 all images.
            noise_mode (`str`, defaults to `"random"`):
                Noise of the layers: "random" (drawn anew), "const" (stored with the weights) or "none".
            return_dict (`bool`, defaults to `True`): Whether to return an output rather than a tuple.
            truncation_cutoff (`int`, *optional*): Number of slots, from the first, that are truncated; `None` for all.
            style_mixing (`tuple[torch.Tensor, int]`, *optional*):
                A second latent (B, latent_dim) and the slot, 1..num_ws-1, from which on its w is used.
            generator (`torch.Generator` or `list[torch.Generator]`, *optional*):
                Source of the random noise: one for the batch, or a list with one per sample.

        Returns:
            [`StyleGAN2Output`] or `tuple`: the images as `.sample`, (B, out_channels, height, width), and their w as
            `.ws`.

        Raises:
            ValueError: If a shape, a number or `noise_mode` is not as described, class labels are missing, unexpected
                or out of range, or a list of generators is not as long as the batch.
            TypeError: If class labels are not integers.
        """
        self._check_inputs(latent, truncation_psi, truncation_cutoff, style_mixing)
        ws = self.mapping(latent, class_labels, truncation_psi, truncation_cutoff)
        if style_mixing is not None:
            other, first = style_mixing
            other_ws = self.mapping(other, class_labels, truncation_psi, truncation_cutoff, update_w_avg=False)
            ws = torch.cat([ws[:, :first], other_ws[:, first:]], dim=1)
        sample = self.synthesis(ws, noise_mode, generator)
        return StyleGAN2Output(sample=sample, ws=ws) if return_dict else (sample, ws)

    def _check_inputs(
        self,
        latent: Tensor,
        truncation_psi: float,
        truncation_cutoff: int | None,
        style_mixing: tuple[Tensor, int] | None,
    ) -> None:
        num_ws = self.synthesis.num_ws
        if latent.ndim != 2 or latent.shape[1] != self.config.latent_dim:
            raise ValueError(f"`latent` must have shape (batch, {self.config.latent_dim}), got {tuple(latent.shape)}.")
        if not isinstance(truncation_psi, Real) or not abs(truncation_psi) < math.inf:
            raise ValueError(f"`truncation_psi` must be a finite number, got {truncation_psi!r}.")
        if truncation_cutoff is not None and not 0 <= truncation_cutoff <= num_ws:
            raise ValueError(f"`truncation_cutoff` must be None or in 0..{num_ws}, got {truncation_cutoff!r}.")
        if style_mixing is not None:
            other, first = style_mixing
            if other.shape != latent.shape:
                raise ValueError(
                    f"`style_mixing` must have a latent of shape {tuple(latent.shape)}, got {tuple(other.shape)}."
                )
            if not 1 <= first < num_ws:
                raise ValueError(f"`style_mixing` must have a slot in 1..{num_ws - 1}, got {first}.")
