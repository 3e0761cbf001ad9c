# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

from .checkpoint import OfficialCheckpoint, load_official_checkpoint
from .command import convert_checkpoint, run_conversion
from .contrastive import contrastive_head_key_map, convert_contrastive_head, export_contrastive_head
from .ddgan import (
    convert_ddgan_discriminator,
    convert_ddgan_generator,
    ddgan_discriminator_key_map,
    ddgan_generator_key_map,
    ddgan_generator_modules,
    export_ddgan_discriminator,
    export_ddgan_generator,
)
from .networks import Components, build_components
from .projected import (
    convert_fastgan_generator,
    convert_projected_discriminator,
    export_fastgan_generator,
    export_projected_discriminator,
    fastgan_generator_key_map,
    projected_discriminator_key_map,
)
from .stylegan2 import (
    convert_stylegan2_discriminator,
    convert_stylegan2_generator,
    export_stylegan2_discriminator,
    export_stylegan2_generator,
    stylegan2_discriminator_key_map,
    stylegan2_generator_key_map,
)


__all__ = [
    "Components",
    "OfficialCheckpoint",
    "contrastive_head_key_map",
    "convert_contrastive_head",
    "build_components",
    "convert_checkpoint",
    "convert_ddgan_discriminator",
    "convert_ddgan_generator",
    "convert_fastgan_generator",
    "convert_projected_discriminator",
    "convert_stylegan2_discriminator",
    "convert_stylegan2_generator",
    "ddgan_discriminator_key_map",
    "ddgan_generator_key_map",
    "ddgan_generator_modules",
    "export_contrastive_head",
    "export_ddgan_discriminator",
    "export_ddgan_generator",
    "export_fastgan_generator",
    "export_projected_discriminator",
    "export_stylegan2_discriminator",
    "export_stylegan2_generator",
    "fastgan_generator_key_map",
    "load_official_checkpoint",
    "projected_discriminator_key_map",
    "run_conversion",
    "stylegan2_discriminator_key_map",
    "stylegan2_generator_key_map",
]
