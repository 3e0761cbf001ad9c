# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

from .contrastive import ContrastiveHead, ContrastiveOutput
from .ddgan import DDGANDiscriminator
from .mlp import MLPDiscriminator
from .projected import ProjectedDiscriminator
from .spi_gan import SPIGANDiscriminator
from .stylegan2 import StyleGAN2Discriminator


__all__ = [
    "ContrastiveHead",
    "ContrastiveOutput",
    "DDGANDiscriminator",
    "MLPDiscriminator",
    "ProjectedDiscriminator",
    "SPIGANDiscriminator",
    "StyleGAN2Discriminator",
]
