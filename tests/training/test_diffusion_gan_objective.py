# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch
from golden_stylegan2 import draw, stylegan2_state_dict
from golden_utils import assert_matches, load_golden, load_golden_json, with_reference_tables

from gan_diffusion import DiffusionGANScheduler, LatentMLPGenerator, MLPDiscriminator, StyleGAN2Generator
from gan_diffusion.conversion import (
    convert_stylegan2_discriminator,
    convert_stylegan2_generator,
    export_stylegan2_discriminator,
    stylegan2_discriminator_key_map,
    stylegan2_generator_key_map,
)
from gan_diffusion.data import Batch
from gan_diffusion.models.discriminators.stylegan2 import StyleGAN2Discriminator
from gan_diffusion.training import DiffusionGANDraws, DiffusionGANObjective
from gan_diffusion.training.losses import path_lengths
from gan_diffusion.training.schedules import ema_decay, lazy_adam


class ConstantNoise(torch.nn.Module):
    """The golden losses were computed in evaluation mode with constant layer noise."""

    def __init__(self, generator):
        super().__init__()
        self.generator = generator

    def forward(self, latent, class_labels=None):
        return self.generator(latent, class_labels, noise_mode="const")


@pytest.fixture(scope="module")
def golden():
    return load_golden("diffusion_gan/stylegan2_losses_32")


@pytest.fixture(scope="module")
def networks():
    width = {"channel_base": 512, "channel_max": 16, "num_fp16_res": 0, "conv_clamp": 256}
    generator = convert_stylegan2_generator(
        stylegan2_state_dict(load_golden_json("diffusion_gan/keys_generator_32_small")),
        z_dim=32,
        c_dim=0,
        w_dim=32,
        img_resolution=32,
        img_channels=3,
        mapping_kwargs={"num_layers": 2},
        synthesis_kwargs=width,
    )
    # The residual discriminator has two more tensors per level than the one whose keys are stored.
    shapes = {
        key: value.shape
        for key, value in export_stylegan2_discriminator(
            StyleGAN2Discriminator(channel_base=512, channel_max=16, timestep_embedding="official")
        ).items()
    }
    discriminator = convert_stylegan2_discriminator(
        stylegan2_state_dict(shapes),
        c_dim=0,
        img_resolution=32,
        img_channels=3,
        architecture="resnet",
        epilogue_kwargs={"mbstd_group_size": 4},
        **width,
    )
    return generator.double().eval(), discriminator.double().eval()


@pytest.fixture
def objective(networks):
    generator, discriminator = networks
    generator.zero_grad()
    discriminator.zero_grad()
    scheduler = with_reference_tables(DiffusionGANScheduler(min_timesteps=500, max_timesteps=500), "linear_0.02.T500")
    return DiffusionGANObjective(
        ConstantNoise(generator),
        discriminator,
        scheduler,
        latent_dim=32,
        r1_gamma=0.05,
        r1_interval=1,
        path_length_weight=2.0,
        path_length_interval=1,
    )


@pytest.fixture
def draws(golden):
    return DiffusionGANDraws(
        latent=golden["z"],
        fake_timesteps=golden["t_fake"][:, 0],
        real_timesteps=golden["t_real"][:, 0],
        fake_noise=golden["eps_fake"],
        real_noise=golden["eps_real"],
        projection=golden["pl_noise_unit"],
    )


def assert_gradients_match(network, key_map, golden, name, probes=True):
    """Norms, and inner products with known random tensors, of the gradients of all parameters by reference key."""
    parameters = dict(network.named_parameters())
    ours = {reference: parameters[key] for reference, key in key_map.items() if key in parameters}
    keys = load_golden_json("diffusion_gan/losses_param_order")["G" if name[0] == "G" else "D"]
    assert set(keys) == set(ours)
    gradients = [torch.zeros_like(ours[key]) if ours[key].grad is None else ours[key].grad for key in keys]
    norms = torch.stack([gradient.norm() for gradient in gradients])
    assert_matches(norms, golden[f"{name}.grad_norms"], rtol=1e-9, atol=1e-12, name=f"{name} gradient norms")
    if probes:
        inner = torch.stack(
            [(g * draw(f"probe:{key}", g.shape).double()).sum() for g, key in zip(gradients, keys, strict=True)]
        )
        assert_matches(inner, golden[f"{name}.grad_probes"], rtol=1e-9, atol=1e-12, name=f"{name} gradient probes")


def test_generator_loss_equals_the_reference(objective, networks, golden, draws):
    output = objective.generator_loss(Batch(golden["real"]), draws=draws)
    assert_matches(output.loss, golden["Gmain.loss_f64"], rtol=1e-9)
    output.loss.backward()
    assert all(parameter.grad is None for parameter in networks[1].parameters())
    assert all(parameter.requires_grad for parameter in networks[1].parameters())
    assert_gradients_match(networks[0], stylegan2_generator_key_map(networks[0]), golden, "Gmain")


