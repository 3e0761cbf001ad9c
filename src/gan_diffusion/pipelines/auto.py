# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Loads a saved pipeline without being told its method."""

import os
from pathlib import Path
from typing import Any

from diffusers.pipelines.pipeline_utils import DiffusionPipeline

from ..registry import MODULE_OF, load_class
from ..storage.writing import current_folder
from .loading import LOCATION_OPTIONS, CheckedPipeline
from .shipped import list_shipped_models, shipped_model


_PIPELINES = tuple(name for name, module in MODULE_OF.items() if module.startswith("pipelines."))


def load_pipeline(pretrained_model_name_or_path: str | Path, **kwargs: Any) -> DiffusionPipeline:
    """
    Loads a saved pipeline of whichever method.

    Args:
        pretrained_model_name_or_path (`str` or `Path`):
            Folder, Hub name, or one of [`list_shipped_models`]; a folder of this name comes first.
        kwargs (`Any`):
            Arguments of `from_pretrained`.

    Returns:
        [`DiffusionPipeline`]: The pipeline, of the class that it was saved from.

    Raises:
        ValueError: If there is no pipeline of this package.
    """
    if not os.path.isdir(pretrained_model_name_or_path) and pretrained_model_name_or_path in list_shipped_models():
        pretrained_model_name_or_path = shipped_model(str(pretrained_model_name_or_path))
    location = {name: kwargs[name] for name in LOCATION_OPTIONS if name in kwargs}
    try:
        local = os.path.isdir(pretrained_model_name_or_path)
        place = current_folder(pretrained_model_name_or_path) if local else pretrained_model_name_or_path
        config = CheckedPipeline.load_config(place, **location)
    except (OSError, ValueError) as error:
        raise ValueError(
            "`pretrained_model_name_or_path` must be a folder with a model_index.json, the name of such a repository on the "
            f"Hub, or one of {list_shipped_models()}, got {str(pretrained_model_name_or_path)!r}. Check the name, and for the Hub the connection."
        ) from error
    class_name = config.get("_class_name")
    if class_name not in _PIPELINES:
        raise ValueError(
            f"`pretrained_model_name_or_path` must hold one of the pipelines {_PIPELINES}, "
            f"got {str(pretrained_model_name_or_path)!r} with a {class_name!r}. Load it with its own library."
        )
    return load_class(class_name).from_pretrained(pretrained_model_name_or_path, **kwargs)
