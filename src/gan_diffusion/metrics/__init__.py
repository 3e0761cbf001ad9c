# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

from .digits import DigitScores, score_digits
from .frechet import FeatureStatistics, frechet_distance
from .label_coverage import LabelCoverage, label_coverage
from .mode_coverage import ModeCoverage, mode_coverage
from .neighbors import Memorization, NeighborScores, memorization, nearest_spacing, neighbor_scores
from .scores import InceptionStatistics, kernel_distance


__all__ = [
    "DigitScores",
    "FeatureStatistics",
    "InceptionStatistics",
    "LabelCoverage",
    "Memorization",
    "ModeCoverage",
    "NeighborScores",
    "frechet_distance",
    "kernel_distance",
    "label_coverage",
    "memorization",
    "mode_coverage",
    "nearest_spacing",
    "neighbor_scores",
    "score_digits",
]
