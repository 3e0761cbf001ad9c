# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Weights of the reference implementation of DDGAN (NVlabs/denoising-diffusion-gan), to and from our networks."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ..models.discriminators.ddgan import DDGANDiscriminator
from ..models.generators.ncsnpp import NCSNppGenerator
from ..models.generators.ncsnpp_blocks import InputSkip, ResidualBlock
from ..models.layers.attention import AttentionBlock
from ..models.layers.embeddings import FourierEmbedding
from ..models.layers.resampling import ConvDownsample
from .key_maps import build_and_fill, export_by_key_map


# Reference option -> (our argument, reference default). The reference has no default for ch_mult.
_GENERATOR_OPTIONS = {
    "image_size": ("sample_size", 32),
    "num_channels": ("in_channels", 3),
    "num_channels_dae": ("base_channels", 128),
    "ch_mult": ("channel_multipliers", None),
    "num_res_blocks": ("layers_per_block", 2),
    "attn_resolutions": ("attention_resolutions", (16,)),
    "nz": ("latent_dim", 100),
    "z_emb_dim": ("latent_embed_dim", 256),
    "n_mlp": ("num_latent_layers", 3),
    "resblock_type": ("block_type", "biggan"),
    "progressive_input": ("progressive_input", "residual"),
    "progressive": ("progressive_output", "none"),
    "progressive_combine": ("progressive_combine", "sum"),
    "embedding_type": ("time_embedding_type", "positional"),
    "conditional": ("time_conditioning", True),
    "fir_kernel": ("fir_taps", (1, 3, 3, 1)),
    "skip_rescale": ("skip_rescale", True),
    "centered": ("centered", True),
    "not_use_tanh": ("use_tanh", False),
    "dropout": ("dropout", 0.0),
}
GENERATOR_OPTIONS = {*_GENERATOR_OPTIONS, "fir", "resamp_with_conv", "fourier_scale"}
# Those that the network depends on, with the reference's defaults.
GENERATOR_DEFAULTS: dict[str, Any] = {name: default for name, (_, default) in _GENERATOR_OPTIONS.items()} | {
    "fir": True, "resamp_with_conv": True
}  # fmt: skip
# Options that stand beside them in the reference and belong to the diffusion process or the discriminator.
_OTHER_OPTIONS = {"use_geometric", "beta_min", "beta_max", "num_timesteps", "t_emb_dim"}

_DISCRIMINATOR_VARIANTS = {
    "small": {
        "channel_multipliers": (2, 2, 4, 8, 8),
        "downsample": (False, True, True, True),
        "zero_init_final_conv": True,
    },
    "large": {
        "channel_multipliers": (2, 4, 8, 8, 8, 8, 8),
        "downsample": (True,) * 6,
        "zero_init_final_conv": False,
    },
}

_RESIDUAL_NAMES = {
    "norm1.style": "GroupNorm_0.style",
    "conv1": "Conv_0",
    "time_proj": "Dense_0",
    "norm2": "GroupNorm_1",
    "norm2.style": "GroupNorm_1.style",
    "conv2": "Conv_1",
    "shortcut": "Conv_2",
}
_ATTENTION_NAMES = {"norm": "GroupNorm_0", "to_q": "NIN_0", "to_k": "NIN_1", "to_v": "NIN_2", "to_out": "NIN_3"}
_DISCRIMINATOR_BLOCK_NAMES = {
    "conv1": "conv1.0",
    "time_proj": "dense_t1",
    "conv2": "conv2.0",
    "shortcut": "skip.0",
}


def convert_ddgan_generator(state_dict: Mapping[str, Tensor], **options) -> NCSNppGenerator:
    """
    Builds a generator from a reference state dict.

    Keys that the reference network carries and never uses, the time layers of its residual blocks without
    `conditional`, are dropped.

    Args:
        state_dict (`dict[str, torch.Tensor]`): Reference state dict; a `module.` prefix on its keys is taken off.
        **options:
            Options of the reference's training script, under its names and with its defaults: `image_size`,
            `num_channels`, `num_channels_dae`, `ch_mult` (required), `num_res_blocks`, `attn_resolutions`, `nz`,
            `z_emb_dim`, `n_mlp`, `resblock_type`, `progressive`, `progressive_input`, `progressive_combine`,
            `embedding_type`, `conditional`, `fir`, `fir_kernel`, `resamp_with_conv`, `skip_rescale`, `centered`,
            `not_use_tanh`, `dropout`. Those of the initialisation (`fourier_scale`), of the diffusion process and of
            the discriminator (`use_geometric`, `beta_min`, `beta_max`, `num_timesteps`, `t_emb_dim`) are accepted and
            have no effect.

    Returns:
        [`NCSNppGenerator`]: the generator, in float32.

    Raises:
        ValueError: If an option is unknown or one that the reference network cannot run with, if `ch_mult` is missing,
            or if keys are missing, unexpected or of another shape than the options call for.
    """
    config = _generator_config(options)
    return build_and_fill(lambda: NCSNppGenerator(**config), _generator_tables, state_dict)


