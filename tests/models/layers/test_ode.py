# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import sys

import pytest
import torch

from gan_diffusion.models.layers.ode import solve_ode


FIXED = {"euler": 1, "midpoint": 2, "rk4": 4}


def problem(batch: int = 6, dim: int = 4):
    """A smooth right-hand side that depends on the time, a state and end times, in float64."""
    generator = torch.Generator().manual_seed(0)
    options = {"generator": generator, "dtype": torch.float64}
    weight, inner = torch.randn(2, dim, dim, **options)
    shift = torch.randn(dim, **options)

    def function(state, time):
        return (state @ inner + time[:, None] * shift).tanh() @ weight

    return function, torch.randn(batch, dim, **options), 1 - torch.rand(batch, **options)


class TestExact:
    @pytest.mark.parametrize("solver", FIXED)
    def test_zero_time_changes_nothing(self, solver):
        function, state, end = problem()
        end[::2] = 0
        result = solve_ode(function, state, end, solver=solver)
        assert torch.equal(result[::2], state[::2])
        assert not torch.isclose(result[1::2], state[1::2]).all(dim=1).any()

    @pytest.mark.parametrize("solver", FIXED)
    @pytest.mark.parametrize("num_steps", [1, 3])
    def test_constant_slope(self, solver, num_steps):
        _, state, end = problem()
        result = solve_ode(lambda h, t: torch.ones_like(h), state, end, solver=solver, num_steps=num_steps)
        torch.testing.assert_close(result, state + end[:, None], rtol=1e-14, atol=1e-14)

    @pytest.mark.parametrize("solver", ["midpoint", "rk4"])
    def test_slope_equal_to_time(self, solver):
        """A missing factor u or a time of the substituted interval would show here."""
        _, state, end = problem()
        result = solve_ode(lambda h, t: t[:, None].expand_as(h), state, end, solver=solver, num_steps=2)
        torch.testing.assert_close(result, state + end[:, None] ** 2 / 2, rtol=1e-14, atol=1e-14)

    def test_linear_equation(self):
        _, state, end = problem()
        matrix = torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        result = solve_ode(lambda h, t: h @ matrix.T, state, end, num_steps=64)
        expected = torch.linalg.matrix_exp(end[:, None, None] * matrix) @ state[:, :, None]
        torch.testing.assert_close(result, expected[:, :, 0], rtol=1e-7, atol=1e-7)

    def test_states_of_any_shape(self):
        state = torch.randn(2, 3, 4, 5, dtype=torch.float64)
        end = torch.tensor([0.5, 1.0], dtype=torch.float64)
        result = solve_ode(lambda h, t: h, state, end, num_steps=32)
        torch.testing.assert_close(result, state * end.exp()[:, None, None, None], rtol=1e-6, atol=0)


@pytest.mark.parametrize("solver, order", FIXED.items())
def test_order(solver, order):
    """Halving the step divides the error by 2 to the order."""
    function, state, end = problem()
    truth = solve_ode(function, state, end, num_steps=512)
    errors = [(solve_ode(function, state, end, solver=solver, num_steps=n) - truth).norm().item() for n in (8, 16, 32)]
    for coarse, fine in zip(errors[:-1], errors[1:], strict=True):
        assert 0.85 * 2**order < coarse / fine < 1.2 * 2**order


def test_flow():
    """From 0 to a and from there to b is from 0 to b, since r is given the absolute time."""
    function, state, end = problem()
    half = 0.3 * end
    middle = solve_ode(function, state, half, num_steps=64)
    result = solve_ode(function, middle, end, start=half, num_steps=64)
    torch.testing.assert_close(result, solve_ode(function, state, end, num_steps=64), rtol=1e-7, atol=1e-7)


def test_continuity():
    function, state, end = problem()
    base = solve_ode(function, state, end)
    moved = [(solve_ode(function, state, end + eps) - base).norm(dim=1) for eps in (1e-3, 5e-4)]
    torch.testing.assert_close(moved[0] / moved[1], torch.full_like(end, 2.0), rtol=0.01, atol=0)


@pytest.mark.parametrize("solver", FIXED)
def test_samples_do_not_meet(solver):
    function, state, end = problem()
    together = solve_ode(function, state, end, solver=solver)
    alone = [solve_ode(function, state[i : i + 1], end[i : i + 1], solver=solver) for i in range(6)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-13, atol=1e-13)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    permuted = solve_ode(function, state[order], end[order], solver=solver)
    torch.testing.assert_close(permuted, together[order], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("solver, evaluations", [("euler", 3), ("midpoint", 6), ("rk4", 12)])
def test_number_of_evaluations(solver, evaluations):
    function, state, end = problem()
    times = []

    def counted(h, t):
        times.append(t)
        return function(h, t)

    solve_ode(counted, state, end, solver=solver, num_steps=3)
    assert len(times) == evaluations
    assert all(((0 <= t) & (t <= end)).all() for t in times)


def test_gradients():
    function, state, end = problem(batch=2, dim=3)
    assert torch.autograd.gradcheck(
        lambda h, t: solve_ode(function, h, t, num_steps=2), (state.requires_grad_(), end.requires_grad_())
    )


def test_keeps_the_dtype_of_the_state():
    state = torch.randn(2, 3).bfloat16()
    assert solve_ode(lambda h, t: h, state, torch.tensor([0.5, 1.0])).dtype == torch.bfloat16


class TestAdaptive:
    def test_agrees_with_fixed_steps(self):
        pytest.importorskip("torchdiffeq")
        function, state, end = problem()
        expected = solve_ode(function, state, end, num_steps=256)
        result = solve_ode(function, state, end, solver="dopri5", tolerance=1e-8)
        torch.testing.assert_close(result, expected, rtol=1e-6, atol=1e-6)

    def test_missing_package(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "torchdiffeq", None)
        with pytest.raises(ImportError, match=r'got "dopri5". Install it by `pip install "gan_diffusion\[ode\]"`'):
            solve_ode(*problem(), solver="dopri5")


def test_bad_input_is_refused():
    function, state, end = problem()
    with pytest.raises(ValueError, match=r"`solver` must be one of \('euler', .* got 'heun'"):
        solve_ode(function, state, end, solver="heun")
    with pytest.raises(ValueError, match="`num_steps` must be at least 1, got 0"):
        solve_ode(function, state, end, num_steps=0)
    with pytest.raises(ValueError, match=r"`end` must have shape \(6,\), one time per sample, got \(3,\)"):
        solve_ode(function, state, end[:3])
