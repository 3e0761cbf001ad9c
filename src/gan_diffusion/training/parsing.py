# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""From recipe and command line to options: what is typed wins over the recipe, and the recipe over the defaults."""

import argparse
import copy
from collections.abc import Sequence
from dataclasses import fields
from types import MappingProxyType
from typing import Any

from transformers import HfArgumentParser

from ..data.arguments import DataArguments
from ..recipes import Recipe
from .arguments import (
    EXCLUSIVE_OPTIONS,
    OPTIONS_OF_THE_DATA_SET,
    REQUIRED_OPTIONS,
    OptimizationArguments,
    RunArguments,
    TrainingArguments,
)


_NOT_GIVEN = object()


def parse_arguments(
    method_class: type, description: str | None = None, argv: Sequence[str] | None = None, prog: str | None = None
) -> TrainingArguments:
    """
    Reads the command line, with the recipe's training.yaml as defaults.

    Ends the process with a short message if an option is unknown, has a wrong value, or excludes another one that was
    given.

    Args:
        method_class (`type`): Dataclass of the method's own options, such as [`DDGANArguments`].
        description (`str`, *optional*): First line of `--help`.
        argv (`Sequence[str]`, *optional*): Instead of `sys.argv[1:]`.
        prog (`str`, *optional*): Name of the command in messages.

    Returns:
        [`TrainingArguments`]: the options, with notes of what was left out of the recipe.
    """
    groups = (RunArguments, DataArguments, OptimizationArguments, method_class)
    parser = _parser(groups, prog=prog, description=description)
    recipe_parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    recipe_parser.add_argument("--recipe")
    name = recipe_parser.parse_known_args(argv)[0].recipe
    try:
        recipe = _recipe_settings(groups, Recipe.load(name)) if name else {}
        parser.set_defaults(**recipe)
        typed = _given(parser, groups, argv)
        merged, notes = _merge(recipe, typed)
        return TrainingArguments(*parser.parse_dict(merged), notes=notes)
    except ValueError as error:
        parser.error(str(error))


class _Parser(HfArgumentParser):
    """Takes the help text alone from a field's metadata, where the base class takes all of it."""

    @staticmethod
    def _parse_dataclass_field(parser, field):
        plain = copy.copy(field)
        plain.metadata = MappingProxyType({"help": field.metadata["help"]})
        HfArgumentParser._parse_dataclass_field(parser, plain)


def _parser(groups: tuple[Any, ...], **options) -> HfArgumentParser:
    return _Parser(
        groups,
        usage="%(prog)s --recipe RECIPE --output_dir FOLDER [options]; --help explains all options",
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        **options,
    )


def _given(parser: HfArgumentParser, groups: tuple[type, ...], argv: Sequence[str] | None) -> dict[str, Any]:
    """The options that a command line gives, without those that it leaves at their defaults."""
    names = [each.name for group in groups for each in fields(group)]
    namespace = parser.parse_args(argv, argparse.Namespace(**dict.fromkeys(names, _NOT_GIVEN)))
    return {name: value for name, value in vars(namespace).items() if value is not _NOT_GIVEN}


def _recipe_settings(groups: tuple[type, ...], recipe: Recipe) -> dict[str, Any]:
    """The options of training.yaml, checked as if they had been typed."""
    settings = {name: value for name, value in recipe.training.items() if value is not None}
    unknown = set(settings) - {each.name for group in groups for each in fields(group)}
    if unknown:
        raise ValueError(f"`training.yaml` of recipe {recipe.name!r} sets unknown options: {sorted(unknown)}.")
    try:
        tokens = [token for name, value in settings.items() for token in _tokens(name, value)]
        settings = _given(_parser(groups, exit_on_error=False), groups, tokens)
    except argparse.ArgumentError as error:
        raise ValueError(f"`training.yaml` of recipe {recipe.name!r}: {error}.") from error
    _check_exclusive(settings, f"`training.yaml` of recipe {recipe.name!r} sets")
    return settings


def _tokens(name: str, value: Any) -> list[str]:
    """What one would type."""
    return [f"--{name}", *map(str, value)] if isinstance(value, list) else [f"--{name}={value}"]


def _check_exclusive(settings: dict[str, Any], subject: str) -> None:
    for group in EXCLUSIVE_OPTIONS:
        given = [f"--{name}" for name in group if name in settings]
        if len(given) > 1:
            raise ValueError(f"{subject} `{'` and `'.join(given)}`, which exclude each other. Keep one of them.")


def _merge(recipe: dict[str, Any], typed: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Both sets of options, and notes of what of the recipe gives way to what was typed."""
    _check_exclusive(typed, "The command line gives")
    gives_way = {}
    for group in EXCLUSIVE_OPTIONS:
        for name in set(group) & set(typed):
            gives_way |= dict.fromkeys(group, name)
    for source in {"dataset_name", "train_data_dir"} & set(typed):
        gives_way |= dict.fromkeys(OPTIONS_OF_THE_DATA_SET, source)
    for name, needed in REQUIRED_OPTIONS.items():
        if needed in gives_way and needed not in typed:
            gives_way[name] = gives_way[needed]
    left_out = {name: gives_way[name] for name in recipe if name in gives_way and name not in typed}
    notes = [
        f"The recipe's {name} ({recipe[name]}) is left out, because --{cause} was given."
        for name, cause in left_out.items()
    ]
    return {name: value for name, value in recipe.items() if name not in left_out} | typed, notes
