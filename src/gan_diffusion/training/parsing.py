# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""From recipe and command line to options: what is typed wins over the recipe, and the recipe over the defaults."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, get_args, get_origin

from ..data.arguments import DataArguments
from ..options import OptionParser, default_of
from ..recipes import Recipe
from .arguments import (
    EXCLUSIVE_OPTIONS,
    OPTIONS_OF_THE_DATA_SET,
    REQUIRED_OPTIONS,
    OptimizationArguments,
    RunArguments,
    TrainingArguments,
)
from .hub_options import HUB_OPTIONS, without_token


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
        [`TrainingArguments`]: the options, where they come from, and notes of what was left out of the recipe.
    """
    groups = (RunArguments, DataArguments, OptimizationArguments, method_class)
    argv = sys.argv[1:] if argv is None else argv
    parser = _parser(groups, prog=prog, description=description)
    recipe_parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    recipe_parser.add_argument("--recipe")
    try:
        name = recipe_parser.parse_known_args(argv)[0].recipe
        recipe = _recipe_settings(groups, _recipe_of(method_class, name)) if name else {}
        parser.set_defaults(**recipe)
        typed = _given(parser, groups, argv)
        defaults = {each.name: default_of(each) for group in groups for each in fields(group)}
        left_out = _left_out(recipe, typed)
        kept = {name: value for name, value in recipe.items() if name not in left_out}
        return TrainingArguments(
            *parser.parse_dict(kept | typed),
            notes=[
                f"The recipe's {name} ({recipe[name]}) is left out, because --{cause} was given."
                for name, cause in left_out.items()
                if recipe[name] != defaults[name]
            ],
            origins=dict.fromkeys(kept, "recipe") | dict.fromkeys(typed, "typed"),
            instead_of={
                name: replaced
                for name, value in typed.items()
                if (replaced := recipe.get(name, defaults[name])) != value
            },
            command=shlex.join(["gan-diffusion", "train", method_class.name, *without_token(argv)]),
        )
    except (ValueError, argparse.ArgumentError) as error:
        parser.error(str(error))


def _recipe_of(method_class: Any, name: str) -> Recipe:
    """The recipe, if it is one of the method."""
    recipe = Recipe.load(name)
    if recipe.pipeline_class.__name__ != method_class.pipeline:
        raise ValueError(
            f"`recipe` must be one of the method {method_class.name}, got {name!r}, which trains a "
            f"{recipe.pipeline_class.__name__}. Use the training command of that method."
        )
    return recipe


def _parser(groups: tuple[Any, ...], **options) -> OptionParser:
    return OptionParser(
        groups,
        usage="%(prog)s --recipe RECIPE --output_dir FOLDER [options]; --help explains all options",
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        **options,
    )


def _given(parser: OptionParser, groups: tuple[type, ...], argv: Sequence[str] | None) -> dict[str, Any]:
    """The options that a command line gives, without those that it leaves at their defaults."""
    names = [each.name for group in groups for each in fields(group)]
    namespace = parser.parse_args(argv, argparse.Namespace(**dict.fromkeys(names, _NOT_GIVEN)))
    given = {name: value for name, value in vars(namespace).items() if value is not _NOT_GIVEN}
    for name, value in given.items():
        if isinstance(value, list) and None in value:
            if len(value) > 1:
                raise ValueError(f"`--{name}` must be 'none' alone, or values, got both.")
            given[name] = None
    return given


def _recipe_settings(groups: tuple[type, ...], recipe: Recipe) -> dict[str, Any]:
    """The options of training.yaml, checked as if they had been typed."""
    options = {each.name: each for group in groups for each in fields(group)}
    unknown = set(recipe.training) - set(options)
    if unknown:
        raise ValueError(
            f"`training.yaml` of recipe {recipe.name!r} sets unknown options: {sorted(map(str, unknown))}."
        )
    forbidden = sorted(set(recipe.training) & set(HUB_OPTIONS))
    if forbidden:
        raise ValueError(
            f"`training.yaml` of recipe {recipe.name!r} must not set {forbidden}, which only the command line may. Delete "
            "them there."
        )
    try:
        tokens = [token for name, value in recipe.training.items() for token in _tokens(options[name], value)]
        settings = _given(_parser(groups, exit_on_error=False), groups, tokens)
    except (argparse.ArgumentError, ValueError) as error:
        raise ValueError(f"`training.yaml` of recipe {recipe.name!r}: {error}") from error
    _check_exclusive(settings, f"`training.yaml` of recipe {recipe.name!r} sets")
    return settings


def _tokens(option: Any, value: Any) -> list[str]:
    """What one would type for a value in YAML."""
    kinds = [kind for kind in get_args(option.type) if kind is not type(None)] or [option.type]
    takes_list = any(get_origin(kind) is list for kind in kinds)
    if isinstance(value, dict) or isinstance(value, list) and not takes_list:
        raise ValueError(f"`{option.name}` must be one value, got {value!r}.")
    if isinstance(value, bool) and option.type is not bool:
        raise ValueError(f"`{option.name}` must not be {value}. Put the words yes, no, on and off in quotes.")
    if isinstance(value, list):
        return [f"--{option.name}", *map(str, value)] if value else []
    return [f"--{option.name}={value}"]


def _check_exclusive(settings: dict[str, Any], subject: str) -> None:
    for group in EXCLUSIVE_OPTIONS:
        given = [f"--{name}" for name in group if settings.get(name) is not None]
        if len(given) > 1:
            raise ValueError(f"{subject} `{'` and `'.join(given)}`, which exclude each other. Keep one of them.")


def _left_out(recipe: dict[str, Any], typed: dict[str, Any]) -> dict[str, str]:
    """The options of the recipe that give way to what was typed, each with the typed option."""
    _check_exclusive(typed, "The command line gives")
    set_to_something = {name for name, value in typed.items() if value is not None}
    gives_way = {}
    for group in EXCLUSIVE_OPTIONS:
        for name in set(group) & set_to_something:
            gives_way |= dict.fromkeys(group, name)
    for source in {"dataset_name", "train_data_dir"} & set_to_something:
        if typed[source].rstrip("/") != (recipe.get(source) or "").rstrip("/"):
            gives_way |= dict.fromkeys(OPTIONS_OF_THE_DATA_SET, source)
    for name, needed in REQUIRED_OPTIONS.items():
        if needed in typed and typed[needed] is None:
            gives_way[name] = needed
        elif needed in gives_way and needed not in typed:
            gives_way[name] = gives_way[needed]
    return {name: gives_way[name] for name in recipe if name in gives_way and name not in typed}
