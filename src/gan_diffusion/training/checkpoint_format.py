# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
The files of a checkpoint: tensors, everything else as JSON, and a manifest with the checksums of both.

Nothing in them is ever executed, nothing is taken from them before all of it has been verified, and reading them takes
no more memory than the run itself.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file


TENSORS, STATE, MANIFEST = "tensors.safetensors", "state.json", "manifest.json"
FOLDER_NAME = re.compile(r"checkpoint-(\d+)")
_FORMAT = 1
# Far above what a run writes. A file that is larger is refused before it is read.
_MAX_MANIFEST_BYTES = 2**16
_MAX_STATE_BYTES = 2**22
_MAX_HEADER_BYTES = 2**22


class DamagedCheckpointError(ValueError):
    """A checkpoint is not as it was written."""


@dataclass(frozen=True)
class Manifest:
    """
    What a checkpoint says about itself.

    Args:
        sequence (`int`): Number of the checkpoint in its folder; the newest has the highest.
        run (`str`): Random name of the run that wrote it.
        step (`int`): Steps done.
        half_steps (`int`): Half-steps done of the step after those; 0 except after an error in the middle of a step.
    """

    sequence: int
    run: str
    step: int
    half_steps: int


def pack(content: Any) -> tuple[Any, dict[str, torch.Tensor]]:
    """
    Takes nested dicts, lists and tuples apart into what JSON holds and tensors by name.

    Args:
        content (`Any`): Of tensors, numbers, strings, bools and `None`. The keys of dicts may be numbers and tuples.

    Returns:
        `tuple[Any, dict[str, torch.Tensor]]`: for JSON, with names in the place of tensors, and the tensors.

    Raises:
        TypeError: If there is anything else in it.
    """
    tensors: dict[str, torch.Tensor] = {}
    names: dict[tuple, str] = {}
    storages: set[int] = set()

    def store(value: torch.Tensor, path: str) -> dict:
        order = sorted(range(value.ndim), key=lambda dim: -value.stride(dim))
        if value.is_contiguous() or not value.permute(order).is_contiguous():
            order = list(range(value.ndim))
        entry = {"$tensor": path} | ({} if order == sorted(order) else {"$order": order})
        # Tied weights are one tensor with several names.
        key = (value.untyped_storage().data_ptr(), value.storage_offset(), value.shape, value.stride(), value.dtype)
        if value.numel() and key in names:
            return entry | {"$tensor": names[key]}
        while path in tensors:
            path += "'"
        stored = value.detach().permute(order).contiguous()
        # safetensors takes no tensor that shares its memory with others.
        alone = stored.untyped_storage().nbytes() == stored.nbytes and key[0] not in storages
        storages.add(key[0])
        names[key], tensors[path] = path, stored if alone else stored.clone()
        return entry | {"$tensor": path}

    def visit(value: Any, path: str) -> Any:
        if value is None or type(value) in (bool, int, float, str):
            return value
        if isinstance(value, torch.Tensor) and value.layout == torch.strided and not value.is_quantized:
            return store(value, path[1:])
        if isinstance(value, dict):
            if all(type(key) is str and not key.startswith("$") for key in value):
                return {key: visit(item, f"{path}/{key}") for key, item in value.items()}
            return {"$items": [[visit(key, path), visit(item, f"{path}/{key}")] for key, item in value.items()]}
        if type(value) is tuple:
            return {"$tuple": [visit(item, f"{path}/{number}") for number, item in enumerate(value)]}
        if type(value) is list:
            return [visit(item, f"{path}/{number}") for number, item in enumerate(value)]
        raise TypeError(
            f"`state_dict` must give tensors, numbers, strings, bools, None, and dicts, lists and tuples of these, got "
            f"{type(value).__name__} at {path or 'its top'}."
        )

    return visit(content, ""), tensors


