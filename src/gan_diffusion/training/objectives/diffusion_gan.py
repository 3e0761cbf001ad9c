# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The objective of Diffusion-GAN (Wang et al. 2023, arXiv 2206.02262) with the regularisations of StyleGAN2."""

import math
from dataclasses import dataclass, replace

import torch
from accelerate.utils import extract_model_from_parallel
from torch import nn

from ...data.batch import Batch
from ...models.discriminators.diffused import ChannelNoise
from ...schedulers.scheduling_diffusion_gan import DiffusionGANScheduler
from ..augmentation import AdaptiveAugmentation, Augmentation
from ..losses import gradient_penalty, inconsistency, path_lengths
from .base import HalfStep, Objective, StepOutput, check_ranges, frozen, lazy, mean_of_processes, outputs_of


NOISE_PLACES = ("samples", "features")


@dataclass
class DiffusionGANDraws:
    """
    The random numbers of one half-step. Noise that is not given is drawn where it is used.

    Args:
        latent (`torch.Tensor` of shape (B, latent_dim)): z, standard normal.
        fake_timesteps, real_timesteps (`torch.Tensor` of shape (B,)): t in 0..T of the generated and of the real
            samples.
        fake_noise, real_noise (`torch.Tensor`, *optional*): n, of the shape of the samples.
        style_mixing (`tuple[torch.Tensor, int]`, *optional*): Second latent, and the first layer that takes its
            styles.
        projection (`torch.Tensor`, *optional*): Standard normal, of the shape of the images whose path lengths are
            measured.
    """

    latent: torch.Tensor
    fake_timesteps: torch.Tensor
    real_timesteps: torch.Tensor
    fake_noise: torch.Tensor | None = None
    real_noise: torch.Tensor | None = None
    style_mixing: tuple[torch.Tensor, int] | None = None
    projection: torch.Tensor | None = None


