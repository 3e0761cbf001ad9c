# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""From options to a saved model: what the training of all methods shares."""

from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from diffusers import DiffusionPipeline, ModelMixin
from diffusers.utils import logging

from ..data.loader import EndlessBatches
from ..data.sources import load_samples
from ..publishing import save_repository
from ..recipes import Recipe
from .accelerator import make_accelerator
from .arguments import TrainingArguments
from .loop import Trainer
from .objectives.base import Objective
from .run_folder import run_folder


logger = logging.get_logger(__name__)


@dataclass
class TrainingRun:
    """
    Data and freshly initialised components of a recipe, ready for an objective.

    Args:
        arguments ([`TrainingArguments`]): Options.
        recipe ([`Recipe`]): What is trained.
        accelerator (`Accelerator`): Processes, device and tracker.
        data ([`~data.EndlessBatches`]): Batches.
        generator, discriminator ([`ModelMixin`]): Networks with fresh weights.
        scheduler (`SchedulerMixin`): The forward process.
    """

    arguments: TrainingArguments
    recipe: Recipe
    accelerator: Accelerator
    data: EndlessBatches
    generator: ModelMixin
    discriminator: ModelMixin
    scheduler: Any

    @classmethod
    def prepare(cls, arguments: TrainingArguments) -> "TrainingRun":
        """
        Reads the recipe, opens the data, builds the components.

        Args:
            arguments ([`TrainingArguments`]): Options.

        Returns:
            [`TrainingRun`]: ready for an objective.

        Raises:
            ValueError: If the recipe, the data or the output folder cannot be used.
        """
        options = arguments.optimization
        recipe = Recipe.load(arguments.run.recipe)
        accelerator = make_accelerator(arguments)
        if accelerator.is_main_process:
            for note in arguments.notes:
                logger.warning("%s", note)
        with torch.device("meta"):
            sample_shape = _build(recipe, arguments, "generator").sample_shape
        if arguments.data.resolution is not None and len(sample_shape) != 3:
            raise ValueError(f"`resolution` must not be given for vectors, which recipe {recipe.name!r} is for.")
        with accelerator.main_process_first():
            dataset = load_samples(arguments.data, sample_shape, options.seed)
        data = EndlessBatches(
            dataset,
            options.train_batch_size,
            batches_per_step=options.gradient_accumulation_steps,
            seed=options.seed,
            random_flip=arguments.data.random_flip,
            class_conditional=arguments.data.class_conditional,
            num_workers=arguments.data.dataloader_num_workers,
            rank=accelerator.process_index,
            num_processes=accelerator.num_processes,
        )
        classes = {"num_class_embeds": dataset.num_classes} if arguments.data.class_conditional else {}
        set_seed(options.seed)
        discriminator = _build(recipe, arguments, "discriminator", **classes)
        generator = _build(recipe, arguments, "generator", **classes)
        return cls(arguments, recipe, accelerator, data, generator, discriminator, scheduler=recipe.build("scheduler"))

    def train(self, objective: Objective, pipeline: DiffusionPipeline) -> bool:
        """
        Trains, and when the training is complete saves the pipeline, the discriminator and the model card.

        Args:
            objective ([`~training.objectives.Objective`]): The networks and their losses.
            pipeline ([`DiffusionPipeline`]): Samples from the objective's generator.

        Returns:
            `bool`: whether it is complete, and not stopped by a signal.
        """
        output_dir = self.arguments.run.output_dir
        with run_folder(output_dir):
            trainer = Trainer(objective, pipeline, self.data, self.arguments, self.accelerator)
            complete = trainer.train()
            if complete and self.accelerator.is_main_process:
                training = self.arguments.recipe_settings()
                save_repository(
                    output_dir, pipeline, self.discriminator, self.recipe, training, trainer.measurements()
                )
                print(f"Saved the pipeline in {output_dir}")
        return complete


def _build(recipe: Recipe, arguments: TrainingArguments, name: str, **overrides) -> ModelMixin:
    """A component of the recipe, for images of the size that was asked for."""
    resolution = arguments.data.resolution
    if resolution is not None and "sample_size" in recipe.config(name):
        overrides["sample_size"] = resolution[0] if len(resolution) == 1 else tuple(resolution)
    return recipe.build(name, **overrides)