def test_discriminator_loss_equals_the_reference(objective, networks, golden, draws):
    output = objective.discriminator_loss(Batch(golden["real"]), draws=draws)
    assert_matches(output.loss, golden["Dmain.loss_f64"], rtol=1e-9)
    output.loss.backward()
    assert all(parameter.grad is None for parameter in networks[0].parameters())
    assert_gradients_match(networks[1], stylegan2_discriminator_key_map(networks[1]), golden, "Dmain")
    total, count = objective.scheduler.state_dict()["statistic"]["signs"]
    assert total / count == golden["Dmain.sign_real_mean"]


def test_diffused_images_and_logits_equal_the_reference(objective, networks, golden, draws):
    generator, discriminator = networks
    with torch.no_grad():
        fake = generator(draws.latent, noise_mode="const").sample
        noisy = objective.scheduler.add_noise(fake, draws.fake_noise, draws.fake_timesteps)
        assert_matches(fake, golden["fake_image"], rtol=1e-9, atol=1e-9)
        assert_matches(noisy, golden["fake_noisy"], rtol=1e-9, atol=1e-9)
        assert_matches(discriminator(noisy, draws.fake_timesteps).logits, golden["fake_logits"], rtol=1e-9, atol=1e-9)
        real = objective.scheduler.add_noise(golden["real"], draws.real_noise, draws.real_timesteps)
        assert_matches(discriminator(real, draws.real_timesteps).logits, golden["real_logits"], rtol=1e-9, atol=1e-9)


def test_r1_equals_the_reference(objective, networks, golden, draws):
    output = objective.gradient_penalty_loss(Batch(golden["real"]), draws=draws)
    assert_matches(output.loss, 0.05 / 2 * golden["r1_penalty"].mean(), rtol=1e-9)
    output.loss.backward()
    key_map = stylegan2_discriminator_key_map(networks[1])
    assert_gradients_match(networks[1], key_map, golden, "Dreg", probes=False)


def test_path_length_penalty_equals_the_reference(objective, networks, golden, draws):
    draws.latent = draws.latent[:2]
    objective.mean_path_length = golden["pl_mean_before"].item()
    output = objective.path_length_loss(Batch(golden["real"]), draws=draws)
    # The reference took the mean of this loss in float32.
    assert output.loss.item() == pytest.approx(golden["Greg.loss"].item(), rel=1e-6)
    assert output.logs["path_length"].item() == pytest.approx(golden["pl_lengths"].mean().item(), rel=1e-9)
    assert objective.mean_path_length == pytest.approx(golden["pl_mean_after"].item(), rel=1e-9)
    output.loss.backward()
    key_map = stylegan2_generator_key_map(networks[0])
    assert_gradients_match(networks[0], key_map, golden, "Greg", probes=False)


def test_path_lengths_of_a_linear_map():
    # d (w A y) / d w = A y, whatever w is.
    matrix, ws = torch.randn(6, 12, dtype=torch.float64), torch.randn(3, 1, 6, dtype=torch.float64, requires_grad=True)
    projection = torch.randn(3, 3, 2, 2, dtype=torch.float64)
    lengths = path_lengths((ws[:, 0] @ matrix).view(3, 3, 2, 2), ws, projection)
    expected = ((projection.flatten(1) / 2) @ matrix.T).norm(dim=1)
    torch.testing.assert_close(lengths, expected)


def test_lazy_optimiser_settings_equal_the_reference():
    golden = load_golden("diffusion_gan/training_scalars")
    for network, interval in (("D", 16), ("G", 4)):
        rate, betas = lazy_adam(0.0025, (0.0, 0.99), interval)
        expected = golden[f"lazy.{network}_int{interval}_lr0.0025_beta0_beta2"]
        torch.testing.assert_close(torch.tensor([rate, *betas], dtype=torch.float64), expected, rtol=1e-12, atol=0)
    assert lazy_adam(0.1, (0.5, 0.9), None) == (0.1, (0.5, 0.9))


@pytest.mark.parametrize(
    ("name", "batch_size", "kimg", "rampup"),
    [("cifar", 64, 500, 0.05), ("paper256", 64, 20, None), ("stylegan2", 32, 10, None), ("auto_b32", 32, 10, 0.05)],
)
def test_moving_average_equals_the_reference(name, batch_size, kimg, rampup):
    golden = load_golden("diffusion_gan/training_scalars")
    for images, decay in zip(golden["ema.cur_nimg"], golden[f"ema.beta_{name}"], strict=True):
        assert ema_decay(batch_size, int(images), kimg, rampup) == pytest.approx(decay.item(), rel=1e-12, abs=1e-300)


