#!/usr/bin/env python
# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Samples from a saved pipeline, shows the samples beside real data, and measures them."""

import argparse
import time
from pathlib import Path

import matplotlib
import numpy as np
import torch
from diffusers import DiffusionPipeline
from diffusers.utils import make_image_grid
from PIL import Image

from gan_diffusion.data.sources import load_digits
from gan_diffusion.data.toy import GRID_STD, gaussian_grid_centers, sample_gaussian_grid
from gan_diffusion.metrics import mode_coverage, score_digits
from gan_diffusion.pipelines import load_pipeline
from gan_diffusion.publishing import record_measurements


matplotlib.use("Agg")


def parse_arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("pipeline", help="Folder or Hub name of a saved pipeline.")
    parser.add_argument("--dataset_name", required=True, choices=["digits", "gaussians-25"], help="The real data.")
    parser.add_argument("--num_samples", type=int, default=1000, help="Samples to measure.")
    parser.add_argument("--batch_size", type=int, default=250, help="Samples per call of the pipeline.")
    parser.add_argument("--seed", type=int, default=0, help="Seed of the samples.")
    parser.add_argument("--output_image", required=True, help="PNG to write: samples beside real data.")
    return parser.parse_args()


def draw_samples(
    pipeline: DiffusionPipeline, num_samples: int, batch_size: int, seed: int
) -> tuple[np.ndarray, float]:
    """Samples, (N, H, W, C) in [0, 1] or (N, D), and how many are drawn per second."""
    pipeline(1, output_type="np")  # The first call sets things up.
    generator = torch.Generator().manual_seed(seed)
    batches = []
    start = time.perf_counter()
    for first in range(0, num_samples, batch_size):
        count = min(batch_size, num_samples - first)
        batches.append(pipeline(count, generator=generator, output_type="np").images)
    return np.concatenate(batches), num_samples / (time.perf_counter() - start)


def show_digits(samples: np.ndarray, path: str, side: int = 10, scale: int = 5) -> None:
    """A grid of samples on the left, one of real digits on the right."""

    def grid(images: np.ndarray) -> Image.Image:
        # A dark frame around each digit: they fill their 8 x 8 pixels and would run into each other.
        framed = np.pad(images[: side * side], ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=0.25)
        pil = DiffusionPipeline.numpy_to_pil(framed)
        return make_image_grid([i.resize((10 * scale, 10 * scale), Image.Resampling.NEAREST) for i in pil], side, side)

    real = load_digits().samples[: side * side].permute(0, 2, 3, 1).numpy() / 2 + 0.5
    left, right, gap = grid(samples), grid(real), 4 * scale
    canvas = Image.new("L", (left.width + gap + right.width, left.height), 255)
    canvas.paste(left, (0, 0))
    canvas.paste(right, (left.width + gap, 0))
    canvas.save(path)


def show_points(samples: np.ndarray, path: str) -> None:
    """Scatter plots of the samples and of as many real points."""
    from matplotlib import pyplot

    real, _ = sample_gaussian_grid(len(samples), torch.Generator().manual_seed(0))
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 4.5), sharex=True, sharey=True)
    for axis, points, title in zip(axes, (samples, real.numpy()), ("samples", "real data"), strict=True):
        axis.scatter(*points.T, s=1, alpha=0.3, linewidths=0)
        axis.set(title=title, aspect="equal")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Samples, shows, measures, and records the numbers."""
    arguments = parse_arguments()
    pipeline = load_pipeline(arguments.pipeline)
    pipeline.to("cuda" if torch.cuda.is_available() else "cpu")
    pipeline.set_progress_bar_config(disable=True)
    samples, speed = draw_samples(pipeline, arguments.num_samples, arguments.batch_size, arguments.seed)
    steps, n = pipeline.num_timesteps, len(samples)
    evaluations = f"{steps} evaluation{'s' if steps > 1 else ''}"
    measured: dict[str, str | int | float] = {
        f"sampling speed, {evaluations}, batch {arguments.batch_size} (samples per second)": round(speed, 1)
    }
    Path(arguments.output_image).parent.mkdir(parents=True, exist_ok=True)
    if arguments.dataset_name == "digits":
        show_digits(samples, arguments.output_image)
        scores = score_digits(samples[..., 0])
        sure = f"recognised with confidence {scores.confidence} by a classifier of real digits"
        measured[f"share of {n} samples {sure}"] = f"{scores.recognised_share:.1%}"
        measured[
            f"the same share of real digits the classifier has not seen (its accuracy {scores.real_accuracy:.1%})"
        ] = f"{scores.real_recognised_share:.1%}"
        measured["classes among the recognised samples"] = f"{scores.num_classes} of 10"
    else:
        show_points(samples, arguments.output_image)
        coverage = mode_coverage(torch.from_numpy(samples), gaussian_grid_centers(), GRID_STD)
        measured[f"modes covered by {n} samples"] = f"{coverage.num_modes_covered} of {coverage.num_modes}"
        measured["high-quality samples, within 3 standard deviations of a mode (perfect: 98.9%)"] = (
            f"{coverage.high_quality_share:.1%}"
        )
        measured["reverse KL to equal modes"] = round(coverage.reverse_kl, 4)
        measured["spread of the modes relative to the true one (perfect: 0.974)"] = round(coverage.spread_ratio, 3)

    for name, value in measured.items():
        print(f"{name}: {value}")
    print(f"pipeline: {arguments.pipeline}\nsamples beside real data: {arguments.output_image}")
    if Path(arguments.pipeline).is_dir():
        record_measurements(arguments.pipeline, measured)
        print(f"model card with these numbers: {Path(arguments.pipeline) / 'README.md'}")


if __name__ == "__main__":
    main()
