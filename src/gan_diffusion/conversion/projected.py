# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Weights of the networks of Projected GAN and Diffusion-ProjectedGAN, to and from our networks."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..models.discriminators.projected import ProjectedDiscriminator
from ..models.discriminators.projected_blocks import FeatureMixing, ProjectedHead
from ..models.generators.fastgan import FastGANGenerator
from ..models.layers.spectral import ConditionalBatchNorm, SpectralNorm
from .key_maps import build_and_fill, export_by_key_map


# The reference builds the levels up to this size, whichever are used.
_BUILT_SIZE = 256
_GENERATOR_EMBEDDING = "synthesis.embed.weight"
# The frozen network in a reference discriminator.
FROZEN = "feature_network.pretrained."
# Options of the reference's discriminator that have one value here, and those that do not change the network.
_ONLY = {"expand": True, "proj_type": 2, "num_discs": 4}
_WITHOUT_EFFECT = {"im_res", "d_pos", "noise_sd"}


def convert_fastgan_generator(
    state_dict: Mapping[str, Tensor],
    *,
    z_dim: int = 256,
    c_dim: int = 0,
    img_resolution: int = 256,
    img_channels: int = 3,
    ngf: int = 128,
    cond: bool | int = False,
    synthesis_kwargs: Mapping | None = None,
) -> FastGANGenerator:
    """
    Builds a generator from a reference state dict. The options have the names and defaults of the reference.

    Levels above the size of the images, which the reference builds and does not use, are left out.

    Args:
        state_dict (`dict[str, torch.Tensor]`): Reference state dict; a `module.` prefix on its keys is taken off.
        z_dim (`int`, defaults to 256): Width of z.
        c_dim (`int`, defaults to 0):
            Number of classes of the data. The reference has 1000 embeddings, of which the first `c_dim` are kept.
        img_resolution (`int`, defaults to 256): Height and width of the images.
        img_channels (`int`, defaults to 3): Image channels.
        ngf (`int`, defaults to 128): Channels at 128x128.
        cond (`bool` or `int`, defaults to `False`): Whether the generator is told the class.
        synthesis_kwargs (`dict`, *optional*): `lite`.

    Returns:
        [`FastGANGenerator`]: the generator, in float32.

    Raises:
        ValueError: If an option is unknown or does not fit the others, or if entries of the state dict are missing,
            unexpected or of another shape than the options call for.
    """
    options = dict(synthesis_kwargs or {})
    lite = bool(options.pop("lite", False))
    if options:
        raise ValueError(f"`synthesis_kwargs` must have some of ['lite'], got {sorted(options)}.")
    if cond and c_dim < 1:
        raise ValueError(f"`c_dim` must be the number of classes of a conditional generator, got {c_dim}.")
    config: dict[str, Any] = {
        "sample_size": img_resolution,
        "out_channels": img_channels,
        "latent_dim": z_dim,
        "base_channels": ngf,
        "lite": lite,
        "num_class_embeds": c_dim if cond else None,
    }
    state_dict = {key.removeprefix("module."): value for key, value in state_dict.items()}
    if cond and _GENERATOR_EMBEDDING in state_dict:
        state_dict[_GENERATOR_EMBEDDING] = _first_classes(state_dict[_GENERATOR_EMBEDDING], c_dim)
    with torch.device("meta"):
        largest = FastGANGenerator(**{**config, "sample_size": max(_BUILT_SIZE, img_resolution)})
    unused = {*fastgan_generator_key_map(largest), *(key for key in state_dict if key.endswith("num_batches_tracked"))}
    return build_and_fill(
        lambda: FastGANGenerator(**config),
        lambda generator: {"key_map": fastgan_generator_key_map(generator), "unused": unused},
        state_dict,
    )


