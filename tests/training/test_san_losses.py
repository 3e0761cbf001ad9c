# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""The loss of a SAN, alone and in the objectives of all methods."""

import pytest
import torch
import torch.nn.functional as F
from tiny_features import TINY

from gan_diffusion import (
    DDGANScheduler,
    DiffusionGANScheduler,
    FastGANGenerator,
    LatentMLPGenerator,
    MLPDiscriminator,
    MLPGenerator,
    ProjectedDiscriminator,
    SPIGANGenerator,
    SPIGANScheduler,
    StyleGAN2Discriminator,
    StyleGAN2Generator,
)
from gan_diffusion.data import Batch
from gan_diffusion.training import DDGANObjective, DiffusionGANObjective, InsGenObjective, SPIGANObjective
from gan_diffusion.training.losses import ADVERSARIAL_LOSSES


REAL, FAKE = torch.tensor([[2.0, -1.0], [0.5, 0.0]]), torch.tensor([[-3.0, 0.5], [1.0, 0.0]])
SLICED = {"hidden_dim": 8, "num_layers": 2, "num_octaves": 1, "last_layer": "san"}


def test_closed_forms():
    loss = ADVERSARIAL_LOSSES["hinge"].direction_loss(REAL, FAKE)
    assert loss.item() == pytest.approx(-1.5 / 4 - 1.5 / 4)  # mean D(fake) - mean D(real)
    loss = ADVERSARIAL_LOSSES["logistic"].direction_loss(REAL, FAKE)
    assert loss.item() == pytest.approx((F.softplus(-REAL) - F.softplus(-FAKE)).mean().item())


@pytest.mark.parametrize("name", ["hinge", "logistic"])
def test_real_samples_go_up_and_generated_ones_down(name):
    """Everywhere, with a weight that is a function of the logit alone."""
    logits = torch.linspace(-9, 9, 19)[:, None]
    real, fake = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    ADVERSARIAL_LOSSES[name].direction_loss(real, fake).backward()
    assert (real.grad < 0).all()
    torch.testing.assert_close(real.grad, -fake.grad)


def objective(method: str, adversarial_loss: str = "hinge", **options):
    torch.manual_seed(0)
    options["adversarial_loss"] = adversarial_loss
    if method == "ddgan":
        return DDGANObjective(MLPGenerator(hidden_dim=8), MLPDiscriminator(**SLICED), DDGANScheduler(), 2, **options)
    if method == "projected":
        networks = FastGANGenerator(32, 1, latent_dim=4, base_channels=2, lite=True), projected()
        return DiffusionGANObjective(*networks, DiffusionGANScheduler(), 4, **options)
    if method == "insgen":
        tiny = {"sample_size": 8, "channel_max": 8, "num_mapping_layers": 1}
        generator = StyleGAN2Generator(out_channels=1, latent_dim=4, w_dim=4, **tiny)
        discriminator = StyleGAN2Discriminator(in_channels=1, last_layer="san", **tiny)
        return InsGenObjective(generator, discriminator, DiffusionGANScheduler(), 4, queue_size=6, **options)
    discriminator = MLPDiscriminator(pairs=False, **SLICED)
    if method == "diffusion-gan":
        generator = LatentMLPGenerator(latent_dim=2, hidden_dim=8)
        return DiffusionGANObjective(generator, discriminator, DiffusionGANScheduler(), 2, **options)
    generator = SPIGANGenerator(data_dim=2, hidden_dim=8, w_dim=4, mapping_dim=4, mapping_type="mlp")
    return SPIGANObjective(generator, discriminator, SPIGANScheduler(), **options)


def projected(**options):
    return ProjectedDiscriminator(**TINY, in_channels=1, last_layer="san", **options)


def batch(method: str) -> Batch:
    sizes = {"projected": (4, 1, 32, 32), "insgen": (4, 1, 8, 8)}
    return Batch(torch.randn(sizes.get(method, (4, 2)), generator=torch.Generator().manual_seed(1)).clamp(-1, 1))


