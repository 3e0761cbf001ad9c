# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

from .discriminators import (
    ContrastiveHead,
    ContrastiveOutput,
    DDGANDiscriminator,
    MLPDiscriminator,
    ProjectedDiscriminator,
    SPIGANDiscriminator,
    StyleGAN2Discriminator,
)
from .generators import (
    FastGANGenerator,
    LatentMLPGenerator,
    MLPGenerator,
    NCSNppGenerator,
    SPIGANGenerator,
    SPIGANOutput,
    StyleGAN2Generator,
    StyleGAN2Output,
)
from .outputs import DiscriminatorOutput, GeneratorOutput


__all__ = [
    "ContrastiveHead",
    "ContrastiveOutput",
    "DDGANDiscriminator",
    "DiscriminatorOutput",
    "FastGANGenerator",
    "GeneratorOutput",
    "LatentMLPGenerator",
    "MLPDiscriminator",
    "MLPGenerator",
    "NCSNppGenerator",
    "ProjectedDiscriminator",
    "SPIGANDiscriminator",
    "SPIGANGenerator",
    "SPIGANOutput",
    "StyleGAN2Discriminator",
    "StyleGAN2Generator",
    "StyleGAN2Output",
]