def unpack(packed: Any, tensor: Callable[[str], torch.Tensor]) -> Any:
    """
    Puts back together what `pack` took apart.

    Args:
        packed (`Any`): From JSON.
        tensor (`Callable`): Gives the tensor of a name.

    Returns:
        `Any`: the content.

    Raises:
        ValueError: If `packed` cannot come from `pack`.
    """

    def visit(value: Any) -> Any:
        if isinstance(value, list):
            return [visit(item) for item in value]
        if not isinstance(value, dict):
            return value
        if not any(key.startswith("$") for key in value):
            return {key: visit(item) for key, item in value.items()}
        match value:
            case {"$tensor": str(name), **rest} if rest.keys() <= {"$order"}:
                stored = tensor(name)
                order = rest.get("$order", list(range(stored.ndim)))
                if sorted(order) == list(range(stored.ndim)):
                    return stored.permute([order.index(dim) for dim in range(stored.ndim)])
            case {"$tuple": list(items), **rest} if not rest:
                return tuple(visit(item) for item in items)
            case {"$items": list(items), **rest} if not rest:
                return {visit(key): visit(item) for key, item in items}
        raise ValueError(f"`{next(iter(value))}` must be one of the marks of a checkpoint, used as they are written.")

    return visit(packed)


def write_files(folder: Path, content: Any, manifest: Manifest) -> None:
    """
    Writes the files of a checkpoint into an empty folder, through to the disk.

    Args:
        folder (`Path`): The folder.
        content (`Any`): What `pack` takes.
        manifest ([`Manifest`]): Its numbers.

    Raises:
        OSError: If they cannot be written.
        TypeError: If the content holds what `pack` refuses.
    """
    packed, tensors = pack(content)
    (folder / STATE).write_text(json.dumps(packed), encoding="ascii")
    try:
        save_file(tensors, folder / TENSORS)
    except SafetensorError as error:  # Also where the disk is full.
        raise OSError(str(error)) from error
    # safetensors would keep it from everybody else, whatever the umask says.
    shutil.copymode(folder / STATE, folder / TENSORS)
    about = {
        "format": _FORMAT,
        **vars(manifest),
        "versions": {"gan_diffusion": version("gan_diffusion"), "torch": torch.__version__},
        "files": {name: _fingerprint(folder / name) for name in (STATE, TENSORS)},
    }
    (folder / MANIFEST).write_bytes(_manifest_bytes(about))
    for path in (folder / STATE, folder / TENSORS, folder / MANIFEST, folder):
        sync(path)


def read_manifest(folder: Path) -> Manifest:
    """
    Reads and verifies what a checkpoint says about itself, without its files.

    Args:
        folder (`Path`): The checkpoint.

    Returns:
        [`Manifest`]: its numbers.

    Raises:
        DamagedCheckpointError: If it is not as it was written, or belongs to another folder.
    """
    return _read_manifest(folder)[0]


