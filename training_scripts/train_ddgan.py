#!/usr/bin/env python
# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Trains a denoising diffusion GAN (arXiv 2112.07804) from a recipe; see training_scripts/README.md."""

from gan_diffusion import DDGANPipeline
from gan_diffusion.training import DDGANArguments, DDGANObjective, TrainingRun, parse_arguments


def main(arguments: DDGANArguments) -> None:
    run = TrainingRun.prepare(arguments)
    objective = DDGANObjective(
        run.generator,
        run.discriminator,
        run.scheduler,
        latent_dim=run.generator.config.latent_dim,
        r1_gamma=arguments.r1_gamma,
        r1_interval=arguments.r1_interval,
    )
    run.train(objective, DDGANPipeline(run.generator, run.scheduler))


if __name__ == "__main__":
    main(parse_arguments(DDGANArguments, __doc__))
