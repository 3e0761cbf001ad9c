# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch
from diffusers.training_utils import EMAModel
from golden_utils import assert_matches, golden_state_dict, load_golden, load_golden_metadata
from torch import nn

from gan_diffusion import DDGANDiscriminator, DDGANScheduler, NCSNppGenerator
from gan_diffusion.conversion import (
    convert_ddgan_discriminator,
    convert_ddgan_generator,
    export_ddgan_discriminator,
    export_ddgan_generator,
)
from gan_diffusion.conversion.ddgan import ddgan_discriminator_key_map, ddgan_generator_key_map
from gan_diffusion.data import Batch
from gan_diffusion.models.outputs import DiscriminatorOutput, GeneratorOutput
from gan_diffusion.training import DDGANDraws, DDGANObjective
from gan_diffusion.training.losses import gradient_penalty


def golden_networks(metadata: dict) -> tuple[NCSNppGenerator, DDGANDiscriminator]:
    """The networks of the golden training run with the golden weights, in float64."""
    layout = NCSNppGenerator(
        sample_size=16, base_channels=32, channel_multipliers=(1, 2), layers_per_block=1, attention_resolutions=(8,),
        latent_dim=16, latent_embed_dim=32, num_latent_layers=2, fir_taps=None, progressive_input="none",
    )  # fmt: skip
    shapes = {key: value.shape for key, value in export_ddgan_generator(layout).items()}
    generator = convert_ddgan_generator(golden_state_dict(shapes), **metadata["config"])

    options = metadata["discriminator"]
    layout = DDGANDiscriminator(base_channels=options["ngf"], time_embed_dim=options["t_emb_dim"])
    shapes = {key: value.shape for key, value in export_ddgan_discriminator(layout).items()}
    discriminator = convert_ddgan_discriminator(
        golden_state_dict(shapes), options["class"], options["nc_argument"], options["ngf"], options["t_emb_dim"]
    )
    return generator.double(), discriminator.double()


def leak_into_generator(objective: DDGANObjective, real: torch.Tensor, draws: DDGANDraws) -> dict[str, torch.Tensor]:
    """
    The generator's gradient of the discriminator's loss on fakes, which the reference computes and throws away.

    It does so in the discriminator phase of the next step, before it clears the gradients, and in place: the golden
    file's generator gradients of all steps but the last hold that sum. What the optimiser saw was the gradient alone,
    as the parameters and averages of the file show.
    """
    generator, discriminator, t = objective.generator, objective.discriminator, draws.timesteps
    _, x_tp1 = objective.scheduler.add_noise_pair(real, t, noise=draws.noise)
    pred_x_0 = generator(x_tp1, t, draws.latent).sample
    fake = objective.scheduler.step(pred_x_0, t, x_tp1, variance_noise=draws.posterior_noise).prev_sample
    loss = torch.nn.functional.softplus(discriminator(fake, t, x_tp1).logits).mean()
    gradients = torch.autograd.grad(loss, list(generator.parameters()))
    return dict(zip((name for name, _ in generator.named_parameters()), gradients, strict=True))


def test_three_training_steps_equal_the_reference():
    golden, metadata = load_golden("ddgan/train_step"), load_golden_metadata("ddgan/train_step")
    generator, discriminator = golden_networks(metadata)
    objective = DDGANObjective(
        generator, discriminator, DDGANScheduler(4), 16, metadata["r1_gamma"], metadata["lazy_reg"]
    )
    adam = {"betas": metadata["betas"], "eps": metadata["adam_eps"]}
    optimizer_g = torch.optim.Adam(generator.parameters(), metadata["lr_g"], **adam)
    optimizer_d = torch.optim.Adam(discriminator.parameters(), metadata["lr_d"], **adam)
    decay = metadata["ema_decay"]
    ema = EMAModel(generator.parameters(), decay=decay, min_decay=decay, foreach=True)
    keys = {"G": ddgan_generator_key_map(generator), "D": ddgan_discriminator_key_map(discriminator)}
    networks = {"G": generator, "D": discriminator}
    compared = 0

    def draws(step, phase):
        entry = {
            name: golden[f"step{step}.{phase}.{name}"] for name in ("t", "z", "noise_t", "noise_tp1", "noise_post")
        }
        noise = (entry["noise_t"].double(), entry["noise_tp1"].double())
        return DDGANDraws(entry["t"], entry["z"].double(), noise, entry["noise_post"].double())

    def compare(prefix, phase, value_of):
        nonlocal compared
        for name in [name for name in golden if name.startswith(prefix)]:
            value = value_of(keys[phase][name.removeprefix(prefix)])
            assert_matches(value.reshape(golden[name].shape), golden[name], name=name)
            compared += 1

    for step in range(metadata["steps"]):
        real = golden[f"step{step}.real"].double()
        discriminator_half, generator_half = objective.half_steps
        terms = discriminator_half.terms_due(step)
        output = discriminator_half.loss(Batch(real), **terms, draws=draws(step, "D"))
        output.loss.backward()
        for log, name in (("loss_d_real", "errD_real"), ("loss_d_fake", "errD_fake"), ("r1", "grad_penalty")):
            expected = golden[f"loss.{name}"][step]
            if log == "r1" and step % metadata["lazy_reg"]:
                assert log not in output.logs and expected == -1
            else:
                assert_matches(output.logs[log], expected, name=name)
        assert all(parameter.grad is None for parameter in generator.parameters())
        compare(f"step{step}.D.grad.", "D", lambda key: dict(discriminator.named_parameters())[key].grad)
        optimizer_d.step()
        optimizer_d.zero_grad()

        output = generator_half.loss(Batch(real), draws=draws(step, "G"))
        output.loss.backward()
        assert_matches(output.loss, golden["loss.errG"][step], name="errG")
        assert all(parameter.grad is None for parameter in discriminator.parameters())
        gradients = {name: parameter.grad for name, parameter in generator.named_parameters()}
        optimizer_g.step()
        optimizer_g.zero_grad()
        ema.step(generator.parameters())
        if step + 1 < metadata["steps"]:
            real = golden[f"step{step + 1}.real"].double()
            leaked = leak_into_generator(objective, real, draws(step + 1, "D"))
            gradients = {name: gradients[name] + leaked[name] for name in gradients}
        compare(f"step{step}.G.grad.", "G", lambda key, gradients=gradients: gradients[key])
        averages = dict(zip((name for name, _ in generator.named_parameters()), ema.shadow_params, strict=True))
        compare(f"step{step}.G.ema_after.", "G", lambda key, averages=averages: averages[key])

    # The golden file holds the parameters after the last step under the names of all steps (they are equal there); the
    # moving averages and the gradients of the next step show that each step moved the parameters as it should.
    for step in range(metadata["steps"]):
        for phase, network in networks.items():
            compare(f"step{step}.{phase}.param_after.", phase, lambda key, network=network: network.state_dict()[key])
    assert compared == sum(any(part in name for part in (".grad.", "_after.")) for name in golden)