@contextmanager
def read_files(folder: Path, max_tensor_bytes: int | None = None) -> Iterator[tuple[Any, Manifest]]:
    """
    Opens a checkpoint, after every byte of it has been verified.

    Args:
        folder (`Path`): The checkpoint.
        max_tensor_bytes (`int`, *optional*): Refuse tensors that are larger than this in all, unread.

    Yields:
        `tuple[Any, Manifest]`: its content, and its numbers. The tensors are those of the file itself and must be
        copied before the end of the `with`.

    Raises:
        DamagedCheckpointError: If it is not as it was written.
    """
    manifest, files = _read_manifest(folder)
    limits = {STATE: _MAX_STATE_BYTES, TENSORS: max_tensor_bytes}
    for name, limit in limits.items():
        size = _size(folder, name)
        if size != files[name]["size"]:
            raise DamagedCheckpointError(f"`{folder / name}` must have {files[name]['size']} bytes, got {size}.")
        if limit is not None and size > limit:
            raise DamagedCheckpointError(
                f"`{folder / name}` must have at most {limit} bytes for this run, got {size}."
            )
    for name in limits:
        if _fingerprint(folder / name) != files[name]:
            raise DamagedCheckpointError(f"`{folder / name}` must have the checksum of the manifest, got another one.")
    with open(folder / TENSORS, "rb") as file, _damage(folder):
        length = int.from_bytes(file.read(8), "little")
        if length > _MAX_HEADER_BYTES:
            raise ValueError(f"`{TENSORS}` must have a header of at most {_MAX_HEADER_BYTES} bytes, got {length}.")
        json.loads(file.read(length), object_pairs_hook=_unique)
    with _damage(folder):
        packed = json.loads((folder / STATE).read_bytes(), object_pairs_hook=_unique)
        with safe_open(folder / TENSORS, framework="pt", device="cpu") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # Not read yet: they lie in the file.
        content = unpack(packed, tensors.__getitem__)
    yield content, manifest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object that names nothing twice."""
    if len(dict(pairs)) < len(pairs):
        raise ValueError(f"`{TENSORS}` and `{STATE}` must name everything once.")
    return dict(pairs)


def sync(path: Path) -> None:
    """Waits until a file or the list of files in a folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        if path.is_file() and hasattr(os, "posix_fadvise"):
            # So that whoever reads it next reads what is on the disk, not what should be there.
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def _read_manifest(folder: Path) -> tuple[Manifest, dict[str, dict]]:
    """The numbers, and size and checksum of each file."""
    if _size(folder, MANIFEST) > _MAX_MANIFEST_BYTES:
        raise DamagedCheckpointError(f"`{folder / MANIFEST}` must have at most {_MAX_MANIFEST_BYTES} bytes.")
    data = (folder / MANIFEST).read_bytes()
    with _damage(folder):
        about = json.loads(data)
        del about["sha256"]
        genuine = data == _manifest_bytes(about)
    if not genuine:
        raise DamagedCheckpointError(f"`{folder / MANIFEST}` must have its own checksum, got another one.")
    if about.get("format") != _FORMAT:
        raise DamagedCheckpointError(
            f"`{folder / MANIFEST}` must be of format {_FORMAT}, got {about.get('format')!r}. Another version of "
            "gan_diffusion wrote it."
        )
    with _damage(folder):
        manifest = Manifest(*(about[name] for name in ("sequence", "run", "step", "half_steps")))
        files = {name: {"size": about["files"][name]["size"], "sha256": about["files"][name]["sha256"]}
                 for name in (STATE, TENSORS)}  # fmt: skip
        numbers = [manifest.sequence, manifest.step, manifest.half_steps, *(entry["size"] for entry in files.values())]
        plausible = all(type(number) is int and 0 <= number < 2**63 for number in numbers)
    if not plausible or type(manifest.run) is not str:
        raise DamagedCheckpointError(f"`{folder / MANIFEST}` must hold numbers from 0 on, got {about}.")
    named = FOLDER_NAME.fullmatch(folder.name)
    if named and int(named[1]) != manifest.step:
        raise DamagedCheckpointError(
            f"`{folder}` must hold the checkpoint of step {named[1]}, got that of step {manifest.step}."
        )
    return manifest, files


def _manifest_bytes(about: dict) -> bytes:
    """A manifest as it is written, with its own checksum."""
    checksum = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    return (json.dumps({**about, "sha256": checksum}, sort_keys=True, indent=1) + "\n").encode()


def _fingerprint(file: Path) -> dict[str, Any]:
    with open(file, "rb") as opened:
        return {"size": file.stat().st_size, "sha256": hashlib.file_digest(opened, "sha256").hexdigest()}


def _size(folder: Path, name: str) -> int:
    """Size of a regular file. Anything else, a pipe for example, could not be read to its end."""
    if not (folder / name).is_file():
        raise DamagedCheckpointError(f"`{folder}` must hold the file {name}, got none.")
    return (folder / name).stat().st_size


@contextmanager
def _damage(folder: Path) -> Iterator[None]:
    """Whatever goes wrong while a file is taken apart, the file is not one that was written here."""
    try:
        yield
    except (
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        RecursionError,
        RuntimeError,
        SafetensorError,
    ) as error:
        raise DamagedCheckpointError(
            f"`{folder}` must be a whole checkpoint, got a file with {error!r:.300}."
        ) from error
