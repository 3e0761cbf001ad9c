# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""How good and how varied the images of a pipeline are, beside the real ones."""

import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from diffusers import DiffusionPipeline
from diffusers.utils import logging
from tqdm.auto import tqdm

from ..data.batch import Samples
from ..metrics import FeatureStatistics, InceptionStatistics
from ..metrics.features import FeatureNetwork
from .reference import Reference, real_reference, to_pixels
from .scores import compute_scores


# Samples of which single features are kept, for metrics that compare pairs, and samples that are shown.
NEIGHBOR_SAMPLES = 5000
SHOWN_SAMPLES = 64
# Fewest samples, and fewest real images.
MIN_IMAGES = 10

logger = logging.get_logger(__name__)


@dataclass
class Evaluation:
    """
    Measured numbers and all they depend on.

    Args:
        values (`dict[str, float]`): Short name -> value, such as `frechet_distance`.
        labels (`dict[str, str]`): Short name -> name for reports, with the feature network and the numbers of images.
        protocol (`dict[str, Any]`): Feature network, numbers of samples, seed, evaluations, device, versions.
        nearest (`list[int]`): For the first samples, the index of the most alike training image.
        images (`torch.Tensor` of shape (N, C, H, W)): The first samples, uint8.
    """

    values: dict[str, float]
    labels: dict[str, str]
    protocol: dict[str, Any]
    nearest: list[int]
    images: torch.Tensor

    @property
    def metrics(self) -> dict[str, float]:
        """Name for reports -> value."""
        return {self.labels[name]: value for name, value in self.values.items()}

    def to_dict(self) -> dict[str, Any]:
        """Metrics and protocol, for JSON."""
        return {"metrics": self.metrics, "protocol": self.protocol}

    def to_markdown(self) -> str:
        """Two tables: the metrics, and what they depend on."""
        rows = [f"| {name} | {value:.4g} |" for name, value in self.metrics.items()]
        facts = [f"| {name} | {value} |" for name, value in self.protocol.items()]
        return "\n".join(["| metric | value |", "|---|---|", *rows, "", "| protocol | |", "|---|---|", *facts, ""])

    def measurements(self) -> dict[str, float]:
        """The metrics for a model card: with the evaluations of the network, and five digits."""
        count = self.protocol["network evaluations per image"]
        evaluations = f"{count} evaluation{'s' if count > 1 else ''}"
        return {f"{name}, {evaluations}": float(f"{value:.5g}") for name, value in self.metrics.items()}


@dataclass
class _Drawn:
    """What is kept of the generated images of one process."""

    statistics: FeatureStatistics
    features: list[torch.Tensor] = field(default_factory=list)
    classes: InceptionStatistics | None = None
    labels: list[torch.Tensor] = field(default_factory=list)
    images: list[torch.Tensor] = field(default_factory=list)
    seconds: float = 0.0


def _draw(
    pipeline: DiffusionPipeline,
    network: FeatureNetwork,
    num_samples: int,
    batch_size: int,
    seed: int,
    labels: torch.Tensor | None,
    options: Mapping[str, Any],
) -> _Drawn:
    """
    Draws this process's batches. A batch has its own seed, so the images do not depend on the number of processes.

    Statistics are of all images. Single features and images are kept of the first ones only, so the memory does not
    grow with the number of images, but for the labels of a network that gives them: some bytes per image.
    """
    state, drawn = PartialState(), _Drawn(FeatureStatistics(network.num_features))
    hidden = not state.is_local_main_process
    starts = range(0, num_samples, batch_size)
    mine = starts[state.process_index :: state.num_processes]
    for start in tqdm(mine, desc="samples", unit="batch", disable=hidden, leave=False):
        count = min(batch_size, num_samples - start)
        generator = torch.Generator().manual_seed(int(np.random.SeedSequence([seed, start]).generate_state(1)[0]))
        condition = {} if labels is None else {"class_labels": labels[start : start + count]}
        begin = time.perf_counter()
        images = pipeline(  # pyright: ignore[reportCallIssue] (the base class has no `__call__`)
            count, **condition, **options, generator=generator, output_type="pt"
        ).images
        drawn.seconds += time.perf_counter() - begin
        pixels = to_pixels(images * 2 - 1).cpu()
        features = network(pixels)
        drawn.statistics.update(features)
        if start < NEIGHBOR_SAMPLES:
            drawn.features.append(features)
        if start < SHOWN_SAMPLES:
            drawn.images.append(pixels[:SHOWN_SAMPLES])
        if network.logits is not None:
            logits = network.classify(pixels)
            drawn.classes = drawn.classes or InceptionStatistics(logits.shape[1])
            drawn.classes.update(logits, first=start)
        if network.labels is not None:
            drawn.labels.append(network.label(features))
    return drawn


