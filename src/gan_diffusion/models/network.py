# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""What all networks share: checks of their configs, and loading that refuses what it cannot load whole."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import torch
from diffusers.models.modeling_utils import ModelMixin
from diffusers.utils import SAFETENSORS_WEIGHTS_NAME
from safetensors import SafetensorError, safe_open
from torch import nn

from ..configs import RAW_ERRORS, CheckedConfig, numbers_in
from ..storage.checksums import verified_part
from ..storage.reading import read_json


# What a config may ask for: several times the largest network of this package. More is taken for a mistake.
MAX_WEIGHTS = 2**30
MAX_TENSORS = 5_000


class Network(ModelMixin, CheckedConfig):
    """
    Base of the networks.

    Every int of a config is at least 1, except those named in `_may_be_zero`. A config from a file is tried without
    memory first, so that no network larger than [`MAX_WEIGHTS`] is built from one. Weights are loaded whole or not at
    all: from safetensors unless `use_safetensors=False` is asked for, equal to their checksums if the folder has any,
    with every tensor of the network, in its shape, and finite.
    """

    _may_be_zero: tuple[str, ...] = ("num_octaves", "num_stddev_channels")

    @classmethod
    def from_config(cls, config: Any = None, return_unused_kwargs: bool = False, **kwargs: Any) -> Any:
        """
        Makes a network with fresh weights from a config, as in diffusers.

        Args:
            config (`dict`): The config.
            return_unused_kwargs (`bool`, defaults to `False`): Whether to return a pair with the kwargs not used.
            kwargs (`Any`): Values that replace those of the config.

        Returns:
            The network.

        Raises:
            TypeError: If a value has the wrong type.
            ValueError: If the config has a name that the network does not have or a value that it cannot be built
                from, or asks for more than [`MAX_WEIGHTS`] weights.
        """
        with torch.device("meta"), _limited_size(cls.__name__):
            super().from_config(config, **kwargs)
        return super().from_config(config, return_unused_kwargs, **kwargs)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike | None, **kwargs: Any) -> Any:
        """
        Loads a network, as in diffusers, with the checks that the class describes.

        Args:
            pretrained_model_name_or_path (`str` or `os.PathLike`): Folder or Hub name.
            kwargs (`Any`): Arguments of diffusers' `from_pretrained`.

        Returns:
            The network, in evaluation mode, or with `output_loading_info=True` a pair of it and a dictionary.

        Raises:
            OSError: If a file is missing or cannot be read.
            TypeError: If a value of the config has the wrong type.
            ValueError: If a file is damaged, or config and weights do not fit together.
        """
        wants_info = kwargs.pop("output_loading_info", False)
        if kwargs.get("use_safetensors") is None:
            kwargs["use_safetensors"] = True
        if pretrained_model_name_or_path is not None and os.path.isdir(pretrained_model_name_or_path):
            folder = verified_part(pretrained_model_name_or_path, kwargs.pop("subfolder", None))
            _check_weights(folder, kwargs.get("variant"))
            pretrained_model_name_or_path = str(folder)
        place = repr(str(pretrained_model_name_or_path))
        try:
            network, info = super().from_pretrained(  # pyright: ignore[reportGeneralTypeIssues] (a pair, as asked)
                pretrained_model_name_or_path, output_loading_info=True, **kwargs
            )
        except (*RAW_ERRORS, SafetensorError, ValueError) as error:
            reason = str(error).partition(". If you want to instead overwrite")[0].rstrip(".")  # It is of no use here.
            raise ValueError(
                f"`pretrained_model_name_or_path` must hold the config and weights of a {cls.__name__}, got {place}, where: "
                f"{reason:.800}."
            ) from error
        wrong = [f"{kind.split('_')[0]} {keys}" for kind, keys in info.items() if keys]
        if wrong:  # Diffusers leaves such tensors as the memory was.
            raise ValueError(
                f"`pretrained_model_name_or_path` must hold exactly the weights of its config, got {place} with "
                f"{'; '.join(wrong):.500}. Take config and weights from the same training."
            )
        check_finite(network, place)
        return (network, info) if wants_info else network

    @wraps(ModelMixin.save_pretrained)  # pipelines look at the signature for what they may pass on
    def save_pretrained(self, save_directory: str | os.PathLike, *args: Any, **kwargs: Any) -> None:
        """
        Saves the network, as in diffusers. Weights have the access rights of any new file.

        Args:
            save_directory (`str` or `os.PathLike`): The folder.
            args (`Any`): Arguments of diffusers' `save_pretrained`.
            kwargs (`Any`): Arguments of diffusers' `save_pretrained`.
        """
        super().save_pretrained(save_directory, *args, **kwargs)
        # safetensors makes its files for their owner alone.
        mode = (Path(save_directory) / "config.json").stat().st_mode
        for file in Path(save_directory).glob("*.safetensors"):
            file.chmod(mode)

    @classmethod
    def _check_value(cls, name: str, value: Any, hint: Any) -> None:
        super()._check_value(name, value, hint)
        least = 0 if name in cls._may_be_zero else 1
        # Floats may be written as ints, and have ranges of their own.
        if "int" in str(hint) and any(number < least for number in numbers_in(value)):
            raise ValueError(f"`{name}` must be at least {least}, got {value}.")


