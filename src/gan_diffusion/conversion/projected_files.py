# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
The networks of a file of Diffusion-ProjectedGAN: their options, and the frozen network in the discriminator.

They are pickled as plain modules, without the arguments that they were made with. What the shapes of the weights do
not decide is in their attributes.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from diffusers import ModelMixin
from torch import Tensor

from ..models.discriminators.projected import ProjectedDiscriminator
from .choices import Choice, choose, with_defaults
from .inert import Instance
from .inference import infer_fastgan_generator, infer_projected_discriminator
from .projected import FROZEN, convert_fastgan_generator, convert_projected_discriminator


# Options that the weights do not decide, or not always, and the reference's values for those that have one.
FASTGAN_OPTIONS = ("img_resolution", "c_dim")
_DISCRIMINATOR_DEFAULTS = {"interp224": True, "d_pos": "first"}
PROJECTED_OPTIONS = tuple(_DISCRIMINATOR_DEFAULTS)
_ATTRIBUTES = ("z_dim", "c_dim", "img_resolution", "img_channels", "interp224")
_FEATURE_ATTRIBUTES = ("cout", "expand", "proj_type", "d_pos")
_PROCESS_ATTRIBUTES = ("beta_start", "beta_end", "t_min", "t_max", "p")
# The side that images are enlarged to.
_INPUT_SIZE = 224
# Repeats of the blocks of each stage of EfficientNet-Lite0, and where the reference keeps the stage.
_STAGES = (
    (1, "layer0.3"), (2, "layer0.4"), (2, "layer1.0"), (3, "layer2.0"), (3, "layer2.1"), (4, "layer3.0"), (1, "layer3.1"),
)  # fmt: skip
# Layers of a block there -> ours. The first block does not expand.
_FIRST_BLOCK = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
_BLOCK = {
    "conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv", "bn2": "_bn1", "conv_pwl": "_project_conv",
    "bn3": "_bn2",
}  # fmt: skip


def is_fastgan(state_dict: Mapping[str, Tensor] | None) -> bool:
    """Whether a reference state dict is one of a FastGAN generator."""
    return state_dict is not None and "synthesis.init.init.0.weight_orig" in state_dict


def is_projected(state_dict: Mapping[str, Tensor] | None) -> bool:
    """Whether a reference state dict is one of a projected discriminator."""
    return state_dict is not None and any(key.startswith("discriminator.mini_discs.") for key in state_dict)


def recorded_options(network: Instance) -> dict[str, Any]:
    """
    Options of a network in its attributes, under the names of the reference.

    Args:
        network ([`Instance`]): A FastGAN generator or a projected discriminator.

    Returns:
        `dict[str, Any]`: texts, numbers and truth values.
    """
    features = _part(network, "feature_network")
    return _plain(network, _ATTRIBUTES) | ({} if features is None else _plain(features, _FEATURE_ATTRIBUTES))


def recorded_process(network: Instance | None) -> dict[str, Any] | None:
    """
    Options of the noise on features.

    Its schedule is linear, whatever its attribute says, and its standard deviation is that of the features.

    Args:
        network ([`Instance`], *optional*): The discriminator.

    Returns:
        `dict[str, Any]`, *optional*: under the names of the reference's noise on images; `None` without such noise.
    """
    features = None if network is None else _part(network, "feature_network")
    diffusion = None if features is None else _part(features, "diffusion")
    if features is None or diffusion is None:
        return None
    options = _plain(diffusion, _PROCESS_ATTRIBUTES)
    noise = _plain(features, ("noise_sd",))
    return options | ({"noise_std": noise["noise_sd"]} if noise else {})


def build_fastgan(
    state_dict: Mapping[str, Tensor], sources: Mapping[str, Mapping[str, Any]], default_origin: str
) -> tuple[ModelMixin, dict[str, Choice]]:
    """
    Makes a FastGAN generator.

    Args:
        state_dict (`dict[str, torch.Tensor]`): Reference state dict.
        sources (`Mapping[str, Mapping[str, Any]]`): See [`choose`].
        default_origin (`str`): What to call the reference's own values.

    Returns:
        `tuple[ModelMixin, dict[str, Choice]]`: the generator, and its options.

    Raises:
        ValueError: If the weights are of no such network, or an option contradicts them or is missing.
    """
    decided = infer_fastgan_generator(state_dict)
    sizes = decided.pop("img_resolutions")
    if len(sizes) == 1:
        decided["img_resolution"] = sizes[0]
    _check_size(sizes, sources)
    choices = choose([*decided, *FASTGAN_OPTIONS], sources, decided)
    missing = [name for name in FASTGAN_OPTIONS if name not in choices and (name != "c_dim" or decided["cond"])]
    if missing:
        raise ValueError(
            f"`--options` must say {' and '.join(f'{name}=...' for name in missing)}, which weights do not show, got no such "
            f"option. img_resolution is one of {sizes} here, c_dim the number of classes."
        )
    choices = with_defaults(choices, {"c_dim": 0}, default_origin)
    values = {name: choice.value for name, choice in choices.items()}
    lite = values.pop("lite")
    _check_whole(values["c_dim"])
    return convert_fastgan_generator(state_dict, **values, synthesis_kwargs={"lite": lite}), choices


def fastgan_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """Options of the reference for a config of ours."""
    classes = config["num_class_embeds"]
    return {
        "z_dim": config["latent_dim"], "img_resolution": config["sample_size"], "img_channels": config["out_channels"],
        "ngf": config["base_channels"], "lite": config["lite"], "cond": classes is not None,
    } | ({} if classes is None else {"c_dim": classes})  # fmt: skip


