# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Diffusion-GAN's noise around any discriminator, and on the features of one."""

import inspect

import torch
from torch import nn

from ...schedulers.scheduling_diffusion_gan import DiffusionGANScheduler


class DiffusedDiscriminator(nn.Module):
    """
    Wraps a discriminator of any GAN so that it judges diffused samples (Diffusion-GAN, arXiv 2206.02262).

    Everything else in the training loop stays as it is, but for one call of `adapt` per iteration:

    ```py
    scheduler = DiffusionGANScheduler()
    discriminator = DiffusedDiscriminator(discriminator, scheduler)
    ...
    real_logits = discriminator(real).logits  # losses and gradients as before; real and generated samples alike
    ...
    discriminator.adapt(real_logits)
    ```

    A gradient penalty on `real` goes through the noise, as it should. Save `scheduler.state_dict()` with the networks.

    Args:
        discriminator (`nn.Module`): D(x, t, ...) or, with `pass_timesteps=False`, D(x, ...).
        scheduler ([`DiffusionGANScheduler`]): The noise.
        pass_timesteps (`bool`, defaults to `True`):
            Whether the discriminator is told the timestep, int64 of shape (B,), as its second argument. The method is
            defined with it; its authors report that it usually helps.

    Raises:
        TypeError: If the discriminator cannot be called that way.
    """

    def __init__(self, discriminator: nn.Module, scheduler: DiffusionGANScheduler, pass_timesteps: bool = True):
        super().__init__()
        _check_signature(discriminator, pass_timesteps)
        self.discriminator = discriminator
        self.scheduler = scheduler
        self.pass_timesteps = pass_timesteps

    def forward(self, sample: torch.Tensor, *args, **kwargs):
        """
        Diffuses each sample to a timestep of its own, then calls the discriminator.

        Args:
            sample (`torch.Tensor` of shape (B, ...)): Real or generated samples, images in [-1, 1] or vectors.
            args (*optional*): Further positional arguments of the discriminator, after the timestep.
            kwargs (*optional*): Further keyword arguments of the discriminator.

        Returns:
            What the discriminator returns, unchanged: a tensor, or an output with `.logits`.
        """
        timesteps = self.scheduler.sample_timesteps(sample.shape[0], sample.device)
        noisy = self.scheduler.add_noise(sample, None, timesteps)
        if self.pass_timesteps:
            return self.discriminator(noisy, timesteps, *args, **kwargs)
        return self.discriminator(noisy, *args, **kwargs)

    def adapt(self, real_logits: torch.Tensor) -> bool:
        """
        Ends an iteration of the training loop: the noise follows how sure the discriminator is of real samples.

        Args:
            real_logits (`torch.Tensor`):
                The logits of this iteration's real samples; positive means real. Of an output, its `.logits`.

        Returns:
            `bool`: whether the length of the diffusion was updated.

        Raises:
            TypeError: If `real_logits` is not a tensor.
            ValueError: If an update is due and the logits are not numbers.
        """
        if not isinstance(real_logits, torch.Tensor):
            raise TypeError(
                f"`real_logits` must be a tensor, got {type(real_logits).__name__}. Pass the `.logits` of an output."
            )
        self.scheduler.observe(real_logits)
        return self.scheduler.adapt()


class ChannelNoise:
    """
    Diffuses each channel of each sample to a timestep of its own, as Diffusion-ProjectedGAN does to feature maps.

    It is what [`ProjectedDiscriminator`] takes as `feature_noise`. Published runs have the standard deviation 0.5 in
    the scheduler.

    Args:
        scheduler ([`DiffusionGANScheduler`]): The noise.
    """

    def __init__(self, scheduler: DiffusionGANScheduler):
        self.scheduler = scheduler

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, ...) -> the same, diffused; timesteps and noise come from torch's global generators."""
        channels = features.flatten(0, 1)
        timesteps = self.scheduler.sample_timesteps(len(channels), features.device)
        return self.scheduler.add_noise(channels, None, timesteps).view(features.shape)


_TIMESTEP_NAMES = {"t", "time", "times", "timestep", "timesteps"}


def _check_signature(discriminator: nn.Module, pass_timesteps: bool) -> None:
    name = type(discriminator).__name__
    # A module that forwards to others, such as `nn.Sequential`, takes exactly one argument.
    parameters = list(inspect.signature(discriminator.forward).parameters.values())
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    takes_many = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    if pass_timesteps and len(positional) < 2 and not takes_many:
        raise TypeError(
            f"`discriminator` must take timesteps of shape (B,) as its second argument, got {name}, whose forward takes "
            "none. Add the argument, or pass `pass_timesteps=False`."
        )
    timed = [p.name for p in positional if p.default is p.empty and p.name in _TIMESTEP_NAMES]
    if not pass_timesteps and timed:
        raise TypeError(
            f"`pass_timesteps` must be True for a discriminator that requires {timed[0]!r}, as {name} does, got False."
        )
