# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The objective of SPI-GAN (Jeon and Park, arXiv 2206.14464)."""

import math
from dataclasses import dataclass, replace

import torch
from accelerate.utils import extract_model_from_parallel
from torch import nn

from ...data.batch import Batch
from ...schedulers.scheduling_spi_gan import SPIGANScheduler
from ..augmentation import Augmentation
from ..losses import gradient_penalty
from .base import HalfStep, Objective, StepOutput, check_ranges, frozen, lazy, outputs_of


@dataclass
class SPIGANDraws:
    """
    The random numbers of one half-step. Noise that is not given is drawn where it is used.

    Args:
        positions (`torch.Tensor` of shape (B,)): u in (0, 1].
        noise (`torch.Tensor` of the shape of the samples, *optional*): n of x_T.
        latent (`torch.Tensor` of shape (B, w_dim), *optional*):
            h(0), standard normal, for a generator without initial embedding, which takes no x_T.
    """

    positions: torch.Tensor
    noise: torch.Tensor | None = None
    latent: torch.Tensor | None = None


class SPIGANObjective(Objective):
    """
    The adversarial objective of SPI-GAN (arXiv 2206.14464), as we read it.

    Real samples are points i(u) of the straight path between data and noise. The generator makes its samples for the
    same positions u, from the same noisy ends x_T. The discriminator tells the two apart. The loss (by default the
    non-saturating logistic one), R1 and the share of positions at u = 1 are our choices.

    R1 is lazy, as in StyleGAN2, and taken with respect to i(u) before augmentation; R2 is the same for generated
    samples. A relativistic loss compares a point of the path with the sample made for the same u from the same x_T.

    Points of the path and generated samples are augmented alike. How much is decided by the discriminator's outputs
    for clean samples (u = 1) alone: at other positions all samples are partly noise, so outputs near zero say nothing
    about overfitting.

    Args:
        generator ([`SPIGANGenerator`]): G(x_T, u, **condition) -> output with `.sample`.
        discriminator (`nn.Module`): D(x, u, **condition) -> output with `.logits`, (B, L).
        scheduler ([`SPIGANScheduler`]): The straight path.
        r1_gamma (`float`, defaults to 0.01): Weight of R1; 0 turns it off.
        r1_interval (`int`, defaults to 16): Steps between steps for R1 and R2.
        r2_gamma (`float`, defaults to 0.0): Weight of R2; 0 turns it off.
        adversarial_loss (`str`, defaults to `"logistic"`): See [`Objective`].
        augmentation ([`~training.Augmentation`], *optional*): For images.

    Raises:
        ValueError: If a weight is negative, the interval below 1, or the loss unknown.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        scheduler: SPIGANScheduler,
        r1_gamma: float = 0.01,
        r1_interval: int = 16,
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
        self.r1_gamma = r1_gamma
        self.r1_interval = r1_interval
        self.r2_gamma = r2_gamma
        if r1_gamma or r2_gamma:
            self.players["discriminator"] = replace(self.players["discriminator"], lazy_interval=r1_interval)

    @property
    def half_steps(self) -> tuple[HalfStep, ...]:
        """The discriminator, its R1 where that is due, the generator."""
        steps = [HalfStep("discriminator", "discriminator", self.discriminator_loss)]
        if self.r1_gamma or self.r2_gamma:
            steps.append(HalfStep("gradient_penalty", "discriminator", self.gradient_penalty_loss, self.r1_interval))
        return (*steps, HalfStep("generator", "generator", self.generator_loss))

    def draw(self, batch: Batch) -> SPIGANDraws:
        """Positions for a batch of real samples and, where the generator takes no x_T, latents."""
        draws = SPIGANDraws(self.scheduler.sample_positions(len(batch), batch.device))
        noise_shape = extract_model_from_parallel(self.generator).noise_shape
        if noise_shape != batch.samples.shape[1:]:
            draws.latent = torch.randn(len(batch), *noise_shape, device=batch.device, dtype=batch.dtype)
        return draws

    def _path(self, batch: Batch, draws: SPIGANDraws) -> tuple[torch.Tensor, torch.Tensor]:
        """i(u), and what the generator makes its own sample of the position u from."""
        point, terminal = self.scheduler.interpolate(
            batch.samples, draws.positions, draws.noise, return_terminal=True, flip=batch.flip
        )
        return point, terminal if draws.latent is None else draws.latent

    def discriminator_loss(self, batch: Batch, draws: SPIGANDraws | None = None) -> StepOutput:
        """
        Loss of the discriminator on points of the path and on generated samples of the same positions.

        Args:
            batch ([`~data.Batch`]): Real x_0 and their condition.
            draws ([`SPIGANDraws`], *optional*): The random numbers, if they are not to be drawn here.

        Returns:
            [`StepOutput`]: the loss, and what to report of it.
        """
        draws = draws or self.draw(batch)
        with torch.no_grad():
            real, source = self._path(batch, draws)
            fake = self.augmentation(self.generator(source, draws.positions, **batch.condition).sample)
            real = self.augmentation(real)
        # Both in the same order of positions, so that statistics over the batch mix noise levels alike.
        real_output = self.discriminator(real, draws.positions, **batch.condition)
        fake_output = self.discriminator(fake, draws.positions, **batch.condition)
        margins = self.adversarial_loss.real_margins(real_output.logits, fake_output.logits)
        self.augmentation.observe(margins, draws.positions == 1)
        return StepOutput.from_terms(self.adversarial_terms(real_output, fake_output))

    def gradient_penalty_loss(self, batch: Batch, draws: SPIGANDraws | None = None) -> StepOutput:
        """R1 on points of the path and R2 on generated samples, times their interval. Arguments as above."""
        draws = draws or self.draw(batch)
        with torch.no_grad():
            point, source = self._path(batch, draws)
            samples = {"r1": (self.r1_gamma, point)} if self.r1_gamma else {}
            if self.r2_gamma:
                fake = self.generator(source, draws.positions, **batch.condition).sample
                samples["r2"] = (self.r2_gamma, fake)
        terms, outputs = {}, []
        for name, (gamma, images) in samples.items():
            images = images.detach().requires_grad_()
            output = self.discriminator(self.augmentation(images), draws.positions, **batch.condition)
            terms[name] = 0.5 * gamma * gradient_penalty(output.logits, images)
            outputs += outputs_of(output)
        return lazy(terms, self.r1_interval, *outputs)

    def generator_loss(self, batch: Batch, draws: SPIGANDraws | None = None) -> StepOutput:
        """Loss of the generator at new positions, with the discriminator frozen. Arguments as above."""
        draws = draws or self.draw(batch)
        point, source = self._path(batch, draws)
        fake = self.augmentation(self.generator(source, draws.positions, **batch.condition).sample)
        real_logits = None
        with frozen(self.discriminator) as discriminator:
            fake_logits = discriminator(fake, draws.positions, **batch.condition).logits
            if self.adversarial_loss.is_relative:
                real_logits = discriminator(self.augmentation(point), draws.positions, **batch.condition).logits
        loss = self.adversarial_loss.generator_loss(fake_logits, real_logits)
        return StepOutput(loss, {"loss_g": loss.detach()})
