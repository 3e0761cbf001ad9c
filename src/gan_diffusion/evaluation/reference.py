# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""What an evaluation keeps of the real images, in memory and in a file."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from diffusers.utils import logging
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from tqdm.auto import tqdm

from ..data.batch import Samples
from ..metrics import FeatureStatistics, nearest_spacing
from ..metrics.features import FeatureNetwork


# Images of which single features are kept, for the distance of samples to the nearest one.
MEMORIZATION_SAMPLES = 50_000
_BATCH = 250
# Float samples are in [-1, 1], but for rounding.
_TOLERANCE = 1e-3

logger = logging.get_logger(__name__)


@dataclass
class Reference:
    """
    What is kept of the real images.

    Args:
        halves (pair of [`~metrics.FeatureStatistics`]): Statistics of two halves of them.
        features (`torch.Tensor` of shape (N, D)): Features of some of them.
        indices (`torch.Tensor` of shape (N,)): Their numbers in the data.
        spacing (`float`): Median distance of these features to their nearest other one.
    """

    halves: tuple[FeatureStatistics, FeatureStatistics]
    features: torch.Tensor
    indices: torch.Tensor
    spacing: float

    @property
    def statistics(self) -> FeatureStatistics:
        """Statistics of all of them."""
        return self.halves[0].merged(self.halves[1])


def to_pixels(samples: torch.Tensor) -> torch.Tensor:
    """
    Float samples as they are stored in image files.

    Args:
        samples (`torch.Tensor`): In [-1, 1].

    Returns:
        `torch.Tensor`: uint8.

    Raises:
        ValueError: If a value is not finite or out of range.
    """
    if not samples.isfinite().all():
        raise ValueError(f"`samples` must be finite, got {int((~samples.isfinite()).sum())} values that are not.")
    if samples.numel() and samples.abs().max() > 1 + _TOLERANCE:
        raise ValueError(
            f"`samples` must lie in [-1, 1], got [{float(samples.min()):.4g}, {float(samples.max()):.4g}]. Scale them."
        )
    return ((samples.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def read_pixels(data: Samples, indices: list[int]) -> torch.Tensor:
    """
    Real images as pixels.

    Args:
        data ([`~data.Samples`]): Real images.
        indices (`list[int]`): Their numbers.

    Returns:
        `torch.Tensor` of shape (N, C, H, W): uint8.
    """
    samples = data.__getitems__(indices)["samples"]
    return samples if samples.dtype == torch.uint8 else to_pixels(samples)


def real_reference(
    data: Samples,
    network: FeatureNetwork,
    seed: int = 0,
    cache_dir: str | Path | None = None,
    max_images: int | None = None,
) -> Reference:
    """
    Features of the real images, from a file if they were computed before.

    Args:
        data ([`~data.Samples`]): Real images.
        network ([`~metrics.features.FeatureNetwork`]): The network.
        seed (`int`, defaults to 0): Decides which images are used, and of which single features are kept.
        cache_dir (`str` or `Path`, *optional*):
            Folder of the file; `None` computes anew and keeps nothing, and so does a network without `module`.
        max_images (`int`, *optional*): Use at most this many images, drawn at random by the seed.

    Returns:
        [`Reference`]: what is kept of them.

    Raises:
        ValueError: If the images do not fit the network.
    """
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(data)))[:max_images]
    if cache_dir is None or network.module is None:  # Without its weights a network has no identity.
        return _compute(data, network, order)
    identity = f"{_identity(data, order, seed)}-{network.identity[:24]}"
    file = Path(cache_dir) / f"{identity}.features"
    reference = _load(file, network, identity)
    if reference is None:
        reference = _compute(data, network, order)
        if PartialState().is_main_process:
            _save(file, reference, identity)
    return reference


def _compute(data: Samples, network: FeatureNetwork, order: torch.Tensor) -> Reference:
    kept = order[:MEMORIZATION_SAMPLES]
    halves = (FeatureStatistics(network.num_features), FeatureStatistics(network.num_features))
    features = torch.empty(len(kept), network.num_features)
    hidden = not PartialState().is_local_main_process
    with tqdm(total=len(order), desc="real images", unit="image", disable=hidden, leave=False) as bar:
        for start in range(0, len(order), _BATCH):
            batch = network(read_pixels(data, order[start : start + _BATCH].tolist()))
            for number, half in enumerate(halves):
                half.update(batch[number::2])
            room = features[start : start + len(batch)]
            room.copy_(batch[: len(room)])
            bar.update(len(batch))
    return Reference(halves, features, kept, nearest_spacing(features))


def _identity(data: Samples, order: torch.Tensor, seed: int) -> str:
    """
    Hash of the data's identity, the seed and some images.

    The images differ where the files are the same but are cut or scaled in another way.
    """
    digest = hashlib.sha256(f"{data.report.identity} {len(data)} {len(order)} {seed}".encode())
    digest.update(data.__getitems__(order[:_BATCH].tolist())["samples"].contiguous().numpy().tobytes())
    return digest.hexdigest()[:24]


def _save(file: Path, reference: Reference, identity: str) -> None:
    """Writes the tensors as safetensors, with their checksum and with what they are of."""
    spacing = torch.tensor(reference.spacing, dtype=torch.float64)
    tensors = {"features": reference.features, "indices": reference.indices, "spacing": spacing}
    for number, half in enumerate(reference.halves):
        tensors |= {f"{name}.{number}": value for name, value in half.tensors().items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    save_file(tensors, partial, {"identity": identity, "sha256": _sha256(tensors)})
    partial.replace(file)


def _load(file: Path, network: FeatureNetwork, identity: str) -> Reference | None:
    """What was saved, or `None` if there is nothing, or it is damaged or of other data or another network."""
    if not file.is_file():
        return None
    try:
        with safe_open(file, "pt") as content:
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 (it is no mapping)
            metadata = content.metadata() or {}
    except (OSError, SafetensorError):
        tensors, metadata = {}, {}
    if metadata.get("sha256") != _sha256(tensors):
        logger.warning("%s is damaged. The features of the real images are computed anew.", file)
        return None
    if metadata.get("identity") != identity:
        logger.warning("%s is of other data or another network. The features are computed anew.", file)
        return None
    names = FeatureStatistics(network.num_features).tensors()
    halves = [FeatureStatistics.of({name: tensors[f"{name}.{number}"] for name in names}) for number in range(2)]
    return Reference((halves[0], halves[1]), tensors["features"], tensors["indices"], float(tensors["spacing"]))


def _sha256(tensors: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
