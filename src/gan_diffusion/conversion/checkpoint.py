# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Reading the reference's training files without executing anything in them."""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import torch
from torch import Tensor

from .ddgan import GENERATOR_OPTIONS


@dataclass
class OfficialCheckpoint:
    """
    What a file of the reference implementation holds.

    Args:
        generator (`dict[str, torch.Tensor]`): Reference state dict of the generator, without `module.` prefix.
        discriminator (`dict[str, torch.Tensor]`, *optional*):
            The same of the discriminator; `None` in a `netG_*.pth` file.
        generator_options (`dict`, *optional*):
            Options for `convert_ddgan_generator`; `None` in a `netG_*.pth` file, which does not record any.
        options (`dict`, *optional*): All options of the run; `None` in a `netG_*.pth` file.
        epoch (`int`, *optional*): Next epoch of the run; `None` in a `netG_*.pth` file.
        global_step (`int`, *optional*): Number of iterations done; `None` in a `netG_*.pth` file.
    """

    generator: dict[str, Tensor]
    discriminator: dict[str, Tensor] | None = None
    generator_options: dict | None = None
    options: dict | None = None
    epoch: int | None = None
    global_step: int | None = None


def load_official_checkpoint(path: str | os.PathLike, weights: str = "ema") -> OfficialCheckpoint:
    """
    Reads `netG_<epoch>.pth` or `content.pth` of the reference implementation.

    Only tensors, plain containers, numbers, strings and `argparse.Namespace` are unpickled.

    Args:
        path (`str` or `os.PathLike`): The file.
        weights (`str`, defaults to `"ema"`):
            "ema" or "raw". A `content.pth` has both: raw weights, and averages inside the optimizer state, kept for
            every parameter that is trained. A `netG_*.pth` has averages only.

    Returns:
        [`OfficialCheckpoint`]: what the file holds.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, holds anything else, or does not have the weights asked for.
    """
    if weights not in ("ema", "raw"):
        raise ValueError(f'`weights` must be "ema" or "raw", got {weights!r}.')
    if not Path(path).is_file():
        raise FileNotFoundError(f"`path` must be a file, got {path}, which does not exist.")
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files fail in many ways, each with its own exception type
        raise ValueError(
            f"`path` must hold tensors and plain values only, got {path}, which is damaged or holds something else."
        ) from error

    if _is_state_dict(content):
        if weights == "raw":
            raise ValueError(f'`weights` must be "ema" for {path}, which holds averaged weights only, got "raw".')
        return OfficialCheckpoint(generator=_strip_prefix(content))
    generator = content.get("netG_dict") if isinstance(content, dict) else None
    if not _is_state_dict(generator):
        raise ValueError(
            f"`path` must hold a state dict or a training state with netG_dict, got {path}, which holds neither."
        )

    generator = _strip_prefix(generator)
    if weights == "ema":
        generator = _averaged(generator, content.get("optimizerG"), path)
    discriminator = content.get("netD_dict")
    args = content.get("args")
    options = vars(args) if isinstance(args, argparse.Namespace) else None
    return OfficialCheckpoint(
        generator=generator,
        discriminator=_strip_prefix(discriminator) if _is_state_dict(discriminator) else None,
        generator_options=options and {name: options[name] for name in sorted(GENERATOR_OPTIONS) if name in options},
        options=options,
        epoch=content.get("epoch"),
        global_step=content.get("global_step"),
    )


def _averaged(generator: dict[str, Tensor], optimizer: object, path: str | os.PathLike) -> dict[str, Tensor]:
    """Replaces each weight by its average; the optimizer numbers parameters in the order of the state dict."""
    state = optimizer.get("state") if isinstance(optimizer, dict) else None
    averages = {i: entry["ema"] for i, entry in state.items() if "ema" in entry} if isinstance(state, dict) else {}
    if not averages:
        raise ValueError(f'`weights` must be "raw" for {path}, which holds no averaged weights, got "ema".')
    averaged = dict(generator)
    for i, key in enumerate(generator):
        if i in averages:
            if averages[i].shape != generator[key].shape:
                raise ValueError(
                    f"`path` must hold an average of shape {tuple(generator[key].shape)} for {key}, got "
                    f"{tuple(averages[i].shape)} in {path}."
                )
            averaged[key] = averages[i]
    return averaged


def _is_state_dict(value: object) -> TypeGuard[dict[str, Tensor]]:
    return isinstance(value, dict) and bool(value) and all(isinstance(entry, Tensor) for entry in value.values())


def _strip_prefix(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix("module."): value for key, value in state_dict.items()}
