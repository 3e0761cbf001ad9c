# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""A trained model as a Hub repository: pipeline, discriminator, model card with measured numbers, `pipeline.py`."""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from diffusers import DiffusionPipeline, ModelMixin

from ..recipes import Recipe
from .cards import MEASURED_HEADING, make_card


_MEASUREMENTS = "measurements.json"
# diffusers takes the one pipeline class in this file when it is told `custom_pipeline`.
_PIPELINE_FILE = "from gan_diffusion import {name} as {name}\n"
_NOTHING_MEASURED = "Nothing yet."


def save_repository(
    output_dir: str | Path,
    pipeline: DiffusionPipeline,
    discriminator: ModelMixin,
    recipe: Recipe,
    training: Mapping[str, Any],
    measurements: Mapping[str, str | int | float],
    record: Mapping[str, Any] | None = None,
) -> None:
    """
    Writes everything that belongs into the Hub repository of a trained model.

    The folder is then a recipe as well, with the options of this run. The files are first written elsewhere on the
    same disk and then moved, so that an interruption leaves no file half written.

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

    Raises:
        ValueError: If the pipeline is not of the recipe's method.
    """
    name = recipe.pipeline_class.__name__
    if type(pipeline) is not recipe.pipeline_class:
        raise ValueError(
            f"`pipeline` must be the {name} of the recipe {recipe.name!r}, got {type(pipeline).__name__}. "
            "Give the recipe that it was trained with."
        )
    output_dir = Path(output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output_dir, prefix=".saving-") as temporary:
        folder = Path(temporary)
        pipeline.save_pretrained(folder)
        discriminator.save_pretrained(folder / "discriminator")
        (folder / "pipeline.py").write_text(_PIPELINE_FILE.format(name=name))
        (folder / "training.yaml").write_text(yaml.safe_dump(dict(training), sort_keys=False))
        card = make_card(pipeline, discriminator, recipe, training, record)
        (folder / "README.md").write_text(card, encoding="utf-8")
        record_measurements(folder, measurements)
        for entry in sorted(folder.iterdir()):
            target = output_dir / entry.name
            if target.is_dir():
                shutil.rmtree(target)
            os.replace(entry, target)


def record_measurements(folder: str | Path, measurements: Mapping[str, str | int | float]) -> None:
    """
    Adds measured numbers to the model card of a repository folder, replacing older ones of the same name.

    Args:
        folder (`str` or `Path`):
            With a README.md.
        measurements (`Mapping[str, str | int | float]`):
            Names and values. A name says what was measured and how, for example
            `"images per second, batch 64, CPU"`.

    Raises:
        ValueError: If the folder has no model card.
    """
    folder = Path(folder)
    card, record = folder / "README.md", folder / _MEASUREMENTS
    if not card.is_file():
        raise ValueError(f"`folder` must hold a README.md to record measurements in, {folder} does not.")
    known = json.loads(record.read_text()) if record.is_file() else {}
    known.update(measurements)
    record.write_text(json.dumps(known, indent=2) + "\n")
    rows = "\n".join(f"| {name} | {value} |" for name, value in known.items())
    content = f"| what | value |\n|---|---|\n{rows}" if known else _NOTHING_MEASURED
    before, _, old = card.read_text(encoding="utf-8").partition(MEASURED_HEADING)
    _, next_heading, after = old.partition("\n## ")
    text = f"{before.rstrip()}\n\n{MEASURED_HEADING}\n\n{content}\n{next_heading}{after}"
    card.write_text(text, encoding="utf-8")
