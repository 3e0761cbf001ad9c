# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Learning rates, Adam with lazy regularisation, and the moving average, as functions of the step."""

import math


def cosine_factor(step: int, num_steps: int, floor: float) -> float:
    """Factor of a learning rate that falls along a cosine from 1 at step 0 to `floor` at `num_steps`."""
    return floor + (1 - floor) * (1 + math.cos(math.pi * step / num_steps)) / 2


def lazy_adam(
    learning_rate: float, betas: tuple[float, float], penalty_interval: int | None
) -> tuple[float, tuple[float, float]]:
    """
    Learning rate and betas of an Adam that has one step more every k steps (Karras et al. 2020, appendix B).

    With c = k / (k + 1) these are c times the rate, and the betas to the power c.

    Args:
        learning_rate (`float`): Rate without the further step.
        betas (`tuple[float, float]`): Betas without the further step.
        penalty_interval (`int`, *optional*): k; without it nothing changes.

    Returns:
        `tuple[float, tuple[float, float]]`: rate and betas.
    """
    if penalty_interval is None:
        return learning_rate, betas
    correction = penalty_interval / (penalty_interval + 1)
    return learning_rate * correction, (betas[0] ** correction, betas[1] ** correction)


def ema_decay(batch_size: int, images_seen: int, half_life_kimg: float, rampup: float | None) -> float:
    """
    Decay of a moving average whose half-life is counted in images (StyleGAN2).

    Args:
        batch_size (`int`): Images per step.
        images_seen (`int`): Images before this step.
        half_life_kimg (`float`): Half-life in thousands of images.
        rampup (`float`, *optional*): The half-life is at most this share of the images seen, so early weights are
            forgotten.

    Returns:
        `float`: the decay for this step.
    """
    half_life = half_life_kimg * 1000
    if rampup is not None:
        half_life = min(half_life, rampup * images_seen)
    return 0.5 ** (batch_size / max(half_life, 1e-8))
