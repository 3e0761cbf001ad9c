# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
Writes files and folders that are whole or not there, whenever the process is killed.

A folder of files that belong together is replaced as a whole: they are written to `.export.partial`, which is renamed
to `.export`. From that moment on the new files count: [`current_folder`] says to read them there. Then they are put in
their places, and `.export` goes.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


# Without it no folder is a pipeline: it is the first file that goes, and the last that comes.
INDEX = "model_index.json"
_STAGED, _COMMITTED = ".export.partial", ".export"


def write_text(file: Path, text: str) -> None:
    """
    Writes or replaces a text file at once.

    Args:
        file (`Path`): The file.
        text (`str`): Its new content.
    """
    partial = file.with_name(f".{file.name}.partial")
    with open(partial, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(partial, file)
    _sync(file.parent)


def current_folder(folder: str | Path) -> Path:
    """
    Where the newest whole files of a folder are.

    Args:
        folder (`str` or `Path`): A folder that [`replaced_files`] may have been writing to.

    Returns:
        `Path`: `folder/.export` if its files are not all in their places yet, else the folder.
    """
    committed = Path(folder) / _COMMITTED
    return committed if committed.is_dir() else Path(folder)


@contextmanager
def replaced_files(folder: Path) -> Iterator[Path]:
    """
    Replaces files of a folder as a whole. Other files in it are left alone.

    Args:
        folder (`Path`): The folder; made if it does not exist.

    Yields:
        `Path`: an empty folder to write the new files and folders to. If the block fails, nothing changes.
    """
    finish_replacing(folder)
    staged = folder / _STAGED
    staged.mkdir(parents=True)
    try:
        yield staged
        _sync_tree(staged)
    except BaseException:
        shutil.rmtree(staged)
        raise
    os.rename(staged, folder / _COMMITTED)
    _sync(folder)
    finish_replacing(folder)


def finish_replacing(folder: Path) -> None:
    """
    Ends what a killed process began: puts files that count in their places, and removes those that do not.

    Args:
        folder (`Path`): The folder.
    """
    staged, committed = folder / _STAGED, folder / _COMMITTED
    if committed.is_dir():
        _remove(folder / INDEX)
        for entry in sorted(committed.iterdir(), key=lambda entry: entry.name == INDEX):
            _put(entry, folder / entry.name)
        _sync(folder)
        if staged.is_dir():
            shutil.rmtree(staged)
        os.rename(committed, staged)
        _sync(folder)
    if staged.is_dir():
        shutil.rmtree(staged)


def _put(source: Path, target: Path) -> None:
    _remove(target)
    if source.is_dir():
        shutil.copytree(source, target, copy_function=_link_or_copy)
        _sync_tree(target)
    else:
        _link_or_copy(source, target)


def _link_or_copy(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # Not every file system has links.
        partial = f"{target}.partial"
        shutil.copyfile(source, partial)
        _sync(Path(partial))
        os.replace(partial, target)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync_tree(folder: Path) -> None:
    for path, _, names in os.walk(folder, topdown=False):
        for name in names:
            _sync(Path(path) / name)
        _sync(Path(path))


def _sync(path: Path) -> None:
    """Has the disk keep a file, or the names in a folder."""
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folders.
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
