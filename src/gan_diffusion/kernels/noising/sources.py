# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Where the noise of an operation comes from: a tensor, a seed, a generator, or a fresh draw."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from . import checks, random


Generators = torch.Generator | Sequence[torch.Generator]


class NoiseSource(NamedTuple):
    """
    The noise as the implementation that runs takes it: the tensors, or seeds from which the kernel draws it.

    With `is_scratch` the tensors belong to nobody else, have the layout of the samples and may be overwritten.
    """

    noise: tuple[torch.Tensor, ...] | None = None
    seeds: torch.Tensor | None = None
    is_scratch: bool = False


def noise_source(
    backend: str,
    x_0: torch.Tensor,
    dtype: torch.dtype,
    noise: torch.Tensor | tuple[torch.Tensor, torch.Tensor] | None,
    generator: Generators | None,
    seed: int | None,
    is_pair: bool = False,
) -> NoiseSource:
    """
    Checks the arguments that say where the noise comes from, and draws what is not drawn in the kernel.

    Args:
        backend (`str`):
            The implementation that will run: `"triton"` draws in the kernel, `"reference"` gets tensors.
        x_0 (`torch.Tensor` of shape (B, ...)):
            The samples.
        dtype (`torch.dtype`):
            Dtype of the result.
        noise (`torch.Tensor`, or a pair of them, *optional*):
            The noise itself.
        generator (`torch.Generator` or a list with one per sample, *optional*):
            Source of the seed.
        seed (`int`, *optional*):
            The seed.
        is_pair (`bool`, defaults to `False`):
            Whether the operation takes two noises.

    Returns:
        [`NoiseSource`]: One or two tensors, or seeds.

    Raises:
        ValueError: If several sources are given, or one does not fit the samples.
        TypeError: If an argument has the wrong type or dtype.
    """
    if (noise is not None) + (generator is not None) + (seed is not None) > 1:
        raise ValueError("`noise`, `generator` and `seed` must not be given together, got several. Give one of them.")
    if noise is not None:
        return NoiseSource(_checked_noise(noise, x_0, dtype, is_pair))
    seeds = _seeds(generator, seed, x_0)
    if backend == "triton":
        # The device's own generator, read without waiting for the device.
        return NoiseSource(seeds=_draw_seed(None, x_0) if seeds is None else seeds)
    if seeds is not None:
        return NoiseSource(tuple(random.normal(x_0.shape, seeds, stream) for stream in range(1 + is_pair)))
    # The noise of the later state is drawn first, as in DDGAN's code.
    drawn = tuple(_randn_like(x_0, dtype) for _ in range(1 + is_pair))[::-1]
    return NoiseSource(drawn, is_scratch=drawn[0].stride() == x_0.stride())


def _checked_noise(noise: Any, x_0: torch.Tensor, dtype: torch.dtype, is_pair: bool) -> tuple[torch.Tensor, ...]:
    if not is_pair:
        checks.check_noise("noise", noise, x_0, dtype)
        return (noise,)
    if not isinstance(noise, (tuple, list)) or len(noise) != 2:
        raise TypeError(f"`noise` must be the pair (noise_t, noise_tp1), got {type(noise).__name__}.")
    for place, tensor in enumerate(noise):
        checks.check_noise(f"noise[{place}]", tensor, x_0, dtype)
    return tuple(noise)


def _randn_like(x_0, dtype):
    """Fresh noise in the dtype of the arithmetic, laid out as the samples: `torch.randn` is fast on dense memory."""
    dtype = torch.float64 if dtype == torch.float64 else torch.float32
    if x_0.is_contiguous():
        return torch.randn_like(x_0, dtype=dtype)
    by_channel = x_0.movedim(1, -1) if x_0.ndim > 2 else x_0
    if by_channel.is_contiguous():
        return torch.randn_like(by_channel, dtype=dtype).movedim(-1, 1)
    return torch.randn(x_0.shape, dtype=dtype, device=x_0.device)


def _seeds(generator, seed, x_0):
    """The seed as an int64 tensor on the device of the samples, one or one per sample; None if there is none."""
    if seed is not None:
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise TypeError(f"`seed` must be an int, got {type(seed).__name__}.")
        if not 0 <= seed < 2**63:
            raise ValueError(f"`seed` must lie in [0, 2^63 - 1], got {seed}.")
        return torch.full((1,), seed, dtype=torch.int64, device=x_0.device)
    if generator is None:
        return None
    if isinstance(generator, torch.Generator):
        return _draw_seed(generator, x_0)
    if not isinstance(generator, (list, tuple)) or not all(isinstance(item, torch.Generator) for item in generator):
        raise TypeError(f"`generator` must be a torch.Generator or a list of them, got {type(generator).__name__}.")
    # As in diffusers' `randn_tensor`, a list of one is that generator.
    if len(generator) not in (1, len(x_0)):
        raise ValueError(
            f"`generator` must hold one generator per sample, {len(x_0)}, or a single one, got {len(generator)}."
        )
    return torch.cat([_draw_seed(item, x_0) for item in generator]) if generator else None


def _draw_seed(generator, x_0):
    device = x_0.device if generator is None else generator.device
    if device.type not in ("cpu", x_0.device.type):
        raise ValueError(f"`generator` must be on the CPU or on {x_0.device}, got {device}.")
    return torch.randint(2**63 - 1, (1,), generator=generator, device=device).to(x_0.device, non_blocking=True)