def build_projected(
    state_dict: Mapping[str, Tensor],
    generator: Mapping[str, Choice],
    sources: Mapping[str, Mapping[str, Any]],
    default_origin: str,
) -> tuple[ModelMixin | None, dict[str, Choice], str]:
    """
    Makes a projected discriminator, unless ours would be another one than that of the file.

    Args:
        state_dict (`dict[str, torch.Tensor]`): Reference state dict.
        generator (`Mapping[str, Choice]`): Options of the generator.
        sources (`Mapping[str, Mapping[str, Any]]`): See [`choose`].
        default_origin (`str`): What to call the reference's own values.

    Returns:
        `tuple[ModelMixin | None, dict[str, Choice], str]`: the discriminator, or `None` if it is left out; its
        options; and what is to say about it.

    Raises:
        ValueError: If the weights are of no such network, or an option contradicts them.
    """
    decided = infer_projected_discriminator(state_dict)
    choices = choose([*decided, *PROJECTED_OPTIONS], sources, decided, "D.")
    choices = with_defaults(choices, _DISCRIMINATOR_DEFAULTS, default_origin)
    values = {name: choice.value for name, choice in choices.items()}
    interp224, position = values.pop("interp224"), values.pop("d_pos")
    if not isinstance(interp224, bool):
        raise ValueError(f"`D.interp224` must be true or false, got {interp224!r:.80}.")
    size, problem = generator["img_resolution"].value, None
    if position != "first":
        problem = f"its noise comes after the random projections (d_pos={ascii(position)[:20]}), and ours before them"
    elif interp224 and size > _INPUT_SIZE:
        problem = f"it shrinks images of {size} pixels to {_INPUT_SIZE} (interp224), which ours does not"
    else:
        discriminator = convert_projected_discriminator(
            state_dict, c_dim=generator["c_dim"].value, interp224=interp224, backbone_kwargs=values
        )
        problem, note = _compare_frozen(state_dict, discriminator)
        if problem is None:
            return discriminator, choices, note
    return None, {}, f"The discriminator is left out: {problem}."


def projected_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """Options of the reference for a config of ours."""
    return {
        "cout": config["projection_channels"], "separable": config["separable"], "patch": config["patch"],
        "cond": config["num_class_embeds"] is not None,
    }  # fmt: skip


def frozen_key_map() -> dict[str, str]:
    """Reference name -> name in [`EfficientNetLite0`], for each layer with weights that the reference keeps."""
    key_map, number = {"layer0.0": "_conv_stem", "layer0.1": "_bn0"}, 0
    for repeats, place in _STAGES:
        for repeat in range(repeats):
            layers = _FIRST_BLOCK if number == 0 else _BLOCK
            key_map |= {f"{place}.{repeat}.{name}": f"_blocks.{number}.{ours}" for name, ours in layers.items()}
            number += 1
    return key_map


def _compare_frozen(state_dict: Mapping[str, Tensor], discriminator: ProjectedDiscriminator) -> tuple[str | None, str]:
    """
    Compares the frozen network of a file with ours, whose checksum the config then has.

    Returns what is wrong with it, if anything, and what is to say otherwise.
    """
    try:
        ours = discriminator.load_features()[0].state_dict()
    except ValueError as error:
        return None, (
            "The frozen network in the file is left out, and was not compared with the one that the discriminator will load "
            f"by name: {error}"
        )
    key_map = frozen_key_map()
    found = {
        key.removeprefix(FROZEN): value
        for key, value in state_dict.items()
        if key.startswith(FROZEN) and not key.endswith("num_batches_tracked")
    }
    expected = {
        f"{place}.{key.removeprefix(name + '.')}": value
        for place, name in key_map.items()
        for key, value in ours.items()
        if key.startswith(f"{name}.") and not key.endswith("num_batches_tracked")
    }
    if {key: value.shape for key, value in found.items()} != {key: value.shape for key, value in expected.items()}:
        return "its frozen network is not EfficientNet-Lite0", ""
    differing = [key for key, value in found.items() if not torch.equal(value.to(expected[key].dtype), expected[key])]
    if differing:
        largest = max((found[key].float() - expected[key]).abs().max().item() for key in differing)
        return (
            f"its frozen network has other weights than the one that ours would load ({len(differing)} of {len(found)} tensors "
            f"differ, by up to {largest:.3g})"
        ), ""
    return None, "The frozen network in the file has the weights of the one that the discriminator loads by name."


def _check_size(sizes: tuple[int, ...], sources: Mapping[str, Mapping[str, Any]]) -> None:
    for source, values in sources.items():
        if "img_resolution" in values and values["img_resolution"] not in sizes:
            raise ValueError(
                f"`img_resolution` must be one of {sizes}, as the shapes of the weights say, got "
                f"{values['img_resolution']!r:.80} from {source}."
            )


def _check_whole(classes: Any) -> None:
    if not isinstance(classes, int) or isinstance(classes, bool) or not 0 <= classes <= 10**6:
        raise ValueError(f"`c_dim` must be a number of classes, got {classes!r:.80}.")


def _part(module: Instance, name: str) -> Instance | None:
    """A module in a module."""
    modules = module.state.get("_modules")
    found = modules.get(name) if isinstance(modules, dict) else None
    return found if isinstance(found, Instance) else None


def _plain(module: Instance, names: tuple[str, ...]) -> dict[str, Any]:
    found = {name: module.state.get(name) for name in names}
    return {
        name: value
        for name, value in found.items()
        if isinstance(value, (bool, int, float)) or (isinstance(value, str) and re.fullmatch(r"\w{1,20}", value))
    }
