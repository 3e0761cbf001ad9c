# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from gan_diffusion.metrics import FeatureStatistics, frechet_distance


def statistics_of(features: torch.Tensor, batch_size: int = 7) -> FeatureStatistics:
    statistics = FeatureStatistics(features.shape[1])
    for batch in features.split(batch_size):
        statistics.update(batch)
    return statistics


def draw(num_samples: int, num_features: int = 5, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(num_features, num_features, generator=generator, dtype=torch.float64)
    return torch.randn(num_samples, num_features, generator=generator, dtype=torch.float64) @ mixing + seed


def test_statistics_of_batches_are_those_of_all_samples():
    features = draw(100) + 1e4
    statistics = statistics_of(features)
    torch.testing.assert_close(statistics.mean, features.mean(0), rtol=1e-12, atol=0)
    torch.testing.assert_close(statistics.covariance, features.T.cov(), rtol=1e-9, atol=1e-9)


def test_statistics_of_two_processes_are_merged():
    features = draw(100)
    merged = statistics_of(features[:37]).merged(statistics_of(features[37:]))
    together = statistics_of(features)
    assert merged.count == together.count == 100
    torch.testing.assert_close(merged.mean, together.mean)
    torch.testing.assert_close(merged.covariance, together.covariance)
    assert FeatureStatistics(5).merged(together) is together
    assert together.merged(FeatureStatistics(5)) is together


def test_statistics_are_saved_and_put_back():
    statistics = statistics_of(draw(50))
    again = FeatureStatistics.of(statistics.tensors())
    assert again.count == 50
    assert torch.equal(again.mean, statistics.mean) and torch.equal(again.covariance, statistics.covariance)


def test_distance_of_diagonal_gaussians_has_a_closed_form():
    # Samples whose statistics are exact: +-s on each axis, with covariance 2 s^2 / 3 of four points on two axes.
    points = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]], dtype=torch.float64)
    wide, scales = points * torch.tensor([3.0, 5.0]), torch.tensor([3.0, 5.0], dtype=torch.float64)
    shift = torch.tensor([2.0, -1.0], dtype=torch.float64)
    expected = 5.0 + (2 / 3 * (scales - 1) ** 2).sum()
    distance = frechet_distance(statistics_of(points), statistics_of(wide + shift))
    assert distance == pytest.approx(float(expected), rel=1e-12)


def test_distance_of_large_samples_is_near_the_closed_form_of_their_gaussians():
    """Correlated, and one turned against the other, so that the root of the product is no product of roots."""
    angle = torch.tensor(0.7, dtype=torch.float64)
    turn = torch.stack([torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])])
    scales = [torch.tensor([2.0, 0.5], dtype=torch.float64), torch.tensor([1.0, 3.0], dtype=torch.float64)]
    covariances = [scales[0].square().diag(), turn @ scales[1].square().diag() @ turn.T]
    # For 2x2 matrices, tr sqrt(M) = sqrt(tr M + 2 sqrt(det M)).
    product = covariances[0] @ covariances[1]
    root = (product.trace() + 2 * product.det().sqrt()).sqrt()
    expected = 5 + covariances[0].trace() + covariances[1].trace() - 2 * root
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(2, 200_000, 2, generator=generator, dtype=torch.float64)
    real, generated = noise[0] * scales[0], noise[1] * scales[1] @ turn.T + torch.tensor([2.0, -1.0])
    distance = frechet_distance(statistics_of(real, 50_000), statistics_of(generated, 50_000))
    assert distance == pytest.approx(float(expected), rel=0.01)


def test_distance_equals_torchmetrics():
    fid = pytest.importorskip("torchmetrics.image.fid")
    real, generated = draw(200, 16), draw(300, 16, seed=1)
    network = torch.nn.Identity()
    network.num_features = 16
    metric = fid.FrechetInceptionDistance(feature=network).set_dtype(torch.float64)
    metric.update(real, real=True)
    metric.update(generated, real=False)
    distance = frechet_distance(statistics_of(real), statistics_of(generated))
    assert distance == pytest.approx(float(metric.compute()), rel=1e-6)


def test_distance_is_symmetric_and_zero_for_the_same_set():
    real, generated = statistics_of(draw(60)), statistics_of(draw(60, seed=1))
    assert frechet_distance(real, real) == pytest.approx(0, abs=1e-8)
    assert frechet_distance(real, generated) == pytest.approx(frechet_distance(generated, real), rel=1e-9)


def test_distance_of_fewer_samples_than_features_is_finite():
    assert 0 < frechet_distance(statistics_of(draw(4, 32)), statistics_of(draw(4, 32, seed=1))) < float("inf")


@pytest.mark.parametrize(
    "features, message",
    [
        (torch.zeros(3, 4), "must have the same number of features"),
        (torch.zeros(3, 5, 1), r"must have shape \(N, D\)"),
        (torch.full((3, 5), float("nan")), "must be finite, got 3 of 3"),
        (torch.zeros(0, 5), "must hold at least 1 samples, got 0"),
    ],
)
def test_features_that_cannot_be_used_are_refused(features, message):
    with pytest.raises(ValueError, match=message):
        FeatureStatistics(5).update(features)


def test_too_few_samples_and_other_networks_are_refused():
    with pytest.raises(ValueError, match="`generated` must hold at least 2 samples, got 1"):
        frechet_distance(statistics_of(draw(5)), statistics_of(draw(1)))
    with pytest.raises(ValueError, match="got 5 and 6"):
        frechet_distance(statistics_of(draw(9)), statistics_of(draw(9, 6)))
