# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The options of a reference implementation's network, as far as the keys and shapes of its weights decide them."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor


# Of a generator of DDGAN; published ones have less than 60.
_MAX_MODULES = 300
# Of one layer of a projected GAN, far above the published ones. Empty tensors can have any shape.
_MAX_WIDTH = 2**15
# Channels of the last level of FastGAN by the size of its images, in units of its width.
_FASTGAN_WIDTHS = {32: 2, 64: 2, 128: 1, 256: 0.5, 512: 0.25, 1024: 0.125}
# Times the width, and halved by the gate after it, are the channels at 4x4.
_FASTGAN_START = 32


def infer_ddgan_generator(state_dict: Mapping[str, Tensor]) -> dict[str, Any]:
    """
    Finds the options of a generator of DDGAN, and the levels that have attention.

    Args:
        state_dict (`dict[str, torch.Tensor]`): Reference state dict, without `module.` prefix.

    Returns:
        `dict[str, Any]`: options under the names of the reference, and `attn_levels`, a tuple of numbers of levels.
        What the shapes do not decide is not in it.

    Raises:
        ValueError: If it is no such state dict.
    """
    try:
        return _ddgan_generator({key: tuple(value.shape) for key, value in state_dict.items()})
    except (LookupError, ValueError, ZeroDivisionError) as error:
        raise ValueError(
            "`state_dict` must be of DDGAN's generator, got one in which the modules do not follow each other as there. "
            f"Its keys begin with {_some(state_dict)}."
        ) from error


