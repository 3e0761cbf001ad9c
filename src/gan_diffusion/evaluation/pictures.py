# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Pictures of samples beside real data."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from diffusers import DiffusionPipeline
from diffusers.utils import make_image_grid
from PIL import Image

from .scores import SHARES


# A picture shows each image with at least this side, so that 8x8 digits can be seen.
_SHOWN_SIDE = 40


def show_images(left: torch.Tensor, right: torch.Tensor, file: str | Path) -> None:
    """
    Two square grids beside each other.

    Args:
        left (`torch.Tensor` of shape (N, C, H, W)): uint8, for example samples.
        right (`torch.Tensor` of shape (N, C, H, W)): uint8, for example real images, or the nearest one of each.
        file (`str` or `Path`): PNG to write.
    """
    grids = [_grid(images) for images in (left, right)]
    gap = _SHOWN_SIDE // 2
    size = (grids[0].width + gap + grids[1].width, max(grid.height for grid in grids))
    canvas = Image.new(grids[0].mode, size, "white")
    canvas.paste(grids[0], (0, 0))
    canvas.paste(grids[1], (grids[0].width + gap, 0))
    canvas.save(file)


def _grid(images: torch.Tensor) -> Image.Image:
    """The first images that fill a square, each with a thin frame."""
    side = math.isqrt(len(images))
    pixels = images[: side * side].permute(0, 2, 3, 1).numpy().astype(np.float32) / 255
    framed = np.pad(pixels, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=0.25)
    scale = -(-_SHOWN_SIDE // pixels.shape[1])
    pil = DiffusionPipeline.numpy_to_pil(framed)
    size = (framed.shape[2] * scale, framed.shape[1] * scale)
    return make_image_grid([image.resize(size, Image.Resampling.NEAREST) for image in pil], side, side)


def show_points(samples: np.ndarray, real: np.ndarray, file: str | Path) -> None:
    """
    Scatter plots of samples and of real points.

    Args:
        samples (`np.ndarray` of shape (N, 2)): Generated points.
        real (`np.ndarray` of shape (N, 2)): Real points.
        file (`str` or `Path`): PNG to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.5))
    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    for axis, points, title in zip(axes, (samples, real), ("samples", "real data"), strict=True):
        axis.scatter(*points.T, s=1, alpha=0.3, linewidths=0)
        axis.set(title=title, aspect="equal")
    figure.tight_layout()
    figure.savefig(file, dpi=110)


def show_shares(values: Mapping[str, float], caption: str, file: str | Path) -> None:
    """
    Bars of precision, recall, density and coverage, beside those of other real images.

    Args:
        values (`Mapping[str, float]`): From [`Evaluation`], by short names.
        caption (`str`): What they depend on.
        file (`str` or `Path`): PNG to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4))
    axis, places = figure.subplots(), np.arange(len(SHARES))
    kinds = (("", "this model", "tab:blue"), ("real_", "other real images, as a perfect model would have", "tab:gray"))
    for number, (prefix, name, color) in enumerate(kinds):
        heights = [values[prefix + share] for share in SHARES]
        bars = axis.bar(places + 0.4 * (number - 0.5), heights, 0.38, label=name, color=color)
        axis.bar_label(bars, fmt="%.2f")
    meanings = ("looks real", "has variety", "looks real", "has variety")
    names = [f"{share}\n{meaning}" for share, meaning in zip(SHARES, meanings, strict=True)]
    axis.set_xticks(places, names, multialignment="center")
    axis.set(ylim=(0, 1.15 * max(1, *(values[p + share] for p, *_ in kinds for share in SHARES))))
    axis.set_title(caption.partition("(")[2].rstrip(")"), fontsize=9)
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(file, dpi=110)
