# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
Times the sampling of all models of Fashion-MNIST in turns, for the column "images/s" of docs/benchmarks.md.

    python benchmarks/evidence/speed.py [--threads 2]

The networks have random weights, which change nothing about the time. The numbers are written to
`benchmarks/evidence/results/speed.json`. Run it on an idle machine.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, DDPMScheduler
from run import RESULTS, entries, recipe_of
from unet import NUM_CLASSES, UNetPipeline, make_unet

from gan_diffusion.recipes import Recipe
from gan_diffusion.registry import load_class


sys.path.insert(0, str(Path(__file__).parents[1]))
from common import interleaved  # noqa: E402


# Images of a call. Evaluations of the network in a call, at most; a sampler with more is timed with so many.
BATCH_SIZE, MAX_STEPS = 64, 50


def make_pipeline(entry: dict[str, Any]) -> tuple[Callable[..., object], float]:
    """The pipeline of an entry with random weights, and how many of its calls make one set of images."""
    if entry["method"] == "unet":
        steps = entry["evaluate"]["steps"]
        scheduler = {"ddpm": DDPMScheduler, "ddim": DDIMScheduler}[entry["evaluate"]["scheduler"]]()
        return UNetPipeline(make_unet().eval(), scheduler, min(steps, MAX_STEPS)), max(steps / MAX_STEPS, 1)
    with tempfile.TemporaryDirectory() as folder:
        recipe = Recipe.load(recipe_of(entry, Path(folder)))
        generator, scheduler = recipe.build("generator").eval(), recipe.build("scheduler")
    pipeline = load_class(type(scheduler).__name__.replace("Scheduler", "Pipeline"))(generator, scheduler)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline, 1


def main() -> None:
    """Times them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--rounds", type=int, default=7, help="calls of each model that are timed")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    labels = torch.arange(BATCH_SIZE) % NUM_CLASSES
    calls, candidates = {}, {}
    for name, entry in entries().items():
        if entry["group"] == "fashion-mnist":
            pipeline, calls[name] = make_pipeline(entry)
            candidates[name] = lambda pipeline=pipeline: pipeline(
                BATCH_SIZE, class_labels=labels, generator=torch.Generator().manual_seed(0), output_type="pt"
            )
    times = interleaved(candidates, arguments.rounds)
    rate = statistics.median(times.pop("yardstick"))
    facts = {
        "threads": arguments.threads,
        "batch size": BATCH_SIZE,
        "convolution of the floor (GFLOP/s)": round(rate / 1e9, 1),
        "images per second": {
            name: BATCH_SIZE / (calls[name] * statistics.median(values) / rate) for name, values in times.items()
        },
    }
    (RESULTS / "speed.json").write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
