# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Reading the reference implementations' files without executing anything in them."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from torch import Tensor

from ..models.network import MAX_TENSORS
from .archives import Content, opened_checkpoint
from .ddgan import GENERATOR_OPTIONS
from .inert import Instance, Refused, StoredTensor
from .projected_files import is_fastgan, is_projected, recorded_options, recorded_process


# Of one network. The largest published one has 106 million weights.
MAX_NETWORK_BYTES = 2**29
_MAX_DEPTH = 32
_PROCESS_OPTIONS = ("num_timesteps", "beta_min", "beta_max", "use_geometric")
_DIFFUSION_OPTIONS = ("beta_schedule", "beta_start", "beta_end", "t_min", "t_max", "noise_std", "ts_dist", "p")


@dataclass
class OfficialCheckpoint:
    """
    What a file of a reference implementation holds.

    Args:
        method (`str`): "ddgan", or "diffusion-gan" for Diffusion-GAN's StyleGAN2, InsGen and ProjectedGAN.
        generator (`dict[str, torch.Tensor]`): Reference state dict of the generator, without `module.` prefix.
        discriminator (`dict[str, torch.Tensor]`, *optional*): The same of the discriminator; `None` without one.
        generator_options (`dict`, *optional*):
            Options for `convert_ddgan_generator` or `convert_stylegan2_generator`, or the attributes of a FastGAN
            generator; `None` in a file that records none.
        discriminator_options (`dict`, *optional*):
            Options for `convert_stylegan2_discriminator`, with the `t_dim` of the reference, or the attributes of a
            projected discriminator.
        process_options (`dict`, *optional*): Options of the diffusion, under the names of the reference.
        options (`dict`, *optional*): All options of a run of DDGAN.
        progress (`dict[str, int]`, defaults to `{}`): Numbers of epochs, steps or images, as the file names them.
        unused (`list[str]`, defaults to `[]`): What else the file has.
    """

    method: str
    generator: dict[str, Tensor]
    discriminator: dict[str, Tensor] | None = None
    generator_options: dict | None = None
    discriminator_options: dict | None = None
    process_options: dict | None = None
    options: dict | None = None
    progress: dict[str, int] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)


def load_official_checkpoint(path: str | os.PathLike, weights: str = "ema") -> OfficialCheckpoint:
    """
    Reads `netG_<epoch>.pth` or `content.pth` of DDGAN, or a `.pkl` of Diffusion-GAN.

    Nothing that the file names is looked up, and nothing of it is executed. The sources of modules that a `.pkl` holds
    are not looked at.

    Args:
        path (`str` or `os.PathLike`): The file.
        weights (`str`, defaults to `"ema"`):
            "ema" or "raw". A `content.pth` has both: raw weights, and averages inside the optimizer state, kept for
            every parameter that is trained. A `.pkl` has both. A `netG_*.pth` has averages only.

    Returns:
        [`OfficialCheckpoint`]: what the file holds.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, holds anything else, or does not have the weights asked for.
    """
    if weights not in ("ema", "raw"):
        raise ValueError(f'`weights` must be "ema" or "raw", got {weights!r}.')
    with opened_checkpoint(path) as content:
        value = content.value
        if isinstance(value, dict) and any(isinstance(value.get(name), Instance) for name in ("G_ema", "G")):
            return _of_pickle(content, weights, path)
        if _is_state_dict(value):
            if weights == "raw":
                raise ValueError(f'`weights` must be "ema" for {path}, which holds averaged weights only, got "raw".')
            state_dict = _read(value, content.size)
            is_stylegan2 = any(key.startswith("synthesis.") for key in state_dict)
            return OfficialCheckpoint("diffusion-gan" if is_stylegan2 else "ddgan", state_dict)
        if not isinstance(value, dict) or not _is_state_dict(value.get("netG_dict")):
            raise ValueError(
                "`path` must hold a state dict, a training state with netG_dict, or networks named G_ema or G, got "
                f"{path}, which holds none of them."
            )
        return _of_training_state(content, weights, path)


def _of_training_state(content: Content, weights: str, path: str | os.PathLike) -> OfficialCheckpoint:
    """A `content.pth` of DDGAN."""
    value = content.value
    generator = value["netG_dict"]
    if weights == "ema":
        generator = _averaged(generator, value.get("optimizerG"), path)
    discriminator = value.get("netD_dict")
    args = value.get("args")
    options = plain_options(args.state, 1) if isinstance(args, Instance) and args.kind == "Namespace" else None
    known = {"netG_dict", "netD_dict", "args", "epoch", "global_step"}
    return OfficialCheckpoint(
        "ddgan",
        generator=_read(generator, content.size),
        discriminator=_read(discriminator, content.size) if _is_state_dict(discriminator) else None,
        generator_options=_chosen(options, sorted(GENERATOR_OPTIONS)),
        process_options=_chosen(options, _PROCESS_OPTIONS),
        options=options,
        progress={name: value[name] for name in ("epoch", "global_step") if isinstance(value.get(name), int)},
        unused=sorted(str(name) for name in value.keys() - known),
    )


