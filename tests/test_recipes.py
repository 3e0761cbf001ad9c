# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import importlib.util
import json

import pytest
from accelerate import init_empty_weights
from huggingface_hub import ModelCard

import gan_diffusion
from gan_diffusion.recipes import Recipe, list_recipes
from gan_diffusion.training import DDGANArguments, parse_arguments


PUBLISHED_PARAMETERS = {
    "ddgan-cifar10": (48_432_515, 12_741_633),
    "ddgan-stackedmnist": (48_432_515, 12_741_633),
    "ddgan-celebahq-256": (39_726_979, 27_737_217),
    "ddgan-lsun-church-256": (39_726_979, 27_737_217),
}
SMALL = {"ddgan-digits", "ddgan-fashion-mnist", "ddgan-gaussians-25"}


def test_all_recipes_are_found():
    assert set(list_recipes()) == SMALL | set(PUBLISHED_PARAMETERS)


@pytest.mark.parametrize("name", list_recipes())
class TestRecipe:
    def test_components_are_built_and_their_configs_are_complete(self, name):
        recipe = Recipe.load(name)
        with init_empty_weights():
            components = {part: recipe.build(part) for part in ("generator", "discriminator", "scheduler")}
        for part, component in components.items():
            file = recipe.path / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
            written, known = json.loads(file.read_text()), dict(component.config)
            assert set(written) - {"_class_name", "_diffusers_version"} == {k for k in known if not k.startswith("_")}
        if name in PUBLISHED_PARAMETERS:
            counts = [sum(p.numel() for p in components[part].parameters()) for part in ("generator", "discriminator")]
            assert tuple(counts) == PUBLISHED_PARAMETERS[name]

    def test_index_is_what_save_pretrained_writes(self, name, tmp_path):
        recipe = Recipe.load(name)
        index = json.loads((recipe.path / "model_index.json").read_text())
        pipeline_class = getattr(gan_diffusion, index["_class_name"])
        # A small generator of the same class: the index names classes only.
        small = {
            "base_channels": 16,
            "channel_multipliers": [1, 1],
            "layers_per_block": 1,
            "attention_resolutions": [],
        }
        generator = recipe.build("generator", **(small if len(recipe.sample_shape()) == 3 else {}))
        pipeline_class(generator, recipe.build("scheduler")).save_pretrained(tmp_path)
        written = json.loads((tmp_path / "model_index.json").read_text())
        for content in (index, written):
            content.pop("_diffusers_version")
        assert index == written
        assert (recipe.path / "scheduler" / "scheduler_config.json").is_file() == ("scheduler" in written)

    def test_training_options_are_known_and_valid(self, name):
        arguments = parse_arguments(DDGANArguments, "", ["--recipe", name, "--output_dir", "unused"])
        for option, value in Recipe.load(name).training.items():
            assert getattr(arguments, option) == value, option

    def test_card(self, name):
        recipe = Recipe.load(name)
        card = ModelCard.load(recipe.path / "README.md")
        assert card.data.library_name == "gan_diffusion" and "diffusers" in card.data.tags
        assert f"--recipe {name} " in card.text and "Published scores" in card.text

    def test_pipeline_file_shows_the_installed_class(self, name):
        recipe = Recipe.load(name)
        specification = importlib.util.spec_from_file_location("recipe_pipeline", recipe.path / "pipeline.py")
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        index = json.loads((recipe.path / "model_index.json").read_text())
        assert getattr(module, index["_class_name"]) is getattr(gan_diffusion, index["_class_name"])


def test_a_recipe_can_be_a_folder(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model_index.json").write_text("{}")
    assert Recipe.load(tmp_path / "mine").name == "mine"
    with pytest.raises(ValueError, match="generator/config.json"):
        Recipe.load(tmp_path / "mine").build("generator")


def test_unknown_recipe_names_the_known_ones():
    with pytest.raises(ValueError, match="'ddgan-nothing'.*ddgan-cifar10"):
        Recipe.load("ddgan-nothing")


def test_foreign_classes_are_refused(tmp_path):
    (tmp_path / "generator").mkdir()
    (tmp_path / "model_index.json").write_text("{}")
    (tmp_path / "generator" / "config.json").write_text('{"_class_name": "os.system"}')
    with pytest.raises(ValueError, match="os.system"):
        Recipe.load(tmp_path).build("generator")


def test_overrides_replace_config_values():
    recipe = Recipe.load("ddgan-digits")
    assert recipe.build("generator", sample_size=16).config.sample_size == 16
    assert recipe.sample_shape(16) == (1, 16, 16)
    with pytest.raises(ValueError, match="depth"):
        recipe.build("generator", depth=3)


def test_the_command_line_replaces_the_recipe():
    argv = [
        "--recipe",
        "ddgan-digits",
        "--output_dir",
        "unused",
        "--learning_rate_g",
        "0.1",
        "--train_data_dir",
        "mine",
    ]
    arguments = parse_arguments(DDGANArguments, "", argv)
    assert arguments.learning_rate_g == 0.1 and arguments.train_data_dir == "mine" and arguments.dataset_name is None


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--output_dir", "o"], "--recipe"),
        (["--recipe", "ddgan-digits"], "--output_dir"),
        (["--recipe", "ddgan-digits", "--output_dir", "o", "--train_batch_size", "0"], "--train_batch_size"),
        (["--recipe", "ddgan-digits", "--output_dir", "o", "--ema_decay", "1.5"], "--ema_decay"),
        (
            ["--recipe", "ddgan-digits", "--output_dir", "o", "--dataset_name", "x", "--train_data_dir", "y"],
            "not both",
        ),
    ],
)
def test_bad_options_are_refused(argv, message):
    with pytest.raises(ValueError, match=message):
        parse_arguments(DDGANArguments, "", argv)


def test_unknown_options_are_refused(tmp_path, capsys):
    with pytest.raises((SystemExit, ValueError)):
        parse_arguments(DDGANArguments, "", ["--recipe", "ddgan-digits", "--output_dir", "o", "--learning_rat", "1"])
    recipe = tmp_path / "mine"
    recipe.mkdir()
    (recipe / "model_index.json").write_text("{}")
    (recipe / "training.yaml").write_text("dataset_name: digits\nlerning_rate: 1\n")
    with pytest.raises(ValueError, match="lerning_rate"):
        parse_arguments(DDGANArguments, "", ["--recipe", str(recipe), "--output_dir", "o"])
