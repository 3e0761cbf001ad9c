# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Which of the files that lie somewhere are images, and which labels they have."""

import csv
import io
import json
import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from .images import FORMATS
from .report import examples
from .storage import MAX_FILE_BYTES, Storage


IMAGE_EXTENSIONS = frozenset(
    ".png .apng .jpg .jpeg .jpe .jfif .mpo .webp .bmp .dib .gif .tif .tiff .avif .jp2 .j2k .jpx .ppm .pgm .pbm .pnm "
    ".pfm".split()
)
# Images that cannot be read here. To leave them out without being told to would be training on other data.
FOREIGN_EXTENSIONS = frozenset(
    ".heic .heif .jxl .psd .psb .xcf .svg .eps .ai .exr .hdr .tga .dds .pcx .ico .icns .dcm .fits .raw .dng .cr2 .cr3 "
    ".nef .nrw .arw .orf .rw2 .raf .pef .srw .jxr .wdp .kra .sgi .rgb .xpm .xbm".split()
)
# Files that stand beside images without being some.
_OTHER_EXTENSIONS = frozenset(
    ".zip .tar .parquet .txt .md .json .jsonl .csv .tsv .xml .yaml .yml .html .htm .log .pdf .py .ipynb .sh .bat .toml .ini .cfg .db "
    ".doc .docx .xls .xlsx .npy .npz .mat .h5 .hdf5 .pt .pth .pkl .safetensors .caption .cls .mp4 .mov .avi .mkv "
    ".webm .wav .mp3 .flac .ogg .xmp .url .lnk .aae".split()
)
_METADATA = ("metadata.csv", "metadata.jsonl")
_SPLITS = frozenset("train training test testing val valid validation dev eval evaluation".split())
# A list for millions of images. Much more would fill the memory.
_MAX_TEXT_BYTES = 128 * 2**20

NO_IMAGE = "no images"


@dataclass
class Listing:
    """
    The images of a data set and what is known of them before they are decoded.

    Args:
        storage ([`~data.storage.Storage`]): Where they are.
        names (`list[str]`): Their names.
        labels (`list`, *optional*): Their labels as they were written, `None` where one is missing.
        no_labels (`str`): Why there are no labels, if there are none.
        class_names (`list[str]`, *optional*): Names that labels stand for.
        left_out (`dict[str, list[str]]`): What is not used, by the reason.
        foreign (`list[str]`): Images in formats that cannot be read here.
        rules (`list[str]`): What was decided, in sentences.
        licence (`str`, *optional*): Licence of the data.
    """

    storage: Storage
    names: list[str]
    labels: list[Any] | None = None
    no_labels: str = "the data has none"
    class_names: list[str] | None = None
    left_out: dict[str, list[str]] = field(default_factory=dict)
    foreign: list[str] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)
    licence: str | None = None


def extension(name: str) -> str:
    """The part of a file's name from the last dot on, in small letters."""
    return posixpath.splitext(name)[1].lower()


def list_images(storage: Storage) -> Listing:
    """
    Sorts the files of a storage into images and others.

    Args:
        storage ([`~data.storage.Storage`]): The files.

    Returns:
        [`Listing`]: without labels. Files with an unknown ending are images if their content is one.
    """
    listing = Listing(storage, [], left_out={reason: list(names) for reason, names in storage.left_out.items()})
    by_content = []
    for name in storage.files:
        ending = extension(name)
        if ending in IMAGE_EXTENSIONS:
            listing.names.append(name)
        elif ending in FOREIGN_EXTENSIONS:
            listing.foreign.append(name)
        elif ending not in _OTHER_EXTENSIONS and _is_image(storage, name):
            by_content.append(name)
        elif posixpath.basename(name) not in (*_METADATA, "dataset.json"):
            listing.left_out.setdefault(NO_IMAGE, []).append(name)
    if by_content:
        listing.names += by_content
        listing.rules.append(f"{len(by_content)} files are images by their content: {examples(by_content)}")
    listing.names.sort()
    return listing


