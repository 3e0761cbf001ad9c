# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The options that say which data is read."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from ..options import check_at_least, option


def check_unused(arguments: Any, data: str, *names: str) -> None:
    """
    Refuses options that would have no effect.

    Args:
        arguments (`Any`): Options dataclass.
        data (`str`): What they have no effect on.
        names (`str`): Names of the options.

    Raises:
        ValueError: If one is not at its default.
    """
    defaults = {each.name: each.default for each in fields(arguments)}
    for name in names:
        if getattr(arguments, name) != defaults[name]:
            raise ValueError(
                f"`--{name}` must not be given for {data}, got {getattr(arguments, name)!r}. Leave it out."
            )


def is_place(name: str) -> bool:
    """
    Whether a name that may be one on the Hub is a place on this machine.

    Args:
        name (`str`): Name of a data set, a model or weights.

    Returns:
        `bool`: `True` for a path.
    """
    return name.startswith((".", "/", "~")) or "\\" in name or name.count("/") > 1 or Path(name).exists()


@dataclass
class DataArguments:
    """
    The options of the training data. The help texts are the documentation.

    Raises:
        ValueError: If a value is out of its range, or not exactly one source of data is named.
    """

    dataset_name: str | None = option(
        None, "'digits', 'gaussians-25', or the name of a dataset on the Hub.", free=True
    )
    dataset_config_name: str | None = option(None, "Configuration of the Hub dataset.")
    dataset_split: str = option("train", "Split of the dataset, or of parquet or tar files.")
    train_data_dir: str | None = option(
        None,
        "Folder of images (the first folders below it are the classes), of tar archives in WebDataset's layout or of "
        "parquet files; or one zip, tar or parquet file.",
        free=True,
    )
    image_column: str = option("image", "Column of the images.", free=True)
    label_column: str = option("label", "Column of the class labels, in a table or in metadata.csv.", free=True)
    cache_dir: str | None = option(None, "Folder in which datasets are cached.", free=True)
    max_train_samples: int | None = option(None, "Use only this many samples, drawn at random by the seed.")
    resolution: list[int] | None = option(
        None, "Side of the images in pixels, or their height and width. Default: the recipe's.", free=True
    )
    resize_mode: Literal["crop", "fit", "stretch", "pad"] = option(
        "crop",
        "'crop' scales the largest centre part with the right proportions; 'fit' scales the whole image and puts black "
        "around; 'stretch' changes the proportions; 'pad' puts black around without scaling.",
    )
    pixel_range: list[float] | None = option(
        None, "LOW HIGH: values of grey images with more than 8 bits that become black and white. Default: 0 65535."
    )
    on_bad_image: Literal["error", "skip"] = option(
        "error",
        "What to do about images that cannot be read: end before training, or leave them out and say so.",
        free=True,
    )
    stack_channels: bool = option(
        False, "Make each colour image of three grey ones drawn at random, as in StackedMNIST."
    )
    random_flip: bool = option(False, "Mirror half of the images, at random.")
    class_conditional: bool = option(False, "Train a class-conditional model with the labels of the dataset.")
    preview: int | None = option(
        None,
        "Write this many of the first training images to output_dir/preview.png, as the network sees them, and end.",
        free=True,
    )
    dataloader_num_workers: int = option(
        0, "Number of processes that read images. With 0 the main process reads them.", free=True
    )

    def __post_init__(self):
        if (self.dataset_name is None) == (self.train_data_dir is None):
            raise ValueError("Give one of `--dataset_name` and `--train_data_dir`, and not both.")
        if self.resolution is not None and (len(self.resolution) not in (1, 2) or min(self.resolution) < 1):
            raise ValueError(f"`--resolution` must be one or two numbers of at least 1, got {self.resolution}.")
        if self.pixel_range is not None and not (
            len(self.pixel_range) == 2 and self.pixel_range[0] < self.pixel_range[1]
        ):
            raise ValueError(f"`--pixel_range` must be two numbers, the lower one first, got {self.pixel_range}.")
        check_at_least(self, 1, "max_train_samples", "preview")
        check_at_least(self, 0, "dataloader_num_workers")
