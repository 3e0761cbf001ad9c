# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The operations as PyTorch custom ops, `torch.ops.gan_diffusion.*`, with fake implementations and autograd.

Every operation is linear in its samples. Its backward pass is therefore the adjoint map, and the adjoint's backward
pass is the operation without noise, so these ops give gradients of any order. They are opaque to `torch.compile`
(`custom_op` rather than `triton_op`): an op chooses its implementation when it runs, and raises when it runs.

Arguments are checked by the public functions of `functional.py`. Noise is given, drawn from `seeds`, or absent.
"""

import torch
from torch import Tensor

from . import random, reference
from .backend import choose, record


def _op(function):
    return torch.library.custom_op(f"gan_diffusion::{function.__name__}", function, mutates_args=())


def _uses_triton(name: str, sample: Tensor, dtype: torch.dtype) -> bool:
    backend = choose(sample.device, dtype)
    record(name, backend)
    return backend == "triton"


def _launcher(name: str):
    # Imported late: without Triton the reference must work, and importing the package must stay cheap.
    from . import launch

    return getattr(launch, name)


def _drawn(shape, noise, seeds):
    return noise if seeds is None else random.normal(shape, seeds)


def _like(sample: Tensor, result: Tensor) -> Tensor:
    """The result as a tensor of its own, laid out as the fake implementation promises."""
    return torch.empty_like(sample, dtype=result.dtype).copy_(result)


@_op
def noise(
    sample: Tensor,
    signal_coefs: Tensor,
    noise_coefs: Tensor,
    timesteps: Tensor,
    noise: Tensor | None,
    seeds: Tensor | None,
    flip: Tensor | None,
    dtype: torch.dtype,
) -> Tensor:
    arguments = (sample, signal_coefs, noise_coefs, timesteps)
    if _uses_triton("noise", sample, dtype):
        return _launcher("noise")(*arguments, noise, seeds, flip=flip, dtype=dtype)
    noise = _drawn(sample.shape, noise, seeds)
    return _like(sample, reference.noise(*arguments, noise, flip=flip, dtype=dtype))


@noise.register_fake
def _(sample, signal_coefs, noise_coefs, timesteps, noise, seeds, flip, dtype):
    return torch.empty_like(sample, dtype=dtype)


def _noise_context(ctx, inputs, output):
    ctx.save_for_backward(*inputs[1:4])


def _noise_backward(ctx, grad):
    # A diagonal map is its own adjoint.
    return noise(grad, *ctx.saved_tensors, None, None, None, grad.dtype), *(None,) * 7


noise.register_autograd(_noise_backward, setup_context=_noise_context)


@_op
def noise_pair(
    x_0: Tensor,
    signal_coefs: Tensor,
    noise_coefs: Tensor,
    step_signal_coefs: Tensor,
    step_noise_coefs: Tensor,
    timesteps: Tensor,
    noise_t: Tensor | None,
    noise_tp1: Tensor | None,
    seeds: Tensor | None,
    flip: Tensor | None,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    arguments = (x_0, signal_coefs, noise_coefs, step_signal_coefs, step_noise_coefs, timesteps)
    noise = None if noise_t is None else (noise_t, noise_tp1)
    if _uses_triton("noise_pair", x_0, dtype):
        return _launcher("noise_pair")(*arguments, noise, seeds, flip=flip, dtype=dtype)
    if seeds is not None:
        noise = tuple(random.normal(x_0.shape, seeds, stream) for stream in range(2))
    x_t, x_tp1 = reference.noise_pair(*arguments, noise, flip=flip, dtype=dtype)
    return _like(x_0, x_t), _like(x_0, x_tp1)


@noise_pair.register_fake
def _(x_0, signal_coefs, noise_coefs, step_signal_coefs, step_noise_coefs, timesteps, n_t, n_tp1, seeds, flip, dtype):
    return torch.empty_like(x_0, dtype=dtype), torch.empty_like(x_0, dtype=dtype)


def _noise_pair_context(ctx, inputs, output):
    ctx.save_for_backward(*inputs[1:6])


def _noise_pair_backward(ctx, grad_t, grad_tp1):
    signal_coefs, _, step_signal_coefs, _, timesteps = ctx.saved_tensors
    grad = noise_pair_adjoint(grad_t, grad_tp1, signal_coefs, step_signal_coefs, timesteps)
    return grad, *(None,) * 10


noise_pair.register_autograd(_noise_pair_backward, setup_context=_noise_pair_context)


@_op
def noise_pair_adjoint(
    grad_t: Tensor, grad_tp1: Tensor, signal_coefs: Tensor, step_signal_coefs: Tensor, timesteps: Tensor
) -> Tensor:
    if _uses_triton("noise_pair_adjoint", grad_t, grad_t.dtype):
        return _launcher("noise_pair_adjoint")(grad_t, grad_tp1, signal_coefs, step_signal_coefs, timesteps)
    return _like(grad_t, reference.noise_pair_adjoint(grad_t, grad_tp1, signal_coefs, step_signal_coefs, timesteps))


@noise_pair_adjoint.register_fake
def _(grad_t, grad_tp1, signal_coefs, step_signal_coefs, timesteps):
    return torch.empty_like(grad_t)


def _noise_pair_adjoint_context(ctx, inputs, output):
    ctx.save_for_backward(*inputs[2:])


def _noise_pair_adjoint_backward(ctx, grad):
    signal_coefs, step_signal_coefs, timesteps = ctx.saved_tensors
    # Without noise the tables of standard deviations are not read.
    tables = (signal_coefs, signal_coefs, step_signal_coefs, step_signal_coefs)
    grads = noise_pair(grad, *tables, timesteps, None, None, None, None, grad.dtype)
    return *grads, None, None, None


noise_pair_adjoint.register_autograd(_noise_pair_adjoint_backward, setup_context=_noise_pair_adjoint_context)


@_op
def posterior_step(
    x_0: Tensor,
    x_tp1: Tensor,
    coef_x0: Tensor,
    coef_xt: Tensor,
    std: Tensor,
    timesteps: Tensor,
    noise: Tensor | None,
    seeds: Tensor | None,
) -> Tensor:
    arguments = (x_0, x_tp1, coef_x0, coef_xt, std, timesteps)
    if _uses_triton("posterior_step", x_0, x_0.dtype):
        return _launcher("posterior_step")(*arguments, noise, seeds)
    return _like(x_0, reference.posterior_step(*arguments, _drawn(x_0.shape, noise, seeds)))


@posterior_step.register_fake
def _(x_0, x_tp1, coef_x0, coef_xt, std, timesteps, noise, seeds):
    return torch.empty_like(x_0)


def _posterior_step_context(ctx, inputs, output):
    ctx.save_for_backward(inputs[2], inputs[3], inputs[5])


def _posterior_step_backward(ctx, grad):
    return *posterior_step_adjoint(grad, *ctx.saved_tensors), *(None,) * 6


posterior_step.register_autograd(_posterior_step_backward, setup_context=_posterior_step_context)


@_op
def posterior_step_adjoint(grad: Tensor, coef_x0: Tensor, coef_xt: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
    if _uses_triton("posterior_step_adjoint", grad, grad.dtype):
        return _launcher("posterior_step_adjoint")(grad, coef_x0, coef_xt, timesteps)
    grad_x0, grad_xtp1 = reference.posterior_step_adjoint(grad, coef_x0, coef_xt, timesteps)
    return _like(grad, grad_x0), _like(grad, grad_xtp1)


@posterior_step_adjoint.register_fake
def _(grad, coef_x0, coef_xt, timesteps):
    return torch.empty_like(grad), torch.empty_like(grad)


def _posterior_step_adjoint_context(ctx, inputs, output):
    ctx.save_for_backward(*inputs[1:])


def _posterior_step_adjoint_backward(ctx, grad_x0, grad_xtp1):
    coef_x0, coef_xt, timesteps = ctx.saved_tensors
    return posterior_step(grad_x0, grad_xtp1, coef_x0, coef_xt, coef_x0, timesteps, None, None), None, None, None


posterior_step_adjoint.register_autograd(
    _posterior_step_adjoint_backward, setup_context=_posterior_step_adjoint_context
)


@_op
def straight_path(
    x_0: Tensor,
    positions: Tensor,
    signal_coef: float,
    noise_coef: float,
    noise: Tensor | None,
    seeds: Tensor | None,
    flip: Tensor | None,
    dtype: torch.dtype,
) -> Tensor:
    arguments = (x_0, positions, signal_coef, noise_coef)
    if _uses_triton("straight_path", x_0, dtype):
        return _launcher("straight_path")(*arguments, noise, seeds, flip=flip, dtype=dtype)
    noise = _drawn(x_0.shape, noise, seeds)
    return _like(x_0, reference.straight_path(*arguments, noise, flip=flip, dtype=dtype))


@straight_path.register_fake
def _(x_0, positions, signal_coef, noise_coef, noise, seeds, flip, dtype):
    return torch.empty_like(x_0, dtype=dtype)


def _straight_path_context(ctx, inputs, output):
    ctx.save_for_backward(inputs[1])
    ctx.signal_coef = inputs[2]


def _straight_path_backward(ctx, grad):
    # A diagonal map is its own adjoint.
    (positions,) = ctx.saved_tensors
    return straight_path(grad, positions, ctx.signal_coef, 0.0, None, None, None, grad.dtype), *(None,) * 7


straight_path.register_autograd(_straight_path_backward, setup_context=_straight_path_context)


@_op
def straight_path_with_end(
    x_0: Tensor,
    positions: Tensor,
    signal_coef: float,
    noise_coef: float,
    noise: Tensor | None,
    seeds: Tensor | None,
    flip: Tensor | None,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    arguments = (x_0, positions, signal_coef, noise_coef)
    if _uses_triton("straight_path_with_end", x_0, dtype):
        return _launcher("straight_path")(*arguments, noise, seeds, flip=flip, dtype=dtype, return_end=True)
    noise = _drawn(x_0.shape, noise, seeds)
    out, end = reference.straight_path(*arguments, noise, flip=flip, dtype=dtype, return_end=True)
    return _like(x_0, out), _like(x_0, end)


@straight_path_with_end.register_fake
def _(x_0, positions, signal_coef, noise_coef, noise, seeds, flip, dtype):
    return torch.empty_like(x_0, dtype=dtype), torch.empty_like(x_0, dtype=dtype)


def _straight_path_with_end_backward(ctx, grad, grad_end):
    (positions,) = ctx.saved_tensors
    return straight_path_adjoint(grad, grad_end, positions, ctx.signal_coef), *(None,) * 7


straight_path_with_end.register_autograd(_straight_path_with_end_backward, setup_context=_straight_path_context)


@_op
def straight_path_adjoint(grad: Tensor, grad_end: Tensor, positions: Tensor, signal_coef: float) -> Tensor:
    if _uses_triton("straight_path_adjoint", grad, grad.dtype):
        return _launcher("straight_path_adjoint")(grad, grad_end, positions, signal_coef)
    return _like(grad, reference.straight_path_adjoint(grad, grad_end, positions, signal_coef))


@straight_path_adjoint.register_fake
def _(grad, grad_end, positions, signal_coef):
    return torch.empty_like(grad)


def _straight_path_adjoint_context(ctx, inputs, output):
    ctx.save_for_backward(inputs[2])
    ctx.signal_coef = inputs[3]


def _straight_path_adjoint_backward(ctx, grad):
    (positions,) = ctx.saved_tensors
    grads = straight_path_with_end(grad, positions, ctx.signal_coef, 0.0, None, None, None, grad.dtype)
    return *grads, None, None


straight_path_adjoint.register_autograd(_straight_path_adjoint_backward, setup_context=_straight_path_adjoint_context)