def _is_image(storage: Storage, name: str) -> bool:
    if storage.files[name].size > MAX_FILE_BYTES:
        return False
    try:
        with storage.open(name) as stream, Image.open(stream, formats=FORMATS):
            return True
    except Exception:  # Pillow's decoders raise many kinds.
        return False


def find_labels(listing: Listing, label_column: str) -> None:
    """
    Finds the labels of a folder or archive and notes them, or why there are none, in its listing.

    StyleGAN's `dataset.json` comes first, then `metadata.csv` and `metadata.jsonl` in the form of Hugging Face, then
    the first folder below the root.

    Args:
        listing ([`Listing`]): The images.
        label_column (`str`): Column of the metadata.

    Raises:
        ValueError: If a file of labels is damaged, names files that do not exist, or contradicts another one.
    """
    tables = [name for name in listing.storage.files if posixpath.basename(name) in _METADATA]
    stylegan = _stylegan_labels(listing)
    if stylegan is not None and tables:
        raise ValueError(
            f"`train_data_dir` must hold one file of labels, got dataset.json and {examples(tables)}. Keep one of them."
        )
    if stylegan is not None:
        _take(listing, stylegan, "dataset.json")
        return
    described, labels = _metadata_labels(listing, tables, label_column)
    if described and (labels or label_column != "label"):
        _take(listing, labels, examples(tables))
        listing.no_labels = f"{examples(tables)} has no column {label_column!r}"
        unlisted = [name for name in listing.names if name not in described]
        if unlisted:
            listing.rules.append(f"{len(unlisted)} images are not in {examples(tables)}: {examples(unlisted)}")
        return
    if described:
        listing.rules.append(f"{examples(tables)} has no column 'label': the folders are the classes")
    _folder_labels(listing, label_column)


def _take(listing: Listing, labels: dict[str, Any], source: str) -> None:
    """Notes labels that a file gives by name."""
    if labels:
        listing.labels = [labels.get(name) for name in listing.names]
        listing.rules.append(f"labels are from {source}")
    else:
        listing.no_labels = f"{source} gives none"


def _folder_labels(listing: Listing, label_column: str) -> None:
    folders = [name.split("/")[0] if "/" in name else None for name in listing.names]
    distinct = {folder.lower() for folder in folders if folder is not None}
    if None not in folders and len(distinct) > 1 and distinct <= _SPLITS:
        raise ValueError(
            f"`train_data_dir` must be the folder of one split, got one with the splits {sorted(distinct)}. Name the one "
            "to train on."
        )
    if distinct and label_column == "label":
        listing.labels = folders
    elif label_column != "label":
        listing.no_labels = f"there is no metadata with a column {label_column!r}"
    else:
        listing.no_labels = "all images lie in one folder"


def _stylegan_labels(listing: Listing) -> dict[str, Any] | None:
    """The labels of a `dataset.json` as StyleGAN writes it: `None` without one, empty if it has none."""
    if "dataset.json" not in listing.storage.files:
        return None
    try:
        content = json.loads(_text(listing.storage, "dataset.json"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"`dataset.json` must be a JSON file, got: {error}. Mend or remove it.") from error
    pairs = content.get("labels") if isinstance(content, dict) else content
    if isinstance(content, dict) and "labels" in content and pairs is None:
        return {}
    if not (
        isinstance(content, dict)
        and isinstance(pairs, list)
        and all(isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) for pair in pairs)
    ):
        listing.left_out.setdefault("not a file of labels of StyleGAN", []).append("dataset.json")
        return None
    return _by_name(listing, [(name.replace("\\", "/"), label) for name, label in pairs], "dataset.json")


def _metadata_labels(listing: Listing, tables: list[str], column: str) -> tuple[set[str], dict[str, Any]]:
    """Which images the metadata describes, and the labels of those that have one."""
    pairs = []
    for table in tables:
        rows = list(_rows(listing.storage, table))
        nameless = [str(number) for number, row in enumerate(rows, 1) if not row.get("file_name")]
        if len(nameless) == len(rows):
            listing.left_out.setdefault("metadata without a column 'file_name'", []).append(table)
            continue
        if nameless:
            raise ValueError(
                f"`{table}` must have a file_name in each row, got {len(nameless)} rows without one: "
                f"{examples(nameless)}. Correct the list."
            )
        folder = posixpath.dirname(table)
        pairs += [(posixpath.normpath(posixpath.join(folder, str(row["file_name"]))), row.get(column)) for row in rows]
    labels = _by_name(listing, pairs, examples(tables))
    return set(labels), {name: label for name, label in labels.items() if label is not None}


