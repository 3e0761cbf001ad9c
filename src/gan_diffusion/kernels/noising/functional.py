# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The public functions: check the arguments, settle where the noise comes from, and dispatch."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from . import checks, ops, random, reference
from .backend import choose, record


Generators = torch.Generator | Sequence[torch.Generator]


def pixels_to_images(
    pixels: torch.Tensor, flip: torch.Tensor | None = None, dtype: torch.dtype | None = None
) -> torch.Tensor:
    """
    Maps uint8 pixels to images in [-1, 1], with the numbers that the kernels compute.

    The other functions take pixels as they are. This one is for a clean image that a gradient is taken with respect to.

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
    dtype = _check_first("pixels", pixels, flip, dtype)
    if pixels.dtype != torch.uint8:
        raise TypeError(f"`pixels` must be uint8, got {pixels.dtype}. Float images need no mapping.")
    return reference.pixels_to_images(pixels, flip, dtype)


def noise(
    sample: torch.Tensor,
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
    r"""Noises every sample to its own timestep: `signal_coefs[t] * x + noise_coefs[t] * e` with `e ~ N(0, I)`.

    The marginal of a diffusion process: Xiao et al. 2022 (arXiv 2112.07804), equation 1 accumulated over the steps;
    for Wang et al. 2023 (arXiv 2206.02262) sigma belongs to `noise_coefs`. Differentiable with respect to `sample`,
    twice too.

    Args:
        sample (`torch.Tensor`): `(batch, ...)`, float32, float16, bfloat16 or float64; or uint8 pixels, which are
            mapped to [-1, 1] first.
        signal_coefs (`torch.Tensor`): float32 table of the factors of the sample, on its device.
        noise_coefs (`torch.Tensor`): float32 table of the standard deviations, same length. Where it is 0 the noise
            leaves no trace.
        timesteps (`torch.Tensor` or `int`): index into the tables, one for all samples or an integer tensor
            `(batch,)` on the sample's device or the CPU. Values on the CPU are checked; on a GPU this would stall
            the queue, so there a sample whose index is out of range is filled with NaN instead.
        noise (`torch.Tensor`, *optional*): the noise itself, of the sample's shape. At most one of `noise`,
            `generator` and `seed` can be given.
        generator (`torch.Generator` or list of them, *optional*): source of the seed, on the CPU or on the sample's
            device. A CPU generator gives the same picture on every device. A list gives each sample the noise that it
            would get alone.
        seed (`int`, *optional*): seed in [0, 2^63 - 1]: the same noise on every device and in every memory format.
            Without `noise`, `generator` and `seed` the device's fastest generator is used, under
            `torch.manual_seed`.
        flip (`torch.Tensor`, *optional*): bool `(batch,)`; uint8 pictures to mirror along the last dimension.
        dtype (`torch.dtype`, *optional*): dtype of the result for uint8 pixels; float32 if not given.

    Returns:
        `torch.Tensor`: noised samples in the sample's shape and dtype.

    Raises:
        ValueError: for mismatched shapes or devices, and values out of range.
        TypeError: for arguments of the wrong type or dtype.
    """
    dtype = _check_first("sample", sample, flip, dtype)
    checks.check_table("signal_coefs", signal_coefs, sample)
    checks.check_table("noise_coefs", noise_coefs, sample, signal_coefs.numel())
    timesteps = checks.per_sample_index(timesteps, sample, signal_coefs.numel())
    source = _noise_source("sample", sample, dtype, noise, generator, seed)
    tables = (signal_coefs, noise_coefs)
    if source.backend == "triton":
        return ops.noise(sample, *tables, timesteps, source.noise, source.seeds, flip, dtype)
    record("noise", source.backend)
    return reference.noise(
        sample, *tables, timesteps, source.noise, flip=flip, dtype=dtype, noise_is_scratch=source.is_scratch
    )


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
    r"""Two neighbours on the chain: `x_t = signal_coefs[t] x_0 + noise_coefs[t] n_t` and
    `x_{t+1} = step_signal_coefs[t+1] x_t + step_noise_coefs[t+1] n_{t+1}`.

    The pair that DDGAN's discriminator sees (Xiao et al. 2022, arXiv 2112.07804, equation 4); t is the index of the
    less noisy image, as in the paper's code. `x_t` equals `noise(x_0, ...)` of the same seed.

    Args:
        x_0 (`torch.Tensor`): clean samples, see [`noise`].
        signal_coefs (`torch.Tensor`): float32 table of the marginal's factors of `x_0`.
        noise_coefs (`torch.Tensor`): float32 table of the marginal's standard deviations.
        step_signal_coefs (`torch.Tensor`): float32 table of one step's factors.
        step_noise_coefs (`torch.Tensor`): float32 table of one step's standard deviations.
        timesteps (`torch.Tensor` or `int`): t, at most the tables' length less 2; see [`noise`].
        noise (`tuple[torch.Tensor, torch.Tensor]`, *optional*): `(n_t, n_{t+1})`.
        generator (`torch.Generator` or list of them, *optional*): see [`noise`]; the two noises are independent.
        seed (`int`, *optional*): see [`noise`].
        flip (`torch.Tensor`, *optional*): see [`noise`].
        dtype (`torch.dtype`, *optional*): see [`noise`].

    Returns:
        `tuple[torch.Tensor, torch.Tensor]`: `(x_t, x_{t+1})` in the shape and dtype of `x_0`.

    Raises:
        ValueError: for mismatched shapes or devices, and values out of range.
        TypeError: for arguments of the wrong type or dtype.
    """
    dtype = _check_first("x_0", x_0, flip, dtype)
    tables = {"signal_coefs": signal_coefs, "noise_coefs": noise_coefs}
    tables |= {"step_signal_coefs": step_signal_coefs, "step_noise_coefs": step_noise_coefs}
    for name, table in tables.items():
        checks.check_table(name, table, x_0, signal_coefs.numel() if name != "signal_coefs" else None)
    timesteps = checks.per_sample_index(timesteps, x_0, signal_coefs.numel() - 1)
    source = _noise_source("x_0", x_0, dtype, noise, generator, seed, is_pair=True)
    if source.backend == "triton":
        n_t, n_tp1 = source.noise or (None, None)
        return ops.noise_pair(x_0, *tables.values(), timesteps, n_t, n_tp1, source.seeds, flip, dtype)
    record("noise_pair", source.backend)
    return reference.noise_pair(
        x_0, *tables.values(), timesteps, source.noise, flip=flip, dtype=dtype, noise_is_scratch=source.is_scratch
    )


def posterior_step(
    x_0: torch.Tensor,
    x_tp1: torch.Tensor,
    coef_x0: torch.Tensor,
    coef_xt: torch.Tensor,
    std: torch.Tensor,
    timesteps: torch.Tensor | int,
    *,
    noise: torch.Tensor | None = None,
    generator: Generators | None = None,
    seed: int | None = None,
) -> torch.Tensor:
    r"""A draw from the Gaussian posterior: `coef_x0[t] x_0 + coef_xt[t] x_{t+1} + std[t] e`.

    q(x_t | x_{t+1}, x_0) of Ho et al. 2020 (arXiv 2006.11239), equations 6 and 7, which DDGAN samples with the
    generator's x_0 (arXiv 2112.07804, equation 5). Differentiable with respect to `x_0` and `x_tp1`, twice too.

    Args:
        x_0 (`torch.Tensor`): predicted clean samples `(batch, ...)`, float32, float16, bfloat16 or float64.
        x_tp1 (`torch.Tensor`): the noisier samples, same shape, dtype and device.
        coef_x0 (`torch.Tensor`): float32 table of the factors of `x_0`.
        coef_xt (`torch.Tensor`): float32 table of the factors of `x_tp1`.
        std (`torch.Tensor`): float32 table of the standard deviations; 0 at the last denoising step, t = 0.
        timesteps (`torch.Tensor` or `int`): see [`noise`].
        noise (`torch.Tensor`, *optional*): see [`noise`].
        generator (`torch.Generator` or list of them, *optional*): see [`noise`].
        seed (`int`, *optional*): see [`noise`].

    Returns:
        `torch.Tensor`: x_t in the shape and dtype of `x_0`.

    Raises:
        ValueError: for mismatched shapes or devices, and values out of range.
        TypeError: for arguments of the wrong type or dtype.
    """
    checks.check_sample("x_0", x_0)
    checks.check_same("x_tp1", x_tp1, "x_0", x_0)
    checks.check_table("coef_x0", coef_x0, x_0)
    checks.check_table("coef_xt", coef_xt, x_0, coef_x0.numel())
    checks.check_table("std", std, x_0, coef_x0.numel())
    timesteps = checks.per_sample_index(timesteps, x_0, coef_x0.numel())
    source = _noise_source("x_0", x_0, x_0.dtype, noise, generator, seed)
    tables = (coef_x0, coef_xt, std)
    if source.backend == "triton":
        return ops.posterior_step(x_0, x_tp1, *tables, timesteps, source.noise, source.seeds)
    record("posterior_step", source.backend)
    return reference.posterior_step(x_0, x_tp1, *tables, timesteps, source.noise, noise_is_scratch=source.is_scratch)


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
    return_end: bool = False,
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    r"""A point of the straight path from noise to data: `i(u) = u x_0 + (1 - u) x_T`, `x_T = signal_coef x_0 +
    noise_coef e`.

    The interpolation of SPI-GAN (Jeon and Park, arXiv 2206.14464); i(1) = x_0 exactly, i(0) = x_T. Differentiable with
    respect to `x_0`, twice too.

    Args:
        x_0 (`torch.Tensor`): clean samples, see [`noise`].
        positions (`torch.Tensor` or `float`): u in [0, 1], one for all samples or a float tensor `(batch,)` on the
            sample's device or the CPU. Checked as `timesteps` are in [`noise`].
        signal_coef (`float`): factor of `x_0` in `x_T`.
        noise_coef (`float`): standard deviation of the noise in `x_T`, not negative.
        noise (`torch.Tensor`, *optional*): see [`noise`].
        generator (`torch.Generator` or list of them, *optional*): see [`noise`].
        seed (`int`, *optional*): see [`noise`].
        flip (`torch.Tensor`, *optional*): see [`noise`].
        dtype (`torch.dtype`, *optional*): see [`noise`].
        return_end (`bool`, *optional*, defaults to `False`): also return `x_T`.

    Returns:
        `torch.Tensor` or `tuple[torch.Tensor, torch.Tensor]`: i(u), or (i(u), x_T) with `return_end`, in the shape
        and dtype of `x_0`.

    Raises:
        ValueError: for mismatched shapes or devices, and values out of range.
        TypeError: for arguments of the wrong type or dtype.
    """
    dtype = _check_first("x_0", x_0, flip, dtype)
    for name, value in (("signal_coef", signal_coef), ("noise_coef", noise_coef)):
        if not isinstance(value, (int, float)):
            raise TypeError(f"`{name}` must be a float, but is {type(value).__name__}.")
    if not noise_coef >= 0:
        raise ValueError(f"`noise_coef` must be at least 0, but is {noise_coef}.")
    positions = checks.per_sample_position(positions, x_0, dtype)
    source = _noise_source("x_0", x_0, dtype, noise, generator, seed)
    coefs = (float(signal_coef), float(noise_coef))
    if source.backend == "triton":
        op = ops.straight_path_with_end if return_end else ops.straight_path
        return op(x_0, positions, *coefs, source.noise, source.seeds, flip, dtype)
    record("straight_path", source.backend)
    return reference.straight_path(
        x_0,
        positions,
        *coefs,
        source.noise,
        flip=flip,
        dtype=dtype,
        return_end=return_end,
        noise_is_scratch=source.is_scratch,
    )


def _check_first(name, sample, flip, dtype):
    checks.check_sample(name, sample, allow_pixels=True)
    return checks.check_pixel_options(name, sample, flip, dtype)


class _Source(NamedTuple):
    """What runs, and the noise it gets: tensors, or seeds to draw it from in the kernel."""

    backend: str
    noise: torch.Tensor | tuple[torch.Tensor, torch.Tensor] | None = None
    seeds: torch.Tensor | None = None
    is_scratch: bool = False


def _noise_source(name, sample, dtype, noise, generator, seed, is_pair=False):
    if (noise is not None) + (generator is not None) + (seed is not None) > 1:
        raise ValueError("At most one of `noise`, `generator` and `seed` can be given, but several are.")
    if noise is not None:
        if not is_pair:
            checks.check_noise("noise", noise, name, sample, dtype)
        elif not isinstance(noise, (tuple, list)) or len(noise) != 2:
            raise TypeError(f"`noise` must be the pair (noise_t, noise_tp1), but is {type(noise).__name__}.")
        else:
            checks.check_noise("noise[0]", noise[0], name, sample, dtype)
            checks.check_noise("noise[1]", noise[1], name, sample, dtype)
    seeds = _seeds(generator, seed, sample) if noise is None else None
    backend = choose(sample.device, dtype)
    if noise is not None:
        return _Source(backend, noise)
    if backend == "triton":
        # The device's own generator, read without waiting for the device.
        return _Source(backend, seeds=_draw_seed(None, sample) if seeds is None else seeds)
    if seeds is not None:
        drawn = [random.normal(sample.shape, seeds, stream) for stream in range(1 + is_pair)]
        return _Source(backend, tuple(drawn) if is_pair else drawn[0])
    # The noise of the later state is drawn first, as in DDGAN's code. It is nobody else's, so it may be overwritten.
    drawn = [_randn_like(sample, dtype) for _ in range(1 + is_pair)][::-1]
    return _Source(backend, tuple(drawn) if is_pair else drawn[0], None, drawn[0].stride() == sample.stride())


def _randn_like(sample, dtype):
    """Fresh noise in the dtype of the arithmetic, laid out as the sample: `torch.randn` is fast on dense memory."""
    dtype = torch.float64 if dtype == torch.float64 else torch.float32
    if sample.is_contiguous():
        return torch.randn_like(sample, dtype=dtype)
    by_channel = sample.movedim(1, -1) if sample.ndim > 2 else sample
    if by_channel.is_contiguous():
        return torch.randn_like(by_channel, dtype=dtype).movedim(-1, 1)
    return torch.randn(sample.shape, dtype=dtype, device=sample.device)


def _seeds(generator, seed, sample):
    """The seed as an int64 tensor on the sample's device, one or one per sample; None if there is none."""
    if seed is not None:
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise TypeError(f"`seed` must be an int, but is {type(seed).__name__}.")
        if not 0 <= seed < 2**63:
            raise ValueError(f"`seed` must lie in [0, 2^63 - 1], but is {seed}.")
        return torch.full((1,), seed, dtype=torch.int64, device=sample.device)
    if generator is None:
        return None
    if isinstance(generator, torch.Generator):
        return _draw_seed(generator, sample)
    if not isinstance(generator, (list, tuple)) or not all(isinstance(item, torch.Generator) for item in generator):
        raise TypeError(f"`generator` must be a torch.Generator or a list of them, but is {type(generator).__name__}.")
    if len(generator) != sample.shape[0]:
        raise ValueError(
            f"`generator` must hold one generator per sample, {sample.shape[0]}, but holds {len(generator)}."
        )
    return torch.cat([_draw_seed(item, sample) for item in generator]) if generator else None


def _draw_seed(generator, sample):
    device = sample.device if generator is None else generator.device
    if device.type not in ("cpu", sample.device.type):
        raise ValueError(f"`generator` must be on the CPU or on {sample.device}, but is on {device}.")
    return torch.randint(2**63 - 1, (1,), generator=generator, device=device).to(sample.device, non_blocking=True)