def _ddgan_generator(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    modules: dict[int, dict[str, tuple[int, ...]]] = {}
    for key, shape in shapes.items():
        if match := re.fullmatch(r"all_modules\.(\d{1,4})\.(.+)", key, re.ASCII):
            modules.setdefault(int(match[1]), {})[match[2]] = shape
    if max(modules) > _MAX_MODULES:
        raise LookupError("more modules than any such network has")
    order = [modules.get(i, {}) for i in range(max(modules) + 1)]
    fourier = "W" in order[0]
    conditional = len(order[int(fourier)]["weight"]) == 2
    first = int(fourier) + 2 * conditional
    conv_in, rest = order[first]["weight"], order[first + 1 :]
    blocks = [module for module in rest if "Conv_1.weight" in module]
    is_ddpm = any("NIN_0.W" in block for block in blocks)
    # Blocks that resample keep their width and have a shortcut all the same; in "ddpm" no block does.
    resampling = [module for module in rest if (not module if is_ddpm else _resamples(module))]
    levels = len(resampling) // 2 + 1
    per_level, remainder = divmod(
        len(blocks) - (0 if is_ddpm else len(resampling)) - levels - 2, 2 * levels
    )  # fmt: skip
    if remainder or per_level < 1 or len(conv_in) != 4:
        raise LookupError("as many blocks as no such network has")
    down = [i for i, module in enumerate(rest) if "Conv_1.weight" in module and (is_ddpm or not _resamples(module))]
    down = down[: levels * per_level]
    widths = [rest[i]["Conv_0.weight"][0] for i in down[::per_level]]
    options = {
        "num_channels": conv_in[1], "num_channels_dae": conv_in[0],
        "ch_mult": tuple(width // conv_in[0] for width in widths), "num_res_blocks": per_level,
        "nz": shapes["z_transform.1.weight"][1], "z_emb_dim": shapes["z_transform.1.weight"][0],
        "n_mlp": sum(re.fullmatch(r"z_transform\.\d+\.weight", key) is not None for key in shapes) - 1,
        "conditional": conditional,
        "attn_levels": tuple(n for n, i in enumerate(down[::per_level]) if "NIN_3.W" in rest[i + 1]),
    }  # fmt: skip
    if is_ddpm:
        options |= {"resblock_type": "ddpm", "fir": True, "resamp_with_conv": False}
    else:
        options["resblock_type"] = "biggan_oneadagn" if "GroupNorm_1.weight" in blocks[0] else "biggan"
    if conditional:
        options["embedding_type"] = "fourier" if fourier else "positional"
    return options | _pyramids(rest, levels)


def _resamples(module: Mapping[str, tuple[int, ...]]) -> bool:
    inputs_and_outputs = module.get("Conv_2.weight", (0, 1))[:2]
    return inputs_and_outputs[0] == inputs_and_outputs[1]


def _pyramids(modules: list[dict[str, tuple[int, ...]]], levels: int) -> dict[str, Any]:
    """How images of lower resolutions come in and go out. With one level there are none, whatever the options say."""
    if levels == 1:
        return {}
    norms = [module for module in modules if len(module.get("weight", ())) == 1]
    options: dict[str, Any] = {"progressive": "output_skip" if len(norms) > 1 else "none", "progressive_input": "none"}
    for i, module in enumerate(modules):
        if "Conv2d_0.weight" in module:
            return options | {"progressive_input": "residual", "fir": True}
        if "Conv_0.weight" in module and "Conv_1.weight" not in module:
            shape = module["Conv_0.weight"]
            if shape[2] == 3:
                return options | {"progressive_input": "residual", "fir": False}
            is_cat = modules[i + 1]["Conv_0.weight"][1] == 2 * shape[0]
            return options | {"progressive_input": "input_skip", "progressive_combine": "cat" if is_cat else "sum"}
    return options


def infer_ddgan_discriminator(state_dict: Mapping[str, Tensor]) -> dict[str, Any]:
    """
    Finds the options of a discriminator of DDGAN, all of them.

    Args:
        state_dict (`dict[str, torch.Tensor]`): Reference state dict, without `module.` prefix.

    Returns:
        `dict[str, Any]`: arguments of [`convert_ddgan_discriminator`].

    Raises:
        ValueError: If it is no such state dict.
    """
    try:
        ngf2, nc = state_dict["start_conv.weight"].shape[:2]
        width = state_dict["t_embed.main.0.weight"].shape[0]
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"`state_dict` must be of DDGAN's discriminator, got one whose keys begin with {_some(state_dict)}."
        ) from error
    variant = "large" if "conv5.conv1.0.weight" in state_dict else "small"
    return {"variant": variant, "nc": nc, "ngf": ngf2 // 2, "t_emb_dim": width}


def infer_stylegan2_generator(state_dict: Mapping[str, Tensor]) -> dict[str, Any]:
    """
    Finds the options of a generator of StyleGAN2.

    Args:
        state_dict (`dict[str, torch.Tensor]`): Reference state dict, without `module.` prefix.

    Returns:
        `dict[str, Any]`: under the names of the reference: `z_dim`, `c_dim`, `w_dim`, `img_resolution`,
        `img_channels`, `num_layers`, `channel_base`, `channel_max`, `architecture`.

    Raises:
        ValueError: If it is no such state dict.
    """
    shapes = {key: tuple(value.shape) for key, value in state_dict.items()}
    try:
        widths = _widths(shapes, r"synthesis\.b(\d{1,5})\.conv1\.weight")
        top, (w_dim,) = max(widths), shapes["mapping.w_avg"]
        c_dim = shapes.get("mapping.embed.weight", (0, 0))[1]
        images = sum(key.endswith(".torgb.weight") for key in shapes)
        residual = any(key.endswith(".skip.weight") for key in shapes)
        return _channels(widths) | {
            "z_dim": shapes["mapping.fc0.weight"][1] - (w_dim if c_dim else 0), "c_dim": c_dim, "w_dim": w_dim,
            "img_resolution": top, "img_channels": shapes[f"synthesis.b{top}.torgb.weight"][0],
            "num_layers": _num_layers(shapes),
            "architecture": "skip" if images > 1 else "resnet" if residual else "orig",
        }  # fmt: skip
    except (LookupError, ValueError) as error:
        raise ValueError(
            f"`state_dict` must be of StyleGAN2's generator, got one whose keys begin with {_some(state_dict)}."
        ) from error


def infer_stylegan2_discriminator(state_dict: Mapping[str, Tensor], c_dim: int) -> dict[str, Any]:
    """
    Finds the options of a discriminator of StyleGAN2.

    Args:
        state_dict (`dict[str, torch.Tensor]`): Reference state dict, without `module.` prefix.
        c_dim (`int`): Number of classes of the generator: the shapes do not tell a class from the timestep.

    Returns:
        `dict[str, Any]`: under the names of the reference: `c_dim`, `t_dim`, `img_resolution`, `img_channels`,
        `num_layers`, `channel_base`, `channel_max`, `architecture`, `mbstd_num_channels`.

    Raises:
        ValueError: If it is no such state dict, or of another number of classes.
    """
    shapes = {key: tuple(value.shape) for key, value in state_dict.items()}
    try:
        widths = _widths(shapes, r"b(\d{1,5})\.conv0\.weight")
        top, (width, inputs) = max(widths), shapes["b4.conv.weight"][:2]
        t_dim = shapes.get("mapping.embed.weight", (0, 0))[1] - c_dim
        if t_dim not in (0, 1):
            raise LookupError("as many inputs as it has classes")
        images = sum(key.endswith("fromrgb.weight") for key in shapes)
        residual = any(key.endswith(".skip.weight") for key in shapes)
        return _channels(widths | {4: width}) | {
            "c_dim": c_dim, "t_dim": t_dim, "img_resolution": top,
            "img_channels": shapes[f"b{top}.fromrgb.weight"][1], "num_layers": _num_layers(shapes),
            "architecture": "resnet" if residual else "skip" if images > 1 else "orig",
            "mbstd_num_channels": inputs - width,
        }  # fmt: skip
    except (LookupError, ValueError) as error:
        raise ValueError(
            f"`state_dict` must be of StyleGAN2's discriminator for {c_dim} classes, got one whose keys begin with "
            f"{_some(state_dict)}."
        ) from error


def infer_fastgan_generator(state_dict: Mapping[str, Tensor]) -> dict[str, Any]:
    """
    Finds the options of a FastGAN generator.

    Args:
        state_dict (`dict[str, torch.Tensor]`): Reference state dict, without `module.` prefix.

    Returns:
        `dict[str, Any]`: under the names of the reference: `z_dim`, `img_channels`, `ngf`, `cond`, `lite`; and
        `img_resolutions`, a tuple of the sizes of images that the shapes allow.

    Raises:
        ValueError: If it is no such state dict.
    """
    shapes = {key: tuple(value.shape) for key, value in state_dict.items()}
    try:
        z_dim, first = shapes["synthesis.init.init.0.weight_orig"][:2]
        channels, last = shapes["synthesis.to_big.weight_orig"][:2]
        ngf = first // _FASTGAN_START
        cond = "synthesis.embed.weight" in shapes
        built = {size: any(key.startswith(f"synthesis.feat_{size}.") for key in shapes) for size in _FASTGAN_WIDTHS}
        # Levels up to 256 are always there.
        sizes = tuple(
            size
            for size, width in _FASTGAN_WIDTHS.items()
            if int(width * ngf) == last and all(built[other] == (size >= other) for other in (512, 1024))
        )
        if not sizes or not all(0 < width <= _MAX_WIDTH for width in (z_dim, channels, ngf)):
            raise LookupError("as many channels as no such network has")
        single = f"synthesis.feat_8.{'conv' if cond else '1'}.weight_orig" in shapes
        second = f"synthesis.feat_8.{'conv2' if cond else '5'}.weight_orig" in shapes
        return {
            "z_dim": z_dim, "img_channels": channels, "ngf": ngf, "cond": cond, "lite": single and not second,
            "img_resolutions": sizes,
        }  # fmt: skip
    except (LookupError, ValueError) as error:
        raise ValueError(
            f"`state_dict` must be of FastGAN's generator, got one whose keys begin with {_some(state_dict)}."
        ) from error


def infer_projected_discriminator(state_dict: Mapping[str, Tensor]) -> dict[str, Any]:
    """
    Finds the options of a projected discriminator that its backbone and heads are made with.

    Args:
        state_dict (`dict[str, torch.Tensor]`): Reference state dict, without `module.` prefix.

    Returns:
        `dict[str, Any]`: under the names of the reference: `cout`, `expand`, `proj_type`, `num_discs`, `cond`,
        `separable`, `patch`.

    Raises:
        ValueError: If it is no such state dict.
    """
    shapes = {key: tuple(value.shape) for key, value in state_dict.items()}
    scratch, head = "feature_network.scratch.layer", "discriminator.mini_discs.0."
    try:
        cout, wider = (shapes[f"{scratch}{level}_ccm.weight"][0] for level in (0, 1))
        if not 0 < cout <= _MAX_WIDTH:
            raise LookupError("as many channels as no such network has")
        found = (re.match(r"discriminator\.mini_discs\.(\d{1,3})\.", key, re.ASCII) for key in shapes)
        heads = {match[1] for match in found if match}
        return {
            "cout": cout, "expand": wider != cout, "proj_type": 2 if f"{scratch}3_csm.out_conv.weight" in shapes else 1,
            "num_discs": len(heads), "cond": f"{head}embed.weight" in shapes,
            "separable": any(key.startswith(head) and ".depthwise." in key for key in shapes),
            "patch": any(key.startswith(f"{head}main.0.main.0.main.") for key in shapes),
        }  # fmt: skip
    except LookupError as error:
        raise ValueError(
            f"`state_dict` must be of a projected discriminator, got one whose keys begin with {_some(state_dict)}."
        ) from error


def _widths(shapes: Mapping[str, tuple[int, ...]], pattern: str) -> dict[int, int]:
    """Widths of the levels by their resolutions."""
    found = ((re.fullmatch(pattern, key, re.ASCII), shape) for key, shape in shapes.items())
    return {int(match[1]): shape[1 if "conv0" in pattern else 0] for match, shape in found if match}


def _channels(widths: Mapping[int, int]) -> dict[str, int]:
    """The smallest numbers that give these widths."""
    top, largest = max(widths), max(widths.values())
    return {"channel_base": widths[top] * top, "channel_max": largest}


def same_widths(options: Mapping[str, Any], inferred: Mapping[str, Any]) -> bool:
    """
    Whether two pairs of numbers give the same widths of StyleGAN2's levels.

    Args:
        options (`Mapping[str, Any]`): With `channel_base` and `channel_max`.
        inferred (`Mapping[str, Any]`): The same, and `img_resolution`.

    Returns:
        `bool`: whether they do.
    """
    pairs: list[Any] = [(entry.get("channel_base"), entry.get("channel_max")) for entry in (options, inferred)]
    if not all(isinstance(number, int) for pair in pairs for number in pair):
        return False
    resolutions = [4 << n for n in range(inferred["img_resolution"].bit_length() - 2)]
    one, two = ([min(base // size, largest) for size in resolutions] for base, largest in pairs)
    return one == two


def _num_layers(shapes: Iterable[str]) -> int:
    return sum(re.fullmatch(r"mapping\.fc\d+\.weight", key, re.ASCII) is not None for key in shapes)


def _some(state_dict: Iterable[str]) -> str:
    return ", ".join(ascii(key)[1:-1][:60] for key in list(state_dict)[:4]) or "none"
