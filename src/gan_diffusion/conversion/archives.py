# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
The forms that a checkpoint of the reference implementations has: torch's archives, its older files, and pickles.

`torch.load(weights_only=True)` is not used. It knows no limits: it unpacks compressed archives and believes the sizes
that a file claims. What is read here is no larger than the file.
"""

import io
import os
import stat
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .inert import Refused, Storage
from .makers import make_storage
from .pickle_machine import MAX_PICKLE_BYTES, Budget, Machine, Stream


# A training state of DDGAN has about 1 GB.
MAX_ARCHIVE_BYTES = 2**33
_MAX_STRUCTURE_BYTES = 2**26  # of the pickle in an archive, which holds no numbers
_MAX_TABLE_BYTES = 2**22
# What torch's older files begin with: a pickled number, and another one after it.
_MAGIC, _PROTOCOL = b"\x80\2\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", 1001


@dataclass(frozen=True)
class Content:
    """
    What is in a file, as values that do nothing.

    Args:
        value (`Any`): Plain containers, texts and numbers, and the values of inert.py.
        size (`int`): Size of the file.
    """

    value: Any
    size: int


@contextmanager
def opened_checkpoint(path: str | os.PathLike) -> Iterator[Content]:
    """
    Opens a file that anybody may have made, and reads what it holds except for the tensors.

    Args:
        path (`str` or `os.PathLike`): The file.

    Yields:
        [`Content`]: what it holds. Its tensors can be read until the block ends.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds anything else than tensors and plain values, is damaged or too large; also when this
            shows in the block only.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"`path` must be a file, got {path}, which does not exist.")
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError(f"`path` must be a file, got {path}, which is a folder, a pipe or a device.")
    with open(descriptor, "rb") as file:
        try:
            stream = Stream(file)
            value = _read(stream)
        except Exception as error:  # Damaged files fail in many ways, each with its own type of exception.
            raise _unreadable(path, error) from error
        try:
            yield Content(value, stream.size)
        except Refused as error:
            raise _unreadable(path, error) from error


def _unreadable(path: str | os.PathLike, error: Exception) -> ValueError:
    reason = str(error) if isinstance(error, Refused) else f"it is damaged ({type(error).__name__}: {error!s:.200})"
    return ValueError(
        f"`path` must hold tensors and plain values only, and be whole, got {path}, where {ascii(reason)[1:-1]}. Nothing "
        "of it was executed. Copy or download it again, from a place that you trust."
    )


def _read(stream: Stream) -> Any:
    budget = Budget()
    head = stream.read(min(len(_MAGIC), stream.size))
    stream.seek(0)
    is_archive = head.startswith(b"PK\3\4")
    limit = MAX_ARCHIVE_BYTES if is_archive or head == _MAGIC else MAX_PICKLE_BYTES
    if stream.size > limit:
        raise Refused(f"it has {stream.size} bytes, more than the {limit} that such a file may have")
    if is_archive:
        return _read_archive(stream, budget)
    if head == _MAGIC:
        value = _read_older_file(stream, budget)
    else:
        value = Machine(stream, budget, load_blob=lambda data: _read_blob(data, budget)).run()
    if stream.place != stream.size:
        raise Refused(f"it goes on for {stream.size - stream.place} bytes after its end")
    return value


def _read_blob(data: Any, budget: Budget) -> Storage:
    """A storage that a pickle holds as an older file of torch, in bytes."""
    if not isinstance(data, bytes) or not data.startswith(_MAGIC):
        raise Refused("it has a storage in a form that torch does not write")
    blob = Stream(io.BytesIO(data))
    storage = _read_older_file(blob, budget)
    if not isinstance(storage, Storage) or blob.place != blob.size:
        raise Refused("it has a storage that is none, or more than one")
    return storage


