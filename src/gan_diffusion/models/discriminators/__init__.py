# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

from .ddgan import DDGANDiscriminator
from .mlp import MLPDiscriminator
from .projected import ProjectedDiscriminator
from .spi_gan import SPIGANDiscriminator
from .stylegan2 import StyleGAN2Discriminator


__all__ = [
    "DDGANDiscriminator",
    "MLPDiscriminator",
    "ProjectedDiscriminator",
    "SPIGANDiscriminator",
    "StyleGAN2Discriminator",
]
