# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""From a saved pipeline and data to numbers and pictures in a folder, and on the Hub."""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from huggingface_hub import EvalResult
from huggingface_hub.constants import HF_HOME

from ..data.arguments import DataArguments
from ..data.batch import Samples
from ..data.sources import load_samples
from ..metrics.features import load_features
from ..options import OptionParser
from ..pipelines import load_pipeline
from ..processes import check_processes, uses_cpus
from ..publishing import find_revision, push_measurements, record_measurements
from ..storage.writing import write_text
from .arguments import EvaluationArguments
from .images import draw_labels, evaluate
from .pictures import show_images, show_points, show_shares
from .reference import read_pixels, to_pixels
from .results import to_results
from .toys import measure_digits, measure_gaussians


_JSON = "evaluation.json"


@dataclass
class _Measured:
    """Numbers for the model card, the same for its metadata, and the files that were written."""

    numbers: dict[str, Any]
    results: list[EvalResult] = field(default_factory=list)
    files: list[str] = field(default_factory=list)


def run_evaluation(argv: Sequence[str] | None = None, prog: str | None = None) -> dict[str, Any]:
    """
    Evaluates as a command line says, and writes `evaluation.json`, `evaluation.md` and pictures.

    The numbers are also written into the model card, if the pipeline is a folder with one, and with `--push` into that
    of a repository on the Hub.

    Args:
        argv (`Sequence[str]`, *optional*): Instead of `sys.argv[1:]`.
        prog (`str`, *optional*): Name of the command in messages.

    Returns:
        `dict[str, Any]`: the numbers by name.

    Raises:
        SystemExit: With a message, if pipeline, data or network cannot be used or do not fit together.
    """
    parser = OptionParser(
        (EvaluationArguments, DataArguments),
        prog=prog,
        usage="%(prog)s PIPELINE --dataset_name NAME | --train_data_dir FOLDER [options]; --help explains all options",
        description="Measures a saved pipeline against real data.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("pipeline", help="Folder or Hub name of a saved pipeline.")
    given = vars(parser.parse_args(argv))
    source = given.pop("pipeline")
    state = PartialState(cpu=uses_cpus())
    try:
        check_processes(state.num_processes)
        options, data_options = parser.parse_dict(given)
        return _run(source, options, data_options)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    finally:
        state.destroy_process_group()


def _run(source: str, options: EvaluationArguments, data_options: DataArguments) -> dict[str, Any]:
    local = Path(source).is_dir()
    location = _location(source, local, options)
    pipeline = load_pipeline(source, **location)
    steps: dict[str, Any] = (
        {} if options.num_inference_steps is None else {"num_inference_steps": options.num_inference_steps}
    )
    device = torch.device(options.device or str(PartialState().device))
    pipeline.to(device)
    pipeline.set_progress_bar_config(disable=True)
    data = load_samples(data_options, pipeline.sample_shape)
    if PartialState().is_main_process:
        print(*data.report.lines(), sep="\n", flush=True)
    folder = Path(options.output_dir or (Path(source) / "evaluation" if local else "evaluation"))
    folder.mkdir(parents=True, exist_ok=True)
    toy = data_options.dataset_name in ("digits", "gaussians-25") and not data_options.stack_channels
    if toy and options.features is None:
        measured = _evaluate_toy(pipeline, data, str(data_options.dataset_name), options, steps, folder)
    else:
        measured = _evaluate_images(pipeline, data, options, data_options, steps, device, folder)
    if PartialState().is_main_process:
        for name, value in measured.numbers.items():
            print(f"{name}: {value}")
        print(f"Numbers and pictures are in {folder}")
        if local and (Path(source) / "README.md").is_file():
            record_measurements(source, measured.numbers, measured.results)
            print(f"The model card has these numbers: {Path(source) / 'README.md'}")
        if options.push:
            files = {f"evaluation/{name}": folder / name for name in measured.files}
            url = push_measurements(source, files, measured.numbers, measured.results, **location)
            print(f"Numbers and pictures are in the repository: {url}")
    return measured.numbers


def _location(source: str, local: bool, options: EvaluationArguments) -> dict[str, Any]:
    """The token, and with `--push` the commit that is measured and that the numbers are added to."""
    if local and (options.push or options.hub_token is not None):
        name = "push" if options.push else "hub_token"
        raise ValueError(f"`--{name}` must be given with the name of a repository on the Hub, got folder {source!r}.")
    location: dict[str, Any] = {} if options.hub_token is None else {"token": options.hub_token}
    return {"revision": find_revision(source, options.hub_token), **location} if options.push else location


def _evaluate_images(
    pipeline: Any,
    data: Samples,
    options: EvaluationArguments,
    data_options: DataArguments,
    steps: dict[str, Any],
    device: torch.device,
    folder: Path,
) -> _Measured:
    if options.features is None:
        raise ValueError(
            "`--features` must name a network for images, got none. Take 'efficientnet-lite0' for photographs and "
            "drawings, or the data set's own classifier."
        )
    network = load_features(options.features, options.feature_weights).to(device)
    cache = options.feature_cache_dir or Path(HF_HOME) / "gan_diffusion" / "features"
    result = evaluate(
        pipeline, data, network, options.num_samples, options.batch_size, options.seed, cache_dir=cache, **steps
    )
    files = [_JSON, "evaluation.md", "samples.png", "nearest.png", "shares.png"]
    if PartialState().is_main_process:
        write_text(folder / _JSON, json.dumps(result.to_dict(), indent=2) + "\n")
        write_text(folder / "evaluation.md", result.to_markdown())
        first = list(range(min(len(result.images), len(data))))
        show_images(result.images, read_pixels(data, first), folder / "samples.png")
        show_images(result.images, read_pixels(data, result.nearest), folder / "nearest.png")
        show_shares(result.values, result.labels["precision"], folder / "shares.png")
    return _Measured(result.measurements(), to_results(result, pipeline, data_options), files)


def _evaluate_toy(
    pipeline: Any, data: Samples, name: str, options: EvaluationArguments, steps: dict[str, Any], folder: Path
) -> _Measured:
    """Digits and Gaussians: in one process, and without a network of features."""
    processes = PartialState().num_processes
    if processes > 1:
        raise ValueError(f"`num_processes` must be 1 for {name} without `--features`, got {processes}.")
    labels = draw_labels(pipeline, data, options.num_samples, options.seed)

    def draw(first: int, count: int, generator: torch.Generator | None) -> np.ndarray:
        condition = {} if labels is None else {"class_labels": labels[first : first + count]}
        return pipeline(count, **condition, **steps, generator=generator, output_type="np").images

    draw(0, 1, None)  # The first call sets things up.
    generator, batches = torch.Generator().manual_seed(options.seed), []
    start = time.perf_counter()
    for first in range(0, options.num_samples, options.batch_size):
        count = min(options.batch_size, options.num_samples - first)
        batches.append(draw(first, count, generator))
    speed, samples = options.num_samples / (time.perf_counter() - start), np.concatenate(batches)
    evaluations = f"{pipeline.num_timesteps} evaluation{'s' if pipeline.num_timesteps > 1 else ''}"
    real = data.__getitems__(list(range(len(data))))["samples"]
    if name == "digits":
        measured = measure_digits(samples, real.permute(0, 2, 3, 1).numpy() / 2 + 0.5)
        images = to_pixels(torch.from_numpy(samples[:100]).permute(0, 3, 1, 2) * 2 - 1)
        show_images(images, read_pixels(data, list(range(min(len(images), len(data))))), folder / "samples.png")
    else:
        measured = measure_gaussians(samples)
        show_points(samples, real[: len(samples)].numpy(), folder / "samples.png")
    timing = {f"sampling speed, {evaluations}, batch {options.batch_size} (samples per second)": round(speed, 1)}
    measured = timing | measured
    write_text(folder / _JSON, json.dumps(measured, indent=2) + "\n")
    return _Measured(measured, files=[_JSON, "samples.png"])
