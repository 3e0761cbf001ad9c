# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import ast
import difflib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from public_signatures import FILE, public_definitions, public_objects, signature_lines
from test_package import FLOORS


ROOT = Path(__file__).parents[1]
SOURCES = [*sorted((ROOT / "src").rglob("*.py")), *sorted((ROOT / "training_scripts").glob("*.py"))]
MAX_FUNCTION_LINES = 60
MAX_FILE_LINES = 400
DEVICE_CODE = "triton_kernels.py"


def nodes(kind: type | tuple[type, ...]) -> Iterator[tuple[str, ast.AST]]:
    """All nodes of a kind in the sources, each with its place for a message."""
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, kind):
                yield f"{file.relative_to(ROOT)}:{node.lineno}", node


def test_no_file_is_too_long():
    lengths = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in SOURCES}
    too_long = {name: n for name, n in lengths.items() if n > MAX_FILE_LINES and not name.endswith(DEVICE_CODE)}
    assert not too_long, too_long


def test_no_function_is_too_long():
    too_long = {}
    for place, function in nodes((ast.FunctionDef, ast.AsyncFunctionDef)):
        lines = function.end_lineno - function.lineno + 1
        if ast.get_docstring(function) is not None:
            lines -= function.body[0].end_lineno - function.body[0].lineno + 1
        if lines > MAX_FUNCTION_LINES and DEVICE_CODE not in place:
            too_long[f"{place} {function.name}"] = lines
    assert not too_long, too_long


def test_every_public_name_has_a_docstring():
    missing = []
    for name, value in public_objects().items():
        missing += [name] * (not inspect.getdoc(value))
        if isinstance(value, type):
            for member, node in public_definitions(value).items():
                is_inherited = any(hasattr(base, member) for base in value.__mro__[1:])
                if isinstance(node, ast.FunctionDef) and not is_inherited and not ast.get_docstring(node):
                    missing.append(f"{name}.{member}")
    assert not missing, missing


def error_text(call: ast.Call) -> str | None:
    """The text of an error as written, with its placeholders as {}; None when it is made elsewhere."""
    text = call.args[0] if call.args else None
    if isinstance(text, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in text.values)
    return text.value if isinstance(text, ast.Constant) else None


def test_errors_name_the_argument_in_backticks_and_are_sentences():
    wrong = {}
    for place, node in nodes(ast.Raise):
        name = getattr(getattr(node.exc, "func", None), "id", "")
        if name in ("ValueError", "TypeError"):
            text = error_text(node.exc)
            if text is not None and (text.count("`") < 2 or not text.endswith((".", ")", "{}"))):
                wrong[place] = text
    assert not wrong, "\n".join(f"{place}: {text}" for place, text in wrong.items())


def test_public_signatures_are_the_recorded_ones():
    recorded, now = FILE.read_text().splitlines(), list(signature_lines())
    changes = "\n".join(difflib.unified_diff(recorded, now, "recorded", "now", n=0, lineterm=""))
    assert not changes, f"Run `make signatures` and say in CHANGELOG.md what changed:\n{changes}"


def test_the_guide_says_what_each_part_may_import():
    rows = re.findall(r"^\| (\d) \| `(\w+)[.py]*` \|.*\|(.*)\|$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    said = {part: (int(floor), set(re.findall(r"`(\w+)`", allowed))) for floor, part, allowed in rows}
    assert said == {part: (n, allowed) for n, floor in enumerate(FLOORS, 1) for part, allowed in floor.items()}


def commands(workflow: Path) -> Iterator[str]:
    """The shell commands of a GitHub workflow."""
    for job in yaml.safe_load(workflow.read_text())["jobs"].values():
        for step in job["steps"]:
            yield from step.get("run", "").splitlines()


@pytest.mark.parametrize("file", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda file: file.stem)
def test_github_files_are_yaml(file):
    assert isinstance(yaml.safe_load(file.read_text()), dict)


def test_continuous_integration_and_releases_call_existing_make_targets():
    lines = (ROOT / ".ci" / "run").read_text().splitlines() + (ROOT / "RELEASING.md").read_text().splitlines()
    for workflow in (ROOT / ".github" / "workflows").glob("*.yml"):
        lines += commands(workflow)
    targets = {line.split()[1] for line in lines if line.strip().startswith("make ")}
    existing = {line.split(":")[0] for line in (ROOT / "Makefile").read_text().splitlines() if re.match(r"\w+:", line)}
    assert {"quality", "test", "package"} <= targets <= existing
