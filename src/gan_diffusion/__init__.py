# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Diffusion GANs as diffusers components: images in one to four network evaluations.

Every public name is imported on first use, so `import gan_diffusion` costs next to nothing. The first use also registers
the package with diffusers, which pipelines need to load components of this package from the Hub.
"""

from importlib import import_module
from typing import TYPE_CHECKING


__version__ = "0.1.0.dev0"

_MODULE_OF = {
    "DDGANPipeline": "gan_diffusion.pipelines.pipeline_ddgan",
    "DiffusionGANPipeline": "gan_diffusion.pipelines.pipeline_diffusion_gan",
    "SPIGANPipeline": "gan_diffusion.pipelines.pipeline_spi_gan",
    "DDGANScheduler": "gan_diffusion.schedulers.scheduling_ddgan",
    "SPIGANScheduler": "gan_diffusion.schedulers.scheduling_spi_gan",
    "DiffusionGANScheduler": "gan_diffusion.schedulers.scheduling_diffusion_gan",
    "NCSNppGenerator": "gan_diffusion.models.generators.ncsnpp",
    "LatentMLPGenerator": "gan_diffusion.models.generators.latent_mlp",
    "MLPGenerator": "gan_diffusion.models.generators.mlp",
    "SPIGANGenerator": "gan_diffusion.models.generators.spi_gan",
    "StyleGAN2Generator": "gan_diffusion.models.generators.stylegan2",
    "DDGANDiscriminator": "gan_diffusion.models.discriminators.ddgan",
    "StyleGAN2Discriminator": "gan_diffusion.models.discriminators.stylegan2",
    "SPIGANDiscriminator": "gan_diffusion.models.discriminators.spi_gan",
    "MLPDiscriminator": "gan_diffusion.models.discriminators.mlp",
    "DiffusedDiscriminator": "gan_diffusion.diffused_discriminator",
    # diffusers asks the registered package for the base classes by these names.
    "ModelMixin": "diffusers.models.modeling_utils",
    "SchedulerMixin": "diffusers.schedulers.scheduling_utils",
}

__all__ = ["__version__", *(name for name in _MODULE_OF if not name.endswith("Mixin"))]


def __getattr__(name: str):
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULE_OF[name]), name)

    from .registration import register_with_diffusers

    register_with_diffusers()
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})


if TYPE_CHECKING:
    from .diffused_discriminator import DiffusedDiscriminator
    from .models.discriminators.ddgan import DDGANDiscriminator
    from .models.discriminators.mlp import MLPDiscriminator
    from .models.discriminators.spi_gan import SPIGANDiscriminator
    from .models.discriminators.stylegan2 import StyleGAN2Discriminator
    from .models.generators.latent_mlp import LatentMLPGenerator
    from .models.generators.mlp import MLPGenerator
    from .models.generators.ncsnpp import NCSNppGenerator
    from .models.generators.spi_gan import SPIGANGenerator
    from .models.generators.stylegan2 import StyleGAN2Generator
    from .pipelines.pipeline_ddgan import DDGANPipeline
    from .pipelines.pipeline_diffusion_gan import DiffusionGANPipeline
    from .pipelines.pipeline_spi_gan import SPIGANPipeline
    from .schedulers.scheduling_ddgan import DDGANScheduler
    from .schedulers.scheduling_diffusion_gan import DiffusionGANScheduler
    from .schedulers.scheduling_spi_gan import SPIGANScheduler
