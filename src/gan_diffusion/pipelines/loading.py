# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Loading and saving of pipelines: diffusers', with files compared with their checksums and only expected classes."""

import os
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import diffusers
from diffusers.models.modeling_utils import ModelMixin
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError
from safetensors import SafetensorError

from ..configs import RAW_ERRORS
from ..registry import MODULE_OF
from ..storage.checksums import CHECKSUMS, verify_checksums, write_checksums
from ..storage.reading import read_json
from ..storage.writing import INDEX, current_folder, finish_replacing


_LIBRARY = __name__.split(".")[0]
# Arguments of `download` that say where a file is.
LOCATION_OPTIONS = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "token")


class CheckedPipeline(DiffusionPipeline):
    """
    A pipeline that is saved with checksums, and loaded only as it was saved.

    Weights are safetensors, unless `use_safetensors=False` is asked for. A folder without checksums loads too.
    """

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any) -> Any:
        """
        Loads a pipeline, as in diffusers.

        Args:
            pretrained_model_name_or_path (`str` or `os.PathLike`): Folder or Hub name.
            kwargs (`Any`): Arguments of diffusers' `from_pretrained`.

        Returns:
            [`DiffusionPipeline`]: The pipeline.

        Raises:
            OSError: If a file is missing or cannot be read.
            TypeError: If a value of a config has the wrong type, or a component does not fit the pipeline.
            ValueError: If a file is not as it was saved, or is damaged, or names a class that may not be loaded.
        """
        if kwargs.get("use_safetensors") is None:
            kwargs["use_safetensors"] = True
        place = str(pretrained_model_name_or_path)
        if os.path.isdir(place):
            place = str(current_folder(place))
            cls._check_folder(Path(place), **kwargs)
        try:
            return super().from_pretrained(place, **kwargs)
        except (*RAW_ERRORS, SafetensorError) as error:
            raise ValueError(
                f"`pretrained_model_name_or_path` must hold a {cls.__name__}, got {place!r}, where: {error!r:.500}."
            ) from error

    @classmethod
    def download(cls, pretrained_model_name: str | os.PathLike, **kwargs: Any) -> str | os.PathLike:
        """
        Downloads a pipeline with its checksums, as in diffusers, and compares them.

        Args:
            pretrained_model_name (`str` or `os.PathLike`): Hub name.
            kwargs (`Any`): Arguments of diffusers' `download`.

        Returns:
            `str` or `os.PathLike`: The folder.

        Raises:
            OSError: If a file is missing or cannot be read.
            ValueError: If a file is not as it was saved, or names a class that may not be loaded.
        """
        folder = Path(super().download(pretrained_model_name, **kwargs))
        location = {name: kwargs[name] for name in LOCATION_OPTIONS if kwargs.get(name) is not None}
        try:
            # The folder of a snapshot has the name of its commit.
            hf_hub_download(str(pretrained_model_name), CHECKSUMS, **{**location, "revision": folder.name})
        except EntryNotFoundError:
            pass  # It was published without.
        cls._check_folder(folder, **kwargs)
        return folder

    def save_pretrained(self, save_directory: str | os.PathLike, *args: Any, **kwargs: Any) -> None:
        """
        Saves the pipeline with checksums, as in diffusers.

        Args:
            save_directory (`str` or `os.PathLike`): The folder.
            args (`Any`): Arguments of diffusers' `save_pretrained`.
            kwargs (`Any`): Arguments of diffusers' `save_pretrained`.
        """
        finish_replacing(Path(save_directory))
        super().save_pretrained(save_directory, *args, **kwargs)

    def save_config(self, save_directory: str | os.PathLike, push_to_hub: bool = False, **kwargs: Any) -> None:
        """
        Saves the index of the pipeline, and the checksums of all that is in the folder then.

        Args:
            save_directory (`str` or `os.PathLike`): The folder.
            push_to_hub (`bool`, defaults to `False`): Whether to publish it.
            kwargs (`Any`): Arguments of diffusers' `save_config`.
        """
        super().save_config(save_directory, push_to_hub, **kwargs)
        write_checksums(save_directory)

    @classmethod
    def _dict_from_json_file(cls, json_file: str | os.PathLike) -> dict[str, Any]:
        return read_json(os.fspath(json_file))

    @classmethod
    def _check_folder(cls, folder: Path, **kwargs: Any) -> None:
        """Refuses an index that is not as it was saved, or asks for other classes than a pipeline may be made of."""
        verify_checksums(folder, INDEX)
        index = cls.load_config(folder)
        expected, optional = cls._get_signature_keys(cls)
        parts = {name: value for name, value in index.items() if name[:1] != "_"}
        _check_names(folder, parts, {*expected}, {*optional})
        missing = {*expected} - {*parts, *kwargs}
        if missing:
            raise ValueError(
                f"`{INDEX}` in {str(folder)!r} must name a {' and a '.join(sorted(missing))}, it does not."
            )
        for name in {*expected} - {*kwargs}:
            if not kwargs.get("trust_remote_code"):
                _check_class(folder, name, parts[name])
            if parts[name][0] != _LIBRARY:  # Our own check their files when they are loaded.
                verify_checksums(folder, name)
        if not isinstance(index.get("_class_name"), str) and not kwargs.get("trust_remote_code"):
            raise ValueError(
                f"`_class_name` in {INDEX} of {str(folder)!r} must be a text, got {index.get('_class_name')!r:.80}. A list "
                "names code in the folder, which runs only with `trust_remote_code=True`."
            )


def _check_names(folder: Path, parts: Collection[str], expected: set[str], optional: set[str]) -> None:
    unknown = sorted(set(parts) - expected - optional)
    if unknown:
        raise ValueError(
            f"`{INDEX}` in {str(folder)!r} must name {' and '.join(sorted(expected))} alone, got "
            f"{', '.join(unknown):.200} as well."
        )


def _check_class(folder: Path, name: str, entry: Any) -> None:
    """Refuses a class that is no network or scheduler of this package, of diffusers or of a module in use."""
    is_pair = isinstance(entry, list) and len(entry) == 2 and all(isinstance(word, str) for word in entry)
    if is_pair and _is_allowed(*entry):
        return
    raise ValueError(
        f"`{name}` in {INDEX} of {str(folder)!r} must name a network or scheduler of {_LIBRARY} or diffusers, got "
        f"{entry!r:.120}. Import the module of a class of your own before you load it."
    )


def _is_allowed(library: str, class_name: str) -> bool:
    if library == _LIBRARY:
        return MODULE_OF.get(class_name, "").startswith(("models.", "schedulers."))
    module = diffusers if library == "diffusers" else sys.modules.get(library)
    component = getattr(module, class_name, None) if class_name.isidentifier() else None
    return isinstance(component, type) and issubclass(component, (ModelMixin, SchedulerMixin))
