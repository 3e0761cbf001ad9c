# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

import json
import shutil

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
from gan_diffusion.publishing import record_measurements, renew_checksums, save_repository
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
        "model_index.json", "modular_blocks.py", "modular_config.json", "modular_model_index.json", "pipeline.py",
        "scheduler/scheduler_config.json", "training.yaml",
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
    assert "## Training" in before and "## Limits" in after
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


def test_export_has_checksums_and_usual_rights(saved):
    files = json.loads((saved / "checksums.json").read_text())["files"]
    assert {name.split("/")[0] for name in files} == {"model_index.json", "generator", "scheduler", "discriminator"}
    (saved / "plain").write_text("")
    usual = (saved / "plain").stat().st_mode
    assert {path.stat().st_mode for path in saved.rglob("*") if path.is_file()} == {usual}


@pytest.mark.parametrize("part", ["generator", "discriminator"])
def test_weights_that_are_no_numbers_are_not_exported(saved, recipe, part):
    before = contents(saved)
    networks = {name: recipe.build(name) for name in ("generator", "discriminator")}
    next(networks[part].parameters()).data.fill_(float("nan"))
    pipeline = DDGANPipeline(networks["generator"], recipe.build("scheduler"))
    with pytest.raises(ValueError, match="must hold finite numbers"):
        save_repository(saved, pipeline, networks["discriminator"], recipe, recipe.training, {})
    assert contents(saved) == before


def test_what_the_disk_does_not_keep_is_noticed(tmp_path, pipeline, discriminator, recipe, monkeypatch):
    write = type(discriminator).save_pretrained

    def lose(network, folder, **options):
        changed = recipe.build("discriminator")
        changed.load_state_dict(network.state_dict())
        next(changed.parameters()).data.view(-1)[0] += 1
        write(changed, folder, **options)

    monkeypatch.setattr(type(discriminator), "save_pretrained", lose)
    with pytest.raises(OSError, match="is not what was written"):
        save_repository(tmp_path, pipeline, discriminator, recipe, recipe.training, {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("value", "text"),
    [(float("nan"), "nan"), (float("inf"), "inf"), (-float("inf"), "-inf"), (1e300, "1e+300"), (0, "0")],
)
def test_measurements_that_are_no_numbers_are_written_as_text(saved, value, text):
    record_measurements(saved, {"FID": value})
    record_measurements(saved, {"steps": 9})
    known = json.loads((saved / "measurements.json").read_text(), parse_constant=pytest.fail)
    assert str(known["FID"]) == text
    assert f"| FID | {text} |" in rows((saved / "README.md").read_text())


@pytest.mark.parametrize("content", ["", '{"steps": 5,', "[]", "\x00", '{"steps": NaN}', '{"a": 1, "a": 2}'])
def test_damaged_measurements_are_named_and_kept(saved, content):
    (saved / "measurements.json").write_text(content)
    before = contents(saved)
    with pytest.raises(ValueError, match=r"`measurements.json` must .* Delete it, and record the numbers again"):
        record_measurements(saved, {"FID": 3.5})
    assert contents(saved) == before


def test_measurements_survive_a_failure(saved, monkeypatch):
    before = contents(saved)
    monkeypatch.setattr("os.replace", lambda *args: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        record_measurements(saved, {"FID": 3.5})
    after = contents(saved)
    assert {name: after[name] for name in before} == before


def test_measurements_go_to_the_newest_export(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "copy")
    (tmp_path / "copy").rename(saved / ".export")
    (saved / "model_index.json").unlink()
    record_measurements(saved, {"FID": 3.5})
    assert (saved / "model_index.json").is_file() and not list(saved.glob(".*"))
    assert "| FID | 3.5 |" in rows((saved / "README.md").read_text())


def test_checksums_are_renewed_for_a_pipeline_alone(saved, tmp_path):
    with pytest.raises(ValueError, match="`folder` must hold a model_index.json"):
        renew_checksums(tmp_path)
    (saved / "discriminator" / "config.json").write_text((saved / "discriminator" / "config.json").read_text() + "\n")
    with pytest.raises(ValueError, match="`discriminator/config.json` in .* must be as it was saved"):
        MLPDiscriminator.from_pretrained(saved / "discriminator")
    renew_checksums(saved)
    assert MLPDiscriminator.from_pretrained(saved, subfolder="discriminator")
