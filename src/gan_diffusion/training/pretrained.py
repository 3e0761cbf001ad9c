# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Starting from the networks of a saved model, for other data or classes, and other sizes where that is possible."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline, ModelMixin
from huggingface_hub import file_exists
from torch import Tensor

from ..models.layers.equalized import EqualizedConv2d, EqualizedLinear
from ..models.layers.pyramid import pyramid_channels


# What may differ from the saved network. The tensors that depend on it begin anew.
_MAY_DIFFER = (
    "attention_resolutions",
    "in_channels",
    "num_class_embeds",
    "out_channels",
    "sample_size",
    "timestep_embed_dim",
    "timestep_embedding",
)


@dataclass
class Transfer:
    """
    What became of each tensor of a network.

    Args:
        taken (`list[str]`, defaults to `[]`): Tensors with the saved values.
        new (`list[str]`, defaults to `[]`): Tensors with fresh values.
        mixed (`list[str]`, defaults to `[]`): Tensors with saved values for what the saved network knows, such as
            classes of the same name, and fresh ones for the rest.
        unused (`list[str]`, defaults to `[]`): Tensors of the saved network that have no place in the new one.
        changed (`list[str]`, defaults to `[]`): Config values that differ and change how the same weights work.
    """

    taken: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)

    def lines(self, part: str) -> list[str]:
        """The account for people, with every name except for those of the tensors taken."""
        names = {"in part": self.mixed, "begin anew": self.new, "not used": self.unused, "config": self.changed}
        return [
            f"  {part}: {len(self.taken)} tensors taken",
            *(f"  {part}, {what}: {', '.join(values)}" for what, values in names.items() if values),
        ]


def load_pretrained(
    pretrained: str, networks: Mapping[str, ModelMixin], class_names: Sequence[str] | None = None
) -> tuple[dict[str, Any], list[str]]:
    """
    Fills freshly initialised networks from a saved model.

    Args:
        pretrained (`str`): Folder or Hub name, as `save_repository` writes it.
        networks (`Mapping[str, ModelMixin]`):
            Generator and discriminator, changed in place. A saved model without discriminator leaves this one fresh.
        class_names (`Sequence[str]`, *optional*): Names of the classes of the new data.

    Returns:
        `tuple[dict[str, Any], list[str]]`: the account for the record of the run, and the same for people.

    Raises:
        ValueError: If there is no such model, it is of another kind, or its networks do not fit.
    """
    try:
        index = DiffusionPipeline.load_config(pretrained)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"`pretrained` must be the folder or the Hub name of a saved pipeline, got {pretrained!r}: {error}"
        ) from error
    saved_names = {name: int(number) for number, name in (index.get("id2label") or {}).items()}
    digest, account, lines = hashlib.sha256(), {}, [f"Fine-tuning from {pretrained}:"]
    for part, network in networks.items():
        if part == "discriminator" and not _has_discriminator(pretrained):
            transfer = Transfer(new=list(network.state_dict()))
        else:
            source = _load(pretrained, part, network)
            for name, value in source.state_dict().items():
                digest.update(name.encode() + value.float().numpy().tobytes())
            transfer = transfer_weights(source, network, saved_names, class_names)
        account[part] = {
            "taken": len(transfer.taken), "in_part": transfer.mixed, "new": transfer.new, "unused": transfer.unused
        }  # fmt: skip
        lines += transfer.lines(part)
    hub_name = None if Path(pretrained).exists() else pretrained
    return {"name": hub_name, "identity": digest.hexdigest(), **account}, lines


def _has_discriminator(pretrained: str) -> bool:
    if Path(pretrained).is_dir():
        return (Path(pretrained) / "discriminator" / "config.json").is_file()
    return file_exists(pretrained, "discriminator/config.json")


