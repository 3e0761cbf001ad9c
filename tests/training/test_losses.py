# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""The adversarial losses alone, and in the objectives of all methods."""

import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from golden_utils import load_golden

from gan_diffusion import DDGANScheduler, DiffusionGANScheduler, SPIGANScheduler
from gan_diffusion.data import Batch
from gan_diffusion.models.outputs import DiscriminatorOutput, GeneratorOutput
from gan_diffusion.training import DDGANObjective, DiffusionGANObjective, SPIGANObjective
from gan_diffusion.training.losses import ADVERSARIAL_LOSSES, gradient_penalty


REAL, FAKE = torch.tensor([[2.0, -1.0], [0.5, 0.0]]), torch.tensor([[-3.0, 0.5], [1.0, 0.0]])
NAMES = list(ADVERSARIAL_LOSSES)


def discriminator_loss(name: str, real: torch.Tensor, fake: torch.Tensor) -> float:
    return sum(ADVERSARIAL_LOSSES[name].discriminator_terms(real, fake).values()).item()


def test_closed_forms():
    """Means over all logits of a map, of formulas written out."""

    def log1p_exp(*values: float) -> float:
        return sum(math.log1p(math.exp(value)) for value in values) / 4

    expected = {
        "logistic": log1p_exp(-2, 1, -0.5, 0) + log1p_exp(-3, 0.5, 1, 0),
        "hinge": (0 + 2 + 0.5 + 1) / 4 + (0 + 1.5 + 2 + 1) / 4,
        "least_squares": (1 + 4 + 0.25 + 1) / 8 + (4 + 2.25 + 4 + 1) / 8,
        "relativistic": log1p_exp(-5, 1.5, 0.5, 0),
    }
    assert {name: discriminator_loss(name, REAL, FAKE) for name in NAMES} == pytest.approx(expected)
    expected = {
        "logistic": log1p_exp(3, -0.5, -1, 0),
        "hinge": 1.5 / 4,
        "least_squares": (16 + 0.25 + 0 + 1) / 8,
        "relativistic": log1p_exp(5, -1.5, -0.5, 0),
    }
    losses = {name: ADVERSARIAL_LOSSES[name].generator_loss(FAKE, REAL).item() for name in NAMES}
    assert losses == pytest.approx(expected)


