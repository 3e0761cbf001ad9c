# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Checkpoints in the folder of a run: which is the newest, how one is added, and how old ones go."""

import errno
import os
import shutil
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import torch

from .checkpoint_format import (
    FOLDER_NAME,
    DamagedCheckpointError,
    Manifest,
    read_files,
    read_manifest,
    sync,
    write_files,
)
from .state import TrainingState


# Hidden names, for what a kill may leave behind.
_PARTIAL, _REPLACED, _TRASH = ".partial", ".replaced", ".trash"
# What the JSON of a checkpoint takes beside its tensors, at most, and the moments of Adam beside the weights.
_SPARE_BYTES, _COPIES = 2**26, 4


class CheckpointNotSavedError(OSError):
    """A checkpoint could not be written, and nothing of it is left."""


@dataclass(frozen=True)
class FoundCheckpoint:
    """
    A checkpoint in the folder of a run.

    Args:
        path (`Path`): Its folder.
        manifest ([`~training.checkpoint_format.Manifest`], *optional*): What it says about itself; `None` if that
            cannot be read.
        damage (`str`, defaults to `""`): Why not.
    """

    path: Path
    manifest: Manifest | None
    damage: str = ""


def find_checkpoints(output_dir: str | Path) -> list[FoundCheckpoint]:
    """All checkpoints in a folder in the order in which they were written, those without a readable manifest first."""
    found = []
    for path in sorted(Path(output_dir).glob("checkpoint-*")):
        if FOLDER_NAME.fullmatch(path.name):
            try:
                found.append(FoundCheckpoint(path, read_manifest(path)))
            except (DamagedCheckpointError, OSError) as error:
                found.append(FoundCheckpoint(path, None, str(error)))
    return sorted(found, key=lambda each: -1 if each.manifest is None else each.manifest.sequence)


def list_checkpoints(output_dir: str | Path) -> list[Path]:
    """Checkpoints in a folder in the order in which they were written, the newest last."""
    return [each.path for each in find_checkpoints(output_dir)]


def clean_checkpoints(output_dir: str | Path) -> None:
    """Removes what a kill has left in the middle of saving or removing a checkpoint."""
    for replaced in Path(output_dir).glob(f".checkpoint-*{_REPLACED}"):
        final = replaced.with_name(replaced.name[1 : -len(_REPLACED)])
        if not final.exists():
            os.replace(replaced, final)
    for suffix in (_PARTIAL, _REPLACED, _TRASH):
        for leftover in Path(output_dir).glob(f".checkpoint-*{suffix}"):
            shutil.rmtree(leftover)