class Linear(nn.Module):
    """D(x, t, y) = w . x, whose input gradient is w."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([3.0, 4.0]))

    def forward(self, sample, timestep, noisier_sample, class_labels=None):
        return DiscriminatorOutput(logits=(sample * self.weight).sum(1, keepdim=True))


def test_r1_of_a_linear_discriminator():
    x = torch.randn(5, 2, requires_grad=True)
    discriminator = Linear()
    penalty = gradient_penalty(discriminator(x, 0, x.detach()).logits, x)
    assert penalty.item() == 25.0
    penalty.backward()
    torch.testing.assert_close(discriminator.weight.grad, torch.tensor([6.0, 8.0]))


class Zero(nn.Module):
    """G = 0, with a parameter so that it can have a gradient."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(()))

    def forward(self, sample, timestep, latent, class_labels=None):
        return GeneratorOutput(sample=sample * self.scale)


def test_r1_comes_at_its_interval_and_can_be_off():
    x = torch.randn(4, 2)
    objective = DDGANObjective(Zero(), Linear(), DDGANScheduler(4), 3, r1_gamma=0.1, r1_interval=3)
    half = objective.half_steps[0]
    logs = [half.loss(Batch(x), **half.terms_due(step)).logs for step in range(5)]
    assert ["r1" in entry for entry in logs] == [True, False, False, True, False]
    torch.testing.assert_close(logs[0]["r1"], torch.tensor(0.1 / 2 * 25.0))
    objective.r1_gamma = 0.0
    assert objective.half_steps[0].terms_due(0) == {}


def test_losses_at_zero_logits_are_log_two():
    x = torch.randn(4, 2)
    discriminator = Linear()
    discriminator.weight.data.zero_()
    objective = DDGANObjective(Zero(), discriminator, DDGANScheduler(4), 3, r1_gamma=0.0)
    logs = objective.discriminator_loss(Batch(x)).logs | objective.generator_loss(Batch(x)).logs
    assert all(abs(value.item() - math.log(2)) < 1e-6 for value in logs.values()) and len(logs) == 3


def test_each_step_moves_only_its_own_network():
    x = torch.randn(4, 2)
    generator, discriminator = Zero(), Linear()
    objective = DDGANObjective(generator, discriminator, DDGANScheduler(4), 3)
    objective.discriminator_loss(Batch(x)).loss.backward()
    assert generator.scale.grad is None and discriminator.weight.grad is not None
    discriminator.weight.grad = None
    objective.generator_loss(Batch(x)).loss.backward()
    assert generator.scale.grad is not None and discriminator.weight.grad is None
    assert discriminator.weight.requires_grad


def test_timesteps_cover_all_steps():
    objective = DDGANObjective(Zero(), Linear(), DDGANScheduler(4), 3)
    draws = objective.draw(Batch(torch.zeros(1000, 2)))
    assert draws.timesteps.unique().tolist() == [0, 1, 2, 3] and draws.latent.shape == (1000, 3)


@pytest.mark.parametrize("arguments", [{"r1_gamma": -1.0}, {"r1_interval": 0}])
def test_bad_weights_are_refused(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        DDGANObjective(Zero(), Linear(), DDGANScheduler(4), 3, **arguments)
