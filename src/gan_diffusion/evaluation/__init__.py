# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

from .command import run_evaluation
from .images import Evaluation, evaluate


__all__ = ["Evaluation", "evaluate", "run_evaluation"]
