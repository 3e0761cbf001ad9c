# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

from .command import run_evaluation
from .images import MIN_IMAGES, Evaluation, evaluate
from .reference import Reference, read_pixels, real_reference
from .scores import MORE_IS_BETTER


__all__ = [
    "MIN_IMAGES",
    "MORE_IS_BETTER",
    "Evaluation",
    "Reference",
    "evaluate",
    "read_pixels",
    "real_reference",
    "run_evaluation",
]
