# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The one place that decides between Triton and the reference."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import torch


MODES = ("auto", "triton", "reference")
ENVIRONMENT_VARIABLE = "GAN_DIFFUSION_KERNELS"
HAS_TRITON = find_spec("triton") is not None
TRITON_DEVICES = ("cuda", "xpu")  # ROCm devices call themselves "cuda"

_records: list[list[tuple[str, str]]] = []


def _checked(name: str, mode: str) -> str:
    if mode not in MODES:
        raise ValueError(f"`{name}` must be one of {MODES}, but is {mode!r}.")
    return mode


# Read once: a call on a small CPU batch is short beside a look into the environment.
_mode = _checked(ENVIRONMENT_VARIABLE, os.environ.get(ENVIRONMENT_VARIABLE) or "auto")


@contextmanager
def kernel_backend(mode: str) -> Iterator[None]:
    """Chooses the implementation inside a `with` block.

    Outside it the environment variable `GAN_DIFFUSION_KERNELS` decides, which is read when the package is imported.

    Args:
        mode (`str`): `"auto"`, Triton for tensors on a GPU if it is installed; `"triton"`, Triton or an error;
            `"reference"`, plain PyTorch.

    Raises:
        ValueError: for any other mode.
    """
    global _mode
    before, _mode = _mode, _checked("mode", mode)
    try:
        yield
    finally:
        _mode = before


@contextmanager
def record_backends() -> Iterator[list[tuple[str, str]]]:
    """Collects which implementation ran: pairs of an operation's name and `"triton"` or `"reference"`."""
    calls: list[tuple[str, str]] = []
    _records.append(calls)
    try:
        yield calls
    finally:
        _records.remove(calls)


def choose(device: torch.device, dtype: torch.dtype) -> str:
    """The implementation for results of this dtype on this device: `"triton"` or `"reference"`.

    float64 is the reference's everywhere.

    Raises:
        ValueError: if Triton is demanded for a device it cannot serve.
        ImportError: if Triton is demanded and not installed.
    """
    if dtype == torch.float64 or _mode == "reference":
        return "reference"
    if _mode == "triton":
        _check_triton(device)
        return "triton"
    return "triton" if HAS_TRITON and device.type in TRITON_DEVICES else "reference"


def record(operation: str, backend: str) -> None:
    """Tells [`record_backends`] what is about to run."""
    for calls in _records:
        calls.append((operation, backend))


def _check_triton(device):
    if not HAS_TRITON:
        raise ImportError("The triton kernels were asked for, but triton is not installed; use 'auto' or 'reference'.")
    if device.type not in TRITON_DEVICES:
        from . import launch

        if not launch.INTERPRETED:
            raise ValueError(
                f"The triton kernels were asked for, but the sample is on {device}: move it to a GPU, use 'auto' or "
                "'reference', or set TRITON_INTERPRET=1 before the first use to interpret them."
            )
