# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Frechet distance between two sets of features, from statistics that are gathered batch by batch."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from .checks import check_features, check_same


@dataclass
class FeatureStatistics:
    """
    Number, mean and covariance of features, gathered batch by batch in float64.

    Memory does not grow with the number of samples. Sums are taken around `origin`, the mean of the first batch, so
    that features far from zero lose no digits.

    Args:
        num_features (`int`): D, features per sample.
    """

    num_features: int

    def __post_init__(self):
        self.count = 0
        self.origin = torch.zeros(self.num_features, dtype=torch.float64)
        self.sum = torch.zeros(self.num_features, dtype=torch.float64)
        self.outer_sum = torch.zeros(self.num_features, self.num_features, dtype=torch.float64)

    def update(self, features: torch.Tensor) -> None:
        """
        Adds a batch.

        Args:
            features (`torch.Tensor` of shape (N, D)): Any float dtype.

        Raises:
            ValueError: If the shape is another one, or a value is not finite.
        """
        check_features(minimum=1, features=features)
        check_same({"features": features.shape[1], "num_features": self.num_features}, "features per sample")
        features = features.detach().to("cpu", torch.float64)
        if self.count == 0:
            self.origin = features.mean(0)
        features = features - self.origin
        self.count += len(features)
        self.sum += features.sum(0)
        self.outer_sum += features.T @ features

    @property
    def mean(self) -> torch.Tensor:
        """Mean of the features, (D,)."""
        return self.origin + self.sum / self.count

    @property
    def covariance(self) -> torch.Tensor:
        """Unbiased covariance of the features, (D, D)."""
        return (self.outer_sum - torch.outer(self.sum, self.sum) / self.count) / (self.count - 1)

    def merged(self, other: "FeatureStatistics") -> "FeatureStatistics":
        """
        The statistics of both sets together.

        Args:
            other ([`FeatureStatistics`]): Of the same network, for example of another process.

        Returns:
            [`FeatureStatistics`]: new statistics; both inputs stay as they are.

        Raises:
            ValueError: If the numbers of features differ.
        """
        check_same({"self": self.num_features, "other": other.num_features}, "features per sample")
        if not self.count or not other.count:
            return self if self.count else other
        result, shift = FeatureStatistics(self.num_features), other.origin - self.origin
        result.count, result.origin = self.count + other.count, self.origin
        result.sum = self.sum + other.sum + other.count * shift
        cross = torch.outer(other.sum, shift)
        result.outer_sum = self.outer_sum + other.outer_sum + cross + cross.T + other.count * torch.outer(shift, shift)
        return result

    def tensors(self) -> dict[str, torch.Tensor]:
        """All that it holds, by name, to be saved."""
        count = torch.tensor(self.count)
        return {"count": count, "origin": self.origin, "sum": self.sum, "outer_sum": self.outer_sum}

    @classmethod
    def of(cls, tensors: Mapping[str, torch.Tensor]) -> "FeatureStatistics":
        """
        Statistics from what `tensors` gave.

        Args:
            tensors (`Mapping[str, torch.Tensor]`): By name.

        Returns:
            [`FeatureStatistics`]: the statistics.
        """
        statistics = cls(len(tensors["sum"]))
        statistics.count = int(tensors["count"])
        statistics.origin, statistics.sum = tensors["origin"], tensors["sum"]
        statistics.outer_sum = tensors["outer_sum"]
        return statistics


def frechet_distance(real: FeatureStatistics, generated: FeatureStatistics) -> float:
    """
    Squared Frechet distance between two normal distributions with the means and covariances of two sets of features.

    ``|mu_1 - mu_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2))``, Heusel et al. 2017, eq. 6. The trace of the root is the
    sum of the roots of the eigenvalues of ``S_1^(1/2) S_2 S_1^(1/2)``, which is symmetric: this takes about a second
    for 2048 features, where the eigenvalues of ``S_1 S_2`` take a minute.

    The distance of two sets of the same distribution is not 0 but falls with the number of samples: compare only
    numbers of the same N, and give the distance between two halves of the real data beside them.

    Args:
        real ([`FeatureStatistics`]): Of at least two samples.
        generated ([`FeatureStatistics`]): Of at least two samples.

    Returns:
        `float`: the distance, 0 or more.

    Raises:
        ValueError: If a set has fewer than two samples, or the numbers of features differ.
    """
    for name, statistics in (("real", real), ("generated", generated)):
        if statistics.count < 2:
            raise ValueError(f"`{name}` must hold at least 2 samples, got {statistics.count}.")
    check_same({"real": real.num_features, "generated": generated.num_features}, "features per sample")
    values, vectors = torch.linalg.eigh(real.covariance)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ generated.covariance @ root).clamp(min=0).sqrt().sum()
    difference = real.mean - generated.mean
    distance = difference @ difference + real.covariance.trace() + generated.covariance.trace() - 2 * cross
    return max(float(distance), 0.0)
