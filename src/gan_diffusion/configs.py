# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Configs of networks and schedulers: read with limits, and every value checked against its declared type."""

import inspect
import math
import os
import types
import typing
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

from diffusers.configuration_utils import ConfigMixin

from .storage.reading import read_json


# What torch, NumPy and Python raise for values that cannot be used.
RAW_ERRORS = (ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, RuntimeError)


class CheckedConfig(ConfigMixin):
    """
    A diffusers config whose values have the types that the constructor declares.

    Numbers are finite. Names that the constructor does not have are refused, except those of diffusers' own, which
    start with an underscore, and `quantization_config`.
    """

    def register_to_config(self, **kwargs: Any) -> None:
        """
        Records values of the config. `@register_to_config` calls this before the constructor runs.

        Args:
            kwargs (`Any`): Names and values.

        Raises:
            TypeError: If a value is not of the type that the constructor declares.
            ValueError: If a number is not finite.
        """
        hints = typing.get_type_hints(type(self).__init__)
        for name, value in kwargs.items():
            if name in hints:
                self._check_value(name, value, hints[name])
        super().register_to_config(**kwargs)

    @classmethod
    def from_config(cls, config: Any = None, return_unused_kwargs: bool = False, **kwargs: Any) -> Any:
        """
        Makes an object from a config, as in diffusers.

        Args:
            config (`dict`): The config.
            return_unused_kwargs (`bool`, defaults to `False`): Whether to return a pair with the kwargs not used.
            kwargs (`Any`): Values that replace those of the config.

        Returns:
            The object.

        Raises:
            TypeError: If a value has the wrong type.
            ValueError: If the config has a name that the constructor does not have, or a value that it cannot use.
        """
        if isinstance(config, dict):
            known = {*inspect.signature(cls.__init__).parameters, "quantization_config"}
            unknown = sorted(str(name) for name in config if str(name)[:1] != "_" and name not in known)
            if unknown:
                raise ValueError(
                    f"`config` must hold options of {cls.__name__}, which are {sorted(known - {'self'})}, got "
                    f"{', '.join(unknown):.200}. Correct the names, or update gan_diffusion if a newer one wrote them."
                )
        try:
            return super().from_config(config, return_unused_kwargs, **kwargs)
        except RAW_ERRORS as error:
            raise ValueError(
                f"`config` must be one that a {cls.__name__} can be built from, got: {error!r:.500}."
            ) from error

    @classmethod
    def _dict_from_json_file(cls, json_file: str | os.PathLike) -> dict[str, Any]:
        return read_json(os.fspath(json_file))

    @staticmethod
    def _check_value(name: str, value: Any, hint: Any) -> None:
        """Raises an error unless a value is of the type declared."""
        if not _fits(value, hint):
            kind = hint.__name__ if isinstance(hint, type) else str(hint)
            raise TypeError(f"`{name}` must be of type {kind}, got {value!r:.80}.")
        if not all(map(math.isfinite, numbers_in(value))):
            raise ValueError(f"`{name}` must be finite, got {value!r:.80}.")


def numbers_in(value: Any) -> list[Real]:
    """The numbers of a value of a config, which may be one, or lie in lists of lists."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [number for entry in value for number in numbers_in(entry)]
    return [value] if isinstance(value, Real) else []


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a type; JSON's lists count as tuples, and ints as floats."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, kind) for kind in inner)
    if origin in (tuple, list):
        if not isinstance(value, (tuple, list)):
            return False
        if origin is tuple and inner[-1] is not Ellipsis:
            return len(value) == len(inner) and all(map(_fits, value, inner))
        return all(_fits(entry, inner[0]) for entry in value)
    if hint in (int, float):
        return isinstance(value, Integral if hint is int else Real) and not isinstance(value, bool)
    return hint is Any or isinstance(value, hint)
