# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Ordinary differential equations dh/dt = r(h, t) whose end time is another for every sample of a batch."""

from collections.abc import Callable

import torch
from torch import Tensor


# Explicit Runge-Kutta methods in which every stage looks only at the one before: per stage the time within the step,
# which is also how far the state follows the previous slope, and the weight of the slope in the step.
_STAGES = {
    "euler": ((0.0, 1.0),),
    "midpoint": ((0.0, 0.0), (0.5, 1.0)),
    "rk4": ((0.0, 1 / 6), (0.5, 1 / 3), (0.5, 1 / 3), (1.0, 1 / 6)),
}
ODE_SOLVERS = (*_STAGES, "dopri5")


def check_solver(solver: str, num_steps: int) -> None:
    """
    Checks the name of a solver and its number of steps.

    Args:
        solver (`str`): "euler", "midpoint", "rk4" or "dopri5".
        num_steps (`int`): Number of steps, at least 1.

    Raises:
        ValueError: If the solver is unknown or the number less than 1.
    """
    if solver not in ODE_SOLVERS:
        raise ValueError(f"`solver` must be one of {ODE_SOLVERS}, got {solver!r}.")
    if num_steps < 1:
        raise ValueError(f"`num_steps` must be at least 1, got {num_steps}.")


def solve_ode(
    function: Callable[[Tensor, Tensor], Tensor],
    state: Tensor,
    end: Tensor,
    start: Tensor | float = 0.0,
    solver: str = "rk4",
    num_steps: int = 4,
    tolerance: float = 1e-5,
) -> Tensor:
    """
    Follows dh/dt = r(h, t) from `start` to `end`, a time per sample.

    Every sample gets the same interval by the substitution t = start + s (end - start): dh/ds = (end - start) r(h, t),
    s from 0 to 1. Gradients are those of plain back-propagation through the steps.

    Args:
        function (`Callable`):
            r(h, t): takes states (B, ...) and absolute times (B,), returns slopes of the shape of the states.
        state (`torch.Tensor` of shape (B, ...)): h at the start.
        end (`torch.Tensor` of shape (B,)):
            End times. By steps of equal length, a sample that ends where it starts is returned exactly.
        start (`torch.Tensor` of shape (B,) or `float`, defaults to 0.0): Start times.
        solver (`str`, defaults to `"rk4"`):
            "euler", "midpoint", "rk4", of order 1, 2 and 4 with 1, 2 and 4 evaluations per step; or "dopri5", which
            chooses its steps from the errors of the whole batch (so that a sample's result depends on the others,
            within the tolerance) and needs the package torchdiffeq.
        num_steps (`int`, defaults to 4): Number of steps of equal length, at least 1; not used by "dopri5".
        tolerance (`float`, defaults to 1e-5): Relative and absolute error per step that "dopri5" allows.

    Returns:
        `torch.Tensor` of shape (B, ...): h at the end.

    Raises:
        ValueError: If the solver is unknown, the number of steps less than 1 or the end times are not one per sample.
        ImportError: If torchdiffeq is needed and not installed.
    """
    check_solver(solver, num_steps)
    if end.shape != state.shape[:1]:
        raise ValueError(f"`end` must have shape ({state.shape[0]},), one time per sample, got {tuple(end.shape)}.")
    span = end - start
    scale = span.to(state.dtype).reshape(-1, *[1] * (state.ndim - 1))

    def slope_at(position: float | Tensor, state: Tensor) -> Tensor:
        return scale * function(state, start + position * span)

    if solver == "dopri5":
        return _adaptive(slope_at, state, tolerance)
    for step in range(num_steps):
        slope, total = 0.0, 0.0
        for node, weight in _STAGES[solver]:
            slope = slope_at((step + node) / num_steps, state + (node / num_steps) * slope)
            total = total + weight * slope
        state = state + total / num_steps
    return state


def _adaptive(slope_at: Callable, state: Tensor, tolerance: float) -> Tensor:
    try:
        from torchdiffeq import odeint
    except ImportError as error:
        raise ImportError(
            '`solver` must be "euler", "midpoint" or "rk4" without the package torchdiffeq, got "dopri5". Install it by '
            '`pip install "gan_diffusion[ode]"`.'
        ) from error
    interval = torch.tensor([0.0, 1.0], dtype=state.dtype, device=state.device)
    states = odeint(slope_at, state, interval, rtol=tolerance, atol=tolerance, method="dopri5")
    return states[-1]  # pyright: ignore[reportReturnType]  # a tuple is returned for tuples of states only
