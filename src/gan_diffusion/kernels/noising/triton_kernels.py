# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
The device code: one pass over memory per operation, with the random numbers made in registers.

A program works on `BLOCK` elements of one sample, so coefficients are scalars that it fetches from the schedule's
table itself. Arithmetic is float32 and is rounded once, at the store. An index outside the table turns the sample's
coefficients into NaN: nothing is read out of bounds and the mistake cannot pass unnoticed.

Constants that all kernels share:

    BLOCK      elements per program.
    PER        Philox calls on neighbouring elements per thread: 4 * PER neighbours fill 128 bits of the store.
    NOISE      0: none (the linear map alone), 1: an explicit tensor, 2: Philox.
    OWN_SEED   every sample has its own seed and counts its elements from 0.
    ALIGNED    samples have a multiple of 16 elements.
    CHANNELS   0: contiguous memory; otherwise the number of channels of channels-last memory, whose number of pixels
               per sample is then a multiple of 4.
    WIDTH      0, or the length of the dimension along which pixels are mirrored.
    APPROX     use the hardware's approximate logarithm (CUDA).

Only builtins of the language are used, never its jitted library functions: so the module can be loaded for the
interpreter after triton itself has been loaded without it.
"""

import triton
import triton.language as tl
from triton.language.extra import libdevice

from . import random


_ROUNDS = tl.constexpr(random.PHILOX_ROUNDS)
_MULTIPLIER_0 = tl.constexpr(random.PHILOX_MULTIPLIERS[0])
_MULTIPLIER_1 = tl.constexpr(random.PHILOX_MULTIPLIERS[1])
_WEYL_0 = tl.constexpr(random.PHILOX_WEYL[0])
_WEYL_1 = tl.constexpr(random.PHILOX_WEYL[1])
_COS_0, _COS_1, _COS_2, _COS_3, _COS_4 = (tl.constexpr(value) for value in random.COS_COEFFICIENTS)
_SIN_0, _SIN_1, _SIN_2, _SIN_3, _SIN_4 = (tl.constexpr(value) for value in random.SIN_COEFFICIENTS)
_MINUS_TWO_LN_2 = tl.constexpr(random.MINUS_TWO_LN_2)


# Random numbers: the device's half of random.py.


@triton.jit
def _philox(c0, c1, c2, c3, k0, k1):
    for _ in tl.static_range(_ROUNDS):
        # A widening product is one instruction where the two halves would be two.
        product_0 = c0.to(tl.uint64) * _MULTIPLIER_0
        product_1 = c2.to(tl.uint64) * _MULTIPLIER_1
        c0 = (product_1 >> 32).to(tl.uint32) ^ c1 ^ k0
        c2 = (product_0 >> 32).to(tl.uint32) ^ c3 ^ k1
        c1 = product_1.to(tl.uint32)
        c3 = product_0.to(tl.uint32)
        k0 = tl.add(k0, _WEYL_0, sanitize_overflow=False)
        k1 = tl.add(k1, _WEYL_1, sanitize_overflow=False)
    return c0, c1, c2, c3


@triton.jit
def _box_muller(word_0, word_1, APPROX: tl.constexpr):
    half = word_0.to(tl.int32, bitcast=True).to(tl.float32) * 2.0**-31 + 2.0**-32
    if APPROX:
        log_u = libdevice.fast_log2f(tl.abs(half))
    else:
        log_u = tl.log2(tl.abs(half))
    # The logarithm is at most 0, but an approximate one need not be.
    radius = tl.sqrt(tl.abs(log_u * _MINUS_TWO_LN_2))
    angle = word_1.to(tl.int32, bitcast=True).to(tl.float32) * 2.0**-31
    square = angle * angle
    cosine = (((_COS_4 * square + _COS_3) * square + _COS_2) * square + _COS_1) * square + _COS_0
    sine = ((((_SIN_4 * square + _SIN_3) * square + _SIN_2) * square + _SIN_1) * square + _SIN_0) * angle
    sign = half.to(tl.uint32, bitcast=True) & 0x80000000
    cosine = (cosine.to(tl.uint32, bitcast=True) ^ sign).to(tl.float32, bitcast=True)
    return cosine * radius, sine * radius


@triton.jit
def _four_normals(first_call, call, key_0, key_1, stream: tl.constexpr, APPROX: tl.constexpr):
    """The four numbers of Philox calls `first_call + call`: an int64 scalar and a vector of small integers."""
    low = first_call.to(tl.uint32) + call.to(tl.uint32)
    carry = (low < first_call.to(tl.uint32)).to(tl.uint32)
    high = (first_call >> 32).to(tl.uint32) + carry
    c2 = tl.full(call.shape, stream, tl.uint32)
    c3 = tl.full(call.shape, 0, tl.uint32)
    w0, w1, w2, w3 = _philox(low, high, c2, c3, key_0, key_1)
    n0, n1 = _box_muller(w0, w1, APPROX)
    n2, n3 = _box_muller(w2, w3, APPROX)
    return n0, n1, n2, n3


@triton.jit
def _normals(
    seed, first_call, call, stream: tl.constexpr, BLOCK: tl.constexpr, PER: tl.constexpr, APPROX: tl.constexpr
):
    """`BLOCK` normals: thread by thread those of the calls `call`, or of `call` and `call + 1`."""
    k0 = seed.to(tl.uint32)
    k1 = (seed >> 32).to(tl.uint32)
    a0, a1, a2, a3 = _four_normals(first_call, call, k0, k1, stream, APPROX)
    if PER == 1:
        return tl.join(tl.join(a0, a2), tl.join(a1, a3)).reshape(BLOCK)
    else:
        b0, b1, b2, b3 = _four_normals(first_call, call + 1, k0, k1, stream, APPROX)
        even = tl.join(tl.join(a0, b0), tl.join(a2, b2))
        odd = tl.join(tl.join(a1, b1), tl.join(a3, b3))
        return tl.join(even, odd).reshape(BLOCK)


# Addresses and loads.


@triton.jit
def _place(
    D,
    BLOCK: tl.constexpr,
    PER: tl.constexpr,
    NOISE: tl.constexpr,
    OWN_SEED: tl.constexpr,
    ALIGNED: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """Where the program's elements lie: sample, address of the block, offsets from it, mask, and Philox calls."""
    sample = tl.program_id(0).to(tl.int64)
    start = (tl.program_id(2).to(tl.int64) * tl.num_programs(1) + tl.program_id(1)) * BLOCK
    origin = sample * D
    first = start if OWN_SEED else origin + start
    if CHANNELS > 0:
        # Four neighbouring pixels of one channel share a Philox call; channels alternate so that a block of memory is
        # dense. Offsets count from the sample's start in 32 bits; the launcher sees to it that they fit.
        quad = start.to(tl.int32) // 4 + tl.arange(0, BLOCK // 4)
        channel = quad % CHANNELS
        call = quad // CHANNELS
        lanes = tl.arange(0, 4)[None, :]
        offsets = (call * (4 * CHANNELS) + channel)[:, None] + lanes * CHANNELS
        mask = (quad < (D // 4).to(tl.int32))[:, None] & (lanes >= 0)
        call = channel * (D // (4 * CHANNELS)).to(tl.int32) + call
        first = first - start
        return sample, origin, offsets.reshape(BLOCK), mask.reshape(BLOCK), first // 4, call
    else:
        call = tl.arange(0, BLOCK // (4 * PER)) * PER
        offsets = tl.max_contiguous(tl.arange(0, BLOCK), 4 * PER)
        left = tl.minimum(D - start, BLOCK).to(tl.int32)
        if ALIGNED:
            left = tl.multiple_of(left, 16)
            mask = offsets < left
        elif NOISE == 2:
            # The block begins with the Philox call that the sample's first element belongs to.
            lead = (first & 3).to(tl.int32)
            offsets = offsets - lead
            mask = (offsets < tl.minimum(D - start, BLOCK + 3).to(tl.int32)) & (offsets + start >= 0)
            first = first - lead
        else:
            mask = offsets < left
        return sample, origin + start, offsets, mask, first // 4, call


@triton.jit
def _timestep(TIMESTEPS, timestep_stride, sample, num_steps):
    """The sample's timestep, and whether it is an index of the table."""
    t = tl.load(TIMESTEPS + sample * timestep_stride).to(tl.int64)
    return t, (t >= 0) & (t < num_steps)


@triton.jit
def _coefficient(TABLE, t, valid):
    return tl.load(TABLE + t, mask=valid, other=float("nan"))


@triton.jit
def _read(X, offsets, mask):
    """Elements as float32; uint8 pixels are taken to [-1, 1]."""
    x = tl.load(X + offsets, mask=mask)
    if X.dtype.element_ty == tl.uint8:
        # 2^15 + pixel by its bits, which spares the conversion; the difference to 127.5 is exact.
        x = ((x.to(tl.uint32) << 8) | 0x47000000).to(tl.float32, bitcast=True)
        return (x - 32895.5) * (1.0 / 127.5)
    else:
        return x.to(tl.float32)


@triton.jit
def _read_pixels(X, FLIP, sample, base, offsets, mask, WIDTH: tl.constexpr, CHANNELS: tl.constexpr, D):
    """As `_read`, mirrored along the last dimension where the sample's flag is set."""
    if WIDTH > 0:
        step: tl.constexpr = CHANNELS if CHANNELS > 0 else 1
        within = (base - sample * D) % WIDTH
        column = (within.to(tl.int32) + offsets // step) % WIDTH
        flip = tl.load(FLIP + sample).to(tl.int32)
        offsets = offsets + flip * (WIDTH - 1 - 2 * column) * step
    return _read(X + base, offsets, mask)


@triton.jit
def _draw(
    N,
    SEEDS,
    sample,
    base,
    offsets,
    mask,
    first_call,
    call,
    stream: tl.constexpr,
    BLOCK: tl.constexpr,
    PER: tl.constexpr,
    NOISE: tl.constexpr,
    OWN_SEED: tl.constexpr,
    APPROX: tl.constexpr,
):
    if NOISE == 1:
        return _read(N + base, offsets, mask)
    else:
        seed = tl.load(SEEDS + sample) if OWN_SEED else tl.load(SEEDS)
        return _normals(seed, first_call, call, stream, BLOCK, PER, APPROX)


@triton.jit
def _write(OUT, offsets, value, mask):
    tl.store(OUT + offsets, value.to(OUT.dtype.element_ty), mask=mask)


# Forward kernels.


@triton.jit
def noise_kernel(
    X_0,
    N,
    SEEDS,
    FLIP,
    A,
    S,
    TIMESTEPS,
    OUT,
    D,
    num_steps,
    timestep_stride,
    BLOCK: tl.constexpr,
    PER: tl.constexpr,
    NOISE: tl.constexpr,
    OWN_SEED: tl.constexpr,
    ALIGNED: tl.constexpr,
    CHANNELS: tl.constexpr,
    WIDTH: tl.constexpr,
    APPROX: tl.constexpr,
):
    """OUT = A[t] x_0 + S[t] n."""
    sample, base, offsets, mask, first_call, call = _place(D, BLOCK, PER, NOISE, OWN_SEED, ALIGNED, CHANNELS)
    t, valid = _timestep(TIMESTEPS, timestep_stride, sample, num_steps)
    out = _coefficient(A, t, valid) * _read_pixels(X_0, FLIP, sample, base, offsets, mask, WIDTH, CHANNELS, D)
    if NOISE > 0:
        n = _draw(N, SEEDS, sample, base, offsets, mask, first_call, call, 0, BLOCK, PER, NOISE, OWN_SEED, APPROX)
        out = out + _coefficient(S, t, valid) * n
    _write(OUT + base, offsets, out, mask)


@triton.jit
def noise_pair_kernel(
    X_0,
    N_T,
    N_TP1,
    SEEDS,
    FLIP,
    A_CUM,
    S_CUM,
    A,
    S,
    TIMESTEPS,
    OUT_T,
    OUT_TP1,
    D,
    num_steps,
    timestep_stride,
    BLOCK: tl.constexpr,
    PER: tl.constexpr,
    NOISE: tl.constexpr,
    OWN_SEED: tl.constexpr,
    ALIGNED: tl.constexpr,
    CHANNELS: tl.constexpr,
    WIDTH: tl.constexpr,
    APPROX: tl.constexpr,
):
    """OUT_T = A_CUM[t] x_0 + S_CUM[t] n_t; OUT_TP1 = A[t + 1] OUT_T + S[t + 1] n_tp1."""
    sample, base, offsets, mask, first_call, call = _place(D, BLOCK, PER, NOISE, OWN_SEED, ALIGNED, CHANNELS)
    t, valid = _timestep(TIMESTEPS, timestep_stride, sample, num_steps - 1)
    x_t = _coefficient(A_CUM, t, valid) * _read_pixels(X_0, FLIP, sample, base, offsets, mask, WIDTH, CHANNELS, D)
    if NOISE > 0:
        n = _draw(N_T, SEEDS, sample, base, offsets, mask, first_call, call, 0, BLOCK, PER, NOISE, OWN_SEED, APPROX)
        x_t = x_t + _coefficient(S_CUM, t, valid) * n
    x_tp1 = _coefficient(A, t + 1, valid) * x_t
    if NOISE > 0:
        n = _draw(N_TP1, SEEDS, sample, base, offsets, mask, first_call, call, 1, BLOCK, PER, NOISE, OWN_SEED, APPROX)
        x_tp1 = x_tp1 + _coefficient(S, t + 1, valid) * n
    _write(OUT_T + base, offsets, x_t, mask)
    _write(OUT_TP1 + base, offsets, x_tp1, mask)


@triton.jit
def posterior_step_kernel(
    X_0,
    X_TP1,
    N,
    SEEDS,
    C_0,
    C_TP1,
    STD,
    TIMESTEPS,
    OUT,
    D,
    num_steps,
    timestep_stride,
    BLOCK: tl.constexpr,
    PER: tl.constexpr,
    NOISE: tl.constexpr,
    OWN_SEED: tl.constexpr,
    ALIGNED: tl.constexpr,
    CHANNELS: tl.constexpr,
    APPROX: tl.constexpr,
):
    """OUT = C_0[t] x_0 + C_TP1[t] x_tp1 + STD[t] n."""
    sample, base, offsets, mask, first_call, call = _place(D, BLOCK, PER, NOISE, OWN_SEED, ALIGNED, CHANNELS)
    t, valid = _timestep(TIMESTEPS, timestep_stride, sample, num_steps)
    out = _coefficient(C_0, t, valid) * _read(X_0 + base, offsets, mask)
    out = out + _coefficient(C_TP1, t, valid) * _read(X_TP1 + base, offsets, mask)
    if NOISE > 0:
        n = _draw(N, SEEDS, sample, base, offsets, mask, first_call, call, 0, BLOCK, PER, NOISE, OWN_SEED, APPROX)
        out = out + _coefficient(STD, t, valid) * n
    _write(OUT + base, offsets, out, mask)


@triton.jit
def straight_path_kernel(
    X_0,
    N,
    SEEDS,
    FLIP,
    POSITIONS,
    OUT,
    OUT_TERMINAL,
    m,
    s,
    D,
    position_stride,
    BLOCK: tl.constexpr,
    PER: tl.constexpr,
    NOISE: tl.constexpr,
    OWN_SEED: tl.constexpr,
    ALIGNED: tl.constexpr,
    CHANNELS: tl.constexpr,
    WIDTH: tl.constexpr,
    APPROX: tl.constexpr,
):
    """OUT_TERMINAL = m x_0 + s n; OUT = u x_0 + (1 - u) OUT_TERMINAL. Without OUT_TERMINAL it is not stored."""
    sample, base, offsets, mask, first_call, call = _place(D, BLOCK, PER, NOISE, OWN_SEED, ALIGNED, CHANNELS)
    u = _position(POSITIONS, position_stride, sample)
    x = _read_pixels(X_0, FLIP, sample, base, offsets, mask, WIDTH, CHANNELS, D)
    terminal = m * x
    if NOISE > 0:
        n = _draw(N, SEEDS, sample, base, offsets, mask, first_call, call, 0, BLOCK, PER, NOISE, OWN_SEED, APPROX)
        terminal = terminal + s * n
    _write(OUT + base, offsets, u * x + (1.0 - u) * terminal, mask)
    if OUT_TERMINAL is not None:
        _write(OUT_TERMINAL + base, offsets, terminal, mask)


@triton.jit
def _position(POSITIONS, position_stride, sample):
    u = tl.load(POSITIONS + sample * position_stride)
    return tl.where((u >= 0) & (u <= 1), u, float("nan"))


# Backward kernels: the adjoints of the linear maps. `noise`, and `straight_path` without x_T, are their own adjoints.
# All tensors share one memory format and nothing depends on an element's index, so memory is walked as it lies.


@triton.jit
def noise_pair_adjoint_kernel(
    G_T,
    G_TP1,
    A_CUM,
    A,
    TIMESTEPS,
    OUT,
    D,
    num_steps,
    timestep_stride,
    BLOCK: tl.constexpr,
    PER: tl.constexpr,
    ALIGNED: tl.constexpr,
):
    """OUT = A_CUM[t] (g_t + A[t + 1] g_tp1)."""
    sample, base, offsets, mask, _, _ = _place(D, BLOCK, PER, 0, False, ALIGNED, 0)
    t, valid = _timestep(TIMESTEPS, timestep_stride, sample, num_steps - 1)
    g = _read(G_T + base, offsets, mask) + _coefficient(A, t + 1, valid) * _read(G_TP1 + base, offsets, mask)
    _write(OUT + base, offsets, _coefficient(A_CUM, t, valid) * g, mask)


@triton.jit
def posterior_step_adjoint_kernel(
    G,
    C_0,
    C_TP1,
    TIMESTEPS,
    OUT_0,
    OUT_TP1,
    D,
    num_steps,
    timestep_stride,
    BLOCK: tl.constexpr,
    PER: tl.constexpr,
    ALIGNED: tl.constexpr,
):
    """OUT_0 = C_0[t] g; OUT_TP1 = C_TP1[t] g."""
    sample, base, offsets, mask, _, _ = _place(D, BLOCK, PER, 0, False, ALIGNED, 0)
    t, valid = _timestep(TIMESTEPS, timestep_stride, sample, num_steps)
    g = _read(G + base, offsets, mask)
    _write(OUT_0 + base, offsets, _coefficient(C_0, t, valid) * g, mask)
    _write(OUT_TP1 + base, offsets, _coefficient(C_TP1, t, valid) * g, mask)


@triton.jit
def straight_path_adjoint_kernel(
    G, G_TERMINAL, POSITIONS, OUT, m, D, position_stride, BLOCK: tl.constexpr, PER: tl.constexpr, ALIGNED: tl.constexpr
):
    """OUT = u g + m ((1 - u) g + g_terminal)."""
    sample, base, offsets, mask, _, _ = _place(D, BLOCK, PER, 0, False, ALIGNED, 0)
    u = _position(POSITIONS, position_stride, sample)
    g = _read(G + base, offsets, mask)
    out = u * g + m * ((1.0 - u) * g + _read(G_TERMINAL + base, offsets, mask))
    _write(OUT + base, offsets, out, mask)
