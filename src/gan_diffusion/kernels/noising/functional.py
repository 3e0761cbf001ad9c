# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The public functions: check the arguments, ask `backend.py` which implementation runs, and call it."""

import torch

from . import checks, ops, reference
from .backend import choose, record
from .sources import Generators, noise_source


def pixels_to_images(
    pixels: torch.Tensor, flip: torch.Tensor | None = None, dtype: torch.dtype | None = None
) -> torch.Tensor:
    """
    Maps uint8 pixels to images in [-1, 1], with the numbers that the kernels compute.

    The other functions take pixels as they are. Use this one where the gradient of a clean image is needed.

    Args:
        pixels (`torch.Tensor` of shape (B, ...)):
            uint8 pixels.
        flip (`torch.Tensor` of shape (B,), *optional*):
            bool; the samples to mirror along the last dimension.
        dtype (`torch.dtype`, *optional*):
            Float dtype of the images; float32 by default.

    Returns:
        `torch.Tensor`: (pixels - 127.5) / 127.5, in the shape of the pixels.

    Raises:
        ValueError: If `flip` does not fit the pixels.
        TypeError: If an argument has the wrong type or dtype.
    """
    checks.check_sample("pixels", pixels, allow_pixels=True)
    if pixels.dtype != torch.uint8:
        raise TypeError(f"`pixels` must be uint8, got {pixels.dtype}. Use float images as they are.")
    return reference.pixels_to_images(pixels, flip, checks.check_pixel_options("pixels", pixels, flip, dtype))


