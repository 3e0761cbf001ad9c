#!/usr/bin/env python
# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Trains an SPI-GAN (arXiv 2206.14464) from a recipe; see training_scripts/README.md."""

from gan_diffusion import SPIGANPipeline
from gan_diffusion.training import (
    AdaptiveAugmentation,
    SPIGANArguments,
    SPIGANObjective,
    TrainingRun,
    parse_arguments,
)


def main(arguments: SPIGANArguments) -> None:
    run = TrainingRun.prepare(arguments)
    augmentation = None
    if arguments.augmentation:
        augmentation = AdaptiveAugmentation(
            target=arguments.augmentation_target, adaptation_kimg=arguments.augmentation_kimg
        )
    objective = SPIGANObjective(
        run.generator,
        run.discriminator,
        run.scheduler,
        r1_gamma=arguments.r1_gamma,
        r1_interval=arguments.r1_interval,
        augmentation=augmentation,
    )
    run.train(objective, SPIGANPipeline(run.generator, run.scheduler))


if __name__ == "__main__":
    main(parse_arguments(SPIGANArguments, __doc__))