def _load(pretrained: str, part: str, network: ModelMixin) -> ModelMixin:
    """A network of the saved model, in float32, if it is of the same class."""
    kind: Any = type(network)
    try:
        config = kind.load_config(pretrained, subfolder=part)
        name = config.get("_class_name") if isinstance(config, dict) else None
        if name == kind.__name__:
            source, info = kind.from_pretrained(pretrained, subfolder=part, output_loading_info=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(f"`pretrained` must hold a readable {part}, got {pretrained!r}: {error}") from error
    if name != kind.__name__:
        raise ValueError(
            f"`pretrained` must hold a {kind.__name__} as the {part}, got {pretrained!r} with a {name}. Take a recipe "
            "with the same networks."
        )
    wrong = [name for names in info.values() for name in names]
    # A missing tensor has no values.
    wrong = wrong or [name for name, value in source.state_dict().items() if not value.isfinite().all()]
    if wrong:
        raise ValueError(
            f"`pretrained` must hold every tensor of the {part} with finite numbers, got {pretrained!r} with missing, "
            f"unknown or other ones: {wrong[:5]}."
        )
    return source.to(torch.float32)


@torch.no_grad()
def transfer_weights(
    source: ModelMixin,
    target: ModelMixin,
    source_classes: Mapping[str, int] | None = None,
    target_classes: Sequence[str] | None = None,
) -> Transfer:
    """
    Copies what fits from one network to another of the same class.

    Layers of StyleGAN2 are matched by the resolution that they work at, classes by their names. A layer with equalised
    learning rate keeps its function when the number of its inputs changes.

    Args:
        source (`ModelMixin`): The trained network.
        target (`ModelMixin`): The fresh network, changed in place.
        source_classes (`Mapping[str, int]`, *optional*): Numbers of the classes of `source` by their names.
        target_classes (`Sequence[str]`, *optional*): Names of the classes of `target`.

    Returns:
        [`Transfer`]: what became of each tensor.

    Raises:
        ValueError: If the networks differ in more than classes, sizes and what else a fresh layer can make up for.
    """
    result = Transfer(changed=_check_structure(source, target))
    counts = [network.config.get("num_class_embeds") or 0 for network in (source, target)]
    pairs = [
        (number, source_classes[name])
        for number, name in enumerate(target_classes or ())
        if all(counts) and source_classes and name in source_classes
    ]
    class_axes = _class_axes(target)
    saved = {_place(name, source): (name, value) for name, value in source.state_dict().items()}
    for name, value in target.state_dict().items():
        found = saved.pop(_place(name, target), None)
        if found is None:
            result.new.append(name)
            continue
        old_name, old = found
        old = old * _gain_ratio(source, old_name, target, name)
        if name in class_axes:
            done = _copy_classes(old, value, class_axes[name], counts, pairs)
        elif old.shape == value.shape:
            done = value.numel()
            value.copy_(old)
        elif bool(counts[0]) != bool(counts[1]) and old.ndim == 2 and old.shape[0] == value.shape[0]:
            # The embedded class enters beside the latent, as the last columns of the first layer.
            width = min(old.shape[1], value.shape[1])
            value[:, :width] = old[:, :width]
            done = width * len(value)
        else:
            done = 0
        (result.taken if done == value.numel() else result.mixed if done else result.new).append(name)
    result.unused = [name for name, _ in saved.values()]
    if not result.taken:
        raise ValueError(f"`pretrained` must have tensors in common with the {type(target).__name__}, got none.")
    return result


def _copy_classes(old: Tensor, new: Tensor, axis: int, counts: list[int], pairs: Sequence[tuple[int, int]]) -> int:
    """Copies the slices of classes of the same name, and what follows the classes. Returns how many numbers."""
    old, new = old.movedim(axis, 0), new.movedim(axis, 0)
    for number, old_number in pairs:
        new[number] = old[old_number]
    rest, old_rest = new[counts[1] :], old[counts[0] :]
    if rest.shape == old_rest.shape:
        rest.copy_(old_rest)
    return (len(pairs) + len(rest) * (rest.shape == old_rest.shape)) * new[0].numel()


def _check_structure(source: ModelMixin, target: ModelMixin) -> list[str]:
    """Refuses networks that differ in more than may differ. Returns the config values that no tensor depends on."""
    old, new = (
        {name: list(value) if isinstance(value, tuple) else value for name, value in network.config.items()}
        for network in (source, target)
    )
    different = [
        f"{name} {old.get(name)} there, {new[name]} here"
        for name in sorted(new)
        if not name.startswith("_") and name not in _MAY_DIFFER and old.get(name) != new[name]
    ]
    like_the_source = {name: old[name] for name in _MAY_DIFFER if name in old}
    with torch.device("meta"):
        kind: Any = type(target)
        twin = kind.from_config({**target.config, **like_the_source})
    shapes, old_shapes = ({n: v.shape for n, v in network.state_dict().items()} for network in (twin, source))
    if shapes != old_shapes:
        raise ValueError(
            f"`pretrained` must have networks of the same structure as the recipe's, got a {type(target).__name__} with "
            f"{'; '.join(different)}. Take these values into the recipe."
        )
    levels = [_lowest_size(network) for network in (source, target)]
    if levels[0] != levels[1]:
        raise ValueError(
            f"`resolution` must lead down to the same smallest level as that of the saved {type(target).__name__}, "
            f"{levels[0]}, got {levels[1]}. Take a size that is larger or smaller by a power of two."
        )
    return different


def _is_pyramid(network: ModelMixin) -> bool:
    return {"channel_base", "channel_max", "architecture"} <= network.config.keys() and bool(
        network.config.get("sample_size")
    )


def _level_sizes(network: ModelMixin) -> list[tuple[int, int]]:
    """Sizes of the levels of a network of StyleGAN2, from the lowest up."""
    names = ("sample_size", "channel_base", "channel_max", "architecture", "patch_size")
    return list(pyramid_channels(*(network.config[name] for name in names)))


def _lowest_size(network: ModelMixin) -> tuple[int, int] | None:
    """Size of the smallest level of a network of StyleGAN2."""
    if not _is_pyramid(network):
        return None
    return _level_sizes(network)[0]


def _place(name: str, network: ModelMixin) -> str:
    """Name of a tensor by what it is for: StyleGAN2's discriminator counts levels from the highest, and conditions."""
    if "mapping.embeds" in name:
        name += f" of timestep {network.config.timestep_embedding}"
    if not _is_pyramid(network):
        return name
    sizes = _level_sizes(network)
    return re.sub(r"trunk\.(\w+)\.(\d+)", lambda match: f"trunk.{match[1]}.{sizes[-1 - int(match[2])]}", name)


def _class_axes(network: ModelMixin) -> dict[str, int]:
    """The tensors with one slice per class, and along which axis: those that grow with the number of classes."""
    if "num_class_embeds" not in network.config:
        return {}
    kind: Any = type(network)
    with torch.device("meta"):
        few, more = (kind.from_config({**network.config, "num_class_embeds": count}).state_dict() for count in (2, 3))
    axes = {name: [i for i, n in enumerate(value.shape) if n != more[name].shape[i]] for name, value in few.items()}
    return {name: different[0] for name, different in axes.items() if different}


def _gain_ratio(source: ModelMixin, source_name: str, target: ModelMixin, target_name: str) -> float:
    """By how much an equalised layer scales its stored values more in the source than in the target."""
    old, new = (
        network.get_submodule(name.rpartition(".")[0])
        for network, name in ((source, source_name), (target, target_name))
    )
    attribute = {"weight": "gain", "bias": "bias_gain"}.get(target_name.rpartition(".")[2])
    if attribute is None or not isinstance(new, EqualizedLinear | EqualizedConv2d):
        return 1.0
    return getattr(old, attribute) / getattr(new, attribute)
