# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Options of the training scripts. A recipe's training.yaml replaces defaults; the command line replaces both."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Literal, TypeVar

from transformers import HfArgumentParser

from ..recipes import Recipe


def _option(default, help: str):
    return field(default=default, metadata={"help": help})


@dataclass
class TrainingArguments:
    """
    The options that all three methods share; the help texts are the documentation.

    Raises:
        ValueError: if a value is out of its range or two options exclude each other.
    """

    recipe: str = _option(
        "", "Name of a recipe in pipelines/, or the path of a folder with the same layout. Required."
    )
    output_dir: str = _option("", "Folder for the pipeline, checkpoints, samples and logs. Required.")

    dataset_name: str | None = _option(None, "'digits', 'gaussians-25', or the name of a dataset on the Hub.")
    dataset_config_name: str | None = _option(None, "Configuration of the Hub dataset.")
    dataset_split: str = _option("train", "Split of the dataset.")
    train_data_dir: str | None = _option(None, "Folder of images (subfolders are classes) or of parquet files.")
    image_column: str = _option("image", "Column of the images.")
    label_column: str = _option("label", "Column of the class labels, used by class-conditional training.")
    cache_dir: str | None = _option(None, "Where datasets are cached.")
    max_train_samples: int | None = _option(None, "Use only the first so many samples.")
    resolution: int | None = _option(None, "Image side in pixels. Default: the recipe's.")
    resize_mode: Literal["resize", "pad"] = _option(
        "resize", "'resize' the shorter side and crop the centre, or 'pad' smaller images with black."
    )
    stack_channels: bool = _option(
        False, "Make each colour image of three grey ones drawn at random, as in StackedMNIST."
    )
    random_flip: bool = _option(False, "Mirror half of the images, at random.")
    class_conditional: bool = _option(False, "Train a class-conditional model with the labels of the dataset.")
    dataloader_num_workers: int = _option(0, "Processes that read images; 0 reads them in the main process.")

    seed: int = _option(1024, "Seed of everything; each process adds its rank.")
    train_batch_size: int = _option(32, "Batch size per device and accumulation step.")
    gradient_accumulation_steps: int = _option(1, "Batches per optimiser step.")
    num_train_epochs: int = _option(100, "Passes over the data; also the length of the cosine schedule.")
    max_train_steps: int | None = _option(None, "Optimiser steps in all; replaces num_train_epochs.")

    learning_rate_g: float = _option(1.6e-4, "Learning rate of the generator.")
    learning_rate_d: float = _option(1.0e-4, "Learning rate of the discriminator.")
    lr_scheduler: Literal["cosine", "constant"] = _option("cosine", "Learning rates over time, changed every epoch.")
    lr_eta_min: float = _option(1e-5, "Learning rate at the end of the cosine.")
    adam_beta1: float = _option(0.5, "Adam's beta1, both networks.")
    adam_beta2: float = _option(0.9, "Adam's beta2, both networks.")
    adam_epsilon: float = _option(1e-8, "Adam's epsilon, both networks.")
    max_grad_norm: float | None = _option(None, "Clip the gradient norm of each network. Default: no clipping.")
    ema_decay: float = _option(0.9999, "Decay of the generator's moving average per step; 0 keeps the raw weights.")
    ema_kimg: float | None = _option(
        None, "Half-life of the moving average in thousands of images; replaces ema_decay."
    )
    ema_rampup: float | None = _option(None, "Limit that half-life to this share of the images seen so far.")
    mixed_precision: Literal["no", "fp16", "bf16"] | None = _option(None, "Default: what accelerate is set to.")
    gradient_checkpointing: bool = _option(False, "Less memory for more time in the generator.")
    allow_tf32: bool = _option(False, "TF32 matrix products on Ampere and later GPUs.")

    checkpointing_steps: int = _option(500, "Save a checkpoint every so many optimiser steps.")
    checkpoints_total_limit: int | None = _option(2, "Keep the newest so many checkpoints.")
    resume_from_checkpoint: str = _option(
        "latest",
        "'latest': go on from the newest checkpoint in output_dir, if any; 'no': start anew; or a checkpoint.",
    )
    validation_steps: int = _option(500, "Draw a grid of samples every so many optimiser steps; 0 draws none.")
    num_validation_images: int = _option(64, "Images in the grid, always from the same noise.")
    logging_steps: int = _option(10, "Report losses every so many optimiser steps.")
    logging_dir: str = _option("logs", "Folder of the tracker's logs, inside output_dir.")
    report_to: str = _option("tensorboard", "Tracker: 'tensorboard', 'wandb', another one of accelerate's, or 'none'.")

    def __post_init__(self):
        for name in ("recipe", "output_dir"):
            if not getattr(self, name):
                raise ValueError(f"`--{name}` is required.")
        if (self.dataset_name is None) == (self.train_data_dir is None):
            raise ValueError("Give one of `--dataset_name` and `--train_data_dir`, and not both.")
        at_least_one = ("train_batch_size", "gradient_accumulation_steps", "num_train_epochs", "checkpointing_steps")
        for name in (*at_least_one, "num_validation_images", "logging_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"`--{name}` must be at least 1, got {getattr(self, name)}.")
        for name in ("max_train_steps", "checkpoints_total_limit", "max_train_samples", "resolution"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"`--{name}` must be at least 1, got {getattr(self, name)}.")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"`--ema_decay` must be in [0, 1), got {self.ema_decay}.")
        for name in ("ema_kimg", "ema_rampup"):
            if getattr(self, name) is not None and getattr(self, name) <= 0:
                raise ValueError(f"`--{name}` must be positive, got {getattr(self, name)}.")


