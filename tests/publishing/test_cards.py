# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""A card says what was trained, on what and how. Nothing of it is the recipe's data, notes or scores."""

import re

import pytest
import torch
import yaml
from huggingface_hub import ModelCard, ModelCardData

from gan_diffusion.publishing.cards import MEASURED_HEADING, make_card
from gan_diffusion.recipes import Recipe, list_recipes


HEADINGS = ["## Training data", "## Training", MEASURED_HEADING]


def card_of(recipe: Recipe, training: dict | None = None, record: dict | None = None, id2label=None, **overrides):
    with torch.device("meta"):
        generator, discriminator = (recipe.build(part, **overrides) for part in ("generator", "discriminator"))
    pipeline = recipe.pipeline_class(generator, recipe.build("scheduler"), id2label)
    text = make_card(pipeline, discriminator, recipe, recipe.training if training is None else training, record)
    card = ModelCard(text)
    # The metadata survive the Hub's own reader and writer.
    assert ModelCardData(**yaml.safe_load(card.data.to_yaml())).to_dict() == card.data.to_dict()
    # No placeholder is left unfilled.
    assert not re.search(r"\{\w*\}", card.content)
    return card


def record_of(recipe: Recipe, /, **changes) -> dict:
    """The record of a run on a folder of photographs."""
    return {
        "recipe": recipe.name,
        "recipe_kind": "published",
        "command": f"ddgan --recipe {recipe.name} --output_dir path/to/output --train_data_dir path/to/data",
        "data": {"name": None, "num_samples": 1234, "class_names": None, "sizes": "from 200x180 to 4000x3000 pixels"},
        "options": {"r1_gamma": {"value": 0.5, "origin": "typed", "instead_of": 0.02},
                    "seed": {"value": 1024, "origin": "default"}},
        "starts": [start_of()],
    } | changes  # fmt: skip


def start_of(processes: int = 1, device: str = "cpu") -> dict:
    """The first start of a run."""
    return {"from_step": 0, "versions": {"gan_diffusion": "9.8.7"}, "processes": processes, "device": device}


@pytest.mark.parametrize("name", list_recipes())
def test_card_of_a_model_of_every_recipe_has_nothing_of_its_notes(name):
    recipe = Recipe.load(name)
    card = card_of(recipe)
    dataset = recipe.training.get("dataset_name")
    assert card.data.library_name == "gan_diffusion" and "diffusers" in card.data.tags
    assert card.data.datasets == ([dataset] if dataset and "/" in dataset else None)
    unconditional = Recipe.load(name).config("generator").get("num_class_embeds") is None
    assert (card.data.pipeline_tag is None) == (name.endswith("gaussians-25") or not unconditional)
    assert re.findall("^## .*", card.text, re.MULTILINE) == HEADINGS
    for line in recipe.notes.splitlines():
        assert len(line) < 20 or line not in card.content
    assert f"`{name}`" in card.text


@pytest.mark.parametrize("name", list_recipes())
def test_scores_in_the_notes_of_a_recipe_have_their_source(name):
    _, heading, scores = Recipe.load(name).notes.partition("## Scores of the paper")
    assert not heading or re.search(r"arXiv\s\d{4}\.\d{5}", scores)


@pytest.mark.parametrize("name", ["ddgan-cifar10", "diffusion-stylegan2-ffhq-1024", "spi-gan-celebahq-256"])
def test_own_photographs_do_not_become_the_recipes_data(name):
    recipe = Recipe.load(name)
    training = {key: value for key, value in recipe.training.items() if key != "dataset_name"}
    card = card_of(recipe, training, record_of(recipe), num_class_embeds=3)
    without_names = card.content.replace(name, "")
    assert not re.search(r"(?i)cifar|uoft-cs|ffhq|celeb|FID|\b3\.75\b|unconditional", without_names)
    assert "1,234 images of its author's own" in card.text and "from 200x180 to 4000x3000 pixels" in card.text
    assert "Licence of the data: not known" in card.text and card.data.datasets is None
    assert "--train_data_dir path/to/data" in card.text


def test_hub_data_are_named_and_linked():
    recipe = Recipe.load("ddgan-cifar10")
    data = {"name": "someone/birds", "num_samples": 7, "class_names": None, "licence": "cc-by-4.0"}
    card = card_of(recipe, record=record_of(recipe, data=data))
    assert card.data.datasets == ["someone/birds"]
    assert "7 images of [someone/birds](https://huggingface.co/datasets/someone/birds)" in card.text
    assert "Licence of the data: cc-by-4.0" in card.text
    built_in = card_of(recipe, {"dataset_name": "digits"})
    assert built_in.data.datasets is None and "images of `digits`" in built_in.text
    unknown = card_of(recipe, {})
    assert "Images of its author's own" in unknown.text and "--train_data_dir path/to/data" in unknown.text


