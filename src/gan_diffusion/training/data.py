# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Training data: embedded sets, Hub datasets, image folders and parquet files, as batches of tensors."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch.utils.data import BatchSampler, DataLoader, Dataset, DistributedSampler

from ..data.toy import gaussian_grid_centers, sample_gaussian_grid
from .arguments import TrainingArguments


IMAGE_EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")


def to_array(image: Image.Image, channels: int, resolution: int, resize_mode: str = "resize") -> np.ndarray:
    """
    Brings an image of any mode and size to the shape that a model takes.

    Args:
        image (`PIL.Image.Image`): Transparency is laid on white; 16-bit grey is brought to 8 bits.
        channels (`int`): 1 (grey) or 3 (RGB).
        resolution (`int`): Side of the result in pixels.
        resize_mode (`str`, defaults to `"resize"`): `"resize"` brings the shorter side to the resolution (Lanczos) and
            crops the centre; `"pad"` sets a smaller image in the middle of black.

    Returns:
        `np.ndarray` of shape (channels, resolution, resolution), uint8.

    Raises:
        ValueError: if the channels are neither 1 nor 3, or an image to pad is larger than the resolution.
    """
    if channels not in (1, 3):
        raise ValueError(f"Images can be read with 1 or 3 channels; the model takes {channels}.")
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
    image = image.convert("L" if channels == 1 else "RGB")

    if resize_mode == "pad":
        if max(image.size) > resolution:
            raise ValueError(f"`resize_mode` 'pad' needs images of at most {resolution} pixels, got {image.size}.")
        canvas = Image.new(image.mode, (resolution, resolution))
        canvas.paste(image, ((resolution - image.width) // 2, (resolution - image.height) // 2))
        image = canvas
    elif image.size != (resolution, resolution):
        scale = resolution / min(image.size)
        size = [max(resolution, round(side * scale)) for side in image.size]
        image = image.resize(size, Image.Resampling.LANCZOS)
        left, top = (size[0] - resolution) // 2, (size[1] - resolution) // 2
        image = image.crop((left, top, left + resolution, top + resolution))
    array = np.asarray(image)
    return array[None] if channels == 1 else array.transpose(2, 0, 1)


class TensorSamples(Dataset):
    """
    Samples that lie in memory.

    Args:
        images (`torch.Tensor` of shape (N, ...)): Float in [-1, 1] or uint8; vectors too.
        class_labels (`torch.Tensor` of shape (N,), *optional*): Class indices.
    """

    def __init__(self, images: torch.Tensor, class_labels: torch.Tensor | None = None):
        self.images = images
        self.class_labels = class_labels
        self.num_classes = None if class_labels is None else int(class_labels.max()) + 1

    def __len__(self) -> int:
        return len(self.images)

    def __getitems__(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        index = torch.as_tensor(indices)
        batch = {"images": self.images[index]}
        if self.class_labels is not None:
            batch["class_labels"] = self.class_labels[index]
        return batch


class GaussianGrid25(TensorSamples):
    """
    A training set drawn from the mixture of 25 Gaussians: `images` (B, 2) in roughly [-1.5, 1.5], with the mode of each point
    as `class_labels`.

    Args:
        length (`int`, defaults to 100,000): Number of points, the customary one; the same seed and length always give the
            same points.
        seed (`int`, defaults to 0): Seed of the points.

    Raises:
        ValueError: if `length` is below 1.
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
        image_column, label_column (`str`): Its columns.
        channels, resolution, resize_mode: See [`to_array`].

    Raises:
        ValueError: if a column is missing or has the wrong type.
    """

    def __init__(
        self, dataset, image_column: str, label_column: str, channels: int, resolution: int, resize_mode: str
    ):
        import datasets

        if image_column not in dataset.column_names:
            raise ValueError(f"`image_column` {image_column!r} is not one of the columns {dataset.column_names}.")
        if not isinstance(dataset.features[image_column], datasets.Image):
            raise ValueError(
                f"`image_column` {image_column!r} must hold images, got {dataset.features[image_column]}."
            )
        # Decoding here rather than in the dataset lets an unreadable file be named.
        self.dataset = dataset.cast_column(image_column, datasets.Image(decode=False))
        self.image_column = image_column
        self.label_column = label_column
        self.channels = channels
        self.resolution = resolution
        self.resize_mode = resize_mode
        labels = dataset.features.get(label_column)
        self.num_classes = labels.num_classes if isinstance(labels, datasets.ClassLabel) else None

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitems__(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        rows = self.dataset[list(indices)]
        images = [self._decode(entry, index) for entry, index in zip(rows[self.image_column], indices, strict=True)]
        batch = {"images": torch.from_numpy(np.stack(images))}
        if self.num_classes is not None:
            batch["class_labels"] = torch.as_tensor(rows[self.label_column])
        return batch

    def _decode(self, entry: dict, index: int) -> np.ndarray:
        source = io.BytesIO(entry["bytes"]) if entry["bytes"] is not None else entry["path"]
        try:
            with Image.open(source) as image:
                return to_array(image, self.channels, self.resolution, self.resize_mode)
        except (OSError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
            name = entry["path"] or f"number {index} of the dataset"
            raise ValueError(f"Cannot read image {name}: {error}. Mend or remove it.") from error


class StackedSamples(Dataset):
    """
    Grey images stacked into the colour channels of fixed random triples, as in the StackedMNIST of DDGAN: each channel is two
    random orders of all images laid end to end. With ten digits the triples have 1000 modes.

    Args:
        dataset (`Dataset`): Grey samples.
        num_channels (`int`): Images per triple.
        seed (`int`): Seed of the orders.
    """

    num_classes = None

    def __init__(self, dataset: Dataset, num_channels: int, seed: int):
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
        images = self.dataset.__getitems__(members.flatten().tolist())["images"]
        return {"images": images.reshape(*members.shape, *images.shape[-2:])}


def _load_folder(folder: str, cache_dir: str | None):
    """An image folder or a folder of parquet files as a dataset, its image files checked first."""
    from datasets import load_dataset

    root = Path(folder)
    if not root.is_dir():
        raise ValueError(f"`train_data_dir` {folder!r} is not a folder.")
    parquet = sorted(str(file) for file in root.rglob("*.parquet"))
    if parquet:
        return load_dataset("parquet", data_files=parquet, split="train", cache_dir=cache_dir)
    files = sorted(file for file in root.rglob("*") if file.suffix.lower() in IMAGE_EXTENSIONS)
    if not files:
        raise ValueError(
            f"`train_data_dir` {folder!r} holds no images ({', '.join(IMAGE_EXTENSIONS)}) and no parquet."
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
        raise ValueError(f"`train_data_dir` holds {len(broken)} unreadable images: {'; '.join(broken[:5])}{more}.")
    return load_dataset("imagefolder", data_dir=folder, split="train", cache_dir=cache_dir)


def load_digits() -> TensorSamples:
    """The 1797 handwritten digits of scikit-learn (UCI), 8x8 grey in [-1, 1], with their labels."""
    from sklearn.datasets import load_digits as load_sklearn_digits

    digits = load_sklearn_digits()
    images = torch.from_numpy(digits.images).float()[:, None] / 8.0 - 1.0
    return TensorSamples(images, torch.from_numpy(digits.target))


def load_training_dataset(arguments: TrainingArguments, sample_shape: tuple[int, ...]) -> Dataset:
    """
    Opens the data that the arguments name.

    Args:
        arguments ([`TrainingArguments`]): Its data options.
        sample_shape (`tuple[int, ...]`): What the model takes: (C, H, W) or (D,).

    Returns:
        A map-style dataset whose `__getitems__` gives a batch: `images` (float in [-1, 1] or uint8) and, where the data
        has them, `class_labels`. Its attribute `num_classes` is `None` without labels.

    Raises:
        ValueError: if the data is missing, empty or unreadable, does not fit the model, or has no labels although
            class-conditional training was asked for.
    """
    if arguments.dataset_name == "digits":
        dataset = load_digits()
    elif arguments.dataset_name == "gaussians-25":
        dataset = GaussianGrid25(seed=arguments.seed)
    else:
        if len(sample_shape) != 3:
            raise ValueError(f"The recipe's model takes vectors of {sample_shape[0]} values, not images.")
        if arguments.train_data_dir is not None:
            source = _load_folder(arguments.train_data_dir, arguments.cache_dir)
        else:
            from datasets import load_dataset

            source = load_dataset(
                arguments.dataset_name,
                arguments.dataset_config_name,
                split=arguments.dataset_split,
                cache_dir=arguments.cache_dir,
            )
        if arguments.max_train_samples is not None:
            source = source.select(range(min(arguments.max_train_samples, len(source))))
        dataset = ImageSamples(
            source,
            arguments.image_column,
            arguments.label_column,
            channels=1 if arguments.stack_channels else sample_shape[0],
            resolution=sample_shape[-1],
            resize_mode=arguments.resize_mode,
        )
    if len(dataset) == 0:
        raise ValueError("The dataset is empty.")
    if arguments.stack_channels:
        dataset = StackedSamples(dataset, sample_shape[0], arguments.seed)
    shape = tuple(dataset.__getitems__([0])["images"].shape[1:])
    if shape != sample_shape:
        raise ValueError(f"The data has samples of shape {shape}, the recipe's model takes {sample_shape}.")
    if arguments.class_conditional and dataset.num_classes is None:
        raise ValueError(
            f"`class_conditional` needs labels: the dataset has no class column {arguments.label_column!r}."
        )
    return dataset


class TrainingData:
    """
    Shuffled batches of a dataset, the share of one process.

    The order and the mirroring depend only on the seed, the epoch and the position in it, never on the global random state,
    so a resumed run sees exactly what an uninterrupted one sees.

    Args:
        dataset (`Dataset`): See [`load_training_dataset`].
        batch_size (`int`): Samples per batch of this process. Incomplete last batches are dropped.
        seed (`int`, defaults to 0): Seed of the order.
        random_flip (`bool`, defaults to `False`): Mirror half of the images.
        num_workers (`int`, defaults to 0): Processes that read.
        rank, num_processes (`int`): This process and their number.

    Raises:
        ValueError: if the dataset is smaller than one batch of all processes.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        seed: int = 0,
        random_flip: bool = False,
        num_workers: int = 0,
        rank: int = 0,
        num_processes: int = 1,
    ):
        self.dataset = dataset
        self.batch_size = batch_size
        self.seed = seed
        self.random_flip = random_flip
        self.num_workers = num_workers
        self.rank = rank
        self.sampler = DistributedSampler(dataset, num_processes, rank, shuffle=True, seed=seed, drop_last=True)
        self.batches_per_epoch = len(dataset) // num_processes // batch_size
        if self.batches_per_epoch == 0:
            raise ValueError(
                f"`train_batch_size` {batch_size} on {num_processes} processes needs at least "
                f"{batch_size * num_processes} samples; the dataset has {len(dataset)}."
            )

    def epoch(self, epoch: int, first_batch: int = 0) -> Iterator[dict[str, torch.Tensor]]:
        """
        Yields the batches of one epoch: `images` (B, ...), float in [-1, 1], and `class_labels` (B,) if there are any.

        Args:
            epoch (`int`): Number of the epoch.
            first_batch (`int`, defaults to 0): Where to begin; earlier batches are skipped without being read.
        """
        self.sampler.set_epoch(epoch)
        batches = list(BatchSampler(self.sampler, self.batch_size, drop_last=True))[first_batch:]
        loader = DataLoader(
            self.dataset,
            batch_sampler=batches,
            num_workers=self.num_workers,
            collate_fn=lambda batch: batch,  # `__getitems__` already gives a batch.
            generator=torch.Generator(),  # Keeps the loader off the global random state.
        )
        for number, batch in enumerate(loader, first_batch):
            images = batch["images"]
            if images.dtype == torch.uint8:
                images = images.float() / 127.5 - 1.0
            if self.random_flip:
                key = np.random.SeedSequence([self.seed, epoch, number, self.rank]).generate_state(1, np.uint64)[0]
                generator = torch.Generator().manual_seed(int(key >> 1))
                mirror = torch.rand(len(images), generator=generator) < 0.5
                images = torch.where(mirror[:, None, None, None], images.flip(-1), images)
            yield {**batch, "images": images}