def evaluate(
    pipeline: DiffusionPipeline,
    data: Samples,
    network: FeatureNetwork,
    num_samples: int = 10_000,
    batch_size: int = 100,
    seed: int = 0,
    cache_dir: str | Path | None = None,
    reference: Reference | None = None,
    **options: Any,
) -> Evaluation:
    """
    Measures a pipeline against real images.

    Started in several processes, each draws a part; the result is that of one process.

    Args:
        pipeline ([`DiffusionPipeline`]): Of images of the data's shape. A class-conditional one draws classes as often
            as the data has them.
        data ([`~data.Samples`]): Real images, usually those of the training.
        network ([`~metrics.features.FeatureNetwork`]): The network whose features are compared.
        num_samples (`int`, defaults to 10,000): Images to draw.
        batch_size (`int`, defaults to 100): Images per call of the pipeline. Another size draws other images.
        seed (`int`, defaults to 0): Seed of the images, and of the choice of real ones.
        cache_dir (`str` or `Path`, *optional*): Folder in which features of real images are kept.
        reference ([`Reference`], *optional*):
            What [`real_reference`] gave for the data and the network, if it is at hand; `cache_dir` is not used then.
        options (`Any`): More arguments of the pipeline's call, such as `num_inference_steps`.

    Returns:
        [`Evaluation`]: numbers, protocol and the first images. In several processes, only the main one gets it whole.

    Raises:
        ValueError: If there are too few samples, the data has another shape, or images are not finite.
    """
    shape = tuple(data.__getitems__([0])["samples"].shape[1:])
    expected = tuple(pipeline.sample_shape)  # pyright: ignore[reportAttributeAccessIssue]
    if shape != expected:
        raise ValueError(f"`data` must hold images of the pipeline's shape {expected}, got {shape}.")
    if len(shape) != 3:
        raise ValueError(f"`data` must hold images, which have channels, height and width, got vectors of {shape[0]}.")
    if min(num_samples, len(data)) < MIN_IMAGES:
        raise ValueError(
            f"`num_samples` and the data must be at least {MIN_IMAGES} images, got {num_samples} and {len(data)}."
        )
    labels = draw_labels(pipeline, data, num_samples, seed)
    reference = reference or real_reference(data, network, seed, cache_dir)
    pipeline.set_progress_bar_config(disable=True)
    parts = gather_object([_draw(pipeline, network, num_samples, batch_size, seed, labels, options)])
    drawn = _joined(parts)
    if min(num_samples, reference.statistics.count) <= network.num_features and PartialState().is_main_process:
        _warn_once(
            f"The Frechet distance needs more than {network.num_features} images, as many as there are features, and has "
            f"{num_samples} and {reference.statistics.count}. Its value is finite but tells little. Look at the kernel "
            "distance."
        )
    features, images = torch.cat(drawn.features)[:NEIGHBOR_SAMPLES], torch.cat(drawn.images)[:SHOWN_SAMPLES]
    drawn_labels = torch.cat(drawn.labels) if drawn.labels else None
    scores, nearest = compute_scores(reference, drawn.statistics, features, drawn.classes, drawn_labels, network, seed)
    scores["images_per_second"] = ("images per second", num_samples / max(part.seconds for part in parts))
    protocol = _protocol(pipeline, data, network, reference, num_samples, batch_size, seed, options)
    return Evaluation(
        {name: value for name, (_, value) in scores.items()},
        {name: label for name, (label, _) in scores.items()},
        protocol,
        nearest[: len(images)].tolist(),
        images,
    )


@lru_cache
def _warn_once(text: str) -> None:
    """A training that is measured every few steps says it once."""
    logger.warning("%s", text)


def draw_labels(pipeline: Any, data: Samples, num_samples: int, seed: int) -> torch.Tensor | None:
    """
    Classes for the samples of a class-conditional pipeline, as often as the data has them, in random order.

    Args:
        pipeline ([`GANDiffusionPipeline`]): The pipeline.
        data ([`Samples`]): The real data.
        num_samples (`int`): N.
        seed (`int`): The same seed gives the same classes.

    Returns:
        `torch.Tensor` of shape (N,), or `None` for a pipeline without classes.

    Raises:
        ValueError: If the pipeline needs classes and the data has none.
    """
    if pipeline.generator.config.get("num_class_embeds") is None:
        return None
    if data.num_classes is None:
        raise ValueError(
            "`data` must have labels for a class-conditional pipeline, got none. Name the `label_column`."
        )
    choice = np.random.default_rng([seed, 1]).integers(len(data), size=num_samples)
    batches = [
        data.__getitems__(part.tolist())["class_labels"] for part in np.array_split(choice, -(-num_samples // 1000))
    ]
    return torch.cat(batches)


def _joined(parts: list[_Drawn]) -> _Drawn:
    """What all processes have drawn. The batches went to them in turn."""
    first, *others = parts
    joined = _Drawn(first.statistics, classes=first.classes)
    for part in others:
        joined.statistics = joined.statistics.merged(part.statistics)
        if joined.classes is not None and part.classes is not None:
            joined.classes = joined.classes.merged(part.classes)
    joined.labels = _in_turns([part.labels for part in parts])
    joined.features = _in_turns([part.features for part in parts])
    joined.images = _in_turns([part.images for part in parts])
    return joined


def _in_turns(parts: list[list[torch.Tensor]]) -> list[torch.Tensor]:
    """The batches of all processes in the order in which they were dealt out."""
    return [part[i] for i in range(max(map(len, parts))) for part in parts if i < len(part)]


def _protocol(
    pipeline: Any,
    data: Samples,
    network: FeatureNetwork,
    reference: Reference,
    num_samples: int,
    batch_size: int,
    seed: int,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    device = pipeline.device
    facts = {
        "generated images": num_samples,
        "real images": reference.statistics.count,
        "real data": data.report.source,
        "images of the real data": len(data),
        "sizes of the real data": data.report.sizes,
        "size of both": f"{pipeline.sample_shape[2]}x{pipeline.sample_shape[1]}",
        "identity of the real data": data.report.identity,
        "network evaluations per image": pipeline.num_timesteps,
        "batch size": batch_size,
        "seed": seed,
        **{f"option {name}": value for name, value in options.items()},
        "feature network": network.name,
        **{f"feature {name}": value for name, value in network.protocol.items()},
        "pixels": "both rounded to 8 bits",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()} CPU",
        "threads": torch.get_num_threads(),
        "processes": PartialState().num_processes,
    }
    versions = {name: version(name) for name in ("gan_diffusion", "torch", "diffusers", "torchmetrics")}
    return {name: value for name, value in facts.items() if value is not None} | versions
