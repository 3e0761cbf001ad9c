# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import itertools
import json

import numpy as np
import pytest
import torch
from data_folders import load, write
from PIL import Image

from gan_diffusion.data import DataArguments, EndlessBatches, load_samples
from gan_diffusion.data.preview import save_preview
from gan_diffusion.data.sources import load_digits


NAMES = [f"{kind}/{number}.png" for kind in ("cat", "dog") for number in range(5)]


@pytest.mark.parametrize("count", [1, 3, 7, 10, 99])
@pytest.mark.parametrize("channels, random_flip", [(3, True), (1, False)])
def test_the_preview_shows_the_first_training_images(tmp_path, count, channels, random_flip):
    samples = load(write(tmp_path / "images", NAMES), (channels, 8, 6))
    data = EndlessBatches(samples, 4, seed=3, random_flip=random_flip, class_conditional=True)
    drawn = save_preview(data, count, tmp_path / "preview.png")
    listed = json.loads((tmp_path / "preview.json").read_text())
    assert drawn == len(listed["images"]) == min(count, 10)
    grid = np.asarray(Image.open(tmp_path / "preview.png"))
    grid = grid.reshape(*grid.shape[:2], channels)
    batches = [step[0] for step in itertools.islice(data.steps(), 3)]
    seen = torch.cat([((batch.clean_samples() + 1) * 127.5).round().byte() for batch in batches]).permute(0, 2, 3, 1)
    labels = torch.cat([batch.condition["class_labels"] for batch in batches]).tolist()
    for place, entry in enumerate(listed["images"]):
        top, left = place // listed["columns"] * 8, place % listed["columns"] * 6
        assert np.array_equal(grid[top : top + 8, left : left + 6], seen[place].numpy())
        assert entry["label"] == labels[place] and entry["file"].startswith(entry["class"])


def test_the_preview_of_float_images_and_of_stacked_ones(tmp_path):
    assert save_preview(EndlessBatches(load_digits(), 8), 16, tmp_path / "digits.png") == 16
    assert Image.open(tmp_path / "digits.png").size == (32, 32)
    samples = load(write(tmp_path / "images", NAMES), (3, 8, 8), stack_channels=True)
    save_preview(EndlessBatches(samples, 8), 4, tmp_path / "stacked.png")
    files = [entry["file"] for entry in json.loads((tmp_path / "stacked.json").read_text())["images"]]
    assert all(len(file.split(", ")) == 3 and set(file.split(", ")) <= set(NAMES) for file in files)


def test_vectors_have_no_preview():
    with pytest.raises(ValueError, match="`preview` must not be given for vectors"):
        load_samples(DataArguments(dataset_name="gaussians-25", preview=4), (2,))
