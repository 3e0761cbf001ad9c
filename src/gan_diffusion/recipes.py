# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Recipes: the published settings of each model as data, in the layout of a Hub repository without weights.

`pipelines/<recipe>/` holds `model_index.json`, `generator/config.json`, `scheduler/scheduler_config.json`,
`discriminator/config.json`, `training.yaml` (defaults of the training script's options), `README.md` (the model card) and
`pipeline.py`.
"""

import json
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .registry import MODULE_OF, load_class


def _recipe_folders() -> list[Path]:
    """Where recipes are looked for: the checkout the package runs from, then the installation's shared data."""
    checkout = Path(__file__).parents[2] / "pipelines"
    installed = Path(sysconfig.get_path("data")) / "share" / "gan_diffusion" / "pipelines"
    return [folder for folder in (checkout, installed) if folder.is_dir()]


def list_recipes() -> list[str]:
    """Names of all recipes that can be loaded by name, sorted."""
    return sorted({index.parent.name for folder in _recipe_folders() for index in folder.glob("*/model_index.json")})


@dataclass(frozen=True)
class Recipe:
    """
    One recipe folder.

    Args:
        name (`str`): Name of the folder.
        path (`Path`): The folder.
    """

    name: str
    path: Path

    @classmethod
    def load(cls, name_or_path: str | Path) -> "Recipe":
        """
        Finds a recipe.

        Args:
            name_or_path (`str` or `Path`): A name of [`list_recipes`] or the path of a folder with the same layout.

        Raises:
            ValueError: if there is no such recipe, or the folder is not one.
        """
        candidates = [Path(name_or_path), *(folder / str(name_or_path) for folder in _recipe_folders())]
        for path in candidates:
            if (path / "model_index.json").is_file():
                return cls(path.resolve().name, path)
        raise ValueError(
            f"`recipe` {str(name_or_path)!r} is neither a folder with a model_index.json nor one of {list_recipes()}."
        )

    @property
    def training(self) -> dict:
        """The options of training.yaml."""
        return yaml.safe_load((self.path / "training.yaml").read_text())

    def component_class(self, name: str) -> type:
        """
        Class of the component in subfolder `name`: "generator", "discriminator" or "scheduler".

        Raises:
            ValueError: if the config names a class that this package does not have.
        """
        class_name = self.config(name).get("_class_name")
        if class_name not in MODULE_OF:
            raise ValueError(
                f"Recipe {self.name!r} names the {name} class {class_name!r}, which gan_diffusion does not have."
            )
        return load_class(class_name)

    def config(self, name: str) -> dict[str, Any]:
        """Config of the component in subfolder `name`, as it stands in the recipe."""
        file = self.path / name / ("scheduler_config.json" if name == "scheduler" else "config.json")
        if not file.is_file():
            raise ValueError(f"Recipe {self.name!r} has no {file.relative_to(self.path)}.")
        return json.loads(file.read_text())

    def build(self, name: str, **overrides):
        """
        Makes a component with fresh weights from its config.

        Args:
            name (`str`): "generator", "discriminator" or "scheduler".
            overrides: Config values to replace.

        Raises:
            ValueError: if an override is not an argument of the component.
        """
        component_class = self.component_class(name)
        config = component_class.load_config(self.path, subfolder=name)
        unknown = set(overrides) - set(config)
        if unknown:
            raise ValueError(f"{component_class.__name__} has no config value {sorted(unknown)}.")
        return component_class.from_config({**config, **overrides})
