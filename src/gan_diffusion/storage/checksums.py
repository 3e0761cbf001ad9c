# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
The file `checksums.json` of a saved pipeline: size and SHA-256 of its index and of the configs and weights.

safetensors has no checksum of its own: a flipped bit in a weight would give other samples, and nobody would know.
"""

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .reading import read_json
from .writing import INDEX, current_folder, write_text


CHECKSUMS = "checksums.json"
_CONFIGS = ("config.json", "scheduler_config.json")
_WEIGHTS = (".safetensors", ".bin")
_SUFFIXES = (".json", *_WEIGHTS)


def write_checksums(folder: str | os.PathLike) -> None:
    """
    Records the files of a saved pipeline as they are now.

    Args:
        folder (`str` or `os.PathLike`):
            With a model_index.json. Folders below it that hold a config are recorded as well.

    Raises:
        ValueError: If it is not a saved pipeline.
    """
    folder = Path(folder)
    if not (folder / INDEX).is_file():
        raise ValueError(f"`folder` must hold a {INDEX}, got {str(folder)!r}, which does not.")
    parts = [path.name for path in folder.iterdir() if any((path / name).is_file() for name in _CONFIGS)]
    names = [INDEX, *(name for part in sorted(parts) for name in _files(folder, part))]
    _write(folder, {name: _entry(folder / name) for name in names})


def add_checksums(folder: str | Path, files: Mapping[str, Path]) -> None:
    """
    Records further files beside those that `checksums.json` has.

    Args:
        folder (`str` or `Path`): The folder that holds `checksums.json`.
        files (`Mapping[str, Path]`): The files, wherever they are, by their names in the saved pipeline.

    Raises:
        ValueError: If the checksums are damaged themselves.
    """
    folder = Path(folder)
    _write(folder, _read(folder) | {name: _entry(file) for name, file in files.items()})


def verify_checksums(folder: str | Path, part: str) -> None:
    """
    Compares a part of a saved pipeline with its checksums. A folder without checksums passes.

    Args:
        folder (`str` or `Path`): The folder that holds `checksums.json`.
        part (`str`):
            Name of a file in it, or of a folder: then of all configs and weights in that. Weights that have no
            checksum were added later, and pass.

    Raises:
        ValueError: If a file differs, or the checksums cannot be used themselves.
    """
    folder = Path(folder)
    if not os.path.lexists(folder / CHECKSUMS):
        return
    recorded = _read(folder)
    if not any(name == part or name.startswith(f"{part}/") for name in recorded):
        return
    for name in _files(folder, part):
        entry = recorded.get(name)
        if not isinstance(entry, dict):
            if name.endswith(_WEIGHTS) and (folder / name).exists():
                continue  # Somebody added it.
            found = "a file without a checksum" if (folder / name).exists() else "nothing"
            raise _error(folder, name, found)
        size = _size(folder / name)
        if size != entry.get("size"):
            raise _error(folder, name, f"{size} bytes instead of {entry.get('size')}")
        if _sha256(folder / name) != entry.get("sha256"):
            raise _error(folder, name, "another content than its checksum says")


def verified_part(path: str | os.PathLike, subfolder: str | None = None) -> Path:
    """
    The folder to load one network or scheduler from, with its files compared with their checksums, if there are any.

    Args:
        path (`str` or `os.PathLike`): A folder.
        subfolder (`str`, *optional*): A folder in it.

    Returns:
        `Path`: the folder, or the one with the newest whole files while those of a pipeline are being replaced.

    Raises:
        ValueError: If a file differs from its checksum.
    """
    folder = Path(os.path.abspath(Path(path, subfolder or "")))
    newest = current_folder(folder.parent) / folder.name
    folder = newest if newest.is_dir() else folder
    verify_checksums(folder.parent, folder.name)
    return folder


def _files(folder: Path, part: str) -> list[str]:
    """Names of the files that are checked, of a part that is a folder or a file."""
    if not (folder / part).is_dir():
        return [part]
    names = sorted(path.name for path in (folder / part).iterdir() if path.suffix in _SUFFIXES)
    return [f"{part}/{name}" for name in names if not name.startswith(".")]


def _read(folder: Path) -> dict[str, Any]:
    try:
        content = read_json(folder / CHECKSUMS)
    except (OSError, ValueError) as error:
        raise _error(folder, CHECKSUMS, str(error).rstrip(".")) from error
    files = content.get("files")
    if not isinstance(files, dict) or content.get("sha256") != _sha256_of(files):
        raise _error(folder, CHECKSUMS, "another content than its own checksum says")
    return files


def _write(folder: Path, files: dict[str, Any]) -> None:
    write_text(folder / CHECKSUMS, json.dumps({"files": files, "sha256": _sha256_of(files)}, indent=2) + "\n")


def _entry(file: Path) -> dict[str, Any]:
    return {"size": file.stat().st_size, "sha256": _sha256(file)}


def _error(folder: Path, name: str, found: str) -> ValueError:
    return ValueError(
        f"`{name}` in {str(folder)!r} must be as it was saved, got {found}. If it is damaged, copy or download it again. "
        f"If you changed the folder on purpose, call `gan_diffusion.publishing.renew_checksums({str(folder)!r})`."
    )


def _size(file: Path) -> int:
    status = file.stat()
    return status.st_size if stat.S_ISREG(status.st_mode) else -1


def _sha256(file: Path) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sha256_of(files: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
