# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""
The public names of the package with their signatures, one a line.

`make signatures` writes them to public_signatures.txt, so that a diff shows each change of the public interface.
"""

import ast
import functools
import importlib
import inspect
import pkgutil
import textwrap
from collections.abc import Iterator
from pathlib import Path

import gan_diffusion


FILE = Path(__file__).with_suffix(".txt")
PACKAGE = gan_diffusion.__name__


@functools.cache
def public_objects() -> dict[str, type | object]:
    """
    The public classes and functions of the package, each under its shortest name.

    Public are the names in a module's `__all__`, and all names that a module on the top level without `__all__`
    defines.

    Returns:
        `dict[str, type | Callable]`: Full name -> class or function.
    """
    walk = pkgutil.walk_packages(gan_diffusion.__path__, f"{PACKAGE}.")
    modules = [PACKAGE, *(info.name for info in walk if not info.name.endswith("__main__"))]
    found = {}
    for module_name in sorted(modules, key=lambda name: (name.count("."), name)):
        module = importlib.import_module(module_name)
        names = getattr(module, "__all__", None)
        if names is None and module_name.count(".") == 1:
            names = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module_name]
        for name in names or ():
            value = getattr(module, name)
            if callable(value) and not name.startswith("_") and value not in found.values():
                found[f"{module_name}.{name}"] = value
    return found


def public_definitions(cls: type) -> dict[str, ast.FunctionDef | ast.AnnAssign]:
    """The public methods, properties and fields of a class, with those of its bases that are not public themselves."""
    public = public_objects().values()
    definitions = {}
    for base in reversed(cls.__mro__):
        if base is cls or (base.__module__.startswith(PACKAGE) and base not in public):
            for node in _definition(base).body:
                if isinstance(node, ast.FunctionDef):
                    definitions[node.name] = node
                elif isinstance(node, ast.AnnAssign):
                    definitions[ast.unparse(node.target)] = node
    kept = ("__init__", "__call__")
    return {name: node for name, node in definitions.items() if name in kept or not name.startswith("_")}


def signature_lines() -> Iterator[str]:
    """One line for each public function, class, method, property and field, written as in the source."""
    for name, value in sorted(public_objects().items()):
        if not isinstance(value, type):
            yield f"{name}{_signature(_definition(inspect.unwrap(value)))}"
            continue
        yield f"{name}: class({', '.join(base.__name__ for base in value.__bases__)})"
        for member, node in public_definitions(value).items():
            if isinstance(node, ast.AnnAssign):
                yield f"{name}.{member}: {ast.unparse(node.annotation)}{_default(node.value)}"
            else:
                yield f"{name}.{member}{_signature(node)}"


def _definition(value) -> ast.FunctionDef | ast.ClassDef:
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(value))).body
    return definition


def _default(value: ast.expr | None) -> str:
    # An option's default is the first argument of the call that also holds its help text.
    if isinstance(value, ast.Call) and value.args:
        value = value.args[0]
    return f" = {ast.unparse(value)}" if value else ""


def _signature(node: ast.FunctionDef) -> str:
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    is_property = any(
        isinstance(decorator, ast.Name) and decorator.id == "property" for decorator in node.decorator_list
    )
    return returns.replace(" ->", ":") if is_property else f"({ast.unparse(node.args)}){returns}"


if __name__ == "__main__":
    FILE.write_text("".join(f"{line}\n" for line in signature_lines()))
