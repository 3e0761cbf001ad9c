# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The fully connected network of the MLP generators and discriminator."""

from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from .embeddings import TimestepMLP, sinusoidal_embedding


_SLOPE = 0.2
_leaky_relu = partial(F.leaky_relu, negative_slope=_SLOPE)


class ConditionalMLP(nn.Module):
    """
    Fully connected layers with leaky ReLU (0.2), told time and class by a vector added before the first activation.

    Args:
        in_dim (`int`): Width of the input.
        hidden_dim (`int`): Width of the hidden layers, at least 4.
        num_layers (`int`): Number of hidden layers, at least 1.
        out_dim (`int`): Width of the output.
        num_class_embeds (`int`, *optional*): Number of classes.
        time_conditioning (`bool`, defaults to `True`): Whether the network is told the time.
        preserve_variance (`bool`, defaults to `False`):
            Whether the linear layers start as He et al. (2015) have them, so that the variance of the activations
            stays as it is from layer to layer. PyTorch's own start divides it by about 6 in each: deep networks begin
            nearly linear, and a generator of well separated modes learns them later.

    Raises:
        ValueError: If a width or number is too small.
    """

    def __init__(
        self,
        in_dim: int,
        hidden_dim: int,
        num_layers: int,
        out_dim: int,
        num_class_embeds: int | None = None,
        time_conditioning: bool = True,
        preserve_variance: bool = False,
    ):
        super().__init__()
        if hidden_dim < 4:
            raise ValueError(f"`hidden_dim` must be at least 4, got {hidden_dim}.")
        if num_layers < 1:
            raise ValueError(f"`num_layers` must be at least 1, got {num_layers}.")
        self.time_embedding = TimestepMLP(hidden_dim, hidden_dim, F.silu) if time_conditioning else None
        self.class_embedding = None if num_class_embeds is None else nn.Embedding(num_class_embeds, hidden_dim)
        self.linear_in = nn.Linear(in_dim, hidden_dim)
        layers = [nn.Linear(hidden_dim, hidden_dim) for _ in range(num_layers - 1)]
        self.layers = nn.ModuleList(layers)
        self.linear_out = nn.Linear(hidden_dim, out_dim)
        if preserve_variance:
            for layer in (self.linear_in, *layers, self.linear_out):
                # The output has no activation, so no variance is lost there.
                slope = 1.0 if layer is self.linear_out else _SLOPE
                nn.init.kaiming_normal_(layer.weight, a=slope)
                nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor, timesteps: Tensor | None = None, class_labels: Tensor | None = None) -> Tensor:
        """(B, in_dim) -> (B, out_dim), given timesteps (B,) with time conditioning and labels (B,) with classes."""
        hidden = self.linear_in(features)
        if self.time_embedding is not None:
            if timesteps is None:
                raise ValueError("`timesteps` must be given to a network with time conditioning, got None.")
            embedding = sinusoidal_embedding(timesteps, self.linear_in.out_features)
            hidden = hidden + self.time_embedding(embedding.to(features.dtype))
        if self.class_embedding is not None:
            hidden = hidden + self.class_embedding(class_labels)
        hidden = _leaky_relu(hidden)
        for layer in self.layers:
            hidden = _leaky_relu(layer(hidden))
        return self.linear_out(hidden)