def noise(
    x_0: torch.Tensor,
    signal_coefs: torch.Tensor,
    noise_coefs: torch.Tensor,
    timesteps: torch.Tensor | int,
    *,
    noise: torch.Tensor | None = None,
    generator: Generators | None = None,
    seed: int | None = None,
    flip: torch.Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> torch.Tensor:
    r"""
    Noises every sample to its own timestep: `signal_coefs[t] x_0 + noise_coefs[t] n` with `n ~ N(0, I)`.

    The marginal of a diffusion process: Xiao et al. 2022 (arXiv 2112.07804), equation 1 accumulated over the steps;
    for Wang et al. 2023 (arXiv 2206.02262) sigma belongs to `noise_coefs`. Differentiable with respect to `x_0`,
    twice too.

    Args:
        x_0 (`torch.Tensor` of shape (B, ...)):
            Clean samples: float32, float16, bfloat16 or float64; or uint8 pixels, which are mapped to [-1, 1] first.
        signal_coefs (`torch.Tensor`):
            float32 table of the factors of `x_0`, on its device.
        noise_coefs (`torch.Tensor`):
            float32 table of the standard deviations, of the same length. Where it is 0 the result holds no noise.
        timesteps (`torch.Tensor` of shape (), (1,) or (B,), or `int`):
            t, an index of the tables; one for all samples or one per sample, on the device of the samples or the CPU.
            Values on the CPU are checked. Reading values on a GPU would stall it, so there a sample whose index is
            out of range is filled with NaN instead.
        noise (`torch.Tensor` of the shape of `x_0`, *optional*):
            n. At most one of `noise`, `generator` and `seed` can be given.
        generator (`torch.Generator` or a list with one per sample, *optional*):
            Source of the seed, on the CPU or on the device of the samples. A CPU generator gives the same noise on
            every device. With a list each sample gets the noise that it would get alone.
        seed (`int`, *optional*):
            Seed in [0, 2^63 - 1]. It gives the same noise on every device and in every memory format. Without `noise`,
            `generator` and `seed` the fastest generator of the device is used; it obeys `torch.manual_seed`.
        flip (`torch.Tensor` of shape (B,), *optional*):
            bool; the uint8 samples to mirror along the last dimension.
        dtype (`torch.dtype`, *optional*):
            Float dtype of the result for uint8 samples; float32 by default.

    Returns:
        `torch.Tensor`: x_t, in the shape and dtype of float samples.

    Raises:
        ValueError: If shapes or devices do not match or a value is out of range.
        TypeError: If an argument has the wrong type or dtype.
    """
    dtype = _check_samples(x_0, flip, dtype)
    _check_tables(x_0, signal_coefs=signal_coefs, noise_coefs=noise_coefs)
    timesteps = checks.per_sample_index(timesteps, x_0, signal_coefs.numel())
    backend = choose(x_0.device, dtype)
    source = noise_source(backend, x_0, dtype, noise, generator, seed)
    (n,) = source.noise or (None,)
    arguments = (x_0, signal_coefs, noise_coefs, timesteps, n)
    if backend == "triton":
        return ops.noise(*arguments, source.seeds, flip, dtype)
    record("noise", backend)
    return reference.noise(*arguments, flip=flip, dtype=dtype, noise_is_scratch=source.is_scratch)


def noise_pair(
    x_0: torch.Tensor,
    signal_coefs: torch.Tensor,
    noise_coefs: torch.Tensor,
    step_signal_coefs: torch.Tensor,
    step_noise_coefs: torch.Tensor,
    timesteps: torch.Tensor | int,
    *,
    noise: tuple[torch.Tensor, torch.Tensor] | None = None,
    generator: Generators | None = None,
    seed: int | None = None,
    flip: torch.Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    r"""
    Two neighbouring states of one diffusion, x_t and x_{t+1}.

    `x_t = signal_coefs[t] x_0 + noise_coefs[t] n_t` and
    `x_{t+1} = step_signal_coefs[t+1] x_t + step_noise_coefs[t+1] n_{t+1}`.

    The pair that DDGAN's discriminator sees (Xiao et al. 2022, arXiv 2112.07804, equation 4); t is the index of the
    less noisy image, as in the paper's code. `x_t` equals the result of [`noise`] with the same seed. Differentiable
    with respect to `x_0`, twice too.

    Args:
        x_0 (`torch.Tensor` of shape (B, ...)):
            Clean samples; see [`noise`].
        signal_coefs (`torch.Tensor`):
            float32 table of the factors of `x_0` in x_t.
        noise_coefs (`torch.Tensor`):
            float32 table of the standard deviations in x_t.
        step_signal_coefs (`torch.Tensor`):
            float32 table of the factors of x_t in x_{t+1}.
        step_noise_coefs (`torch.Tensor`):
            float32 table of the standard deviations of one step.
        timesteps (`torch.Tensor` of shape (), (1,) or (B,), or `int`):
            t, at most the length of the tables less 2; see [`noise`].
        noise (pair of `torch.Tensor` of the shape of `x_0`, *optional*):
            (n_t, n_{t+1}).
        generator (`torch.Generator` or a list with one per sample, *optional*):
            See [`noise`]. The two noises are independent.
        seed (`int`, *optional*):
            See [`noise`].
        flip (`torch.Tensor` of shape (B,), *optional*):
            See [`noise`].
        dtype (`torch.dtype`, *optional*):
            See [`noise`].

    Returns:
        `tuple[torch.Tensor, torch.Tensor]`: (x_t, x_{t+1}), in the shape and dtype of float samples.

    Raises:
        ValueError: If shapes or devices do not match or a value is out of range.
        TypeError: If an argument has the wrong type or dtype.
    """
    dtype = _check_samples(x_0, flip, dtype)
    _check_tables(
        x_0,
        signal_coefs=signal_coefs,
        noise_coefs=noise_coefs,
        step_signal_coefs=step_signal_coefs,
        step_noise_coefs=step_noise_coefs,
    )
    timesteps = checks.per_sample_index(timesteps, x_0, signal_coefs.numel() - 1)
    backend = choose(x_0.device, dtype)
    source = noise_source(backend, x_0, dtype, noise, generator, seed, is_pair=True)
    n_t, n_tp1 = source.noise or (None, None)
    arguments = (x_0, signal_coefs, noise_coefs, step_signal_coefs, step_noise_coefs, timesteps, n_t, n_tp1)
    if backend == "triton":
        return ops.noise_pair(*arguments, source.seeds, flip, dtype)
    record("noise_pair", backend)
    return reference.noise_pair(*arguments, flip=flip, dtype=dtype, noise_is_scratch=source.is_scratch)


def posterior_step(
    x_0: torch.Tensor,
    x_tp1: torch.Tensor,
    coef_x_0: torch.Tensor,
    coef_x_tp1: torch.Tensor,
    std: torch.Tensor,
    timesteps: torch.Tensor | int,
    *,
    noise: torch.Tensor | None = None,
    generator: Generators | None = None,
    seed: int | None = None,
) -> torch.Tensor:
    r"""
    A draw from the Gaussian posterior: `coef_x_0[t] x_0 + coef_x_tp1[t] x_{t+1} + std[t] n`.

    q(x_t | x_{t+1}, x_0) of Ho et al. 2020 (arXiv 2006.11239), equations 6 and 7, which DDGAN samples with the
    generator's x_0 (arXiv 2112.07804, equation 5). Differentiable with respect to `x_0` and `x_tp1`, twice too.

    Args:
        x_0 (`torch.Tensor` of shape (B, ...)):
            Predicted clean samples: float32, float16, bfloat16 or float64.
        x_tp1 (`torch.Tensor` of the shape of `x_0`):
            The noisier samples, in the same dtype and on the same device.
        coef_x_0 (`torch.Tensor`):
            float32 table of the factors of `x_0`.
        coef_x_tp1 (`torch.Tensor`):
            float32 table of the factors of `x_tp1`.
        std (`torch.Tensor`):
            float32 table of the standard deviations; 0 at the last denoising step, t = 0.
        timesteps (`torch.Tensor` of shape (), (1,) or (B,), or `int`):
            See [`noise`].
        noise (`torch.Tensor` of the shape of `x_0`, *optional*):
            See [`noise`].
        generator (`torch.Generator` or a list with one per sample, *optional*):
            See [`noise`].
        seed (`int`, *optional*):
            See [`noise`].

    Returns:
        `torch.Tensor`: x_t, in the shape and dtype of `x_0`.

    Raises:
        ValueError: If shapes or devices do not match or a value is out of range.
        TypeError: If an argument has the wrong type or dtype.
    """
    checks.check_sample("x_0", x_0)
    checks.check_same("x_tp1", x_tp1, "x_0", x_0)
    _check_tables(x_0, coef_x_0=coef_x_0, coef_x_tp1=coef_x_tp1, std=std)
    timesteps = checks.per_sample_index(timesteps, x_0, coef_x_0.numel())
    backend = choose(x_0.device, x_0.dtype)
    source = noise_source(backend, x_0, x_0.dtype, noise, generator, seed)
    (n,) = source.noise or (None,)
    arguments = (x_0, x_tp1, coef_x_0, coef_x_tp1, std, timesteps, n)
    if backend == "triton":
        return ops.posterior_step(*arguments, source.seeds)
    record("posterior_step", backend)
    return reference.posterior_step(*arguments, noise_is_scratch=source.is_scratch)


def straight_path(
    x_0: torch.Tensor,
    positions: torch.Tensor | float,
    signal_coef: float,
    noise_coef: float,
    *,
    noise: torch.Tensor | None = None,
    generator: Generators | None = None,
    seed: int | None = None,
    flip: torch.Tensor | None = None,
    dtype: torch.dtype | None = None,
    return_terminal: bool = False,
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    r"""
    A point of the straight path from noise to data: `i(u) = u x_0 + (1 - u) x_T`.

    The terminal image is `x_T = signal_coef x_0 + noise_coef n`. The interpolation of SPI-GAN (Jeon and Park, arXiv
    2206.14464). Both ends are exact: i(1) = x_0 and i(0) = x_T. Differentiable with respect to `x_0`, twice too.

    Args:
        x_0 (`torch.Tensor` of shape (B, ...)):
            Clean samples; see [`noise`].
        positions (`torch.Tensor` of shape (), (1,) or (B,), or `float`):
            u in [0, 1]; one for all samples or one per sample. Checked as the timesteps of [`noise`] are.
        signal_coef (`float`):
            Factor of `x_0` in x_T.
        noise_coef (`float`):
            Standard deviation of the noise in x_T, at least 0.
        noise (`torch.Tensor` of the shape of `x_0`, *optional*):
            See [`noise`].
        generator (`torch.Generator` or a list with one per sample, *optional*):
            See [`noise`].
        seed (`int`, *optional*):
            See [`noise`].
        flip (`torch.Tensor` of shape (B,), *optional*):
            See [`noise`].
        dtype (`torch.dtype`, *optional*):
            See [`noise`].
        return_terminal (`bool`, defaults to `False`):
            Whether to return x_T as well.

    Returns:
        `torch.Tensor` or `tuple[torch.Tensor, torch.Tensor]`: i(u), or (i(u), x_T), in the shape and dtype of float
        samples.

    Raises:
        ValueError: If shapes or devices do not match or a value is out of range.
        TypeError: If an argument has the wrong type or dtype.
    """
    dtype = _check_samples(x_0, flip, dtype)
    for name, value in (("signal_coef", signal_coef), ("noise_coef", noise_coef)):
        if not isinstance(value, (int, float)):
            raise TypeError(f"`{name}` must be a float, got {type(value).__name__}.")
    if not noise_coef >= 0:
        raise ValueError(f"`noise_coef` must be at least 0, got {noise_coef}.")
    positions = checks.per_sample_position(positions, x_0, dtype)
    backend = choose(x_0.device, dtype)
    source = noise_source(backend, x_0, dtype, noise, generator, seed)
    (n,) = source.noise or (None,)
    arguments = (x_0, positions, float(signal_coef), float(noise_coef), n)
    if backend == "triton":
        op = ops.straight_path_with_terminal if return_terminal else ops.straight_path
        return op(*arguments, source.seeds, flip, dtype)
    record("straight_path", backend)
    options = {"flip": flip, "dtype": dtype, "return_terminal": return_terminal}
    return reference.straight_path(*arguments, noise_is_scratch=source.is_scratch, **options)


def _check_samples(x_0, flip, dtype):
    """Checks clean samples with their options, and returns the dtype of the result."""
    checks.check_sample("x_0", x_0, allow_pixels=True)
    return checks.check_pixel_options("x_0", x_0, flip, dtype)


def _check_tables(x_0, **tables):
    """Checks tables, which must all have the length of the first."""
    length = None
    for name, table in tables.items():
        checks.check_table(name, table, x_0, length)
        length = table.numel()
