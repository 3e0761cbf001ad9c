# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""How good and how varied the images of a pipeline are, beside the real ones."""

import hashlib
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from diffusers import DiffusionPipeline
from diffusers.utils import logging
from safetensors.torch import load, save
from tqdm.auto import tqdm

from ..data.batch import Samples
from ..metrics import (
    FeatureStatistics,
    frechet_distance,
    inception_score,
    kernel_distance,
    memorization,
    neighbor_scores,
)
from ..metrics.features import FeatureNetwork


# Images of which single features are kept, for metrics that compare pairs.
NEIGHBOR_SAMPLES = 5000
MEMORIZATION_SAMPLES = 50_000
_BATCH = 250
_DIGEST_BYTES = hashlib.sha256().digest_size

logger = logging.get_logger(__name__)


@dataclass
class Evaluation:
    """
    Measured numbers and all they depend on.

    Args:
        metrics (`dict[str, float]`): Name -> value.
        protocol (`dict[str, Any]`): Feature network, numbers of samples, seed, evaluations, device, versions.
        nearest (`list[tuple[int, int]]`): For the first samples, the index of the most alike training image.
        images (`torch.Tensor` of shape (N, C, H, W)): The first samples, uint8.
    """

    metrics: dict[str, float]
    protocol: dict[str, Any]
    nearest: list[int]
    images: torch.Tensor

    def to_dict(self) -> dict[str, Any]:
        """Metrics and protocol, for JSON."""
        return {"metrics": self.metrics, "protocol": self.protocol}

    def to_markdown(self) -> str:
        """Two tables: the metrics, and what they depend on."""
        rows = [f"| {name} | {value:.4g} |" for name, value in self.metrics.items()]
        facts = [f"| {name} | {value} |" for name, value in self.protocol.items()]
        return "\n".join(["| metric | value |", "|---|---|", *rows, "", "| protocol | |", "|---|---|", *facts, ""])


@dataclass
class _Reference:
    """What is kept of the real images: statistics of two halves, and features of some images."""

    halves: tuple[FeatureStatistics, FeatureStatistics]
    features: torch.Tensor
    indices: torch.Tensor

    @property
    def statistics(self) -> FeatureStatistics:
        return self.halves[0].merged(self.halves[1])


def to_pixels(samples: torch.Tensor) -> torch.Tensor:
    """
    Float samples as they are stored in image files.

    Args:
        samples (`torch.Tensor`): In [-1, 1]; values a little outside are clipped.

    Returns:
        `torch.Tensor`: uint8.

    Raises:
        ValueError: If a value is not finite.
    """
    if not samples.isfinite().all():
        raise ValueError(f"`samples` must be finite, got {int((~samples.isfinite()).sum())} values that are not.")
    return ((samples.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def real_reference(
    data: Samples, network: FeatureNetwork, seed: int = 0, cache_dir: str | Path | None = None
) -> _Reference:
    """
    Features of the real images, from a file if they were computed before.

    Args:
        data ([`~data.Samples`]): Real images.
        network ([`~metrics.features.FeatureNetwork`]): The network.
        seed (`int`, defaults to 0): Decides of which images single features are kept.
        cache_dir (`str` or `Path`, *optional*):
            Folder of the file; `None` computes anew and keeps nothing, and so does a network without `module`.

    Returns:
        The reference.
    """
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(data)))
    file = None
    if cache_dir is not None and network.module is not None:  # Without its weights a network has no identity.
        file = Path(cache_dir) / f"{_identity(data, order, seed)}-{network.identity[:24]}.features"
        reference = _load_reference(file, network)
        if reference is not None:
            return reference
    kept = order[:MEMORIZATION_SAMPLES]
    halves = (FeatureStatistics(network.num_features), FeatureStatistics(network.num_features))
    features = []
    with tqdm(
        total=len(data), desc="real images", unit="image", disable=not PartialState().is_local_main_process
    ) as bar:
        for start in range(0, len(data), _BATCH):
            batch = _features(network, data, order[start : start + _BATCH])
            for number, half in enumerate(halves):
                half.update(batch[number::2])
            if start < len(kept):
                features.append(batch)
            bar.update(len(batch))
    reference = _Reference(halves, torch.cat(features)[: len(kept)], kept)
    if file is not None and PartialState().is_main_process:
        _save_reference(file, reference)
    return reference


def _identity(data: Samples, order: torch.Tensor, seed: int) -> str:
    """
    Hash of the data's identity, the seed and some images.

    The images differ where the files are the same but are cut or scaled in another way.
    """
    digest = hashlib.sha256(f"{data.report.identity} {len(data)} {seed}".encode())
    digest.update(data.__getitems__(order[:_BATCH].tolist())["samples"].contiguous().numpy().tobytes())
    return digest.hexdigest()[:24]


def _features(network: FeatureNetwork, data: Samples, indices: torch.Tensor) -> torch.Tensor:
    samples = data.__getitems__(indices.tolist())["samples"]
    return network(samples if samples.dtype == torch.uint8 else to_pixels(samples))


def _save_reference(file: Path, reference: _Reference) -> None:
    """Writes the tensors as safetensors, after their checksum."""
    file.parent.mkdir(parents=True, exist_ok=True)
    tensors = {"features": reference.features, "indices": reference.indices}
    for number, half in enumerate(reference.halves):
        tensors |= {f"{name}.{number}": value for name, value in half.tensors().items()}
    content = save(tensors)
    partial = file.with_suffix(".partial")
    partial.write_bytes(hashlib.sha256(content).digest() + content)
    partial.replace(file)


