# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Metrics from nearest neighbours among features: precision, recall, density, coverage, memorisation."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from .checks import check_features


# Rows and columns of the distance matrix that are in memory at once: all of it would take 20 GB for 50,000 samples.
_BLOCK = 1024


@dataclass(frozen=True)
class NeighborScores:
    """
    Result of [`neighbor_scores`].

    Args:
        precision (`float`): Share of the generated samples that lie inside the real manifold.
        recall (`float`): Share of the real samples that lie inside the generated manifold.
        density (`float`): How many real balls hold a generated sample, divided by k; about 1 for a perfect sampler.
        coverage (`float`): Share of the real samples whose ball holds a generated sample.
    """

    precision: float
    recall: float
    density: float
    coverage: float


@dataclass(frozen=True)
class Memorization:
    """
    Result of [`memorization`].

    Args:
        distance_ratio (`float`):
            Median distance from a generated sample to its nearest training sample, divided by the median distance
            from a training sample to its nearest other one. About 1 for new samples of the same distribution, 0 for
            copies.
        copied_share (`float`): Share of the generated samples whose nearest training sample is less than a third as
            far as the second nearest.
        nearest (`torch.Tensor` of shape (N,)): Index of the nearest training sample of each generated one.
    """

    distance_ratio: float
    copied_share: float
    nearest: torch.Tensor


def neighbor_scores(real: torch.Tensor, generated: torch.Tensor, k: int = 3) -> NeighborScores:
    """
    Precision and recall, density and coverage.

    Improved precision and recall are eq. 1 and 2 of Kynkäänniemi et al. 2019, density and coverage eq. 5 and 6 of
    Naeem et al. 2020.

    A manifold is the union of balls around its samples, each as large as the distance to the k-th nearest other sample
    of the same set. Precision alone can be fooled by one sample inside one ball: read it with coverage. All four
    depend on the numbers of samples.

    Args:
        real (`torch.Tensor` of shape (N, D)): Features of real samples.
        generated (`torch.Tensor` of shape (M, D)): Features of generated samples.
        k (`int`, defaults to 3): Which neighbour decides the radius, at least 1 and less than N and M.

    Returns:
        [`NeighborScores`]: the four shares.

    Raises:
        ValueError: If a set is too small for `k`, has another shape or is not finite.
    """
    if k < 1:
        raise ValueError(f"`k` must be at least 1, got {k}.")
    check_features(minimum=k + 1, real=real, generated=generated)
    real_radii, generated_radii = _radii(real, k), _radii(generated, k)
    balls = torch.zeros(len(generated))
    recalled, covered = torch.zeros(len(real), dtype=torch.bool), torch.zeros(len(real), dtype=torch.bool)
    for rows, columns, distances in _distances(real, generated):
        inside = distances <= real_radii[rows, None]
        balls[columns] += inside.sum(0)
        covered[rows] |= inside.any(1)
        recalled[rows] |= (distances <= generated_radii[columns]).any(1)
    return NeighborScores(
        precision=float((balls > 0).float().mean()),
        recall=float(recalled.float().mean()),
        density=float(balls.mean() / k),
        coverage=float(covered.float().mean()),
    )


def nearest_spacing(train: torch.Tensor) -> float:
    """
    Median distance from a training sample to its nearest other one.

    Args:
        train (`torch.Tensor` of shape (N, D)): Features of all training samples, at least 3.

    Returns:
        `float`: the distance.

    Raises:
        ValueError: If there are too few samples, or they have another shape or are not finite.
    """
    check_features(minimum=3, train=train)
    return float(_radii(train, 1).median())


def memorization(train: torch.Tensor, generated: torch.Tensor, spacing: float | None = None) -> Memorization:
    """
    How much closer generated samples are to the training samples than these are to each other.

    The ratio of the two nearest distances follows Yoon et al. 2023 (a copy if below 1/3). The ratio of the medians
    needs no held-out data. Duplicates in the training set make both useless: count them first.

    Args:
        train (`torch.Tensor` of shape (N, D)): Features of all training samples, at least 3.
        generated (`torch.Tensor` of shape (M, D)): Features of generated samples.
        spacing (`float`, *optional*): What [`nearest_spacing`] gave for `train`; computed if it is not at hand.

    Returns:
        [`Memorization`]: the two numbers, and each sample's nearest training sample.

    Raises:
        ValueError: If a set is too small, has another shape or is not finite.
    """
    check_features(minimum=3, train=train)
    check_features(minimum=1, train=train, generated=generated)
    distances, nearest = _nearest(generated, train, 2)
    spacing = nearest_spacing(train) if spacing is None else spacing
    return Memorization(
        distance_ratio=float(distances[:, 0].median()) / max(spacing, torch.finfo(torch.float64).tiny),
        copied_share=float((distances[:, 0] < distances[:, 1] / 3).float().mean()),
        nearest=nearest[:, 0],
    )


def _radii(features: torch.Tensor, k: int) -> torch.Tensor:
    """Distance of each sample to the k-th nearest other one. The nearest of all is the sample itself."""
    return _nearest(features, features, k + 1)[0][:, k]


def _nearest(rows: torch.Tensor, columns: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Distances of each row to its nearest columns, in ascending order, and their numbers."""
    values = torch.full((len(rows), count), torch.inf, dtype=torch.float64)
    numbers = torch.zeros((len(rows), count), dtype=torch.int64)
    for part, others, distances in _distances(rows, columns):
        near = distances.topk(min(count, distances.shape[1]), dim=1, largest=False)
        known = torch.cat([numbers[part], near.indices + others.start], dim=1)
        values[part], order = torch.cat([values[part], near.values], dim=1).topk(count, dim=1, largest=False)
        numbers[part] = known.gather(1, order)
    return values, numbers


def _distances(rows: torch.Tensor, columns: torch.Tensor) -> Iterator[tuple[slice, slice, torch.Tensor]]:
    """The matrix of distances in float64, block by block."""
    for part in _slices(len(rows)):
        left = rows[part].double()
        for others in _slices(len(columns)):
            yield part, others, torch.cdist(left, columns[others].double())


def _slices(count: int) -> Iterator[slice]:
    return (slice(start, min(start + _BLOCK, count)) for start in range(0, count, _BLOCK))
