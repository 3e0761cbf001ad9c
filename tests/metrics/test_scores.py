# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch

from gan_diffusion.metrics import InceptionStatistics, kernel_distance


def draw(num_samples: int, seed: int = 0, num_features: int = 6) -> torch.Tensor:
    return torch.randn(num_samples, num_features, generator=torch.Generator().manual_seed(seed))


def inception_score(logits: torch.Tensor, num_splits: int = 10, batch_size: int = 7) -> tuple[float, float]:
    statistics = InceptionStatistics(logits.shape[1], num_splits)
    for first in range(0, len(logits), batch_size):
        statistics.update(logits[first : first + batch_size], first)
    return statistics.score()


def test_kernel_distance_follows_the_definition():
    # With one subset of all samples there is nothing to draw.
    real, generated = draw(40), draw(40, seed=1) + 0.5

    def kernel(a, b):
        return (a.double() @ b.double().T / 6 + 1) ** 3

    def without_diagonal(matrix):
        return (matrix.sum() - matrix.trace()) / (40 * 39)

    expected = without_diagonal(kernel(real, real)) + without_diagonal(kernel(generated, generated))
    expected -= 2 * kernel(real, generated).mean()
    mean, _ = kernel_distance(real, generated, num_subsets=1, subset_size=40)
    assert mean == pytest.approx(float(expected), rel=1e-4)


def test_kernel_distance_of_one_distribution_is_zero_on_average():
    mean, deviation = kernel_distance(draw(1000), draw(1000, seed=1), num_subsets=50, subset_size=100)
    assert abs(mean) < deviation
    far, _ = kernel_distance(draw(1000), draw(1000, seed=1) + 1, num_subsets=50, subset_size=100)
    assert far > 5 * deviation


def test_inception_score_of_sure_and_of_unsure_classifiers():
    sure = 50 * torch.eye(10).repeat(20, 1)
    assert inception_score(sure, num_splits=1)[0] == pytest.approx(10, rel=1e-4)
    assert inception_score(torch.zeros(200, 10))[0] == pytest.approx(1)
    one_class = torch.zeros(200, 10)
    one_class[:, 0] = 50
    assert inception_score(one_class)[0] == pytest.approx(1)


def test_inception_score_equals_torchmetrics():
    inception = pytest.importorskip("torchmetrics.image.inception")
    logits = 3 * draw(200)
    metric = inception.InceptionScore(feature=torch.nn.Identity(), splits=1)
    metric.update(logits)
    assert inception_score(logits, num_splits=1) == (pytest.approx(float(metric.compute()[0]), rel=1e-5), 0)


def test_inception_score_of_parts_is_that_of_each_alone():
    logits = 3 * draw(95)
    alone = torch.tensor([inception_score(logits[part::10], num_splits=1)[0] for part in range(10)])
    assert inception_score(logits) == pytest.approx((float(alone.mean()), float(alone.std())), rel=1e-6)
    # Two processes with batches in turn, and a class that no sample has.
    logits[:, 0] = -1e6
    halves = [InceptionStatistics(6), InceptionStatistics(6)]
    for number, batch in enumerate(logits.split(7)):
        halves[number % 2].update(batch, first=7 * number)
    assert halves[0].merged(halves[1]).score() == pytest.approx(inception_score(logits), rel=1e-12)


def test_memory_of_the_statistics_does_not_grow_with_the_samples():
    statistics = InceptionStatistics(6)
    sizes = []
    for first in (0, 500):
        statistics.update(draw(500), first)
        sizes.append(sum(value.nbytes for value in vars(statistics).values() if torch.is_tensor(value)))
    assert sizes[0] == sizes[1] < 1000


def test_kernel_distance_repeats_and_leaves_the_global_generator_alone():
    real, generated, state = draw(300), draw(300, seed=1), torch.get_rng_state()
    assert kernel_distance(real, generated, 5, 50) == kernel_distance(real, generated, 5, 50)
    assert torch.equal(state, torch.get_rng_state())


def test_kernel_distance_equals_torchmetrics():
    kid = pytest.importorskip("torchmetrics.image.kid")
    real, generated = draw(60), draw(60, seed=1)
    metric = kid.KernelInceptionDistance(feature=torch.nn.Identity(), subsets=1, subset_size=60)
    metric.update(real, real=True)
    metric.update(generated, real=False)
    mean, _ = kernel_distance(real, generated, num_subsets=1, subset_size=60)
    assert mean == pytest.approx(float(metric.compute()[0]), rel=1e-4)


def test_too_few_samples_are_refused():
    with pytest.raises(ValueError, match="`generated` must hold at least 1000 samples, got 10"):
        kernel_distance(draw(1000), draw(10))
    with pytest.raises(ValueError, match="`num_splits` must be at most the number of samples, got 10 and 9"):
        inception_score(draw(9))
    with pytest.raises(ValueError, match="must be finite"):
        inception_score(torch.full((20, 3), math.nan))
    with pytest.raises(ValueError, match="the same number of classes, got 5 and 6"):
        InceptionStatistics(6).update(draw(9, num_features=5))
