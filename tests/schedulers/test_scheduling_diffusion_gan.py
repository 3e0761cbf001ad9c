# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest
import torch
from golden_utils import assert_matches, load_golden, with_reference_tables

from gan_diffusion import DiffusionGANScheduler


def fixed(num_timesteps: int, **config) -> DiffusionGANScheduler:
    return DiffusionGANScheduler(min_timesteps=num_timesteps, max_timesteps=num_timesteps, **config)


def golden_schedules() -> list[str]:
    return sorted({key.rsplit(".", 1)[0] for key in load_golden("diffusion_gan/schedules")})


@pytest.mark.parametrize("name", golden_schedules())
def test_tables_equal_the_reference(name):
    golden = {
        key.rsplit(".", 1)[1]: value
        for key, value in load_golden("diffusion_gan/schedules").items()
        if key.startswith(name + ".")
    }
    schedule, length = name.split(".T")
    schedule, _, end = schedule.partition("_0")
    options = {"beta_end": float(f"0{end}")} if end else {}
    scheduler = fixed(int(length), beta_schedule=schedule, **options)

    assert torch.equal(scheduler.betas, golden["betas_f64"].float())
    if "alphas_bar_f64" in golden:
        # A float32 product of up to a thousand factors, each rounded to 6e-8.
        rounding = int(length) * 6e-8
        torch.testing.assert_close(
            scheduler.alphas_cumprod.double(), golden["alphas_bar_f64"], rtol=rounding, atol=6e-8
        )
    if "sqrt_alphas_bar_f32" in golden:
        # The reference's square root is that of PyTorch, which is not correctly rounded on every CPU.
        rounding = 2 * torch.finfo(torch.float32).eps
        noise_coefs = golden["sqrt_one_minus_alphas_bar_f32"] * 0.05
        torch.testing.assert_close(scheduler.signal_coefs, golden["sqrt_alphas_bar_f32"], rtol=rounding, atol=0)
        torch.testing.assert_close(scheduler.noise_coefs, noise_coefs, rtol=rounding, atol=0)
    assert scheduler.signal_coefs[0] == 1 and scheduler.noise_coefs[0] == 0


@pytest.mark.parametrize("precision", ["f32", "f64"])
def test_diffused_images_equal_the_reference(precision):
    golden = {k.removeprefix("pixel."): v for k, v in load_golden("diffusion_gan/q_sample").items() if "pixel" in k}
    dtype = torch.float32 if precision == "f32" else torch.float64
    scheduler = with_reference_tables(
        fixed(int(golden["T"]), noise_std=float(golden["noise_std"])), f"linear_0.02.T{int(golden['T'])}"
    )
    noisy = scheduler.add_noise(golden["x0"].to(dtype), golden["eps"].to(dtype), golden["t"])
    tolerance = 1e-6 if precision == "f32" else 1e-9
    assert_matches(noisy, golden[f"x_t_{precision}"], rtol=tolerance, atol=tolerance)
    assert torch.equal(noisy[0], golden["x0"][0].to(dtype))  # t = 0


