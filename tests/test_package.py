# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import gan_diffusion


ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "gan_diffusion"

# What each part may import from the package, besides itself. Nothing outside imports flows upwards.
ALLOWED = {
    "kernels": set(),
    "schedulers": {"kernels"},
    "models": set(),
    "conversion": {"models"},
    "pipelines": {"schedulers", "models", "recipes", "registration"},
    "metrics": set(),
    "recipes": {""},
    "registration": set(),
    "hub": {"recipes", ""},
    "training": {"schedulers", "models", "recipes", "kernels", "hub"},
    "diffused_discriminator": {"schedulers"},
    "__init__": {"registration", "schedulers", "models", "pipelines", "diffused_discriminator"},
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


def test_kernels_import_only_torch_and_triton():
    for file in (SOURCE / "kernels").glob("*.py"):
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
