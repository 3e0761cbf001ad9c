# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
The straight path between noise and data of SPI-GAN (Jeon and Park, arXiv 2206.14464).

A position u in [0, 1] names the point i(u) = u x_0 + (1 - u) x_T. i(1) is data and i(0) is the terminal image x_T,
nearly pure noise. The paper gives the two ends and the straight line between them. It does not say how x_T and u are
drawn: the variance-preserving process with these constants, and the law of u, are our reading.
"""

import math
from typing import cast

import torch
from diffusers.configuration_utils import register_to_config

from ..kernels import noising
from .common import Scheduler, check_draw, check_interval


class SPIGANScheduler(Scheduler):
    """
    The forward process of SPI-GAN: one diffusion of the data, and the straight path from there back to the data.

    The data x_0 are diffused to x_T = signal_coef x_0 + noise_coef n. There is no reverse process: a sample is the
    generator's output at position 1.

    Samples may have any shape (B, ...): images (B, C, H, W) in [-1, 1], vectors (B, D). The coefficients are those of
    the variance-preserving process at time 1: signal_coef = exp(-(beta_max - beta_min) / 4 - beta_min / 2) and
    noise_coef = sqrt(1 - signal_coef^2).

    Args:
        beta_min (`float`, defaults to 0.1):
            Noise rate at time 0.
        beta_max (`float`, defaults to 20.0):
            Noise rate at time 1.
        clean_probability (`float`, defaults to 0.5):
            Probability that a position is exactly 1. Sampling uses no other position, and the Beta law never draws it.
        position_alpha (`float`, defaults to 1.0):
            First parameter of the Beta law of the other positions; with both parameters 1 it is uniform on (0, 1].
        position_beta (`float`, defaults to 1.0):
            Second parameter of the Beta law; above 1 it moves the positions towards the noise.
        shared_positions (`bool`, defaults to `False`):
            Whether one position is drawn for a whole batch instead of one per sample.

    Attributes:
        signal_coef, noise_coef (`float`):
            x_T = signal_coef x_0 + noise_coef n; 0.006572 and 0.999978 by default.

    Raises:
        ValueError: If an argument is out of its range.
    """

    order = 1

    @register_to_config
    def __init__(
        self,
        beta_min: float = 0.1,
        beta_max: float = 20.0,
        clean_probability: float = 0.5,
        position_alpha: float = 1.0,
        position_beta: float = 1.0,
        shared_positions: bool = False,
    ):
        if not 0 < beta_min < beta_max < math.inf:
            raise ValueError(
                f"`beta_min` and `beta_max` must satisfy 0 < beta_min < beta_max < inf, got {beta_min} and {beta_max}."
            )
        check_interval("clean_probability", clean_probability, 0, 1)
        for name, value in (("position_alpha", position_alpha), ("position_beta", position_beta)):
            if not 0 < value < math.inf:
                raise ValueError(f"`{name}` must be positive and finite, got {value}.")
        log_signal = -0.25 * (beta_max - beta_min) - 0.5 * beta_min
        self.signal_coef = math.exp(log_signal)
        self.noise_coef = math.sqrt(-math.expm1(2.0 * log_signal))

        self.init_noise_sigma = 1.0
        self.num_inference_steps: int | None = None
        self.timesteps = torch.ones(1)

    def __len__(self) -> int:
        return 1

    def set_timesteps(self, num_inference_steps: int | None = None, device: str | torch.device | None = None) -> None:
        """
        Sets the timesteps of a sampling run: the one position u = 1, at which the generator is evaluated.

        Args:
            num_inference_steps (`int`, *optional*):
                Must be 1, which is also the default.
            device (`str` or `torch.device`, *optional*):
                Where to put the timesteps.

        Raises:
            ValueError: If another number of steps is asked for. The generator takes no noisy image, so it cannot
                improve one in a second step.
        """
        if num_inference_steps not in (None, 1):
            raise ValueError(
                f"`num_inference_steps` must be 1, got {num_inference_steps}. SPI-GAN samples in one step."
            )
        self.num_inference_steps = 1
        self.timesteps = torch.ones(1, device=device)

    def scale_model_input(
        self, sample: torch.Tensor, timestep: int | float | torch.Tensor | None = None
    ) -> torch.Tensor:
        """Returns `sample` as it is: the generator takes its noise unscaled."""
        return sample

    def sample_positions(
        self,
        batch_size: int,
        device: str | torch.device | None = None,
        generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        """
        Draws positions for a batch: 1 with probability `clean_probability`, else from the Beta law.

        Args:
            batch_size (`int`):
                B, at least 1.
            device (`str` or `torch.device`, *optional*):
                Where to put the positions.
            generator (`torch.Generator`, *optional*):
                Source of the random numbers, on the CPU or on the device. A CPU generator gives the same positions on
                every device.

        Returns:
            `torch.Tensor` of shape (B,): float32 positions in (0, 1].

        Raises:
            ValueError: If `batch_size` is less than 1.
            TypeError: If `generator` is no generator.
        """
        check_draw(batch_size, generator)
        count = 1 if self.config.shared_positions else batch_size
        source = {"device": device if generator is None else generator.device, "dtype": torch.float32}
        is_clean = torch.rand(count, generator=generator, **source) < self.config.clean_probability
        alpha, beta = self.config.position_alpha, self.config.position_beta
        if alpha == beta == 1:
            positions = 1.0 - torch.rand(count, generator=generator, **source)
        else:
            # As torch.distributions.Beta draws, never exactly 0. That class takes no generator.
            concentration = torch.tensor([alpha, beta], **source).expand(count, 2)
            positions = torch._sample_dirichlet(concentration, generator=generator)[:, 0]
        positions = positions.masked_fill(is_clean, 1.0).to(device)
        return positions.repeat(batch_size) if self.config.shared_positions else positions

    def interpolate(
        self,
        original_samples: torch.Tensor,
        positions: float | torch.Tensor,
        noise: torch.Tensor | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        return_terminal: bool = False,
        *,
        flip: torch.Tensor | None = None,
        dtype: torch.dtype | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """
        Points of the straight path i(u) = u x_0 + (1 - u) x_T.

        The terminal image is x_T = signal_coef x_0 + noise_coef n. Both ends are exact: i(0) = x_T and i(1) = x_0.

        Args:
            original_samples (`torch.Tensor` of shape (B, ...)):
                x_0: float samples, or uint8 pixels, which are mapped from 0..255 to [-1, 1].
            positions (`float` or `torch.Tensor` of shape (), (1,) or (B,)):
                u in [0, 1].
            noise (`torch.Tensor` of the shape of the samples, *optional*):
                n; drawn inside the kernel if `None`.
            generator (`torch.Generator` or a list with one per sample, *optional*):
                Source of the noise that is drawn.
            return_terminal (`bool`, defaults to `False`):
                Whether to return x_T as well.
            flip (`torch.Tensor` of shape (B,), *optional*):
                bool; the uint8 samples to mirror along the last dimension before they are noised.
            dtype (`torch.dtype`, *optional*):
                Float dtype of the result for uint8 samples; float32 by default.

        Returns:
            `torch.Tensor` or `tuple[torch.Tensor, torch.Tensor]`: i(u), or (i(u), x_T), in the shape and dtype of
            float samples; differentiable in them.

        Raises:
            ValueError: If shapes or devices do not match or a value is out of range.
            TypeError: If an argument has the wrong type or dtype.
        """
        return noising.straight_path(
            original_samples,
            positions,
            self.signal_coef,
            self.noise_coef,
            noise=noise,
            generator=generator,
            flip=flip,
            dtype=dtype,
            return_terminal=return_terminal,
        )

    def add_noise(
        self,
        original_samples: torch.Tensor,
        noise: torch.Tensor | None,
        positions: float | torch.Tensor,
        generator: torch.Generator | list[torch.Generator] | None = None,
        *,
        flip: torch.Tensor | None = None,
        dtype: torch.dtype | None = None,
    ) -> torch.Tensor:
        """[`SPIGANScheduler.interpolate`] with the arguments of the other schedulers; positions are its timesteps."""
        sample = self.interpolate(original_samples, positions, noise, generator, flip=flip, dtype=dtype)
        return cast(torch.Tensor, sample)

    def diffuse(
        self,
        original_samples: torch.Tensor,
        noise: torch.Tensor | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        *,
        flip: torch.Tensor | None = None,
        dtype: torch.dtype | None = None,
    ) -> torch.Tensor:
        """
        Diffuses clean samples to the terminal image in one draw: x_T = signal_coef x_0 + noise_coef n.

        Args:
            original_samples (`torch.Tensor` of shape (B, ...)):
                x_0: float samples, or uint8 pixels, which are mapped from 0..255 to [-1, 1].
            noise (`torch.Tensor` of the shape of the samples, *optional*):
                n; drawn inside the kernel if `None`.
            generator (`torch.Generator` or a list with one per sample, *optional*):
                Source of the noise that is drawn.
            flip (`torch.Tensor` of shape (B,), *optional*):
                bool; the uint8 samples to mirror along the last dimension before they are noised.
            dtype (`torch.dtype`, *optional*):
                Float dtype of the result for uint8 samples; float32 by default.

        Returns:
            `torch.Tensor`: x_T, in the shape and dtype of float samples; differentiable in them.

        Raises:
            ValueError: If shapes or devices do not match or a value is out of range.
            TypeError: If an argument has the wrong type or dtype.
        """
        sample = self.interpolate(original_samples, 0.0, noise, generator, flip=flip, dtype=dtype)
        return cast(torch.Tensor, sample)

    def snr(self, positions: float | torch.Tensor) -> torch.Tensor:
        """
        Signal-to-noise ratio of i(u) in decibels, for data of unit variance.

        It is 20 log10(c(u) / s(u)) with c = u + (1 - u) signal_coef and s = (1 - u) noise_coef.

        Args:
            positions (`float` or `torch.Tensor` of any shape):
                u in [0, 1].

        Returns:
            `torch.Tensor`: float32 decibels in the shape of the positions; infinite at u = 1.

        Raises:
            ValueError: If a position is out of range.
        """
        positions = torch.as_tensor(positions).double()
        if not ((positions >= 0) & (positions <= 1)).all():
            raise ValueError(f"`positions` must lie in [0, 1], got {positions.tolist()}.")
        signal = positions + (1 - positions) * self.signal_coef
        return (20 * torch.log10(signal / ((1 - positions) * self.noise_coef))).float()