def _by_name(listing: Listing, pairs: list[tuple[str, Any]], source: str) -> dict[str, Any]:
    """Labels by the names of the images, which are compared without regard to how Unicode composes letters."""
    known = {unicodedata.normalize("NFC", name): name for name in (*listing.names, *listing.foreign)}
    labels: dict[str, Any] = {}
    missing, twice = [], []
    for written, label in pairs:
        name = known.get(unicodedata.normalize("NFC", written))
        if name is None:
            missing.append(written)
        elif name in labels and labels[name] != label:
            twice.append(written)
        else:
            labels[name] = label
    if missing:
        raise ValueError(
            f"`train_data_dir` must hold every image that {source} lists, got {len(missing)} that do not exist: "
            f"{examples(missing, 5)}. Add them, or correct the list."
        )
    if twice:
        raise ValueError(
            f"`train_data_dir` must have one label per image, got {len(twice)} in {source} with two: "
            f"{examples(twice, 5)}. Correct the list."
        )
    return labels


def _rows(storage: Storage, table: str) -> Iterator[dict[str, Any]]:
    """The rows of a metadata file."""
    text = _text(storage, table)
    try:
        if table.endswith(".csv"):
            yield from csv.DictReader(io.StringIO(text, newline=""), strict=True)
        else:
            for line in text.split("\n"):
                if not line.strip():
                    continue
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise json.JSONDecodeError("no object", line, 0)
                yield row
    except (ValueError, RecursionError, csv.Error) as error:
        raise ValueError(f"`{table}` must be a readable table, got: {error}. Mend or remove it.") from error


def _text(storage: Storage, name: str) -> str:
    size = storage.files[name].size
    if size > _MAX_TEXT_BYTES:
        raise ValueError(f"`{name}` must have at most {_MAX_TEXT_BYTES:,} bytes, got {size:,}. Shorten it.")
    with storage.open(name) as stream:
        try:
            return stream.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(f"`{name}` must be UTF-8 text, got: {error}. Save it as UTF-8.") from error


def webdataset_labels(listing: Listing, label_column: str) -> None:
    """
    Finds the labels of images in tar archives: `key.cls` or `key.json` beside `key.jpg`.

    Args:
        listing ([`Listing`]): The images.
        label_column (`str`): Key in the JSON files.

    Raises:
        ValueError: If a file of labels is damaged, or a key has several images.
    """
    storage = listing.storage
    keys = Counter(_key(name)[0] for name in listing.names)
    several = [key for key, count in keys.items() if count > 1]
    if several:
        raise ValueError(
            f"`train_data_dir` must hold one image per key of its tar archives, got {len(several)} keys with several: "
            f"{examples(several, 5)}. Keep the images to train on."
        )
    labels = {}
    for name in storage.files:
        key, ending = _key(name)
        if ending == "cls":
            text = _text(storage, name).strip()
            labels[key] = int(text) if re.fullmatch(r"-?[0-9]+", text) else text
        elif ending == "json":
            try:
                content = json.loads(_text(storage, name))
            except (ValueError, RecursionError) as error:
                raise ValueError(f"`{name}` must be a JSON file, got: {error}. Mend or remove it.") from error
            if isinstance(content, dict) and label_column in content:
                labels.setdefault(key, content[label_column])
    _take(listing, {name: labels[_key(name)[0]] for name in listing.names if _key(name)[0] in labels}, "the archives")


def _key(name: str) -> tuple[str, str]:
    """WebDataset's key, which ends at the first dot of the file's name, and what follows it."""
    folder, file = posixpath.split(name)
    key, _, ending = file.partition(".")
    return posixpath.join(folder, key), ending.lower()