def _of_pickle(content: Content, weights: str, path: str | os.PathLike) -> OfficialCheckpoint:
    """A pickle of Diffusion-GAN."""
    value, name = content.value, "G_ema" if weights == "ema" else "G"
    networks = {key: value[key] for key in (name, "D") if isinstance(value.get(key), Instance)}
    if name not in networks:
        raise ValueError(
            f'`weights` must be "{"raw" if weights == "ema" else "ema"}" for {path}, which holds no {name}, got "{weights}".'
        )
    state_dicts = {key: _read(dict(_module_tensors(network)), content.size) for key, network in networks.items()}
    recorded = {key: _recorded(network, state_dicts[key]) for key, network in networks.items()}
    # InsGen's diffusion has the name that the augmentation has in plain StyleGAN2-ADA.
    diffusion = value.get("diffusion", value.get("augment_pipe"))
    is_known = isinstance(diffusion, Instance) and "ts_dist" in diffusion.state
    process = plain_options(diffusion.state, 1) if is_known else recorded_process(networks.get("D"))
    progress = value.get("progress")
    images = progress.get("cur_nimg") if isinstance(progress, dict) else None
    is_count = isinstance(images, StoredTensor) and images.count == 1 and not images.storage.dtype.is_floating_point
    used = {*networks, "progress", *(["diffusion", "augment_pipe"] if is_known else [])}
    return OfficialCheckpoint(
        "diffusion-gan",
        generator=state_dicts[name],
        discriminator=state_dicts.get("D"),
        generator_options=recorded[name],
        discriminator_options=recorded.get("D"),
        process_options=_chosen(process, _DIFFUSION_OPTIONS),
        progress={"cur_nimg": int(images.tensor())} if is_count and images is not None else {},
        unused=sorted(str(key) for key in value.keys() - used),
    )


def _recorded(network: Instance, state_dict: Mapping[str, Tensor]) -> dict | None:
    """Options of a network: the arguments that it was made with, or the attributes of one that does not keep them."""
    if is_fastgan(state_dict) or is_projected(state_dict):
        return recorded_options(network)
    return plain_options(network.state.get("_init_kwargs"))


def _module_tensors(module: Instance) -> Iterator[tuple[str, StoredTensor]]:
    """The entries of the state dict of a module, without the buffers that are not saved in one."""
    waiting, count = [("", module)], 0
    while waiting:
        prefix, module = waiting.pop()
        count += 1
        if count > MAX_TENSORS or prefix.count(".") > _MAX_DEPTH:
            raise Refused(f"it has a network of more than {MAX_TENSORS} modules or {_MAX_DEPTH} levels of them")
        passing = module.state.get("_non_persistent_buffers_set")
        for group in ("_parameters", "_buffers", "_modules"):
            entries = module.state.get(group, {})
            if not isinstance(entries, dict) or not all(isinstance(name, str) for name in entries):
                raise Refused(f"it has a module whose {group} are no dictionary")
            for name, entry in entries.items():
                if isinstance(entry, Instance) and group == "_modules":
                    waiting.append((f"{prefix}{name}.", entry))
                elif isinstance(entry, StoredTensor) and group != "_modules":
                    if group == "_parameters" or not isinstance(passing, set) or name not in passing:
                        yield prefix + name, entry
                elif entry is not None:
                    raise Refused(f"it has a module whose {group} are of another kind")


def _averaged(generator: dict[str, StoredTensor], optimizer: object, path: str | os.PathLike) -> dict:
    """Replaces each weight by its average; the optimizer numbers parameters in the order of the state dict."""
    state = optimizer.get("state") if isinstance(optimizer, dict) else None
    entries = state.items() if isinstance(state, dict) else ()
    averages = {i: entry["ema"] for i, entry in entries if isinstance(entry, dict) and "ema" in entry}
    if not averages:
        raise ValueError(f'`weights` must be "raw" for {path}, which holds no averaged weights, got "ema".')
    averaged = dict(generator)
    for i, key in enumerate(generator):
        if i in averages:
            if not isinstance(averages[i], StoredTensor) or averages[i].shape != generator[key].shape:
                raise ValueError(
                    f"`path` must hold an average of shape {generator[key].shape} for {key.removeprefix('module.')!a}, got "
                    f"{getattr(averages[i], 'shape', 'something else')} in {path}."
                )
            averaged[key] = averages[i]
    return averaged


def _is_state_dict(value: object) -> TypeGuard[dict[str, StoredTensor]]:
    if not isinstance(value, dict) or not value:
        return False
    return all(isinstance(key, str) and isinstance(entry, StoredTensor) for key, entry in value.items())


def _read(state_dict: Mapping[str, StoredTensor], file_size: int) -> dict[str, Tensor]:
    """Reads the tensors. Together they are no larger than the file, so that none is there a thousand times."""
    if len(state_dict) > MAX_TENSORS:
        raise Refused(f"it has a network of {len(state_dict)} tensors")
    total = sum(entry.num_bytes for entry in state_dict.values())
    if total > min(file_size, MAX_NETWORK_BYTES):
        raise Refused(
            f"it has a network of {total} bytes, in a file of {file_size} and with {MAX_NETWORK_BYTES} allowed"
        )
    return {key.removeprefix("module."): entry.tensor() for key, entry in state_dict.items()}


def plain_options(value: Any, depth: int = 0) -> dict[str, Any] | None:
    """
    The options in a dictionary of a file.

    Args:
        value (`Any`): The dictionary. What is none gives `None`.
        depth (`int`, defaults to 0): How many dictionaries it is in.

    Returns:
        `dict[str, Any]`, *optional*: texts, numbers, truth values, lists of them, and one more level of dictionaries.
        Anything else is left out.
    """
    if not isinstance(value, dict):
        return None
    options = {}
    for key, entry in value.items():
        if isinstance(entry, dict) and depth == 0:
            options[key] = plain_options(entry, 1)
        elif _is_plain(entry) or (
            isinstance(entry, (list, tuple)) and len(entry) < 100 and all(map(_is_plain, entry))
        ):
            options[key] = entry
    return {key: entry for key, entry in options.items() if isinstance(key, str)}


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float)) or (isinstance(value, str) and len(value) < 1000)


def _chosen(options: dict | None, names: Any) -> dict | None:
    return options and {name: options[name] for name in names if name in options}