def test_settings_that_differ_from_the_recipe_are_listed_and_local_ones_are_not():
    recipe = Recipe.load("ddgan-cifar10")
    options = {
        "r1_gamma": {"value": 0.5, "origin": "typed", "instead_of": 0.02},
        "train_data_dir": {"value": "/home/me/cats", "origin": "typed", "instead_of": None},
        "seed": {"value": 1024, "origin": "default"},
    }
    card = card_of(recipe, {"r1_gamma": 0.5, "seed": 1024}, record_of(recipe, options=options))
    assert "| r1_gamma | 0.5 | 0.02 |" in card.text
    assert "seed" not in card.text and "/home/me" not in card.content
    assert "gan_diffusion 9.8.7" in card.text


@pytest.mark.parametrize(
    ("kind", "phrase"),
    [
        ("published", "its recipe `mine`"),
        ("folder", "a recipe of its author's own, `mine`"),
        ("run", "the settings of an earlier run with the recipe `mine`"),
    ],
)
def test_where_the_settings_come_from(kind, phrase):
    recipe = Recipe.load("ddgan-digits")
    card = card_of(recipe, record=record_of(recipe, recipe="mine", recipe_kind=kind))
    assert phrase in card.text


def test_classes_are_counted_and_their_names_are_harmless():
    recipe = Recipe.load("ddgan-digits")
    names = ["cat", "a`b\n## Scores", *(f"kind {number}" for number in range(28))]
    data = {"name": None, "num_samples": 30, "class_names": names, "classes": dict.fromkeys(names, 1)}
    names_by_number = dict(enumerate(names))
    card = card_of(recipe, record=record_of(recipe, data=data), id2label=names_by_number, num_class_embeds=30)
    assert "30 classes: `cat` (1), `a'b ## Scores` (1), `kind 0` (1)" in card.text and "and 10 more" in card.text
    assert re.findall("^## .*", card.text, re.MULTILINE) == HEADINGS
    assert 'pipeline(class_labels=["cat"])' in card.text


@pytest.mark.parametrize("name", ["someone/model", None])
def test_what_it_was_fine_tuned_from(name):
    recipe = Recipe.load("ddgan-digits")
    card = card_of(recipe, record=record_of(recipe, fine_tuned_from={"name": name}))
    assert card.data.base_model == name
    expected = "[someone/model](https://huggingface.co/someone/model)" if name else "a saved model of its author's own"
    assert f"Fine-tuned from {expected}." in card.text


@pytest.mark.parametrize(
    ("processes", "device", "launcher"),
    [
        (1, "cpu", "accelerate launch"),
        (1, "cuda", "accelerate launch"),
        (2, "cpu", "torchrun --nproc_per_node 2"),
        (4, "cuda", "accelerate launch --multi_gpu --num_processes 4"),
    ],
)
def test_the_command_starts_as_many_processes_as_the_run_had(processes, device, launcher):
    recipe = Recipe.load("ddgan-digits")
    text = card_of(recipe, record=record_of(recipe, starts=[start_of(processes, device)])).text
    assert f"\n{launcher} -m gan_diffusion train ddgan --recipe ddgan-digits " in text


def test_changes_on_the_way_are_told_without_local_ones():
    recipe = Recipe.load("ddgan-digits")
    later = {"from_step": 300, "changed": {"max_train_steps": {}, "train_data_dir": {"before": "/home/me"}}}
    card = card_of(recipe, {"max_train_steps": 9}, record_of(recipe, starts=[start_of(), later, {"from_step": 400}]))
    assert "From step 300 on, the run had other values of max_train_steps than before." in card.text
    assert "/home/me" not in card.content and "step 400" not in card.text


def test_numbers_of_the_networks_are_counted():
    assert "has 48,432,515 parameters, the discriminator 12,741,633." in card_of(Recipe.load("ddgan-cifar10")).text
    assert "takes 2 network evaluations" in card_of(Recipe.load("ddgan-celebahq-256")).text
    assert "32x32 pixels with 1 channel." in card_of(Recipe.load("ddgan-cifar10"), in_channels=1).text


@pytest.mark.parametrize(
    ("name", "overrides", "call"),
    [
        ("ddgan-digits", {"num_class_embeds": None}, "pipeline().images[0]"),
        ("ddgan-digits", {}, "pipeline(class_labels=[0]).images[0]"),
        ("ddgan-gaussians-25", {}, 'pipeline(batch_size=1000, output_type="np").images'),
    ],
)
def test_example_fits_the_model_and_runs(name, overrides, call):
    recipe = Recipe.load(name)
    card = card_of(recipe, **overrides)
    assert call in card.text
    assert ("Class-conditional" in card.text) == ("class_labels" in call)
    assert ("unconditional-image-generation" in (card.data.tags or ())) == (call == "pipeline().images[0]")
    pipeline = recipe.pipeline_class(recipe.build("generator", **overrides), recipe.build("scheduler"))
    pipeline.set_progress_bar_config(disable=True)
    exec(re.search(r"^\w+ = pipeline\(.*", card.text, re.MULTILINE)[0], {"pipeline": pipeline})
