# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
Recipes: the settings of each model as data.

A recipe is a folder with `generator/config.json`, `discriminator/config.json`, `scheduler/scheduler_config.json`,
`training.yaml` (defaults of the training script's options) and `notes.md` (where they come from, published scores).
The class of the scheduler says which method it belongs to. The record of a run, run.yaml, holds the same in one file.
"""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from .registry import MODULE_OF, load_class
from .storage.reading import read_json, read_text, read_yaml
from .storage.writing import current_folder


_CONFIG_FILES = {
    "generator": "config.json",
    "discriminator": "config.json",
    "scheduler": "scheduler_config.json",
}
# What the record of a run must hold to be a recipe.
_RECORD = {"recipe": str, "recipe_kind": str, "data": dict, "options": dict, "components": dict, "starts": list}
_RECORD_OF_DATA = {"name", "num_samples", "class_names"}
_RECORD_OF_A_START = {"from_step", "versions", "processes", "device", "precision"}
_MODULES = {"generator": "models.generators.", "discriminator": "models.discriminators.", "scheduler": "schedulers."}


def _recipes_folder() -> Path:
    """The recipes inside the installed package, or the top-level folder `pipelines` of a checkout."""
    installed = Path(str(files("gan_diffusion") / "_recipes"))
    return installed if installed.is_dir() else Path(__file__).parents[2] / "pipelines"


def _is_recipe(folder: Path) -> bool:
    return (folder / "generator" / "config.json").is_file() and (folder / "training.yaml").is_file()


def list_recipes() -> list[str]:
    """Names of all recipes that can be loaded by name, sorted."""
    return sorted(folder.name for folder in _recipes_folder().glob("*") if _is_recipe(folder))


@dataclass(frozen=True)
class Recipe:
    """
    One recipe: a folder, or the record of a run.

    Args:
        name (`str`): Name of the folder, or of the recipe that the run started from.
        path (`Path`): The folder or the record.
        record (`dict`, *optional*): Content of the record; `None` for a folder.
    """

    name: str
    path: Path
    record: dict[str, Any] | None = None

    @classmethod
    def load(cls, name_or_path: str | Path) -> "Recipe":
        """
        Finds a recipe.

        Args:
            name_or_path (`str` or `Path`):
                A name of [`list_recipes`], the path of a folder with the same files, or that of the run.yaml of a run.
                A name comes first: write `./name` for a folder in the current directory.

        Returns:
            [`Recipe`]: The recipe.

        Raises:
            ValueError: If there is no such recipe, or the folder is not one.
        """
        known = list_recipes()
        if str(name_or_path) in known:
            return cls(str(name_or_path), _recipes_folder() / name_or_path)
        path = Path(name_or_path)
        try:
            newest = current_folder(path)
            if _is_recipe(newest):
                return cls(path.resolve().name, newest)
            is_file = path.is_file()
        except (OSError, ValueError):  # A name that no file can have.
            is_file = False
        if is_file:
            return cls._of_a_run(path)
        raise ValueError(
            f"`recipe` must be one of {known}, or a folder with generator/config.json and training.yaml, or the run.yaml "
            f"of a run, got {str(name_or_path)!r}."
        )

    @classmethod
    def _of_a_run(cls, path: Path) -> "Recipe":
        try:
            record = read_yaml(path)
        except ValueError as error:
            raise ValueError(f"`recipe` must be the run.yaml of a run, got {str(path)!r}: {error}") from error
        wrong = [name for name, kind in _RECORD.items() if not isinstance(record.get(name), kind)]
        if not wrong:
            parts = {"data": record["data"]} | {f"start {n}": start for n, start in enumerate(record["starts"])}
            needed = {name: _RECORD_OF_DATA if name == "data" else _RECORD_OF_A_START for name in parts}
            parts |= record["options"]
            needed |= dict.fromkeys(record["options"], {"value"})
            parts |= {name: record["components"].get(name) for name in _CONFIG_FILES}
            wrong = [
                name
                for name, part in parts.items()
                if not isinstance(part, dict) or needed.get(name, set()) - set(part)
            ]
        if wrong:
            raise ValueError(f"`recipe` must be the run.yaml of a run, got {str(path)!r} without a usable {wrong[0]}.")
        return cls(record["recipe"], path, record)

    @property
    def is_published(self) -> bool:
        """Whether it is one of [`list_recipes`], and not a folder or a run of the user's own."""
        return self.path.parent == _recipes_folder()

    @property
    def training(self) -> dict[str, Any]:
        """
        The options of training.yaml, or those of the run.

        Raises:
            ValueError: If the file does not hold options with their values.
        """
        if self.record is not None:
            return {name: option["value"] for name, option in self.record["options"].items()}
        return read_yaml(self.path / "training.yaml")

    @property
    def notes(self) -> str:
        """The text of notes.md, empty if the recipe has none."""
        file = self.path / "notes.md"
        return read_text(file).strip() if file.is_file() else ""

    @property
    def pipeline_class(self) -> type:
        """
        Class of the pipeline that samples: the one of the scheduler's method.

        Raises:
            ValueError: If the scheduler's config is missing or names a class that this package does not have.
        """
        return load_class(self.component_class("scheduler").__name__.replace("Scheduler", "Pipeline"))

    def component_class(self, name: str) -> type:
        """
        Class of a component.

        Args:
            name (`str`): `"generator"`, `"discriminator"` or `"scheduler"`.

        Returns:
            `type`: The class.

        Raises:
            ValueError: If the config is missing or names a class that this package does not have.
        """
        class_name = self.config(name).get("_class_name")
        module = MODULE_OF.get(class_name, "") if isinstance(class_name, str) else ""
        component_class = load_class(str(class_name)) if module.startswith(_MODULES[name]) else object
        if not hasattr(component_class, "from_config"):
            raise ValueError(
                f"`recipe` must name classes of gan_diffusion, got {class_name!r:.80} as the {name} of {self.name!r}."
            )
        return component_class

    def config(self, name: str) -> dict[str, Any]:
        """
        Config of a component, as it stands in the recipe.

        Args:
            name (`str`): `"generator"`, `"discriminator"` or `"scheduler"`.

        Returns:
            `dict`: The config values, and `_class_name`.

        Raises:
            ValueError: If the file is missing or does not hold a JSON object.
        """
        if self.record is not None:
            return self.record["components"][name]
        file = self.path / name / _CONFIG_FILES[name]
        if not file.is_file():
            raise ValueError(f"`recipe` must hold {file.relative_to(self.path)}, {self.name!r} does not.")
        return read_json(file)

    def build(self, name: str, **overrides: Any) -> Any:
        """
        Makes a component with fresh weights from its config.

        Args:
            name (`str`): `"generator"`, `"discriminator"` or `"scheduler"`.
            overrides (`Any`): Config values to replace.

        Returns:
            The model or scheduler.

        Raises:
            TypeError: If a value of the config has the wrong type.
            ValueError: If the config cannot be used, or an override is not a value of it.
        """
        component_class = self.component_class(name)
        config = self.config(name)
        unknown = sorted(set(overrides) - set(config))
        if unknown:
            raise ValueError(
                f"`overrides` must be config values of {component_class.__name__}, got {unknown}. "
                f"It has {sorted(key for key in config if not key.startswith('_'))}."
            )
        try:
            return component_class.from_config({**config, **overrides})
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"`recipe` must hold a {name} that can be built, {self.name!r} does not: {error}") from error