def convert_projected_discriminator(
    state_dict: Mapping[str, Tensor],
    *,
    c_dim: int = 0,
    img_channels: int = 3,
    interp224: bool = True,
    backbone_kwargs: Mapping | None = None,
) -> ProjectedDiscriminator:
    """
    Builds a discriminator from a reference state dict. The options have the names and defaults of the reference.

    The weights of the frozen network are left out: they are those of EfficientNet-Lite0, which is loaded by name.

    Args:
        state_dict (`dict[str, torch.Tensor]`): Reference state dict; a `module.` prefix on its keys is taken off.
        c_dim (`int`, defaults to 0):
            Number of classes of the data. The reference has 1000 embeddings, of which the first `c_dim` are kept.
        img_channels (`int`, defaults to 3): Image channels; the reference has 3.
        interp224 (`bool`, defaults to `True`): Whether images are enlarged to 224 pixels.
        backbone_kwargs (`dict`, *optional*): `cout`, `expand`, `proj_type`, `num_discs`, `cond`, `separable`, `patch`.
            Options of the noise have no effect: the noise belongs to the objective.

    Returns:
        [`ProjectedDiscriminator`]: the discriminator, in float32.

    Raises:
        ValueError: If an option is unknown or has a value without equivalent here, or if entries of the state dict are
            missing, unexpected or of another shape than the options call for.
    """
    options = {"cout": 64, "cond": 0, "separable": False, "patch": False, **_ONLY, **(backbone_kwargs or {})}
    unknown = sorted(options.keys() - {"cout", "cond", "separable", "patch", *_ONLY, *_WITHOUT_EFFECT})
    if unknown:
        raise ValueError(f"`backbone_kwargs` must have options of the reference, got {unknown}.")
    for name, value in _ONLY.items():
        if options[name] != value:
            raise ValueError(f"`backbone_kwargs` must have {value} for {name!r}, got {options[name]!r}.")
    if options["cond"] and c_dim < 1:
        raise ValueError(f"`c_dim` must be the number of classes of a conditional discriminator, got {c_dim}.")
    config: dict[str, Any] = {
        "in_channels": img_channels,
        "input_size": 224 if interp224 else None,
        "projection_channels": options["cout"],
        "separable": bool(options["separable"]),
        "patch": bool(options["patch"]),
        "num_class_embeds": c_dim if options["cond"] else None,
    }
    state_dict = {key.removeprefix("module."): value for key, value in state_dict.items()}
    for key in [key for key in state_dict if re.fullmatch(r"discriminator\.mini_discs\.\d+\.embed\.weight", key)]:
        state_dict[key] = _first_classes(state_dict[key], c_dim)
    unused = {key for key in state_dict if key.startswith(FROZEN) or key.endswith("num_batches_tracked")}
    return build_and_fill(
        lambda: ProjectedDiscriminator(**config),
        lambda discriminator: {"key_map": projected_discriminator_key_map(discriminator), "unused": unused},
        state_dict,
    )


def _first_classes(embedding: Tensor, num_classes: int) -> Tensor:
    return embedding[:num_classes] if embedding.ndim else embedding  # One of another shape is refused afterwards.


def export_fastgan_generator(generator: FastGANGenerator) -> dict[str, Tensor]:
    """Reference state dict of a generator, without the levels and counters that the reference does not use."""
    return export_by_key_map(generator, fastgan_generator_key_map(generator))


def export_projected_discriminator(discriminator: ProjectedDiscriminator) -> dict[str, Tensor]:
    """Reference state dict of a discriminator, without the frozen network and the counters of batches."""
    return export_by_key_map(discriminator, projected_discriminator_key_map(discriminator))


def fastgan_generator_key_map(generator: FastGANGenerator) -> dict[str, str]:
    """Reference key -> our key, for every parameter and buffer of a generator."""
    return {_generator_key(key, generator): key for key in generator.state_dict()}


