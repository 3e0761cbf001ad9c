# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

import re

import pytest
import torch
from huggingface_hub import ModelCard

from gan_diffusion.publishing.cards import MEASURED_HEADING, PAPER_HEADING, make_card
from gan_diffusion.recipes import Recipe, list_recipes


RECIPE_HEADING = "## The recipe"


def card_of(recipe: Recipe, training: dict | None = None, **overrides) -> ModelCard:
    with torch.device("meta"):
        generator, discriminator = (recipe.build(part, **overrides) for part in ("generator", "discriminator"))
    pipeline = recipe.pipeline_class(generator, recipe.build("scheduler"))
    return ModelCard(make_card(pipeline, discriminator, recipe, recipe.training if training is None else training))


@pytest.mark.parametrize("name", list_recipes())
def test_card_of_every_recipe(name):
    recipe = Recipe.load(name)
    card = card_of(recipe)
    dataset = recipe.training.get("dataset_name")
    assert card.data.library_name == "gan_diffusion" and "diffusers" in card.data.tags
    assert card.data.datasets == ([dataset] if dataset and "/" in dataset else None)
    assert (card.data.pipeline_tag is None) == name.endswith("gaussians-25")
    headings = re.findall("^## .*", card.text, re.MULTILINE)
    assert headings[:3] == ["## Training", MEASURED_HEADING, RECIPE_HEADING]
    # Settings from a paper come with its scores, and these with their source.
    assert headings[3:] in ([], [PAPER_HEADING])
    if headings[3:]:
        assert f"{PAPER_HEADING}\n\nPublished numbers, not those of this checkpoint." in card.text
        assert re.search(r"arXiv\s\d{4}\.\d{5}", card.text.split(PAPER_HEADING)[1])
    assert recipe.notes.split("\n")[0] in card.text
    # Placeholders that were not filled in.
    assert not re.search(r"\{\w*\}", card.content)


def test_what_was_trained_is_not_taken_from_the_recipe():
    recipe = Recipe.load("ddgan-cifar10")
    of_a_folder = card_of(recipe, {**recipe.training, "dataset_name": None}, in_channels=1)
    about_the_run = of_a_folder.content.split(RECIPE_HEADING)[0]
    assert not re.search(r"CIFAR-10|uoft-cs|\b3\.75\b", about_the_run)
    assert "images of its author's own" in about_the_run and "--train_data_dir" in about_the_run
    assert "32x32 pixels with 1 channel." in about_the_run
    assert of_a_folder.data.datasets is None
    of_another = card_of(recipe, {**recipe.training, "dataset_name": "someone/birds"})
    assert of_another.data.datasets == ["someone/birds"]
    assert "[someone/birds](https://huggingface.co/datasets/someone/birds)" in of_another.text
    built_in = card_of(recipe, {**recipe.training, "dataset_name": "digits"})
    assert built_in.data.datasets is None and "Trained on `digits`" in built_in.text


def test_numbers_of_the_networks_are_counted():
    assert "has 48,432,515 parameters, the discriminator 12,741,633." in card_of(Recipe.load("ddgan-cifar10")).text
    assert "takes 2 network evaluations" in card_of(Recipe.load("ddgan-celebahq-256")).text


@pytest.mark.parametrize(
    ("name", "overrides", "call"),
    [
        ("ddgan-digits", {}, "pipeline().images[0]"),
        ("ddgan-digits", {"num_class_embeds": 10}, "pipeline(class_labels=[0]).images[0]"),
        ("ddgan-gaussians-25", {}, 'pipeline(batch_size=1000, output_type="np").images'),
    ],
)
def test_example_fits_the_model_and_runs(name, overrides, call):
    recipe = Recipe.load(name)
    card = card_of(recipe, **overrides)
    assert call in card.text
    assert ("Class-conditional" in card.text) == bool(overrides)
    assert ("unconditional-image-generation" in card.data.tags) == (call == "pipeline().images[0]")
    pipeline = recipe.pipeline_class(recipe.build("generator", **overrides), recipe.build("scheduler"))
    pipeline.set_progress_bar_config(disable=True)
    exec(re.search(r"^\w+ = pipeline\(.*", card.text, re.MULTILINE)[0], {"pipeline": pipeline})


def test_own_recipe_without_notes(tmp_path):
    recipe = Recipe.load("ddgan-digits")
    for file in recipe.path.rglob("*.*"):
        if file.name != "notes.md":
            target = tmp_path / "mine" / file.relative_to(recipe.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    card = card_of(Recipe.load(tmp_path / "mine"))
    assert "# DDGAN, recipe mine" in card.text and RECIPE_HEADING not in card.text
