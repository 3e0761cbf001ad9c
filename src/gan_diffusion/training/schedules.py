# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Quantities of the optimisation that follow a rule: learning rates, Adam under lazy regularisation, the moving average."""

import math


def cosine_factor(epoch: int, num_epochs: int, floor: float) -> float:
    """Factor of a learning rate that falls along a cosine from 1 at epoch 0 to `floor` at `num_epochs`."""
    return floor + (1 - floor) * (1 + math.cos(math.pi * epoch / num_epochs)) / 2


def lazy_adam(
    learning_rate: float, betas: tuple[float, float], penalty_interval: int | None
) -> tuple[float, tuple[float, float]]:
    """
    Learning rate and betas of an Adam that takes k + 1 steps where there are k without a lazy penalty (Karras et al. 2020,
    appendix B): with c = k / (k + 1), c times the rate and the betas to the power c. Unchanged without an interval.
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
        rampup (`float`, *optional*): The half-life is at most this share of the images seen, so early weights are forgotten.
    """
    half_life = half_life_kimg * 1000
    if rampup is not None:
        half_life = min(half_life, rampup * images_seen)
    return 0.5 ** (batch_size / max(half_life, 1e-8))
