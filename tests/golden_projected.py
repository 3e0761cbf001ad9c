# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""Weights that the golden vectors of Projected GAN assume (see `tests/golden/diffusion_gan/README.md`)."""

from collections.abc import Mapping, Sequence

import torch
from golden_stylegan2 import draw
from torch import nn
from torch.nn.functional import normalize

from gan_diffusion.conversion.projected import fastgan_generator_key_map, projected_head_key_map
from gan_diffusion.models.discriminators.projected_blocks import ProjectedHead
from gan_diffusion.models.generators.fastgan import FastGANGenerator


def projected_weight(key: str, shape: Sequence[int]) -> torch.Tensor:
    """Value, in float32, of one entry of a reference state dict, before the vectors of spectral norm settle."""
    name, value = key.rpartition(".")[2], draw(key, shape)
    if name == "num_batches_tracked":
        return torch.zeros(shape, dtype=torch.int64)
    if name in ("weight_u", "weight_v"):
        return normalize(value, dim=0)
    if name in ("running_mean", "stored_mean", "bias"):
        return 0.1 * value
    if name in ("running_var", "stored_var"):
        return 1.0 + 0.1 * value.abs()
    if tuple(shape) == (1,):  # strengths of FastGAN's noise, which is off
        return torch.zeros(1)
    if len(shape) == 1:
        return 1.0 + 0.1 * value
    if name == "weight_orig" or key.endswith("embed.weight"):
        return value
    return value * value[0].numel() ** -0.5


def projected_state_dict(shapes: Mapping[str, Sequence[int]], prefix: str = "") -> dict[str, torch.Tensor]:
    """
    Reference state dict (float64) for the given `{reference key: shape}`, with settled spectral norm.

    Args:
        prefix: What the golden keys have before the given ones.
    """
    state = {key: projected_weight(prefix + key, shape) for key, shape in shapes.items()}
    state = {key: value.double() if value.is_floating_point() else value for key, value in state.items()}
    for key in [key for key in state if key.endswith("weight_orig")]:
        weight, u = state[key], state[key.replace("weight_orig", "weight_u")]
        # A transposed convolution has its output channels second.
        axis = 0 if len(u) == weight.shape[0] and ".init.init.0" not in key else 1
        matrix = weight.transpose(0, axis).flatten(1)
        v = normalize(matrix.t() @ u, dim=0)
        state[key.replace("weight_orig", "weight_v")] = v
        state[key.replace("weight_orig", "weight_u")] = normalize(matrix @ v, dim=0)
    return state


def fill(network: nn.Module, key_map: Mapping[str, str], prefix: str = "") -> nn.Module:
    """The network in float64 with the golden weights, for a map of reference keys to ours."""
    network = network.double()
    shapes = {key: network.state_dict()[name].shape for key, name in key_map.items()}
    state = projected_state_dict(shapes, prefix)
    network.load_state_dict({name: state[key] for key, name in key_map.items()})
    return network


def golden_fastgan(sample_size: int, lite: bool, num_classes: int | None = None) -> FastGANGenerator:
    """A generator of `fastgan_generator`, in float64 and evaluation mode."""
    options = {"latent_dim": 16, "base_channels": 8, "num_class_embeds": num_classes}
    generator = FastGANGenerator(sample_size, lite=lite, **options)
    return fill(generator, fastgan_generator_key_map(generator)).eval()


def golden_head(name: str) -> ProjectedHead:
    """A head of `projected_heads`, in float64 and evaluation mode."""
    options = {
        "disc": {},
        "disc_sep": {"separable": True},
        "disc_patch": {"patch": True},
        "disc_cond": {"num_class_embeds": 10, "class_embed_dim": 5, "condition_dim": 6},
    }
    head = ProjectedHead([4, 8] if name == "disc_patch" else [4, 8, 8], **options[name])
    return fill(head, projected_head_key_map(head), f"{name}.").eval()
