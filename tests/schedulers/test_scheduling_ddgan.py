# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch
from golden_utils import assert_matches, load_golden

from gan_diffusion import DDGANScheduler
from gan_diffusion.kernels.noising import noise


TAGS = ["vp_T1", "vp_T2", "vp_T4", "vp_T8", "geo_T2", "geo_T4"]
DIFFUSION_TAGS = ["vp_T2", "vp_T4", "geo_T4"]


def scheduler_for(tag: str) -> DDGANScheduler:
    steps = int(tag.split("_T")[1])
    if tag.startswith("geo"):
        return DDGANScheduler(steps, beta_schedule="geometric", beta_min=3e-5, beta_max=0.999)
    return DDGANScheduler(steps)


@pytest.mark.parametrize("tag", TAGS)
def test_tables_equal_the_reference(tag):
    golden = {
        key.split(".", 1)[1]: value for key, value in load_golden("ddgan/schedules").items() if key.startswith(tag)
    }
    scheduler = scheduler_for(tag)
    cumprod = scheduler.alphas_cumprod
    tables = {
        "fwd.betas": scheduler.betas,
        "fwd.sigmas": scheduler.step_noise_coefs,
        "fwd.a_s": scheduler.step_signal_coefs,
        "fwd.a_s_cum": scheduler.signal_coefs,
        "fwd.sigmas_cum": scheduler.noise_coefs,
        "post.betas": scheduler.betas[1:],
        "post.alphas": 1 - scheduler.betas[1:],
        "post.alphas_cumprod": cumprod,
        "post.alphas_cumprod_prev": torch.cat([torch.ones(1), cumprod[:-1]]),
        "post.posterior_variance": scheduler.posterior_variance,
        "post.posterior_mean_coef1": scheduler.posterior_coef_x_0,
        "post.posterior_mean_coef2": scheduler.posterior_coef_x_tp1,
        "post.posterior_log_variance_clipped": scheduler.posterior_variance.clamp(min=1e-20).log(),
        "post.sqrt_alphas_cumprod": cumprod.sqrt(),
        "post.sqrt_recip_alphas_cumprod": cumprod.rsqrt(),
        "post.sqrt_recipm1_alphas_cumprod": (1 / cumprod - 1).sqrt(),
    }
    assert set(tables) == set(golden) - {"time_schedule", "variance_f64", "alpha_bar_f64"}
    for name, table in tables.items():
        assert table.dtype == torch.float32, name
        # The reference's square root is that of PyTorch, which is not correctly rounded on every CPU.
        rounding = 2 * torch.finfo(torch.float32).eps
        torch.testing.assert_close(
            table, golden[name], rtol=rounding, atol=0, msg=lambda text, name=name: f"{name}: {text}"
        )
    assert scheduler.noise_coefs[0] == 0 and scheduler.signal_coefs[0] == 1
    assert scheduler.posterior_std[0] == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("tag", DIFFUSION_TAGS)
def test_diffusion_equals_the_reference(tag, dtype):
    golden = {key[len(tag) + 1 :]: v for key, v in load_golden("ddgan/diffusion").items() if key.startswith(tag + ".")}
    scheduler = scheduler_for(tag)
    suffix = "f64" if dtype == torch.float64 else "f32"
    tolerance = {} if dtype == torch.float64 else {"rtol": 3e-7, "atol": 1e-7}
    inputs = {name: golden[name].to(dtype) for name in ("x0", "noise_t", "noise_tp1", "noise_post", "x0_pred")}
    t = golden["t"]

    x_t, x_tp1 = scheduler.add_noise_pair(inputs["x0"], t, noise=(inputs["noise_t"], inputs["noise_tp1"]))
    assert x_t.dtype == x_tp1.dtype == dtype
    assert_matches(x_t, golden[f"x_t.{suffix}"], **tolerance, name="x_t")
    assert_matches(x_tp1, golden[f"x_tp1.{suffix}"], **tolerance, name="x_tp1")

    step = scheduler.step(inputs["x0_pred"], t, x_tp1, variance_noise=inputs["noise_post"])
    assert_matches(step.prev_sample, golden[f"posterior_sample.{suffix}"], **tolerance, name="posterior_sample")
    assert step.pred_original_sample is inputs["x0_pred"]


