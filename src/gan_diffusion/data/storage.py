# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Where the bytes of files lie: in a folder, a zip archive, tar archives, or rows of a table."""

import io
import os
import stat
import tarfile
import zipfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Protocol

from .report import examples


if TYPE_CHECKING:
    import datasets


# A file is read into memory as a whole where it lies in an archive.
MAX_FILE_BYTES = 512 * 2**20
# What systems and programs put into folders of images.
_SYSTEM_NAMES = {
    "__macosx",
    "@eadir",
    "$recycle.bin",
    "system volume information",
    "lost+found",
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "icon\r",
}
# What shows that a folder was written by a training run of this library.
_RUN_FILES = {"model_index.json", "training-images.png"}
# A folder may be linked several times. Links to links to folders multiply without end.
_MAX_VISITS = 100

HIDDEN = "hidden files and folders"
SYSTEM = "files of the operating system"


class FileStat(NamedTuple):
    """What tells whether a file is still the one that was checked: its size in bytes and when it was written."""

    size: int
    stamp: str


class Storage(Protocol):
    """
    A set of named files.

    Attributes:
        source (`str`): What it is, for people.
        files (`dict[str, FileStat]`): The files by relative name with "/" between folders.
        left_out (`dict[str, list[str]]`): What else was found, by the reason.
    """

    source: str
    files: dict[str, FileStat]
    left_out: dict[str, list[str]]

    def open(self, name: str) -> BinaryIO:
        """Opens a file for reading."""
        ...


def check_output_folder(data: str | None, output_dir: str | Path) -> None:
    """
    Refuses a run that would write among its training images.

    Args:
        data (`str`, *optional*): Folder of the images.
        output_dir (`str` or `Path`): Folder of the run.

    Raises:
        ValueError: If the folder of the run is that of the images or lies in it, or they are samples of the run.
    """
    if data is None:
        return
    images, run = Path(data).resolve(), Path(output_dir).resolve()
    if run.is_relative_to(images) or images.is_relative_to(run / "samples"):
        raise ValueError(
            f"`output_dir` must lie outside of `train_data_dir`, got {str(output_dir)!r} with the data in {data!r}: the "
            "pictures that a run draws would become training images. Choose another folder."
        )


class FolderStorage:
    """
    The regular files of a folder and its subfolders. Symbolic links are followed, but not in a circle.

    Args:
        root (`Path`): The folder.
        output_dir (`Path`, *optional*): Folder of the run, which is left out.

    Raises:
        ValueError: If a folder cannot be read.
    """

    def __init__(self, root: Path, output_dir: Path | None = None):
        self.root = root
        self.source = f"folder {root.resolve().name}"
        self.files: dict[str, FileStat] = {}
        self.left_out: dict[str, list[str]] = {}
        self._output_dir: tuple[int, int] | None = None
        if output_dir is not None and output_dir.is_dir():
            self._output_dir = os.stat(output_dir).st_dev, os.stat(output_dir).st_ino
        self._visits: Counter[tuple[int, int]] = Counter()
        pending: list[tuple[str, tuple]] = [("", ())]
        while pending:
            pending += self._read(*pending.pop())

    def _read(self, folder: str, parents: tuple) -> list[tuple[str, tuple]]:
        """Notes the files of a folder, and gives its subfolders with the folders that they lie in."""
        path = os.path.join(self.root, folder)
        try:
            entries = sorted(os.scandir(path), key=lambda entry: entry.name)
            status = os.stat(path)
        except OSError as error:
            raise ValueError(f"`train_data_dir` must be a folder that can be read, got: {error}.") from error
        here = status.st_dev, status.st_ino
        self._visits[here] += 1
        if self._visits[here] > _MAX_VISITS:
            raise ValueError(
                f"`train_data_dir` must hold at most {_MAX_VISITS} links to one folder, got more to {folder!r}. Remove "
                "links."
            )
        reason = None
        if here in parents:
            reason = "a link back to a folder that it lies in"
        elif here == self._output_dir:
            reason = "the output folder of this run"
        elif _RUN_FILES & {entry.name for entry in entries}:
            reason = "written by a training run"
        if reason is not None and not folder:
            raise ValueError(
                f"`train_data_dir` must be a folder of training data, got {str(self.root)!r}, {reason}. Name another "
                "folder."
            )
        if reason is not None:
            self.left_out.setdefault(reason, []).append(folder)
            return []
        return [(name, (*parents, here)) for name in [self._add(folder, entry) for entry in entries] if name]

    def _add(self, folder: str, entry: os.DirEntry) -> str | None:
        """Notes a file. The name of a subfolder, ending with "/", is given back."""
        name = folder + entry.name
        reason = _no_data(entry.name)
        if reason is not None:
            self.left_out.setdefault(reason, []).append(name)
            return None
        try:
            status = entry.stat()
        except OSError:  # A link to nothing. Opening it will say so, if it has the name of an image.
            self.files[name] = FileStat(0, "")
            return None
        if stat.S_ISDIR(status.st_mode):
            return f"{name}/"
        if stat.S_ISREG(status.st_mode):
            self.files[name] = FileStat(status.st_size, str(status.st_mtime_ns))
        else:
            self.left_out.setdefault("pipes, sockets and devices", []).append(name)
        return None

    def open(self, name: str) -> BinaryIO:
        """Opens a file for reading."""
        return open(os.path.join(self.root, name), "rb")


