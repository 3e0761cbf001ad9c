# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

from .base import Objective, StepOutput
from .ddgan import DDGANDraws, DDGANObjective
from .diffusion_gan import DiffusionGANDraws, DiffusionGANObjective


__all__ = [
    "DDGANDraws",
    "DDGANObjective",
    "DiffusionGANDraws",
    "DiffusionGANObjective",
    "Objective",
    "StepOutput",
]
