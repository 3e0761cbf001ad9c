# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Toy data: the mixture of 25 Gaussians on a grid, a standard test of mode coverage."""

import math

import torch


# Centres {-4, -2, 0, 2, 4}^2 with standard deviation 0.05, all divided by 2 sqrt(2), the standard deviation of the
# whole, as in the toy experiments of WGAN-GP (Gulrajani et al. 2017): spacing 0.7071, so 40 standard deviations.
# Variants without the scaling or with spacing 1 are about as common; their numbers are not comparable.
_GRID_SCALE = 2 * math.sqrt(2)
GRID_STD = 0.05 / _GRID_SCALE


def gaussian_grid_centers() -> torch.Tensor:
    """Centres of the 25 modes, float32 of shape (25, 2), in row order: mode 5 i + j is at position (i, j)."""
    axis = torch.arange(-2.0, 3.0) * 2 / _GRID_SCALE
    return torch.cartesian_prod(axis, axis)


def sample_gaussian_grid(
    num_samples: int, generator: torch.Generator | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Draws from the mixture, modes equally likely.

    Args:
        num_samples (`int`): N.
        generator (`torch.Generator`, *optional*): Source of the random numbers, on the CPU.

    Returns:
        pair of `torch.Tensor`: points (N, 2), float32, and the modes (N,) they were drawn from, int64.
    """
    centers = gaussian_grid_centers()
    modes = torch.randint(len(centers), (num_samples,), generator=generator)
    noise = torch.randn(num_samples, 2, generator=generator)
    return centers[modes] + GRID_STD * noise, modes
