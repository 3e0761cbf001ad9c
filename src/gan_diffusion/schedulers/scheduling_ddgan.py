# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
The forward process and the reverse step of denoising diffusion GANs (Xiao et al. 2022, arXiv 2112.07804).

The states of the process are x_0, ..., x_T: x_0 is data and x_T nearly pure noise. A timestep t in 0..T-1 names the
step from x_{t+1} to x_t. So t is the index of the less noisy state, and the generator takes x_{t+1} at timestep t.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from diffusers.configuration_utils import register_to_config
from diffusers.utils import BaseOutput

from ..kernels import noising
from .common import MAX_TIMESTEPS, Scheduler, check_integer, square_root


# Start of the time grid; the process is defined on (0, 1].
_TIME_EPS = 1e-3
# Variance of the step "before" x_0. In float32 it leaves x_0 untouched.
_FIRST_BETA = 1e-8


@dataclass
class DDGANSchedulerOutput(BaseOutput):
    """
    Output of [`DDGANScheduler.step`].

    Args:
        prev_sample (`torch.Tensor`):
            x_t, drawn from the posterior, in the shape of the sample.
        pred_original_sample (`torch.Tensor`):
            The prediction of x_0 that the step was made with.
    """

    prev_sample: torch.Tensor
    pred_original_sample: torch.Tensor


def _marginal_variance(times: torch.Tensor, beta_schedule: str, beta_min: float, beta_max: float) -> torch.Tensor:
    """Variance of x at the given times (float64) of the variance-preserving or the geometric process."""
    if beta_schedule == "geometric":
        return beta_min * (beta_max / beta_min) ** times
    log_mean = -0.25 * times**2 * (beta_max - beta_min) - 0.5 * times * beta_min
    return 1.0 - torch.exp(2.0 * log_mean)


def _scheduled_betas(num_steps: int, beta_schedule: str, beta_min: float, beta_max: float) -> torch.Tensor:
    """Variances of the steps to x_1, ..., x_T, in float64."""
    if beta_schedule not in ("vp", "geometric"):
        raise ValueError(f"`beta_schedule` must be 'vp' or 'geometric', got {beta_schedule!r}.")
    upper = 1.0 if beta_schedule == "geometric" else math.inf
    if not 0 < beta_min < beta_max < upper:
        raise ValueError(
            f"`beta_min` and `beta_max` must satisfy 0 < beta_min < beta_max < {upper} with the {beta_schedule!r} "
            f"schedule, got {beta_min} and {beta_max}."
        )
    # The division comes first, as in the reference: the other order differs in the last bit.
    grid = torch.arange(num_steps + 1, dtype=torch.float64) / num_steps
    times = grid * (1.0 - _TIME_EPS) + _TIME_EPS
    signal_power = 1.0 - _marginal_variance(times, beta_schedule, beta_min, beta_max)
    return 1.0 - signal_power[1:] / signal_power[:-1]


def _checked_betas(trained_betas: list[float], num_steps: int) -> torch.Tensor:
    """The given variances of the steps to x_1, ..., x_T, in float64."""
    betas = torch.tensor(trained_betas, dtype=torch.float64)
    if betas.shape != (num_steps,) or not ((betas > 0) & (betas < 1)).all():
        raise ValueError(
            f"`trained_betas` must hold {num_steps} values in (0, 1), one per timestep, got {betas.tolist()}."
        )
    return betas


