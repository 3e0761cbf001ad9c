# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""A picture of the first training images, as the networks see them."""

import math
from pathlib import Path

import numpy as np
from PIL import Image

from .batch import Batch
from .loader import EndlessBatches
from .report import write_json


def save_preview(data: EndlessBatches, count: int, file: Path) -> int:
    """
    Draws the first training images in rows, with their files and labels in a JSON file of the same name.

    Args:
        data ([`EndlessBatches`]): Batches of images, grey or RGB.
        count (`int`): How many images; at most one pass over the data is drawn.
        file (`Path`): Name of the picture, ending with `.png`.

    Returns:
        `int`: how many were drawn.
    """
    count = min(count, len(data.dataset))
    indices, batch = data.first_samples(count)
    height, width = batch.samples.shape[2:]
    columns = math.ceil(math.sqrt(count))
    grid = np.zeros((math.ceil(count / columns) * height, columns * width, batch.samples.shape[1]), dtype=np.uint8)
    entries = []
    labels, names = batch.condition.get("class_labels"), data.dataset.class_names
    for place, index in enumerate(indices):
        top, left = place // columns * height, place % columns * width
        flip = None if batch.flip is None else batch.flip[place : place + 1]
        sample = Batch(batch.samples[place : place + 1], flip=flip).clean_samples()[0]
        pixels = ((sample + 1) * 127.5).round().clamp(0, 255).byte()
        grid[top : top + height, left : left + width] = pixels.permute(1, 2, 0).numpy()
        entry: dict[str, object] = {"file": data.dataset.name(index)}
        if labels is not None and names is not None:
            entry |= {"label": int(labels[place]), "class": names[int(labels[place])]}
        entries.append(entry)
    Image.fromarray(grid[..., 0] if grid.shape[2] == 1 else grid).save(file)
    write_json(file.with_suffix(".json"), {"columns": columns, "images": entries})
    return count
