# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""A trained model as a Hub repository: pipeline, discriminator, model card with measured numbers, `pipeline.py`."""

import json
import os
import shutil
import tempfile
from pathlib import Path

from diffusers import DiffusionPipeline, ModelMixin

from ..recipes import Recipe


_HEADING = "## Measured on this checkpoint"
_MEASUREMENTS = "measurements.json"


def save_repository(
    output_dir: str | Path,
    pipeline: DiffusionPipeline,
    discriminator: ModelMixin,
    recipe: Recipe,
    measurements: dict[str, str | int | float],
) -> None:
    """
    Writes everything that belongs into the Hub repository of a trained model.

    The files are written elsewhere on the same disk first and then moved, so that an interruption leaves no file half
    written.

    Args:
        output_dir (`str` or `Path`): The folder; other files in it are left alone.
        pipeline ([`DiffusionPipeline`]): With the trained generator; loads back with `from_pretrained(output_dir)`.
        discriminator ([`ModelMixin`]): Saved beside the pipeline, outside its index, for fine-tuning.
        recipe ([`Recipe`]): Gives the model card and `pipeline.py`.
        measurements (`dict`): Names and values for the card, such as steps and time.
    """
    output_dir = Path(output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output_dir, prefix=".saving-") as folder:
        pipeline.save_pretrained(folder)
        discriminator.save_pretrained(Path(folder) / "discriminator")
        for name in ("README.md", "pipeline.py"):
            shutil.copyfile(recipe.path / name, Path(folder) / name)
        record_measurements(folder, measurements)
        for entry in sorted(Path(folder).iterdir()):
            target = output_dir / entry.name
            if target.is_dir():
                shutil.rmtree(target)
            os.replace(entry, target)


def record_measurements(folder: str | Path, measurements: dict[str, str | int | float]) -> None:
    """
    Adds measured numbers to the model card of a repository folder, replacing older ones of the same name.

    Args:
        folder (`str` or `Path`): With a README.md.
        measurements (`dict`): Names and values. A name says what was measured and how, for example
            `"images per second, batch 64, CPU"`.

    Raises:
        ValueError: if the folder has no model card.
    """
    folder = Path(folder)
    card, record = folder / "README.md", folder / _MEASUREMENTS
    if not card.is_file():
        raise ValueError(f"{folder} has no README.md to record measurements in.")
    known = json.loads(record.read_text()) if record.is_file() else {}
    known.update(measurements)
    record.write_text(json.dumps(known, indent=2) + "\n")
    rows = "\n".join(f"| {name} | {value} |" for name, value in known.items())
    before, _, old = card.read_text(encoding="utf-8").partition(_HEADING)
    _, next_heading, after = old.partition("\n## ")
    text = f"{before.rstrip()}\n\n{_HEADING}\n\n| what | value |\n|---|---|\n{rows}\n{next_heading}{after}"
    card.write_text(text, encoding="utf-8")
