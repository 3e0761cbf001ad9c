# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

from .digits import DigitScores, score_digits
from .mode_coverage import ModeCoverage, mode_coverage


__all__ = ["DigitScores", "ModeCoverage", "mode_coverage", "score_digits"]
