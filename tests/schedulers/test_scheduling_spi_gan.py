# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch

from gan_diffusion import SPIGANScheduler


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_coefficients_of_the_noisy_end():
    scheduler = SPIGANScheduler()
    assert abs(scheduler.signal_coef - 0.006572) < 5e-7
    assert abs(scheduler.noise_coef - 0.999978) < 5e-7
    assert math.isclose(scheduler.signal_coef**2 + scheduler.noise_coef**2, 1.0, rel_tol=1e-15)
    # The variance-preserving process integrated numerically: log m = -1/2 of the integral of beta(t).
    other = SPIGANScheduler(beta_min=0.3, beta_max=5.0)
    t = torch.linspace(0, 1, 1001, dtype=torch.float64)
    log_signal = -0.5 * torch.trapezoid(0.3 + t * (5.0 - 0.3), t).item()
    assert math.isclose(other.signal_coef, math.exp(log_signal), rel_tol=1e-12)


@pytest.mark.parametrize("shape", [(4, 3, 8, 8), (4, 2), (4,), (4, 1, 5, 3, 2)])
def test_ends_are_exact(shape):
    scheduler = SPIGANScheduler()
    x_0, n = torch.randn((2, *shape), generator=seeded())
    data, x_T = scheduler.interpolate(x_0, 1.0, noise=n, return_terminal=True)
    assert torch.equal(data, x_0)
    noisy, again = scheduler.interpolate(x_0, 0.0, noise=n, return_terminal=True)
    assert torch.equal(noisy, x_T) and torch.equal(again, x_T)
    assert torch.equal(scheduler.diffuse(x_0, n), x_T)
    torch.testing.assert_close(x_T, scheduler.signal_coef * x_0 + scheduler.noise_coef * n)


