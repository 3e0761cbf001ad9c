# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""A saved model from any checkpoint of a run."""

from pathlib import Path
from typing import Any

import torch

from ..publishing import save_repository
from ..recipes import Recipe
from .arguments import is_local
from .checkpoint_format import Manifest, read_files
from .record import RECORD_NAME
from .state import TrainingState


@torch.no_grad()
def export_checkpoint(checkpoint: str | Path, output_dir: str | Path) -> None:
    """
    Saves the pipeline of a checkpoint, with the averaged weights, as the training does at its end.

    Args:
        checkpoint (`str` or `Path`): Folder of the checkpoint, in the folder of its run.
        output_dir (`str` or `Path`): Folder for the pipeline, the discriminator and the model card.

    Raises:
        ValueError: If there is no record of the run, or the checkpoint is damaged or not of that run.
    """
    file = Path(checkpoint).absolute().parent / RECORD_NAME
    if not file.is_file():
        raise ValueError(
            f"`checkpoint` must lie in the folder of its run, beside {RECORD_NAME}, got {str(checkpoint)!r}. "
            "Copy that file there too."
        )
    recipe = Recipe.load(file)
    with read_files(Path(checkpoint)) as (content, manifest):
        _export(recipe, content, manifest, Path(output_dir))


def _export(recipe: Recipe, content: dict[str, Any], manifest: Manifest, output_dir: Path) -> None:
    record, parts = recipe.record or {}, content["parts"]
    components = {name: recipe.build(name) for name in ("generator", "discriminator", "scheduler")}
    for name in components:  # An objective may have networks of its own beside them.
        recorded = {key: value for key, value in recipe.config(name).items() if not key.startswith("_")}
        if recorded != content["configs"].get(name):
            raise ValueError(
                f"`checkpoint` must be of the run that {RECORD_NAME} beside it describes, got one with another {name}. "
                "It is of an earlier run in the same folder."
            )
    for name in ("generator", "discriminator"):
        components[name].load_state_dict(parts[f"network.{name}"])
    if "ema" in parts:
        for parameter, average in zip(
            components["generator"].parameters(), parts["ema"]["shadow_params"], strict=True
        ):
            parameter.copy_(average)
    # An earlier checkpoint may have had other values than the last start of the run.
    options = {name: {**entry, "value": content["settings"].get(name, entry["value"])}
               for name, entry in record["options"].items()}  # fmt: skip
    names, counters = record["data"]["class_names"], content["counters"]
    conditional = options["class_conditional"]["value"]
    state = TrainingState({}, samples_per_step=content["samples_per_step"], step=manifest.step)
    state.origin = tuple(counters["origin"])
    save_repository(
        output_dir,
        recipe.pipeline_class(
            components["generator"], components["scheduler"], dict(enumerate(names)) if names and conditional else None
        ),
        components["discriminator"],
        recipe,
        {name: entry["value"] for name, entry in options.items() if not is_local(name, entry["value"])},
        {
            "training steps": state.step,
            "real images seen": state.images_seen,
            "training time (minutes, without sampling and saving)": round(counters["seconds"] / 60, 1),
            "seed": options["seed"]["value"],
        },
        {**record, "options": options},
    )
