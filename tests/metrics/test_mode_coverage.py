# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest
import torch

from gan_diffusion.metrics import mode_coverage


STD = 0.05
CENTERS = torch.cartesian_prod(*[torch.arange(-4.0, 5.0, 2.0)] * 2).double()


def draw(num_samples: int, modes: int = 25, spread: float = 1.0, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    index = torch.randint(modes, (num_samples,), generator=generator)
    return CENTERS[index] + spread * STD * torch.randn(num_samples, 2, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("threshold, share", [(2.0, 0.8647), (3.0, 0.9889), (4.0, 0.99966)])
def test_perfect_sampler_scores_the_documented_values(threshold, share):
    num_samples = 100_000
    scores = mode_coverage(draw(num_samples), CENTERS, STD, threshold)
    assert scores.num_modes_covered == scores.num_modes == 25
    error = math.sqrt(share * (1 - share) / num_samples)
    assert abs(scores.high_quality_share - share) < 4 * error
    assert scores.reverse_kl < 3 * 24 / (2 * num_samples)
    assert sum(scores.counts) == round(scores.high_quality_share * num_samples)


def test_reverse_kl_of_a_perfect_sampler_falls_with_the_number_of_samples():
    for num_samples, floor, deviation in [(2_500, 0.0047, 0.0013), (10_000, 0.0011, 0.0003)]:
        scores = [mode_coverage(draw(num_samples, seed=s), CENTERS, STD) for s in range(20)]
        assert abs(np.mean([each.reverse_kl for each in scores]) - floor) < deviation
        share = np.mean([each.high_quality_share for each in scores])
        assert abs(share - 0.9889) < 4 * math.sqrt(0.9889 * 0.0111 / (20 * num_samples))


def test_spread_ratio_of_a_perfect_sampler_is_that_of_the_cut_off_normal():
    scores = mode_coverage(draw(100_000), CENTERS, STD)
    assert abs(scores.spread_ratio - 0.974) < 0.004
    assert len(scores.spread_ratios) == 25
    assert all(abs(ratio - 0.974) < 0.05 for ratio in scores.spread_ratios)


def test_half_of_the_modes():
    scores = mode_coverage(draw(20_000, modes=12), CENTERS, STD)
    assert scores.num_modes_covered == 12
    assert all(scores.counts[:12]) and not any(scores.counts[12:])
    assert scores.reverse_kl == pytest.approx(math.log(25 / 12), abs=0.002)
    assert scores.high_quality_share > 0.98
    assert scores.spread_ratios[12:] == (0.0,) * 13


def test_spread_ratio_shows_modes_that_are_too_narrow():
    scores = mode_coverage(draw(20_000, spread=0.3), CENTERS, STD)
    assert scores.high_quality_share == 1.0
    assert scores.spread_ratio == pytest.approx(0.3, abs=0.01)


def test_spread_is_taken_around_the_mean_of_the_samples():
    narrow = draw(5_000, spread=0.2)
    scores = mode_coverage(narrow + STD, CENTERS, STD)
    assert scores.spread_ratio == pytest.approx(0.2, abs=0.01)


def test_single_points():
    scores = mode_coverage(CENTERS[:1], CENTERS, STD)
    assert (scores.num_modes_covered, scores.high_quality_share, scores.spread_ratio) == (1, 1.0, 0.0)
    assert scores.reverse_kl == pytest.approx(math.log(25))


def test_samples_between_the_modes_cover_nothing():
    scores = mode_coverage(CENTERS + 1.0, CENTERS, STD)
    assert (scores.num_modes_covered, scores.high_quality_share, scores.spread_ratio) == (0, 0.0, 0.0)
    assert scores.reverse_kl == math.inf


def test_arrays_and_tensors_of_any_float_type_and_any_dimension():
    samples = draw(1000)
    expected = mode_coverage(samples, CENTERS, STD)
    assert mode_coverage(samples.numpy(), CENTERS.numpy(), STD) == expected
    assert mode_coverage(samples.float().requires_grad_(), CENTERS, STD).counts == expected.counts
    assert mode_coverage(samples[:, :1], CENTERS[::5, :1], STD).num_modes == 5


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((torch.zeros(5, 3), CENTERS, STD), r"`samples`.*\(N, 2\).*\(5, 3\)"),
        ((torch.zeros(0, 2), CENTERS, STD), "`samples`"),
        ((torch.full((5, 2), math.nan), CENTERS, STD), "finite, got 5 of 5"),
        ((torch.zeros(5, 2), torch.zeros(2), STD), "`centers`"),
        ((torch.zeros(5, 2), CENTERS, 0.0), "`std`.*0.0"),
        ((torch.zeros(5, 2), CENTERS, STD, -1.0), "`threshold`.*-1.0"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        mode_coverage(*arguments)
