# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""A trained model as a Hub repository: pipeline, discriminator, model card with measured numbers, `pipeline.py`."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from diffusers import DiffusionPipeline, ModelMixin
from huggingface_hub import EvalResult
from PIL import Image

from ..recipes import Recipe
from ..storage.checksums import write_checksums
from ..storage.reading import read_json, read_text
from ..storage.writing import current_folder, finish_replacing, replaced_files, write_text
from .cards import SAMPLES, add_results, make_card, replace_measured
from .converted_cards import Origin, make_converted_card
from .modular import write_modular_files


CARD, MEASUREMENTS = "README.md", "measurements.json"
# diffusers takes the one pipeline class in this file when it is told `custom_pipeline`.
_PIPELINE_FILE = "from gan_diffusion import {name} as {name}\n"


def save_repository(
    output_dir: str | Path,
    pipeline: DiffusionPipeline,
    discriminator: ModelMixin,
    recipe: Recipe,
    training: Mapping[str, Any],
    measurements: Mapping[str, str | int | float],
    record: Mapping[str, Any] | None = None,
    samples: Image.Image | None = None,
) -> None:
    """
    Writes everything that belongs into the Hub repository of a trained model.

    The folder is then a recipe as well, with the options of this run. It holds the old files or the new ones whenever
    the process is killed, for all that loads it with this package. The weights are read back before the old ones go.

    Args:
        output_dir (`str` or `Path`):
            The folder; other files in it are left alone.
        pipeline ([`DiffusionPipeline`]):
            With the trained generator; loads back with `from_pretrained(output_dir)`.
        discriminator ([`ModelMixin`]):
            Saved beside the pipeline, outside its index, for fine-tuning.
        recipe ([`Recipe`]):
            The recipe that the training started from.
        training (`Mapping[str, Any]`):
            The options that the run used, by the names of training.yaml, without those of this machine such as
            folders. `dataset_name` is what the card calls the training data; without it they are a folder of the
            author's.
        measurements (`Mapping[str, str | int | float]`):
            Names and values for the card, such as steps and time.
        record (`Mapping[str, Any]`, *optional*):
            The record of the run, as in its run.yaml. The model card tells what it says of data and settings.
        samples (`PIL.Image.Image`, *optional*):
            A picture of what the pipeline draws, for the card: `samples.png`. Without one an older picture is removed.

    Raises:
        OSError: If the disk is full, or does not give back what was written.
        ValueError: If the pipeline is not of the recipe's method, or weights are NaN or infinite.
    """
    name = recipe.pipeline_class.__name__
    if type(pipeline) is not recipe.pipeline_class:
        raise ValueError(
            f"`pipeline` must be the {name} of the recipe {recipe.name!r}, got {type(pipeline).__name__}. "
            "Give the recipe that it was trained with."
        )
    card = make_card(pipeline, discriminator, recipe, training, record, has_picture=samples is not None)
    with replaced_files(Path(output_dir)) as folder:
        (folder / "training.yaml").write_text(yaml.safe_dump(dict(training), sort_keys=False), encoding="utf-8")
        if samples is not None:
            samples.save(folder / SAMPLES)
        _write(folder, pipeline, discriminator, card, measurements)
    if samples is None:
        (Path(output_dir) / SAMPLES).unlink(missing_ok=True)  # It shows other weights.


def save_converted(
    output_dir: str | Path, pipeline: DiffusionPipeline, discriminator: ModelMixin | None, origin: Origin
) -> None:
    """
    Writes a model that was converted from a file of a reference implementation, as [`save_repository`] writes one.

    It is no recipe, because the training options are not known: train it further with `--recipe` and `--pretrained`.

    Args:
        output_dir (`str` or `Path`):
            The folder; other files in it are left alone.
        pipeline ([`DiffusionPipeline`]):
            With the converted generator.
        discriminator ([`ModelMixin`], *optional*):
            Saved beside the pipeline; `None` if there is none.
        origin ([`Origin`]):
            Where the weights come from, for the model card.

    Raises:
        OSError: If the disk is full, or does not give back what was written.
        ValueError: If weights are NaN or infinite.
    """
    card = make_converted_card(pipeline, discriminator, origin)
    with replaced_files(Path(output_dir)) as folder:
        _write(folder, pipeline, discriminator, card, {})


