# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
The ground floor: which module holds each public class, and the registration of the package with diffusers.

Nothing here imports torch or diffusers before a class is asked for.
"""

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType


# Public name -> module inside the package.
MODULE_OF = {
    "DDGANPipeline": "pipelines.pipeline_ddgan",
    "DiffusionGANPipeline": "pipelines.pipeline_diffusion_gan",
    "SPIGANPipeline": "pipelines.pipeline_spi_gan",
    "DDGANScheduler": "schedulers.scheduling_ddgan",
    "DiffusionGANScheduler": "schedulers.scheduling_diffusion_gan",
    "SPIGANScheduler": "schedulers.scheduling_spi_gan",
    "FastGANGenerator": "models.generators.fastgan",
    "LatentMLPGenerator": "models.generators.latent_mlp",
    "MLPGenerator": "models.generators.mlp",
    "NCSNppGenerator": "models.generators.ncsnpp",
    "SPIGANGenerator": "models.generators.spi_gan",
    "StyleGAN2Generator": "models.generators.stylegan2",
    "DDGANDiscriminator": "models.discriminators.ddgan",
    "DiffusedDiscriminator": "models.discriminators.diffused",
    "MLPDiscriminator": "models.discriminators.mlp",
    "ProjectedDiscriminator": "models.discriminators.projected",
    "SPIGANDiscriminator": "models.discriminators.spi_gan",
    "StyleGAN2Discriminator": "models.discriminators.stylegan2",
}

# diffusers asks a registered package for its base classes, and calls these methods of what it loads.
_BASE_CLASSES = {
    "ModelMixin": "diffusers.models.modeling_utils",
    "SchedulerMixin": "diffusers.schedulers.scheduling_utils",
}
_LOADING_METHODS = ["save_pretrained", "from_pretrained"]
_TABLE_MODULE = "diffusers.pipelines.pipeline_loading_utils"


def load_class(name: str) -> type:
    """
    Imports a public class of this package by its name.

    Args:
        name (`str`): One of the names in `gan_diffusion.__all__`, or a base class that diffusers asks for.

    Returns:
        `type`: the class.

    Raises:
        ValueError: If the package has no such class.
    """
    if name in _BASE_CLASSES:
        return getattr(import_module(_BASE_CLASSES[name]), name)
    if name not in MODULE_OF:
        raise ValueError(
            f"`name` must be a class of gan_diffusion, got {name!r}. The classes are {sorted(MODULE_OF)}."
        )
    return getattr(import_module(f"{__package__}.{MODULE_OF[name]}"), name)


def register_with_diffusers() -> None:
    """
    Adds this package to diffusers' table of component libraries, at once or as soon as diffusers is imported.

    Without the entry a pipeline of this package saves and loads locally but not from the Hub, because diffusers writes
    and looks up component classes by registered library name. The table is only half public; the round-trip tests over
    a Hub server fail loudly when it moves. Calling this again changes nothing.
    """
    if _TABLE_MODULE in sys.modules:
        _fill_table(sys.modules[_TABLE_MODULE])
    elif not any(isinstance(finder, _TableFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _TableFinder())


def _fill_table(module: ModuleType) -> None:
    module.LOADABLE_CLASSES[__package__] = dict.fromkeys(_BASE_CLASSES, _LOADING_METHODS)


class _TableFinder:
    """Import hook: fills diffusers' table right after the module that holds it was executed."""

    def find_spec(self, fullname: str, path=None, target=None) -> ModuleSpec | None:
        if fullname != _TABLE_MODULE:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_fill(module: ModuleType) -> None:
            execute(module)
            _fill_table(module)

        spec.loader.exec_module = execute_and_fill
        return spec
