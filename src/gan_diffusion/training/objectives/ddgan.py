# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The objective of denoising diffusion GANs (Xiao et al. 2022, arXiv 2112.07804)."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ...data.batch import Batch
from ...schedulers.scheduling_ddgan import DDGANScheduler
from ..augmentation import Augmentation
from ..losses import gradient_penalty
from .base import HalfStep, Objective, StepOutput, check_ranges, frozen


@dataclass
class DDGANDraws:
    """
    The random numbers of one half-step. Noise that is not given is drawn where it is used.

    Args:
        timesteps (`torch.Tensor` of shape (B,)): t in 0..T-1.
        latent (`torch.Tensor` of shape (B, latent_dim)): z, standard normal.
        noise (pair of `torch.Tensor`, *optional*): (n_t, n_{t+1}) of the real pair.
        posterior_noise (`torch.Tensor`, *optional*): Noise of the posterior draw of the fake x_t.
    """

    timesteps: torch.Tensor
    latent: torch.Tensor
    noise: tuple[torch.Tensor, torch.Tensor] | None = None
    posterior_noise: torch.Tensor | None = None


class DDGANObjective(Objective):
    """
    The adversarial objective of denoising diffusion GANs (arXiv 2112.07804, equations 4 to 6).

    The discriminator tells real pairs (x_t, x_{t+1}) from pairs whose x_t was drawn from the posterior of the
    generator's x_0. R1 is taken with respect to x_t alone and, unlike in StyleGAN2, is not multiplied by its interval.
    R2 is the same for generated pairs, and not part of the method as published. A relativistic loss compares the two
    pairs of one x_{t+1}.

    An augmentation transforms both images of a pair alike, after the noise. How much is decided by the pairs with
    t = 0, whose x_t is clean. R1 is with respect to x_t before it.

    Args:
        generator (`nn.Module`): G(x_{t+1}, t, z) -> output with `.sample`, x_0.
        discriminator (`nn.Module`): D(x_t, t, x_{t+1}) -> output with `.logits`, (B, L).
        scheduler ([`DDGANScheduler`]): The forward process and the posterior.
        latent_dim (`int`): Width of z.
        r1_gamma (`float`, defaults to 0.05): Weight of R1; 0 turns it off.
        r1_interval (`int`, defaults to 1): R1 and R2 are added to the loss in every k-th step, the first included.
        r2_gamma (`float`, defaults to 0.0): Weight of R2; 0 turns it off.
        adversarial_loss (`str`, defaults to `"logistic"`): See [`Objective`].
        augmentation ([`~training.Augmentation`], *optional*): For images, both of a pair alike.

    Raises:
        ValueError: If a weight is negative, the interval below 1, or the loss unknown.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        scheduler: DDGANScheduler,
        latent_dim: int,
        r1_gamma: float = 0.05,
        r1_interval: int = 1,
        r2_gamma: float = 0.0,
        adversarial_loss: str = "logistic",
        augmentation: Augmentation | None = None,
    ):
        check_ranges(
            ("r1_gamma", r1_gamma, 0, math.inf),
            ("r1_interval", r1_interval, 1, math.inf),
            ("r2_gamma", r2_gamma, 0, math.inf),
        )
        super().__init__(generator, discriminator, scheduler, adversarial_loss, augmentation)
        self.latent_dim = latent_dim
        self.r1_gamma = r1_gamma
        self.r1_interval = r1_interval
        self.r2_gamma = r2_gamma

    @property
    def half_steps(self) -> tuple[HalfStep, ...]:
        """The discriminator with R1 and R2 where they are due, then the generator."""
        gammas = {"r1": self.r1_gamma, "r2": self.r2_gamma}
        terms = {name: self.r1_interval for name, gamma in gammas.items() if gamma > 0}
        return (
            HalfStep("discriminator", "discriminator", self.discriminator_loss, terms=terms),
            HalfStep("generator", "generator", self.generator_loss),
        )

    def draw(self, batch: Batch) -> DDGANDraws:
        """Timesteps and latents for a batch of real samples."""
        return DDGANDraws(
            timesteps=torch.randint(len(self.scheduler), (len(batch),), device=batch.device),
            latent=torch.randn(len(batch), self.latent_dim, device=batch.device, dtype=batch.dtype),
        )

    def _fake(self, x_tp1: torch.Tensor, draws: DDGANDraws, condition: dict[str, torch.Tensor]) -> torch.Tensor:
        """x_t drawn from the posterior of the generator's x_0."""
        pred_x_0 = self.generator(x_tp1, draws.timesteps, draws.latent, **condition).sample
        step = self.scheduler.step(pred_x_0, draws.timesteps, x_tp1, variance_noise=draws.posterior_noise)
        return step.prev_sample

    def _judge(
        self,
        discriminator: nn.Module,
        x_t: torch.Tensor,
        x_tp1: torch.Tensor,
        draws: DDGANDraws,
        condition: dict[str, torch.Tensor],
    ) -> Any:
        """What is said of a pair, whose images are augmented alike."""
        transform = self.augmentation.draw(x_t)
        return discriminator(transform(x_t), draws.timesteps, transform(x_tp1), **condition)

    def discriminator_loss(
        self, batch: Batch, r1: bool = False, r2: bool = False, draws: DDGANDraws | None = None
    ) -> StepOutput:
        """
        Loss of the discriminator: real pair, and fake pair with the same t and x_{t+1}.

        Args:
            batch ([`~data.Batch`]): Real x_0 and their condition.
            r1 (`bool`, defaults to `False`): Whether to add R1.
            r2 (`bool`, defaults to `False`): Whether to add R2.
            draws ([`DDGANDraws`], *optional*): The random numbers, if they are not to be drawn here.

        Returns:
            [`StepOutput`]: the loss, and what to report of it.
        """
        draws = draws or self.draw(batch)
        t = draws.timesteps
        x_t, x_tp1 = self.scheduler.add_noise_pair(batch.samples, t, noise=draws.noise, flip=batch.flip)
        x_t.requires_grad_(r1)
        real = self._judge(self.discriminator, x_t, x_tp1, draws, batch.condition)
        with torch.no_grad():
            fake_x_t = self._fake(x_tp1, draws, batch.condition)
        fake_x_t.requires_grad_(r2)
        fake = self._judge(self.discriminator, fake_x_t, x_tp1, draws, batch.condition)
        self.augmentation.observe(self.adversarial_loss.real_margins(real.logits, fake.logits), t == 0)

        terms = self.adversarial_terms(real, fake)
        if r1:
            terms["r1"] = 0.5 * self.r1_gamma * gradient_penalty(real.logits, x_t)
        if r2:
            terms["r2"] = 0.5 * self.r2_gamma * gradient_penalty(fake.logits, fake_x_t)
        return StepOutput.from_terms(terms)

    def generator_loss(self, batch: Batch, draws: DDGANDraws | None = None) -> StepOutput:
        """
        Loss of the generator on a new noisy pair of the same real samples, with the discriminator frozen.

        Args:
            batch ([`~data.Batch`]): Real x_0 and their condition.
            draws ([`DDGANDraws`], *optional*): The random numbers, if they are not to be drawn here.

        Returns:
            [`StepOutput`]: the loss, and what to report of it.
        """
        draws = draws or self.draw(batch)
        t = draws.timesteps
        x_t, x_tp1 = self.scheduler.add_noise_pair(batch.samples, t, noise=draws.noise, flip=batch.flip)
        fake_x_t = self._fake(x_tp1, draws, batch.condition)
        real_logits = None
        with frozen(self.discriminator) as discriminator:
            fake_logits = self._judge(discriminator, fake_x_t, x_tp1, draws, batch.condition).logits
            if self.adversarial_loss.is_relative:
                real_logits = self._judge(discriminator, x_t, x_tp1, draws, batch.condition).logits
        loss = self.adversarial_loss.generator_loss(fake_logits, real_logits)
        return StepOutput(loss, {"loss_g": loss.detach()})