def test_path_is_straight():
    scheduler = SPIGANScheduler()
    x_0, n = torch.randn(2, 3, 5, generator=seeded(), dtype=torch.float64)
    points = [scheduler.interpolate(x_0, u / 8, noise=n) for u in range(9)]
    x_T = points[0]
    for start, end in zip(points[:-1], points[1:], strict=True):
        torch.testing.assert_close(8 * (end - start), x_0 - x_T, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("u", [0.1, 0.5, 0.9])
def test_noise_level(u):
    noisy = SPIGANScheduler().interpolate(torch.zeros(100_000, 1), u, generator=seeded())
    assert abs(noisy.std() / (1 - u) - 1) < 0.01
    assert abs(noisy.mean()) < 0.01


@pytest.mark.parametrize("shape", [(3, 2, 4, 4), (3, 2)])
def test_positions_belong_to_samples(shape):
    scheduler = SPIGANScheduler()
    x_0, n = torch.randn((2, *shape), generator=seeded())
    u = torch.tensor([0.2, 1.0, 0.7])
    together = scheduler.interpolate(x_0, u, noise=n)
    for b in range(3):
        one = scheduler.interpolate(x_0[b : b + 1], u[b].item(), noise=n[b : b + 1])
        assert torch.equal(together[b : b + 1], one)
    assert torch.equal(scheduler.add_noise(x_0, n, u), together)


def test_gradient_reaches_the_sample_twice():
    scheduler = SPIGANScheduler()
    x_0 = torch.randn(3, 2, requires_grad=True)
    u = torch.tensor([0.25, 0.5, 1.0])
    sample, x_T = scheduler.interpolate(x_0, u, return_terminal=True)
    (gradient,) = torch.autograd.grad(sample.pow(3).sum() + x_T.sum(), x_0, create_graph=True)
    gain = u + (1 - u) * scheduler.signal_coef
    torch.testing.assert_close(gradient, gain[:, None] * 3 * sample.detach() ** 2 + scheduler.signal_coef)
    (second,) = torch.autograd.grad(gradient.sum(), x_0)
    torch.testing.assert_close(second, gain[:, None] ** 2 * 6 * sample.detach())


def test_generator_makes_noise_reproducible():
    scheduler = SPIGANScheduler()
    x_0 = torch.randn(2, 3, 4, 4)
    first, second, other = (scheduler.diffuse(x_0, generator=seeded(s)) for s in (7, 7, 8))
    assert torch.equal(first, second) and not torch.equal(first, other)
    listed = scheduler.interpolate(x_0, 0.5, generator=[seeded(7), seeded(8)])
    alone = [scheduler.interpolate(x_0[i : i + 1], 0.5, generator=seeded(s)) for i, s in enumerate((7, 8))]
    assert torch.equal(listed, torch.cat(alone))


@pytest.mark.parametrize(
    "u, decibels",
    [(0.0, -43.7), (0.1, -18.6), (0.25, -9.4), (0.5, 0.1), (0.75, 9.6), (0.9, 19.1), (0.99, 39.9), (1.0, math.inf)],
)
def test_snr(u, decibels):
    snr = SPIGANScheduler().snr(u)
    assert snr.dtype == torch.float32 and snr.shape == ()
    assert snr == decibels or abs(snr - decibels) < 0.06


def test_snr_is_what_samples_show():
    scheduler = SPIGANScheduler()
    u = torch.tensor([0.2, 0.6])
    n = torch.randn(2, 100_000, generator=seeded())
    signal = scheduler.interpolate(torch.ones(2, 100_000), u, noise=torch.zeros_like(n))[:, 0]
    noise = scheduler.interpolate(torch.zeros_like(n), u, noise=n).std(dim=1)
    torch.testing.assert_close(scheduler.snr(u), 20 * torch.log10(signal / noise), rtol=0, atol=0.1)


class TestPositions:
    @pytest.mark.parametrize("probability", [0.0, 0.25, 0.5, 1.0])
    def test_frequency_of_clean_samples(self, probability):
        scheduler = SPIGANScheduler(clean_probability=probability)
        u = scheduler.sample_positions(40_000, generator=seeded())
        assert u.shape == (40_000,) and u.dtype == torch.float32
        assert u.min() > 0 and u.max() <= 1
        assert abs((u == 1).float().mean() - probability) < 0.01

    @pytest.mark.parametrize("alpha, beta", [(1.0, 1.0), (2.0, 5.0), (0.5, 0.5)])
    def test_law_of_the_rest(self, alpha, beta):
        scheduler = SPIGANScheduler(clean_probability=0.0, position_alpha=alpha, position_beta=beta)
        u = scheduler.sample_positions(100_000, generator=seeded())
        law = torch.distributions.Beta(alpha, beta)
        assert abs(u.mean() - law.mean) < 0.005
        assert abs(u.var() - law.variance) < 0.003

    def test_never_zero(self):
        """A law that puts nearly all mass so near to 0 that float32 could not tell."""
        scheduler = SPIGANScheduler(clean_probability=0.0, position_alpha=0.01)
        u = scheduler.sample_positions(20_000, generator=seeded())
        assert (u < 1e-6).float().mean() > 0.5 and u.min() > 0

    @pytest.mark.parametrize("options", [{}, {"position_alpha": 2.0}])
    def test_generator(self, options):
        scheduler = SPIGANScheduler(**options)
        first, second, other = (scheduler.sample_positions(16, generator=seeded(s)) for s in (3, 3, 4))
        assert torch.equal(first, second) and not torch.equal(first, other)

    def test_shared_by_the_batch(self):
        scheduler = SPIGANScheduler(clean_probability=0.0, shared_positions=True)
        generator = seeded()
        first, second = (scheduler.sample_positions(5, generator=generator) for _ in range(2))
        assert first.shape == (5,) and (first == first[0]).all() and not torch.equal(first, second)

    def test_usable_as_positions_everywhere(self):
        scheduler = SPIGANScheduler()
        u = scheduler.sample_positions(6, device="cpu")
        clean = scheduler.interpolate(torch.ones(6, 2), u)[u == 1]
        assert torch.equal(clean, torch.ones_like(clean))


def test_timesteps_and_length():
    scheduler = SPIGANScheduler()
    assert len(scheduler) == 1 and scheduler.init_noise_sigma == 1.0
    assert scheduler.timesteps.tolist() == [1.0]
    for number in (None, 1):
        scheduler.set_timesteps(number)
        assert scheduler.timesteps.tolist() == [1.0] and scheduler.num_inference_steps == 1
    x = torch.randn(2, 2)
    assert scheduler.scale_model_input(x, 1) is x
    for number in (0, 2, 50):
        with pytest.raises(ValueError, match=f"`num_inference_steps` must be 1, got {number}"):
            scheduler.set_timesteps(number)


def test_save_and_load(tmp_path):
    scheduler = SPIGANScheduler(0.2, 10.0, 0.25, 2.0, 3.0, True)
    scheduler.save_pretrained(tmp_path)
    loaded = SPIGANScheduler.from_pretrained(tmp_path)
    options = [name for name in scheduler.config if not name.startswith("_")]
    assert len(options) == 6
    assert all(loaded.config[name] == scheduler.config[name] for name in options)
    assert (loaded.signal_coef, loaded.noise_coef) == (scheduler.signal_coef, scheduler.noise_coef)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"beta_min": 30.0}, "beta_min"),
        ({"beta_min": 0.0}, "beta_min"),
        ({"beta_max": math.inf}, "beta_max"),
        ({"clean_probability": 1.5}, "`clean_probability` must lie in .* got 1.5"),
        ({"clean_probability": math.nan}, "clean_probability"),
        ({"position_alpha": 0.0}, "position_alpha"),
        ({"position_beta": -1.0}, "position_beta"),
    ],
)
def test_bad_configuration_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SPIGANScheduler(**arguments)


def test_bad_input_is_refused():
    scheduler = SPIGANScheduler()
    x = torch.randn(2, 3)
    for u in (-0.1, 1.1, torch.tensor([0.5, math.nan]), torch.tensor([0.1, 0.2, 0.3])):
        with pytest.raises(ValueError, match="positions"):
            scheduler.interpolate(x, u)
    with pytest.raises(ValueError, match="noise"):
        scheduler.diffuse(x, torch.randn(2, 4))
    with pytest.raises(ValueError, match="`batch_size` must be an integer of at least 1, got 0"):
        scheduler.sample_positions(0)
