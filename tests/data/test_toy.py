# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from gan_diffusion.data.sources import GaussianGrid25
from gan_diffusion.data.toy import GRID_STD, gaussian_grid_centers, sample_gaussian_grid


def test_the_grid_has_25_centres_40_standard_deviations_apart():
    centers = gaussian_grid_centers()
    assert centers.shape == (25, 2) and centers.dtype == torch.float32
    assert torch.equal(centers[12], torch.zeros(2))
    distances = torch.pdist(centers.double())
    torch.testing.assert_close(distances.min() / GRID_STD, torch.tensor(40.0, dtype=torch.float64), rtol=1e-6, atol=0)
    torch.testing.assert_close(centers[24], -centers[0])


def test_samples_have_unit_variance_and_the_stated_modes():
    points, modes = sample_gaussian_grid(50_000, torch.Generator().manual_seed(0))
    assert points.shape == (50_000, 2) and points.dtype == torch.float32
    assert points.mean(0).abs().max() < 0.02
    assert (points.std(0) - 1).abs().max() < 0.01
    deviations = (points - gaussian_grid_centers()[modes]) / GRID_STD
    assert (deviations.std(0) - 1).abs().max() < 0.02
    assert (torch.bincount(modes, minlength=25) / 50_000 - 1 / 25).abs().max() < 0.005


def test_dataset_depends_on_the_seed_alone():
    global_state = torch.random.get_rng_state()
    first, again, other = GaussianGrid25(100, seed=3), GaussianGrid25(100, seed=3), GaussianGrid25(100, seed=4)
    assert torch.equal(torch.random.get_rng_state(), global_state)
    assert torch.equal(first.samples, again.samples)
    assert not torch.equal(first.samples, other.samples)


def test_dataset_gives_batches_of_vectors_with_their_modes():
    dataset = GaussianGrid25(1000)
    assert len(dataset) == 1000 and dataset.num_classes == 25
    batch = dataset.__getitems__([5, 2])
    assert torch.equal(batch["samples"], dataset.samples[[5, 2]])
    nearest = torch.cdist(batch["samples"], gaussian_grid_centers()).argmin(1)
    assert torch.equal(batch["class_labels"], nearest)


def test_num_classes_does_not_depend_on_the_points_drawn():
    assert GaussianGrid25(1).num_classes == 25


def test_empty_dataset_is_refused():
    with pytest.raises(ValueError, match="length.*0"):
        GaussianGrid25(0)
