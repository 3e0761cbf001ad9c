# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""A fully connected discriminator for vectors, such as points in the plane."""

import torch
from diffusers.configuration_utils import register_to_config
from torch import Tensor

from ..layers.embeddings import check_class_labels, expand_timesteps, fourier_features
from ..layers.mlp import ConditionalMLP
from ..layers.sliced import SlicedLinear, check_last_layer
from ..network import Network
from ..outputs import DiscriminatorOutput


class MLPDiscriminator(Network):
    r"""
    Discriminator D(x_t, t, x_{t+1}) or D(x_t, t) for vectors: fully connected layers on their Fourier features.

    Args:
        data_dim (`int`, defaults to 2): Dimension D of the data.
        hidden_dim (`int`, defaults to 128): Width of the hidden layers, at least 4.
        num_layers (`int`, defaults to 3): Number of hidden layers, at least 1.
        num_octaves (`int`, defaults to 5):
            Number of Fourier frequencies 1, 2, 4, ... of the inputs. Without them the discriminator does not see
            structure much finer than the extent of the data.
        num_class_embeds (`int`, *optional*): Number of classes, for a class-conditional discriminator.
        timestep_scale (`float`, defaults to 1.0):
            Factor of the timestep before its embedding, which is made for 0..1000: 1000 for positions in [0, 1].
        pairs (`bool`, defaults to `True`):
            Whether it judges pairs of neighbouring states, as in DDGAN, rather than single samples.
        last_layer (`str`, defaults to `"linear"`):
            "san" for a last layer of length 1, trained by the `direction_logits`: see [`ProjectedDiscriminator`].

    Raises:
        ValueError: From the constructor, if a width or number is too small, or `last_layer` is unknown.
    """

    _no_split_modules = ["ConditionalMLP"]
    _repeated_blocks = ["ConditionalMLP"]

    @register_to_config
    def __init__(
        self,
        data_dim: int = 2,
        hidden_dim: int = 128,
        num_layers: int = 3,
        num_octaves: int = 5,
        num_class_embeds: int | None = None,
        timestep_scale: float = 1.0,
        pairs: bool = True,
        last_layer: str = "linear",
    ):
        super().__init__()
        if num_octaves < 0:
            raise ValueError(f"`num_octaves` must be at least 0, got {num_octaves}.")
        check_last_layer(last_layer)
        in_dim = (2 if pairs else 1) * data_dim * (1 + 2 * num_octaves)
        self.mlp = ConditionalMLP(in_dim, hidden_dim, num_layers, 1, num_class_embeds)
        if last_layer == "san":
            self.mlp.linear_out = SlicedLinear(hidden_dim)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | int | float,
        noisier_sample: Tensor | None = None,
        class_labels: Tensor | None = None,
        return_dict: bool = True,
    ) -> DiscriminatorOutput | tuple[Tensor, ...]:
        """
        Judges a sample, or a pair of neighbouring states of the diffusion.

        Args:
            sample (`torch.Tensor` of shape (B, data_dim) or (B, ...)):
                Less noisy state x_t; a small image of as many values is flattened.
            timestep (`torch.Tensor` of shape () or (B,), `int` or `float`): Index t of that state.
            noisier_sample (`torch.Tensor` of the shape of `sample`, *optional*):
                Noisier state x_{t+1}, for a discriminator of pairs.
            class_labels (`torch.Tensor` of shape (B,), *optional*):
                Integer labels, for a class-conditional discriminator.
            return_dict (`bool`, defaults to `True`): Whether to return an output rather than a tuple.

        Returns:
            [`DiscriminatorOutput`] or `tuple`:
                the logits as `.logits`, (B, 1), where positive means real; with `last_layer="san"`,
                `.direction_logits` too.

        Raises:
            ValueError: If a shape is not as described, or class labels are missing, unexpected or out of range.
            TypeError: If class labels are not integers.
        """
        if sample.ndim < 2 or sample.shape[1:].numel() != self.config.data_dim:
            raise ValueError(
                f"`sample` must have shape (batch, ...) with {self.config.data_dim} values each, got {tuple(sample.shape)}."
            )
        if self.config.pairs != (noisier_sample is not None):
            expected = "a tensor" if self.config.pairs else "None"
            raise ValueError(
                f"`noisier_sample` must be {expected} for a discriminator with pairs={self.config.pairs}, got "
                f"{type(noisier_sample).__name__}."
            )
        if noisier_sample is not None and noisier_sample.shape != sample.shape:
            raise ValueError(
                f"`noisier_sample` must have the shape of `sample`, {tuple(sample.shape)}, got "
                f"{tuple(noisier_sample.shape)}."
            )
        check_class_labels(class_labels, self.config.num_class_embeds, sample.shape[0])
        timesteps = expand_timesteps(timestep, sample.shape[0], sample.device)

        states = [sample] if noisier_sample is None else [sample, noisier_sample]
        features = [fourier_features(state.flatten(1), self.config.num_octaves) for state in states]
        logits = self.mlp(torch.cat(features, dim=1), self.config.timestep_scale * timesteps, class_labels)
        output = DiscriminatorOutput.of(logits)
        return output if return_dict else output.to_tuple()
