# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from gan_diffusion.metrics import memorization, nearest_spacing, neighbor_scores, neighbors


def draw(num_samples: int, seed: int = 0, num_features: int = 4) -> torch.Tensor:
    return torch.randn(num_samples, num_features, generator=torch.Generator().manual_seed(seed))


def slow_scores(real: torch.Tensor, generated: torch.Tensor, k: int) -> tuple[float, float, float, float]:
    """The definitions, sample by sample."""

    def radius(samples, index):
        return sorted(float((samples[index] - other).norm()) for other in samples)[k]

    def inside(point, samples):
        return [float((point - samples[i]).norm()) <= radius(samples, i) for i in range(len(samples))]

    real, generated = real.double(), generated.double()
    balls = [inside(point, real) for point in generated]
    precision = sum(any(row) for row in balls) / len(generated)
    recall = sum(any(inside(point, generated)) for point in real) / len(real)
    density = sum(sum(row) for row in balls) / (k * len(generated))
    coverage = sum(any(row[i] for row in balls) for i in range(len(real))) / len(real)
    return precision, recall, density, coverage


@pytest.mark.parametrize("k, sizes", [(1, (20, 30)), (3, (31, 17)), (5, (25, 25))])
@pytest.mark.parametrize("block", [1, 7, 1024])
def test_scores_follow_the_definitions(monkeypatch, k, sizes, block):
    monkeypatch.setattr(neighbors, "_BLOCK", block)
    real, generated = draw(sizes[0]), 0.7 * draw(sizes[1], seed=1) + 0.3
    scores = neighbor_scores(real, generated, k)
    found = scores.precision, scores.recall, scores.density, scores.coverage
    assert found == pytest.approx(slow_scores(real, generated, k), abs=1e-6)


def test_the_same_set_twice_is_perfect_and_distant_sets_share_nothing():
    real = draw(200)
    same, far = neighbor_scores(real, real), neighbor_scores(real, real + 100)
    assert same.precision == same.recall == same.coverage == 1
    assert far.precision == far.recall == far.density == far.coverage == 0


def test_half_of_the_modes_keeps_precision_and_halves_recall():
    modes = torch.tensor([[0.0] * 4, [50.0] * 4])
    real = torch.cat([draw(500) + modes[0], draw(500, seed=1) + modes[1]])
    scores = neighbor_scores(real, draw(1000, seed=2) + modes[0])
    assert scores.precision > 0.8
    assert scores.recall == pytest.approx(0.5, abs=0.08)
    assert scores.coverage == pytest.approx(0.5, abs=0.05)


def test_copies_and_new_samples_are_told_apart():
    train = draw(400)
    copies, fresh = memorization(train, train[:100] + 1e-4), memorization(train, draw(400, seed=1))
    assert copies.copied_share == 1 and copies.distance_ratio < 0.01
    assert torch.equal(copies.nearest, torch.arange(100))
    known = memorization(train, train[:100] + 1e-4, nearest_spacing(train))
    assert (known.distance_ratio, known.copied_share) == (copies.distance_ratio, copies.copied_share)
    assert fresh.distance_ratio == pytest.approx(1, abs=0.15)
    assert fresh.copied_share < 0.1


@pytest.mark.parametrize(
    "real, generated, k, message",
    [
        (draw(3), draw(9), 3, "`real` must hold at least 4 samples, got 3"),
        (draw(9), draw(2), 3, "`generated` must hold at least 4 samples, got 2"),
        (draw(9), draw(9, num_features=5), 3, "got 4 and 5"),
        (draw(9), torch.full((9, 4), float("inf")), 3, "`generated` must be finite"),
        (draw(9), draw(9), 0, "`k` must be at least 1"),
    ],
)
def test_sets_that_cannot_be_compared_are_refused(real, generated, k, message):
    with pytest.raises(ValueError, match=message):
        neighbor_scores(real, generated, k)


def test_memorization_needs_three_training_samples():
    with pytest.raises(ValueError, match="`train` must hold at least 3 samples"):
        memorization(draw(2), draw(5))


@pytest.mark.parametrize(
    "seeds, sizes, k, precision, recall",
    [((10, 20), (500, 400), 3, 0.9625, 0.454), ((11, 21), (300, 300), 5, 0.993333, 0.53)],
)
def test_precision_and_recall_equal_those_of_torch_fidelity(seeds, sizes, k, precision, recall):
    # The numbers are what torch-fidelity 0.4.0 gives for these features, in float64.
    real = draw(sizes[0], seeds[0], 16)
    generated = 0.8 * draw(sizes[1], seeds[1], 16) + 0.1
    scores = neighbor_scores(real, generated, k)
    assert scores.precision == pytest.approx(precision, abs=1e-6)
    assert scores.recall == pytest.approx(recall, abs=1e-6)