def test_hinge_equals_the_reference():
    golden = load_golden("diffusion_gan/projected_heads")
    real, fake = golden["hinge.real"], golden["hinge.fake"]
    assert discriminator_loss("hinge", real, fake) == pytest.approx(golden["hinge.D"].item(), rel=1e-12)
    loss = ADVERSARIAL_LOSSES["hinge"].generator_loss(fake)
    assert loss.item() == pytest.approx(golden["hinge.G"].item(), rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_zero_is_the_threshold_of_every_loss(name):
    """At 0 a real and a generated logit are pushed apart equally hard, and the generator pulls its own up."""
    real, fake = torch.zeros(4, 1, requires_grad=True), torch.zeros(4, 1, requires_grad=True)
    sum(ADVERSARIAL_LOSSES[name].discriminator_terms(real, fake).values()).backward()
    assert (real.grad < 0).all()
    torch.testing.assert_close(real.grad, -fake.grad)
    fake.grad = None
    ADVERSARIAL_LOSSES[name].generator_loss(fake, real).backward()
    assert (fake.grad < 0).all()


def test_a_relative_loss_sees_differences_alone():
    loss = ADVERSARIAL_LOSSES["relativistic"]
    assert discriminator_loss("relativistic", REAL + 7, FAKE + 7) == discriminator_loss("relativistic", REAL, FAKE)
    torch.testing.assert_close(loss.real_margins(REAL, FAKE), REAL - FAKE)
    assert torch.equal(ADVERSARIAL_LOSSES["hinge"].real_margins(REAL, FAKE), REAL)
    with pytest.raises(ValueError, match="`real_logits` must be given"):
        loss.generator_loss(FAKE)


def test_the_penalty_is_of_the_mean_of_a_map():
    samples = torch.randn(3, 5, requires_grad=True)
    weight = torch.randn(5, 2, requires_grad=True)
    penalty = gradient_penalty(samples @ weight, samples)
    torch.testing.assert_close(penalty, weight.mean(1).square().sum())
    penalty.backward()
    assert weight.grad is not None


class Linear(torch.nn.Module):
    """D(x, ...) = (w . x, 2 w . x): a map of two logits, whose mean has the input gradient 1.5 w."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
        self.seen = []

    def forward(self, sample, timestep, *others):
        self.seen.append((sample, timestep))
        logits = (sample * self.weight).sum(1, keepdim=True)
        return DiscriminatorOutput(logits=torch.cat([logits, 2 * logits], dim=1))


class Shifting(torch.nn.Module):
    """G of any method: the last input, moved."""

    noise_shape = (2,)

    def __init__(self):
        super().__init__()
        self.shift = torch.nn.Parameter(torch.ones(2))

    def forward(self, sample, *others):
        return GeneratorOutput(sample=sample[:, :2] + self.shift)


OBJECTIVES = {
    "ddgan": (DDGANObjective, DDGANScheduler, {"latent_dim": 2, "r1_interval": 2}),
    "diffusion-gan": (DiffusionGANObjective, DiffusionGANScheduler, {"latent_dim": 2, "r1_interval": 2}),
    "spi-gan": (SPIGANObjective, SPIGANScheduler, {"r1_interval": 2}),
}


def make_objective(method: str, **options):
    objective, scheduler, defaults = OBJECTIVES[method]
    torch.manual_seed(0)
    # A chain of noise 1 keeps the gradient with respect to the clean sample that with respect to the noisy one.
    return objective(Shifting(), Linear(), scheduler(), **{"r1_gamma": 0.0, **defaults, **options})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", OBJECTIVES)
class TestObjectives:
    def test_losses_are_those_of_the_logits(self, method, name):
        objective = make_objective(method, adversarial_loss=name)
        discriminator, loss = objective.networks["discriminator"], ADVERSARIAL_LOSSES[name]
        outputs = []
        discriminator.register_forward_hook(lambda *arguments: outputs.append(arguments[-1].logits))
        halves = {half.name: half for half in objective.half_steps}
        output = halves["discriminator"].loss(Batch(torch.randn(8, 2)))
        # Diffusion-GAN looks at the generated samples first.
        fake, real = outputs if method == "diffusion-gan" else reversed(outputs)
        torch.testing.assert_close(output.loss, sum(loss.discriminator_terms(real, fake).values()))
        assert set(output.logs) == set(loss.discriminator_terms(real, fake))
        output.loss.backward()
        assert discriminator.weight.grad is not None and objective.generator.shift.grad is None

        outputs.clear()
        discriminator.weight.grad = None
        output = halves["generator"].loss(Batch(torch.randn(8, 2)))
        assert len(outputs) == (2 if loss.is_relative else 1)
        torch.testing.assert_close(output.loss, loss.generator_loss(*outputs))
        output.loss.backward()
        assert discriminator.weight.grad is None and objective.generator.shift.grad is not None

    def test_partners_of_a_relative_loss_have_the_same_noise_level(self, method, name):
        objective = make_objective(method, adversarial_loss=name)
        for half in objective.half_steps:
            objective.networks["discriminator"].seen.clear()
            half.loss(Batch(torch.randn(64, 2)))
            levels = [level for _, level in objective.networks["discriminator"].seen]
            if name == "relativistic":
                assert len(levels) == 2 and torch.equal(*levels)
            elif method == "diffusion-gan" and half.name == "discriminator":
                assert not torch.equal(*levels)


@pytest.mark.parametrize("method", OBJECTIVES)
def test_r2_is_r1_of_generated_samples(method):
    """The gradient of a linear discriminator is the same everywhere."""
    objective = make_objective(method, r1_gamma=0.2, r2_gamma=0.1)
    if method == "diffusion-gan":
        objective.scheduler = DiffusionGANScheduler(clean_share=1.0)  # so that noise does not scale the gradient
    samples = torch.randn(8, 2)
    (half,) = [half for half in objective.half_steps if half.terms or half.name == "gradient_penalty"]
    assert half.terms in ({"r1": 2, "r2": 2}, {})
    output = half.loss(Batch(samples), **half.terms_due(0))
    squared = 1.5**2 * 25
    assert output.logs["r1"].item() == pytest.approx(0.1 * squared)
    assert output.logs["r2"].item() == pytest.approx(0.05 * squared)
    if not half.terms:
        assert output.loss.item() == pytest.approx(2 * 0.15 * squared)
    output.loss.backward()
    assert objective.generator.shift.grad is None and not samples.requires_grad
    # One alone, and none.
    halves = make_objective(method, r2_gamma=0.1).half_steps
    (half,) = [half for half in halves if half.terms or half.name == "gradient_penalty"]
    logs = half.loss(Batch(samples), **half.terms_due(0)).logs
    assert "r2" in logs and "r1" not in logs
    halves = make_objective(method).half_steps
    assert [half.name for half in halves] == ["discriminator", "generator"] and not halves[0].terms


def test_noise_adapts_to_differences_under_a_relative_loss():
    """All logits are positive, but those of generated samples are larger: no sign of a sure discriminator."""
    for name, expected in (("logistic", 1.0), ("relativistic", -1.0)):
        objective = make_objective("diffusion-gan", adversarial_loss=name)
        logits = iter([torch.full((8, 1), 2.0), torch.full((8, 1), 1.0)])  # generated, then real
        objective.networks["discriminator"] = lambda *arguments: SimpleNamespace(logits=next(logits))  # noqa: B023
        objective.discriminator_loss(Batch(torch.randn(8, 2)))
        total, count = objective.scheduler.state_dict()["statistic"]["signs"]
        assert total / count == expected


@pytest.mark.parametrize("method", OBJECTIVES)
def test_bad_options_are_refused(method):
    with pytest.raises(ValueError, match=r"`adversarial_loss` must be one of \('logistic', .*got 'wasserstein'"):
        make_objective(method, adversarial_loss="wasserstein")
    for value in (-1.0, math.nan):
        with pytest.raises(ValueError, match="`r2_gamma` must lie in"):
            make_objective(method, r2_gamma=value)


def test_another_threshold_of_the_noise_is_refused():
    scheduler = DiffusionGANScheduler(decision_threshold=0.5)
    with pytest.raises(ValueError, match="`decision_threshold` must be 0 for a training, got 0.5"):
        DiffusionGANObjective(Shifting(), Linear(), scheduler, 2)


def test_gradient_of_the_generator_through_a_pair_ignores_the_real_partner():
    fake = torch.randn(6, 1, requires_grad=True)
    real = torch.randn(6, 1)
    ADVERSARIAL_LOSSES["relativistic"].generator_loss(fake, real).backward()
    torch.testing.assert_close(fake.grad, -F.sigmoid(real - fake.detach()) / 6)
