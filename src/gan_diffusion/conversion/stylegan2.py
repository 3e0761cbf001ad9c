# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Weights of the StyleGAN2 networks of Diffusion-GAN (Zhendong-Wang/Diffusion-GAN), to and from our networks."""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from ..models.discriminators.stylegan2 import StyleGAN2Discriminator
from ..models.discriminators.stylegan2_blocks import StyleGAN2DiscriminatorBlock
from ..models.generators.stylegan2 import StyleGAN2Generator
from ..models.generators.stylegan2_blocks import StyledConv, SynthesisBlock
from ..models.layers.equalized import EqualizedConv2d
from ..models.layers.pyramid import size_pair
from .key_maps import build_and_fill, export_by_key_map


_Model = TypeVar("_Model", StyleGAN2Generator, StyleGAN2Discriminator)

_DEFAULT_TAPS = (1, 3, 3, 1)

# Reference option -> (our argument, reference default).
_MAPPING_OPTIONS = {"num_layers": ("num_mapping_layers", 8), "lr_multiplier": ("mapping_lr_multiplier", 0.01)}
_BLOCK_OPTIONS = {"resample_filter": ("fir_taps", _DEFAULT_TAPS)}
_SYNTHESIS_OPTIONS = _BLOCK_OPTIONS | {
    "channel_base": ("channel_base", 32768),
    "channel_max": ("channel_max", 512),
    "architecture": ("architecture", "skip"),
    "conv_clamp": ("activation_clamp", None),
}
_EPILOGUE_OPTIONS = {"mbstd_group_size": ("stddev_group_size", 4), "mbstd_num_channels": ("num_stddev_channels", 1)}
# Options that change neither weights nor, in float32, the function.
_WITHOUT_EFFECT = {"num_fp16_res", "use_fp16", "fp16_channels_last", "freeze_layers"}


def convert_stylegan2_generator(
    state_dict: Mapping[str, Tensor],
    *,
    z_dim: int,
    c_dim: int,
    w_dim: int,
    img_resolution: int,
    img_channels: int,
    mapping_kwargs: Mapping | None = None,
    synthesis_kwargs: Mapping | None = None,
) -> StyleGAN2Generator:
    """
    Builds a generator from a reference state dict. The options have the names and defaults of the reference.

    Args:
        state_dict (`dict[str, torch.Tensor]`): Reference state dict; a `module.` prefix on its keys is taken off.
        z_dim (`int`): Width of z.
        c_dim (`int`): Number of classes, 0 without.
        w_dim (`int`): Width of w.
        img_resolution (`int`): Height and width of the images.
        img_channels (`int`): Image channels.
        mapping_kwargs (`dict`, *optional*): `num_layers`, `lr_multiplier`, `w_avg_beta`.
        synthesis_kwargs (`dict`, *optional*):
            `channel_base`, `channel_max`, `architecture`, `resample_filter`, `conv_clamp` (`None` by default;
            published models have 256). Options of half precision, such as `num_fp16_res`, have no effect.

    Returns:
        [`StyleGAN2Generator`]: the generator, in float32.

    Raises:
        ValueError: If an option is unknown or has a value without equivalent here, or if entries of the state dict are
            missing, unexpected, or of another shape or value than the options call for.
    """
    mapping_options = _MAPPING_OPTIONS | {"w_avg_beta": ("w_avg_decay", 0.995)}
    config = _translate("mapping_kwargs", mapping_kwargs, mapping_options, width=w_dim)
    config |= _translate("synthesis_kwargs", synthesis_kwargs, _SYNTHESIS_OPTIONS)
    config |= {
        "sample_size": img_resolution, "out_channels": img_channels, "latent_dim": z_dim, "w_dim": w_dim,
        "num_class_embeds": c_dim or None,
    }  # fmt: skip
    return build_and_fill(
        lambda: StyleGAN2Generator(**config),
        lambda generator: {
            "key_map": stylegan2_generator_key_map(generator),
            "constants": _filters(generator, _generator_key),
        },  # fmt: skip
        state_dict,
    )


