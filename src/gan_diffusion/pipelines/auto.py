# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Loads a saved pipeline without being told its method."""

from pathlib import Path

from diffusers import DiffusionPipeline

from ..registry import MODULE_OF, load_class


_PIPELINES = tuple(name for name, module in MODULE_OF.items() if module.startswith("pipelines."))
_LOCATION_OPTIONS = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "token")


def load_pipeline(pretrained_model_name_or_path: str | Path, **kwargs) -> DiffusionPipeline:
    """
    Loads a saved pipeline of whichever method.

    Args:
        pretrained_model_name_or_path (`str` or `Path`): Folder or Hub name.
        kwargs: Arguments of `from_pretrained`.

    Raises:
        ValueError: if it is not a pipeline of this package.
    """
    config = DiffusionPipeline.load_config(
        pretrained_model_name_or_path, **{name: kwargs[name] for name in _LOCATION_OPTIONS if name in kwargs}
    )
    class_name = config.get("_class_name")
    if class_name not in _PIPELINES:
        raise ValueError(
            f"`pretrained_model_name_or_path` must be a pipeline of gan_diffusion, one of {_PIPELINES}; "
            f"{str(pretrained_model_name_or_path)!r} holds a {class_name!r}."
        )
    return load_class(class_name).from_pretrained(pretrained_model_name_or_path, **kwargs)
