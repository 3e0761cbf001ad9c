# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
Diffusion GANs as diffusers components: images in one to four network evaluations.

Every public name is imported on first use, so `import gan_diffusion` costs next to nothing. It also registers the
package with diffusers, which pipelines need to load components of this package from the Hub.
"""

from typing import TYPE_CHECKING

from .registry import MODULE_OF, load_class, register_with_diffusers


__version__ = "0.2.0.dev0"

__all__ = ["__version__", *MODULE_OF]


def __getattr__(name: str):
    try:
        value = load_class(name)
    except ValueError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


register_with_diffusers()


if TYPE_CHECKING:
    from .models.discriminators.ddgan import DDGANDiscriminator
    from .models.discriminators.diffused import DiffusedDiscriminator
    from .models.discriminators.mlp import MLPDiscriminator
    from .models.discriminators.projected import ProjectedDiscriminator
    from .models.discriminators.spi_gan import SPIGANDiscriminator
    from .models.discriminators.stylegan2 import StyleGAN2Discriminator
    from .models.generators.fastgan import FastGANGenerator
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