def _load_reference(file: Path, network: FeatureNetwork) -> _Reference | None:
    """What was saved, or `None` if there is nothing or it is damaged."""
    if not file.is_file():
        return None
    content = file.read_bytes()
    digest, content = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        logger.warning("%s is damaged. The features of the real images are computed anew.", file)
        return None
    tensors = load(content)
    names = FeatureStatistics(network.num_features).tensors()
    halves = [FeatureStatistics.of({name: tensors[f"{name}.{number}"] for name in names}) for number in range(2)]
    return _Reference((halves[0], halves[1]), tensors["features"], tensors["indices"])


@dataclass
class _Drawn:
    """What is kept of the generated images of one process."""

    statistics: FeatureStatistics
    features: list[torch.Tensor] = field(default_factory=list)
    logits: list[torch.Tensor] = field(default_factory=list)
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

    Statistics are of all images. Single features and images are kept of the first ones only, so of each further image
    only a classifier's logits take memory.
    """
    state, drawn = PartialState(), _Drawn(FeatureStatistics(network.num_features))
    starts = range(0, num_samples, batch_size)
    mine = starts[state.process_index :: state.num_processes]
    for start in tqdm(mine, desc="samples", unit="batch", disable=not state.is_local_main_process):
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
        if start < 64:
            drawn.images.append(pixels[:64])
        if network.logits is not None:
            drawn.logits.append(network.classify(pixels))
    return drawn


def evaluate(
    pipeline: DiffusionPipeline,
    data: Samples,
    network: FeatureNetwork,
    num_samples: int = 10_000,
    batch_size: int = 100,
    seed: int = 0,
    cache_dir: str | Path | None = None,
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
        options (`Any`): More arguments of the pipeline's call, such as `num_inference_steps`.

    Returns:
        [`Evaluation`]: numbers, protocol and the first images. In several processes, only the main one gets it whole.

    Raises:
        ValueError: If there are too few samples, the data has another shape, or images are not finite.
    """
    shape = tuple(data.__getitems__([0])["samples"].shape[1:])
    expected = tuple(pipeline.sample_shape)  # pyright: ignore[reportAttributeAccessIssue]
    if shape != expected or len(shape) != 3:
        raise ValueError(f"`data` must hold images of the pipeline's shape {expected}, got {shape}.")
    if min(num_samples, len(data)) < 10:
        raise ValueError(f"`num_samples` and the data must be at least 10 images, got {num_samples} and {len(data)}.")
    reference = real_reference(data, network, seed, cache_dir)
    pipeline.set_progress_bar_config(disable=True)
    labels = _labels(pipeline, data, num_samples, seed)
    drawn = _draw(pipeline, network, num_samples, batch_size, seed, labels, options)
    parts = gather_object([drawn])
    statistics = parts[0].statistics
    for part in parts[1:]:
        statistics = statistics.merged(part.statistics)
    # The batches went to the processes in turn.
    features = torch.cat(_in_turns([part.features for part in parts]))[:NEIGHBOR_SAMPLES]
    images = torch.cat(_in_turns([part.images for part in parts]))[:64]
    logits = torch.cat(_in_turns([part.logits for part in parts])) if network.logits is not None else None
    metrics, nearest = _scores(reference, statistics, features, logits, network.name, seed)
    metrics["images per second"] = num_samples / max(part.seconds for part in parts)
    protocol = _protocol(pipeline, data, network, num_samples, batch_size, seed, options)
    return Evaluation(metrics, protocol, nearest[: len(images)].tolist(), images)


def _labels(pipeline: Any, data: Samples, num_samples: int, seed: int) -> torch.Tensor | None:
    """Classes as often as the data has them, in random order."""
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


def _in_turns(parts: list[list[torch.Tensor]]) -> list[torch.Tensor]:
    """The batches of all processes in the order in which they were dealt out."""
    return [part[i] for i in range(max(map(len, parts))) for part in parts if i < len(part)]


def _scores(
    reference: _Reference,
    statistics: FeatureStatistics,
    features: torch.Tensor,
    logits: torch.Tensor | None,
    name: str,
    seed: int,
) -> tuple[dict[str, float], torch.Tensor]:
    """All metrics, and the nearest real image of each kept sample."""
    real = reference.features[:NEIGHBOR_SAMPLES]
    subset = min(1000, len(real), len(features))
    kernel, deviation = kernel_distance(real, features, subset_size=subset, seed=seed)
    k = min(3, len(real) - 1, len(features) - 1)
    neighbors = neighbor_scores(real, features, k)
    copies = memorization(reference.features, features)
    halves = reference.halves
    metrics = {
        f"Frechet distance ({name}, {statistics.count} against {reference.statistics.count})": frechet_distance(
            reference.statistics, statistics
        ),
        f"the same of two halves of the real images ({halves[0].count} against {halves[1].count})": frechet_distance(
            *halves
        ),
        f"kernel distance x 1000 ({name}, subsets of {subset})": 1000 * kernel,
        "its standard deviation over the subsets": 1000 * deviation,
        f"precision ({name}, {len(features)} against {len(real)}, k = {k})": neighbors.precision,
        "recall (the same)": neighbors.recall,
        "density (the same)": neighbors.density,
        "coverage (the same)": neighbors.coverage,
        "distance to the nearest real image, relative to real ones (1: new images, 0: copies)": copies.distance_ratio,
        "share of copies (nearest less than a third as far as the second)": copies.copied_share,
    }
    if logits is not None:
        score, spread = inception_score(logits, num_splits=10, seed=seed)
        metrics |= {f"Inception Score with the classes of {name}": score, "its standard deviation": spread}
    return metrics, reference.indices[copies.nearest]


def _protocol(
    pipeline: Any,
    data: Samples,
    network: FeatureNetwork,
    num_samples: int,
    batch_size: int,
    seed: int,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    device = pipeline.device
    facts = {
        "generated images": num_samples,
        "real images": len(data),
        "real data": data.report.source,
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