def _read_older_file(stream: Stream, budget: Budget) -> Any:
    """A file of torch before 1.6: five pickles, and the numbers."""
    storages: dict[str, Storage] = {}

    def persistent(key: Any) -> Storage:
        name, storage = make_storage(key, stream.size)
        return storages.setdefault(name, storage)

    _, protocol, system = (Machine(stream, budget).run() for _ in range(3))
    if protocol != _PROTOCOL or not isinstance(system, dict) or system.get("little_endian") is not True:
        raise Refused("it is of a version or a machine that is not known")
    value = Machine(stream, budget, persistent).run()
    names = Machine(stream, budget).run()
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Refused("it has no list of its storages")
    if sorted(names) != sorted(storages):
        raise Refused("it has other storages than its tensors need")
    for name in names:
        storage = storages[name]
        (count,) = struct.unpack("<q", stream.read(8))
        first, length = stream.place, count * storage.dtype.itemsize
        if count != storage.count or first + length > stream.size:
            raise Refused(f"it has {count} numbers where its list says {storage.count}, or ends before them")
        storage.read = _part(stream, first)
        stream.seek(first + length)
    return value


def _part(stream: Stream, first: int) -> Any:
    def read(offset: int, length: int) -> bytes:
        stream.seek(first + offset)
        return stream.read(length)

    return read


def _read_archive(stream: Stream, budget: Budget) -> Any:
    """An archive of torch: a pickle, and a file for each storage."""
    file: Any = _Tables(stream)
    archive = zipfile.ZipFile(file)
    file.max_read = stream.size
    entries = {entry.filename: entry for entry in archive.infolist()}
    if len(entries) < len(archive.infolist()):
        raise Refused("it has two files of one name")
    for entry in entries.values():
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size or entry.flag_bits & 1:
            raise Refused("it is compressed or encrypted, which torch's files never are")
    if sum(entry.file_size for entry in entries.values()) > stream.size:
        raise Refused("its files overlap")
    folders = [name.removesuffix("/data.pkl") for name in entries if name.endswith("/data.pkl")]
    if len(folders) != 1:
        raise Refused("it is no archive of torch")
    (folder,) = folders
    order = entries.get(f"{folder}/byteorder")
    if order is not None and (order.file_size > 10 or archive.read(order) != b"little"):
        raise Refused("it is of a machine with another order of bytes")
    if entries[f"{folder}/data.pkl"].file_size > _MAX_STRUCTURE_BYTES:
        raise Refused(f"its structure takes more than {_MAX_STRUCTURE_BYTES} bytes")
    storages: dict[str, Storage] = {}

    def persistent(key: Any) -> Storage:
        name, storage = make_storage(key, stream.size)
        place = f"{folder}/data/{name}"
        if place not in entries or entries[place].file_size != storage.count * storage.dtype.itemsize:
            raise Refused(f"it has no file of {storage.count} numbers for the storage {name:.20}")
        storage.read = lambda offset, length: _read_entry(archive, place, offset, length)
        return storages.setdefault(name, storage)

    pickle = Stream(io.BytesIO(archive.read(f"{folder}/data.pkl")))
    return Machine(pickle, budget, persistent).run()


def _read_entry(archive: zipfile.ZipFile, name: str, offset: int, length: int) -> bytes:
    """Bytes of a file in an archive. One that is read from beginning to end is compared with its checksum."""
    try:
        with archive.open(name) as file:
            if offset:
                file.seek(offset)
            data = file.read(length)
            file.read(1)  # At the end of the file this compares the checksum.
            return data
    except (zipfile.BadZipFile, EOFError, ValueError) as error:
        raise Refused(f"it is damaged ({error})") from error


class _Tables:
    """A file as the standard library wants it for archives, which never needs much at once."""

    def __init__(self, stream: Stream):
        self._stream, self.max_read = stream, _MAX_TABLE_BYTES
        self.seek, self.tell = stream.file.seek, stream.file.tell

    def read(self, count: int = -1) -> bytes:
        left = self._stream.size - self.tell()
        count = left if count < 0 else min(count, left)
        if count > self.max_read:
            raise Refused(f"it has a table of {count} bytes")
        return self._stream.file.read(count)

    def seekable(self) -> bool:
        return True
