# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import importlib.util
from pathlib import Path

import pytest
import torch
from torch import nn

from gan_diffusion import DiffusedDiscriminator, DiffusionGANScheduler, MLPDiscriminator


EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "dcgan_with_diffusion.py"


class Recorder(nn.Module):
    """A discriminator that remembers what it was given."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, sample, timestep, label=None):
        self.seen = (sample.detach(), timestep, label)
        return self.weight * sample.flatten(1).sum(1, keepdim=True)


def test_samples_are_diffused_and_timesteps_passed_on():
    scheduler = DiffusionGANScheduler(initial_p=1.0, noise_std=0.5)
    recorder = Recorder()
    discriminator = DiffusedDiscriminator(recorder, scheduler)
    sample, label = torch.ones(256, 1, 4, 4), torch.arange(256)
    logits = discriminator(sample, label)
    noisy, timestep, seen_label = recorder.seen
    assert logits.shape == (256, 1) and seen_label is label
    assert torch.equal(noisy[timestep == 0], sample[timestep == 0])
    means = noisy.mean(dim=(1, 2, 3))
    expected = scheduler.signal_coefs[timestep]
    assert (means - expected).abs().max() < 5 * 0.5 / 4  # 16 pixels of standard deviation 0.5
    assert 0.35 < (timestep == 0).float().mean() < 0.65
    assert list(discriminator.parameters()) == list(recorder.parameters())


def test_gradient_reaches_the_sample_through_the_noise():
    scheduler = DiffusionGANScheduler(initial_p=1.0)
    recorder = Recorder()
    sample = torch.zeros(32, 3, requires_grad=True)
    DiffusedDiscriminator(recorder, scheduler)(sample).sum().backward()
    expected = scheduler.signal_coefs[recorder.seen[1]][:, None].expand(32, 3)
    torch.testing.assert_close(sample.grad, expected)


def test_a_gradient_penalty_can_be_differentiated():
    network = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    discriminator = DiffusedDiscriminator(network, DiffusionGANScheduler(), pass_timesteps=False)
    real = torch.randn(16, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad(discriminator(real).sum(), real, create_graph=True)
    gradient.square().sum().backward()
    assert network[0].weight.grad.abs().sum() > 0


def test_noise_follows_the_verdicts():
    scheduler = DiffusionGANScheduler(adaptation_kimg=0.1)
    discriminator = DiffusedDiscriminator(Recorder(), scheduler)
    updated = [discriminator.adapt(torch.ones(8, 1)) for _ in range(8)]
    assert updated == [False, False, False, True] * 2
    assert scheduler.p == pytest.approx(64 / 100)
    for _ in range(8):
        discriminator.adapt(-torch.ones(8, 1))
    assert scheduler.p == pytest.approx(0.0, abs=1e-12)


def test_outputs_of_our_own_discriminators_are_passed_on():
    discriminator = DiffusedDiscriminator(MLPDiscriminator(pairs=False), DiffusionGANScheduler())
    output = discriminator(torch.zeros(4, 2))
    assert output.logits.shape == (4, 1)
    (logits,) = discriminator(torch.zeros(4, 2), return_dict=False)
    assert logits.shape == (4, 1)
    with pytest.raises(
        TypeError, match=r"`real_logits` must be a tensor, got DiscriminatorOutput. Pass the `.logits`"
    ):
        discriminator.adapt(output)


def test_discriminators_that_cannot_be_called_are_named():
    class Untimed(nn.Module):
        def forward(self, image):
            return image

    scheduler = DiffusionGANScheduler()
    with pytest.raises(TypeError, match="`discriminator` must take timesteps .*, got Untimed"):
        DiffusedDiscriminator(Untimed(), scheduler)
    with pytest.raises(TypeError, match="`discriminator` must take timesteps .*, got Sequential"):
        DiffusedDiscriminator(nn.Sequential(nn.Linear(2, 1)), scheduler)
    with pytest.raises(
        TypeError, match="`pass_timesteps` must be True for a discriminator that requires 'timestep', as Recorder does"
    ):
        DiffusedDiscriminator(Recorder(), scheduler, pass_timesteps=False)
    sample = torch.zeros(4, 2)
    assert DiffusedDiscriminator(Untimed(), scheduler, pass_timesteps=False)(sample).shape == (4, 2)


@pytest.mark.parametrize("diffusion", [True, False])
def test_the_dcgan_example_trains(diffusion):
    spec = importlib.util.spec_from_file_location("dcgan_with_diffusion", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    torch.manual_seed(0)
    before = example.make_generator().state_dict()
    generator, discriminator = example.train(steps=9, diffusion=diffusion, batch_size=16)
    after = generator.state_dict()
    assert all(not torch.equal(before[name], after[name]) for name in before if name.endswith("weight"))
    assert all(value.isfinite().all() for value in after.values())
    assert generator(torch.randn(3, 32)).shape == (3, 1, 8, 8)
    assert isinstance(discriminator, DiffusedDiscriminator) == diffusion
    if diffusion:
        assert discriminator.scheduler.state_dict()["iterations"] == 9