class DiffusionGANObjective(Objective):
    """
    The adversarial objective of Diffusion-GAN (arXiv 2206.02262) with the regularisations of StyleGAN2.

    Real and generated samples are diffused, each to a timestep of its own, before the discriminator, which is told the
    timestep. The generator learns through the noise: its gradient carries sqrt(abar_t). R1 is taken with respect to
    the clean real sample, through the noise as well, and R2, which is not part of the method as published, with
    respect to the clean generated one. The regularisations are lazy: every `interval` steps, multiplied by `interval`,
    in an optimiser step of their own.

    A relativistic loss compares a real and a generated sample, so the two have the same timestep there. What the noise
    adapts to is then the sign of their difference.

    The published StyleGAN2 runs use no augmentation besides the noise. One that is given comes before the noise, for
    real and generated images alike, and R1 is with respect to the image before it. An adaptive one takes its
    probability from the noise's own p, as in the reference implementation.

    Diffusion-ProjectedGAN has the noise on features instead: `noise_on="features"` leaves samples clean, and has the
    discriminator diffuse its feature maps, each channel to a timestep of its own.

    Args:
        generator (`nn.Module`): G(z, **condition) -> output with `.sample` and, for path lengths and style mixing,
            `.ws`.
        discriminator (`nn.Module`): D(x_t, t, **condition) -> output with `.logits`, (B, L).
        scheduler ([`DiffusionGANScheduler`]):
            The noise; its length adapts here. Its `decision_threshold` must be 0, as it is for all losses here.
        latent_dim (`int`): Width of z.
        r1_gamma (`float`, defaults to 0.01): Weight of R1; 0 turns it off.
        r1_interval (`int`, defaults to 16): Steps between steps for R1 and R2.
        r2_gamma (`float`, defaults to 0.0): Weight of R2; 0 turns it off.
        path_length_weight (`float`, defaults to 0.0): Weight of the path-length regularisation (StyleGAN2: 2); 0 turns
            it off.
        path_length_interval (`int`, defaults to 4):
            Steps between path-length steps. Adam is adapted to them also where the weight is 0, as in the published
            CIFAR-10 model; 0 prevents that.
        path_length_batch_shrink (`int`, defaults to 2): Path lengths are measured on 1/2 of the batch.
        path_length_decay (`float`, defaults to 0.01): Weight of a new mean length in the moving average.
        style_mixing_probability (`float`, defaults to 0.0): Share of the steps that mix the styles of two latents.
        adversarial_loss (`str`, defaults to `"logistic"`): See [`Objective`].
        augmentation ([`~training.Augmentation`], *optional*): For images.
        noise_on (`str`, defaults to `"samples"`):
            "samples", or "features" for a discriminator with `feature_noise`, such as [`ProjectedDiscriminator`].
        consistency_weight (`float`, defaults to 0.0):
            Weight of the distance between what the two halves of a [`ProjectedDiscriminator`] with two frozen networks
            say, in the losses of both players; 0 turns it off.

    Raises:
        ValueError: If an argument is out of its range, the loss unknown, the noise cannot be put there, or there are
            not two frozen networks where they are to be consistent.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        scheduler: DiffusionGANScheduler,
        latent_dim: int,
        r1_gamma: float = 0.01,
        r1_interval: int = 16,
        r2_gamma: float = 0.0,
        path_length_weight: float = 0.0,
        path_length_interval: int = 4,
        path_length_batch_shrink: int = 2,
        path_length_decay: float = 0.01,
        style_mixing_probability: float = 0.0,
        adversarial_loss: str = "logistic",
        augmentation: Augmentation | None = None,
        noise_on: str = "samples",
        consistency_weight: float = 0.0,
    ):
        check_ranges(
            ("r1_gamma", r1_gamma, 0, math.inf),
            ("r1_interval", r1_interval, 1, math.inf),
            ("r2_gamma", r2_gamma, 0, math.inf),
            ("path_length_weight", path_length_weight, 0, math.inf),
            ("path_length_interval", path_length_interval, 1 if path_length_weight > 0 else 0, math.inf),
            ("path_length_batch_shrink", path_length_batch_shrink, 1, math.inf),
            ("path_length_decay", path_length_decay, 0, 1),
            ("style_mixing_probability", style_mixing_probability, 0, 1),
            ("consistency_weight", consistency_weight, 0, math.inf),
        )
        if scheduler.config.decision_threshold:
            raise ValueError(
                f"`decision_threshold` must be 0 for a training, got {scheduler.config.decision_threshold}: every "
                "`adversarial_loss` calls a sample real above 0."
            )
        super().__init__(generator, discriminator, scheduler, adversarial_loss, augmentation)
        self._follow_noise()
        self.noise_on = noise_on
        self._place_noise()
        self.consistency_weight = consistency_weight
        self._check_consistency()
        self.latent_dim = latent_dim
        self.r1_gamma = r1_gamma
        self.r1_interval = r1_interval
        self.r2_gamma = r2_gamma
        self.path_length_weight = path_length_weight
        self.path_length_interval = path_length_interval
        self.path_length_batch_shrink = path_length_batch_shrink
        self.path_length_decay = path_length_decay
        self.style_mixing_probability = style_mixing_probability
        self.mean_path_length = 0.0
        self.players["discriminator"] = replace(
            self.players["discriminator"], lazy_interval=r1_interval if r1_gamma or r2_gamma else None
        )
        self.players["generator"] = replace(self.players["generator"], lazy_interval=path_length_interval or None)

    def _place_noise(self) -> None:
        """Hands the noise to a discriminator that is to put it on its features."""
        if self.noise_on not in NOISE_PLACES:
            raise ValueError(f"`noise_on` must be one of {NOISE_PLACES}, got {self.noise_on!r}.")
        network = extract_model_from_parallel(self.discriminator)
        if hasattr(network, "feature_noise"):
            network.feature_noise = ChannelNoise(self.scheduler) if self.noise_on == "features" else None
        if self.noise_on == "samples":
            return
        name = type(network).__name__
        if not hasattr(network, "feature_noise"):
            raise ValueError(f"`noise_on` must be 'samples' for a {name}, which has no feature maps, got 'features'.")
        if network.config.timestep_embedding is not None:
            raise ValueError(
                "`timestep_embedding` must be None where each channel has a timestep of its own, got a discriminator with "
                f"{network.config.timestep_embedding!r}. Take `noise_on` 'samples' for it."
            )
        if self.adversarial_loss.is_relative:
            raise ValueError(
                "`noise_on` must be 'samples' for a relative loss, whose pairs have one timestep, got 'features'."
            )

    def _check_consistency(self) -> None:
        """Refuses a weight of what a discriminator without two frozen networks does not have."""
        network = extract_model_from_parallel(self.discriminator)
        if self.consistency_weight and getattr(network, "second_mixing", None) is None:
            raise ValueError(
                f"`consistency_weight` must be 0 for a discriminator without two frozen networks, got "
                f"{self.consistency_weight}. Name two in the `feature_network` of a ProjectedDiscriminator, or leave it out."
            )

    @property
    def half_steps(self) -> tuple[HalfStep, ...]:
        """The discriminator, R1 and R2 where they are due, the generator, its path lengths where they are due."""
        steps = [HalfStep("discriminator", "discriminator", self.discriminator_loss)]
        if self.r1_gamma or self.r2_gamma:
            steps.append(HalfStep("gradient_penalty", "discriminator", self.gradient_penalty_loss, self.r1_interval))
        steps.append(HalfStep("generator", "generator", self.generator_loss))
        if self.path_length_weight > 0:
            steps.append(HalfStep("path_lengths", "generator", self.path_length_loss, self.path_length_interval))
        return tuple(steps)

    def draw(self, batch: Batch) -> DiffusionGANDraws:
        """Latents, style mixing, and timesteps, which real and generated samples share in a relative loss alone."""
        batch_size, device = len(batch), batch.device

        def latent():
            return torch.randn(batch_size, self.latent_dim, device=device, dtype=batch.dtype)

        def timesteps():
            if self.noise_on == "features":
                return torch.zeros(batch_size, dtype=torch.int64, device=device)
            return self.scheduler.sample_timesteps(batch_size, device)

        draws = DiffusionGANDraws(latent(), timesteps(), timesteps())
        if self.adversarial_loss.is_relative:
            draws.real_timesteps = draws.fake_timesteps
        # One draw for the whole batch, as in StyleGAN2.
        if torch.rand(()) < self.style_mixing_probability:
            num_ws = extract_model_from_parallel(self.generator).synthesis.num_ws
            draws.style_mixing = (latent(), int(torch.randint(1, num_ws, ())))
        return draws

    def _generate(self, draws: DiffusionGANDraws, condition: dict[str, torch.Tensor]):
        """The generator's output; style mixing is an argument of generators that know it."""
        options = {} if draws.style_mixing is None else {"style_mixing": draws.style_mixing}
        return self.generator(draws.latent, **condition, **options)

    def _diffuse(self, samples: torch.Tensor, noise: torch.Tensor | None, timesteps: torch.Tensor) -> torch.Tensor:
        """Float samples as the discriminator sees them."""
        return self.scheduler.add_noise(self.augmentation(samples), noise, timesteps)

    def _diffuse_real(self, batch: Batch, draws: DiffusionGANDraws) -> torch.Tensor:
        """Real samples as the discriminator sees them. Without augmentation, pixels go to the noise as they are."""
        if type(self.augmentation) is not Augmentation:
            return self._diffuse(batch.clean_samples(), draws.real_noise, draws.real_timesteps)
        return self.scheduler.add_noise(batch.samples, draws.real_noise, draws.real_timesteps, flip=batch.flip)

    def _follow_noise(self) -> dict[str, float]:
        """Hands p to an adaptive augmentation. Returns numbers to report."""
        if isinstance(self.augmentation, AdaptiveAugmentation):
            return self.augmentation.follow(self.scheduler.p)
        return {}

    def discriminator_loss(self, batch: Batch, draws: DiffusionGANDraws | None = None) -> StepOutput:
        """
        Loss of the discriminator on diffused real and generated samples.

        Args:
            batch ([`~data.Batch`]): Real samples and their condition, which is used for the generated ones too.
            draws ([`DiffusionGANDraws`], *optional*): The random numbers, if they are not to be drawn here.

        Returns:
            [`StepOutput`]: the loss, and what to report of it.
        """
        draws = draws or self.draw(batch)
        with torch.no_grad():
            fake = self._generate(draws, batch.condition).sample
        return StepOutput.from_terms(self._discriminator_terms(batch, fake, draws))

    def _discriminator_terms(
        self, batch: Batch, fake: torch.Tensor, draws: DiffusionGANDraws
    ) -> dict[str, torch.Tensor]:
        """Terms of the discriminator's loss on real and on given generated samples."""
        with torch.no_grad():
            fake = self._diffuse(fake, draws.fake_noise, draws.fake_timesteps)
            real = self._diffuse_real(batch, draws)
        fake_output = self.discriminator(fake, draws.fake_timesteps, **batch.condition)
        real_output = self.discriminator(real, draws.real_timesteps, **batch.condition)
        self.scheduler.observe(self.adversarial_loss.real_margins(real_output.logits, fake_output.logits))
        terms = self.adversarial_terms(real_output, fake_output)
        if self.consistency_weight:
            distance = inconsistency(real_output.mean_logits) + inconsistency(fake_output.mean_logits)
            terms["loss_d_consistency"] = self.consistency_weight * distance
        return terms

    def gradient_penalty_loss(self, batch: Batch, draws: DiffusionGANDraws | None = None) -> StepOutput:
        """R1 on the clean real samples and R2 on generated ones, times their interval. Arguments as above."""
        draws = draws or self.draw(batch)
        terms, outputs = {}, []
        if self.r1_gamma > 0:
            # The gradient is with respect to the clean sample, so that must be a float tensor.
            samples = batch.clean_samples().detach().requires_grad_()
            real = self._diffuse(samples, draws.real_noise, draws.real_timesteps)
            output = self.discriminator(real, draws.real_timesteps, **batch.condition)
            terms["r1"] = 0.5 * self.r1_gamma * gradient_penalty(output.logits, samples)
            outputs += outputs_of(output)
            if not self.adversarial_loss.is_relative:
                self.scheduler.observe(output.logits, new_images=False)
        if self.r2_gamma > 0:
            with torch.no_grad():
                samples = self._generate(draws, batch.condition).sample
            samples.requires_grad_()
            fake = self._diffuse(samples, draws.fake_noise, draws.fake_timesteps)
            output = self.discriminator(fake, draws.fake_timesteps, **batch.condition)
            terms["r2"] = 0.5 * self.r2_gamma * gradient_penalty(output.logits, samples)
            outputs += outputs_of(output)
        return lazy(terms, self.r1_interval, *outputs)

    def generator_loss(self, batch: Batch, draws: DiffusionGANDraws | None = None) -> StepOutput:
        """Loss of the generator through the noise, with the discriminator frozen. Arguments as above."""
        draws = draws or self.draw(batch)
        fake = self._generate(draws, batch.condition).sample
        return StepOutput.from_terms(self._generator_terms(batch, fake, draws))

    def _generator_terms(self, batch: Batch, fake: torch.Tensor, draws: DiffusionGANDraws) -> dict[str, torch.Tensor]:
        """Terms of the generator's loss on its samples."""
        fake = self._diffuse(fake, draws.fake_noise, draws.fake_timesteps)
        real_logits = None
        with frozen(self.discriminator) as discriminator:
            output = discriminator(fake, draws.fake_timesteps, **batch.condition)
            if self.adversarial_loss.is_relative:
                real = self._diffuse_real(batch, draws)
                real_logits = discriminator(real, draws.real_timesteps, **batch.condition).logits
        terms = {"loss_g": self.adversarial_loss.generator_loss(output.logits, real_logits)}
        if self.consistency_weight:
            terms["loss_g_consistency"] = self.consistency_weight * inconsistency(output.mean_logits)
        return terms

    def path_length_loss(self, batch: Batch, draws: DiffusionGANDraws | None = None) -> StepOutput:
        """Path-length regularisation on part of the batch, times its interval. Arguments as above."""
        batch = batch.first(max(1, len(batch) // self.path_length_batch_shrink))
        draws = draws or self.draw(batch)
        output = self._generate(draws, batch.condition)
        lengths = path_lengths(output.sample, output.ws, draws.projection)
        # The new mean is not detached where it enters the penalty, as in the reference; the stored one is.
        mean = torch.lerp(lengths.new_tensor(self.mean_path_length), lengths.mean(), self.path_length_decay)
        self.mean_path_length = mean_of_processes(mean.detach())
        penalty = self.path_length_weight * (lengths - mean).square().mean()
        result = lazy({"path_length_penalty": penalty}, self.path_length_interval, output.sample)
        result.logs["path_length"] = lengths.mean().detach()
        return result

    def finish_step(self, step: int) -> dict[str, float]:
        """Adapts the length of the diffusion when it is time."""
        self.scheduler.adapt()
        return {"p": self.scheduler.p, "T": len(self.scheduler), **self._follow_noise()}

    def state_dict(self) -> dict:
        """The states of scheduler and augmentation, and the mean path length."""
        state = {"scheduler": self.scheduler.state_dict(), "mean_path_length": self.mean_path_length}
        return super().state_dict() | state

    def load_state_dict(self, state: dict) -> None:
        """Puts back what `state_dict` gave."""
        super().load_state_dict(state)
        self.scheduler.load_state_dict(state["scheduler"])
        self.mean_path_length = state["mean_path_length"]
