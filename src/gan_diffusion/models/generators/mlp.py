# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""A fully connected generator for vectors, such as points in the plane."""

import torch
from diffusers.configuration_utils import register_to_config
from torch import Tensor

from ..layers.embeddings import check_class_labels, expand_timesteps, fourier_features
from ..layers.mlp import ConditionalMLP
from ..network import Network
from ..outputs import GeneratorOutput


class MLPGenerator(Network):
    r"""
    Generator G(x_{t+1}, t, z) -> x_0 for vectors: fully connected layers on [Fourier features of x_{t+1}, z].

    Args:
        data_dim (`int`, defaults to 2): Dimension D of the data.
        latent_dim (`int`, defaults to 2): Width of z; 0 for a generator without it, an ablation of the paper.
        hidden_dim (`int`, defaults to 128): Width of the hidden layers, at least 4.
        num_layers (`int`, defaults to 3): Number of hidden layers, at least 1.
        num_octaves (`int`, defaults to 5):
            Number of Fourier frequencies 1, 2, 4, ... of the input, so that the output may depend sharply on it; 0 for
            the bare coordinates.
        residual (`bool`, defaults to `True`): Whether the network predicts x_0 - x_{t+1} rather than x_0.
        num_class_embeds (`int`, *optional*): Number of classes, for a class-conditional generator.

    Raises:
        ValueError: From the constructor, if a width or number is too small.
    """

    _no_split_modules = ["ConditionalMLP"]
    _repeated_blocks = ["ConditionalMLP"]
    _may_be_zero = ("latent_dim", "num_octaves")

    @register_to_config
    def __init__(
        self,
        data_dim: int = 2,
        latent_dim: int = 2,
        hidden_dim: int = 128,
        num_layers: int = 3,
        num_octaves: int = 5,
        residual: bool = True,
        num_class_embeds: int | None = None,
    ):
        super().__init__()
        if num_octaves < 0:
            raise ValueError(f"`num_octaves` must be at least 0, got {num_octaves}.")
        in_dim = data_dim * (1 + 2 * num_octaves) + latent_dim
        self.mlp = ConditionalMLP(in_dim, hidden_dim, num_layers, data_dim, num_class_embeds)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample, (D,)."""
        return (self.config.data_dim,)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | int | float,
        latent: Tensor,
        class_labels: Tensor | None = None,
        return_dict: bool = True,
    ) -> GeneratorOutput | tuple[Tensor]:
        """
        Predicts the clean vector.

        Args:
            sample (`torch.Tensor` of shape (B, data_dim)): Noisy vector x_{t+1}.
            timestep (`torch.Tensor` of shape () or (B,), `int` or `float`):
                Index t of the less noisy state of the step, 0..T-1.
            latent (`torch.Tensor` of shape (B, latent_dim)): z ~ N(0, I).
            class_labels (`torch.Tensor` of shape (B,), *optional*):
                Integer labels, for a class-conditional generator.
            return_dict (`bool`, defaults to `True`): Whether to return an output rather than a tuple.

        Returns:
            [`GeneratorOutput`] or `tuple`: the predicted x_0 as `.sample`, (B, data_dim), not limited to any range.

        Raises:
            ValueError: If a shape is not as described, or class labels are missing, unexpected or out of range.
            TypeError: If class labels are not integers.
        """
        if sample.ndim != 2 or sample.shape[1] != self.config.data_dim:
            raise ValueError(f"`sample` must have shape (batch, {self.config.data_dim}), got {tuple(sample.shape)}.")
        expected = (sample.shape[0], self.config.latent_dim)
        if latent.shape != expected:
            raise ValueError(f"`latent` must have shape {expected}, got {tuple(latent.shape)}.")
        check_class_labels(class_labels, self.config.num_class_embeds, sample.shape[0])
        timesteps = expand_timesteps(timestep, sample.shape[0], sample.device)

        features = torch.cat([fourier_features(sample, self.config.num_octaves), latent.to(sample.dtype)], dim=1)
        output = self.mlp(features, timesteps, class_labels)
        if self.config.residual:
            output = output + sample
        return GeneratorOutput(sample=output) if return_dict else (output,)
