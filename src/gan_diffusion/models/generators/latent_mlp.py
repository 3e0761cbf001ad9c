# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""A fully connected generator of vectors from latents, in one evaluation."""

import torch
from diffusers.configuration_utils import register_to_config
from torch import Tensor

from ..layers.embeddings import check_class_labels, fourier_features
from ..layers.mlp import ConditionalMLP
from ..network import Network
from ..outputs import GeneratorOutput


class LatentMLPGenerator(Network):
    r"""
    Generator G(z) -> x for vectors: fully connected layers on the Fourier features of z.

    It is called like [`StyleGAN2Generator`].

    Args:
        data_dim (`int`, defaults to 2): Dimension D of the data.
        latent_dim (`int`, defaults to 2): Width of z.
        hidden_dim (`int`, defaults to 128): Width of the hidden layers, at least 4.
        num_layers (`int`, defaults to 3): Number of hidden layers, at least 1.
        num_octaves (`int`, defaults to 0):
            Number of Fourier frequencies 1, 2, 4, ... of z, so that the sample may depend sharply on it; 0 for z
            alone.
        num_class_embeds (`int`, *optional*): Number of classes, for a class-conditional generator.

    Raises:
        ValueError: From the constructor, if a width or number is too small.
    """

    _no_split_modules = ["ConditionalMLP"]
    _repeated_blocks = ["ConditionalMLP"]

    @register_to_config
    def __init__(
        self,
        data_dim: int = 2,
        latent_dim: int = 2,
        hidden_dim: int = 128,
        num_layers: int = 3,
        num_octaves: int = 0,
        num_class_embeds: int | None = None,
    ):
        super().__init__()
        if num_octaves < 0:
            raise ValueError(f"`num_octaves` must be at least 0, got {num_octaves}.")
        in_dim = latent_dim * (1 + 2 * num_octaves)
        self.mlp = ConditionalMLP(
            in_dim,
            hidden_dim,
            num_layers,
            data_dim,
            num_class_embeds,
            time_conditioning=False,
            preserve_variance=True,
        )

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample, (D,)."""
        return (self.config.data_dim,)

    def forward(
        self,
        latent: Tensor,
        class_labels: Tensor | None = None,
        truncation_psi: float = 1.0,
        noise_mode: str = "random",
        return_dict: bool = True,
        *,
        generator: torch.Generator | list[torch.Generator] | None = None,
    ) -> GeneratorOutput | tuple[Tensor]:
        """
        Makes vectors.

        Args:
            latent (`torch.Tensor` of shape (B, latent_dim)): z ~ N(0, I).
            class_labels (`torch.Tensor` of shape (B,), *optional*):
                Integer labels, for a class-conditional generator.
            truncation_psi (`float`, defaults to 1.0): 1; there is no space of styles to truncate in.
            noise_mode (`str`, defaults to `"random"`): Without effect: there is no layer noise.
            return_dict (`bool`, defaults to `True`): Whether to return an output rather than a tuple.
            generator (`torch.Generator` or `list[torch.Generator]`, *optional*):
                Without effect: there is no layer noise.

        Returns:
            [`GeneratorOutput`] or `tuple`: vectors as `.sample`, (B, data_dim), not limited to any range.

        Raises:
            ValueError: If a shape is not as described, class labels are missing, unexpected or out of range, or
                `truncation_psi` is not 1.
            TypeError: If class labels are not integers.
        """
        if latent.ndim != 2 or latent.shape[1] != self.config.latent_dim:
            raise ValueError(f"`latent` must have shape (batch, {self.config.latent_dim}), got {tuple(latent.shape)}.")
        if truncation_psi != 1.0:
            raise ValueError(f"`truncation_psi` must be 1 for a network without styles, got {truncation_psi}.")
        check_class_labels(class_labels, self.config.num_class_embeds, latent.shape[0])
        output = self.mlp(fourier_features(latent, self.config.num_octaves), class_labels=class_labels)
        return GeneratorOutput(sample=output) if return_dict else (output,)
