# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
Repeats one of the measurements of docs/benchmarks.md: prepares the data, trains, evaluates, writes the numbers.

    python benchmarks/evidence/run.py NAME [--threads 2] [--no-train]

NAME is an entry of benchmarks/evidence/runs.yaml. The run is in `runs/evidence/NAME`; the same command continues one
that was stopped, and `--no-train` measures what it has got to. With `measure: best` that is the best of the models
that the run evaluated, else its last one. An entry with `model_of` measures the model of another entry, which must
have been run; one with `evaluate_with` is measured by that script of this folder. One with `seeds` is trained and
measured once for each, in the folders `NAME/SEED`. Numbers and samples are written to
`benchmarks/evidence/results/NAME.json` and `NAME.png`.
"""

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import safe_open


HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RUNS, RESULTS, DATA = Path("runs/evidence"), HERE / "results", Path("runs/data")
BUILT_IN = ("digits", "gaussians-25")  # Data that the package makes itself.


def entries() -> dict[str, dict[str, Any]]:
    """All measurements by name."""
    return yaml.safe_load((HERE / "runs.yaml").read_text())


def as_options(values: dict[str, Any]) -> list[str]:
    """Options as they are typed; `True` is a flag."""
    typed = []
    for name, value in values.items():
        typed.append(f"--{name}")
        if value is not True:
            typed.append(str(value))
    return typed


def recipe_of(entry: dict[str, Any], folder: Path) -> str:
    """The recipe, or a copy of it in which the entry's values replace those of the configs."""
    if not entry.get("configs"):
        return entry["recipe"]
    copy = folder / "recipe"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(ROOT / "pipelines" / entry["recipe"], copy)
    for part, values in entry["configs"].items():
        file = copy / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
        config = json.loads(file.read_text())
        unknown = set(values) - set(config)
        if unknown:
            raise ValueError(f"`configs` must name values of {part}, got {sorted(unknown)}.")
        file.write_text(json.dumps(config | values, indent=2))
    return str(copy)


def commands(entry: dict[str, Any], folder: Path) -> dict[str, list[str]]:
    """What is typed to train and to evaluate."""
    data = ["--train_data_dir", str(DATA / entry["data"])]
    if entry["data"] in BUILT_IN:
        data = ["--dataset_name", entry["data"]]
    unet, package, typed = [str(HERE / "unet.py")], ["-m", "gan_diffusion"], {}
    if "options" in entry:
        if entry["method"] == "unet":
            train = [*unet, "train", str(folder)]
        else:
            train = [*package, "train", entry["method"], "--recipe", recipe_of(entry, folder)]
            train += ["--output_dir", str(folder)]
            if "processes" in entry:
                together = ["--standalone", "--nproc_per_node", str(entry["processes"])]
                train = ["-m", "torch.distributed.run", *together, *train]
        typed["train"] = [*train, *data, *as_options(entry["options"])]
    model = str(measured(entry, folder))
    if "evaluate_with" in entry:
        evaluate = [str(HERE / entry["evaluate_with"]), model]
    else:
        evaluate = [*(unet if entry["method"] == "unet" else package), "evaluate", model]
    return typed | {"evaluate": [*evaluate, *data, *as_options(entry["evaluate"])]}


def measured(entry: dict[str, Any], folder: Path) -> Path:
    """Where the model is that is measured."""
    return folder / "best" if entry.get("measure") == "best" else folder


def num_weights(folder: Path) -> dict[str, int]:
    """How many weights each saved network has."""
    counts = {}
    for file in sorted(folder.glob("*/diffusion_pytorch_model.safetensors")):
        with safe_open(file, "pt") as tensors:
            counts[file.parent.name] = sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())
    return counts


def floor_rate(threads: int) -> float:
    """Speed of the convolution that times are compared with, in GFLOP/s: see benchmarks/common.py."""
    sys.path.insert(0, str(HERE.parent))
    from common import YARDSTICK_FLOPS, make_yardstick, seconds

    torch.set_num_threads(threads)
    yardstick = make_yardstick()
    return YARDSTICK_FLOPS / statistics.median([seconds(yardstick) for _ in range(20)]) / 1e9


def run(entry: dict[str, Any], folder: Path, train: bool, threads: int) -> dict[str, Any]:
    """Trains and evaluates once. Returns what was measured, and how it came about in training."""
    folder.mkdir(parents=True, exist_ok=True)
    for step, command in commands(entry, folder).items():
        if train or step != "train":
            each = threads // entry.get("processes", 1) if step == "train" else threads
            environment = {**os.environ, "OMP_NUM_THREADS": str(each), "ACCELERATE_USE_CPU": "true"}
            subprocess.run([sys.executable, *command], check=True, env=environment)
    model = measured(entry, folder)
    facts = {"training": json.loads((model / "measurements.json").read_text())}
    if (folder / "evaluations.json").is_file():  # What the training measured every few steps.
        kept = ("step", "images_seen", "seconds", "metrics")
        facts["curve"] = [
            {name: each[name] for name in kept} for each in json.loads((folder / "evaluations.json").read_text())
        ]
    measurements = json.loads((model / "evaluation" / "evaluation.json").read_text())
    return facts | ({"metrics": measurements} if entry["data"] in BUILT_IN else measurements)


def main() -> None:
    """Runs one entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=entries())
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--train", action=argparse.BooleanOptionalAction, default=True, help="whether to train first")
    arguments = parser.parse_args()
    entry = entries()[arguments.name]
    folder = RUNS / entry.get("model_of", arguments.name)
    if entry["data"] not in BUILT_IN and not (DATA / entry["data"] / "train.parquet").is_file():
        subprocess.run([sys.executable, HERE / "data.py", entry["data"]], check=True)
    options = arguments.train, arguments.threads
    if "seeds" in entry:
        runs = {}
        for seed in entry["seeds"]:
            seeded = entry | {"options": entry["options"] | {"seed": seed}}
            runs[seed] = run(seeded, folder / str(seed), *options)
        facts, model = {"runs": runs}, measured(entry, folder / str(entry["seeds"][0]))
    else:
        facts, model = run(entry, folder, *options), measured(entry, folder)
    facts = {
        "name": arguments.name,
        **entry,
        "threads": arguments.threads,
        "weights": num_weights(model),
        "convolution of the floor (GFLOP/s)": round(floor_rate(arguments.threads), 1),
        **facts,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{arguments.name}.json").write_text(json.dumps(facts, indent=2) + "\n")
    shutil.copy(model / "evaluation" / "samples.png", RESULTS / f"{arguments.name}.png")


if __name__ == "__main__":
    main()
