# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""Reading golden vectors and comparing against them (see `tests/golden/*/README.md`)."""

import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file


GOLDEN_DIR = Path(__file__).parent / "golden"


def golden_weight(key: str, shape: Sequence[int]) -> torch.Tensor:
    """
    Value, in float32, that every golden vector assumes for one reference state-dict entry.

    Args:
        key: Key of the reference implementation, without `module.` prefix.
        shape: Shape of that entry in the reference implementation.
    """
    generator = torch.Generator().manual_seed(zlib.crc32(key.encode("utf-8")))
    value = torch.randn(tuple(shape), generator=generator, dtype=torch.float32) * 0.05
    if len(shape) == 1 and key.endswith(".weight"):  # affine GroupNorm scales
        value = value + 1.0
    if key.endswith(".style.bias"):  # adaptive GroupNorm: the first half is the scale
        value[: shape[0] // 2] += 1.0
    return value


def golden_state_dict(shapes: Mapping[str, Sequence[int]]) -> dict[str, torch.Tensor]:
    """Reference state dict (float32) for the given `{reference key: shape}`."""
    return {key: golden_weight(key, shape) for key, shape in shapes.items()}


def load_golden(name: str) -> dict[str, torch.Tensor]:
    """All tensors of one golden file, e.g. `load_golden("ddgan/generator_a")`."""
    return load_file(GOLDEN_DIR / f"{name}.safetensors")


def load_golden_metadata(name: str) -> dict:
    """Metadata of one golden file; values that are JSON are decoded."""
    with safe_open(GOLDEN_DIR / f"{name}.safetensors", framework="pt") as file:
        metadata = file.metadata() or {}
    return {key: _decode(value) for key, value in metadata.items()}


def load_golden_json(name: str) -> dict:
    """One golden JSON file, e.g. `load_golden_json("ddgan/state_dict_shapes")`."""
    return json.loads((GOLDEN_DIR / f"{name}.json").read_text())


def assert_matches(
    actual: torch.Tensor, expected: torch.Tensor, rtol: float = 1e-6, atol: float = 1e-7, name: str = "tensor"
) -> None:
    """Asserts equal shapes and `|actual - expected| <= atol * max|expected| + rtol * |expected|`, in float64."""
    assert actual.shape == expected.shape, f"{name}: shape {tuple(actual.shape)}, expected {tuple(expected.shape)}"
    actual, expected = actual.detach().double(), expected.detach().double()
    largest = expected.abs().max().item() if expected.numel() else 0.0
    torch.testing.assert_close(
        actual, expected, rtol=rtol, atol=atol * largest, msg=lambda message: f"{name}: {message}"
    )


def _decode(value: str):
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


def with_reference_tables(scheduler, name: str):
    """
    The scheduler of Diffusion-GAN with the coefficients that the golden numbers were computed with.

    PyTorch's square root, which the reference takes, has another last bit on another CPU. In float64 that is seen.
    """
    golden = load_golden("diffusion_gan/schedules")
    scheduler.signal_coefs = golden[f"{name}.sqrt_alphas_bar_f32"]
    scheduler._unit_noise_coefs = golden[f"{name}.sqrt_one_minus_alphas_bar_f32"]
    return scheduler
