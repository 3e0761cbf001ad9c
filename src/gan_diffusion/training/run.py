# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""From options to a saved model: what the training scripts of all methods share."""

from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from diffusers import DiffusionPipeline, ModelMixin

from ..publishing import save_repository
from ..recipes import Recipe
from .arguments import TrainingArguments
from .data import TrainingData, load_training_dataset
from .loop import Trainer, make_accelerator
from .objectives.base import Objective


# Options that say nothing about the model, or name places on this machine.
_LOCAL_OPTIONS = {
    "recipe", "output_dir", "train_data_dir", "cache_dir", "logging_dir", "report_to", "dataloader_num_workers",
    "resume_from_checkpoint",
}  # fmt: skip


@dataclass
class TrainingRun:
    """
    Data and freshly initialised components of a recipe, ready for an objective.

    Args:
        arguments ([`TrainingArguments`]): Options.
        recipe ([`Recipe`]): What is trained.
        accelerator (`Accelerator`): Processes, device and tracker.
        data ([`TrainingData`]): Batches.
        generator, discriminator ([`ModelMixin`]): Networks with fresh weights.
        scheduler (`SchedulerMixin`): The forward process.
    """

    arguments: TrainingArguments
    recipe: Recipe
    accelerator: Accelerator
    data: TrainingData
    generator: ModelMixin
    discriminator: ModelMixin
    scheduler: Any

    @classmethod
    def prepare(cls, arguments: TrainingArguments) -> "TrainingRun":
        """
        Reads the recipe, opens the data, builds the components.

        Raises:
            ValueError: if the recipe, the data or the output folder cannot be used.
        """
        recipe = Recipe.load(arguments.recipe)
        accelerator = make_accelerator(arguments)
        with accelerator.main_process_first():
            with torch.device("meta"):
                sample_shape = cls._build(recipe, arguments, "generator").sample_shape
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

        classes = {"num_class_embeds": dataset.num_classes} if arguments.class_conditional else {}
        set_seed(arguments.seed)
        discriminator = cls._build(recipe, arguments, "discriminator", **classes)
        generator = cls._build(recipe, arguments, "generator", **classes)
        return cls(arguments, recipe, accelerator, data, generator, discriminator, scheduler=recipe.build("scheduler"))

    @staticmethod
    def _build(recipe: Recipe, arguments: TrainingArguments, name: str, **overrides) -> ModelMixin:
        """The component with the image side that was asked for."""
        if arguments.resolution is not None and "sample_size" in recipe.config(name):
            overrides["sample_size"] = arguments.resolution
        return recipe.build(name, **overrides)

    def train(self, objective: Objective, pipeline: DiffusionPipeline) -> bool:
        """
        Trains, and when the training is complete saves the pipeline, the discriminator and the model card.

        Returns:
            `bool`: whether it is complete, and not stopped by a signal.
        """
        trainer = Trainer(objective, pipeline, self.data, self.arguments, self.accelerator)
        complete = trainer.train()
        if complete and self.accelerator.is_main_process:
            options = {k: v for k, v in vars(self.arguments).items() if v is not None and k not in _LOCAL_OPTIONS}
            save_repository(
                self.arguments.output_dir, pipeline, self.discriminator, self.recipe, options, trainer.measurements()
            )
            print(f"Saved the pipeline in {self.arguments.output_dir}")
        return complete
