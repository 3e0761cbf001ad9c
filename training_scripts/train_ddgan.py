#!/usr/bin/env python
# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Trains a denoising diffusion GAN (arXiv 2112.07804) from a recipe; see training_scripts/README.md."""

from accelerate.utils import set_seed

from gan_diffusion import DDGANPipeline
from gan_diffusion.hub import save_repository
from gan_diffusion.recipes import Recipe
from gan_diffusion.training import (
    DDGANArguments,
    DDGANObjective,
    Trainer,
    TrainingData,
    load_training_dataset,
    make_accelerator,
    parse_arguments,
)


def main(arguments: DDGANArguments) -> None:
    recipe = Recipe.load(arguments.recipe)
    accelerator = make_accelerator(arguments)
    sample_shape = recipe.sample_shape(arguments.resolution)
    with accelerator.main_process_first():
        dataset = load_training_dataset(arguments, sample_shape)
    data = TrainingData(
        dataset,
        arguments.train_batch_size,
        seed=arguments.seed,
        random_flip=arguments.random_flip,
        num_workers=arguments.dataloader_num_workers,
        rank=accelerator.process_index,
        num_processes=accelerator.num_processes,
    )

    set_seed(arguments.seed)
    overrides = {"num_class_embeds": dataset.num_classes} if arguments.class_conditional else {}
    discriminator = recipe.build("discriminator", **overrides)
    if arguments.resolution is not None:
        overrides["sample_size"] = arguments.resolution
    generator = recipe.build("generator", **overrides)
    scheduler = recipe.build("scheduler")
    objective = DDGANObjective(
        generator,
        discriminator,
        scheduler,
        latent_dim=generator.config.latent_dim,
        r1_gamma=arguments.r1_gamma,
        r1_interval=arguments.r1_interval,
    )
    pipeline = DDGANPipeline(generator, scheduler)
    trainer = Trainer(objective, pipeline, data, arguments, accelerator)
    if trainer.train() and accelerator.is_main_process:
        save_repository(arguments.output_dir, pipeline, discriminator, recipe, trainer.measurements())
        print(f"Saved the pipeline in {arguments.output_dir}")


if __name__ == "__main__":
    main(parse_arguments(DDGANArguments, __doc__))
