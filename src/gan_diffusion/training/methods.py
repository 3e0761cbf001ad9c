# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The methods as training commands: options, objective and pipeline of each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..registry import load_class
from .arguments import DDGANArguments, DiffusionGANArguments, SPIGANArguments
from .augmentation import AdaptiveAugmentation
from .objectives import DDGANObjective, DiffusionGANObjective, Objective, SPIGANObjective
from .parsing import parse_arguments
from .run import TrainingRun
from .run_folder import logged_output, run_folder
from .signals import end_with_launcher


@dataclass(frozen=True)
class Method:
    """
    What the training of a method needs beyond what all methods share.

    Args:
        description (`str`): First line of `--help`.
        arguments (`type`): Dataclass of the method's own options.
        objective (`Callable`): Makes the objective of a [`TrainingRun`].
        pipeline (`str`): Name of the pipeline's class.
    """

    description: str
    arguments: type
    objective: Callable[[TrainingRun], Objective]
    pipeline: str


def _ddgan(run: TrainingRun) -> DDGANObjective:
    latent_dim = run.generator.config.latent_dim
    return DDGANObjective(
        run.generator, run.discriminator, run.scheduler, latent_dim=latent_dim, **vars(run.arguments.method)
    )


def _diffusion_gan(run: TrainingRun) -> DiffusionGANObjective:
    latent_dim = run.generator.config.latent_dim
    return DiffusionGANObjective(
        run.generator, run.discriminator, run.scheduler, latent_dim=latent_dim, **vars(run.arguments.method)
    )


def _spi_gan(run: TrainingRun) -> SPIGANObjective:
    options: SPIGANArguments = run.arguments.method
    augmentation = None
    if options.augmentation:
        augmentation = AdaptiveAugmentation(
            target=options.augmentation_target, adaptation_kimg=options.augmentation_kimg
        )
    return SPIGANObjective(
        run.generator,
        run.discriminator,
        run.scheduler,
        r1_gamma=options.r1_gamma,
        r1_interval=options.r1_interval,
        augmentation=augmentation,
    )


METHODS = {
    "ddgan": Method("Trains a denoising diffusion GAN (arXiv 2112.07804).", DDGANArguments, _ddgan, "DDGANPipeline"),
    "diffusion-gan": Method(
        "Trains a Diffusion-GAN (arXiv 2206.02262).", DiffusionGANArguments, _diffusion_gan, "DiffusionGANPipeline"
    ),
    "spi-gan": Method("Trains an SPI-GAN (arXiv 2206.14464).", SPIGANArguments, _spi_gan, "SPIGANPipeline"),
}


def train(method: str, argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """
    Trains a model as the command line says.

    Args:
        method (`str`): `"ddgan"`, `"diffusion-gan"` or `"spi-gan"`.
        argv (`Sequence[str]`, *optional*): Instead of `sys.argv[1:]`.
        prog (`str`, *optional*): Name of the command in messages.

    Raises:
        ValueError: If the recipe, the data or the output folder cannot be used.
    """
    entry = METHODS[method]
    arguments = parse_arguments(entry.arguments, entry.description, argv, prog)
    end_with_launcher()
    with run_folder(arguments.run.output_dir), logged_output(arguments.run.output_dir):
        run = TrainingRun.prepare(arguments)
        run.train(entry.objective(run), load_class(entry.pipeline)(run.generator, run.scheduler))
