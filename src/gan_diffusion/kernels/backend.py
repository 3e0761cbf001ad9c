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
TRITON_DEVICES = ("cuda", "xpu")  # ROCm devices call themselves "cuda"

_forced_mode: str | None = None
_records: list[list[tuple[str, str]]] = []


@contextmanager
def kernel_backend(mode: str) -> Iterator[None]:
    """Chooses the implementation inside a `with` block, over the environment variable `GAN_DIFFUSION_KERNELS`.

    Args:
        mode (`str`): `"auto"`, Triton for tensors on a GPU if it is installed; `"triton"`, Triton or an error;
            `"reference"`, plain PyTorch.

    Raises:
        ValueError: for any other mode.
    """
    global _forced_mode
    _check_mode("mode", mode)
    before, _forced_mode = _forced_mode, mode
    try:
        yield
    finally:
        _forced_mode = before


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
        ValueError: if the environment variable holds no mode, or Triton is demanded for a device it cannot serve.
        ImportError: if Triton is demanded and not installed.
    """
    mode = _forced_mode or os.environ.get(ENVIRONMENT_VARIABLE) or "auto"
    _check_mode(ENVIRONMENT_VARIABLE, mode)
    if dtype == torch.float64:
        return "reference"
    if mode == "triton":
        _check_triton(device)
        return "triton"
    return "triton" if mode == "auto" and device.type in TRITON_DEVICES and has_triton() else "reference"


def record(operation: str, backend: str) -> None:
    """Tells [`record_backends`] what is about to run."""
    for calls in _records:
        calls.append((operation, backend))


def has_triton() -> bool:
    """Whether Triton is installed; it is not imported."""
    return find_spec("triton") is not None


def _check_mode(name, mode):
    if mode not in MODES:
        raise ValueError(f"`{name}` must be one of {MODES}, but is {mode!r}.")


def _check_triton(device):
    if not has_triton():
        raise ImportError("The triton kernels were asked for, but triton is not installed; use 'auto' or 'reference'.")
    if device.type not in TRITON_DEVICES:
        from . import launch

        if not launch.INTERPRETED:
            raise ValueError(
                f"The triton kernels were asked for, but the sample is on {device}: move it to a GPU, use 'auto' or "
                "'reference', or set TRITON_INTERPRET=1 before the first use to interpret them."
            )
