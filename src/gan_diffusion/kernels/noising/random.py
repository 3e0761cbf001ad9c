# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
The normal numbers of the kernels, in plain PyTorch: counter-based Philox followed by Box-Muller.

Element `i` of a tensor belongs to Philox call `i // 4`, lane `i % 4`, where `i` is the element's index in logical
(row-major) order. Nothing else enters but the seed and the stream, so the numbers do not depend on the device, the
memory format or how the work is cut into blocks. `triton_kernels.py` computes the same sequence in registers.
"""

import math
from typing import Any

import torch


# Philox4x32 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011), section 3.3.
PHILOX_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
PHILOX_WEYL = (0x9E3779B9, 0xBB67AE85)
# The fewest rounds that its authors found to pass BigCrush; ten, their default, cost a tenth more instructions.
PHILOX_ROUNDS = 7

# Minimax fits on |y| <= 1 of cos(pi y / 2) = C(y^2) and sin(pi y / 2) = y S(y^2), lowest power first; the greatest
# absolute errors are 5e-8 and 3e-9.
COS_COEFFICIENTS = (9.99999953e-01, -1.23369821e00, 2.53650745e-01, -2.08106275e-02, 8.58190605e-04)
SIN_COEFFICIENTS = (1.57079629e00, -6.45963360e-01, 7.96884805e-02, -4.67222792e-03, 1.50820563e-04)
MINUS_TWO_LN_2 = -2.0 * math.log(2.0)

_MASK = 0xFFFFFFFF
_CALLS_PER_PIECE = 2**16


def philox(
    counter: tuple[Any, Any, Any, Any],
    key: tuple[Any, Any],
    rounds: int = PHILOX_ROUNDS,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """
    Philox4x32: four random 32-bit words per counter.

    Args:
        counter (`tuple`):
            The four words of the counter: int64 tensors or Python integers in [0, 2^32).
        key (`tuple`):
            The two words of the key, of the same kind, broadcastable to the counter.
        rounds (`int`, defaults to 7):
            Number of rounds.

    Returns:
        `tuple[torch.Tensor, ...]`: Four int64 tensors with values in [0, 2^32).
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for i in range(rounds):
        high_0, low_0 = _halves(c0 * PHILOX_MULTIPLIERS[0])
        high_1, low_1 = _halves(c2 * PHILOX_MULTIPLIERS[1])
        c0 = high_1 ^ c1 ^ ((k0 + i * PHILOX_WEYL[0]) & _MASK)
        c2 = high_0 ^ c3 ^ ((k1 + i * PHILOX_WEYL[1]) & _MASK)
        c1, c3 = low_1, low_0
    return c0, c1, c2, c3


def _halves(product):
    """The two words of a 64-bit product. It may have wrapped to a negative int64, but its bits are right."""
    high = product >> 32
    high &= _MASK
    product &= _MASK
    return high, product


def box_muller(word_0: torch.Tensor, word_1: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Two independent standard normal numbers from two 32-bit words.

    With v = word_0 read as a signed integer, |v + 1/2| / 2^31 is the uniform of the radius sqrt(-2 ln u) and the sign
    of v chooses the half plane; word_1, signed and over 2^31, is the angle within it in units of pi / 2. Every bit is
    used, no range reduction is needed, and the smallest uniform is 2^-32 (largest radius 6.66).

    Args:
        word_0 (`torch.Tensor`):
            int64 values in [0, 2^32).
        word_1 (`torch.Tensor` of the same shape):
            int64 values in [0, 2^32).

    Returns:
        `tuple[torch.Tensor, torch.Tensor]`: Two float32 tensors of that shape.
    """
    half = word_0.to(torch.int32).to(torch.float32).mul_(2.0**-31).add_(2.0**-32)
    radius = half.abs().log2_().mul_(MINUS_TWO_LN_2).sqrt_()
    angle = word_1.to(torch.int32).to(torch.float32).mul_(2.0**-31)
    square = angle * angle
    cosine = _polynomial(square, COS_COEFFICIENTS)
    sine = _polynomial(square, SIN_COEFFICIENTS).mul_(angle)
    return cosine.mul_(torch.copysign(radius, half)), sine.mul_(radius)


def normal(shape: torch.Size | tuple[int, ...], seeds: torch.Tensor, stream: int = 0) -> torch.Tensor:
    """
    Standard normal numbers of a seed.

    Args:
        shape (`torch.Size`):
            Shape of the result, (B, ...).
        seeds (`torch.Tensor` of shape (1,) or (B,)):
            int64; one seed for the whole tensor, or one per sample: then sample b holds the numbers that a batch of
            one would get from seed b.
        stream (`int`, defaults to 0):
            Different streams of one seed are independent.

    Returns:
        `torch.Tensor`: float32, contiguous, on the device of the seeds.
    """
    shape = tuple(shape)
    rows = seeds.numel()
    length = math.prod(shape) if rows == 1 else math.prod(shape[1:])
    calls = (length + 3) // 4
    # In pieces that stay in the cache, except in a traced graph, which would hold every piece.
    step = max(1, calls if torch.compiler.is_compiling() else _CALLS_PER_PIECE // rows)
    key = (seeds.reshape(rows, 1) & _MASK, (seeds.reshape(rows, 1) >> 32) & _MASK)
    pieces = []
    for first in range(0, max(1, calls), step):
        call = torch.arange(first, min(first + step, calls), device=seeds.device)
        words = philox((call & _MASK, call >> 32, stream, 0), key)
        pieces.append(torch.stack(box_muller(words[0], words[1]) + box_muller(words[2], words[3]), dim=-1))
    numbers = pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=1)
    return numbers.reshape(rows, -1)[:, :length].reshape(shape)


def _polynomial(x, coefficients):
    """Horner's rule, lowest power first."""
    value = x * coefficients[-1]
    for coefficient in reversed(coefficients[1:-1]):
        value = value.add_(coefficient).mul_(x)
    return value.add_(coefficients[0])
