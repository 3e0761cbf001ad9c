# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""Weights and networks that the golden vectors of StyleGAN2 assume (see `tests/golden/diffusion_gan/README.md`)."""

import zlib
from collections.abc import Mapping, Sequence

import torch

from gan_diffusion.conversion import (
    convert_stylegan2_discriminator,
    convert_stylegan2_generator,
    export_stylegan2_discriminator,
    export_stylegan2_generator,
)
from gan_diffusion.models import StyleGAN2Discriminator, StyleGAN2Generator


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


def golden_generator(c_dim: int = 0) -> StyleGAN2Generator:
    """The generator of `stylegan2_generator_32` and `stylegan2_losses_32`, in float64 and evaluation mode."""
    layout = StyleGAN2Generator(
        latent_dim=32,
        w_dim=32,
        num_class_embeds=c_dim or None,
        num_mapping_layers=2,
        channel_base=512,
        channel_max=16,
    )
    shapes = {key: value.shape for key, value in export_stylegan2_generator(layout).items()}
    generator = convert_stylegan2_generator(
        stylegan2_state_dict(shapes),
        z_dim=32,
        c_dim=c_dim,
        w_dim=32,
        img_resolution=32,
        img_channels=3,
        mapping_kwargs={"num_layers": 2},
        synthesis_kwargs={"channel_base": 512, "channel_max": 16, "num_fp16_res": 4, "conv_clamp": 256},
    )
    return generator.double().eval()


def golden_discriminator(
    architecture: str = "resnet",
    c_dim: int = 0,
    group_size: int = 4,
    num_layers: int = 8,
    changes: Mapping[str, torch.Tensor] | None = None,
) -> StyleGAN2Discriminator:
    """
    The discriminators of `stylegan2_discriminator_32` and `stylegan2_losses_32`, in float64.

    Args:
        changes: Entries of the reference state dict that depart from the rule.
    """
    layout = StyleGAN2Discriminator(
        channel_base=512,
        channel_max=16,
        architecture=architecture,
        timestep_embedding="official",
        num_mapping_layers=num_layers,
        num_class_embeds=c_dim or None,
    )
    shapes = {key: value.shape for key, value in export_stylegan2_discriminator(layout).items()}
    discriminator = convert_stylegan2_discriminator(
        stylegan2_state_dict(shapes) | dict(changes or {}),
        c_dim=c_dim,
        img_resolution=32,
        img_channels=3,
        architecture=architecture,
        channel_base=512,
        channel_max=16,
        num_fp16_res=4,
        conv_clamp=256,
        mapping_kwargs={"num_layers": num_layers},
        epilogue_kwargs={"mbstd_group_size": group_size},
    )
    return discriminator.double()