def small_objective(**options) -> DiffusionGANObjective:
    torch.manual_seed(0)
    generator, discriminator = LatentMLPGenerator(hidden_dim=8), MLPDiscriminator(hidden_dim=8, pairs=False)
    return DiffusionGANObjective(generator, discriminator, DiffusionGANScheduler(), latent_dim=2, **options)


def test_penalties_are_lazy_and_weighted_by_their_interval():
    objective = small_objective(r1_gamma=2.0, r1_interval=4)
    samples = torch.randn(8, 2)
    halves = {half.name: half for half in objective.half_steps}
    assert (
        list(halves) == ["discriminator", "gradient_penalty", "generator"]
        and halves["gradient_penalty"].player == "discriminator"
    )
    assert [halves["gradient_penalty"].is_due(step) for step in range(9)] == [True, False, False, False] * 2 + [True]
    draws = objective.draw(Batch(samples))
    draws.real_noise = torch.randn_like(samples)
    weighted = objective.gradient_penalty_loss(Batch(samples), draws=draws)
    assert weighted.loss.item() == pytest.approx(4 * weighted.logs["r1"].item(), rel=1e-5)
    names = [half.name for half in small_objective(r1_gamma=0.0, path_length_weight=2.0).half_steps]
    assert names == ["discriminator", "generator", "path_lengths"]


def test_optimisers_are_adapted_only_to_penalties():
    assert small_objective().players["discriminator"].lazy_interval == 16
    assert small_objective(r1_gamma=0).players["discriminator"].lazy_interval is None
    # As in the published CIFAR-10 model: the interval counts although the weight is 0.
    assert small_objective(path_length_weight=0, path_length_interval=4).players["generator"].lazy_interval == 4
    assert small_objective(path_length_weight=0, path_length_interval=0).players["generator"].lazy_interval is None


def test_every_parameter_takes_part_in_every_step():
    """A distributed wrapper waits for the gradient of each parameter."""
    generator = StyleGAN2Generator(8, 1, latent_dim=8, w_dim=8, channel_max=8, num_mapping_layers=2)
    discriminator = StyleGAN2Discriminator(8, 1, channel_max=8, num_mapping_layers=2)
    objective = DiffusionGANObjective(
        generator, discriminator, DiffusionGANScheduler(), 8, path_length_weight=2.0, style_mixing_probability=1.0
    )
    samples = torch.rand(4, 1, 8, 8) * 2 - 1
    for network, step in (
        (discriminator, objective.discriminator_loss),
        (discriminator, objective.gradient_penalty_loss),
        (generator, objective.generator_loss),
        (generator, objective.path_length_loss),
    ):
        step(Batch(samples)).loss.backward()
        missing = [name for name, parameter in network.named_parameters() if parameter.grad is None]
        assert not missing, f"{step.__name__}: {missing}"
        network.zero_grad()


def test_style_mixing_is_drawn_once_per_batch_at_its_rate():
    generator = StyleGAN2Generator(8, 1, latent_dim=8, w_dim=8, channel_max=8, num_mapping_layers=1)
    objective = DiffusionGANObjective(
        generator, torch.nn.Identity(), DiffusionGANScheduler(), 8, style_mixing_probability=0.9
    )
    torch.manual_seed(0)
    drawn = [objective.draw(Batch(torch.zeros(2, 1, 8, 8))).style_mixing for _ in range(500)]
    layers = [mixing[1] for mixing in drawn if mixing is not None]
    assert len(layers) / 500 == pytest.approx(0.9, abs=0.04)
    assert set(layers) == {1, 2, 3}  # num_ws is 4


def test_noise_adapts_over_the_steps():
    objective = small_objective(r1_gamma=0.0)
    objective.scheduler.register_to_config(adaptation_kimg=0.1)
    torch.nn.init.constant_(objective.discriminator.mlp.linear_out.bias, 10.0)  # quite sure that everything is real
    lengths = []
    for step in range(8):
        objective.discriminator_loss(Batch(torch.randn(8, 2)))
        lengths.append(objective.finish_step(step)["T"])
    assert lengths[:3] == [10] * 3 and lengths[3] > 10 and lengths[7] >= lengths[3]
    state = objective.state_dict()
    other = small_objective()
    other.load_state_dict(state)
    assert len(other.scheduler) == lengths[7]


@pytest.mark.parametrize(
    "options",
    [
        {"r1_gamma": -1.0},
        {"r1_interval": 0},
        {"path_length_weight": -1.0},
        {"path_length_weight": 1.0, "path_length_interval": 0},
        {"style_mixing_probability": 1.5},
        {"path_length_decay": math.nan},
    ],
)
def test_bad_options_are_refused(options):
    with pytest.raises(ValueError, match=list(options)[-1]):
        small_objective(**options)