def save_checkpoint(state: TrainingState, output_dir: str | Path, total_limit: int | None = None) -> Path:
    """
    Writes `output_dir/checkpoint-<step>`, reads it back, and only then removes the oldest ones over the limit.

    The files are written to a hidden folder that is renamed at the end: a checkpoint is whole or it is not there. One
    process alone must call this.

    Args:
        state ([`TrainingState`]): What to save.
        output_dir (`str` or `Path`): Where.
        total_limit (`int`, *optional*): Number of checkpoints to keep.

    Returns:
        `Path`: the checkpoint.

    Raises:
        CheckpointNotSavedError: If it cannot be written. Nothing is left of it, and older ones are as they were.
        FloatingPointError: If anything in the state is not finite.
    """
    state.check_finite()
    output_dir = Path(output_dir)
    final = output_dir / f"checkpoint-{state.step}"
    partial, replaced = (final.with_name(f".{final.name}{suffix}") for suffix in (_PARTIAL, _REPLACED))
    found = find_checkpoints(output_dir)
    sequence = 1 + max((each.manifest.sequence for each in found if each.manifest is not None), default=0)
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        clean_checkpoints(output_dir)
        _check_space(state, output_dir)
        partial.mkdir()
        write_files(partial, state.state_dict(), Manifest(sequence, state.run, state.step, state.half_steps))
        with read_files(partial):
            pass
        if final.exists():
            os.replace(final, replaced)
        os.replace(partial, final)
        sync(output_dir)
    except (OSError, DamagedCheckpointError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise CheckpointNotSavedError(
            getattr(error, "errno", None),
            f"The checkpoint of step {state.step} cannot be saved in {str(output_dir)!r}, where it needs "
            f"{_num_bytes(state):,} bytes: {error}. Nothing is left of it, and older checkpoints are as they were. Make "
            "room, and run the same command again.",
        ) from error
    shutil.rmtree(replaced, ignore_errors=True)
    if total_limit is not None:
        older = [each for each in found if each.path != final]
        for old in older[: max(0, len(older) + 1 - total_limit)]:
            trash = old.path.with_name(f".{old.path.name}{_TRASH}")
            os.replace(old.path, trash)
            sync(output_dir)
            shutil.rmtree(trash, ignore_errors=True)
    return final


def load_checkpoint(state: TrainingState, checkpoint: str | Path, changes: Collection[str] = ()) -> list[str]:
    """
    Puts a checkpoint back, all of it or nothing. Nothing in it is executed.

    Args:
        state ([`TrainingState`]): Where to.
        checkpoint (`str` or `Path`): Its folder.
        changes (`Collection[str]`, defaults to `()`): Names of settings that may differ.

    Returns:
        `list[str]`: what differs from the checkpoint, in words.

    Raises:
        ValueError: If the folder is no checkpoint, is damaged, or belongs to another run.
    """
    checkpoint = Path(checkpoint)
    if not checkpoint.is_dir():
        raise ValueError(f"`resume_from_checkpoint` must be the folder of a checkpoint, got {str(checkpoint)!r}.")
    with read_files(checkpoint, _COPIES * _num_bytes(state) + _SPARE_BYTES) as (content, manifest):
        return state.load_state_dict(content, manifest, changes)


def resume(
    state: TrainingState, output_dir: str | Path, wanted: str, changes: Collection[str] = ()
) -> tuple[Path | None, list[str]]:
    """
    Goes on from the checkpoint that was asked for.

    `"latest"` takes the one that was written last. If it is damaged, the one before it of the same run is taken.

    Args:
        state ([`TrainingState`]): Where to.
        output_dir (`str` or `Path`): Folder of the run.
        wanted (`str`): `"latest"`, `"no"`, or a checkpoint: its path, or its name in `output_dir`.
        changes (`Collection[str]`, defaults to `()`): Names of settings that may differ.

    Returns:
        `tuple[Path | None, list[str]]`: the checkpoint, if any, and what there is to say.

    Raises:
        ValueError: If the checkpoint is damaged or belongs to another run, or all of them are damaged.
    """
    found = find_checkpoints(output_dir)
    if wanted != "latest":
        path = None
        if wanted != "no":
            path = Path(wanted) if Path(wanted).is_dir() else Path(output_dir) / wanted
            notes = load_checkpoint(state, path, changes)
            state.run = uuid.uuid4().hex  # What lies beyond it in the folder is of another run from now on.
        others = [each.path.name for each in found if path is None or each.path.resolve() != path.resolve()]
        notes = [] if path is None else [f"Going on from {path}.", *(f"{note}." for note in notes)]
        if others:
            notes.append(
                f"Checkpoints that are already in the folder ({', '.join(others)}) are not used. They go one by one as "
                "new ones are saved and `--checkpoints_total_limit` is reached."
            )
        return path, notes
    notes = [f"{each.damage} {each.path.name} is left aside." for each in found if each.manifest is None]
    runs = [each.manifest.run for each in found if each.manifest is not None]
    for each in reversed(found):
        if each.manifest is None or each.manifest.run != runs[-1]:
            break
        try:
            changed = load_checkpoint(state, each.path, changes)
        except (DamagedCheckpointError, OSError) as error:
            notes.append(f"{error} {each.path.name} is left aside.")
            continue
        return each.path, [*notes, f"Going on from {each.path}.", *(f"{change}." for change in changed)]
    if found:
        raise DamagedCheckpointError(
            f"`output_dir` must hold a whole checkpoint of the last run, got damaged ones only: {' '.join(notes)} Copy one "
            "from elsewhere, name one by `--resume_from_checkpoint`, or start anew by `--resume_from_checkpoint no`."
        )
    return None, []


def _num_bytes(state: TrainingState) -> int:
    """Bytes of the tensors of a state."""
    return sum(
        value.nbytes for part in state.parts.values() for value in _leaves(part.state_dict()) if torch.is_tensor(value)
    )


def _leaves(value):
    if isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)
    else:
        yield value


def _check_space(state: TrainingState, folder: Path) -> None:
    """Whether the disk has room, before anything is written."""
    free = shutil.disk_usage(folder).free
    if free < _num_bytes(state):
        raise OSError(errno.ENOSPC, f"the disk has {free:,} bytes left")