METHODS = ["ddgan", "diffusion-gan", "spi-gan"]


@pytest.mark.parametrize("adversarial_loss", ["hinge", "logistic"])
@pytest.mark.parametrize("method", METHODS)
def test_gradients_are_those_of_the_definition(method, adversarial_loss):
    """V_GAN(<sg(w), h>) + V_W(<w, sg(h)>), written out with the h and w that the last layer had."""
    mine, loss = objective(method, adversarial_loss, r1_gamma=0.0), ADVERSARIAL_LOSSES[adversarial_loss]
    network, seen = mine.discriminator, []
    network.mlp.linear_out.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    output = mine.discriminator_loss(batch(method))
    fake, real = seen if method == "diffusion-gan" else reversed(seen)
    weight = network.mlp.linear_out.weight
    fixed, direction = (weight / weight.norm()).detach(), weight / weight.norm()
    gan = sum(loss.discriminator_terms(real @ fixed.T, fake @ fixed.T).values())
    margins = real.detach() @ direction.T, fake.detach() @ direction.T
    if adversarial_loss == "hinge":
        wasserstein = margins[1].mean() - margins[0].mean()
    else:
        wasserstein = F.softplus(-margins[0]).mean() - F.softplus(-margins[1]).mean()
    torch.testing.assert_close(output.loss, gan + wasserstein)
    torch.testing.assert_close(output.logs["loss_d_direction"], wasserstein.detach())
    parameters = list(network.parameters())
    expected = torch.autograd.grad(gan + wasserstein, parameters, retain_graph=True)
    output.loss.backward()
    for parameter, gradient in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-5, atol=1e-7)
    (apart,) = torch.autograd.grad(wasserstein, weight)
    torch.testing.assert_close(weight.grad, apart)
    # It turns, and does not grow.
    assert (weight.grad * weight).sum().abs() < 1e-6 < weight.grad.norm()


@pytest.mark.parametrize("method", [*METHODS, "projected", "insgen"])
def test_each_half_step_gives_gradients_to_its_own_network(method):
    """To each parameter, as distributed training needs; R1 and R2 do not turn the direction."""
    mine = objective(method, r1_gamma=0.1, r2_gamma=0.1)
    for half in mine.half_steps:
        half.loss(batch(method), **half.terms_due(0)).loss.backward()
        learning = "generator" if half.player == "generator" else "discriminator"
        for name in ("generator", "discriminator"):
            trained = [each for each in mine.networks[name].parameters() if each.requires_grad]
            given = [each.grad is not None and bool(each.grad.isfinite().all()) for each in trained]
            assert all(given) if name == learning else not any(given), f"{half.name}, {name}"
        if half.name == "gradient_penalty" and method in METHODS:
            assert not mine.discriminator.mlp.linear_out.weight.grad.any()
        for network in mine.networks.values():
            network.zero_grad()


@pytest.mark.parametrize("method", METHODS)
def test_the_generator_learns_from_logits_alone(method):
    mine, outputs = objective(method), []
    mine.discriminator.register_forward_hook(lambda *arguments: outputs.append(arguments[-1]))
    output = mine.generator_loss(batch(method))
    torch.testing.assert_close(output.loss, -outputs[0].logits.mean())


@pytest.mark.parametrize("adversarial_loss", ["least_squares", "relativistic"])
@pytest.mark.parametrize("method", METHODS)
def test_losses_without_a_direction_are_refused(method, adversarial_loss):
    message = "`adversarial_loss` must be 'logistic' or 'hinge' for a discriminator with `last_layer` 'san'"
    with pytest.raises(ValueError, match=f"{message}, got '{adversarial_loss}'"):
        objective(method, adversarial_loss)
    with pytest.raises(ValueError, match=message):
        ADVERSARIAL_LOSSES[adversarial_loss].direction_loss(REAL, FAKE)