def projected_discriminator_key_map(discriminator: ProjectedDiscriminator) -> dict[str, str]:
    """
    Reference key -> our key, for every parameter and buffer of a discriminator.

    Args:
        discriminator ([`ProjectedDiscriminator`]): The discriminator.

    Returns:
        `dict[str, str]`: our keys by reference key.

    Raises:
        ValueError: If it is told the timestep or has two frozen networks, which the reference does not know.
    """
    if discriminator.second_mixing is not None:
        raise ValueError(
            f"`feature_network` must be one network for reference keys, got {discriminator.config.feature_network!r}."
        )
    if discriminator.config.timestep_embedding is not None:
        raise ValueError(
            f"`timestep_embedding` must be None for reference keys, got {discriminator.config.timestep_embedding!r}."
        )
    key_map = {
        f"feature_network.scratch.{key}": f"mixing.{name}"
        for key, name in feature_mixing_key_map(discriminator.mixing).items()
    }
    heads: Any = discriminator.heads
    for level, head in enumerate(heads):
        for key, name in projected_head_key_map(head).items():
            key_map[f"discriminator.mini_discs.{level}.{key}"] = f"heads.{level}.{name}"
    return key_map


def feature_mixing_key_map(mixing: FeatureMixing) -> dict[str, str]:
    """Reference key -> our key inside the random projections."""
    key_map = {}
    for name in mixing.state_dict():
        part, level, leaf = name.split(".")
        kind = "ccm" if part == "across_channels" else "csm.out_conv"
        key_map[f"layer{level}_{kind}.{leaf}"] = name
    return key_map


def projected_head_key_map(head: ProjectedHead) -> dict[str, str]:
    """Reference key -> our key inside one head."""
    num_blocks = len(head.blocks)

    def block(match: re.Match) -> str:
        number, part = match[1], match[2]
        owner = head.blocks[int(number)]
        inner = f"main.{number}.main" + (".0.main" if owner.patch_conv is not None else "")
        if part.startswith("convs"):
            return f"{inner}.0" + ((".pointwise" if part[-1] == "1" else ".depthwise") if owner.separable else "")
        return {"norm": f"{inner}.1", "patch_conv": f"main.{number}.main.1", "patch_norm": f"main.{number}.main.2"}[
            part
        ]

    def key(name: str) -> str:
        name = re.sub(r"blocks\.(\d+)\.(convs\.\d|norm|patch_conv|patch_norm)", block, _reference_leaf(name, head))
        name = name.replace("conv_out", f"main.{num_blocks}" if head.condition is None else "cls")
        return name.replace("class_embed", "embed").replace("condition", "embed_proj.0")

    return {key(name): name for name in head.state_dict()}


def _generator_key(name: str, generator: FastGANGenerator) -> str:
    """Reference name of one of our parameters or buffers."""
    conditional, lite = generator.config.num_class_embeds is not None, generator.config.lite

    def block(match: re.Match) -> str:
        number, kind, part = int(match[1]), match[2], int(match[3])
        if conditional:
            suffix = "" if lite or kind == "noise" else str(part + 1)
            place = {"conv": "conv", "norm": "bn", "noise": "noise"}[kind] + suffix
        else:
            # Entries of a list: upsampling, then convolution, noise where there is some, norm and gate in turn.
            place = 1 + {"conv": 0, "noise": 1, "norm": 1 if lite else 2}[kind] + 4 * part
        return f"synthesis.feat_{8 << number}.{place}"

    key = re.sub(r"synthesis\.blocks\.(\d+)\.(conv|norm|noise)s\.(\d+)", block, _reference_leaf(name, generator))
    key = re.sub(
        r"synthesis\.excitations\.(\d+)\.conv(\d)",
        lambda match: f"synthesis.se_{64 << int(match[1])}.main.{2 * int(match[2]) - 1}",
        key,
    )
    key = key.replace("synthesis.start.conv", "synthesis.init.init.0").replace(
        "synthesis.start.norm", "synthesis.init.init.1"
    )
    return key.replace("synthesis.to_rgb", "synthesis.to_big").replace("class_embed", "synthesis.embed")


def _reference_leaf(name: str, network: nn.Module) -> str:
    """The name with the last part as in the reference, where normalised weights and running statistics differ."""
    path, _, leaf = name.rpartition(".")
    owner = network.get_submodule(path)
    if isinstance(owner, SpectralNorm) and leaf == "weight":
        leaf = "weight_orig"
    elif isinstance(owner, ConditionalBatchNorm):
        leaf = leaf.replace("running", "stored")
    elif leaf == "strength":
        leaf = "weight"
    return f"{path}.{leaf}"
