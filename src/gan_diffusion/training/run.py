# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""From options to a saved model: what the training of all methods shares."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from diffusers import DiffusionPipeline, ModelMixin
from diffusers.utils import logging

from ..data.batch import Samples
from ..data.loader import EndlessBatches
from ..data.sources import load_samples
from ..publishing import save_repository
from ..recipes import Recipe
from .accelerator import make_accelerator
from .arguments import TrainingArguments
from .loop import Trainer
from .objectives.base import Objective
from .pretrained import load_pretrained
from .record import RECORD_NAME, describe_start, make_record, notes_on_repeating, summarize, write_record


logger = logging.get_logger(__name__)


@dataclass
class TrainingRun:
    """
    Data and components of a recipe, ready for an objective.

    Args:
        arguments ([`TrainingArguments`]): Options.
        recipe ([`Recipe`]): What is trained.
        accelerator (`Accelerator`): Processes, device and tracker.
        data ([`~data.EndlessBatches`]): Batches.
        generator ([`ModelMixin`]): The generator, with fresh weights or those of a saved model.
        discriminator ([`ModelMixin`]): The discriminator, likewise.
        scheduler (`SchedulerMixin`): The forward process.
        record (`dict[str, Any]`): What run.yaml will hold.
        start (`dict[str, Any]`): What it will hold of this start.
    """

    arguments: TrainingArguments
    recipe: Recipe
    accelerator: Accelerator
    data: EndlessBatches
    generator: ModelMixin
    discriminator: ModelMixin
    scheduler: Any
    record: dict[str, Any] = field(default_factory=dict)
    start: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def prepare(cls, arguments: TrainingArguments) -> "TrainingRun":
        """
        Reads the recipe, opens the data, builds the components, and says what will be trained.

        Args:
            arguments ([`TrainingArguments`]): Options.

        Returns:
            [`TrainingRun`]: ready for an objective.

        Raises:
            ValueError: If the recipe, the data, the output folder or the saved model to start from cannot be used.
        """
        recipe = Recipe.load(arguments.run.recipe)
        accelerator = make_accelerator(arguments)
        with torch.device("meta"):
            sample_shape = _build(recipe, arguments, "generator").sample_shape
        if arguments.data.resolution is not None and len(sample_shape) != 3:
            raise ValueError(f"`resolution` must not be given for vectors, which recipe {recipe.name!r} is for.")
        with accelerator.main_process_first():
            dataset = load_samples(arguments.data, sample_shape, arguments.optimization.seed)
        components, fine_tuned_from, lines = _make_components(recipe, arguments, accelerator, dataset)
        record = make_record(arguments, recipe, components, dataset, fine_tuned_from)
        start = describe_start(arguments, accelerator)
        record["left_out"] += notes_on_repeating(recipe, record, start)
        num_classes = recipe.config("generator").get("num_class_embeds")
        if num_classes is not None and not arguments.data.class_conditional:
            record["left_out"].append(f"The recipe's {num_classes} classes are left out: class_conditional is off.")
        if accelerator.is_main_process:
            report = getattr(dataset, "report", None)
            data_lines = [f"Data: {len(dataset)} samples"] if report is None else report.lines()
            print(*summarize(record, start, arguments.run.output_dir), *data_lines, *lines, sep="\n", flush=True)
        return cls(
            arguments, recipe, accelerator, _batches(arguments, accelerator, dataset), **components, record=record,
            start=start,
        )  # fmt: skip

    @property
    def id2label(self) -> dict[int, str] | None:
        """Names of the classes, for the pipeline; `None` without classes or names."""
        names = self.record["data"]["class_names"]
        return dict(enumerate(names)) if names and self.arguments.data.class_conditional else None

    def train(self, objective: Objective, pipeline: DiffusionPipeline) -> bool:
        """
        Trains, and when the training is complete saves the pipeline, the discriminator and the model card.

        Args:
            objective ([`~training.objectives.Objective`]): The networks and their losses.
            pipeline ([`DiffusionPipeline`]): Samples from the objective's generator.

        Returns:
            `bool`: whether it is complete, and not stopped by a signal.
        """
        output_dir = Path(self.arguments.run.output_dir)
        trainer = Trainer(objective, pipeline, self.data, self.arguments, self.accelerator)

        def save(folder: Path) -> None:
            record = Recipe.load(output_dir / RECORD_NAME).record
            training, measurements = self.arguments.recipe_settings(), trainer.measurements()
            save_repository(folder, pipeline, self.discriminator, self.recipe, training, measurements, record=record)
            print(f"Saved the pipeline in {folder}", flush=True)

        trainer.on_start = lambda step: write_record(output_dir, self.record, self.start, step)
        trainer.on_save_model = lambda step: save(output_dir / f"model-{step}")
        complete = trainer.train()
        if complete and self.accelerator.is_main_process:
            save(output_dir)
        return complete


def _batches(arguments: TrainingArguments, accelerator: Accelerator, dataset: Samples) -> EndlessBatches:
    options = arguments.optimization
    return EndlessBatches(
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


def _make_components(
    recipe: Recipe, arguments: TrainingArguments, accelerator: Accelerator, dataset: Samples
) -> tuple[dict[str, Any], dict[str, Any] | None, list[str]]:
    """The networks and the scheduler, where their weights come from, and the same in lines for people."""
    num_classes = dataset.num_classes if arguments.data.class_conditional else None
    set_seed(arguments.optimization.seed)
    # The order decides which random numbers each network begins with.
    components: dict[str, Any] = {
        part: _build(recipe, arguments, part, num_class_embeds=num_classes) for part in ("discriminator", "generator")
    }
    networks = {part: components[part] for part in ("generator", "discriminator")}
    fine_tuned_from, lines = None, []
    if arguments.run.pretrained is not None:
        class_names = getattr(dataset, "class_names", None) if num_classes else None
        with accelerator.main_process_first():
            fine_tuned_from, lines = load_pretrained(arguments.run.pretrained, networks, class_names)
    return {**networks, "scheduler": recipe.build("scheduler")}, fine_tuned_from, lines


def _build(recipe: Recipe, arguments: TrainingArguments, name: str, **overrides) -> ModelMixin:
    """A network of the recipe, for images of the size and for as many classes as were asked for."""
    resolution = arguments.data.resolution
    if resolution is not None and "sample_size" in recipe.config(name):
        overrides["sample_size"] = resolution[0] if len(resolution) == 1 else tuple(resolution)
    if overrides.get("num_class_embeds", 0) is None and "num_class_embeds" not in recipe.config(name):
        del overrides["num_class_embeds"]
    return recipe.build(name, **overrides)
