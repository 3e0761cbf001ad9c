# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

from .auto import load_pipeline
from .modular_blocks import DDGANBlocks, DiffusionGANBlocks, SPIGANBlocks
from .pipeline_ddgan import DDGANPipeline
from .pipeline_diffusion_gan import DiffusionGANPipeline
from .pipeline_spi_gan import SPIGANPipeline
from .shipped import list_shipped_models, shipped_model


__all__ = [
    "DDGANBlocks",
    "DDGANPipeline",
    "DiffusionGANBlocks",
    "DiffusionGANPipeline",
    "SPIGANBlocks",
    "SPIGANPipeline",
    "list_shipped_models",
    "load_pipeline",
    "shipped_model",
]
