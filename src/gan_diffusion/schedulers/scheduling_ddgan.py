# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The forward process and the reverse step of denoising diffusion GANs (Xiao et al. 2022, arXiv 2112.07804).

State index i = 0..T: x_0 is data, x_T is nearly pure noise. A timestep t = 0..T-1 names the step x_{t+1} -> x_t, so it is
the index of the less noisy of the two states, and the generator takes x_{t+1} at timestep t.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from diffusers.utils import BaseOutput

from ..kernels import noising
from .tables import TablesMixin


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
            x_t, drawn from the posterior; same shape as the sample.
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


class DDGANScheduler(TablesMixin, SchedulerMixin, ConfigMixin):
    """
    A diffusion of a few large steps whose reverse steps are drawn from the Gaussian posterior q(x_t | x_{t+1}, x_0), with
    x_0 predicted by a generator.

    Samples may have any shape (B, ...): images (B, C, H, W) in [-1, 1], vectors (B, D). The tables are computed in float64
    up to the betas and in float32 from there on, as in the reference implementation, whose numbers they equal.

    Args:
        num_train_timesteps (`int`, defaults to 4):
            T, the number of denoising steps, at least 1. The network learns these steps and no others.
        beta_schedule (`str`, defaults to `"vp"`):
            `"vp"` (variance preserving) or `"geometric"`; the latter needs 0 < beta_min < beta_max < 1.
        beta_min (`float`, defaults to 0.1):
            Noise rate (vp) or variance (geometric) at time 0.
        beta_max (`float`, defaults to 20.0):
            Noise rate (vp) or variance (geometric) at time 1.
        trained_betas (`list[float]`, *optional*):
            The T step variances, each in (0, 1), instead of a schedule.

    Attributes:
        betas (`torch.Tensor` of shape (T + 1,)): variance of the step to state i; the first entry belongs to no step.
        step_signal_coefs, step_noise_coefs (`torch.Tensor` of shape (T + 1,)): sqrt(1 - beta_i), sqrt(beta_i).
        signal_coefs, noise_coefs (`torch.Tensor` of shape (T + 1,)): x_i = signal_coefs[i] x_0 + noise_coefs[i] n.
        alphas_cumprod (`torch.Tensor` of shape (T,)): product of 1 - beta over the steps up to x_{t+1}.
        posterior_coef_x_0, posterior_coef_x_tp1, posterior_variance, posterior_std (`torch.Tensor` of shape (T,)):
            x_t = posterior_coef_x_0[t] x_0 + posterior_coef_x_tp1[t] x_{t+1} + posterior_std[t] n.

    Raises:
        ValueError: if an argument is out of its range or the schedule is unknown.
    """

    _compatibles: list[str] = []
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
        if num_train_timesteps < 1:
            raise ValueError(f"`num_train_timesteps` must be at least 1, got {num_train_timesteps}.")
        if trained_betas is not None:
            step_betas = torch.tensor(trained_betas, dtype=torch.float64)
            if step_betas.shape != (num_train_timesteps,) or not ((step_betas > 0) & (step_betas < 1)).all():
                raise ValueError(
                    f"`trained_betas` must hold {num_train_timesteps} values in (0, 1), one per timestep, "
                    f"got {list(trained_betas)}."
                )
        else:
            if beta_schedule not in ("vp", "geometric"):
                raise ValueError(f"`beta_schedule` must be 'vp' or 'geometric', got {beta_schedule!r}.")
            upper = 1.0 if beta_schedule == "geometric" else math.inf
            if not 0 < beta_min < beta_max < upper:
                raise ValueError(
                    f"`beta_min` and `beta_max` must satisfy 0 < beta_min < beta_max < {upper} with the "
                    f"{beta_schedule!r} schedule, got {beta_min} and {beta_max}."
                )
            # The division comes first, as in the reference: the other order differs in the last bit.
            grid = torch.arange(num_train_timesteps + 1, dtype=torch.float64) / num_train_timesteps
            times = grid * (1.0 - _TIME_EPS) + _TIME_EPS
            signal_power = 1.0 - _marginal_variance(times, beta_schedule, beta_min, beta_max)
            step_betas = 1.0 - signal_power[1:] / signal_power[:-1]

        self.betas = torch.cat([torch.tensor([_FIRST_BETA], dtype=torch.float64), step_betas]).float()

        # Forward process, indexed by state.
        self.step_noise_coefs = self.betas.sqrt()
        self.step_signal_coefs = (1.0 - self.betas).sqrt()
        # In numpy, as in the reference, for the same last bit: torch accumulates the product in float64.
        signal_coefs = np.cumprod(self.step_signal_coefs.numpy())
        self.signal_coefs = torch.from_numpy(signal_coefs)
        self.noise_coefs = torch.from_numpy(np.sqrt(1.0 - signal_coefs**2))

        # Posterior, indexed by timestep.
        betas = self.betas[1:]
        alphas = 1.0 - betas
        self.alphas_cumprod = alphas.cumprod(0)
        alphas_cumprod_prev = torch.cat([torch.ones(1), self.alphas_cumprod[:-1]])
        self.posterior_variance = betas * (1.0 - alphas_cumprod_prev) / (1.0 - self.alphas_cumprod)
        self.posterior_coef_x_0 = betas * alphas_cumprod_prev.sqrt() / (1.0 - self.alphas_cumprod)
        self.posterior_coef_x_tp1 = (1.0 - alphas_cumprod_prev) * alphas.sqrt() / (1.0 - self.alphas_cumprod)
        # Through the logarithm, as in the reference, for the same rounding.
        self.posterior_std = torch.exp(0.5 * self.posterior_variance.clamp(min=1e-20).log())
        self.posterior_std[0] = 0.0  # The last denoising step adds no noise.

        self.init_noise_sigma = 1.0
        self.num_inference_steps: int | None = None
        self.timesteps = torch.arange(num_train_timesteps - 1, -1, -1)

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
            ValueError: if another number of steps is asked for. The generator has learnt T particular steps; other steps
                need a model trained for them.
        """
        trained = self.config.num_train_timesteps
        if num_inference_steps is None:
            num_inference_steps = trained
        if num_inference_steps != trained:
            raise ValueError(
                f"`num_inference_steps` must be {trained}, the number of denoising steps the model was trained for, "
                f"got {num_inference_steps}. For another number, train with `num_train_timesteps={num_inference_steps}`."
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
        Diffuses clean samples to the state that the generator takes at the given timesteps:
        x_{t+1} = signal_coefs[t+1] x_0 + noise_coefs[t+1] n (equation 1 of the paper, accumulated over the steps).

        Args:
            original_samples (`torch.Tensor` of shape (B, ...)):
                x_0: float samples, or uint8 pixels, which are mapped from 0..255 to [-1, 1].
            noise (`torch.Tensor` of the shape of the samples, *optional*):
                n; drawn inside the kernel if `None`.
            timesteps (`int` or `torch.Tensor` of shape () or (B,)):
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
            ValueError: if a timestep is out of range or the shapes do not match.
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
        Draws two neighbouring states of one diffusion, the discriminator's real pair:
        x_t = signal_coefs[t] x_0 + noise_coefs[t] n_t, x_{t+1} = sqrt(1 - beta_{t+1}) x_t + sqrt(beta_{t+1}) n_{t+1}.

        Args:
            original_samples (`torch.Tensor` of shape (B, ...)):
                x_0: float samples, or uint8 pixels, which are mapped from 0..255 to [-1, 1].
            timesteps (`int` or `torch.Tensor` of shape () or (B,)):
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
            ValueError: if a timestep is out of range or the shapes do not match.
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
        variance_noise: torch.Tensor | None = None,
        return_dict: bool = True,
    ) -> DDGANSchedulerOutput | tuple[torch.Tensor, torch.Tensor]:
        """
        Draws x_t from the posterior q(x_t | x_{t+1}, x_0), equations 4 and 5 of the paper. At t = 0 no noise is added.

        Args:
            model_output (`torch.Tensor` of shape (B, ...)):
                The generator's prediction of x_0.
            timestep (`int` or `torch.Tensor` of shape () or (B,)):
                t in 0..T-1; a value per sample when training.
            sample (`torch.Tensor` of shape (B, ...)):
                x_{t+1}.
            generator (`torch.Generator` or a list with one per sample, *optional*):
                Source of the noise.
            variance_noise (`torch.Tensor` of the shape of the sample, *optional*):
                The noise itself, instead of drawing it.
            return_dict (`bool`, defaults to `True`):
                Whether to return a [`DDGANSchedulerOutput`] instead of a tuple.

        Returns:
            [`DDGANSchedulerOutput`] or `tuple`: x_t and the prediction of x_0; differentiable in both inputs.

        Raises:
            ValueError: if a timestep is out of range or the shapes do not match.
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
