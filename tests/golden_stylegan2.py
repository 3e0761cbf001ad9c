# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""The weights that the golden vectors of the StyleGAN2 networks assume (see `tests/golden/diffusion_gan/README.md`)."""

import zlib
from collections.abc import Mapping, Sequence

import torch


def draw(key: str, shape: Sequence[int]) -> torch.Tensor:
    """Normal numbers, in float32, that belong to a key."""
    generator = torch.Generator().manual_seed(zlib.crc32(key.encode("utf-8")))
    return torch.randn(tuple(shape), generator=generator, dtype=torch.float32)


def stylegan2_weight(key: str, shape: Sequence[int]) -> torch.Tensor:
    """Value, in float32, of one entry of a reference state dict."""
    name, value = key.rpartition(".")[2], draw(key, shape)
    slow = "mapping.fc" in key  # layers of learning rate multiplier 0.01
    if name == "resample_filter":
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
        return torch.outer(taps, taps) / 64
    if name == "w_avg":
        return torch.zeros(shape)
    if name == "weight":
        return value * (100.0 if slow else 1.0)
    if name == "bias":
        if slow:
            return 10.0 * value
        return 1.0 + 0.1 * value if key.endswith("affine.bias") else 0.1 * value
    if name == "noise_strength":
        return 0.1 * value
    assert name in ("const", "noise_const"), key
    return value


def stylegan2_state_dict(shapes: Mapping[str, Sequence[int]]) -> dict[str, torch.Tensor]:
    """Reference state dict (float32) for the given `{reference key: shape}`."""
    return {key: stylegan2_weight(key, shape) for key, shape in shapes.items()}
