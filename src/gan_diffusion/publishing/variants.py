# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Weights that a repository holds beside its own, under the name of a variant, as in diffusers."""

import re
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from diffusers.utils import SAFETENSORS_WEIGHTS_NAME
from huggingface_hub import HfApi

from ..storage.checksums import CHECKSUMS, add_checksums
from ..storage.reading import read_json
from ..storage.writing import INDEX
from .hub_errors import one_error
from .modular import MODULAR_FILES


_CONFIGS = (INDEX, "config.json")


def check_variant(variant: str, files: Mapping[str, Path]) -> None:
    """
    Checks that weights can be published as a variant, before the Hub is asked for anything.

    Args:
        variant (`str`): Its name.
        files (`Mapping[str, Path]`): The files of a saved pipeline by their names.

    Raises:
        ValueError: If the name cannot be part of a file's name, or the weights are of several files or a variant.
    """
    if not re.fullmatch(r"[A-Za-z0-9_]+", variant):
        raise ValueError(f"`variant` must be of letters, digits and underscores, got {variant!r}.")
    for name in _weights(files):
        if Path(name).name != SAFETENSORS_WEIGHTS_NAME:
            raise ValueError(
                f"`folder` must hold the weights of a network in one {SAFETENSORS_WEIGHTS_NAME} for a variant, got {name}."
            )


def variant_files(
    api: HfApi,
    repo_id: str,
    commit: str,
    there: Collection[str],
    files: Mapping[str, Path],
    variant: str,
    temporary: Path,
) -> dict[str, Path]:
    """
    The files that a variant adds to a repository: its weights, and their checksums beside those that are there.

    Args:
        api (`HfApi`): With the token.
        repo_id (`str`): Name of the repository.
        commit (`str`): The commit of it that gets them.
        there (`Collection[str]`): Names of its files.
        files (`Mapping[str, Path]`): The files of the saved pipeline by their names.
        variant (`str`): Name of the variant.
        temporary (`Path`): Empty folder for the new checksums.

    Returns:
        `dict[str, Path]`: files on this machine by their names in the repository.

    Raises:
        OSError: If the Hub cannot be reached.
        ValueError: If the repository does not hold the same networks.
    """

    def download(name: str) -> Path:
        with one_error(repo_id):
            return Path(api.hf_hub_download(repo_id, name, revision=commit))

    for name in (name for name in files if name.endswith(_CONFIGS) and name not in MODULAR_FILES):
        if name not in there or _values(download(name)) != _values(files[name]):
            raise ValueError(
                f"`variant` must be given for a repository that holds the same networks, got {repo_id!r} with "
                f"{'another' if name in there else 'no'} {name}. Push to another repository, or without it."
            )
    suffix = Path(SAFETENSORS_WEIGHTS_NAME).suffix
    added = {name.removesuffix(suffix) + f".{variant}{suffix}": files[name] for name in _weights(files)}
    if CHECKSUMS not in there:
        return added
    shutil.copyfile(download(CHECKSUMS), temporary / CHECKSUMS)
    add_checksums(temporary, added)
    return added | {CHECKSUMS: temporary / CHECKSUMS}


def _weights(files: Mapping[str, Path]) -> list[str]:
    return [name for name in files if name.endswith(".safetensors")]


def _values(file: Path) -> dict[str, Any]:
    """A config without the version of diffusers and other traces of how it was written."""
    return {name: value for name, value in read_json(file).items() if name[:1] != "_" or name == "_class_name"}