@dataclass
class DDGANArguments(TrainingArguments):
    """[`TrainingArguments`] and the options of denoising diffusion GANs."""

    r1_gamma: float = _option(0.05, "Weight of the R1 penalty on the less noisy image; 0 turns it off.")
    r1_interval: int = _option(1, "R1 enters every so many steps, without a correction of its weight.")


@dataclass
class DiffusionGANArguments(TrainingArguments):
    """[`TrainingArguments`] and the options of Diffusion-GAN. The noise has its own in the recipe's scheduler config."""

    r1_gamma: float = _option(0.01, "Weight of the R1 penalty on the clean image; 0 turns it off.")
    r1_interval: int = _option(16, "R1 has a step of its own every so many steps, multiplied by their number.")
    path_length_weight: float = _option(0.0, "Weight of the path-length regularisation; 0 turns it off.")
    path_length_interval: int = _option(
        4,
        "Path lengths have a step of their own every so many steps; slows Adam down even at weight 0, unless 0 itself.",
    )
    style_mixing_probability: float = _option(0.0, "Share of the steps that mix the styles of two latents.")


@dataclass
class SPIGANArguments(TrainingArguments):
    """[`TrainingArguments`] and the options of SPI-GAN. The path has its own in the recipe's scheduler config."""

    r1_gamma: float = _option(0.01, "Weight of the R1 penalty on points of the path; 0 turns it off.")
    r1_interval: int = _option(16, "R1 has a step of its own every so many steps, multiplied by their number.")
    augmentation: bool = _option(False, "Augment what the discriminator sees, adaptively.")
    augmentation_target: float = _option(
        0.6, "Mean sign of the logits of clean real images that augmentation steers to."
    )
    augmentation_kimg: float = _option(500.0, "Thousands of images that raise the augmentation from 0 to 1.")


Arguments = TypeVar("Arguments", bound=TrainingArguments)


# Options that may change between a run and its continuation: the numbers in a checkpoint do not depend on them. The recipe and
# the resolution act through the networks' configs, which a checkpoint knows.
_FREE_OPTIONS = {
    "recipe", "output_dir", "cache_dir", "dataloader_num_workers", "resolution", "num_train_epochs", "max_train_steps",
    "gradient_checkpointing", "allow_tf32", "checkpointing_steps", "checkpoints_total_limit", "resume_from_checkpoint",
    "validation_steps", "num_validation_images", "logging_steps", "logging_dir", "report_to",
    "image_column", "label_column",
}  # fmt: skip


def fixed_options(arguments: TrainingArguments) -> dict:
    """The options that decide what a checkpoint's numbers mean."""
    return {name: value for name, value in vars(arguments).items() if name not in _FREE_OPTIONS}


def parse_arguments(
    arguments_class: type[Arguments], description: str, argv: Sequence[str] | None = None
) -> Arguments:
    """
    Reads the command line, with the recipe's training.yaml as defaults.

    Args:
        arguments_class: [`TrainingArguments`] or the subclass of a method.
        description (`str`): First line of `--help`.
        argv (`Sequence[str]`, *optional*): Instead of `sys.argv[1:]`.

    Raises:
        ValueError: if the recipe is unknown, it sets an unknown option, or a value is out of range.
    """
    recipe_parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    recipe_parser.add_argument("--recipe")
    name = recipe_parser.parse_known_args(argv)[0].recipe

    parser = HfArgumentParser(
        arguments_class,
        description=description,
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    if name:
        recipe = Recipe.load(name)
        settings = recipe.training
        unknown = set(settings) - {option.name for option in fields(arguments_class)}
        if unknown:
            raise ValueError(f"training.yaml of recipe {recipe.name!r} sets unknown options: {sorted(unknown)}.")
        # A data source on the command line replaces the recipe's, whichever kind it is; a folder has columns of its own too.
        given = {option.split("=")[0] for option in recipe_parser.parse_known_args(argv)[1]}
        replaced = set()
        if given & {"--train_data_dir", "--dataset_name"}:
            replaced |= {"dataset_name", "dataset_config_name"}
        if "--train_data_dir" in given:
            replaced |= {"image_column", "label_column"}
        settings = {option: value for option, value in settings.items() if option not in replaced}
        parser.set_defaults(**settings)
    (arguments,) = parser.parse_args_into_dataclasses(argv)
    return arguments
