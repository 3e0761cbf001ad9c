# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

from .auto import load_pipeline
from .pipeline_ddgan import DDGANPipeline
from .pipeline_diffusion_gan import DiffusionGANPipeline
from .pipeline_spi_gan import SPIGANPipeline


__all__ = ["DDGANPipeline", "DiffusionGANPipeline", "SPIGANPipeline", "load_pipeline"]
