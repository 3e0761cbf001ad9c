# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Data sets that are tables: of the Hub, and parquet files."""

import glob
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .arguments import DataArguments
from .listing import Listing
from .report import examples
from .storage import TableStorage


if TYPE_CHECKING:
    import datasets


def open_hub_dataset(arguments: DataArguments) -> Listing:
    """
    Opens a dataset of the Hub.

    Args:
        arguments ([`DataArguments`]): With the name.

    Returns:
        [`Listing`]: its images.

    Raises:
        ValueError: If the dataset cannot be read, its name is that of a folder here, or a column does not fit.
    """
    from datasets import load_dataset

    name = str(arguments.dataset_name)
    if Path(name).exists():
        raise ValueError(
            f"`dataset_name` must be the name of a dataset on the Hub, got {name!r}, which is a folder or file here. "
            "Give it as --train_data_dir, or start the training in another folder."
        )
    try:
        dataset = load_dataset(
            name, arguments.dataset_config_name, split=arguments.dataset_split, cache_dir=arguments.cache_dir
        )
    except Exception as error:  # `datasets` raises many kinds.
        raise ValueError(
            f"`dataset_name` must be the name of a dataset on the Hub that can be read, got {name!r}: {error}."
        ) from error
    listing = _list_rows(dataset, arguments, f"dataset {name}, split {arguments.dataset_split}")
    others = sorted(set(dataset.info.splits or {}) - {arguments.dataset_split})
    if others:
        listing.left_out["other splits"] = others
    listing.licence = _plain(dataset.info.license) or _plain(_card(name).get("license"))
    return listing


def open_parquet(
    paths: list[Path], source: str, features: "datasets.Features | None", arguments: DataArguments
) -> Listing:
    """
    Opens parquet files.

    Args:
        paths (`list[Path]`): The files.
        source (`str`): What they are, for people.
        features (`datasets.Features`, *optional*): Types of the columns. Default: as the files say.
        arguments ([`DataArguments`]): With the columns.

    Returns:
        [`Listing`]: their images.

    Raises:
        ValueError: If the files cannot be read, or a column does not fit.
    """
    from datasets import load_dataset

    files = [glob.escape(str(path)) for path in paths]
    try:
        dataset = load_dataset(
            "parquet", data_files=files, split="train", features=features, cache_dir=arguments.cache_dir
        )
    except Exception as error:  # `datasets` and pyarrow raise many kinds.
        raise ValueError(
            f"`train_data_dir` must hold readable parquet files with the same columns, got: {error.__cause__ or error}."
        ) from error
    return _list_rows(dataset, arguments, source)


def choose_split(
    root: Path, files: list[str], arguments: DataArguments
) -> tuple[dict[str, list[str]], "datasets.Features | None", str | None]:
    """
    Lets `datasets` tell the splits of a folder apart, by its README.md or the names of the files.

    It searches with patterns, which brackets in the path would confuse. So it sees a copy of the folder that has the
    same names and no content.

    Args:
        root (`Path`): The folder.
        files (`list[str]`): Relative names of its data files.
        arguments ([`DataArguments`]): With the configuration in README.md and the split.

    Returns:
        tuple: files by split, the one to use first; features and licence that README.md gives, or `None`.

    Raises:
        ValueError: If there is no such split, files belong to no split, or the splits cannot be told.
    """
    from datasets import load_dataset_builder

    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder).resolve()
        for name in files:
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).touch()
        card = {}
        if (root / "README.md").is_file():
            shutil.copyfile(root / "README.md", copy / "README.md")
            card = _card(root / "README.md")
        try:
            builder = load_dataset_builder(str(copy), arguments.dataset_config_name, cache_dir=str(copy / ".cache"))
        except Exception as error:  # `datasets` raises many kinds.
            raise ValueError(
                f"`train_data_dir` must hold files whose splits can be told, got: {error}. Name them train-*, or give "
                "--dataset_config_name."
            ) from error
        splits = {
            str(split): [Path(path).relative_to(copy).as_posix() for path in paths]
            for split, paths in (builder.config.data_files or {}).items()
        }
        features = builder.info.features
    assigned = {name for names in splits.values() for name in names}
    others = [name for name in files if name not in assigned]
    if others and "configs" not in card:
        raise ValueError(
            f"`train_data_dir` must hold files of known splits, got {len(others)} beside them: "
            f"{examples(others, 5)}. Rename or remove them."
        )
    if others:
        splits["of other configurations"] = others
    wanted = arguments.dataset_split
    if wanted not in splits:
        raise ValueError(
            f"`dataset_split` must be one of {sorted(splits)}, which the files in {root.name!r} have, got {wanted!r}."
        )
    return {wanted: splits.pop(wanted), **splits}, features, _plain(card.get("license"))


def _list_rows(dataset: "datasets.Dataset", arguments: DataArguments, source: str) -> Listing:
    """The rows of a table with their labels."""
    import datasets

    storage = TableStorage(dataset, arguments.image_column, source)
    listing = Listing(storage, list(storage.files))
    column = arguments.label_column
    if column not in dataset.column_names:
        listing.no_labels = f"there is no column {column!r}"
        return listing
    listing.labels = dataset.select_columns([column]).with_format(None)[:][column]
    feature = dataset.features[column]
    if isinstance(feature, datasets.ClassLabel):
        listing.class_names = feature.names
    return listing


def _card(source: str | Path) -> dict[str, Any]:
    """The metadata of a dataset card, a file or one on the Hub; nothing if there is none."""
    from huggingface_hub import DatasetCard

    try:
        return DatasetCard.load(source, ignore_metadata_errors=True).data.to_dict()
    except Exception:  # A README.md may be anything, and there may be no network now that the data is in the cache.
        return {}


def _plain(licence: Any) -> str | None:
    return ", ".join(licence) if isinstance(licence, list) else str(licence) if licence else None