def convert_stylegan2_discriminator(
    state_dict: Mapping[str, Tensor],
    *,
    c_dim: int,
    img_resolution: int,
    img_channels: int,
    architecture: str = "resnet",
    channel_base: int = 32768,
    channel_max: int = 512,
    num_fp16_res: int = 0,
    conv_clamp: float | None = None,
    cmap_dim: int | None = None,
    block_kwargs: Mapping | None = None,
    mapping_kwargs: Mapping | None = None,
    epilogue_kwargs: Mapping | None = None,
    timestep_embedding: str | None = "official",
) -> StyleGAN2Discriminator:
    """
    Builds a discriminator from a reference state dict. The options have the names and defaults of the reference.

    Args:
        state_dict (`dict[str, torch.Tensor]`): Reference state dict; a `module.` prefix on its keys is taken off.
        c_dim (`int`):
            Number of classes, 0 without. The timestep, which widens the first layer by one, does not count.
        img_resolution (`int`): Height and width of the images.
        img_channels (`int`): Image channels.
        architecture (`str`, defaults to `"resnet"`): "resnet", "skip" or "orig".
        channel_base (`int`, defaults to 32768): Width of each level times its resolution.
        channel_max (`int`, defaults to 512): Largest width.
        num_fp16_res (`int`, defaults to 0): Without effect.
        conv_clamp (`float`, *optional*): Bound of the absolute activations; published models have 256.
        cmap_dim (`int`, *optional*): Width of the condition: `None`, or that of the 4x4 level.
        block_kwargs (`dict`, *optional*):
            `resample_filter`. Options of half precision, and `freeze_layers`, have no effect.
        mapping_kwargs (`dict`, *optional*): `num_layers`, `lr_multiplier`.
        epilogue_kwargs (`dict`, *optional*): `mbstd_group_size`, `mbstd_num_channels`.
        timestep_embedding (`str`, *optional*, defaults to `"official"`):
            "official", or `None` for a discriminator of plain StyleGAN2 or StyleGAN2-ADA, which is not told the
            timestep. A training can start from it: `--pretrained`.

    Returns:
        [`StyleGAN2Discriminator`]: the discriminator, in float32.

    Raises:
        ValueError: If an option is unknown or has a value without equivalent here, or if entries of the state dict are
            missing, unexpected, or of another shape or value than the options call for.
    """
    if timestep_embedding not in ("official", None):
        raise ValueError(f'`timestep_embedding` must be "official" or None, got {timestep_embedding!r}.')
    width = min(channel_base // 4, channel_max)
    if cmap_dim not in (None, width):
        raise ValueError(f"`cmap_dim` must be None or the width of the 4x4 level, {width}, got {cmap_dim}.")
    config = _translate("block_kwargs", block_kwargs, _BLOCK_OPTIONS)
    config |= _translate("mapping_kwargs", mapping_kwargs, _MAPPING_OPTIONS, width=width)
    config |= _translate("epilogue_kwargs", epilogue_kwargs, _EPILOGUE_OPTIONS)
    config |= {
        "sample_size": img_resolution, "in_channels": img_channels, "channel_base": channel_base,
        "channel_max": channel_max, "architecture": architecture, "timestep_embedding": timestep_embedding,
        "num_class_embeds": c_dim or None, "activation_clamp": conv_clamp,
    }  # fmt: skip
    return build_and_fill(
        lambda: StyleGAN2Discriminator(**config),
        lambda discriminator: {
            "key_map": stylegan2_discriminator_key_map(discriminator),
            "constants": _filters(discriminator, _discriminator_key),
        },
        state_dict,
    )


def export_stylegan2_generator(generator: StyleGAN2Generator) -> dict[str, Tensor]:
    """Reference state dict of a generator, the inverse of `convert_stylegan2_generator`."""
    key_map = stylegan2_generator_key_map(generator)
    return export_by_key_map(generator, key_map, constants=_filters(generator, _generator_key))


def export_stylegan2_discriminator(discriminator: StyleGAN2Discriminator) -> dict[str, Tensor]:
    """
    Reference state dict of a discriminator, the inverse of `convert_stylegan2_discriminator`.

    Args:
        discriminator ([`StyleGAN2Discriminator`]): The discriminator.

    Returns:
        `dict[str, torch.Tensor]`: the reference state dict.

    Raises:
        ValueError: If the timestep embedding is "sinusoidal", the last layer that of a SAN or the images are not
            squares of a power of two, which the reference does not know.
    """
    key_map = stylegan2_discriminator_key_map(discriminator)
    return export_by_key_map(discriminator, key_map, constants=_filters(discriminator, _discriminator_key))


def stylegan2_generator_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """
    The reference's options for the config of a generator, all in one dictionary.

    Args:
        config (`Mapping[str, Any]`): Config of a [`StyleGAN2Generator`].

    Returns:
        `dict[str, Any]`: options by their names.
    """
    table = _MAPPING_OPTIONS | _SYNTHESIS_OPTIONS | {"w_avg_beta": ("w_avg_decay", 0.995)}
    names = {"z_dim": "latent_dim", "w_dim": "w_dim", "img_resolution": "sample_size", "img_channels": "out_channels"}
    options = {name: config[ours] for name, (ours, _) in table.items()}
    return options | {name: config[ours] for name, ours in names.items()} | {"c_dim": config["num_class_embeds"] or 0}


def stylegan2_discriminator_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """
    The reference's options for the config of a discriminator, all in one dictionary.

    Args:
        config (`Mapping[str, Any]`): Config of a [`StyleGAN2Discriminator`].

    Returns:
        `dict[str, Any]`: options by their names.
    """
    table = _MAPPING_OPTIONS | _SYNTHESIS_OPTIONS | _EPILOGUE_OPTIONS
    names = {"img_resolution": "sample_size", "img_channels": "in_channels"}
    options = {name: config[ours] for name, (ours, _) in table.items()}
    options |= {name: config[ours] for name, ours in names.items()} | {"c_dim": config["num_class_embeds"] or 0}
    return options | {"t_dim": int(config["timestep_embedding"] is not None)}


def stylegan2_generator_key_map(generator: StyleGAN2Generator) -> dict[str, str]:
    """
    Reference key -> our key, for every parameter and buffer of a generator.

    Args:
        generator ([`StyleGAN2Generator`]): The generator.

    Returns:
        `dict[str, str]`: our keys by reference key.

    Raises:
        ValueError: If the images are not squares of a power of two or are cut into patches, which the reference does
            not know.
    """
    _check_size(generator)
    return {_generator_key(key, generator): key for key in generator.state_dict()}


def stylegan2_discriminator_key_map(discriminator: StyleGAN2Discriminator) -> dict[str, str]:
    """
    Reference key -> our key, for every parameter of a discriminator.

    Args:
        discriminator ([`StyleGAN2Discriminator`]): The discriminator.

    Returns:
        `dict[str, str]`: our keys by reference key.

    Raises:
        ValueError: If the timestep embedding is "sinusoidal", or the images are not squares of a power of two or are
            cut into patches, which the reference does not know.
    """
    if discriminator.config.timestep_embedding == "sinusoidal":
        raise ValueError('`timestep_embedding` must be "official" or None for reference keys, got "sinusoidal".')
    _check_size(discriminator)
    return {_discriminator_key(key, discriminator): key for key in discriminator.state_dict()}


def _check_size(network: StyleGAN2Generator | StyleGAN2Discriminator) -> None:
    config = network.config
    height, width = size_pair(config.sample_size)
    if height != width or height & (height - 1):
        raise ValueError(f"`sample_size` must be one power of two for reference keys, got {config.sample_size}.")
    if config.patch_size != 1:
        raise ValueError(f"`patch_size` must be 1 for reference keys, got {config.patch_size}.")


def _generator_key(name: str, generator: StyleGAN2Generator) -> str:
    """Reference name of one of our modules, parameters or buffers."""
    name = re.sub(r"synthesis\.blocks\.(\d+)", lambda match: f"synthesis.b{4 << int(match[1])}", name)
    name = re.sub(r"\.(conv\d|to_rgb)\.conv\.", r".\1.", name).replace("to_rgb", "torgb")
    return name.replace("mapping.layers.", "mapping.fc").replace("class_embed.", "embed.")


def _discriminator_key(name: str, discriminator: StyleGAN2Discriminator) -> str:
    """Reference name of one of our modules or parameters."""

    def level(match: re.Match) -> str:
        return f"b{size_pair(discriminator.config.sample_size)[0] >> int(match[2])}" + (
            ".fromrgb" if match[1] == "from_rgb" else ""
        )

    name = re.sub(r"trunk\.(from_rgb|blocks)\.(\d+)", level, name)
    name = name.replace("epilogue.linear_out", "b4.out").replace("epilogue.linear", "b4.fc")
    name = name.replace("epilogue.", "b4.")
    return name.replace("mapping.layers.", "mapping.fc").replace("embeds.0.", "embed.")


def _filters(model: _Model, reference_key: Callable[[str, _Model], str]) -> dict[str, Tensor]:
    """Resampling filters that the reference keeps beside each level and convolution, whether it uses them or not."""
    filters = {}
    for name, module in model.named_modules():
        if isinstance(module, SynthesisBlock | StyleGAN2DiscriminatorBlock):
            resamples = True
        elif isinstance(module, StyledConv | EqualizedConv2d):
            resamples = (module.conv if isinstance(module, StyledConv) else module).resample is not None
        else:
            continue
        taps = torch.tensor(model.config.fir_taps if resamples else _DEFAULT_TAPS, dtype=torch.float32)
        kernel = torch.outer(taps, taps)
        filters[f"{reference_key(name, model)}.resample_filter"] = kernel / kernel.sum()
    return filters


def _translate(name: str, options: Mapping | None, table: Mapping[str, tuple], width: int | None = None) -> dict:
    """Our arguments for the options in one dictionary of the reference; `width` is that of the mapping's layers."""
    options = options or {}
    only = {"activation": ("lrelu",), "use_noise": (True,)}
    if width is not None:
        only |= {"embed_features": (None, width), "layer_features": (None, width)}
    for key, value in options.items():
        if key in only and value not in only[key]:
            raise ValueError(f"`{name}` must have one of {only[key]} for {key!r}, got {value!r}.")
        if key not in table and key not in only and key not in _WITHOUT_EFFECT:
            raise ValueError(f"`{name}` must have some of {sorted(table)}, got {key!r}.")
    return {ours: options.get(key, default) for key, (ours, default) in table.items()}