def _write(
    folder: Path,
    pipeline: DiffusionPipeline,
    discriminator: ModelMixin | None,
    card: str,
    measurements: Mapping[str, str | int | float],
) -> None:
    """What every repository has, read back."""
    pipeline.save_pretrained(folder)
    if discriminator is not None:
        discriminator.save_pretrained(folder / "discriminator")
    (folder / "pipeline.py").write_text(_PIPELINE_FILE.format(name=type(pipeline).__name__))
    write_modular_files(folder, pipeline)
    (folder / CARD).write_text(card, encoding="utf-8")
    record_measurements(folder, measurements)
    write_checksums(folder)
    _read_back(pipeline.generator, folder / "generator")
    if discriminator is not None:
        _read_back(discriminator, folder / "discriminator")


def renew_checksums(folder: str | Path) -> None:
    """
    Accepts the files of a saved pipeline as they are now, after a change on purpose.

    Args:
        folder (`str` or `Path`): With a model_index.json.

    Raises:
        ValueError: If it is not a saved pipeline.
    """
    finish_replacing(Path(folder))
    write_checksums(folder)


def record_measurements(
    folder: str | Path, measurements: Mapping[str, str | int | float], results: Sequence[EvalResult] = ()
) -> None:
    """
    Adds measured numbers to the model card of a repository folder, replacing older ones of the same name.

    Args:
        folder (`str` or `Path`):
            With a README.md.
        measurements (`Mapping[str, str | int | float]`):
            Names and values. A name says what was measured and how, for example
            `"images per second, batch 64, CPU"`. Numbers that are not finite are written as text.
        results (`Sequence[EvalResult]`, defaults to `()`):
            The same for the metadata of the card, its `model-index`.

    Raises:
        ValueError: If the folder has no model card, or its metadata or its measurements.json are damaged.
    """
    folder = Path(folder)
    finish_replacing(folder)
    card, record = folder / CARD, folder / MEASUREMENTS
    if not card.is_file():
        raise ValueError(f"`folder` must hold a README.md to record measurements in, {folder} does not.")
    known = read_measurements(folder)
    for name, value in measurements.items():
        is_finite = not isinstance(value, float) or math.isfinite(value)
        known[name] = value if is_finite else str(value)  # JSON has no such numbers.
    text = replace_measured(read_text(card), known)
    text = add_results(text, results) if results else text
    write_text(record, json.dumps(known, indent=2) + "\n")
    write_text(card, text)


def read_measurements(folder: str | Path) -> dict[str, Any]:
    """
    The measured numbers of a repository folder.

    Args:
        folder (`str` or `Path`): The folder.

    Returns:
        `dict[str, Any]`: names and values, none if there are none.

    Raises:
        ValueError: If its measurements.json is damaged.
    """
    record = current_folder(folder) / MEASUREMENTS
    if not record.is_file():
        return {}
    try:
        return read_json(record)
    except ValueError as error:
        raise ValueError(
            f"`{MEASUREMENTS}` must hold names and numbers, got: {error} Delete it, and record the numbers again that "
            "README.md shows."
        ) from error


def _read_back(network: ModelMixin, folder: Path) -> None:
    """Refuses to go on unless a saved network is found as it is in memory."""
    saved = type(network).from_pretrained(folder, torch_dtype=network.dtype).state_dict()
    for name, tensor in network.state_dict().items():
        if not torch.equal(saved[name], tensor.cpu().to(saved[name].dtype)):
            raise OSError(
                f"{name} in {folder} is not what was written. Check the disk, and run the same command again."
            )
