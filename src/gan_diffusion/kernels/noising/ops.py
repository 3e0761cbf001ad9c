# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
The Triton kernels as PyTorch custom ops, `torch.ops.gan_diffusion.*`, with fake implementations and autograd.

Every operation is linear in its samples. Its backward pass is therefore the adjoint map, and the adjoint's backward
pass is the operation without noise. So these ops have gradients of any order.

The ops only launch. `functional.py` has checked the arguments and calls an op when `backend.py` has chosen Triton.
`torch.compile` does not look into them (`custom_op` rather than `triton_op`). Noise is given, drawn from `seeds`, or
absent.
"""

from typing import Any

import torch
from torch import Tensor

from .backend import record


def _op(function) -> Any:
    return torch.library.custom_op(f"gan_diffusion::{function.__name__}", function, mutates_args=())


def _launch(name: str, *arguments, **options):
    # Imported late: without Triton the reference must work, and importing the package must stay cheap.
    from . import launch

    record(name, "triton")
    return getattr(launch, name)(*arguments, **options)


@_op
def noise(
    x_0: Tensor,
    signal_coefs: Tensor,
    noise_coefs: Tensor,
    timesteps: Tensor,
    noise: Tensor | None,
    seeds: Tensor | None,
    flip: Tensor | None,
    dtype: torch.dtype,
) -> Tensor:
    """x_t; see `functional.noise`."""
    return _launch("noise", x_0, signal_coefs, noise_coefs, timesteps, noise, seeds, flip, dtype)


@noise.register_fake
def _(x_0, signal_coefs, noise_coefs, timesteps, noise, seeds, flip, dtype):
    return torch.empty_like(x_0, dtype=dtype)


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
    """(x_t, x_{t+1}); see `functional.noise_pair`."""
    tables = (signal_coefs, noise_coefs, step_signal_coefs, step_noise_coefs)
    return _launch("noise_pair", x_0, *tables, timesteps, noise_t, noise_tp1, seeds, flip, dtype)


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
    """The gradient of x_0 from those of x_t and x_{t+1}: signal_coefs[t] (g_t + step_signal_coefs[t+1] g_{t+1})."""
    return _launch("noise_pair_adjoint", grad_t, grad_tp1, signal_coefs, step_signal_coefs, timesteps)


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
    coef_x_0: Tensor,
    coef_x_tp1: Tensor,
    std: Tensor,
    timesteps: Tensor,
    noise: Tensor | None,
    seeds: Tensor | None,
) -> Tensor:
    """x_t; see `functional.posterior_step`."""
    return _launch("posterior_step", x_0, x_tp1, coef_x_0, coef_x_tp1, std, timesteps, noise, seeds)


@posterior_step.register_fake
def _(x_0, x_tp1, coef_x_0, coef_x_tp1, std, timesteps, noise, seeds):
    return torch.empty_like(x_0)


def _posterior_step_context(ctx, inputs, output):
    ctx.save_for_backward(inputs[2], inputs[3], inputs[5])


def _posterior_step_backward(ctx, grad):
    return *posterior_step_adjoint(grad, *ctx.saved_tensors), *(None,) * 6


posterior_step.register_autograd(_posterior_step_backward, setup_context=_posterior_step_context)


@_op
def posterior_step_adjoint(
    grad: Tensor, coef_x_0: Tensor, coef_x_tp1: Tensor, timesteps: Tensor
) -> tuple[Tensor, Tensor]:
    """The gradients of x_0 and x_{t+1} from that of x_t: coef_x_0[t] g and coef_x_tp1[t] g."""
    return _launch("posterior_step_adjoint", grad, coef_x_0, coef_x_tp1, timesteps)


@posterior_step_adjoint.register_fake
def _(grad, coef_x_0, coef_x_tp1, timesteps):
    return torch.empty_like(grad), torch.empty_like(grad)


def _posterior_step_adjoint_context(ctx, inputs, output):
    ctx.save_for_backward(*inputs[1:])


def _posterior_step_adjoint_backward(ctx, grad_x_0, grad_x_tp1):
    coef_x_0, coef_x_tp1, timesteps = ctx.saved_tensors
    # Without noise the table of standard deviations is not read.
    tables = (coef_x_0, coef_x_tp1, coef_x_0)
    return posterior_step(grad_x_0, grad_x_tp1, *tables, timesteps, None, None), None, None, None


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
    """i(u); see `functional.straight_path`."""
    return _launch("straight_path", x_0, positions, signal_coef, noise_coef, noise, seeds, flip, dtype)


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
def straight_path_with_terminal(
    x_0: Tensor,
    positions: Tensor,
    signal_coef: float,
    noise_coef: float,
    noise: Tensor | None,
    seeds: Tensor | None,
    flip: Tensor | None,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """(i(u), x_T); see `functional.straight_path`."""
    coefs = (signal_coef, noise_coef)
    return _launch("straight_path", x_0, positions, *coefs, noise, seeds, flip, dtype, return_terminal=True)


@straight_path_with_terminal.register_fake
def _(x_0, positions, signal_coef, noise_coef, noise, seeds, flip, dtype):
    return torch.empty_like(x_0, dtype=dtype), torch.empty_like(x_0, dtype=dtype)


def _straight_path_with_terminal_backward(ctx, grad, grad_terminal):
    (positions,) = ctx.saved_tensors
    return straight_path_adjoint(grad, grad_terminal, positions, ctx.signal_coef), *(None,) * 7


straight_path_with_terminal.register_autograd(
    _straight_path_with_terminal_backward, setup_context=_straight_path_context
)


@_op
def straight_path_adjoint(grad: Tensor, grad_terminal: Tensor, positions: Tensor, signal_coef: float) -> Tensor:
    """The gradient of x_0 from those of i(u) and x_T: u g + signal_coef ((1 - u) g + g_terminal)."""
    return _launch("straight_path_adjoint", grad, grad_terminal, positions, signal_coef)


@straight_path_adjoint.register_fake
def _(grad, grad_terminal, positions, signal_coef):
    return torch.empty_like(grad)


def _straight_path_adjoint_context(ctx, inputs, output):
    ctx.save_for_backward(inputs[2])
    ctx.signal_coef = inputs[3]


def _straight_path_adjoint_backward(ctx, grad):
    (positions,) = ctx.saved_tensors
    grads = straight_path_with_terminal(grad, positions, ctx.signal_coef, 0.0, None, None, None, grad.dtype)
    return *grads, None, None


straight_path_adjoint.register_autograd(_straight_path_adjoint_backward, setup_context=_straight_path_adjoint_context)
