# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The value of each option of a conversion, and where it comes from."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


WEIGHTS = "shapes of the weights"
TYPED, FILE = "the options given", "the file"


@dataclass(frozen=True)
class Choice:
    """
    One option.

    Args:
        value (`Any`): Its value.
        origin (`str`): Where it comes from.
    """

    value: Any
    origin: str


def parse_options(words: Sequence[str]) -> dict[str, Any]:
    """
    Reads options as they are typed.

    Args:
        words (`Sequence[str]`): Each `name=value`. Values are JSON, numbers with commas between them, or a word.

    Returns:
        `dict[str, Any]`: values by names.

    Raises:
        ValueError: If a word has no value, or a name comes twice.
    """
    options = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name or name in options:
            raise ValueError(f"`--options` must be name=value, each name once, got {word!r}.")
        options[name] = _value(f"[{text}]" if "," in text and text[:1] != "[" else text)
    return options


def _value(text: str) -> Any:
    if text.lower() in ("true", "false", "none"):
        return {"true": True, "false": False}.get(text.lower())
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def choose(
    names: Collection[str], sources: Mapping[str, Mapping[str, Any]], decided: Mapping[str, Any], prefix: str = ""
) -> dict[str, Choice]:
    """
    Takes each option from the first source that has it, unless the weights decide it.

    Args:
        names (`Collection[str]`): The options.
        sources (`Mapping[str, Mapping[str, Any]]`): Values by names, by what the source is called. The first one wins.
        decided (`Mapping[str, Any]`): What the shapes of the weights decide.
        prefix (`str`, defaults to `""`): What to put before the names in an error.

    Returns:
        `dict[str, Choice]`: the options that are known.

    Raises:
        ValueError: If a source contradicts the weights.
    """
    choices = {}
    for name in names:
        found = {source: _normal(values[name]) for source, values in sources.items() if name in values}
        if name in decided:
            value = _normal(decided[name])
            for source, other in found.items():
                if other != value:
                    raise ValueError(
                        f"`{prefix}{name}` must be {value!r}, as the shapes of the weights say, got {other!r:.80} from {source}. "
                        "Correct it, or take the preset or the file that it belongs to."
                    )
            choices[name] = Choice(value, WEIGHTS)
        elif found:
            source = next(iter(found))
            choices[name] = Choice(found[source], source)
    return choices


def with_defaults(choices: Mapping[str, Choice], defaults: Mapping[str, Any], origin: str) -> dict[str, Choice]:
    """
    Adds the options that nothing says.

    Args:
        choices (`Mapping[str, Choice]`): The options that are known.
        defaults (`Mapping[str, Any]`): Values of all options that may be left out.
        origin (`str`): What to call where they come from.

    Returns:
        `dict[str, Choice]`: the options, with those of `defaults`.
    """
    return {name: Choice(_normal(value), origin) for name, value in defaults.items() if name not in choices} | {
        **choices
    }


def check_names(typed: Mapping[str, Any], names: Collection[str]) -> None:
    """
    Refuses typed options that there are not.

    Args:
        typed (`Mapping[str, Any]`): The options.
        names (`Collection[str]`): Names that there are.

    Raises:
        ValueError: If there is another one.
    """
    unknown = sorted(set(typed) - set(names))
    if unknown:
        raise ValueError(f"`--options` must be some of {sorted(names)} for such a file, got {unknown[0]!r}.")


def _normal(value: Any) -> Any:
    """One form of each value: lists as tuples, and words in small letters, as the reference reads them."""
    if isinstance(value, (list, tuple)):
        return tuple(value)
    return value.lower() if isinstance(value, str) else value
