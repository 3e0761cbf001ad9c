# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

import json

import diffusers
import pytest
import torch
from huggingface_hub import ModelCard

from gan_diffusion import (
    DDGANPipeline,
    DiffusionGANPipeline,
    DiffusionGANScheduler,
    LatentMLPGenerator,
    MLPDiscriminator,
)
from gan_diffusion.publishing import record_measurements, save_repository
from gan_diffusion.recipes import Recipe


HEADING = "## Measured on this checkpoint"


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return Recipe.load("ddgan-digits")


@pytest.fixture(scope="module")
def pipeline(recipe) -> DDGANPipeline:
    return DDGANPipeline(recipe.build("generator"), recipe.build("scheduler"))


@pytest.fixture(scope="module")
def discriminator(recipe) -> MLPDiscriminator:
    return recipe.build("discriminator")


@pytest.fixture
def saved(tmp_path, pipeline, discriminator, recipe):
    folder = tmp_path / "model"
    save_repository(folder, pipeline, discriminator, recipe, recipe.training, {"steps": 5, "images per second": 12.5})
    return folder


def contents(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows(card: str) -> list[str]:
    section = card.split(HEADING)[1].split("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("| ")][1:]


def test_repository_has_every_file_and_no_other(saved):
    assert set(contents(saved)) == {
        "README.md", "checksums.json", "discriminator/config.json", "discriminator/diffusion_pytorch_model.safetensors",
        "generator/config.json", "generator/diffusion_pytorch_model.safetensors", "measurements.json",
        "model_index.json", "pipeline.py", "scheduler/scheduler_config.json", "training.yaml",
    }  # fmt: skip
    assert not list(saved.glob(".*"))


def test_repository_loads_back(saved, pipeline, discriminator):
    loaded = DDGANPipeline.from_pretrained(saved)
    pairs = [
        (loaded.generator, pipeline.generator),
        (MLPDiscriminator.from_pretrained(saved / "discriminator"), discriminator),
    ]
    for module, expected in pairs:
        torch.testing.assert_close(module.state_dict(), expected.state_dict(), rtol=0, atol=0)
    assert loaded.scheduler.config.num_train_timesteps == pipeline.scheduler.config.num_train_timesteps


def test_repository_is_a_recipe_with_the_options_of_the_run(saved, recipe):
    again = Recipe.load(saved)
    assert again.training == recipe.training and again.pipeline_class is DDGANPipeline
    assert again.config("generator") == {**recipe.config("generator"), "_diffusers_version": diffusers.__version__}


def test_card_has_the_numbers(saved):
    card = ModelCard.load(saved / "README.md")
    assert card.data.library_name == "gan_diffusion"
    assert rows(card.text) == ["| steps | 5 |", "| images per second | 12.5 |"]


def test_pipeline_of_another_method_is_refused(tmp_path, discriminator, recipe):
    other = DiffusionGANPipeline(LatentMLPGenerator(hidden_dim=8), DiffusionGANScheduler(max_timesteps=20))
    with pytest.raises(ValueError, match="`pipeline` must be the DDGANPipeline of the recipe 'ddgan-digits'"):
        save_repository(tmp_path / "model", other, discriminator, recipe, recipe.training, {})
    assert not list(tmp_path.iterdir())


def test_measurements_replace_older_ones_of_their_name(saved):
    record_measurements(saved, {"steps": 6, "FID": 3.5})
    expected = {"steps": 6, "images per second": 12.5, "FID": 3.5}
    assert json.loads((saved / "measurements.json").read_text()) == expected
    card = (saved / "README.md").read_text()
    assert card.count(HEADING) == 1
    assert rows(card) == [f"| {name} | {value} |" for name, value in expected.items()]
    record_measurements(saved, {"steps": 6})
    assert (saved / "README.md").read_text() == card


def test_sections_around_the_measurements_stay(saved):
    card = saved / "README.md"
    card.write_text(card.read_text() + "\n## Limits\n\nSmall \N{MULTIPLICATION SIGN} few.\n", encoding="utf-8")
    before, after = card.read_text(encoding="utf-8").split("| steps | 5 |\n| images per second | 12.5 |\n")
    assert "## Training" in before and "## The recipe" in after
    record_measurements(saved, {"steps": 7})
    record_measurements(saved, {"steps": 8})
    text = card.read_text(encoding="utf-8")
    assert text == f"{before}| steps | 8 |\n| images per second | 12.5 |\n{after}"


def test_measurements_need_a_card(tmp_path):
    with pytest.raises(ValueError, match="`folder` must hold a README"):
        record_measurements(tmp_path, {"steps": 5})
    assert not list(tmp_path.iterdir())


def test_saving_again_replaces_the_checkpoint_and_nothing_else(saved, pipeline, discriminator, recipe):
    stale = saved / "generator" / "diffusion_pytorch_model.safetensors.index.json"
    stale.write_text("{}")
    (saved / "samples.txt").write_text("kept")
    save_repository(saved, pipeline, discriminator, recipe, recipe.training, {"steps": 10})
    assert not stale.exists()
    assert (saved / "samples.txt").read_text() == "kept"
    # Numbers measured on the old weights say nothing about the new ones.
    assert json.loads((saved / "measurements.json").read_text()) == {"steps": 10}


def test_failing_save_leaves_the_old_files(saved, pipeline, discriminator, recipe, monkeypatch):
    before = contents(saved)

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(discriminator, "save_pretrained", fail)
    with pytest.raises(OSError, match="disk full"):
        save_repository(saved, pipeline, discriminator, recipe, recipe.training, {"steps": 10})
    assert contents(saved) == before
    assert not list(saved.glob(".*"))