@pytest.mark.parametrize("tag", DIFFUSION_TAGS)
def test_marginal_equals_the_reference_at_every_state(tag):
    golden = load_golden("ddgan/diffusion")
    scheduler = scheduler_for(tag)
    x0, n = golden[f"{tag}.x0"][:1].double(), golden[f"{tag}.noise_t"][:1].double()
    expected = golden[f"{tag}.q_sample_all.f64"]
    assert_matches(noise(x0, scheduler.signal_coefs, scheduler.noise_coefs, 0, noise=n)[0], expected[0], name="x_0")
    for t in range(len(scheduler)):
        assert_matches(scheduler.add_noise(x0, n, t)[0], expected[t + 1], name=f"x_{t + 1}")


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 8, 50])
def test_posterior_is_the_gaussian_one(steps):
    """Bayes' rule in float64: q(x_t | x_{t+1}, x_0) from the two forward Gaussians."""
    scheduler = DDGANScheduler(steps)
    signal, beta = scheduler.signal_coefs.double(), scheduler.betas.double()[1:]
    prior_variance = 1 - signal[:-1] ** 2
    precision = 1 / prior_variance[1:] + (1 - beta[1:]) / beta[1:]
    variance = 1 / precision
    torch.testing.assert_close(scheduler.posterior_variance[1:].double(), variance, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(
        scheduler.posterior_coef_x_0[1:].double(), variance * signal[1:-1] / prior_variance[1:], rtol=1e-4, atol=1e-6
    )
    torch.testing.assert_close(
        scheduler.posterior_coef_x_tp1[1:].double(), variance * (1 - beta[1:]).sqrt() / beta[1:], rtol=1e-4, atol=1e-6
    )
    torch.testing.assert_close(scheduler.posterior_coef_x_0[0], torch.tensor(1.0), rtol=1e-5, atol=0)
    assert scheduler.posterior_coef_x_tp1[0] == 0


def test_pair_agrees_with_the_marginal_in_distribution():
    scheduler = DDGANScheduler(4)
    x0 = torch.full((200_000, 1), 0.7)
    generator = torch.Generator().manual_seed(0)
    for t in range(4):
        x_t, x_tp1 = scheduler.add_noise_pair(x0, t, generator=generator)
        marginal = scheduler.add_noise(x0, None, t, generator=generator)
        assert abs(x_tp1.mean() - marginal.mean()) < 0.01
        assert abs(x_tp1.std() - marginal.std()) < 0.01
        if t == 0:
            assert torch.equal(x_t, x0)


def test_true_x0_walks_back_to_the_data():
    scheduler = DDGANScheduler(4)
    x0 = torch.randn(3, 5, generator=torch.Generator().manual_seed(1))
    sample = torch.randn(3, 5, generator=torch.Generator().manual_seed(2))
    for t in scheduler.timesteps:
        sample = scheduler.step(x0, t, sample).prev_sample
    torch.testing.assert_close(sample, x0, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shape", [(4, 3, 8, 8), (4, 2), (4,), (4, 1, 5, 3, 2)])
def test_any_trailing_shape_and_per_sample_timesteps(shape):
    scheduler = DDGANScheduler(4)
    x0, n = torch.randn(shape), torch.randn(shape)
    t = torch.tensor([0, 3, 1, 2])
    together = scheduler.add_noise(x0, n, t)
    for b in range(4):
        one = scheduler.add_noise(x0[b : b + 1], n[b : b + 1], int(t[b]))
        torch.testing.assert_close(together[b : b + 1], one, rtol=0, atol=0)


def test_gradient_reaches_the_prediction():
    scheduler = DDGANScheduler(4)
    prediction = torch.randn(4, 2, requires_grad=True)
    t = torch.tensor([0, 1, 2, 3])
    scheduler.step(prediction, t, torch.randn(4, 2)).prev_sample.sum().backward()
    torch.testing.assert_close(prediction.grad, scheduler.posterior_coef_x_0[t, None].expand(4, 2))


def test_generator_makes_steps_reproducible():
    scheduler = DDGANScheduler(4)
    x = torch.randn(2, 3, 4, 4)
    draws = [scheduler.step(x, 2, x, generator=torch.Generator().manual_seed(s)).prev_sample for s in (7, 7, 8)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    single = [scheduler.step(x[:1], 2, x[:1], generator=torch.Generator().manual_seed(s)).prev_sample for s in (7, 8)]
    listed = scheduler.step(x[:1].repeat(2, 1, 1, 1), 2, x[:1].repeat(2, 1, 1, 1), generator=[
        torch.Generator().manual_seed(7), torch.Generator().manual_seed(8)
    ]).prev_sample  # fmt: skip
    assert torch.equal(listed, torch.cat(single))


def test_step_returns_a_tuple_on_request():
    scheduler = DDGANScheduler(4)
    x = torch.randn(2, 2)
    prev_sample, prediction = scheduler.step(x, 0, x, return_dict=False)
    assert torch.equal(prev_sample, scheduler.step(x, 0, x).prev_sample) and prediction is x


def test_save_and_load(tmp_path):
    scheduler = DDGANScheduler(2, beta_schedule="geometric", beta_min=1e-4, beta_max=0.9)
    scheduler.save_pretrained(tmp_path)
    loaded = DDGANScheduler.from_pretrained(tmp_path)
    arguments = ("num_train_timesteps", "beta_schedule", "beta_min", "beta_max", "trained_betas")
    assert all(loaded.config[name] == scheduler.config[name] for name in arguments)
    assert torch.equal(loaded.signal_coefs, scheduler.signal_coefs)


def test_trained_betas_replace_the_schedule():
    scheduler = DDGANScheduler(2, trained_betas=[0.5, 0.9])
    torch.testing.assert_close(scheduler.signal_coefs, torch.tensor([1.0, math.sqrt(0.5), math.sqrt(0.05)]))


def test_set_timesteps_and_length():
    scheduler = DDGANScheduler(3)
    assert len(scheduler) == 3 and scheduler.init_noise_sigma == 1.0
    scheduler.set_timesteps()
    assert scheduler.timesteps.tolist() == [2, 1, 0] and scheduler.num_inference_steps == 3
    x = torch.randn(2, 2)
    assert scheduler.scale_model_input(x, 1) is x
    with pytest.raises(ValueError, match="`num_inference_steps` must be 3"):
        scheduler.set_timesteps(10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_train_timesteps": 0}, "num_train_timesteps"),
        ({"beta_schedule": "cosine"}, "beta_schedule"),
        ({"beta_schedule": "geometric"}, "beta_max"),
        ({"beta_min": 30.0}, "beta_min"),
        ({"trained_betas": [0.5]}, "trained_betas"),
        ({"num_train_timesteps": 1, "trained_betas": [1.5]}, "trained_betas"),
    ],
)
def test_bad_configuration_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        DDGANScheduler(**arguments)


def test_bad_input_is_refused():
    scheduler = DDGANScheduler(4)
    x = torch.randn(2, 3)
    for t in (4, -1, torch.tensor([0, 4])):
        with pytest.raises(ValueError, match="timesteps"):
            scheduler.add_noise(x, None, t)
    with pytest.raises(ValueError, match="timesteps"):
        scheduler.add_noise(x, None, torch.tensor([0, 1, 2]))
    with pytest.raises(ValueError, match="noise"):
        scheduler.add_noise(x, torch.randn(2, 4), 0)
