# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import re
import shlex
from pathlib import Path

import pytest
import torch

from gan_diffusion.publishing import save_repository
from gan_diffusion.recipes import Recipe, list_recipes
from gan_diffusion.training import DDGANArguments, DiffusionGANArguments, SPIGANArguments, parse_arguments


ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "training_scripts" / "README.md"]
ARGUMENTS = {
    "training_scripts/train_ddgan.py": DDGANArguments,
    "training_scripts/train_diffusion_gan.py": DiffusionGANArguments,
    "training_scripts/train_spi_gan.py": SPIGANArguments,
}
# A block after this comment needs something that a test does not have.
NOT_RUN = "<!-- not run"


def blocks(language: str) -> list:
    """All code blocks of a language, each with its page and line as the test's name."""
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in re.finditer(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            before = text[: match.start()].rstrip().splitlines()
            if not (before and before[-1].startswith(NOT_RUN)):
                line = text.count("\n", 0, match.start()) + 1
                found.append(pytest.param(match[1], id=f"{page.relative_to(ROOT)}:{line}"))
    return found


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with the pipelines that the digits recipes leave, untrained."""
    torch.manual_seed(0)
    for method in ("ddgan", "diffusion-gan", "spi-gan"):
        recipe = Recipe.load(f"{method}-digits")
        pipeline = recipe.pipeline_class(recipe.build("generator"), recipe.build("scheduler"))
        discriminator = recipe.build("discriminator")
        save_repository(tmp_path / "runs" / recipe.name, pipeline, discriminator, recipe, recipe.training, {})
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("code", blocks("python"))
def test_python_examples_run(code, folder):
    exec(compile(code, "example", "exec"), {})


@pytest.mark.parametrize("code", blocks("bash"))
def test_commands_name_existing_scripts_recipes_and_options(code):
    for command in code.replace("\\\n", " ").splitlines():
        words = shlex.split(command, comments=True)
        scripts = [word for word in words if word.startswith("training_scripts/")]
        for script in scripts:
            assert (ROOT / script).is_file(), script
        if scripts and scripts[0] in ARGUMENTS:
            options = words[words.index(scripts[0]) + 1 :]
            arguments = parse_arguments(ARGUMENTS[scripts[0]], "", options)
            assert arguments.run.recipe in list_recipes()
        if words[:1] == ["make"]:
            assert f"\n{words[1]}:" in (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES])
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


def test_tests_that_are_named_exist():
    named = set(re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", (ROOT / "docs" / "conventions.md").read_text()))
    assert named
    for file, name in named:
        assert f"def {name}(" in (ROOT / "tests" / file).read_text() or not name, f"{file}::{name}"


def test_every_recipe_is_listed_in_the_readme():
    assert set(re.findall(r"^\| `([\w-]+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE)) == set(list_recipes())


def test_measured_numbers_are_those_of_the_results(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks" / "evidence")
    import report

    for page, text in report.pages().items():
        assert page.read_text() == text, f"{page.name}: run benchmarks/evidence/report.py"
