# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""The custom ops: PyTorch's own checks of them, fake tensors, and `torch.compile` over whole graphs."""

from contextlib import contextmanager

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from gan_diffusion import DDGANScheduler
from gan_diffusion.kernels.noising import (
    kernel_backend,
    noise,
    noise_pair,
    ops,
    posterior_step,
    record_backends,
    straight_path,
)


TABLES = torch.rand(4, 5, generator=torch.Generator().manual_seed(0)).add(0.1).unbind()
T = torch.tensor([0, 3])
U = torch.tensor([0.2, 1.0])
SEEDS = torch.tensor([5])


def image(requires_grad=True, seed=0):
    x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return x.requires_grad_(requires_grad)


def pixels():
    return torch.arange(96, dtype=torch.uint8).reshape(2, 3, 4, 4)


FLIP = torch.tensor([True, False])
F32 = torch.float32
OP_CALLS = {
    "noise": (ops.noise, lambda: (image(), *TABLES[:2], T, None, SEEDS, None, F32)),
    "noise explicit": (ops.noise, lambda: (image(), *TABLES[:2], T, image(False, 1), None, None, F32)),
    "noise absent": (ops.noise, lambda: (image(), *TABLES[:2], T, None, None, None, F32)),
    "noise pixels": (ops.noise, lambda: (pixels(), *TABLES[:2], T, None, SEEDS, FLIP, torch.bfloat16)),
    "noise_pair": (ops.noise_pair, lambda: (image(), *TABLES, T, None, None, SEEDS, None, F32)),
    "noise_pair_adjoint": (ops.noise_pair_adjoint, lambda: (image(), image(seed=1), TABLES[0], TABLES[2], T)),
    "posterior_step": (ops.posterior_step, lambda: (image(), image(seed=1), *TABLES[:3], T, None, SEEDS)),
    "posterior_step_adjoint": (ops.posterior_step_adjoint, lambda: (image(), *TABLES[:2], T)),
    "straight_path": (ops.straight_path, lambda: (image(), U, 0.1, 0.9, None, SEEDS, None, F32)),
    "straight_path_with_terminal": (
        ops.straight_path_with_terminal,
        lambda: (image(), U, 0.1, 0.9, None, SEEDS, None, F32),
    ),
    "straight_path_adjoint": (ops.straight_path_adjoint, lambda: (image(), image(seed=1), U, 0.1)),
}
every_op = pytest.mark.parametrize(("op", "arguments"), OP_CALLS.values(), ids=OP_CALLS.keys())


@every_op
def test_opcheck(op, arguments):
    pytest.importorskip("triton")
    torch.library.opcheck(op, arguments())


@every_op
def test_ops_launch_and_choose_nothing(op, arguments):
    pytest.importorskip("triton")
    with kernel_backend("reference"), record_backends() as calls:
        op(*arguments())
    assert [backend for _, backend in calls] == ["triton"]


def public_calls(x):
    """All public functions, summed up to one number."""
    out = noise(x, *TABLES[:2], T, seed=1)
    x_t, x_tp1 = noise_pair(out, *TABLES, T, seed=2)
    back = posterior_step(x_t, x_tp1, *TABLES[:3], T, seed=3)
    path, terminal = straight_path(back, U, 0.1, 0.9, seed=4, return_terminal=True)
    return (path * terminal).sum()


@contextmanager
def record_ops():
    """Names of this package's ops that are called."""

    class Recorder(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            if function.namespace == "gan_diffusion":
                called.append(function.overloadpacket.__name__)
            return function(*args, **(kwargs or {}))

    called = []
    with Recorder():
        yield called


def test_gpu_tensors_reach_the_ops():
    """No GPU is needed to follow a fake CUDA tensor through the public functions."""
    pytest.importorskip("triton")
    with FakeTensorMode(allow_non_fake_inputs=True), record_ops() as called:
        tables = [torch.empty(5, device="cuda") for _ in range(4)]
        x = torch.empty(2, 3, 4, 4, device="cuda", dtype=torch.bfloat16)
        t = torch.empty(2, dtype=torch.int64, device="cuda")
        u = torch.empty(2, device="cuda")
        for out in (
            noise(x, *tables[:2], t),
            *noise_pair(x, *tables, T, generator=torch.Generator()),
            posterior_step(x, x, *tables[:3], 3, seed=1),
            *straight_path(x, u, 0.1, 0.9, return_terminal=True),
        ):
            assert out.device.type == "cuda" and out.shape == x.shape and out.dtype == x.dtype
        with pytest.raises(ValueError, match="`signal_coefs` must be on the device of `x_0`, cuda:0, got cpu"):
            noise(x, TABLES[0], tables[0], t)
    assert called == ["noise", "noise_pair", "posterior_step", "straight_path_with_terminal"]


@pytest.mark.parametrize("mode", ["reference", "triton"])
def test_compiled_whole_graph(mode):
    if mode == "triton":
        pytest.importorskip("triton")
    with kernel_backend(mode):
        x, again = image(), image()
        expected = public_calls(x)
        expected.backward()
        torch._dynamo.reset()
        actual = torch.compile(public_calls, fullgraph=True, backend="aot_eager")(again)
        actual.backward()
    torch.testing.assert_close(actual, expected)
    torch.testing.assert_close(again.grad, x.grad)


@pytest.mark.parametrize("mode", ["reference", "triton"])
def test_compiled_scheduler(mode):
    if mode == "triton":
        pytest.importorskip("triton")
    scheduler = DDGANScheduler(num_train_timesteps=4)
    noises = (image(False, 1), image(False, 2))

    def step(x, t):
        x_t, x_tp1 = scheduler.add_noise_pair(x, t, noise=noises)
        return (x_t * x_tp1).sum()

    with kernel_backend(mode):
        x, again = image(), image()
        step(x, T).backward()
        torch._dynamo.reset()
        torch.compile(step, fullgraph=True, backend="aot_eager")(again, T).backward()
    torch.testing.assert_close(again.grad, x.grad)


def test_compiled_by_inductor():
    def draw(x):
        return noise(x, *TABLES[:2], T, seed=2**63 - 1), noise(x, *TABLES[:2], T)

    torch._dynamo.reset()
    x = image(False)
    seeded, fresh = torch.compile(draw, fullgraph=True)(x)
    torch.testing.assert_close(seeded, draw(x)[0], rtol=1e-5, atol=1e-5)
    assert fresh.shape == x.shape and not torch.equal(fresh, seeded)
