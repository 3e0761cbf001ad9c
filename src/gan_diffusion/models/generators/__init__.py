# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

from .fastgan import FastGANGenerator
from .latent_mlp import LatentMLPGenerator
from .mlp import MLPGenerator
from .ncsnpp import NCSNppGenerator
from .spi_gan import SPIGANGenerator, SPIGANOutput
from .stylegan2 import StyleGAN2Generator, StyleGAN2Output


__all__ = [
    "FastGANGenerator",
    "LatentMLPGenerator",
    "MLPGenerator",
    "NCSNppGenerator",
    "SPIGANGenerator",
    "SPIGANOutput",
    "StyleGAN2Generator",
    "StyleGAN2Output",
]
