# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch

from gan_diffusion.metrics import label_coverage


def draw(num_samples: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(10, (num_samples, 3), generator=torch.Generator().manual_seed(seed))


def test_a_perfect_sampler_scores_the_documented_values():
    scores = label_coverage(draw(26_000))
    assert scores.num_modes_covered == scores.num_modes == scores.num_modes_well_covered == 1000
    assert scores.reverse_kl == pytest.approx(0.0194, abs=3 * 0.0009)


def test_missing_modes_are_counted():
    labels = draw(10_000)
    labels[:, 0] = 4
    scores = label_coverage(labels)
    assert scores.num_modes_covered == 100
    assert scores.reverse_kl == pytest.approx(math.log(10), abs=0.01)


def test_modes_of_few_samples_are_not_well_covered():
    labels = torch.tensor([0] * 5 + [1] * 4)
    scores = label_coverage(labels, num_classes=3)
    assert (scores.num_modes_covered, scores.num_modes_well_covered, scores.num_modes) == (2, 1, 3)
    p = torch.tensor([5 / 9, 4 / 9], dtype=torch.float64)
    assert scores.reverse_kl == pytest.approx(float((p * (3 * p).log()).sum()))


@pytest.mark.parametrize(
    "labels, message",
    [
        (torch.zeros(0, 3, dtype=torch.long), "N at least 1"),
        (torch.tensor([0, 10]), "below 10, got 0 to 10"),
        (torch.tensor([-1, 0]), "at least 0"),
        (torch.zeros(1, 1, 1), "must have shape"),
    ],
)
def test_labels_out_of_range_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        label_coverage(labels)
