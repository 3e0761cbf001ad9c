# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Options of all commands: how one is declared, checked and read."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import MISSING, field
from types import MappingProxyType
from typing import Any, get_args

from transformers import HfArgumentParser


def option(default: Any, help: str, free: bool = False) -> Any:
    """
    A field of an options dataclass.

    Args:
        default (`Any`): Default value.
        help (`str`): Text of `--help`.
        free (`bool`, defaults to `False`):
            Whether the option may change between a run and its continuation, because no number in a checkpoint depends
            on it.

    Returns:
        `dataclasses.Field`: the field, typed so that it can be the default of any option.
    """
    kind: dict[str, Any] = (
        {"default_factory": lambda: list(default)} if isinstance(default, list) else {"default": default}
    )
    return field(**kind, metadata={"help": help, "free": free})


def check_at_least(arguments: Any, low: float, *names: str) -> None:
    """
    Checks options that have a lowest value. An option that is `None` passes.

    Args:
        arguments (`Any`): Options dataclass.
        low (`float`): Lowest value.
        names (`str`): Names of the options.

    Raises:
        ValueError: If one is lower, or not a number.
    """
    for name in names:
        value = getattr(arguments, name)
        if value is not None and not value >= low:
            raise ValueError(f"`--{name}` must be at least {low}, got {value}.")


def default_of(option: Any) -> Any:
    """
    The default of an option.

    Args:
        option (`dataclasses.Field`): The field.

    Returns:
        `Any`: its default.
    """
    return option.default if option.default_factory is MISSING else option.default_factory()


class OptionParser(HfArgumentParser):
    """
    Takes the help text alone from a field's metadata, where the base class takes all of it.

    The word "none" sets an option to nothing, if that is possible.

    Args:
        groups (`Sequence[type]`): Dataclasses of options.
        options (`Any`): Arguments of `argparse.ArgumentParser`.
    """

    def __init__(self, groups: Sequence[type], **options: Any):
        # The base class takes a sequence, and says that it takes `None`.
        super().__init__(groups, **options)  # pyright: ignore[reportArgumentType]

    @staticmethod
    def _parse_dataclass_field(parser, field):
        plain = copy.copy(field)
        plain.metadata = MappingProxyType({"help": field.metadata["help"]})
        HfArgumentParser._parse_dataclass_field(parser, plain)
        action = parser._actions[-1]
        if _is_optional(field):
            action.type = _or_none(action.type)
            action.choices = action.choices and (*action.choices, None)


def _is_optional(field: Any) -> bool:
    return type(None) in get_args(field.type)


def _or_none(convert: Any) -> Callable[[str], Any]:
    """The conversion of an option that may also be nothing."""

    def convert_or_none(text: str) -> Any:
        return None if text.lower() == "none" else convert(text)

    convert_or_none.__name__ = convert.__name__  # For argparse's messages.
    return convert_or_none
