# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The recipes for people: all in a list, or one with its notes and settings."""

import argparse
import json
from collections.abc import Sequence
from typing import Any

import torch

from ..recipes import Recipe, list_recipes
from .methods import METHODS


_PARTS = ("generator", "discriminator", "scheduler")


def run_recipes(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """
    Prints recipes as a command line says.

    Args:
        argv (`Sequence[str]`, *optional*): Instead of `sys.argv[1:]`.
        prog (`str`, *optional*): Name of the command in messages.

    Raises:
        SystemExit: With a message, if there is no such recipe.
    """
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Lists the recipes, or shows the notes and settings of one.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "name", nargs="?", help="Name of a recipe, the folder of one, or the run.yaml of a run. Default: list all."
    )
    name = parser.parse_args(argv).name
    try:
        lines = _list() if name is None else _describe(Recipe.load(name))
    except (OSError, TypeError, ValueError) as error:
        parser.error(str(error))
    print(*lines, sep="\n")


def _list() -> list[str]:
    recipes = [Recipe.load(name) for name in list_recipes()]
    rows = [("recipe", "method", "data", "sample", "weights")]
    rows += [(recipe.name, *_facts(recipe)) for recipe in recipes]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = ["  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    notes = ["    " + recipe.notes.partition("\n")[0] for recipe in recipes]
    return [
        table[0],
        *(line for pair in zip(table[1:], notes, strict=True) for line in pair),
        "",
        "A sample is channels x height x width, or the length of a vector. Weights are those of the generator; none are",
        "published with a recipe. `gan-diffusion recipes NAME` shows the notes and settings of one.",
    ]


def _describe(recipe: Recipe) -> list[str]:
    method, data, shape, weights = _facts(recipe)
    settings = {"training": recipe.training} | {part: recipe.config(part) for part in _PARTS}
    return [
        f"{recipe.name}: {method}, {data}, samples of {shape}, generator with {weights} weights",
        f"Files: {recipe.path}",
        *([] if not recipe.notes else ["", recipe.notes]),
        *(line for name, values in settings.items() for line in ["", f"{name}:", *_lines(values)]),
        "",
        f"gan-diffusion train {method} --recipe {recipe.name if recipe.is_published else recipe.path} --output_dir FOLDER",
    ]


def _lines(values: dict[str, Any]) -> list[str]:
    """Settings as YAML, a line each."""
    return [f"  {name}: {json.dumps(value)}" for name, value in values.items()]


def _facts(recipe: Recipe) -> tuple[str, str, str, str]:
    """Name of the method, data, shape of a sample, and number of the generator's weights."""
    (method,) = [name for name, each in METHODS.items() if each.pipeline == recipe.pipeline_class.__name__]
    with torch.device("meta"):
        generator = recipe.build("generator")
    shape = "x".join(map(str, generator.sample_shape))
    return method, recipe.training.get("dataset_name") or "your own", shape, f"{generator.num_parameters():,}"
