# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

from .arguments import (
    DDGANArguments,
    DiffusionGANArguments,
    SPIGANArguments,
    TrainingArguments,
    parse_arguments,
)
from .augmentation import AdaptiveAugmentation
from .data import TrainingData, load_training_dataset
from .loop import Trainer, make_accelerator
from .objectives import (
    DDGANDraws,
    DDGANObjective,
    DiffusionGANDraws,
    DiffusionGANObjective,
    Objective,
    SPIGANDraws,
    SPIGANObjective,
)
from .run import TrainingRun


__all__ = [
    "AdaptiveAugmentation",
    "DDGANArguments",
    "DDGANDraws",
    "DDGANObjective",
    "DiffusionGANArguments",
    "DiffusionGANDraws",
    "DiffusionGANObjective",
    "Objective",
    "SPIGANArguments",
    "SPIGANDraws",
    "SPIGANObjective",
    "Trainer",
    "TrainingArguments",
    "TrainingData",
    "TrainingRun",
    "load_training_dataset",
    "make_accelerator",
    "parse_arguments",
]
