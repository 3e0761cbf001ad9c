# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The objective of Diffusion-InsGen: Diffusion-GAN (arXiv 2206.02262) and InsGen (arXiv 2106.04566)."""

import copy
import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from accelerate.utils import extract_model_from_parallel
from torch import nn

from ...data.batch import Batch
from ...models.discriminators.contrastive import ContrastiveHead
from ...schedulers.scheduling_diffusion_gan import DiffusionGANScheduler
from ..transforms import draw_transform
from .base import Player, check_ranges, frozen, of_all_processes
from .diffusion_gan import DiffusionGANDraws, DiffusionGANObjective


class InsGenObjective(DiffusionGANObjective):
    """
    Diffusion-GAN whose discriminator also tells single images apart (InsGen, Yang et al. 2021, arXiv 2106.04566).

    Two views of an image, by random transformations, go to the discriminator and to a moving average of it, without
    noise and as t = 0. A contrastive head on the features is to find the second view, the key, among those of other
    images. There is one head for real and one for generated images. For the discriminator, the key of a generated
    image is a view of the image from a nearby latent; for the generator it is another view of the same image.

    As in the reference implementation, the queue of the head for generated images is filled with what its momentum
    copy makes of the queries, and the generator's half-step fills none. The heads learn in the discriminator's
    half-step, that for generated images at the generator's learning rate. A key is part of the queues of all
    processes.

    Networks: "real_head" and "fake_head", and "discriminator_average".

    Args:
        generator (`nn.Module`): As in [`DiffusionGANObjective`], of images.
        discriminator (`nn.Module`):
            D(x_t, t, **condition), with an attribute `feature_channels` and an argument `return_features` for an
            output with `.features`, as [`StyleGAN2Discriminator`] has them.
        scheduler ([`DiffusionGANScheduler`]): The noise.
        latent_dim (`int`): Width of z.
        queue_size (`int`): Keys in each queue; 5 % of the training images in the reference implementation.
        view_p (`float`, defaults to 0.2): Probability of each transformation of a view.
        latent_noise_std (`float`, defaults to 0.15): Standard deviation of the distance to a nearby latent.
        generator_weight (`float`, defaults to 0.1): Weight of the generator's contrastive term; the others have 1.
        average_momentum (`float`, defaults to 0.999): Share that the discriminator's average keeps in each step.
        options (`Any`): Further arguments of [`DiffusionGANObjective`].

    Raises:
        ValueError: If an argument is out of its range, or the discriminator gives no features.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        scheduler: DiffusionGANScheduler,
        latent_dim: int,
        queue_size: int,
        view_p: float = 0.2,
        latent_noise_std: float = 0.15,
        generator_weight: float = 0.1,
        average_momentum: float = 0.999,
        **options: Any,
    ):
        check_ranges(
            ("queue_size", queue_size, 1, 2**31),
            ("view_p", view_p, 0, 1),
            ("latent_noise_std", latent_noise_std, 0, 2**31),
            ("generator_weight", generator_weight, 0, 2**31),
            ("average_momentum", average_momentum, 0, 1),
        )
        # A config may have channels of other features, and diffusers warns where they are looked up in the network.
        gives_features = "return_features" in inspect.signature(discriminator.forward).parameters
        channels = getattr(discriminator, "feature_channels", None) if gives_features else None
        if not isinstance(channels, int):
            raise ValueError(
                "`discriminator` must give features of images for `--instance_discrimination`, as a StyleGAN2Discriminator "
                f"does, got a {type(discriminator).__name__}."
            )
        super().__init__(generator, discriminator, scheduler, latent_dim, **options)
        self.view_p = view_p
        self.latent_noise_std = latent_noise_std
        self.generator_weight = generator_weight
        self.average_momentum = average_momentum
        self.networks |= {
            name: ContrastiveHead(channels, queue_size=queue_size) for name in ("real_head", "fake_head")
        }
        self.networks["discriminator_average"] = copy.deepcopy(discriminator).requires_grad_(False)
        player, of_generator = self.players["discriminator"], self.players["generator"]
        self.players["discriminator"] = replace(
            player,
            networks=(*player.networks, "real_head"),
            partners=(Player(("fake_head",), of_generator.learning_rate, of_generator.lazy_interval),),
        )

    def _features(self, network: nn.Module, images: torch.Tensor, condition: Mapping[str, torch.Tensor]):
        """Features of a new view of each image, as clean ones."""
        view = draw_transform(images, self.view_p)(images)
        timesteps = torch.zeros(len(images), dtype=torch.int64, device=images.device)
        return network(view, timesteps, **condition, return_features=True).features

    def _key_features(self, images: torch.Tensor, condition: Mapping[str, torch.Tensor]) -> torch.Tensor:
        with torch.no_grad():
            return self._features(self.networks["discriminator_average"], images, condition)

    def _discriminator_terms(
        self, batch: Batch, fake: torch.Tensor, draws: DiffusionGANDraws
    ) -> dict[str, torch.Tensor]:
        terms = super()._discriminator_terms(batch, fake, draws)
        real = batch.clean_samples()
        nearby = draws.latent + self.latent_noise_std * torch.randn_like(draws.latent)
        with torch.no_grad():
            fake_key = self._generate(replace(draws, latent=nearby), batch.condition).sample
        for name, images, key_images in (("real", real, real), ("fake", fake, fake_key)):
            query = self._features(self.discriminator, images, batch.condition)
            key = self._key_features(key_images, batch.condition)
            head = self.networks[f"{name}_head"]
            plain_head: Any = extract_model_from_parallel(head)
            plain_head.update_momentum()
            output = head(query, key)
            terms[f"contrast_{name}"] = _cross_entropy(output.logits)
            new = output.momentum_keys if name == "real" else output.momentum_queries
            plain_head.enqueue(of_all_processes(new))
        return terms

    def _generator_terms(self, batch: Batch, fake: torch.Tensor, draws: DiffusionGANDraws) -> dict[str, torch.Tensor]:
        terms = super()._generator_terms(batch, fake, draws)
        key = self._key_features(fake.detach(), batch.condition)
        with frozen(self.discriminator) as discriminator, frozen(self.networks["fake_head"]) as head:
            query = self._features(discriminator, fake, batch.condition)
            head.update_momentum()  # pyright: ignore[reportCallIssue] (a ContrastiveHead)
            terms["contrast_g"] = self.generator_weight * _cross_entropy(head(query, key).logits)
        return terms

    @torch.no_grad()
    def finish_step(self, step: int) -> dict[str, float]:
        """Adapts the noise when it is time, and moves the average of the discriminator."""
        logs = super().finish_step(step)
        # Last, because a step that fails here is finished again from where it was.
        average: list[torch.Tensor] = [*self.networks["discriminator_average"].parameters()]
        torch._foreach_lerp_(average, [*self.discriminator.parameters()], 1 - self.average_momentum)
        return logs


def _cross_entropy(logits: torch.Tensor) -> torch.Tensor:
    """Of the right class 0."""
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.int64, device=logits.device))
