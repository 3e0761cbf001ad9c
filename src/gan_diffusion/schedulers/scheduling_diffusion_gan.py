# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
The adaptive noise of Diffusion-GAN (Wang et al. 2023, arXiv 2206.02262).

Real and generated samples are diffused before the discriminator sees them, each to a timestep t of its own. At t = 0 a
sample is clean. The length T of the chain grows when the discriminator is sure of real samples, and shrinks when it is
not. There is no reverse process: a generator of this method makes its sample in one evaluation.
"""

import math

import numpy as np
import torch
from diffusers.configuration_utils import register_to_config

from ..kernels import noising
from .beta_schedules import BETA_SCHEDULES
from .common import MAX_TIMESTEPS, Scheduler, check_draw, check_integer, check_interval, square_root
from .sign_statistic import SignStatistic, steered


_DISTRIBUTIONS = ("priority", "priority_official", "uniform")


def _check_config(config) -> None:
    """Raises a ValueError if an option of the scheduler is out of its range or unknown."""
    if config.beta_schedule not in BETA_SCHEDULES:
        raise ValueError(f"`beta_schedule` must be one of {tuple(BETA_SCHEDULES)}, got {config.beta_schedule!r}.")
    if not 0 < config.beta_start <= config.beta_end < 1:
        raise ValueError(
            f"`beta_start` and `beta_end` must satisfy 0 < beta_start <= beta_end < 1, got {config.beta_start} and "
            f"{config.beta_end}."
        )
    distribution = config.timestep_distribution
    if distribution not in _DISTRIBUTIONS:
        raise ValueError(f"`timestep_distribution` must be one of {_DISTRIBUTIONS}, got {distribution!r}.")
    # The reference implementation never draws t = 1, so it needs a second timestep.
    shortest = 2 if distribution == "priority_official" else 1
    for name in ("min_timesteps", "max_timesteps"):
        check_integer(name, config[name], shortest, MAX_TIMESTEPS)
    if config.min_timesteps > config.max_timesteps:
        raise ValueError(
            f"`min_timesteps` must be at most `max_timesteps`, got {config.min_timesteps} and {config.max_timesteps}."
        )
    for name in ("list_length", "update_interval"):
        check_integer(name, config[name], 1, MAX_TIMESTEPS)
    check_interval("noise_std", config.noise_std, 0, math.inf)
    check_interval("initial_p", config.initial_p, 0, 1)
    if config.clean_share is not None:
        check_interval("clean_share", config.clean_share, 0, 1)
    if not -1 < config.discriminator_target < 1:
        raise ValueError(
            "`discriminator_target` must lie in (-1, 1), where the mean sign of logits lies, got "
            f"{config.discriminator_target}."
        )
    if not config.adaptation_kimg > 0:
        raise ValueError(f"`adaptation_kimg` must be positive, got {config.adaptation_kimg}.")


class DiffusionGANScheduler(Scheduler):
    r"""
    A diffusion whose length T adapts to the discriminator: x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) noise_std n.

    In a training loop: `t = sample_timesteps(batch)`, `add_noise(samples, None, t)` for real and for generated
    samples, `observe(real_logits)`, and `adapt()` once per iteration. [`DiffusedDiscriminator`] does all that around
    any discriminator.

    Samples may have any shape (B, ...). To diffuse every channel to a timestep of its own, pass (B C, ...).

    Timesteps are drawn from a list of `list_length` entries. The share `clean_share` of the entries is 0, the others
    follow `timestep_distribution` on 1..T. Every update draws a new list. The list is the same in every process of a
    distributed run; what each process draws from it is not.

    Args:
        beta_start (`float`, defaults to 1e-4):
            First beta.
        beta_end (`float`, defaults to 0.02):
            Last beta, whatever T is. So a longer chain ends noisier.
        beta_schedule (`str`, defaults to `"linear"`):
            `"linear"` (all published models), `"quad"`, `"const"`, `"jsd"`, `"sigmoid"`, `"cosine"` or
            `"continuous_t"`. `"jsd"`, `"cosine"` and `"continuous_t"` do not depend on `beta_start` and `beta_end`.
        min_timesteps (`int`, defaults to 10):
            Smallest T; 5 in the paper, 10 in its code.
        max_timesteps (`int`, defaults to 1000):
            Largest T; 500 or 1000 in the paper, 1000 in its code. Where it equals `min_timesteps`, T stays as it is.
        noise_std (`float`, defaults to 0.05):
            sigma, the standard deviation of the noise, for samples in [-1, 1].
        timestep_distribution (`str`, defaults to `"priority"`):
            `"priority"`: the probability of t is proportional to t (equation 6 of the paper); `"priority_official"`:
            proportional to t - 1, as in the reference implementation, so that t = 1 never occurs; `"uniform"`.
        clean_share (`float`, *optional*, defaults to 0.5):
            Share of the list that is 0. With 1 nothing is diffused: a plain GAN. With `None` it is 1 - p, but at least
            1/4, as in the reference implementation where it diffuses the features of a projected discriminator.
        list_length (`int`, defaults to 64):
            Length of the list.
        discriminator_target (`float`, defaults to 0.6):
            Value in (-1, 1) that the mean sign of real logits is steered to.
        decision_threshold (`float`, defaults to 0.0):
            Output above which the discriminator calls a sample real: 0 for logits and the hinge loss, 0.5 for least
            squares with targets 0 and 1.
        adaptation_kimg (`float`, defaults to 100.0):
            Thousands of real images that take p from 0 to 1 at the fastest.
        update_interval (`int`, defaults to 4):
            Iterations between updates.
        initial_p (`float`, defaults to 0.0):
            p at the beginning.
        seed (`int`, defaults to 0):
            Seed of the list.

    Attributes:
        p (`float`):
            Position of T between its bounds, in [0, 1].
        num_timesteps (`int`):
            T = min + p (max - min), rounded, half to even.
        betas (`torch.Tensor` of shape (T,)), alphas_cumprod (`torch.Tensor` of shape (T + 1,)):
            In float32; the latter begins with 1.
        signal_coefs, noise_coefs (`torch.Tensor` of shape (T + 1,)):
            x_t = signal_coefs[t] x_0 + noise_coefs[t] n.
        timestep_list (`torch.Tensor` of shape (list_length,)):
            The list that timesteps are drawn from, int64.

    Raises:
        ValueError: If an argument is out of its range or a name is unknown.
    """

    order = 1

    @register_to_config
    def __init__(
        self,
        beta_start: float = 1e-4,
        beta_end: float = 0.02,
        beta_schedule: str = "linear",
        min_timesteps: int = 10,
        max_timesteps: int = 1000,
        noise_std: float = 0.05,
        timestep_distribution: str = "priority",
        clean_share: float | None = 0.5,
        list_length: int = 64,
        discriminator_target: float = 0.6,
        decision_threshold: float = 0.0,
        adaptation_kimg: float = 100.0,
        update_interval: int = 4,
        initial_p: float = 0.0,
        seed: int = 0,
    ):
        _check_config(self.config)
        self.p = float(initial_p)
        self._statistic = SignStatistic(decision_threshold)
        self._updates = self._iterations = 0
        self._rebuild()

        self.init_noise_sigma = 1.0
        self.num_inference_steps: int | None = None
        self.timesteps = torch.zeros(1, dtype=torch.int64)

    def __len__(self) -> int:
        return self.num_timesteps

    def _rebuild(self) -> None:
        """The chain for the current p, and its list of timesteps, which follows from seed and number of updates."""
        shortest, longest = self.config.min_timesteps, self.config.max_timesteps
        self.num_timesteps = shortest + round(self.p * (longest - shortest))
        self._build_tables()
        probabilities = self.timestep_probabilities()
        if self.config.timestep_distribution == "uniform":
            probabilities = None  # NumPy draws otherwise, and so does the reference.
        # NumPy's legacy generator is what the reference implementation draws its list with.
        random = np.random.RandomState((self.config.seed + self._updates) % 2**32)
        drawn = random.choice(np.arange(1, self.num_timesteps + 1), self._num_noisy_entries(), p=probabilities)
        self.timestep_list = torch.zeros(self.config.list_length, dtype=torch.int64)
        self.timestep_list[: len(drawn)] = torch.from_numpy(drawn)

    def _num_noisy_entries(self) -> int:
        length, clean_share = self.config.list_length, self.config.clean_share
        if clean_share is None:
            return min(round(length * self.p), length - length // 4)
        return length - round(length * clean_share)

    def _build_tables(self) -> None:
        config = self.config
        betas = BETA_SCHEDULES[config.beta_schedule](config.beta_start, config.beta_end, self.num_timesteps)
        # From here on in float32, as in the reference.
        self.betas = torch.from_numpy(betas).float()
        self.alphas_cumprod = torch.cat([torch.ones(1), (1 - self.betas).cumprod(0)])
        self.signal_coefs = square_root(self.alphas_cumprod)
        self._unit_noise_coefs = square_root(1 - self.alphas_cumprod)
        self.noise_coefs = self._unit_noise_coefs * config.noise_std

    def timestep_probabilities(self) -> np.ndarray:
        """Probabilities of t = 1, ..., T among the noisy entries of the list, float64 of shape (T,)."""
        if self.config.timestep_distribution == "uniform":
            weights = np.ones(self.num_timesteps)
        else:
            first = 0 if self.config.timestep_distribution == "priority_official" else 1
            weights = np.arange(first, first + self.num_timesteps, dtype=np.float64)
        return weights / weights.sum()

    def set_timesteps(self, num_inference_steps: int | None = None, device: str | torch.device | None = None) -> None:
        """
        Sets the timesteps of a sampling run: one, at which the generator is evaluated.

        Args:
            num_inference_steps (`int`, *optional*):
                Must be 1, which is also the default.
            device (`str` or `torch.device`, *optional*):
                Where to put the timesteps.

        Raises:
            ValueError: If another number of steps is asked for. There is no reverse process to take more steps of.
        """
        if num_inference_steps not in (None, 1):
            raise ValueError(
                f"`num_inference_steps` must be 1, got {num_inference_steps}. Diffusion-GAN samples in one step."
            )
        self.num_inference_steps = 1
        self.timesteps = torch.zeros(1, dtype=torch.int64, device=device)

    def scale_model_input(self, sample: torch.Tensor, timestep: int | torch.Tensor | None = None) -> torch.Tensor:
        """Returns `sample` as it is."""
        return sample

    def sample_timesteps(
        self,
        batch_size: int,
        device: str | torch.device | None = None,
        generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        """
        Draws a timestep for each sample, uniformly and with replacement from the list.

        Args:
            batch_size (`int`):
                B, at least 1.
            device (`str` or `torch.device`, *optional*):
                Where to put the timesteps.
            generator (`torch.Generator`, *optional*):
                Source of the random numbers.

        Returns:
            `torch.Tensor` of shape (B,): int64 timesteps in 0..T.

        Raises:
            ValueError: If `batch_size` is less than 1.
            TypeError: If `generator` is no generator.
        """
        check_draw(batch_size, generator)
        source = device if generator is None else generator.device
        entries = torch.randint(self.config.list_length, (batch_size,), generator=generator, device=source)
        return self._table("timestep_list", entries.device)[entries].to(device or entries.device)

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
        Diffuses samples: x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) noise_std n; x_0 itself at t = 0.

        Args:
            original_samples (`torch.Tensor` of shape (B, ...)):
                x_0: float samples, or uint8 pixels, which are mapped from 0..255 to [-1, 1].
            noise (`torch.Tensor` of the shape of the samples, *optional*):
                n, standard normal; drawn inside the kernel if `None`.
            timesteps (`int` or `torch.Tensor` of shape (), (1,) or (B,)):
                t in 0..T.
            generator (`torch.Generator` or a list with one per sample, *optional*):
                Source of the noise that is drawn.
            flip (`torch.Tensor` of shape (B,), *optional*):
                bool; the uint8 samples to mirror along the last dimension before they are noised.
            dtype (`torch.dtype`, *optional*):
                Float dtype of the result for uint8 samples; float32 by default.

        Returns:
            `torch.Tensor`: x_t, in the shape and dtype of float samples; differentiable in them.

        Raises:
            ValueError: If shapes or devices do not match or a value is out of range.
            TypeError: If an argument has the wrong type or dtype.
        """
        device = original_samples.device
        if noise is not None:
            # In the order of the reference: a float32 product of the two factors would lose its float64 results.
            noise = self.config.noise_std * noise
        return noising.noise(
            original_samples,
            self._table("signal_coefs", device),
            self._table("noise_coefs" if noise is None else "_unit_noise_coefs", device),
            timesteps,
            noise=noise,
            generator=generator,
            flip=flip,
            dtype=dtype,
        )

    def observe(self, real_logits: torch.Tensor, new_images: bool = True) -> None:
        """
        Records the outputs of the discriminator for diffused real samples.

        Args:
            real_logits (`torch.Tensor` of shape (B, ...)):
                The outputs; there may be many per sample.
            new_images (`bool`, defaults to `True`):
                Whether these samples count towards `adaptation_kimg`. Pass `False` where a batch is seen again, for a
                gradient penalty.
        """
        self._statistic.observe(real_logits, new_images)

    def adapt(self) -> bool:
        """
        Ends an iteration.

        Every `update_interval` iterations it updates T from the outputs recorded since the last update. All processes
        of a distributed run must call it.

        Returns:
            `bool`: Whether T was updated.

        Raises:
            ValueError: If an update is due and nothing was recorded, or the recorded outputs are not numbers.
        """
        self._iterations += 1
        if self._iterations % self.config.update_interval:
            return False
        self.update()
        return True

    def update(self, discriminator_sign_mean: float | None = None, num_images: int | None = None) -> None:
        """
        Moves p and draws a new list of timesteps.

        p grows if the discriminator is surer of real samples than `discriminator_target`, and shrinks if it is less
        sure. The step depends on the number of images alone, as in the reference implementation.

        Args:
            discriminator_sign_mean (`float`, *optional*):
                Mean sign of the discriminator's outputs for real samples, in [-1, 1]. By default what [`observe`]
                recorded since the last update, in all processes.
            num_images (`int`, *optional*):
                Real images since the last update, in all processes. By default what [`observe`] recorded.

        Raises:
            ValueError: If the mean is not a number in [-1, 1], or nothing was recorded. The state is left as it was.
        """
        if discriminator_sign_mean is None or num_images is None:
            observed_mean, observed_images = self._statistic.reduce()
            if observed_mean is None:
                raise ValueError("`observe` must be called before `update`, got no outputs for real samples.")
            discriminator_sign_mean = observed_mean if discriminator_sign_mean is None else discriminator_sign_mean
            num_images = observed_images if num_images is None else num_images
        target, kimg = self.config.discriminator_target, self.config.adaptation_kimg
        self.p = min(max(steered(self.p, discriminator_sign_mean, target, num_images, kimg), 0.0), 1.0)
        self._statistic.reset()
        self._updates += 1
        self._rebuild()

    def state_dict(self) -> dict:
        """
        What a resumed run needs beyond the config: p, numbers of updates and iterations, and what was recorded.

        All processes of a distributed run must call it.
        """
        return {
            "p": self.p,
            "updates": self._updates,
            "iterations": self._iterations,
            "statistic": self._statistic.state_dict(),
        }

    def load_state_dict(self, state: dict) -> None:
        """
        Puts back what [`state_dict`] returned.

        Args:
            state (`dict`):
                The state of a scheduler with the same config.

        Raises:
            ValueError: If p is out of its range, or the number of updates negative.
        """
        if not 0 <= state["p"] <= 1 or state["updates"] < 0:
            raise ValueError(
                f"`state` must have p in [0, 1] and at least 0 updates, got p {state['p']} and {state['updates']} updates."
            )
        self.p, self._updates, self._iterations = state["p"], state["updates"], state["iterations"]
        self._statistic.load_state_dict(state["statistic"])
        self._rebuild()
