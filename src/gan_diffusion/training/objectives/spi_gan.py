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
from ...schedulers.sign_statistic import SignStatistic
from ..augmentation import AdaptiveAugmentation
from ..losses import discriminator_loss, generator_loss, r1_penalty
from .base import HalfStep, Objective, StepOutput, frozen, lazy


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
    same positions u, from the same noisy ends x_T. The discriminator tells the two apart. The loss (non-saturating
    logistic), R1 and the share of positions at u = 1 are our choices.

    R1 is lazy, as in StyleGAN2, and taken with respect to i(u) before augmentation. Points of the path and generated
    samples are augmented alike. How much is decided by the discriminator's outputs for clean samples (u = 1) alone: at
    other positions all samples are partly noise, so outputs near zero say nothing about overfitting.

    Args:
        generator ([`SPIGANGenerator`]): G(x_T, u, **condition) -> output with `.sample`.
        discriminator (`nn.Module`): D(x, u, **condition) -> output with `.logits`, (B, 1).
        scheduler ([`SPIGANScheduler`]): The straight path.
        r1_gamma (`float`, defaults to 0.01): Weight of R1; 0 turns it off.
        r1_interval (`int`, defaults to 16): Steps between R1 steps.
        augmentation ([`~training.AdaptiveAugmentation`], *optional*): For images.
        update_interval (`int`, defaults to 4): Steps between updates of the augmentation.

    Raises:
        ValueError: If the weight is negative or an interval below 1.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        scheduler: SPIGANScheduler,
        r1_gamma: float = 0.01,
        r1_interval: int = 16,
        augmentation: AdaptiveAugmentation | None = None,
        update_interval: int = 4,
    ):
        for name, value, low in (
            ("r1_gamma", r1_gamma, 0),
            ("r1_interval", r1_interval, 1),
            ("update_interval", update_interval, 1),
        ):
            if not low <= value < math.inf:
                raise ValueError(f"`{name}` must be at least {low}, got {value}.")
        super().__init__(generator, discriminator, scheduler)
        self.r1_gamma = r1_gamma
        self.r1_interval = r1_interval
        self.augmentation = augmentation
        self.update_interval = update_interval
        self._statistic = SignStatistic()
        if r1_gamma > 0:
            self.players["discriminator"] = replace(self.players["discriminator"], lazy_interval=r1_interval)

    @property
    def half_steps(self) -> tuple[HalfStep, ...]:
        """The discriminator, its R1 where that is due, the generator."""
        steps = [HalfStep("discriminator", "discriminator", self.discriminator_loss)]
        if self.r1_gamma > 0:
            steps.append(HalfStep("r1", "discriminator", self.r1_loss, self.r1_interval))
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

    def _augment(self, samples: torch.Tensor) -> torch.Tensor:
        return samples if self.augmentation is None else self.augmentation(samples)

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
            fake = self._augment(self.generator(source, draws.positions, **batch.condition).sample)
            real = self._augment(real)
        # Both in the same order of positions, so that statistics over the batch mix noise levels alike.
        real_logits = self.discriminator(real, draws.positions, **batch.condition).logits
        fake_logits = self.discriminator(fake, draws.positions, **batch.condition).logits
        if self.augmentation is not None:
            self._statistic.observe(real_logits[draws.positions == 1])
        loss_real, loss_fake = discriminator_loss(real_logits, fake_logits)
        return StepOutput(
            loss_real + loss_fake, {"loss_d_real": loss_real.detach(), "loss_d_fake": loss_fake.detach()}
        )

    def r1_loss(self, batch: Batch, draws: SPIGANDraws | None = None) -> StepOutput:
        """R1 on points of the path, times its interval. Arguments as above."""
        draws = draws or self.draw(batch)
        point = self._path(batch, draws)[0].detach().requires_grad_()
        logits = self.discriminator(self._augment(point), draws.positions, **batch.condition).logits
        penalty = 0.5 * self.r1_gamma * r1_penalty(logits, point)
        return StepOutput(lazy(penalty, self.r1_interval, logits), {"r1": penalty.detach()})

    def generator_loss(self, batch: Batch, draws: SPIGANDraws | None = None) -> StepOutput:
        """Loss of the generator at new positions, with the discriminator frozen. Arguments as above."""
        draws = draws or self.draw(batch)
        _, source = self._path(batch, draws)
        fake = self._augment(self.generator(source, draws.positions, **batch.condition).sample)
        with frozen(self.discriminator) as discriminator:
            loss = generator_loss(discriminator(fake, draws.positions, **batch.condition).logits)
        return StepOutput(loss, {"loss_g": loss.detach()})

    def finish_step(self, step: int) -> dict[str, float]:
        """Adapts the augmentation when it is time."""
        if self.augmentation is None:
            return {}
        if (step + 1) % self.update_interval == 0:
            sign_mean, images = self._statistic.reduce()
            if sign_mean is not None:  # There may have been no clean sample.
                self.augmentation.update(sign_mean, images)
                self._statistic.reset()
        return {"augmentation_p": self.augmentation.p}

    def state_dict(self) -> dict:
        """The augmentation's state, and what it follows."""
        if self.augmentation is None:
            return {}
        return {"augmentation": self.augmentation.state_dict(), "statistic": self._statistic.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        """Puts back what `state_dict` gave."""
        if self.augmentation is not None:
            self.augmentation.load_state_dict(state["augmentation"])
            self._statistic.load_state_dict(state["statistic"])
