# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Building blocks of the SPI-GAN generator: the embedding of noise, the mappings to a position, and vectors."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ..layers.embeddings import pixel_norm
from ..layers.equalized import EqualizedConv2d, EqualizedLinear
from ..layers.mlp import ConditionalMLP
from ..layers.ode import check_solver, solve_ode
from ..layers.positions import position_embedding


_EMBEDDING_CHANNELS = 64  # of the first convolution of the embedding, doubled by each one after it
_POSITION_DIM = 128


class InitialEmbedding(nn.Module):
    """
    Embeds noise of the shape of the data as h(0): (B, C, H, W) or (B, D) -> (B, w_dim).

    Positions are never averaged: the noise is independent between them, and its mean over n positions is smaller by
    sqrt(n), so that h(0) would be nearly the same for all of it.

    Args:
        noise_shape (`tuple[int, ...]`): Shape of one sample of noise, (C, H, W) or (D,).
        w_dim (`int`): Width of h(0).
        use_conv (`bool`):
            Whether 4x4 convolutions of stride 4 with leaky ReLU come before the linear layer, which would be very
            large for large images: one after the other while both sides divide by 4 and are larger than 8.
        normalize (`bool`): Whether to divide h(0) by its root mean square.
    """

    def __init__(self, noise_shape: tuple[int, ...], w_dim: int, use_conv: bool, normalize: bool):
        super().__init__()
        channels, *size = noise_shape
        self.convs = nn.ModuleList()
        while use_conv and min(size) > 8 and all(side % 4 == 0 for side in size):
            width = _EMBEDDING_CHANNELS * 2 ** len(self.convs)
            # Patches that do not overlap: after moving pixels to channels, the convolution is one of 1x1.
            self.convs.append(EqualizedConv2d(16 * channels, width, 1, activation=True))
            channels, size = width, [side // 4 for side in size]
        self.linear = EqualizedLinear(torch.Size([channels, *size]).numel(), w_dim)
        self.normalize = normalize

    def forward(self, noise: Tensor) -> Tensor:
        """(B, C, H, W) or (B, D) -> (B, w_dim)."""
        hidden = noise
        for conv in self.convs:
            hidden = conv(F.pixel_unshuffle(hidden, 4))
        hidden = self.linear(hidden.flatten(1))
        return pixel_norm(hidden) if self.normalize else hidden


class ODEMapping(nn.Module):
    """
    Follows dh/dt = r(h, t) from h(0) to h(u): (B, w_dim), (B,) -> (B, w_dim).

    r is fully connected with SiLU, which is smooth, as solvers of high order need it. Its last layer starts at zero,
    so that h(u) = h(0) at first, and learns with the root of the multiplier: slowed down by 0.01 it would need tens of
    thousands of steps to leave zero; at the full rate all h(u) soon drift together, so far that the noise in them no
    longer counts and every sample looks the same.

    Args:
        w_dim (`int`): Width of h.
        hidden_dim (`int`): Width of the hidden layers of r.
        num_layers (`int`): Number of layers of r, at least 1.
        lr_multiplier (`float`): Factor of the learning rate of all but the last, whose factor is its root.
        solver (`str`): See `solve_ode`.
        num_steps (`int`): See `solve_ode`.
    """

    def __init__(
        self, w_dim: int, hidden_dim: int, num_layers: int, lr_multiplier: float, solver: str, num_steps: int
    ):
        super().__init__()
        check_solver(solver, num_steps)
        widths = [w_dim + 1, *[hidden_dim] * (num_layers - 1), w_dim]
        multipliers = [*[lr_multiplier] * (num_layers - 1), lr_multiplier**0.5]
        layers = [
            EqualizedLinear(*pair, lr_multiplier=multiplier)
            for *pair, multiplier in zip(widths[:-1], widths[1:], multipliers, strict=True)
        ]
        nn.init.zeros_(layers[-1].weight)
        self.layers = nn.ModuleList(layers)
        self.solver = solver
        self.num_steps = num_steps

    def slope(self, state: Tensor, time: Tensor) -> Tensor:
        """r(h, t): (B, w_dim), (B,) -> (B, w_dim)."""
        hidden = self.layers[0](torch.cat([state, time.to(state.dtype)[:, None]], dim=1))
        for layer in self.layers[1:]:
            hidden = layer(F.silu(hidden))
        return hidden

    def forward(self, state: Tensor, positions: Tensor) -> Tensor:
        """h(0) (B, w_dim), u (B,) -> h(u) (B, w_dim)."""
        return solve_ode(self.slope, state, positions, solver=self.solver, num_steps=self.num_steps)


class MLPMapping(nn.Module):
    """
    Maps h(0) and a sinusoidal embedding of u to h(u), as StyleGAN2 maps latents: (B, w_dim), (B,) -> (B, w_dim).

    Args:
        w_dim (`int`): Width of h.
        hidden_dim (`int`): Width of the hidden layers.
        num_layers (`int`): Number of fully connected layers with leaky ReLU, at least 1.
        lr_multiplier (`float`): Factor of their learning rate.
    """

    def __init__(self, w_dim: int, hidden_dim: int, num_layers: int, lr_multiplier: float):
        super().__init__()
        widths = [w_dim + _POSITION_DIM, *[hidden_dim] * (num_layers - 1), w_dim]
        self.layers = nn.ModuleList(
            EqualizedLinear(*pair, lr_multiplier=lr_multiplier, activation=True)
            for pair in zip(widths[:-1], widths[1:], strict=True)
        )

    def forward(self, state: Tensor, positions: Tensor) -> Tensor:
        """h(0) (B, w_dim), u (B,) -> h(u) (B, w_dim)."""
        hidden = torch.cat([state, position_embedding(positions, _POSITION_DIM).to(state.dtype)], dim=1)
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden


class VectorSynthesis(nn.Module):
    """
    Makes vectors from styles by fully connected layers; has the interface of `StyleGAN2Synthesis`, and no noise.

    Args:
        data_dim (`int`): Dimension D of the vectors.
        w_dim (`int`): Width of the styles.
        hidden_dim (`int`): Width of the hidden layers, at least 4.
        num_layers (`int`): Number of hidden layers, at least 1.
    """

    num_ws = 1
    _gradient_checkpointing_func: Callable[..., Any]

    def __init__(self, data_dim: int, w_dim: int, hidden_dim: int, num_layers: int):
        super().__init__()
        self.mlp = ConditionalMLP(
            w_dim, hidden_dim, num_layers, data_dim, time_conditioning=False, preserve_variance=True
        )
        self.gradient_checkpointing = False

    def forward(
        self, ws: Tensor, noise_mode: str = "random", generator: Generator | Sequence[Generator] | None = None
    ) -> Tensor:
        """(B, 1, w_dim) -> (B, data_dim)."""
        if torch.is_grad_enabled() and self.gradient_checkpointing:
            return self._gradient_checkpointing_func(self.mlp, ws[:, 0])
        return self.mlp(ws[:, 0])
