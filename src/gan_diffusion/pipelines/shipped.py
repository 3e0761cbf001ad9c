# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Small trained pipelines that are installed with the package, to draw from before any training."""

from importlib.resources import files
from pathlib import Path


def list_shipped_models() -> list[str]:
    """Names of the trained pipelines of the package, sorted. Each has a model card, README.md, in its folder."""
    return sorted(folder.name for folder in _folder().glob("*") if (folder / "model_index.json").is_file())


def shipped_model(name: str) -> Path:
    """
    Folder of a trained pipeline of the package, for `from_pretrained`.

    Args:
        name (`str`): One of [`list_shipped_models`].

    Returns:
        `Path`: the folder. Do not write into it.

    Raises:
        ValueError: If there is none of this name.
    """
    names = list_shipped_models()
    if name not in names:
        raise ValueError(f"`name` must be one of {names}, got {name!r}.")
    return _folder() / name


def _folder() -> Path:
    return Path(str(files("gan_diffusion") / "pipelines" / "weights"))
