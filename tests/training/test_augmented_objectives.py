# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""Where the objectives of the methods augment, and what their augmentation follows."""

import pytest
import torch
from test_losses import OBJECTIVES

from gan_diffusion.data import Batch
from gan_diffusion.models.outputs import DiscriminatorOutput, GeneratorOutput
from gan_diffusion.training import AdaptiveAugmentation, Augmentation, DiffAugmentation


class Scaling(Augmentation):
    """Multiplies each image by a drawn number."""

    def __init__(self):
        self.factors = []

    def draw(self, images, generator=None):
        self.factors.append(torch.randint(2, 9, (len(images), 1, 1, 1)).to(images.dtype))
        factor = self.factors[-1]
        return lambda images: factor * images


class Judge(torch.nn.Module):
    """D(x) = sum of x, with all that it was shown."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.seen = []

    def forward(self, sample, timestep, *others):
        self.seen.append((sample, *others))
        return DiscriminatorOutput(logits=(self.weight * sample).sum((1, 2, 3))[:, None])


class Half(torch.nn.Module):
    """G of any method: images of one value."""

    noise_shape = (1, 4, 4)

    def __init__(self):
        super().__init__()
        self.value = torch.nn.Parameter(torch.tensor(0.5))

    def forward(self, sample, *others):
        return GeneratorOutput(sample=self.value.expand(len(sample), 1, 4, 4).clone())


def make_objective(method, augmentation, **options):
    objective, scheduler, defaults = OBJECTIVES[method]
    torch.manual_seed(0)
    scheduler = scheduler(**({"clean_share": 1.0} if method == "diffusion-gan" else {}))
    return objective(Half(), Judge(), scheduler, **{**defaults, **options}, augmentation=augmentation)


def images() -> torch.Tensor:
    return torch.rand(16, 1, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_images_of_a_pair_are_augmented_alike():
    plain, augmented = (make_objective("ddgan", augmentation) for augmentation in (None, Scaling()))
    draws = plain.draw(Batch(images()))
    draws.noise, draws.posterior_noise = (torch.randn(16, 1, 4, 4), torch.randn(16, 1, 4, 4)), torch.randn(16, 1, 4, 4)
    for name in ("discriminator_loss", "generator_loss"):
        for objective in (plain, augmented):
            objective.discriminator.seen.clear()
            getattr(objective, name)(Batch(images()), draws=draws)
        factors = augmented.augmentation.factors[-len(augmented.discriminator.seen) :]
        for before, after, factor in zip(plain.discriminator.seen, augmented.discriminator.seen, factors, strict=True):
            assert len(before) == 2  # x_t and x_{t+1}
            for one, two in zip(before, after, strict=True):
                assert torch.equal(two, factor * one)
    # Real and generated pairs each have a draw of their own.
    assert len(augmented.augmentation.factors) == 3


def test_images_are_augmented_before_the_noise():
    objective = make_objective("diffusion-gan", Scaling())
    objective.scheduler.register_to_config(noise_std=0.0)
    objective.scheduler.timestep_list[:] = len(objective.scheduler)  # every image at the last timestep
    objective.scheduler._build_tables()
    objective.discriminator_loss(Batch(images()))
    fake, real = (seen[0] for seen in objective.discriminator.seen)
    coef = objective.scheduler.signal_coefs[-1]
    torch.testing.assert_close(fake, coef * objective.augmentation.factors[0] * torch.full((16, 1, 4, 4), 0.5))
    torch.testing.assert_close(real, coef * objective.augmentation.factors[1] * images())


@pytest.mark.parametrize("method", OBJECTIVES)
def test_pixels_with_mirroring_are_augmented_as_the_images_that_they_are(method):
    pixels = torch.randint(256, (16, 1, 4, 4), dtype=torch.uint8)
    flip = torch.arange(16) % 2 == 0
    clean = Batch(pixels, flip=flip).clean_samples()
    shown = []
    for batch in (Batch(pixels, flip=flip), Batch(clean)):
        objective = make_objective(method, Scaling())
        objective.discriminator_loss(batch)
        shown.append(objective.discriminator.seen)
    for one, two in zip(*shown, strict=True):
        torch.testing.assert_close(one[0], two[0])


@pytest.mark.parametrize("method", OBJECTIVES)
def test_penalties_are_with_respect_to_images_before_the_augmentation(method):
    objective = make_objective(method, Scaling(), r1_gamma=2.0, r2_gamma=2.0)
    (half,) = [half for half in objective.half_steps if half.terms or half.name == "gradient_penalty"]
    logs = half.loss(Batch(images()), **half.terms_due(0)).logs
    factors = objective.augmentation.factors
    for name, factor in zip(("r1", "r2"), factors, strict=True):
        torch.testing.assert_close(logs[name], 16 * factor.square().mean())


@pytest.mark.parametrize("kind", [AdaptiveAugmentation(initial_p=0.7), DiffAugmentation()], ids=["adaptive", "diff"])
@pytest.mark.parametrize("method", OBJECTIVES)
def test_the_generator_learns_through_it_and_nobody_else(method, kind):
    objective = make_objective(method, kind)
    objective.generator_loss(Batch(images())).loss.backward()
    assert objective.generator.value.grad.abs() > 0 and objective.discriminator.weight.grad is None
    objective.generator.value.grad = None
    objective.discriminator_loss(Batch(images())).loss.backward()
    assert objective.generator.value.grad is None and objective.discriminator.weight.grad is not None


def test_clean_pairs_steer_it():
    class Sure(Judge):
        """Certain of pairs with t = 0, and that all others are generated."""

        def forward(self, sample, timestep, *others):
            return DiscriminatorOutput(logits=torch.where(timestep == 0, 1.0, -1.0)[:, None] + 0 * sample.sum())

    objective = make_objective("ddgan", AdaptiveAugmentation(adaptation_kimg=0.1, update_interval=2))
    objective.networks["discriminator"] = Sure()
    clean = 0
    for step in range(4):
        draws = objective.draw(Batch(images()))
        clean += int((draws.timesteps == 0).sum())
        objective.discriminator_loss(Batch(images()), draws=draws)
        logs = objective.finish_step(step)
    assert 0 < clean < 40 and logs["augmentation_p"] == pytest.approx(clean / 100)
    other = make_objective("ddgan", AdaptiveAugmentation())
    other.load_state_dict(objective.state_dict())
    assert other.augmentation.p == objective.augmentation.p


def test_the_noise_steers_it():
    """As in the reference implementation: the same p, up to a bound."""
    objective = make_objective("diffusion-gan", AdaptiveAugmentation(max_p=0.25))
    assert objective.augmentation.p == 0
    for p, expected in ((0.1, 0.1), (0.6, 0.25)):
        objective.scheduler.p = p
        assert objective.finish_step(0)["augmentation_p"] == expected == objective.augmentation.p
    other = make_objective("diffusion-gan", AdaptiveAugmentation(max_p=0.25))
    other.load_state_dict(objective.state_dict())
    assert other.augmentation.p == 0.25