def test_channels_can_have_timesteps_of_their_own():
    golden = {
        k.removeprefix("feature."): v for k, v in load_golden("diffusion_gan/q_sample").items() if "feature" in k
    }
    scheduler = with_reference_tables(
        fixed(int(golden["T"]), beta_end=0.01, noise_std=float(golden["noise_std"])),
        f"linear_0.01.T{int(golden['T'])}",
    )
    noisy = scheduler.add_noise(golden["x0"].flatten(0, 1), golden["eps"].flatten(0, 1), golden["t"])
    assert_matches(noisy.reshape(golden["x0"].shape), golden["x_t_f64"], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("distribution", ["priority", "uniform"])
@pytest.mark.parametrize("length", [10, 100, 500, 1000])
def test_timesteps_follow_the_reference(distribution, length, monkeypatch):
    golden = load_golden("diffusion_gan/t_sampling")
    golden = {k.split(".", 2)[2]: v for k, v in golden.items() if k.startswith(f"{distribution}.T{length}.")}
    name = "priority_official" if distribution == "priority" else distribution
    scheduler = fixed(length, timestep_distribution=name, seed=0)

    np.testing.assert_allclose(scheduler.timestep_probabilities(), golden["p_noisy"][1:].numpy(), rtol=1e-12)
    assert int((scheduler.timestep_list[32:] == 0).sum()) == golden["n_zero_fixed"]
    assert torch.equal(scheduler.timestep_list, golden["t_epl_npseed0"])

    entries = torch.from_numpy(np.random.RandomState(1).randint(0, 64, 16))
    monkeypatch.setattr(torch, "randint", lambda *args, **kwargs: entries)
    assert torch.equal(scheduler.sample_timesteps(16)[:, None], golden["t_batch16_npseed1"])


def test_the_share_of_clean_entries_follows_p_for_features():
    golden = {k.split(".", 1)[1]: v for k, v in load_golden("diffusion_gan/t_sampling").items() if "projected." in k}
    for p, length, num_noisy in zip(golden["p_grid"], golden["T"], golden["n_noisy"], strict=True):
        scheduler = DiffusionGANScheduler(min_timesteps=5, max_timesteps=500, clean_share=None, initial_p=float(p))
        assert len(scheduler) == length
        assert int((scheduler.timestep_list > 0).sum()) == num_noisy


def test_length_follows_p():
    golden = {k.split(".", 1)[1]: v for k, v in load_golden("diffusion_gan/t_sampling").items() if "pixel." in k}
    for p, length in zip(golden["p_grid"], golden["T"], strict=True):
        assert len(DiffusionGANScheduler(initial_p=float(p))) == length


@pytest.mark.parametrize("run", ["A", "B"])
def test_adaptation_equals_the_reference(run):
    golden = {k.split(".", 1)[1]: v for k, v in load_golden("diffusion_gan/adaptive").items() if k.startswith(run)}
    p0, target, batch, interval, kimg, shortest, longest = golden["config"].tolist()
    scheduler = DiffusionGANScheduler(
        min_timesteps=int(shortest),
        max_timesteps=int(longest),
        discriminator_target=target,
        adaptation_kimg=kimg,
        initial_p=p0,
    )
    for signs, p, length in zip(golden["signs"], golden["p"], golden["T"], strict=True):
        scheduler.observe(3.0 * signs.float()[:, None], new_images=False)
        scheduler.update(num_images=int(batch * interval))
        assert scheduler.p == pytest.approx(p.item(), abs=1e-12)
        assert len(scheduler) == length
        assert scheduler.timestep_list.max() <= length and len(scheduler.betas) == length


def test_updates_come_at_their_interval():
    scheduler = DiffusionGANScheduler(update_interval=3)
    updated = []
    for _ in range(7):
        scheduler.observe(torch.ones(4, 1))
        updated.append(scheduler.adapt())
    assert updated == [False, False, True] * 2 + [False]
    assert scheduler.p == pytest.approx(24 / 100_000)


def test_mean_sign_counts_zeros_and_images_count_once():
    scheduler = DiffusionGANScheduler(discriminator_target=0.0, adaptation_kimg=0.1)
    scheduler.observe(torch.tensor([[2.0], [0.0], [-1.0], [0.5]]))
    scheduler.observe(torch.tensor([[1.0]]), new_images=False)
    scheduler.update()  # mean sign 2 / 5 > 0: 4 images of 100
    assert scheduler.p == pytest.approx(0.04)
    scheduler.update(discriminator_sign_mean=0.0, num_images=10)
    assert scheduler.p == pytest.approx(0.04)  # on target
    scheduler.update(discriminator_sign_mean=-0.1, num_images=10)
    assert scheduler.p == 0.0  # not below 0


def test_threshold_for_other_losses():
    scheduler = DiffusionGANScheduler(decision_threshold=0.5, discriminator_target=0.0, adaptation_kimg=1)
    scheduler.observe(torch.tensor([0.4, 0.45, 0.2]))
    scheduler.update()
    assert scheduler.p == 0.0
    scheduler.observe(torch.tensor([0.6, 0.45, 0.9]))
    scheduler.update()
    assert scheduler.p > 0.0


def test_a_statistic_that_is_no_number_is_refused():
    scheduler = DiffusionGANScheduler(initial_p=0.5)
    before = scheduler.timestep_list.clone()
    with pytest.raises(ValueError, match="must be a number"):
        scheduler.update(discriminator_sign_mean=math.nan, num_images=4)
    assert scheduler.p == 0.5 and torch.equal(scheduler.timestep_list, before)
    scheduler.observe(torch.tensor([1.0, math.nan]))
    with pytest.raises(ValueError, match="not numbers any more"):
        scheduler.update()
    assert scheduler.p == 0.5 and torch.equal(scheduler.timestep_list, before)
    with pytest.raises(ValueError, match="observe"):
        DiffusionGANScheduler().update()


def test_state_resumes_exactly():
    def train(scheduler, steps, generator):
        drawn = []
        for _ in range(steps):
            scheduler.observe(torch.randn(8, 1, generator=generator) + 1)
            drawn.append(scheduler.sample_timesteps(8, generator=generator))
            scheduler.adapt()
        return torch.stack(drawn)

    config = {"adaptation_kimg": 0.5, "discriminator_target": 0.3}
    whole, generator = DiffusionGANScheduler(**config), torch.Generator().manual_seed(0)
    train(whole, 10, generator)
    state, random_state = whole.state_dict(), generator.get_state()
    expected = train(whole, 20, generator)

    assert not any(isinstance(value, torch.Tensor) for value in state.values())  # no random state, no list
    resumed, generator = DiffusionGANScheduler(**config), torch.Generator()
    generator.set_state(random_state)
    resumed.load_state_dict(state)
    assert torch.equal(train(resumed, 20, generator), expected)
    assert resumed.p == whole.p and len(resumed) == len(whole)
    assert torch.equal(resumed.timestep_list, whole.timestep_list)
    assert torch.equal(resumed.signal_coefs, whole.signal_coefs)


def test_state_is_plain_data(tmp_path):
    scheduler = DiffusionGANScheduler()
    torch.save(scheduler.state_dict(), tmp_path / "state.pt")
    DiffusionGANScheduler().load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    with pytest.raises(ValueError, match="p in .0, 1."):
        scheduler.load_state_dict(scheduler.state_dict() | {"p": 1.5})


def test_drawn_timesteps_come_evenly_from_the_list():
    scheduler = fixed(5, timestep_distribution="uniform")
    generator = torch.Generator().manual_seed(0)
    drawn = scheduler.sample_timesteps(64_000, generator=generator)
    expected = torch.bincount(scheduler.timestep_list, minlength=6) * 1000.0
    counts = torch.bincount(drawn, minlength=6)
    chi_square = ((counts - expected) ** 2 / expected)[expected > 0].sum()
    assert chi_square < 20.5  # 0.1 % for five degrees of freedom
    assert drawn.dtype == torch.int64


def test_paper_priorities_include_the_first_step():
    probabilities = fixed(4, timestep_distribution="priority").timestep_probabilities()
    np.testing.assert_allclose(probabilities, [0.1, 0.2, 0.3, 0.4])
    assert fixed(1, timestep_distribution="priority").timestep_list.max() == 1


def test_nothing_is_diffused_without_noisy_entries():
    scheduler = DiffusionGANScheduler(clean_share=1.0)
    samples = torch.randn(16, 2)
    assert torch.equal(scheduler.add_noise(samples, None, scheduler.sample_timesteps(16)), samples)


def test_gradient_carries_the_signal_coefficient():
    scheduler = fixed(100)
    samples = torch.randn(3, 1, 4, 4, requires_grad=True)
    timesteps = torch.tensor([0, 7, 100])
    scheduler.add_noise(samples, None, timesteps).sum().backward()
    expected = scheduler.signal_coefs[timesteps][:, None, None, None].expand_as(samples)
    torch.testing.assert_close(samples.grad, expected)


def test_config_round_trip(tmp_path):
    scheduler = DiffusionGANScheduler(max_timesteps=500, timestep_distribution="uniform", clean_share=None)
    scheduler.save_pretrained(tmp_path)
    loaded = DiffusionGANScheduler.from_pretrained(tmp_path)
    assert loaded.config.max_timesteps == 500 and loaded.config.clean_share is None
    assert torch.equal(loaded.timestep_list, scheduler.timestep_list)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"beta_schedule": "cubic"}, "beta_schedule"),
        ({"beta_start": 0.5, "beta_end": 0.1}, "beta_start"),
        ({"min_timesteps": 20, "max_timesteps": 10}, "min_timesteps"),
        ({"min_timesteps": 0}, "min_timesteps"),
        (
            {"min_timesteps": 1, "timestep_distribution": "priority_official"},
            "`min_timesteps` must be an integer of at least 2",
        ),
        ({"timestep_distribution": "normal"}, "timestep_distribution"),
        ({"noise_std": -1.0}, "noise_std"),
        ({"clean_share": 1.5}, "clean_share"),
        ({"discriminator_target": 1.0}, "discriminator_target"),
        ({"discriminator_target": -1.0}, "discriminator_target"),
        ({"adaptation_kimg": 0}, "adaptation_kimg"),
        ({"update_interval": 0}, "update_interval"),
        ({"list_length": 0}, "list_length"),
        ({"initial_p": 2.0}, "initial_p"),
    ],
)
def test_bad_config_is_refused(config, message):
    with pytest.raises(ValueError, match=message):
        DiffusionGANScheduler(**config)


def test_bad_input_is_refused():
    scheduler = fixed(10)
    with pytest.raises(ValueError, match="num_inference_steps"):
        scheduler.set_timesteps(4)
    scheduler.set_timesteps(1)
    assert scheduler.timesteps.tolist() == [0]
    with pytest.raises(ValueError, match="timesteps"):
        scheduler.add_noise(torch.zeros(2, 3), None, torch.tensor([3, 11]))
