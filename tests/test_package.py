# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import ast
import graphlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import gan_diffusion


ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "gan_diffusion"

# What each part may import from the package, besides itself: parts of lower floors, or of its own floor without a circle.
FLOORS = (
    {"registry": set(), "kernels": set()},
    {"schedulers": {"kernels"}, "models": {"kernels", "schedulers"}, "data": set(), "metrics": set()},
    {"pipelines": {"registry", "schedulers", "models"}, "conversion": {"models"}},
    {"recipes": {"registry"}, "publishing": {"recipes"}},
    {"training": {"schedulers", "models", "data", "recipes", "publishing"}},
)
# The package itself is its public list, for which it needs the registry; the rest it names for type checkers alone.
ALLOWED = {part: allowed for floor in FLOORS for part, allowed in floor.items()} | {
    "__init__": {"registry", "schedulers", "models", "pipelines"}
}


def package_imports(file: Path) -> set[str]:
    """The parts of the package ("" for the package itself) that a file imports, anywhere in it."""
    parts = file.relative_to(SOURCE.parent).with_suffix("").parts
    package = parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            module = (*base, *(node.module.split(".") if node.module else ()))
            names = [(*module, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [(*node.module.split("."), alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [tuple(alias.name.split(".")) for alias in node.names]
        found |= {name[1] if len(name) > 1 else "" for name in names if name[0] == "gan_diffusion"}
    return found


def test_imports_only_go_the_way_the_design_allows():
    for file in SOURCE.rglob("*.py"):
        part = file.relative_to(SOURCE).parts[0].removesuffix(".py")
        wrong = package_imports(file) - ALLOWED[part] - {part}
        assert not wrong, (
            f"{file.relative_to(ROOT)} imports {sorted(wrong)}; {part} may import {sorted(ALLOWED[part])}"
        )


def test_no_import_goes_up_and_none_goes_in_a_circle():
    floor_of = {part: number for number, floor in enumerate(FLOORS) for part in floor}
    for part, number in floor_of.items():
        assert all(floor_of[other] <= number for other in ALLOWED[part]), part
    graph = {part: {other for other in ALLOWED[part] if floor_of[other] == floor_of[part]} for part in floor_of}
    tuple(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError


def test_kernels_import_only_torch_and_triton():
    for file in (SOURCE / "kernels").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            modules = [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            roots = {module.split(".")[0] for module in modules}
            assert roots <= {"torch", "triton", *sys.stdlib_module_names}, f"{file.name}: {roots}"


def test_importing_the_package_imports_nothing_heavy():
    script = (
        "import sys, gan_diffusion, gan_diffusion.recipes; "
        "print([m for m in ('torch', 'diffusers', 'triton', 'datasets', 'accelerate') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("first, second", [("gan_diffusion", "diffusers"), ("diffusers", "gan_diffusion")])
def test_importing_the_package_alone_registers_it_with_diffusers(first, second):
    script = (
        f"import {first}, {second}; from diffusers.pipelines.pipeline_loading_utils import LOADABLE_CLASSES; "
        "print(LOADABLE_CLASSES['gan_diffusion'])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "'ModelMixin': ['save_pretrained', 'from_pretrained']" in result.stdout


def test_every_public_name_resolves():
    assert set(gan_diffusion.__all__) <= set(dir(gan_diffusion))
    for name in gan_diffusion.__all__:
        assert getattr(gan_diffusion, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'DDGANPipelin'"):
        gan_diffusion.DDGANPipelin  # noqa: B018


def test_lazy_list_and_type_checkers_see_the_same_names():
    tree = ast.parse((SOURCE / "__init__.py").read_text())
    (checked,) = [node for node in tree.body if isinstance(node, ast.If)]
    typed = {alias.name for node in checked.body for alias in node.names}
    assert typed == set(gan_diffusion.__all__) - {"__version__"}


def test_the_wheel_holds_the_package_and_every_recipe(tmp_path):
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {str(f.relative_to(SOURCE.parent)) for f in SOURCE.rglob("*.py")}
    assert modules <= names and "gan_diffusion/py.typed" in names
    (data,) = {name.split("/")[0] for name in names if ".data/" in name}
    for file in (ROOT / "pipelines").rglob("*.*"):
        if file.is_file() and "__pycache__" not in file.parts:
            assert f"{data}/data/share/gan_diffusion/{file.relative_to(ROOT)}" in names, file
