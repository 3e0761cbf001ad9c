# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The beta schedules of Diffusion-GAN's reference implementation, in float64."""

import math
from collections.abc import Callable

import numpy as np


def _cosine_betas(num_timesteps: int) -> np.ndarray:
    # The grid ends one step late, at T + 1 instead of T, as in the reference implementation.
    grid = np.linspace(0, num_timesteps + 1, num_timesteps + 1)
    products = np.cos((grid / (num_timesteps + 1) + 0.008) / 1.008 * math.pi / 2) ** 2
    return np.clip(1 - products[1:] / products[:-1], 0, 0.999)


def _continuous_betas(num_timesteps: int) -> np.ndarray:
    steps = np.arange(1, num_timesteps + 1)
    return 1 - np.exp(-0.1 / num_timesteps - 0.5 * 4.9 * (2 * steps - 1) / num_timesteps**2)


# (start, end, T) -> the T betas.
BETA_SCHEDULES: dict[str, Callable[[float, float, int], np.ndarray]] = {
    "linear": np.linspace,
    "quad": lambda start, end, length: np.linspace(start**0.5, end**0.5, length) ** 2,
    "const": lambda start, end, length: np.full(length, end),
    "jsd": lambda start, end, length: 1 / np.linspace(length, 1, length),
    "sigmoid": lambda start, end, length: start + (end - start) / (1 + np.exp(-np.linspace(-6, 6, length))),
    "cosine": lambda start, end, length: _cosine_betas(length),
    "continuous_t": lambda start, end, length: _continuous_betas(length),
}
