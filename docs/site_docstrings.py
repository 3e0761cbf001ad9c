# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""How `mkdocs` shows docstrings in the form of diffusers: types as text, references such as [`Batch`] as links."""

import re
from collections.abc import Iterator
from typing import Any

from griffe import DocstringSectionKind, Extension, Module, Object


_REFERENCE = re.compile(r"\[`~?(?:[\w.]+\.)?(\w+)`\](?![\[(])")
_TYPED = (DocstringSectionKind.parameters, DocstringSectionKind.returns)


class DiffusersDocstrings(Extension):
    """Links to what is described. Names of others, such as those of diffusers, become plain code."""

    def on_package(self, *, pkg: Module, **kwargs: Any) -> None:
        """Rewrites the docstrings of the package, when all its names are known."""
        place = {}
        for item in _walk(pkg):
            if isinstance(item, Module) and item is not pkg:
                place |= {str(name): _path(item, str(name)) for name in item.exports or ()}

        def link(match: re.Match) -> str:
            name = match[1]
            return f"[`{name}`][{place[name]}]" if name in place else f"`{name}`"

        for item in _walk(pkg):
            if item.docstring:
                item.docstring.value = _REFERENCE.sub(link, item.docstring.value)
                _types_to_text(item)


def _types_to_text(item: Object) -> None:
    """Puts types before the descriptions, because they hold text: shapes, ranges and defaults."""
    for section in item.docstring.parsed:
        for entry in section.value if section.kind in _TYPED else ():
            if isinstance(entry.annotation, str):
                is_result = section.kind is DocstringSectionKind.returns
                text = f"{entry.annotation}: " if is_result else f"({entry.annotation}) "
                entry.description, entry.annotation = text + entry.description, None
                if not is_result:
                    entry.value = None


def _path(package: Module, name: str) -> str:
    """The path of a public name. A function that is called like its module hides it, but not for mkdocstrings."""
    path = f"{package.path}.{name}"
    return f"{path}.{name}" if isinstance(package.members.get(name), Module) else path


def _walk(item: Object) -> Iterator[Object]:
    yield item
    for member in item.members.values():
        if isinstance(member, Object):
            yield from _walk(member)
