# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

from ..registration import register_with_diffusers
from .pipeline_ddgan import DDGANPipeline
from .pipeline_diffusion_gan import DiffusionGANPipeline
from .pipeline_spi_gan import SPIGANPipeline


__all__ = ["DDGANPipeline", "DiffusionGANPipeline", "SPIGANPipeline"]

# Here as well as in the package's own list of names: `from gan_diffusion.pipelines import ...` uses none of those.
register_with_diffusers()
