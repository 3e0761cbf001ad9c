# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Grids of samples, drawn in the middle of a training run."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from diffusers import DiffusionPipeline
from diffusers.training_utils import EMAModel
from diffusers.utils import make_image_grid
from PIL import Image
from torch import nn


@contextmanager
def averaged_weights(network: nn.Module, ema: EMAModel | None) -> Iterator[None]:
    """
    Puts the moving average into a network for a while, in evaluation mode.

    Args:
        network (`nn.Module`): The network.
        ema (`EMAModel`, *optional*): Its moving average; without one the network keeps its weights.
    """
    parameters, was_training = list(network.parameters()), network.training
    network.eval()
    if ema is not None:
        ema.store(parameters)
        ema.copy_to(parameters)
    try:
        yield
    finally:
        if ema is not None:
            ema.restore(parameters)
        network.train(was_training)


@torch.no_grad()
def draw_samples(pipeline: DiffusionPipeline, count: int, seed: int) -> np.ndarray:
    """
    Draws images from the same noise every time.

    Args:
        pipeline ([`DiffusionPipeline`]):
            Of images, with a generator in evaluation mode. A class-conditional one draws its classes in turn.
        count (`int`): Number of images.
        seed (`int`): Seed of the noise.

    Returns:
        `np.ndarray` of shape (B, H, W, C), in [0, 1].
    """
    network = pipeline.generator
    num_classes = network.config.get("num_class_embeds")
    labels = {} if num_classes is None else {"class_labels": torch.arange(count) % num_classes}
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(seed)
    return pipeline(  # pyright: ignore[reportCallIssue] (the base class has no `__call__`)
        count, **labels, generator=generator, output_type="np"
    ).images


def make_grid(images: np.ndarray) -> Image.Image:
    """
    One picture of many, as square as their number allows.

    Args:
        images (`np.ndarray` of shape (B, H, W, C)): Images in [0, 1].

    Returns:
        `PIL.Image.Image`: rows of images; those that fill no row are left out.
    """
    columns = math.isqrt(len(images))
    rows = len(images) // columns
    return make_image_grid(DiffusionPipeline.numpy_to_pil(images[: rows * columns]), rows, columns)


def save_samples(images: np.ndarray, folder: Path, step: int, accelerator: Accelerator) -> None:
    """
    Writes images as a grid `folder/step-<step>.png`, and hands them to the trackers that show images.

    Args:
        images (`np.ndarray` of shape (B, H, W, C)): Images in [0, 1].
        folder (`Path`): Where; made if it does not exist.
        step (`int`): Number of the training step.
        accelerator (`Accelerator`): With the trackers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    make_grid(images).save(folder / f"step-{step:07d}.png")
    for tracker in accelerator.trackers:
        if tracker.name == "tensorboard":
            tracker.log_images({"samples": images}, step=step, dataformats="NHWC")
        elif tracker.name == "wandb":
            tracker.log_images({"samples": list(images)}, step=step)