class ZipStorage:
    """
    The files of a zip archive. A single folder at its top that holds everything is not part of the names.

    Args:
        path (`Path`): The archive.

    Raises:
        ValueError: If it cannot be read, is encrypted, or holds a name twice.
    """

    def __init__(self, path: Path):
        self.path = path
        self.source = f"archive {path.name}"
        self.files: dict[str, FileStat] = {}
        self.left_out: dict[str, list[str]] = {}
        self._handle: tuple[int, zipfile.ZipFile] | None = None
        try:
            members = [member for member in self._archive().infolist() if not member.is_dir()]
        except (OSError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"`train_data_dir` must be a readable zip archive, got {path.name!r}: {error}."
            ) from error
        if any(member.flag_bits & 1 for member in members):
            raise ValueError(f"`train_data_dir` must not be encrypted, got {path.name!r}. Unpack it.")
        useful = []
        for member in members:
            reason = next(filter(None, map(_no_data, member.filename.split("/"))), None)
            if reason is None:
                useful.append(member)
            else:
                self.left_out.setdefault(reason, []).append(member.filename)
        self.prefix = _common_folder([member.filename for member in useful])
        for member in useful:
            name = member.filename.removeprefix(self.prefix)
            if name in self.files:
                raise ValueError(f"`train_data_dir` must hold each name once, got {name!r} twice in {path.name!r}.")
            self.files[name] = FileStat(member.file_size, f"{member.CRC:08x}")

    def _archive(self) -> zipfile.ZipFile:
        if self._handle is None or self._handle[0] != os.getpid():  # Processes must not share a position in the file.
            self._handle = os.getpid(), zipfile.ZipFile(self.path)
        return self._handle[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handle": None}

    def open(self, name: str) -> BinaryIO:
        """Opens a file for reading."""
        return io.BytesIO(self._archive().read(self.prefix + name))


class TarStorage:
    """
    The files of uncompressed tar archives, which are read in place.

    Args:
        paths (`list[Path]`): The archives. With more than one, names begin with the name of the archive.
        root (`Path`): What the names of the archives are relative to.
        source (`str`): What they are, for people.

    Raises:
        ValueError: If an archive cannot be read, or holds a name twice.
    """

    def __init__(self, paths: list[Path], root: Path, source: str):
        self.source = source
        self.files: dict[str, FileStat] = {}
        self.left_out: dict[str, list[str]] = {}
        self._places: dict[str, tuple[Path, int]] = {}
        for path in paths:
            self._read(path, "" if len(paths) == 1 else f"{path.relative_to(root).as_posix()}/")

    def _read(self, path: Path, prefix: str) -> None:
        written = str(path.stat().st_mtime_ns)
        try:
            with tarfile.open(path, "r:") as archive:
                members = archive.getmembers()
        except (OSError, tarfile.TarError) as error:
            raise ValueError(
                f"`train_data_dir` must hold uncompressed tar archives, got {path.name!r}: {error}. Unpack it."
            ) from error
        for member in members:
            inner = member.name.removeprefix("./")
            name = prefix + inner
            reason = next(filter(None, map(_no_data, inner.split("/"))), None)
            if member.isdir():
                continue
            if reason is None and not member.isreg():
                reason = "links and devices in archives"
            if reason is not None:
                self.left_out.setdefault(reason, []).append(name)
            elif name in self.files:
                raise ValueError(f"`train_data_dir` must hold each name once, got {name!r} twice in {path.name!r}.")
            else:
                self.files[name] = FileStat(member.size, written)
                self._places[name] = path, member.offset_data

    def open(self, name: str) -> BinaryIO:
        """Opens a file for reading."""
        path, offset = self._places[name]
        with open(path, "rb") as file:
            file.seek(offset)
            return io.BytesIO(file.read(self.files[name].size))


class TableStorage:
    """
    The images of a column of a Hugging Face dataset, named "row 0", "row 1" and so on.

    Args:
        dataset (`datasets.Dataset`): The table.
        image_column (`str`): Name of a column of images or of encoded bytes.
        source (`str`): What it is, for people.

    Raises:
        ValueError: If the column is missing or holds something else.
    """

    def __init__(self, dataset: "datasets.Dataset", image_column: str, source: str):
        import datasets

        if image_column not in dataset.column_names:
            raise ValueError(f"`image_column` must be one of {dataset.column_names}, got {image_column!r}.")
        feature = dataset.features[image_column]
        is_bytes = isinstance(feature, datasets.Value) and "binary" in feature.dtype
        if not (isinstance(feature, datasets.Image) or is_bytes or (isinstance(feature, dict) and "bytes" in feature)):
            raise ValueError(
                f"`image_column` must name a column of images, got {image_column!r}, which holds {feature}."
            )
        # Decoding here rather than in the dataset lets an unreadable image be named.
        images = dataset.select_columns([image_column])
        self._images = images if is_bytes else images.cast_column(image_column, datasets.Image(decode=False))
        self._image_column = image_column
        self.source = source
        # The bytes of a row are not known before it is read; the fingerprint stands for the whole table.
        stamp = FileStat(0, dataset._fingerprint)
        self.files = {f"row {number}": stamp for number in range(len(dataset))}
        self.left_out: dict[str, list[str]] = {}

    def open(self, name: str) -> BinaryIO:
        """Opens the image of a row for reading."""
        value = self._images[int(name.removeprefix("row "))][self._image_column]
        if isinstance(value, dict):
            value = value["path"] if value["bytes"] is None else value["bytes"]
        if value is None:
            raise OSError("the row has no image")
        if isinstance(value, bytes):
            return io.BytesIO(value)
        if not os.path.isfile(value):  # A pipe would be waited for.
            raise OSError("the row names a file that does not exist")
        return open(value, "rb")


def _no_data(name: str) -> str | None:
    """Why a file or folder of this name is no data, or `None`."""
    if name.lower() in _SYSTEM_NAMES:
        return SYSTEM
    return HIDDEN if name.startswith(".") and name != "." else None


def _common_folder(names: list[str]) -> str:
    """The folders, ending with "/", that all names have in common."""
    folders = [name.split("/")[:-1] for name in names]
    common = os.path.commonprefix(folders) if folders else []
    return "".join(f"{folder}/" for folder in common)


def check_one_kind(found: dict[str, list[str]]) -> None:
    """
    Refuses a folder whose data is stored in several ways, of which only one would be read.

    Args:
        found (`dict[str, list[str]]`): Names by the kind of storage.

    Raises:
        ValueError: If there is more than one kind.
    """
    kinds = {kind: names for kind, names in found.items() if names}
    if len(kinds) > 1:
        listed = "; ".join(f"{len(names)} {kind} ({examples(names)})" for kind, names in kinds.items())
        raise ValueError(f"`train_data_dir` must hold one kind of data, got {listed}. Move all but one elsewhere.")
