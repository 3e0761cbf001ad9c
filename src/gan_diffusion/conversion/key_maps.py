# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Moving weights between the state dict of a reference implementation and one of our networks, key by key."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn


_Model = TypeVar("_Model", bound=nn.Module)


def build_and_fill(
    build: Callable[[], _Model], tables: Callable[[_Model], dict[str, Any]], state_dict: Mapping[str, Tensor]
) -> _Model:
    """
    Makes a network with the weights of a reference state dict.

    It is made without memory first, so that options that ask for another network than the state dict has never make a
    large one.

    Args:
        build (`Callable`): Makes the network.
        tables (`Callable`): Network -> the arguments of [`check_by_key_map`] that go with it, by their names.
        state_dict (`dict[str, torch.Tensor]`):
            Reference state dict; a `module.` prefix on its keys is taken off.

    Returns:
        `nn.Module`: the network.

    Raises:
        ValueError: If keys are missing, unexpected or of another shape, or a constant has another value.
    """
    state_dict = {key.removeprefix("module."): value for key, value in state_dict.items()}
    with torch.device("meta"):
        empty = build()
    used = tables(empty)
    check_by_key_map(empty, state_dict, **used)
    model = build()
    _fill(model, state_dict, used["key_map"], used.get("transposed", ()))
    return model


def check_by_key_map(
    model: nn.Module,
    state_dict: Mapping[str, Tensor],
    key_map: Mapping[str, str],
    transposed: Collection[str] = (),
    constants: Mapping[str, Tensor] | None = None,
    unused: Collection[str] = (),
) -> None:
    """
    Compares a reference state dict with a network.

    Args:
        model (`nn.Module`): The network.
        state_dict (`dict[str, torch.Tensor]`): Reference state dict, without `module.` prefix.
        key_map (`dict[str, str]`): Reference key -> our key, for every entry of our state dict.
        transposed (`set[str]`, defaults to none): Reference keys that hold the transpose of our weight.
        constants (`dict[str, torch.Tensor]`, *optional*):
            Reference entries that we do not store, because the options determine them.
        unused (`set[str]`, defaults to none): Reference keys that may be there and have no effect.

    Raises:
        ValueError: If keys are missing, unexpected or of another shape, or a constant has another value.
    """
    constants = constants or {}
    ours = model.state_dict()
    expected = {
        key: (ours[our_key].shape[1], ours[our_key].shape[0]) if key in transposed else tuple(ours[our_key].shape)
        for key, our_key in key_map.items()
    }
    expected |= {key: tuple(value.shape) for key, value in constants.items()}
    problems = {
        "missing": sorted(expected.keys() - state_dict.keys()),
        "unexpected": sorted(state_dict.keys() - expected.keys() - set(unused)),
        "of another shape": [
            f"{key} ({tuple(state_dict[key].shape)}, expected {shape})"
            for key, shape in expected.items()
            if key in state_dict and tuple(state_dict[key].shape) != shape
        ],
    }
    if not any(problems.values()):
        problems["of another value"] = [
            key for key, value in constants.items() if not torch.allclose(state_dict[key].to(value), value)
        ]
    if any(problems.values()):
        listing = "; ".join(
            f"{len(keys)} {kind}: {', '.join(keys[:4])}{', ...' if len(keys) > 4 else ''}"
            for kind, keys in problems.items()
            if keys
        )
        raise ValueError(f"`state_dict` must have the keys that the options call for, got {listing}.")


def _fill(
    model: nn.Module, state_dict: Mapping[str, Tensor], key_map: Mapping[str, str], transposed: Collection[str]
) -> None:
    ours = model.state_dict()
    converted = {
        our_key: (state_dict[key].t() if key in transposed else state_dict[key]).reshape(ours[our_key].shape)
        for key, our_key in key_map.items()
    }
    model.load_state_dict(converted)


def export_by_key_map(
    model: nn.Module,
    key_map: Mapping[str, str],
    transposed: Collection[str] = (),
    constants: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Reference state dict of a network, the inverse of `build_and_fill`."""
    if getattr(model, "config", {}).get("last_layer") == "san":
        raise ValueError("`last_layer` must be 'linear' for reference keys, which a SAN has none of, got 'san'.")
    ours = model.state_dict()
    exported = {
        key: ours[our_key].flatten(1).t().contiguous() if key in transposed else ours[our_key].clone()
        for key, our_key in key_map.items()
    }
    return exported | dict(constants or {})
