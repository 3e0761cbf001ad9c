# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Data sets: embedded ones, and images from files or the Hub."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from .arguments import DataArguments, check_unused
from .batch import Samples
from .folders import open_data_folder
from .images import decode_image
from .report import DataReport, make_identity
from .selection import select_images
from .storage import Storage
from .tables import open_hub_dataset
from .toy import gaussian_grid_centers, sample_gaussian_grid


class TensorSamples(Dataset):
    """
    Samples that lie in memory.

    Args:
        samples (`torch.Tensor` of shape (N, ...)): Float in [-1, 1] or uint8; vectors too.
        class_labels (`torch.Tensor` of shape (N,), *optional*): Class indices.
        class_names (`list[str]`, *optional*): Names of the classes. Default: their numbers.
        source (`str`, defaults to `"tensor"`): What the samples are, for people.
        value_range (`str`, *optional*): What the values mean, for people. Default: the lowest and the highest.
    """

    def __init__(
        self,
        samples: torch.Tensor,
        class_labels: torch.Tensor | None = None,
        class_names: list[str] | None = None,
        source: str = "tensor",
        value_range: str | None = None,
    ):
        self.samples = samples
        self.class_labels = class_labels
        if class_labels is not None and class_names is None:
            class_names = [str(number) for number in range(int(class_labels.max()) + 1)]
        self.class_names = class_names
        self.num_classes = None if class_names is None else len(class_names)
        self.numbers = torch.arange(len(samples))
        self.source = source
        self.value_range = value_range

    @property
    def report(self) -> DataReport:
        """What the data is."""
        classes = None
        if self.class_labels is not None and self.class_names is not None:
            counts = torch.bincount(self.class_labels, minlength=len(self.class_names)).tolist()
            classes = dict(zip(self.class_names, counts, strict=True))
        low, high = (0, 0) if len(self) == 0 else (self.samples.min().item(), self.samples.max().item())
        shape = self.samples.shape[1:]
        return DataReport(
            self.source,
            make_identity([(self.source, self._content, number) for number in self.numbers.tolist()]),
            len(self),
            "x".join(map(str, shape[:0:-1])) + " pixels" if len(shape) == 3 else f"vectors of {shape.numel()} values",
            self.value_range or f"from {low:g} to {high:g}",
            classes,
        )

    @property
    def _content(self) -> str:
        """Hash of samples without a name of their own; those of this library are known by their names."""
        if self.source != "tensor":
            return ""
        tensors = [self.samples, *([] if self.class_labels is None else [self.class_labels])]
        return hashlib.sha256(b"".join(each.contiguous().numpy().tobytes() for each in tensors)).hexdigest()

    def select(self, numbers: torch.Tensor) -> "TensorSamples":
        """The samples with these numbers (int64), in this order."""
        labels = None if self.class_labels is None else self.class_labels[numbers]
        chosen = TensorSamples(self.samples[numbers], labels, self.class_names, self.source, self.value_range)
        chosen.numbers = self.numbers[numbers]
        return chosen

    def __len__(self) -> int:
        return len(self.samples)

    def __getitems__(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        index = torch.as_tensor(indices)
        items = {"samples": self.samples[index]}
        if self.class_labels is not None:
            items["class_labels"] = self.class_labels[index]
        return items

    def name(self, index: int) -> str:
        """The number of a sample in the whole data set."""
        return f"sample {int(self.numbers[index])}"


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
        modes = [str(number) for number in range(len(gaussian_grid_centers()))]
        points = sample_gaussian_grid(length, torch.Generator().manual_seed(seed))
        super().__init__(*points, modes, f"{length} points of gaussians-25, drawn with seed {seed}")


class ImageSamples(Dataset):
    """
    Images that are decoded when a batch asks for them.

    Args:
        storage ([`~data.storage.Storage`]): Where they are.
        names (`list[str]`): Their names.
        report ([`DataReport`]): What the data is.
        channels (`int`): Channels of the images, see [`~data.images.to_array`].
        size (`tuple[int, int]`): Height and width of the images.
        resize_mode (`str`, defaults to `"crop"`): How they get that size.
        pixel_range (`tuple[float, float]`, *optional*): Values that become black and white.
        class_labels (`list[int]`, *optional*): Numbers of their classes.
    """

    def __init__(
        self,
        storage: Storage,
        names: list[str],
        report: DataReport,
        channels: int,
        size: tuple[int, int],
        resize_mode: str = "crop",
        pixel_range: tuple[float, float] | None = None,
        class_labels: list[int] | None = None,
    ):
        self.storage = storage
        self.names = names
        self.report = report
        self.channels = channels
        self.size = size
        self.resize_mode = resize_mode
        self.pixel_range = pixel_range
        self.class_labels = None if class_labels is None else torch.tensor(class_labels)
        self.class_names = None if report.classes is None else list(report.classes)
        self.num_classes = None if self.class_names is None else len(self.class_names)

    def __len__(self) -> int:
        return len(self.names)

    def __getitems__(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        items = {"samples": torch.from_numpy(np.stack([self._read(self.names[index]) for index in indices]))}
        if self.class_labels is not None:
            items["class_labels"] = self.class_labels[list(indices)]
        return items

    def _read(self, name: str) -> np.ndarray:
        try:
            with self.storage.open(name) as stream:
                return decode_image(stream, name, self.channels, self.size, self.resize_mode, self.pixel_range)
        except OSError as error:
            raise ValueError(f"`{name}` must be readable during the whole training, got: {error.strerror}.") from error

    def name(self, index: int) -> str:
        """The file or row of a sample."""
        return self.names[index]


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
    class_names: list[str] | None = None

    def __init__(self, dataset: Samples, num_channels: int, seed: int):
        self.dataset = dataset
        generator = torch.Generator().manual_seed(seed)
        orders = [
            torch.cat([torch.randperm(len(dataset), generator=generator) for _ in range(2)])
            for _ in range(num_channels)
        ]
        self.members = torch.stack(orders, dim=1)
        rule = f"each sample is {num_channels} of {len(dataset)} grey images, drawn at random, and has no label"
        self.report = replace(
            dataset.report, num_samples=len(self.members), classes=None, rules=[*dataset.report.rules, rule]
        )

    def __len__(self) -> int:
        return len(self.members)

    def __getitems__(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        members = self.members[torch.as_tensor(indices)]
        images = self.dataset.__getitems__(members.flatten().tolist())["samples"]
        return {"samples": images.reshape(*members.shape, *images.shape[-2:])}

    def name(self, index: int) -> str:
        """The files or rows of a sample."""
        return ", ".join(self.dataset.name(int(member)) for member in self.members[index])


def load_digits() -> TensorSamples:
    """The 1797 handwritten digits of scikit-learn (UCI), 8x8 grey in [-1, 1], with their labels."""
    from sklearn.datasets import load_digits as load_sklearn_digits

    pixels, labels = load_sklearn_digits(return_X_y=True)
    images = torch.from_numpy(pixels).float().view(-1, 1, 8, 8) / 8.0 - 1.0
    values = "from 0 to 16, which become -1 and 1"
    return TensorSamples(images, torch.from_numpy(labels), source="digits of scikit-learn", value_range=values)


def load_samples(
    arguments: DataArguments,
    sample_shape: tuple[int, ...],
    seed: int = 0,
    output_dir: str | Path | None = None,
    show_progress: bool = False,
) -> Samples:
    """
    Opens the data that the options name. Images are all decoded once, so that none fails later.

    Args:
        arguments ([`DataArguments`]): The options.
        sample_shape (`tuple[int, ...]`): What the model takes: (C, H, W) or (D,).
        seed (`int`, defaults to 0): Seed of data that is drawn.
        output_dir (`str` or `Path`, *optional*):
            Folder of the run. It may not lie in the data. It holds a record of the images that were checked, which are
            not decoded again. Default: no record.
        show_progress (`bool`, defaults to `False`): Show a progress bar.

    Returns:
        [`~data.Samples`]: samples of the shape that the model takes.

    Raises:
        ValueError: If the data is missing, empty or unreadable, does not fit the model, or has no labels although
            class-conditional training was asked for.
    """
    record_dir = None if output_dir is None else Path(output_dir)
    if arguments.dataset_name in ("digits", "gaussians-25"):
        dataset = _embedded(arguments, seed)
    elif len(sample_shape) != 3:
        raise ValueError(
            f"`recipe` must be one for images, got one whose model takes vectors of {sample_shape[0]} values."
        )
    else:
        dataset = _open_images(arguments, sample_shape, seed, record_dir, show_progress)
    if arguments.stack_channels:
        dataset = StackedSamples(dataset, sample_shape[0], seed)
    shape = tuple(dataset.__getitems__([0])["samples"].shape[1:])
    if shape != sample_shape:
        raise ValueError(
            f"`recipe` must be one for samples of shape {shape}, as the data has, got one for {sample_shape}."
        )
    if len(shape) != 3 and (arguments.random_flip or arguments.preview is not None):
        name = "random_flip" if arguments.random_flip else "preview"
        raise ValueError(f"`{name}` must not be given for vectors. It is for images.")
    if arguments.class_conditional and dataset.num_classes is None:
        raise ValueError("`class_conditional` must be off for `stack_channels`, got on. Such images have no labels.")
    return dataset


def _embedded(arguments: DataArguments, seed: int) -> TensorSamples:
    unused = ("dataset_config_name", "dataset_split", "image_column", "label_column", "resize_mode", "pixel_range")
    check_unused(arguments, str(arguments.dataset_name), *unused)
    dataset = load_digits() if arguments.dataset_name == "digits" else GaussianGrid25(seed=seed)
    count = arguments.max_train_samples
    if count is None or count >= len(dataset):
        return dataset
    numbers = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(seed))[:count]
    return dataset.select(numbers.sort().values)


def _open_images(
    arguments: DataArguments, sample_shape: tuple[int, ...], seed: int, record_dir: Path | None, show_progress: bool
) -> ImageSamples:
    if arguments.dataset_name is not None:
        listing = open_hub_dataset(arguments)
    else:
        listing = open_data_folder(arguments, record_dir)
    channels, size = 1 if arguments.stack_channels else sample_shape[0], (sample_shape[1], sample_shape[2])
    names, labels, report = select_images(listing, arguments, channels, size, seed, record_dir, show_progress)
    pixel_range = None if arguments.pixel_range is None else (arguments.pixel_range[0], arguments.pixel_range[1])
    return ImageSamples(listing.storage, names, report, channels, size, arguments.resize_mode, pixel_range, labels)
