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
from PIL import Image

from ..data.batch import Samples
from ..data.loader import EndlessBatches
from ..data.preview import save_preview
from ..data.report import write_json
from ..data.sources import load_samples
from ..data.storage import check_output_folder
from ..models.discriminators.projected import ProjectedDiscriminator
from ..publishing import open_repository, push_repository, save_repository
from ..recipes import Recipe
from .accelerator import make_accelerator
from .arguments import TrainingArguments
from .evaluations import BEST, Evaluations
from .loop import Trainer
from .objectives.base import Objective
from .pretrained import load_pretrained
from .record import RECORD_NAME, describe_start, make_record, notes_on_repeating, summarize, write_record
from .run_folder import run_folder
from .snapshots import draw_samples, make_grid


# Training images in the picture that each run saves: 64, or as many as make a picture of 4096x4096 pixels.
_PREVIEW_IMAGES = 64
_PREVIEW_PIXELS = 4096 * 4096


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
            OSError: If the Hub cannot be reached for a push.
            ValueError: If the recipe, the data, the output folder, the saved model to start from or the repository on
                the Hub cannot be used.
        """
        check_output_folder(arguments.data.train_data_dir, arguments.run.output_dir)
        recipe = Recipe.load(arguments.run.recipe)
        accelerator = make_accelerator(arguments)
        if arguments.run.push_to_hub and accelerator.is_main_process:
            # First of all, because reading the data may take long.
            repository = open_repository(*_hub_location(arguments))
            print(f"The pipeline will be pushed to {repository} on the Hub.", flush=True)
        data = _open_data(arguments, recipe, accelerator)
        components, fine_tuned_from, lines = _make_components(recipe, arguments, accelerator, data.dataset)
        record = make_record(arguments, recipe, components, data.dataset, fine_tuned_from)
        start = describe_start(arguments, accelerator)
        record["left_out"] += notes_on_repeating(recipe, record, start)
        num_classes = recipe.config("generator").get("num_class_embeds")
        if num_classes is not None and not arguments.data.class_conditional:
            record["left_out"].append(f"The recipe's {num_classes} classes are left out: class_conditional is off.")
        if accelerator.is_main_process:
            print(*summarize(record, start, arguments.run.output_dir), *lines, sep="\n", flush=True)
        return cls(arguments, recipe, accelerator, data, **components, record=record, start=start)

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
        with run_folder(output_dir):
            trainer = Trainer(objective, pipeline, self.data, self.arguments, self.accelerator)
            run, is_main = self.arguments.run, self.accelerator.is_main_process
            evaluations = (
                Evaluations(self.arguments, self.data.dataset, self.accelerator) if run.evaluation_steps else None
            )

            def save(folder: Path, measured: dict[str, float] | None = None) -> None:
                record = Recipe.load(output_dir / RECORD_NAME).record
                training, measurements = self.arguments.recipe_settings(), trainer.measurements() | (measured or {})
                save_repository(
                    folder,
                    pipeline,
                    self.discriminator,
                    self.recipe,
                    training,
                    measurements,
                    record,
                    self._draw(pipeline),
                )
                print(f"Saved the pipeline in {folder}", flush=True)

            def start(step: int) -> None:
                # Only now: a checkpoint of other data or settings has not been found.
                write_record(output_dir, self.record, self.start, step)
                _save_account(self.data, self.generator.sample_shape, output_dir)
                if evaluations is not None:
                    evaluations.start(step)

            def save_model() -> None:
                if is_main:
                    folder = output_dir / f"model-{trainer.state.step}"
                    save(folder)
                    try:
                        self._push(folder, trainer.state.step)
                    except (OSError, ValueError) as error:  # The training is worth more than an upload.
                        print(f"Not pushed, and the training goes on: {error}", flush=True)

            def evaluate() -> None:
                if evaluations is not None:
                    result = evaluations.measure(pipeline)
                    if is_main and evaluations.record(result, trainer.state):
                        save(output_dir / BEST, result.measurements())

            trainer.on_start = start
            trainer.on_average = [(run.save_model_steps, save_model), (run.evaluation_steps, evaluate)]
            complete = trainer.train()
            if complete and self.accelerator.is_main_process:
                save(output_dir)
                self._push(output_dir, trainer.state.step)
        return complete

    def _draw(self, pipeline: DiffusionPipeline) -> Image.Image | None:
        """A picture of samples for the model card, unless there are no images or none are wanted."""
        run = self.arguments.run
        if not run.validation_steps or len(self.generator.sample_shape) != 3:
            return None
        return make_grid(draw_samples(pipeline, run.num_validation_images, self.arguments.optimization.seed))

    def _push(self, folder: Path, step: int) -> None:
        if self.arguments.run.push_to_hub:
            url = push_repository(folder, *_hub_location(self.arguments), f"Add the pipeline of step {step}")
            print(f"Pushed the pipeline: {url}", flush=True)


def _hub_location(arguments: TrainingArguments) -> tuple[str, bool, str | None]:
    """Name of the repository, whether it is private, and the token."""
    run = arguments.run
    return run.hub_model_id or Path(run.output_dir).resolve().name, run.hub_private_repo, run.hub_token


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
    return data


def _save_account(data: EndlessBatches, sample_shape: tuple[int, ...], output_dir: Path) -> None:
    """What the training images are, as data.json and as a picture of the first ones."""
    write_json(output_dir / "data.json", data.dataset.report.to_dict())
    if len(sample_shape) == 3:
        count = min(_PREVIEW_IMAGES, max(1, _PREVIEW_PIXELS // (sample_shape[1] * sample_shape[2])))
        save_preview(data, count, output_dir / "training-images.png")


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
    if isinstance(networks["discriminator"], ProjectedDiscriminator):
        with accelerator.main_process_first():
            networks["discriminator"].load_features()
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
