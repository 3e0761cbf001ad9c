# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import importlib.util
import json
import re

import pytest
from accelerate import init_empty_weights
from huggingface_hub import ModelCard

import gan_diffusion
from gan_diffusion.recipes import Recipe, list_recipes
from gan_diffusion.training import DDGANArguments, DiffusionGANArguments, SPIGANArguments, parse_arguments


PUBLISHED_PARAMETERS = {
    "ddgan-cifar10": (48_432_515, 12_741_633),
    "ddgan-stackedmnist": (48_432_515, 12_741_633),
    "ddgan-celebahq-256": (39_726_979, 27_737_217),
    "ddgan-lsun-church-256": (39_726_979, 27_737_217),
    "diffusion-stylegan2-cifar10": (19_947_539, 23_085_056),
    "diffusion-stylegan2-celeba-64": (22_243_608, 25_771_776),
    "diffusion-stylegan2-stl10-64": (25_456_664, 28_853_248),
    "diffusion-stylegan2-lsun-bedroom-256": (24_767_458, 26_365_504),
    "diffusion-stylegan2-lsun-church-256": (24_767_458, 26_365_504),
    "diffusion-stylegan2-ffhq-1024": (30_370_060, 31_376_928),
}
PROPOSED = {"spi-gan-cifar10", "spi-gan-celebahq-256", "spi-gan-lsun-church-256"}
SMALL = {
    f"{method}-{data}"
    for method in ("ddgan", "diffusion-gan", "spi-gan")
    for data in ("digits", "fashion-mnist", "gaussians-25")
}
ARGUMENTS = {
    "DDGANPipeline": DDGANArguments,
    "DiffusionGANPipeline": DiffusionGANArguments,
    "SPIGANPipeline": SPIGANArguments,
}
# Generators that are large unless told otherwise, made small where their size does not matter.
SMALL_CONFIGS = {
    "NCSNppGenerator": {
        "base_channels": 16,
        "channel_multipliers": [1, 1],
        "layers_per_block": 1,
        "attention_resolutions": [],
    },
    "StyleGAN2Generator": {"sample_size": 8, "channel_max": 8, "latent_dim": 8, "w_dim": 8},
    "SPIGANGenerator": {"sample_size": 8, "channel_max": 8, "w_dim": 8, "mapping_dim": 8},
}
NETWORKS = ("generator", "discriminator")


def index_of(recipe: Recipe) -> dict:
    return json.loads((recipe.path / "model_index.json").read_text())


def build_without_weights(recipe: Recipe) -> dict:
    with init_empty_weights():
        return {part: recipe.build(part) for part in (*NETWORKS, "scheduler")}


def count_parameters(network) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_all_recipes_are_found():
    assert set(list_recipes()) == SMALL | PROPOSED | set(PUBLISHED_PARAMETERS)


@pytest.mark.parametrize("name", list_recipes())
class TestRecipe:
    def test_components_are_built_and_their_configs_are_complete(self, name):
        recipe = Recipe.load(name)
        components = build_without_weights(recipe)
        for part, component in components.items():
            file = recipe.path / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
            written, known = json.loads(file.read_text()), dict(component.config)
            assert set(written) - {"_class_name", "_diffusers_version"} == {k for k in known if not k.startswith("_")}
        if name in PUBLISHED_PARAMETERS:
            assert tuple(count_parameters(components[part]) for part in NETWORKS) == PUBLISHED_PARAMETERS[name]

    def test_index_is_what_save_pretrained_writes(self, name, tmp_path):
        recipe = Recipe.load(name)
        index = index_of(recipe)
        pipeline_class = getattr(gan_diffusion, index["_class_name"])
        # A small generator of the same class: the index names classes only.
        generator = recipe.build("generator", **SMALL_CONFIGS.get(index["generator"][1], {}))
        pipeline_class(generator, recipe.build("scheduler")).save_pretrained(tmp_path)
        written = json.loads((tmp_path / "model_index.json").read_text())
        for content in (index, written):
            content.pop("_diffusers_version")
        assert index == written
        assert (recipe.path / "scheduler" / "scheduler_config.json").is_file() == ("scheduler" in written)

    def test_training_options_are_known_and_valid(self, name):
        recipe = Recipe.load(name)
        argv = ["--recipe", name, "--output_dir", "unused"]
        if "dataset_name" not in recipe.training:
            argv += ["--train_data_dir", "unused"]
        arguments = parse_arguments(ARGUMENTS[index_of(recipe)["_class_name"]], "", argv)
        for option, value in recipe.training.items():
            assert getattr(arguments, option) == value, option

    def test_discriminator_takes_the_batch_of_the_recipe(self, name):
        recipe = Recipe.load(name)
        batch, group = recipe.training["train_batch_size"], recipe.config("discriminator").get("stddev_group_size", 1)
        assert batch % min(batch, group) == 0

    def test_card(self, name):
        recipe = Recipe.load(name)
        card = ModelCard.load(recipe.path / "README.md")
        assert card.data.library_name == "gan_diffusion" and "diffusers" in card.data.tags
        assert f"--recipe {name} " in card.text and "Published scores" in card.text
        assert card.data.datasets in (None, [recipe.training.get("dataset_name")])
        assert ("--train_data_dir path/to/images" in card.text) == ("dataset_name" not in recipe.training)
        networks = build_without_weights(recipe)
        for part in NETWORKS:
            for stated in re.findall(rf"{part} ([\d.]+) million", card.text, re.IGNORECASE):
                assert stated == f"{count_parameters(networks[part]) / 1e6:.1f}"

    def test_card_says_what_is_not_published(self, name):
        text = (Recipe.load(name).path / "README.md").read_text()
        assert ("proposed, not published" in text) == (name in PROPOSED)
        assert ("recalled, not verified" in text) == (name in PROPOSED)
        if name not in SMALL:
            assert 'No number on this card was measured by this project unless it stands under "Measured on' in text

    def test_pipeline_file_shows_the_installed_class(self, name):
        recipe = Recipe.load(name)
        specification = importlib.util.spec_from_file_location("recipe_pipeline", recipe.path / "pipeline.py")
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        index = index_of(recipe)
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
    assert recipe.build("generator", sample_size=16).sample_shape == (1, 16, 16)
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


def test_a_folder_does_not_have_the_columns_of_the_recipe_s_data():
    argv = ["--recipe", "ddgan-cifar10", "--output_dir", "unused"]
    assert parse_arguments(DDGANArguments, "", [*argv, "--dataset_name", "uoft-cs/cifar10"]).image_column == "img"
    assert parse_arguments(DDGANArguments, "", [*argv, "--train_data_dir", "mine"]).image_column == "image"
    argv += ["--train_data_dir", "mine", "--image_column", "picture"]
    assert parse_arguments(DDGANArguments, "", argv).image_column == "picture"


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
