# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The objective of denoising diffusion GANs (Xiao et al. 2022, arXiv 2112.07804)."""

from dataclasses import dataclass

import torch
from torch import nn

from ...data.batch import Batch
from ...schedulers.scheduling_ddgan import DDGANScheduler
from ..losses import discriminator_loss, generator_loss, r1_penalty
from .base import HalfStep, Objective, StepOutput, frozen


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

    Args:
        generator (`nn.Module`): G(x_{t+1}, t, z) -> output with `.sample`, x_0.
        discriminator (`nn.Module`): D(x_t, t, x_{t+1}) -> output with `.logits`, (B, 1).
        scheduler ([`DDGANScheduler`]): The forward process and the posterior.
        latent_dim (`int`): Width of z.
        r1_gamma (`float`, defaults to 0.05): Weight of R1; 0 turns it off.
        r1_interval (`int`, defaults to 1): R1 is added to the loss in every k-th step, the first included.

    Raises:
        ValueError: If the weight is negative or the interval below 1.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        scheduler: DDGANScheduler,
        latent_dim: int,
        r1_gamma: float = 0.05,
        r1_interval: int = 1,
    ):
        if r1_gamma < 0:
            raise ValueError(f"`r1_gamma` must not be negative, got {r1_gamma}.")
        if r1_interval < 1:
            raise ValueError(f"`r1_interval` must be at least 1, got {r1_interval}.")
        super().__init__(generator, discriminator, scheduler)
        self.latent_dim = latent_dim
        self.r1_gamma = r1_gamma
        self.r1_interval = r1_interval

    @property
    def half_steps(self) -> tuple[HalfStep, ...]:
        """The discriminator with R1 where that is due, then the generator."""
        terms = {"r1": self.r1_interval} if self.r1_gamma > 0 else {}
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

    def discriminator_loss(self, batch: Batch, r1: bool = False, draws: DDGANDraws | None = None) -> StepOutput:
        """
        Loss of the discriminator: real pair, and fake pair with the same t and x_{t+1}.

        Args:
            batch ([`~data.Batch`]): Real x_0 and their condition.
            r1 (`bool`, defaults to `False`): Whether to add R1.
            draws ([`DDGANDraws`], *optional*): The random numbers, if they are not to be drawn here.

        Returns:
            [`StepOutput`]: the loss, and what to report of it.
        """
        draws = draws or self.draw(batch)
        t = draws.timesteps
        x_t, x_tp1 = self.scheduler.add_noise_pair(batch.samples, t, noise=draws.noise, flip=batch.flip)
        x_t.requires_grad_(r1)
        real_logits = self.discriminator(x_t, t, x_tp1, **batch.condition).logits
        with torch.no_grad():
            fake_x_t = self._fake(x_tp1, draws, batch.condition)
        fake_logits = self.discriminator(fake_x_t, t, x_tp1, **batch.condition).logits

        loss_real, loss_fake = discriminator_loss(real_logits, fake_logits)
        loss = loss_real + loss_fake
        logs = {"loss_d_real": loss_real.detach(), "loss_d_fake": loss_fake.detach()}
        if r1:
            penalty = 0.5 * self.r1_gamma * r1_penalty(real_logits, x_t)
            loss = loss + penalty
            logs["r1"] = penalty.detach()
        return StepOutput(loss, logs)

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
        _, x_tp1 = self.scheduler.add_noise_pair(batch.samples, t, noise=draws.noise, flip=batch.flip)
        fake_x_t = self._fake(x_tp1, draws, batch.condition)
        with frozen(self.discriminator) as discriminator:
            loss = generator_loss(discriminator(fake_x_t, t, x_tp1, **batch.condition).logits)
        return StepOutput(loss, {"loss_g": loss.detach()})
