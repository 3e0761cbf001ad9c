# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

from .accelerator import make_accelerator
from .arguments import (
    DDGANArguments,
    DiffusionGANArguments,
    OptimizationArguments,
    RunArguments,
    SPIGANArguments,
    TrainingArguments,
)
from .augmentation import AdaptiveAugmentation, Augmentation
from .diff_augment import DiffAugmentation
from .export import export_checkpoint
from .loop import Trainer
from .methods import METHODS, train
from .objectives import (
    DDGANDraws,
    DDGANObjective,
    DiffusionGANDraws,
    DiffusionGANObjective,
    HalfStep,
    Objective,
    Player,
    SPIGANDraws,
    SPIGANObjective,
    StepOutput,
)
from .parsing import parse_arguments
from .pretrained import Transfer, load_pretrained, transfer_weights
from .run import TrainingRun


__all__ = [
    "METHODS",
    "AdaptiveAugmentation",
    "Augmentation",
    "DDGANArguments",
    "DDGANDraws",
    "DDGANObjective",
    "DiffAugmentation",
    "DiffusionGANArguments",
    "DiffusionGANDraws",
    "DiffusionGANObjective",
    "HalfStep",
    "Objective",
    "OptimizationArguments",
    "Player",
    "RunArguments",
    "SPIGANArguments",
    "SPIGANDraws",
    "SPIGANObjective",
    "StepOutput",
    "Trainer",
    "TrainingArguments",
    "TrainingRun",
    "Transfer",
    "export_checkpoint",
    "load_pretrained",
    "make_accelerator",
    "parse_arguments",
    "train",
    "transfer_weights",
]