class DDGANScheduler(Scheduler):
    """
    A diffusion of a few large steps.

    A reverse step draws from the Gaussian posterior q(x_t | x_{t+1}, x_0), with x_0 predicted by a generator.

    Samples may have any shape (B, ...): images (B, C, H, W) in [-1, 1], vectors (B, D). The betas are computed in
    float64 and everything after them in float32, as in the reference implementation, so that the tables equal its
    numbers.

    Args:
        num_train_timesteps (`int`, defaults to 4):
            T, the number of denoising steps, at least 1. The generator learns these steps and no others.
        beta_schedule (`str`, defaults to `"vp"`):
            `"vp"` (variance preserving) or `"geometric"`; the latter needs 0 < beta_min < beta_max < 1.
        beta_min (`float`, defaults to 0.1):
            Noise rate (vp) or variance (geometric) at time 0.
        beta_max (`float`, defaults to 20.0):
            Noise rate (vp) or variance (geometric) at time 1.
        trained_betas (`list[float]`, *optional*):
            The T step variances, each in (0, 1), instead of a schedule.

    Attributes:
        betas (`torch.Tensor` of shape (T + 1,)):
            Variance of the step to x_i; the first entry belongs to no step.
        step_signal_coefs, step_noise_coefs (`torch.Tensor` of shape (T + 1,)):
            sqrt(1 - beta_i), sqrt(beta_i).
        signal_coefs, noise_coefs (`torch.Tensor` of shape (T + 1,)):
            x_i = signal_coefs[i] x_0 + noise_coefs[i] n.
        alphas_cumprod (`torch.Tensor` of shape (T,)):
            Product of 1 - beta over the steps up to x_{t+1}.
        posterior_coef_x_0, posterior_coef_x_tp1, posterior_variance, posterior_std (`torch.Tensor` of shape (T,)):
            x_t = posterior_coef_x_0[t] x_0 + posterior_coef_x_tp1[t] x_{t+1} + posterior_std[t] n.

    Raises:
        ValueError: If an argument is out of its range or the schedule is unknown.
    """

    order = 1

    @register_to_config
    def __init__(
        self,
        num_train_timesteps: int = 4,
        beta_schedule: str = "vp",
        beta_min: float = 0.1,
        beta_max: float = 20.0,
        trained_betas: list[float] | None = None,
    ):
        check_integer("num_train_timesteps", num_train_timesteps, 1, MAX_TIMESTEPS)
        if trained_betas is None:
            step_betas = _scheduled_betas(num_train_timesteps, beta_schedule, beta_min, beta_max)
        else:
            step_betas = _checked_betas(trained_betas, num_train_timesteps)
        self.betas = torch.cat([torch.tensor([_FIRST_BETA], dtype=torch.float64), step_betas]).float()
        self._build_forward_tables()
        self._build_posterior_tables()

        self.init_noise_sigma = 1.0
        self.num_inference_steps: int | None = None
        self.timesteps = torch.arange(num_train_timesteps - 1, -1, -1)

    def _build_forward_tables(self) -> None:
        """Coefficients of the forward process, indexed by state."""
        self.step_noise_coefs = square_root(self.betas)
        self.step_signal_coefs = square_root(1.0 - self.betas)
        # In numpy, as in the reference, for the same last bit: torch accumulates the product in float64.
        signal_coefs = np.cumprod(self.step_signal_coefs.numpy())
        self.signal_coefs = torch.from_numpy(signal_coefs)
        self.noise_coefs = torch.from_numpy(np.sqrt(1.0 - signal_coefs**2))

    def _build_posterior_tables(self) -> None:
        """Coefficients of the posterior, indexed by timestep."""
        betas = self.betas[1:]
        alphas = 1.0 - betas
        self.alphas_cumprod = alphas.cumprod(0)
        alphas_cumprod_prev = torch.cat([torch.ones(1), self.alphas_cumprod[:-1]])
        self.posterior_variance = betas * (1.0 - alphas_cumprod_prev) / (1.0 - self.alphas_cumprod)
        self.posterior_coef_x_0 = betas * square_root(alphas_cumprod_prev) / (1.0 - self.alphas_cumprod)
        self.posterior_coef_x_tp1 = (1.0 - alphas_cumprod_prev) * square_root(alphas) / (1.0 - self.alphas_cumprod)
        self.posterior_std = square_root(self.posterior_variance)  # 0 in the last denoising step

    def __len__(self) -> int:
        return self.config.num_train_timesteps

    def set_timesteps(self, num_inference_steps: int | None = None, device: str | torch.device | None = None) -> None:
        """
        Sets the timesteps of a sampling run: T-1, ..., 0.

        Args:
            num_inference_steps (`int`, *optional*):
                Must be T, the trained number, which is also the default.
            device (`str` or `torch.device`, *optional*):
                Where to put the timesteps.

        Raises:
            ValueError: If another number of steps is asked for. The generator has learnt T particular steps; others
                need a generator trained for them.
        """
        trained = self.config.num_train_timesteps
        if num_inference_steps is None:
            num_inference_steps = trained
        if num_inference_steps != trained:
            raise ValueError(
                f"`num_inference_steps` must be {trained}, the number of steps the generator was trained for, got "
                f"{num_inference_steps}. For another number, train a generator with that `num_train_timesteps`."
            )
        self.num_inference_steps = num_inference_steps
        self.timesteps = torch.arange(trained - 1, -1, -1, device=device)

    def scale_model_input(self, sample: torch.Tensor, timestep: int | torch.Tensor | None = None) -> torch.Tensor:
        """Returns `sample` as it is: the generator takes x_{t+1} unscaled."""
        return sample

    def add_noise(
        self,
        original_samples: torch.Tensor,
        noise: torch.Tensor | None,
        timesteps: int | torch.Tensor,
        generator: torch.Generator | list[torch.Generator] | None = None,
        *,
        flip: torch.Tensor | None = None,
        dtype: torch.dtype | None = None,
    ) -> torch.Tensor:
        """
        Diffuses clean samples to the state that the generator takes at the given timesteps.

        x_{t+1} = signal_coefs[t+1] x_0 + noise_coefs[t+1] n, equation 1 of the paper accumulated over the steps.

        Args:
            original_samples (`torch.Tensor` of shape (B, ...)):
                x_0: float samples, or uint8 pixels, which are mapped from 0..255 to [-1, 1].
            noise (`torch.Tensor` of the shape of the samples, *optional*):
                n; drawn inside the kernel if `None`.
            timesteps (`int` or `torch.Tensor` of shape (), (1,) or (B,)):
                t in 0..T-1.
            generator (`torch.Generator` or a list with one per sample, *optional*):
                Source of the noise that is drawn.
            flip (`torch.Tensor` of shape (B,), *optional*):
                bool; the uint8 samples to mirror along the last dimension before they are noised.
            dtype (`torch.dtype`, *optional*):
                Float dtype of the result for uint8 samples; float32 by default.

        Returns:
            `torch.Tensor`: x_{t+1}, in the shape and dtype of float samples; differentiable in them.

        Raises:
            ValueError: If shapes or devices do not match or a value is out of range.
            TypeError: If an argument has the wrong type or dtype.
        """
        device = original_samples.device
        return noising.noise(
            original_samples,
            self._table("signal_coefs", device)[1:],
            self._table("noise_coefs", device)[1:],
            timesteps,
            noise=noise,
            generator=generator,
            flip=flip,
            dtype=dtype,
        )

    def add_noise_pair(
        self,
        original_samples: torch.Tensor,
        timesteps: int | torch.Tensor,
        noise: tuple[torch.Tensor, torch.Tensor] | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        *,
        flip: torch.Tensor | None = None,
        dtype: torch.dtype | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Draws two neighbouring states of one diffusion, the real pair of the discriminator.

        x_t = signal_coefs[t] x_0 + noise_coefs[t] n_t, x_{t+1} = sqrt(1 - beta_{t+1}) x_t + sqrt(beta_{t+1}) n_{t+1}.

        Args:
            original_samples (`torch.Tensor` of shape (B, ...)):
                x_0: float samples, or uint8 pixels, which are mapped from 0..255 to [-1, 1].
            timesteps (`int` or `torch.Tensor` of shape (), (1,) or (B,)):
                t in 0..T-1, the index of the less noisy state.
            noise (pair of `torch.Tensor` of the shape of the samples, *optional*):
                (n_t, n_{t+1}); drawn inside the kernel if `None`.
            generator (`torch.Generator` or a list with one per sample, *optional*):
                Source of the noise that is drawn.
            flip (`torch.Tensor` of shape (B,), *optional*):
                bool; the uint8 samples to mirror along the last dimension before they are noised.
            dtype (`torch.dtype`, *optional*):
                Float dtype of the result for uint8 samples; float32 by default.

        Returns:
            pair of `torch.Tensor`: (x_t, x_{t+1}), in the shape and dtype of float samples; differentiable in them.

        Raises:
            ValueError: If shapes or devices do not match or a value is out of range.
            TypeError: If an argument has the wrong type or dtype.
        """
        device = original_samples.device
        return noising.noise_pair(
            original_samples,
            self._table("signal_coefs", device),
            self._table("noise_coefs", device),
            self._table("step_signal_coefs", device),
            self._table("step_noise_coefs", device),
            timesteps,
            noise=noise,
            generator=generator,
            flip=flip,
            dtype=dtype,
        )

    def step(
        self,
        model_output: torch.Tensor,
        timestep: int | torch.Tensor,
        sample: torch.Tensor,
        generator: torch.Generator | list[torch.Generator] | None = None,
        return_dict: bool = True,
        *,
        variance_noise: torch.Tensor | None = None,
    ) -> DDGANSchedulerOutput | tuple[torch.Tensor, torch.Tensor]:
        """
        Draws x_t from the posterior q(x_t | x_{t+1}, x_0), equations 4 and 5 of the paper. At t = 0 no noise is added.

        Args:
            model_output (`torch.Tensor` of shape (B, ...)):
                The generator's prediction of x_0.
            timestep (`int` or `torch.Tensor` of shape (), (1,) or (B,)):
                t in 0..T-1.
            sample (`torch.Tensor` of shape (B, ...)):
                x_{t+1}.
            generator (`torch.Generator` or a list with one per sample, *optional*):
                Source of the noise.
            return_dict (`bool`, defaults to `True`):
                Whether to return a [`DDGANSchedulerOutput`] instead of a tuple.
            variance_noise (`torch.Tensor` of the shape of the sample, *optional*):
                The noise itself, instead of drawing it.

        Returns:
            [`DDGANSchedulerOutput`] or `tuple`: x_t and the prediction of x_0; differentiable in both inputs.

        Raises:
            ValueError: If shapes or devices do not match or a value is out of range.
            TypeError: If an argument has the wrong type or dtype.
        """
        device = sample.device
        prev_sample = noising.posterior_step(
            model_output,
            sample,
            self._table("posterior_coef_x_0", device),
            self._table("posterior_coef_x_tp1", device),
            self._table("posterior_std", device),
            timestep,
            noise=variance_noise,
            generator=generator,
        )
        if not return_dict:
            return (prev_sample, model_output)
        return DDGANSchedulerOutput(prev_sample=prev_sample, pred_original_sample=model_output)
