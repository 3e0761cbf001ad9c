# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Kernel distance, by torchmetrics with a seed of its own, and Inception Score."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from .checks import check_features, check_same


def kernel_distance(
    real: torch.Tensor, generated: torch.Tensor, num_subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """
    Kernel distance (KID, Binkowski et al. 2018): unbiased squared MMD with the kernel (x.y / D + 1)^3.

    Unbiased means that two sets of the same distribution have 0 on average, with any number of samples: take it rather
    than the Frechet distance where there are fewer than some 10,000.

    Args:
        real (`torch.Tensor` of shape (N, D)): Features of real samples.
        generated (`torch.Tensor` of shape (M, D)): Features of generated samples.
        num_subsets (`int`, defaults to 100): Number of subsets.
        subset_size (`int`, defaults to 1000): Samples of each subset, at most N and M.
        seed (`int`, defaults to 0): Seed of the subsets.

    Returns:
        `tuple[float, float]`: mean and standard deviation over the subsets. Papers often give 1000 times the mean.

    Raises:
        ValueError: If a set is smaller than a subset, has another shape or is not finite.
    """
    from torchmetrics.image.kid import KernelInceptionDistance

    check_features(minimum=subset_size, real=real, generated=generated)
    with _seeded(seed):
        # A process of several has all features already: torchmetrics must not add those of the others.
        metric = KernelInceptionDistance(
            feature=nn.Identity(), subsets=num_subsets, subset_size=subset_size, sync_on_compute=False
        )
        metric.update(real, real=True)
        metric.update(generated, real=False)
        mean, deviation = metric.compute()
    return float(mean), float(deviation)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """torchmetrics draws from the global generator, which is put back afterwards. Its warnings are about memory."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(action="ignore", category=UserWarning):
        torch.default_generator.manual_seed(seed)
        yield


class InceptionStatistics:
    """
    What the Inception Score (Salimans et al. 2016) needs of a classifier's outputs, gathered batch by batch.

    The score is exp(E KL(p(y|x) || p(y))), for the classes of any classifier. Memory does not grow with the number of
    samples. Sample number i belongs to part i modulo `num_splits`; p(y) is the mean within a part.

    Args:
        num_classes (`int`): K, classes of the classifier.
        num_splits (`int`, defaults to 10): Parts of the samples.
    """

    def __init__(self, num_classes: int, num_splits: int = 10):
        self.num_splits = num_splits
        self.counts = torch.zeros(num_splits, dtype=torch.float64)
        self.sums = torch.zeros(num_splits, num_classes, dtype=torch.float64)
        self.negative_entropies = torch.zeros(num_splits, dtype=torch.float64)

    def update(self, logits: torch.Tensor, first: int = 0) -> None:
        """
        Adds a batch.

        Args:
            logits (`torch.Tensor` of shape (N, K)): The classifier's outputs for generated samples before softmax.
            first (`int`, defaults to 0): Number of the first sample of the batch, among all samples.

        Raises:
            ValueError: If the shape is another one, or a value is not finite.
        """
        check_features(minimum=1, logits=logits)
        check_same({"logits": logits.shape[1], "num_classes": self.sums.shape[1]}, "classes")
        logs = logits.detach().to("cpu", torch.float64).log_softmax(1)
        parts = torch.arange(first, first + len(logits)) % self.num_splits
        self.counts.index_add_(0, parts, torch.ones(len(logits), dtype=torch.float64))
        self.sums.index_add_(0, parts, logs.exp())
        self.negative_entropies.index_add_(0, parts, (logs.exp() * logs).sum(1))

    def merged(self, other: "InceptionStatistics") -> "InceptionStatistics":
        """
        The statistics of both sets together.

        Args:
            other ([`InceptionStatistics`]): Of the same classifier, for example of another process.

        Returns:
            [`InceptionStatistics`]: new statistics; both inputs stay as they are.
        """
        result = InceptionStatistics(self.sums.shape[1], self.num_splits)
        result.counts, result.sums = self.counts + other.counts, self.sums + other.sums
        result.negative_entropies = self.negative_entropies + other.negative_entropies
        return result

    def score(self) -> tuple[float, float]:
        """
        The Inception Score.

        Returns:
            `tuple[float, float]`: mean and standard deviation over the parts, 0 for one part.

        Raises:
            ValueError: If there are fewer samples than parts.
        """
        if not self.counts.all():
            raise ValueError(
                f"`num_splits` must be at most the number of samples, got {self.num_splits} and {int(self.counts.sum())}."
            )
        means = self.sums / self.counts[:, None]
        divergences = self.negative_entropies / self.counts - torch.special.xlogy(means, means).sum(1)
        scores = divergences.exp()
        return float(scores.mean()), float(scores.std()) if self.num_splits > 1 else 0.0
