# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The one place that decides between Triton and the reference, and the record of what ran."""

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
        raise ValueError(f"`{name}` must be one of {MODES}, got {mode!r}.")
    return mode


# Read once: a call on a small CPU batch is short beside a look into the environment.
_mode = _checked(ENVIRONMENT_VARIABLE, os.environ.get(ENVIRONMENT_VARIABLE) or "auto")


@contextmanager
def kernel_backend(mode: str) -> Iterator[None]:
    """
    Chooses the implementation for calls inside a `with` block. A backward pass runs on the implementation of its call.

    Outside of such blocks the environment variable `GAN_DIFFUSION_KERNELS` decides. It is read once, on import.

    Args:
        mode (`str`):
            `"auto"`: Triton for tensors on a GPU if it is installed; `"triton"`: Triton or an error; `"reference"`:
            plain PyTorch.

    Raises:
        ValueError: If the mode is none of these.
    """
    global _mode
    before, _mode = _mode, _checked("mode", mode)
    try:
        yield
    finally:
        _mode = before


@contextmanager
def record_backends() -> Iterator[list[tuple[str, str]]]:
    """Collects what ran inside a `with` block: pairs of an operation's name and `"triton"` or `"reference"`."""
    calls: list[tuple[str, str]] = []
    _records.append(calls)
    try:
        yield calls
    finally:
        _records.remove(calls)


def choose(device: torch.device, dtype: torch.dtype) -> str:
    """
    The implementation that runs for results of a dtype on a device.

    Args:
        device (`torch.device`):
            Device of the samples.
        dtype (`torch.dtype`):
            Dtype of the result. float64 is computed by the reference on every device.

    Returns:
        `str`: `"triton"` or `"reference"`.

    Raises:
        ValueError: If the mode is `"triton"` and the device is none that it serves.
        ImportError: If the mode is `"triton"` and triton is not installed.
    """
    if dtype == torch.float64 or _mode == "reference":
        return "reference"
    if _mode == "triton":
        _check_triton(device)
        return "triton"
    return "triton" if HAS_TRITON and device.type in TRITON_DEVICES else "reference"


def record(operation: str, backend: str) -> None:
    """Tells [`record_backends`] that an operation runs on an implementation."""
    for calls in _records:
        calls.append((operation, backend))


def _check_triton(device):
    if not HAS_TRITON:
        raise ImportError(
            "`mode` must be 'auto' or 'reference' because triton is not installed, got 'triton'. Install triton to "
            "use its kernels."
        )
    if device.type not in TRITON_DEVICES:
        from . import launch

        if not launch.INTERPRETED:
            raise ValueError(
                f"`mode` must be 'auto' or 'reference' for samples on {device}, got 'triton'. Move them to a GPU, or "
                "set TRITON_INTERPRET=1 before the first use to interpret the kernels."
            )
