# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Data sets that are files: folders of images, zip and tar archives, parquet files."""

from pathlib import Path

from .arguments import DataArguments, check_unused
from .listing import NO_IMAGE, Listing, find_labels, list_images, webdataset_labels
from .report import examples
from .storage import FolderStorage, TarStorage, ZipStorage, check_one_kind, check_output_folder
from .tables import choose_split, open_parquet


_KINDS = {".zip": "zip archives", ".tar": "tar archives", ".parquet": "parquet files"}


def open_data_folder(arguments: DataArguments, output_dir: Path | None = None) -> Listing:
    """
    Opens a folder of images, of tar archives or of parquet files, or one such file, or a zip archive.

    Args:
        arguments ([`DataArguments`]): With the path.
        output_dir (`Path`, *optional*): Folder of the run, whose files are no data.

    Returns:
        [`Listing`]: its images, with their labels.

    Raises:
        ValueError: If there is nothing at the path, or data of several kinds, or its labels contradict each other.
    """
    root = Path(str(arguments.train_data_dir))
    if output_dir is not None:
        check_output_folder(arguments.train_data_dir, output_dir)
    if root.is_file() and root.suffix.lower() in _KINDS:
        return _open_file(root, arguments)
    if not root.is_dir():
        raise ValueError(
            f"`train_data_dir` must be a folder, or a file that ends with {', '.join(_KINDS)}, got {str(root)!r}."
        )
    storage = FolderStorage(root, output_dir)
    listing = list_images(storage)
    others = listing.left_out.get(NO_IMAGE, [])
    found = {ending: [name for name in others if name.lower().endswith(ending)] for ending in _KINDS}
    check_one_kind({"images": listing.names} | {_KINDS[ending]: names for ending, names in found.items()})
    for ending, names in found.items():
        if names:
            archives = _open_archives(root, names, ending, arguments)
            listing.left_out[NO_IMAGE] = [name for name in others if name not in names]
            archives.left_out = {why: which for why, which in listing.left_out.items() if which} | archives.left_out
            return archives
    if not listing.names and not listing.foreign:
        hint = f" There are {len(others)} other files: {examples(others)}." if others else ""
        raise ValueError(
            f"`train_data_dir` must hold images, zip or tar archives or parquet files, got {str(root)!r} with none.{hint}"
        )
    check_unused(arguments, "a folder of images", "dataset_config_name", "dataset_split", "image_column")
    find_labels(listing, arguments.label_column)
    return listing


def _open_file(path: Path, arguments: DataArguments) -> Listing:
    """One archive or parquet file that was named, whatever split its name may mean."""
    check_unused(arguments, "a single file", "dataset_config_name", "dataset_split")
    if path.suffix.lower() == ".zip":
        return _open_zip(path, arguments)
    if path.suffix.lower() == ".tar":
        return _open_tar([path], path.parent, f"archive {path.name}", arguments)
    return open_parquet([path], f"file {path.name}", None, arguments)


def _open_archives(root: Path, names: list[str], ending: str, arguments: DataArguments) -> Listing:
    """Archives of a folder: one zip, or the tar or parquet files of the split that is asked for."""
    if ending == ".zip" and len(names) > 1:
        raise ValueError(
            f"`train_data_dir` must hold one zip archive, got {len(names)}: {examples(names)}. Name the one to train "
            "on, or unpack them."
        )
    if ending == ".zip":
        return _open_zip(root / names[0], arguments)
    splits, features, licence = choose_split(root, names, arguments)
    used = splits.pop(arguments.dataset_split)
    source = f"{len(used)} {_KINDS[ending]} of the folder {root.resolve().name}"
    paths = [root / name for name in used]
    if ending == ".tar":
        listing = _open_tar(paths, root, source, arguments)
    else:
        listing = open_parquet(paths, source, features, arguments)
    listing.licence = licence
    listing.left_out |= {f"split {split}": names for split, names in splits.items()}
    return listing


def _open_zip(path: Path, arguments: DataArguments) -> Listing:
    check_unused(arguments, "a zip archive", "dataset_config_name", "dataset_split", "image_column")
    storage = ZipStorage(path)
    listing = list_images(storage)
    if storage.prefix:
        listing.rules.append(f"everything in the archive lies in {storage.prefix}, which is taken as its root")
    find_labels(listing, arguments.label_column)
    return listing


def _open_tar(paths: list[Path], root: Path, source: str, arguments: DataArguments) -> Listing:
    check_unused(arguments, "tar archives", "image_column")
    listing = list_images(TarStorage(paths, root, source))
    webdataset_labels(listing, arguments.label_column)
    return listing
