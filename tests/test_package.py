# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import ast
import graphlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

import gan_diffusion


ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "gan_diffusion"

# What each part may import from the package, besides itself: parts of lower floors, or of its own floor without a
# circle.
FLOORS = (
    {
        "registry": set(),
        "options": set(),
        "kernels": set(),
        "storage": set(),
        "configs": {"storage"},
        "environment": set(),
        "processes": set(),
    },
    {
        "schedulers": {"kernels", "storage", "configs"},
        "models": {"kernels", "storage", "configs", "schedulers"},
        "data": {"options", "kernels", "storage"},
        "metrics": {"models"},
    },
    {"pipelines": {"registry", "options", "storage", "configs", "schedulers", "models"}},
    {
        "recipes": {"registry", "storage"},
        "publishing": {"storage", "pipelines", "recipes"},
        "demo": {"models", "pipelines"},
    },
    {
        "training": {
            "registry",
            "options",
            "processes",
            "storage",
            "schedulers",
            "models",
            "data",
            "metrics",
            "recipes",
            "publishing",
            "evaluation",
        },  # fmt: skip
        "evaluation": {"options", "processes", "storage", "data", "metrics", "pipelines", "publishing"},
        "conversion": {"schedulers", "models", "pipelines", "recipes", "publishing"},
    },
    {"cli": {"environment", "pipelines", "publishing", "demo", "training", "evaluation", "conversion"}},
)
# The package itself is its public list, for which it needs the registry; the rest it names for type checkers alone.
ALLOWED = {part: allowed for floor in FLOORS for part, allowed in floor.items()} | {
    "__init__": {"registry", "schedulers", "models", "pipelines"},
    "__main__": {"cli"},
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


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel that is built from the source distribution, in an environment where nobody can import torch."""
    folder = tmp_path_factory.mktemp("build")
    for name in ("src", "pipelines"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for pattern in ("*.cfg", "*.toml", "*.in", "*.txt", "*.md", "*.cff", "LICENSE"):
        for file in ROOT.glob(pattern):
            shutil.copy(file, folder)
    (folder / "no_torch").mkdir()
    (folder / "no_torch" / "torch.py").write_text("raise RuntimeError('the build imports torch')")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist"), str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(folder / "no_torch")}
    done = subprocess.run(build, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (folder / "dist").glob("*.whl")
    return wheel


def test_the_wheel_holds_the_package_every_recipe_and_shipped_model_and_nothing_else(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    modules = {str(file.relative_to(SOURCE.parent)) for file in SOURCE.rglob("*.py")}
    recipes = {
        f"gan_diffusion/_recipes/{file.relative_to(ROOT / 'pipelines')}"
        for file in (ROOT / "pipelines").rglob("*.*")
        if file.is_file()
    }
    shipped = [file for file in (SOURCE / "pipelines" / "weights").rglob("*") if file.is_file()]
    weights = {str(file.relative_to(SOURCE.parent)) for file in [*SOURCE.rglob("*.safetensors"), *shipped]}
    assert names == modules | recipes | weights | {"gan_diffusion/py.typed"}


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The folder that holds the package as pip unpacks it."""
    target = tmp_path_factory.mktemp("installed") / "target"
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(target), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    return target


def run_installed(installed: Path, tmp_path: Path, *arguments: str) -> str:
    """Output of Python with that package, in a folder away from the checkout."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path, env=environment)
    return done.stdout


def test_recipes_are_found_where_pip_puts_the_package(installed, tmp_path):
    script = (
        "import json; from gan_diffusion.recipes import Recipe, list_recipes; names = list_recipes(); "
        "print(json.dumps([(name, str(Recipe.load(name).path)) for name in names]))"
    )
    found = dict(json.loads(run_installed(installed, tmp_path, "-c", script)))
    assert set(found) == {file.parent.name for file in (ROOT / "pipelines").glob("*/training.yaml")}
    assert all(Path(path) == installed / "gan_diffusion" / "_recipes" / name for name, path in found.items())


def test_the_command_finds_recipes_where_pip_puts_the_package(installed, tmp_path):
    script = (
        "from gan_diffusion.cli import main; main(['recipes', 'ddgan-digits']); "
        "main(['train', 'ddgan', '--recipe', 'ddgan-digits', '--help'])"
    )
    shown = run_installed(installed, tmp_path, "-c", script)
    assert f"Files: {installed / 'gan_diffusion' / '_recipes' / 'ddgan-digits'}\n" in shown
    steps = yaml.safe_load((ROOT / "pipelines" / "ddgan-digits" / "training.yaml").read_text())["max_train_steps"]
    assert f"(default: {steps})" in shown


def test_the_version_is_one(wheel):
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == gan_diffusion.__version__ == wheel.name.split("-")[1]
