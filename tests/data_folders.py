# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""Small images and folders of them, for tests of the data."""

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from gan_diffusion.data import DataArguments, Samples, load_samples


def picture(value: int = 0, size: tuple[int, int] = (12, 8), mode: str = "RGB") -> Image.Image:
    """An image of noise, another one for each value."""
    pixels = np.random.default_rng(value).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encode(image: Image.Image, form: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def write(root: Path, names: Iterable[str]) -> Path:
    """A folder with PNG images of these names, each with another content."""
    for value, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(encode(picture(value)))
    return root


def load(
    root: Path | str, shape: tuple[int, int, int] = (3, 8, 8), seed: int = 0, output_dir=None, **options
) -> Samples:
    return load_samples(DataArguments(train_data_dir=str(root), **options), shape, seed, output_dir)
