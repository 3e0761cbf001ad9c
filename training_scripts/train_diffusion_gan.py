#!/usr/bin/env python
# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Trains a Diffusion-GAN (arXiv 2206.02262) from a recipe; see training_scripts/README.md."""

from gan_diffusion import DiffusionGANPipeline
from gan_diffusion.training import DiffusionGANArguments, DiffusionGANObjective, TrainingRun, parse_arguments


def main(arguments: DiffusionGANArguments) -> None:
    run = TrainingRun.prepare(arguments)
    objective = DiffusionGANObjective(
        run.generator,
        run.discriminator,
        run.scheduler,
        latent_dim=run.generator.config.latent_dim,
        r1_gamma=arguments.r1_gamma,
        r1_interval=arguments.r1_interval,
        path_length_weight=arguments.path_length_weight,
        path_length_interval=arguments.path_length_interval,
        style_mixing_probability=arguments.style_mixing_probability,
    )
    run.train(objective, DiffusionGANPipeline(run.generator, run.scheduler))


if __name__ == "__main__":
    main(parse_arguments(DiffusionGANArguments, __doc__))
