# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

from .scheduling_ddgan import DDGANScheduler, DDGANSchedulerOutput
from .scheduling_diffusion_gan import DiffusionGANScheduler
from .scheduling_spi_gan import SPIGANScheduler


__all__ = ["DDGANScheduler", "DDGANSchedulerOutput", "DiffusionGANScheduler", "SPIGANScheduler"]
