# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""All metrics of an evaluation, with their names."""

import torch

from ..metrics import (
    FeatureStatistics,
    InceptionStatistics,
    frechet_distance,
    kernel_distance,
    label_coverage,
    memorization,
    neighbor_scores,
)
from ..metrics.features import FeatureNetwork
from .reference import Reference


# Real images that the kernel distance and the shares in manifolds are computed from, at most.
_REAL_SAMPLES = 5000
_KERNEL_SUBSET = 1000
# The four shares in manifolds, in which generated images stand beside real ones.
SHARES = ("precision", "recall", "density", "coverage")
# What a model may be chosen by, and whether more is better.
MORE_IS_BETTER = {"frechet_distance": False, "kernel_distance": False, "reverse_kl": False} | dict.fromkeys(
    SHARES, True
)


def compute_scores(
    reference: Reference,
    statistics: FeatureStatistics,
    features: torch.Tensor,
    classes: InceptionStatistics | None,
    labels: torch.Tensor | None,
    network: FeatureNetwork,
    seed: int,
) -> tuple[dict[str, tuple[str, float]], torch.Tensor]:
    """
    Computes all metrics.

    Args:
        reference ([`Reference`]): Of the real images.
        statistics ([`~metrics.FeatureStatistics`]): Of all generated images.
        features (`torch.Tensor` of shape (N, D)): Of the first generated images.
        classes ([`~metrics.InceptionStatistics`], *optional*): Of the generated images, if the network classifies.
        labels (`torch.Tensor` of shape (N, G), *optional*):
            Classes of the parts of all generated images, if the network tells them.
        network ([`~metrics.features.FeatureNetwork`]): The network.
        seed (`int`): Seed of the kernel distance's subsets.

    Returns:
        pair of `dict[str, tuple[str, float]]` and `torch.Tensor` of shape (N,): name for reports and value, by a short
        name; and the index of the most alike real image of each of the generated ones.
    """
    name, halves, count = network.name, reference.halves, reference.statistics.count
    real = reference.features[:_REAL_SAMPLES]
    subset = min(_KERNEL_SUBSET, len(real), len(features))
    kernel, deviation = kernel_distance(real, features, subset_size=subset, seed=seed)
    copies = memorization(reference.features, features, reference.spacing)
    scores = {
        "frechet_distance": (
            f"Frechet distance ({name}, {statistics.count} against {count})",
            frechet_distance(reference.statistics, statistics),
        ),
        "real_frechet_distance": (
            f"the same of two halves of the real images ({halves[0].count} against {halves[1].count})",
            frechet_distance(*halves),
        ),
        "kernel_distance": (f"kernel distance x 1000 ({name}, subsets of {subset})", 1000 * kernel),
        "kernel_deviation": ("its standard deviation over the subsets", 1000 * deviation),
        **_shares(reference.features, features, name),
        "distance_ratio": (
            "distance to the nearest real image, relative to real ones (1: new images, 0: copies)",
            copies.distance_ratio,
        ),
        "copied_share": ("share of copies (nearest less than a third as far as the second)", copies.copied_share),
    }
    if classes is not None:
        score, spread = classes.score()
        scores["inception_score"] = (f"Inception Score with the classes of {name}", score)
        scores["inception_deviation"] = ("its standard deviation", spread)
    if labels is not None:
        scores |= _modes(labels, name)
        # Figures of different numbers of images cannot be compared.
        if len(reference.features) >= len(labels):
            scores |= _modes(network.label(reference.features[: len(labels)]), name, of_real=True)
    return scores, reference.indices[copies.nearest]


def _shares(real: torch.Tensor, generated: torch.Tensor, name: str) -> dict[str, tuple[str, float]]:
    """
    The shares of generated images, and those of as many other real images, which a perfect model would have.

    The shares depend on the numbers of images, so that all three sets are equally large.
    """
    size = min(_REAL_SAMPLES, len(real) // 2, len(generated))
    k = min(3, size - 1)
    sets = {"": generated[:size], "real_": real[size : 2 * size]}
    scores, sizes = {}, f"{name}, {size} against {size}, k = {k}"
    for prefix, images in sets.items():
        found = neighbor_scores(real[:size], images, k)
        for share in SHARES:
            label = f"{share} of other real images ({sizes})" if prefix else f"{share} ({sizes})"
            scores[prefix + share] = (label, getattr(found, share))
    return scores


def _modes(labels: torch.Tensor, name: str, of_real: bool = False) -> dict[str, tuple[str, float]]:
    """Which of the modes, the combinations of classes of the parts, there are among generated or real images."""
    found = label_coverage(labels)
    sizes = f"({name}, {len(labels)} samples)"
    prefix, owner = ("real_", " of real images") if of_real else ("", "")
    return {
        f"{prefix}modes": (f"modes{owner} of {found.num_modes} {sizes}", found.num_modes_covered),
        f"{prefix}well_covered_modes": (
            f"modes{owner} with at least five samples {sizes}",
            found.num_modes_well_covered,
        ),
        f"{prefix}reverse_kl": (f"reverse KL of the modes{owner} {sizes}", found.reverse_kl),
    }
