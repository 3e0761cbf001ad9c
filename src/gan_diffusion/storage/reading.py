# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Reads text, JSON and YAML that anybody may have written: limited in size and depth, and plain values alone."""

import json
import math
import os
import stat
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml


# Far above what a config, an index of shards or a recipe holds. PyYAML needs a second for its limit.
MAX_TEXT_BYTES = 8 * 2**20
MAX_YAML_BYTES = 2**16
MAX_DEPTH = 32


def read_text(file: str | Path, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """
    Reads a text file.

    Args:
        file (`str` or `Path`): A regular file, or a link to one. Pipes and devices are not waited for.
        max_bytes (`int`, defaults to 8 MiB): Largest size.

    Returns:
        `str`: the text.

    Raises:
        OSError: If the file cannot be opened.
        ValueError: If it is no regular file, is larger, or does not hold UTF-8.
    """
    descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError(f"`{file}` must be a file, got a folder, a pipe or a device.")
    with open(descriptor, "rb") as stream:
        content = stream.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise ValueError(f"`{file}` must have at most {max_bytes} bytes, got more.")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"`{file}` must hold text in UTF-8, got: {error}.") from error


def read_json(file: str | Path) -> dict[str, Any]:
    """
    Reads a JSON object.

    Args:
        file (`str` or `Path`): The file.

    Returns:
        `dict[str, Any]`: the object.

    Raises:
        OSError: If the file cannot be opened.
        ValueError: If it does not hold a JSON object, names a key twice, is too large or nested too deep, or holds a
            number that is not finite or does not fit in 64 bits.
    """
    text = read_text(file)
    try:
        content = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"`{file}` must hold JSON, got: {str(error).rstrip('.')}.") from error
    if not isinstance(content, dict):
        raise ValueError(f"`{file}` must hold a JSON object, got {content!r:.80}.")
    _check_values(file, content)
    return content


def read_yaml(file: str | Path) -> dict[str, Any]:
    """
    Reads lines `name: value` of YAML. Anchors, aliases and tags of Python are refused.

    Args:
        file (`str` or `Path`): The file, of at most 64 KiB.

    Returns:
        `dict[str, Any]`: names and values.

    Raises:
        OSError: If the file cannot be opened.
        ValueError: If it does not hold such lines, names one twice, is too large or nested too deep, or holds other
            values than texts, truth values, numbers, lists and mappings.
    """
    text = read_text(file, MAX_YAML_BYTES)
    try:
        content = yaml.load(text, Loader=_PlainLoader)
    except Exception as error:  # PyYAML leaves the errors of the conversions it tries as they are.
        raise ValueError(f"`{file}` must hold YAML, got: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"`{file}` must hold lines `option: value`, got {content!r:.80}.")
    _check_values(file, content)
    return content


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"`{twice:.80}` must stand there once, got it twice.")
    return content


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases, which can make a small file endless, and without double keys."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias, which is not allowed")
        if self._depth > MAX_DEPTH:
            raise yaml.YAMLError(f"more than {MAX_DEPTH} levels")
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        mapping = super().construct_mapping(node, deep=deep)
        if len(mapping) < len(node.value):
            raise yaml.YAMLError(f"a key twice{node.start_mark}")
        return mapping


def _check_values(file: str | Path, content: dict) -> None:
    """Refuses what no setting has. Walks level by level, since nested values may be too deep to call into."""
    level: list[Any] = [content]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                inner += [*value, *value.values()]
            elif isinstance(value, list):
                inner += value
            else:
                _check_scalar(file, value)
        level = inner
    if level:
        raise ValueError(f"`{file}` must be nested at most {MAX_DEPTH} levels deep, got more.")


def _check_scalar(file: str | Path, value: Any) -> None:
    if isinstance(value, str):
        allowed = "\0" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value)
    elif isinstance(value, float):
        allowed = math.isfinite(value)
    elif isinstance(value, int):
        allowed = abs(value) < 2**63
    else:
        allowed = value is None
    if not allowed:
        raise ValueError(f"`{file}` must hold texts, finite numbers of 64 bits, lists and objects, got {value!r:.80}.")
