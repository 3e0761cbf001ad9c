# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Positions u in [0, 1] on SPI-GAN's straight path, as networks take them."""

import torch
from torch import Tensor

from .embeddings import sinusoidal_embedding


# Sinusoidal embeddings are made for the integers of a long chain; on [0, 1] itself they are nearly constant.
POSITION_SCALE = 1000.0


def expand_positions(u: Tensor | float, batch_size: int, device: torch.device) -> Tensor:
    """
    Brings positions to shape (B,), in float32 or better.

    Args:
        u (`torch.Tensor` of shape (), (1,) or (B,), or `float`): Positions in [0, 1].
        batch_size (`int`): B.
        device (`torch.device`): Where the result lies.

    Returns:
        `torch.Tensor` of shape (B,).

    Raises:
        ValueError: If `u` is a tensor of any other shape than (), (1,) or (B,), or (looked at on the CPU only, where
            it costs no synchronisation) not in [0, 1].
    """
    positions = torch.as_tensor(u)
    if positions.dtype != torch.float64:
        positions = positions.float()
    if positions.ndim > 1 or (positions.ndim == 1 and positions.shape[0] not in (1, batch_size)):
        raise ValueError(f"`u` must be a number or have shape ({batch_size},), got shape {tuple(positions.shape)}.")
    if positions.device.type == "cpu" and not torch.compiler.is_compiling():
        if not ((positions >= 0) & (positions <= 1)).all():
            raise ValueError(f"`u` must be in [0, 1], got {positions.tolist()}.")
    return positions.to(device).expand(batch_size)


def position_embedding(positions: Tensor, dim: int) -> Tensor:
    """Sines, then cosines, of 1000 u: positions (B,) -> float32 tensor (B, dim)."""
    return sinusoidal_embedding(POSITION_SCALE * positions, dim)