def _generator_tables(generator: NCSNppGenerator) -> dict[str, Any]:
    key_map = ddgan_generator_key_map(generator)
    return {
        "key_map": key_map, "transposed": _transposed(key_map), "unused": _unused_generator_keys(generator)
    }  # fmt: skip


def _generator_config(options: Mapping) -> dict:
    """Our arguments for the reference's options."""
    unknown = sorted(set(options) - GENERATOR_OPTIONS - _OTHER_OPTIONS)
    if unknown:
        raise ValueError(
            f"`options` must be some of {sorted(GENERATOR_OPTIONS | _OTHER_OPTIONS)}, got {unknown[0]!r}."
        )
    if options.get("ch_mult") is None:
        raise ValueError("`ch_mult` must be the widths per level, such as (1, 2, 2, 2), got None: it has no default.")
    options = {name: value.lower() if isinstance(value, str) else value for name, value in options.items()}
    fir = options.get("fir", True)
    if options.get("progressive") == "residual":
        raise ValueError(
            '`progressive` must be "none" or "output_skip", got "residual": the reference network cannot run with it.'
        )
    if options.get("resblock_type") == "ddpm" and (not fir or options.get("resamp_with_conv", True)):
        raise ValueError(
            f'`resblock_type` must not be "ddpm" with fir={fir} and resamp_with_conv='
            f"{options.get('resamp_with_conv', True)}: the reference network runs with fir=True and "
            "resamp_with_conv=False only."
        )
    config = {ours: options.get(name, default) for name, (ours, default) in _GENERATOR_OPTIONS.items()}
    config["use_tanh"] = not config["use_tanh"]  # the reference option is `not_use_tanh`
    if not fir:
        config["fir_taps"] = None
    return config


def ddgan_generator_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """
    The reference's options for our arguments, the inverse of what [`convert_ddgan_generator`] does.

    Args:
        config (`Mapping[str, Any]`): Config of a [`NCSNppGenerator`].

    Returns:
        `dict[str, Any]`: options by their names, without `fourier_scale`.
    """
    options = {name: config[ours] for name, (ours, _) in _GENERATOR_OPTIONS.items() if ours in config}
    options["not_use_tanh"] = not options["not_use_tanh"]
    options |= {"fir": config["fir_taps"] is not None, "resamp_with_conv": config["block_type"] != "ddpm"}
    if config["fir_taps"] is None:
        del options["fir_kernel"]
    return options


def _unused_generator_keys(generator: NCSNppGenerator) -> set[str]:
    """Without time conditioning the reference still has the time layers of residual blocks."""
    if generator.time_embedding is not None:
        return set()
    return {
        f"all_modules.{i}.Dense_0.{suffix}"
        for i, name in enumerate(ddgan_generator_modules(generator))
        if isinstance(generator.get_submodule(name), ResidualBlock)
        for suffix in ("weight", "bias")
    }


