# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""Which implementation runs, and that importing the package costs little."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch

from gan_diffusion.kernels.noising import backend, kernel_backend, noise, record_backends


ONES = torch.ones(1)
CPU, CUDA, XPU = (torch.device(name) for name in ("cpu", "cuda", "xpu"))


def python(code, **environment):
    """Runs code in a fresh process and returns what it prints."""
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"} | environment
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    return result.stdout + result.stderr


def ran():
    with record_backends() as calls:
        noise(torch.ones(2, 3), ONES, ONES, 0, seed=1)
    return calls


def test_the_reference_runs_on_the_cpu():
    assert ran() == [("noise", "reference")]


def test_the_context_manager_decides_and_ends(triton_backend):
    assert ran() == [("noise", "triton")]
    with kernel_backend("reference"):
        assert ran() == [("noise", "reference")]
    assert ran() == [("noise", "triton")]


def test_backward_passes_are_recorded(triton_backend):
    with record_backends() as calls:
        x = torch.ones(2, 3, requires_grad=True)
        noise(x, ONES, ONES, 0, seed=1).sum().backward()
    assert calls == [("noise", "triton"), ("noise", "triton")]


def test_a_backward_pass_runs_on_the_implementation_of_its_call(triton_backend):
    x = torch.ones(2, 3, requires_grad=True)
    out = noise(x, ONES, ONES, 0, seed=1)
    with kernel_backend("reference"), record_backends() as calls:
        out.sum().backward()
    assert calls == [("noise", "triton")]


@pytest.mark.skipif(not find_spec("triton"), reason="needs triton")
def test_gpus_get_triton_except_in_float64():
    for device in (CUDA, XPU):
        assert backend.choose(device, torch.float32) == "triton"
        assert backend.choose(device, torch.float64) == "reference"
        with kernel_backend("reference"):
            assert backend.choose(device, torch.bfloat16) == "reference"
    assert backend.choose(CPU, torch.float32) == "reference"


def test_without_triton_the_reference_serves_silently(monkeypatch):
    monkeypatch.setattr(backend, "HAS_TRITON", False)
    assert backend.choose(CUDA, torch.float32) == "reference"
    with kernel_backend("triton"), pytest.raises(ImportError, match="triton is not installed"):
        noise(torch.ones(2), ONES, ONES, 0)


def test_unknown_modes_are_refused():
    with pytest.raises(ValueError, match="`mode` must be one of .* got 'cuda'"), kernel_backend("cuda"):
        pass
    assert "`GAN_DIFFUSION_KERNELS` must be one of" in python(
        "import gan_diffusion.kernels.noising", GAN_DIFFUSION_KERNELS="fastest"
    )


CALL = """
import torch
from gan_diffusion.kernels.noising import noise, record_backends
with record_backends() as calls:
    noise(torch.ones(2), torch.ones(1), torch.ones(1), 0, seed=1)
print(calls)
"""


def test_the_environment_decides():
    assert python(CALL, GAN_DIFFUSION_KERNELS="reference") == "[('noise', 'reference')]\n"


@pytest.mark.skipif(not find_spec("triton"), reason="needs triton")
def test_the_environment_asks_for_triton():
    assert "for samples on cpu, got 'triton'" in python(CALL, GAN_DIFFUSION_KERNELS="triton")
    interpreted = python(CALL, GAN_DIFFUSION_KERNELS="triton", TRITON_INTERPRET="1")
    assert interpreted == "[('noise', 'triton')]\n"


# As on macOS and Windows: every import of triton fails.
WITHOUT_TRITON = """
import sys
sys.modules["triton"] = None
"""


def test_everything_works_where_triton_is_not_installed():
    demand = "from gan_diffusion.kernels.noising import kernel_backend\nwith kernel_backend('triton'):" + CALL.replace(
        "\n", "\n    "
    )
    output = python(WITHOUT_TRITON + CALL + demand)
    assert output.startswith("[('noise', 'reference')]\n")
    assert "ImportError: `mode` must be 'auto' or 'reference' because triton is not installed" in output


def test_importing_the_kernels_imports_only_torch():
    code = """
import sys, torch
before = set(sys.modules)
import gan_diffusion.kernels.noising
new = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(new & {"triton", "diffusers", "numpy", "datasets", "accelerate", "transformers"}))
"""
    assert python(code) == "[]\n"
