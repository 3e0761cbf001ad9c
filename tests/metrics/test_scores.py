# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch

from gan_diffusion.metrics import inception_score, kernel_distance


def draw(num_samples: int, seed: int = 0, num_features: int = 6) -> torch.Tensor:
    return torch.randn(num_samples, num_features, generator=torch.Generator().manual_seed(seed))


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


def test_scores_repeat_and_leave_the_global_generator_alone():
    real, generated, state = draw(300), draw(300, seed=1), torch.get_rng_state()
    assert kernel_distance(real, generated, 5, 50) == kernel_distance(real, generated, 5, 50)
    assert inception_score(draw(300)) == inception_score(draw(300))
    assert torch.equal(state, torch.get_rng_state())


def test_too_few_samples_are_refused():
    with pytest.raises(ValueError, match="`generated` must hold at least 1000 samples, got 10"):
        kernel_distance(draw(1000), draw(10))
    with pytest.raises(ValueError, match="`logits` must hold at least 10 samples, got 9"):
        inception_score(draw(9))
    with pytest.raises(ValueError, match="must be finite"):
        inception_score(torch.full((20, 3), math.nan))