def convert_ddgan_discriminator(
    state_dict: Mapping[str, Tensor], variant: str = "small", nc: int = 6, ngf: int = 64, t_emb_dim: int = 256
) -> DDGANDiscriminator:
    """
    Builds a discriminator from a reference state dict.

    Args:
        state_dict (`dict[str, torch.Tensor]`): Reference state dict; a `module.` prefix on its keys is taken off.
        variant (`str`, defaults to `"small"`): "small" (CIFAR-10, StackedMNIST) or "large" (256x256).
        nc (`int`, defaults to 6): Channels of the concatenated pair, twice those of one image.
        ngf (`int`, defaults to 64): Unit of the widths.
        t_emb_dim (`int`, defaults to 256): Width of the time embedding.

    Returns:
        [`DDGANDiscriminator`]: the discriminator, in float32.

    Raises:
        ValueError: If an option is out of range, or if keys are missing, unexpected or of another shape than the
            options call for.
    """
    if variant not in _DISCRIMINATOR_VARIANTS:
        raise ValueError(f"`variant` must be one of {tuple(_DISCRIMINATOR_VARIANTS)}, got {variant!r}.")
    if nc % 2:
        raise ValueError(f"`nc` must be the even number of channels of a pair of images, got {nc}.")
    config = {"in_channels": nc // 2, "base_channels": ngf, "time_embed_dim": t_emb_dim}
    return build_and_fill(
        lambda: DDGANDiscriminator(**config, **_DISCRIMINATOR_VARIANTS[variant]),
        lambda discriminator: {"key_map": ddgan_discriminator_key_map(discriminator)},
        state_dict,
    )


def export_ddgan_generator(generator: NCSNppGenerator) -> dict[str, Tensor]:
    """
    Reference state dict of a generator, without class embedding: inverse of `convert_ddgan_generator`.

    The reference has no patches: a generator on patches becomes one whose image channels are the pixels of a patch.
    """
    key_map = ddgan_generator_key_map(generator)
    return export_by_key_map(generator, key_map, transposed=_transposed(key_map))


def export_ddgan_discriminator(discriminator: DDGANDiscriminator) -> dict[str, Tensor]:
    """
    Reference state dict of a discriminator, without class embedding: inverse of `convert_ddgan_discriminator`.

    The reference has no patches: see [`export_ddgan_generator`].
    """
    return export_by_key_map(discriminator, ddgan_discriminator_key_map(discriminator))


def ddgan_generator_key_map(generator: NCSNppGenerator) -> dict[str, str]:
    """
    Reference key -> our key, for every parameter of a generator.

    Reference keys that end in `.W` hold the transpose of our weight.
    """
    key_map = {}
    for i, name in enumerate(ddgan_generator_modules(generator)):
        module = generator.get_submodule(name)
        for key, _ in module.named_parameters():
            key_map[f"all_modules.{i}.{_generator_key(module, key, generator.config.block_type)}"] = f"{name}.{key}"
    for i in range(len(generator.latent_mapping.layers)):
        for suffix in ("weight", "bias"):
            key_map[f"z_transform.{2 * i + 1}.{suffix}"] = f"latent_mapping.layers.{i}.{suffix}"
    return key_map


def ddgan_discriminator_key_map(discriminator: DDGANDiscriminator) -> dict[str, str]:
    """Reference key -> our key, for every parameter of a discriminator."""
    modules = {
        "t_embed.main.0": "time_embedding.linear_1",
        "t_embed.main.2": "time_embedding.linear_2",
        "start_conv": "conv_in",
    }
    for i in range(len(discriminator.blocks)):
        for ours, reference in _DISCRIMINATOR_BLOCK_NAMES.items():
            modules[f"conv{i + 1}.{reference}"] = f"blocks.{i}.{ours}"
    modules |= {"final_conv": "conv_out", "end_linear": "linear_out"}
    return {
        f"{reference}.{key}": f"{ours}.{key}"
        for reference, ours in modules.items()
        for key, _ in discriminator.get_submodule(ours).named_parameters()
    }


def ddgan_generator_modules(generator: NCSNppGenerator) -> list[str]:
    """Names of our modules in the order of the reference's list `all_modules`: entry i is its module i."""
    names = []
    if generator.fourier_embedding is not None:
        names.append("fourier_embedding")
    if generator.time_embedding is not None:
        names += ["time_embedding.linear_1", "time_embedding.linear_2"]
    names.append("conv_in")
    num_resnets = generator.config.layers_per_block
    for i, block in enumerate(generator.down_blocks):
        for j in range(num_resnets):
            names.append(f"down_blocks.{i}.resnets.{j}")
            if block.attentions:
                names.append(f"down_blocks.{i}.attentions.{j}")
        if block.downsampler is not None:
            names.append(f"down_blocks.{i}.downsampler")
        if block.pyramid is not None:
            is_skip = isinstance(block.pyramid, InputSkip)
            names.append(f"down_blocks.{i}.pyramid" if is_skip else f"down_blocks.{i}.pyramid.downsample")
    names += ["mid_block.resnets.0", "mid_block.attention", "mid_block.resnets.1"]
    for i, block in enumerate(generator.up_blocks):
        names += [f"up_blocks.{i}.resnets.{j}" for j in range(num_resnets + 1)]
        if block.attention is not None:
            names.append(f"up_blocks.{i}.attention")
        if block.pyramid is not None:
            names += [f"up_blocks.{i}.pyramid.norm", f"up_blocks.{i}.pyramid.conv"]
        if block.upsampler is not None:
            names.append(f"up_blocks.{i}.upsampler")
    if generator.conv_out is not None:
        names += ["norm_out", "conv_out"]
    return names


def _generator_key(module: nn.Module, key: str, block_type: str) -> str:
    """Reference name of one parameter inside one module of `all_modules`."""
    path, _, suffix = key.rpartition(".")
    if isinstance(module, FourierEmbedding):
        return "W"
    if isinstance(module, ResidualBlock):
        name = _RESIDUAL_NAMES[path]
        if path == "shortcut" and block_type == "ddpm":
            name = "NIN_0"
    elif isinstance(module, AttentionBlock):
        name = _ATTENTION_NAMES[path]
    elif isinstance(module, InputSkip):
        name = "Conv_0"
    elif isinstance(module, ConvDownsample):
        name = "Conv_0" if module.kernel is None else "Conv2d_0"
    else:
        return suffix
    if name.startswith("NIN"):
        suffix = {"weight": "W", "bias": "b"}[suffix]
    return f"{name}.{suffix}"


def _transposed(key_map: Mapping[str, str]) -> set[str]:
    return {key for key in key_map if key.endswith(".W") and "NIN" in key}
