# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

from .discriminators import DDGANDiscriminator
from .generators import NCSNppGenerator
from .outputs import GeneratorOutput


__all__ = ["DDGANDiscriminator", "GeneratorOutput", "NCSNppGenerator"]
