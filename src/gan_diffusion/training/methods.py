# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The methods as training commands: options, objective and pipeline of each."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.storage import check_output_folder
from ..registry import load_class
from .arguments import DDGANArguments, DiffusionGANArguments, SPIGANArguments, TrainingArguments
from .augmentation import AdaptiveAugmentation
from .diff_augment import DiffAugmentation
from .objectives import DDGANObjective, DiffusionGANObjective, InsGenObjective, Objective, SPIGANObjective
from .parsing import parse_arguments
from .run import TrainingRun, preview
from .run_folder import logged_output, run_folder
from .signals import end_with_launcher


# Of the training images, in the reference implementation of InsGen.
_QUEUE_SHARE = 0.05


@dataclass(frozen=True)
class Method:
    """
    What the training of a method needs beyond what all methods share.

    Args:
        description (`str`): First line of `--help`.
        arguments (`type`): Dataclass of the method's own options, with its name and that of its pipeline.
        objective (`Callable`): Makes the objective of a [`TrainingRun`].
    """

    description: str
    arguments: type
    objective: Callable[[TrainingRun], Objective]

    @property
    def pipeline(self) -> str:
        """Name of the pipeline's class."""
        return self.arguments.pipeline


def _ddgan(run: TrainingRun) -> DDGANObjective:
    latent_dim = run.generator.config.latent_dim
    return DDGANObjective(run.generator, run.discriminator, run.scheduler, latent_dim, **_options(run))


def _diffusion_gan(run: TrainingRun) -> DiffusionGANObjective:
    for name in ("path_length_weight", "style_mixing_probability"):
        if getattr(run.arguments.method, name) > 0 and not hasattr(run.generator, "mapping"):
            kind = type(run.generator).__name__
            raise ValueError(f"`--{name}` must be 0 for a {kind}, which has no styles.")
    parts = (run.generator, run.discriminator, run.scheduler, run.generator.config.latent_dim)
    options = _options(run)
    has_instances, queue_size = options.pop("instance_discrimination"), options.pop("queue_size")
    if not has_instances:
        return DiffusionGANObjective(*parts, **options)
    return InsGenObjective(*parts, queue_size=_queue_size(run, queue_size), **options)


def _queue_size(run: TrainingRun, size: int | None) -> int:
    """Number of keys in a queue: a share of the images, where an image and its mirror image are two."""
    views = 2 if run.arguments.data.random_flip else 1
    images = len(run.data.dataset)
    if size is None:
        size = views * int(_QUEUE_SHARE * images)
    if not 1 <= size <= views * images:
        raise ValueError(
            f"`--queue_size` must lie in [1, {views * images}], the number of training images, got {size}."
        )
    return size


def _spi_gan(run: TrainingRun) -> SPIGANObjective:
    return SPIGANObjective(run.generator, run.discriminator, run.scheduler, **_options(run))


def _options(run: TrainingRun) -> dict[str, Any]:
    """The method's own options as arguments of its objective."""
    options = dict(vars(run.arguments.method))
    kind = options.pop("augmentation")
    details = {name: options.pop(name) for name in tuple(options) if name.startswith("augmentation_")}
    if kind != "none" and len(run.generator.sample_shape) != 3:
        raise ValueError(f"`--augmentation` must be none for vectors, got {kind}.")
    augmentation = None
    if kind == "diff":
        augmentation = DiffAugmentation(cutout=details["augmentation_cutout"])
    elif kind == "adaptive":
        arguments = {f"augmentation_{name}": name for name in ("target", "max_p")}
        arguments["augmentation_kimg"] = "adaptation_kimg"
        augmentation = AdaptiveAugmentation(**{arguments[n]: details[n] for n in arguments if n in details})
    return options | {"augmentation": augmentation}


METHODS = {
    method.arguments.name: method
    for method in (
        Method("Trains a denoising diffusion GAN (arXiv 2112.07804).", DDGANArguments, _ddgan),
        Method("Trains a Diffusion-GAN (arXiv 2206.02262).", DiffusionGANArguments, _diffusion_gan),
        Method("Trains an SPI-GAN (arXiv 2206.14464).", SPIGANArguments, _spi_gan),
    )
}


def train(method: str, argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """
    Trains a model as the command line says.

    As a command, that is without `argv` or with `prog`, a mistake ends the process with one line. Its traceback is in
    the run.log of the output folder.

    Args:
        method (`str`): `"ddgan"`, `"diffusion-gan"` or `"spi-gan"`.
        argv (`Sequence[str]`, *optional*): Instead of `sys.argv[1:]`.
        prog (`str`, *optional*): Name of the command in messages.

    Raises:
        ValueError: If the recipe, the data, the output folder or the saved model to start from cannot be used.
    """
    entry = METHODS[method]
    arguments = parse_arguments(entry.arguments, entry.description, argv, prog)
    try:
        _train(entry, arguments)
    except (FloatingPointError, OSError, ValueError) as error:
        if argv is not None and prog is None:
            raise
        sys.exit(f"{prog or Path(sys.argv[0]).name}: error: {error}")


def _train(method: Method, arguments: TrainingArguments) -> None:
    if arguments.data.preview is not None:
        preview(arguments)
        return
    check_output_folder(arguments.data.train_data_dir, arguments.run.output_dir)  # Before the folder is made.
    end_with_launcher()
    with run_folder(arguments.run.output_dir), logged_output(arguments.run.output_dir):
        run = TrainingRun.prepare(arguments)
        pipeline = load_class(method.pipeline)(run.generator, run.scheduler, id2label=run.id2label)
        run.train(method.objective(run), pipeline)
