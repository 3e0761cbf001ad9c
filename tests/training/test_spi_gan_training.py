# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""What only a trained SPI-GAN shows, on data whose path is known: constant signals of 8 values, +1 or -1."""

import pytest
import torch

from gan_diffusion import MLPDiscriminator, SPIGANGenerator, SPIGANScheduler
from gan_diffusion.data import Batch
from gan_diffusion.training import SPIGANObjective


POSITIONS = (0.1, 0.4, 0.7, 1.0)


def signals(batch_size: int) -> torch.Tensor:
    return (torch.randint(2, (batch_size, 1)) * 2.0 - 1.0).repeat(1, 8)


def finest_band(samples: torch.Tensor) -> float:
    """Standard deviation of the finest Haar coefficients: the noise, since the signal has none."""
    return float(((samples[:, 1::2] - samples[:, 0::2]) / 2**0.5).std())


@pytest.fixture(scope="module")
def trained() -> SPIGANObjective:
    torch.manual_seed(0)
    generator = SPIGANGenerator(
        data_dim=8, w_dim=32, mapping_dim=32, num_mapping_layers=2, num_ode_steps=2, mapping_lr_multiplier=5.0,
        hidden_dim=64, num_layers=2,
    )  # fmt: skip
    discriminator = MLPDiscriminator(
        data_dim=8, hidden_dim=64, num_layers=2, num_octaves=0, pairs=False, timestep_scale=1000.0
    )
    objective = SPIGANObjective(generator, discriminator, SPIGANScheduler(), r1_gamma=0.1, r1_interval=4)
    optimizers = {
        name: torch.optim.Adam(objective.networks[name].parameters(), 2e-3, (0.0, 0.9), fused=True)
        for name in objective.players
    }
    for step in range(800):
        batch = Batch(signals(128))
        for half in objective.half_steps:
            if half.is_due(step):
                half.loss(batch).loss.backward()
                optimizers[half.player].step()
                optimizers[half.player].zero_grad()
    return objective


def test_noise_of_the_samples_follows_the_position(trained):
    torch.manual_seed(1)
    noise = torch.randn(4000, 8)
    with torch.no_grad():
        fake = [finest_band(trained.generator(noise, u).sample) for u in POSITIONS]
    real = [finest_band(trained.scheduler.interpolate(signals(4000), u)) for u in POSITIONS]
    assert fake == sorted(fake, reverse=True)
    for u, generated, expected in zip(POSITIONS, fake, real, strict=True):
        assert generated == pytest.approx(expected, abs=0.25), f"u = {u}"


def test_position_changes_the_sample_of_one_noise(trained):
    noise = torch.randn(100, 8)
    with torch.no_grad():
        change = (trained.generator(noise, 0.2).sample - trained.generator(noise, 1.0).sample).norm(dim=1)
    assert change.median() > 0.5


def test_samples_are_of_both_kinds(trained):
    with torch.no_grad():
        means = trained.generator(torch.randn(1000, 8)).sample.mean(dim=1)
    assert 0.2 < (means > 0).float().mean() < 0.8
    assert ((means.abs() - 1).abs() < 0.5).float().mean() > 0.8


def test_discriminator_is_sensitive_to_the_position(trained):
    point = trained.scheduler.interpolate(signals(200), 0.5)
    with torch.no_grad():
        logits = torch.stack([trained.discriminator(point, u).logits for u in POSITIONS])
    assert logits.std(dim=0).mean() > 0.1
    # A point half way to the noise is no clean sample.
    assert logits[-1].mean() < logits[1].mean() - 0.3
