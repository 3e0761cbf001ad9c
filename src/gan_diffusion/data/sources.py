# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Where samples come from: embedded sets, Hub datasets, image folders and parquet files."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from .arguments import DataArguments
from .batch import Samples
from .images import IMAGE_EXTENSIONS, decode_image
from .toy import gaussian_grid_centers, sample_gaussian_grid


if TYPE_CHECKING:
    import datasets


class TensorSamples(Dataset):
    """
    Samples that lie in memory.

    Args:
        samples (`torch.Tensor` of shape (N, ...)): Float in [-1, 1] or uint8; vectors too.
        class_labels (`torch.Tensor` of shape (N,), *optional*): Class indices.
    """

    def __init__(self, samples: torch.Tensor, class_labels: torch.Tensor | None = None):
        self.samples = samples
        self.class_labels = class_labels
        self.num_classes = None if class_labels is None else int(class_labels.max()) + 1

    def __len__(self) -> int:
        return len(self.samples)

    def __getitems__(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        index = torch.as_tensor(indices)
        items = {"samples": self.samples[index]}
        if self.class_labels is not None:
            items["class_labels"] = self.class_labels[index]
        return items


class GaussianGrid25(TensorSamples):
    """
    A training set drawn from the mixture of 25 Gaussians.

    The points (N, 2) lie in roughly [-1.5, 1.5]. The class of a point is the mode that it was drawn from.

    Args:
        length (`int`, defaults to 100,000): Number of points. The same seed and length always give the same points.
        seed (`int`, defaults to 0): Seed of the points.

    Raises:
        ValueError: If `length` is below 1.
    """

    def __init__(self, length: int = 100_000, seed: int = 0):
        if length < 1:
            raise ValueError(f"`length` must be at least 1, got {length}.")
        super().__init__(*sample_gaussian_grid(length, torch.Generator().manual_seed(seed)))
        self.num_classes = len(gaussian_grid_centers())


class ImageSamples(Dataset):
    """
    Images of a Hugging Face dataset, decoded when a batch asks for them.

    Args:
        dataset (`datasets.Dataset`): With an image column.
        image_column (`str`): Name of that column.
        label_column (`str`): Name of the column of labels.
        channels (`int`): Channels of the images, see [`~data.images.to_array`].
        size (`tuple[int, int]`): Height and width of the images.
        resize_mode (`str`): How they get that size.

    Raises:
        ValueError: If a column is missing or has the wrong type.
    """

    def __init__(
        self,
        dataset: "datasets.Dataset",
        image_column: str,
        label_column: str,
        channels: int,
        size: tuple[int, int],
        resize_mode: str,
    ):
        import datasets

        if image_column not in dataset.column_names:
            raise ValueError(f"`image_column` must be one of {dataset.column_names}, got {image_column!r}.")
        if not isinstance(dataset.features[image_column], datasets.Image):
            raise ValueError(
                f"`image_column` must name a column of images, got {image_column!r}, which holds "
                f"{dataset.features[image_column]}."
            )
        # Decoding here rather than in the dataset lets an unreadable file be named.
        self.dataset = dataset.cast_column(image_column, datasets.Image(decode=False))
        self.image_column = image_column
        self.label_column = label_column
        self.channels = channels
        self.size = size
        self.resize_mode = resize_mode
        labels = dataset.features.get(label_column)
        self.num_classes = len(labels.names) if isinstance(labels, datasets.ClassLabel) else None

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitems__(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        rows = self.dataset[list(indices)]
        images = [
            decode_image(
                entry["path"] if entry["bytes"] is None else entry["bytes"],
                entry["path"] or f"number {index} of the dataset",
                self.channels,
                self.size,
                self.resize_mode,
            )
            for entry, index in zip(rows[self.image_column], indices, strict=True)
        ]
        items = {"samples": torch.from_numpy(np.stack(images))}
        if self.num_classes is not None:
            items["class_labels"] = torch.as_tensor(rows[self.label_column])
        return items


class StackedSamples(Dataset):
    """
    Colour images made of three grey images each, as in the StackedMNIST of DDGAN.

    Each channel goes through all images twice, in random orders that never change. With ten digits the colour images
    have 1000 modes.

    Args:
        dataset ([`~data.Samples`]): Grey samples.
        num_channels (`int`): Images per triple.
        seed (`int`): Seed of the orders.
    """

    num_classes: int | None = None

    def __init__(self, dataset: Samples, num_channels: int, seed: int):
        self.dataset = dataset
        generator = torch.Generator().manual_seed(seed)
        orders = [
            torch.cat([torch.randperm(len(dataset), generator=generator) for _ in range(2)])
            for _ in range(num_channels)
        ]
        self.members = torch.stack(orders, dim=1)

    def __len__(self) -> int:
        return len(self.members)

    def __getitems__(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        members = self.members[torch.as_tensor(indices)]
        images = self.dataset.__getitems__(members.flatten().tolist())["samples"]
        return {"samples": images.reshape(*members.shape, *images.shape[-2:])}


def load_digits() -> TensorSamples:
    """The 1797 handwritten digits of scikit-learn (UCI), 8x8 grey in [-1, 1], with their labels."""
    from sklearn.datasets import load_digits as load_sklearn_digits

    pixels, labels = load_sklearn_digits(return_X_y=True)
    images = torch.from_numpy(pixels).float().view(-1, 1, 8, 8) / 8.0 - 1.0
    return TensorSamples(images, torch.from_numpy(labels))


def load_samples(arguments: DataArguments, sample_shape: tuple[int, ...], seed: int = 0) -> Samples:
    """
    Opens the data that the options name.

    Args:
        arguments ([`DataArguments`]): The options.
        sample_shape (`tuple[int, ...]`): What the model takes: (C, H, W) or (D,).
        seed (`int`, defaults to 0): Seed of data that is drawn.

    Returns:
        [`~data.Samples`]: samples of the shape that the model takes.

    Raises:
        ValueError: If the data is missing, empty or unreadable, does not fit the model, or has no labels although
            class-conditional training was asked for.
    """
    channels = 1 if arguments.stack_channels else sample_shape[0]
    if arguments.dataset_name == "digits":
        dataset = load_digits()
    elif arguments.dataset_name == "gaussians-25":
        dataset = GaussianGrid25(seed=seed)
    elif len(sample_shape) != 3:
        raise ValueError(
            f"`recipe` must be one for images, got one whose model takes vectors of {sample_shape[0]} values."
        )
    else:
        dataset = ImageSamples(
            _open_images(arguments),
            arguments.image_column,
            arguments.label_column,
            channels=channels,
            size=(sample_shape[1], sample_shape[2]),
            resize_mode=arguments.resize_mode,
        )
    if len(dataset) == 0:
        raise ValueError("`dataset_name` or `train_data_dir` must name at least one sample, got none.")
    if arguments.stack_channels:
        dataset = StackedSamples(dataset, sample_shape[0], seed)
    shape = tuple(dataset.__getitems__([0])["samples"].shape[1:])
    if shape != sample_shape:
        raise ValueError(
            f"`recipe` must be one for samples of shape {shape}, as the data has, got one for {sample_shape}."
        )
    if arguments.random_flip and len(shape) != 3:
        raise ValueError("`random_flip` must be off for vectors, got on. Only images are mirrored.")
    if arguments.class_conditional and dataset.num_classes is None:
        raise ValueError(
            f"`class_conditional` must be off for data without labels, got on, and no class column "
            f"{arguments.label_column!r}. Name the column by `label_column`."
        )
    return dataset


def _open_images(arguments: DataArguments) -> "datasets.Dataset":
    """The Hugging Face dataset that the options name."""
    from datasets import load_dataset

    if arguments.dataset_name is None:
        source = _open_folder(str(arguments.train_data_dir), arguments.cache_dir)
    else:
        source = load_dataset(
            arguments.dataset_name,
            arguments.dataset_config_name,
            split=arguments.dataset_split,
            cache_dir=arguments.cache_dir,
        )
    if arguments.max_train_samples is not None:
        source = source.select(range(min(arguments.max_train_samples, len(source))))
    return source


def _open_folder(folder: str, cache_dir: str | None) -> "datasets.Dataset":
    """An image folder or a folder of parquet files as a dataset, its image files checked first."""
    from datasets import load_dataset

    root = Path(folder)
    if not root.is_dir():
        raise ValueError(f"`train_data_dir` must be a folder, got {folder!r}.")
    parquet = sorted(str(file) for file in root.rglob("*.parquet"))
    if parquet:
        return load_dataset("parquet", data_files=parquet, split="train", cache_dir=cache_dir)
    files = sorted(file for file in root.rglob("*") if file.suffix.lower() in IMAGE_EXTENSIONS)
    if not files:
        raise ValueError(
            f"`train_data_dir` must hold images ({', '.join(IMAGE_EXTENSIONS)}) or parquet files, got {folder!r} with none."
        )
    broken = []
    for file in files:
        try:
            with Image.open(file) as image:
                image.verify()
        except Exception as error:  # Pillow's decoders raise many kinds.
            broken.append(f"{file} ({error})")
    if broken:
        more = f" and {len(broken) - 5} more" if len(broken) > 5 else ""
        raise ValueError(
            f"`train_data_dir` must hold readable images, got {len(broken)} unreadable images: "
            f"{'; '.join(broken[:5])}{more}. Mend or remove them."
        )
    return load_dataset("imagefolder", data_dir=folder, split="train", cache_dir=cache_dir)