def check_finite(network: nn.Module, place: str) -> None:
    """
    Refuses a network with weights that are no numbers.

    Args:
        network (`nn.Module`): The network.
        place (`str`): Where its weights are from.

    Raises:
        ValueError: If a tensor holds NaN or infinity.
    """
    for name, tensor in network.state_dict().items():
        if tensor.is_meta or not tensor.is_floating_point() or not tensor.numel():
            continue
        if tensor.element_size() == 1:
            tensor = tensor.float()  # torch does not compare numbers of 8 bits
        if not all(bound.isfinite() for bound in torch.aminmax(tensor)):
            raise ValueError(
                f"`{name}` must hold finite numbers, got NaN or infinity in {place}. The training had diverged when the "
                "weights were saved: take those of an earlier step."
            )


def _check_weights(folder: Path, variant: str | None) -> None:
    """Refuses weights of other files than those of the folder, and numbers that diffusers would silently convert."""
    for file in folder.glob("*.index*.json"):
        shards = read_json(file).get("weight_map")
        names = list(shards.values()) if isinstance(shards, dict) else [None]
        if not all(isinstance(name, str) and name == Path(name).name for name in names):
            raise ValueError(
                f"`weight_map` in {str(file)!r} must say in which file of the folder each tensor is, got {shards!r:.80}."
            )
    if not (folder / "config.json").is_file() or "quantization_config" in read_json(folder / "config.json"):
        return
    stem = Path(SAFETENSORS_WEIGHTS_NAME).stem + (f".{variant}" if variant else "")
    for file in filter(Path.is_file, (folder / f"{stem}.safetensors", *folder.glob(f"{stem}-*.safetensors"))):
        try:
            with safe_open(file, "pt") as weights:
                dtypes = {name: weights.get_slice(name).get_dtype() for name in weights.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise OSError(f"{file} is damaged, copy or download it again: {error}.") from error
        wrong = {name: dtype for name, dtype in dtypes.items() if not dtype.startswith(("F", "BF"))}
        if wrong:
            raise ValueError(f"`{file}` must hold floating-point numbers, got {wrong!r:.200}.")


@contextmanager
def _limited_size(name: str) -> Iterator[None]:
    """Stops the building of modules when they have more weights or tensors than a config may ask for."""
    weights = tensors = 0

    def count(module: nn.Module, tensor_name: str, tensor: torch.Tensor | None) -> None:
        nonlocal weights, tensors
        weights += 0 if tensor is None else tensor.numel()
        tensors += 1
        if weights > MAX_WEIGHTS or tensors > MAX_TENSORS:
            raise ValueError(
                f"`config` must ask for at most {MAX_WEIGHTS} weights in {MAX_TENSORS} tensors, got a larger {name}. Check "
                "its widths and numbers of layers."
            )

    hooks = [
        nn.modules.module.register_module_parameter_registration_hook(count),
        nn.modules.module.register_module_buffer_registration_hook(count),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
