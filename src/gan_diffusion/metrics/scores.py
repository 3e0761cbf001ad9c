# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Kernel distance and Inception Score, by torchmetrics, with a seed of their own."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from .checks import check_features


# A process of several has all features already: torchmetrics must not add those of the others.
_ALONE: dict[str, Any] = {"sync_on_compute": False}


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
        metric = KernelInceptionDistance(feature=nn.Identity(), subsets=num_subsets, subset_size=subset_size, **_ALONE)
        metric.update(real, real=True)
        metric.update(generated, real=False)
        mean, deviation = metric.compute()
    return float(mean), float(deviation)


def inception_score(logits: torch.Tensor, num_splits: int = 10, seed: int = 0) -> tuple[float, float]:
    """
    Inception Score (Salimans et al. 2016): exp(E KL(p(y|x) || p(y))), for the classes of any classifier.

    Args:
        logits (`torch.Tensor` of shape (N, K)): The classifier's outputs for generated samples, before the softmax.
        num_splits (`int`, defaults to 10): Parts of the samples; p(y) is the mean within one.
        seed (`int`, defaults to 0): Seed of the split.

    Returns:
        `tuple[float, float]`: mean and standard deviation over the parts, 0 for one part.

    Raises:
        ValueError: If there are fewer samples than parts, or the logits have another shape or are not finite.
    """
    from torchmetrics.image.inception import InceptionScore

    check_features(minimum=num_splits, logits=logits)
    with _seeded(seed):
        metric = InceptionScore(feature=nn.Identity(), splits=num_splits, **_ALONE)
        metric.update(logits)
        mean, deviation = metric.compute()
    return float(mean), float(deviation) if num_splits > 1 else 0.0


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """torchmetrics draws from the global generator, which is put back afterwards. Its warnings are about memory."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(action="ignore", category=UserWarning):
        torch.manual_seed(seed)
        yield
