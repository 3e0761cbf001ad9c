# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

from .arguments import DDGANArguments, TrainingArguments, parse_arguments
from .data import TrainingData, load_training_dataset
from .loop import Trainer, make_accelerator
from .objectives import DDGANDraws, DDGANObjective


__all__ = [
    "DDGANArguments",
    "DDGANDraws",
    "DDGANObjective",
    "Trainer",
    "TrainingArguments",
    "TrainingData",
    "load_training_dataset",
    "make_accelerator",
    "parse_arguments",
]
