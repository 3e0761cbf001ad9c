# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

from .base import HalfStep, Objective, Player, StepOutput
from .ddgan import DDGANDraws, DDGANObjective
from .diffusion_gan import DiffusionGANDraws, DiffusionGANObjective
from .insgen import InsGenObjective
from .spi_gan import SPIGANDraws, SPIGANObjective


__all__ = [
    "DDGANDraws",
    "DDGANObjective",
    "DiffusionGANDraws",
    "DiffusionGANObjective",
    "HalfStep",
    "InsGenObjective",
    "Objective",
    "Player",
    "SPIGANDraws",
    "SPIGANObjective",
    "StepOutput",
]
