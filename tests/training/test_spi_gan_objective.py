# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch
import torch.nn.functional as F

from gan_diffusion import MLPDiscriminator, SPIGANDiscriminator, SPIGANGenerator, SPIGANScheduler
from gan_diffusion.data import Batch
from gan_diffusion.models.outputs import DiscriminatorOutput
from gan_diffusion.training import AdaptiveAugmentation, SPIGANDraws, SPIGANObjective


def make_objective(scheduler=None, **options) -> SPIGANObjective:
    torch.manual_seed(0)
    generator = SPIGANGenerator(8, 1, w_dim=16, mapping_dim=16, channel_max=8)
    discriminator = SPIGANDiscriminator(8, 1, channel_max=8, position_embed_dim=8)
    return SPIGANObjective(generator, discriminator, scheduler or SPIGANScheduler(), **options)


def images(batch_size: int = 8) -> torch.Tensor:
    return torch.rand(batch_size, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_losses_are_those_of_points_of_the_path_and_samples_of_the_same_positions():
    objective = make_objective()
    samples = images()
    draws = SPIGANDraws(torch.linspace(0.1, 1, 8), noise=torch.randn(8, 1, 8, 8))
    point, terminal = objective.scheduler.interpolate(samples, draws.positions, draws.noise, return_terminal=True)
    with torch.no_grad():
        real = objective.discriminator(point, draws.positions).logits
        fake = objective.discriminator(objective.generator(terminal, draws.positions).sample, draws.positions).logits
    output = objective.discriminator_loss(Batch(samples), draws=draws)
    torch.testing.assert_close(output.logs["loss_d_real"], F.softplus(-real).mean())
    torch.testing.assert_close(output.logs["loss_d_fake"], F.softplus(fake).mean())
    torch.testing.assert_close(output.loss, F.softplus(-real).mean() + F.softplus(fake).mean())
    output = objective.generator_loss(Batch(samples), draws=draws)
    torch.testing.assert_close(output.loss, F.softplus(-fake).mean())


def test_gradients_reach_every_part_of_the_network_that_learns_and_no_other():
    objective = make_objective(r1_interval=1)
    generator, discriminator = objective.generator, objective.discriminator
    # The last layer of the mapping starts at zero and lets nothing through to the layers before.
    torch.nn.init.normal_(generator.mapping.layers[-1].weight)
    for network, other, step in (
        (discriminator, generator, objective.discriminator_loss),
        (discriminator, generator, objective.gradient_penalty_loss),
        (generator, discriminator, objective.generator_loss),
    ):
        step(Batch(images())).loss.backward()
        missing = [name for name, parameter in network.named_parameters() if parameter.grad is None]
        assert not missing, f"{step.__name__}: {missing}"
        assert all(parameter.grad is None for parameter in other.parameters()), step.__name__
        network.zero_grad()
    objective.generator_loss(Batch(images())).loss.backward()
    for part in ("embedding", "mapping", "synthesis"):
        gradients = [parameter.grad.abs().sum() for parameter in getattr(generator, part).parameters()]
        assert sum(gradients) > 0, part
    assert all(parameter.requires_grad for parameter in discriminator.parameters())


def test_r1_is_that_of_the_point_and_not_of_the_position():
    class Quadratic(torch.nn.Module):
        def forward(self, sample, u):
            return DiscriminatorOutput(logits=(sample.square().sum(dim=(1, 2, 3)) / 2 + 100 * u)[:, None])

    objective = make_objective(r1_gamma=3.0, r1_interval=4)
    objective.networks["discriminator"] = Quadratic()
    draws = SPIGANDraws(torch.linspace(0.1, 1, 8), noise=torch.randn(8, 1, 8, 8))
    point = objective.scheduler.interpolate(images(), draws.positions, draws.noise)
    output = objective.gradient_penalty_loss(Batch(images()), draws=draws)
    expected = 3.0 / 2 * point.square().sum(dim=(1, 2, 3)).mean()
    torch.testing.assert_close(output.logs["r1"], expected)
    torch.testing.assert_close(output.loss.detach(), 4 * expected)
    halves = {half.name: half for half in objective.half_steps}
    assert [halves["gradient_penalty"].is_due(step) for step in range(5)] == [True, False, False, False, True]
    assert [half.name for half in make_objective(r1_gamma=0.0).half_steps] == ["discriminator", "generator"]


def test_a_still_mapping_on_clean_samples_is_a_plain_gan():
    """p_clean = 1 and r = 0: the losses of a GAN whose styles are the embedding of noise."""
    objective = make_objective(SPIGANScheduler(clean_probability=1.0))
    generator, samples = objective.generator, images()
    draws = objective.draw(Batch(samples))
    assert (draws.positions == 1).all()
    draws.noise = torch.randn(8, 1, 8, 8)
    scheduler = objective.scheduler
    terminal = scheduler.signal_coef * samples + scheduler.noise_coef * draws.noise
    with torch.no_grad():
        fake = generator.synthesize(generator.embed(terminal))
        fake_logits = objective.discriminator(fake, 1.0).logits
        real_logits = objective.discriminator(samples, 1.0).logits
    output = objective.discriminator_loss(Batch(samples), draws=draws)
    torch.testing.assert_close(output.logs["loss_d_fake"], F.softplus(fake_logits).mean(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(output.logs["loss_d_real"], F.softplus(-real_logits).mean(), rtol=1e-5, atol=1e-6)


def test_a_generator_without_embedding_takes_latents():
    torch.manual_seed(0)
    generator = SPIGANGenerator(initial_embedding="none", w_dim=6, mapping_dim=8, data_dim=2, hidden_dim=8)
    discriminator = MLPDiscriminator(hidden_dim=8, pairs=False, timestep_scale=1000.0)
    objective = SPIGANObjective(generator, discriminator, SPIGANScheduler())
    samples = torch.randn(16, 2)
    assert objective.draw(Batch(samples)).latent.shape == (16, 6)
    assert make_objective().draw(Batch(images())).latent is None
    assert objective.generator_loss(Batch(samples)).loss.isfinite()
    assert objective.discriminator_loss(Batch(samples)).loss.isfinite()


def test_augmentation_follows_clean_samples_alone():
    class Sure(torch.nn.Module):
        """Certain of clean samples, and that all others are generated."""

        def forward(self, sample, u):
            return DiscriminatorOutput(logits=torch.where(u == 1, 1.0, -1.0)[:, None] + 0 * sample.sum())

    augmentation = AdaptiveAugmentation(adaptation_kimg=0.1, update_interval=2)
    objective = make_objective(SPIGANScheduler(clean_probability=0.25), augmentation=augmentation, r1_gamma=0.0)
    objective.networks["discriminator"] = Sure()
    torch.manual_seed(1)
    clean = 0
    for step in range(4):
        draws = objective.draw(Batch(images(32)))
        clean += int((draws.positions == 1).sum())
        objective.discriminator_loss(Batch(images(32)), draws=draws)
        logs = objective.finish_step(step)
    assert logs["augmentation_p"] == pytest.approx(clean / 100)

    state = objective.state_dict()
    other = make_objective(augmentation=AdaptiveAugmentation(adaptation_kimg=0.1))
    other.load_state_dict(state)
    assert other.augmentation.p == augmentation.p


def test_augmentation_waits_for_clean_samples():
    objective = make_objective(
        SPIGANScheduler(clean_probability=0.0), augmentation=AdaptiveAugmentation(update_interval=1)
    )
    objective.discriminator_loss(Batch(images()))
    assert objective.finish_step(0) == {"augmentation_p": 0.0}


@pytest.mark.parametrize("options", [{"r1_gamma": -1.0}, {"r1_gamma": math.nan}, {"r1_interval": 0}])
def test_bad_options_are_refused(options):
    with pytest.raises(ValueError, match=list(options)[0]):
        make_objective(**options)
