# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The two embedded data sets, whose samples are measured without a network of features."""

import numpy as np
import torch

from ..data.toy import GRID_STD, gaussian_grid_centers
from ..metrics import memorization, mode_coverage, score_digits


def measure_digits(samples: np.ndarray, real: np.ndarray) -> dict[str, str | int | float]:
    """
    Whether a classifier of real digits recognises samples, and whether they are copies.

    Args:
        samples (`np.ndarray` of shape (N, 8, 8, 1)): In [0, 1].
        real (`np.ndarray` of shape (M, 8, 8, 1)): The digits of the training, in [0, 1].

    Returns:
        `dict[str, str | int | float]`: what was measured and its value.
    """
    scores = score_digits(samples[..., 0])
    copies = memorization(torch.from_numpy(real).flatten(1), torch.from_numpy(samples).flatten(1))
    sure = f"recognised with confidence {scores.confidence} by a classifier of real digits"
    return {
        f"share of {len(samples)} samples {sure}": f"{scores.recognised_share:.1%}",
        f"the same share of real digits the classifier has not seen (its accuracy {scores.real_accuracy:.1%})": (
            f"{scores.real_recognised_share:.1%}"
        ),
        "classes among the recognised samples": f"{scores.num_classes} of 10",
        "shares of the rarest and the most frequent class (even: 10.0%)": (
            f"{min(scores.class_shares):.1%} and {max(scores.class_shares):.1%}"
        ),
        "spread within a class, relative to real digits (0: one picture for each class)": (
            round(scores.spread_ratio, 3) if scores.num_classes else "no sample is recognised"
        ),
        "distance to the nearest real digit, relative to real ones (1: new digits, 0: copies)": round(
            copies.distance_ratio, 3
        ),
    }


def measure_gaussians(samples: np.ndarray) -> dict[str, str | int | float]:
    """
    How samples cover the 25 Gaussians.

    Args:
        samples (`np.ndarray` of shape (N, 2)): Points.

    Returns:
        `dict[str, str | int | float]`: what was measured and its value.
    """
    coverage = mode_coverage(torch.from_numpy(samples), gaussian_grid_centers(), GRID_STD)
    return {
        f"modes covered by {len(samples)} samples": f"{coverage.num_modes_covered} of {coverage.num_modes}",
        "high-quality samples, within 3 standard deviations of a mode (perfect: 98.9%)": (
            f"{coverage.high_quality_share:.1%}"
        ),
        "reverse KL to equal modes": round(coverage.reverse_kl, 4),
        "spread of the modes relative to the true one (perfect: 0.974)": round(coverage.spread_ratio, 3),
    }
