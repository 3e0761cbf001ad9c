# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""From options to a saved model: what the training of all methods shares."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from diffusers import DiffusionPipeline, ModelMixin
from diffusers.utils import logging

from ..data.loader import EndlessBatches
from ..data.preview import save_preview
from ..data.report import write_json
from ..data.sources import load_samples
from ..data.storage import check_output_folder
from ..publishing import save_repository
from ..recipes import Recipe
from .accelerator import make_accelerator
from .arguments import TrainingArguments
from .loop import Trainer
from .objectives.base import Objective


logger = logging.get_logger(__name__)

# Training images in the picture that each run saves: 64, or as many as make a picture of 4096x4096 pixels.
_PREVIEW_IMAGES = 64
_PREVIEW_PIXELS = 4096 * 4096


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
        check_output_folder(arguments.data.train_data_dir, arguments.run.output_dir)
        recipe = Recipe.load(arguments.run.recipe)
        accelerator = make_accelerator(arguments)
        if accelerator.is_main_process:
            for note in arguments.notes:
                logger.warning("%s", note)
        data = _open_data(arguments, recipe, accelerator)
        classes = {"num_class_embeds": data.dataset.num_classes} if arguments.data.class_conditional else {}
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
        trainer = Trainer(objective, pipeline, self.data, self.arguments, self.accelerator)
        complete = trainer.train()
        if complete and self.accelerator.is_main_process:
            training = self.arguments.recipe_settings()
            save_repository(output_dir, pipeline, self.discriminator, self.recipe, training, trainer.measurements())
            print(f"Saved the pipeline in {output_dir}")
        return complete


def preview(arguments: TrainingArguments) -> None:
    """
    Writes the first training images to `preview.png` in the output folder, and trains nothing.

    Args:
        arguments ([`TrainingArguments`]): Options, with the number of images.

    Raises:
        ValueError: If the recipe, the data or the output folder cannot be used.
    """
    check_output_folder(arguments.data.train_data_dir, arguments.run.output_dir)
    accelerator = make_accelerator(arguments)
    data = _open_data(arguments, Recipe.load(arguments.run.recipe), accelerator)
    if accelerator.is_main_process:
        file = Path(arguments.run.output_dir) / "preview.png"
        count = save_preview(data, arguments.data.preview or 1, file)
        print(f"Wrote {count} training images to {file}, and their names to preview.json. Nothing was trained.")
    accelerator.end_training()


def _open_data(arguments: TrainingArguments, recipe: Recipe, accelerator: Accelerator) -> EndlessBatches:
    """The batches; what they hold is printed and saved, with a picture of the first images."""
    options = arguments.optimization
    with torch.device("meta"):
        sample_shape = _build(recipe, arguments, "generator").sample_shape
    if arguments.data.resolution is not None and len(sample_shape) != 3:
        raise ValueError(f"`resolution` must not be given for vectors, which recipe {recipe.name!r} is for.")
    output_dir = Path(arguments.run.output_dir)
    with accelerator.main_process_first():
        first = accelerator.is_local_main_process
        dataset = load_samples(arguments.data, sample_shape, options.seed, output_dir, show_progress=first)
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
    if accelerator.is_main_process:
        print("\n".join(dataset.report.lines()))
        write_json(output_dir / "data.json", dataset.report.to_dict())
        if len(sample_shape) == 3 and arguments.data.preview is None:
            count = min(_PREVIEW_IMAGES, max(1, _PREVIEW_PIXELS // (sample_shape[1] * sample_shape[2])))
            save_preview(data, count, output_dir / "training-images.png")
    return data


def _build(recipe: Recipe, arguments: TrainingArguments, name: str, **overrides) -> ModelMixin:
    """A component of the recipe, for images of the size that was asked for."""
    resolution = arguments.data.resolution
    if resolution is not None and "sample_size" in recipe.config(name):
        overrides["sample_size"] = resolution[0] if len(resolution) == 1 else tuple(resolution)
    return recipe.build(name, **overrides)
