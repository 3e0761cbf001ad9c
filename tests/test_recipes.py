# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import json
from pathlib import Path

import pytest
from accelerate import init_empty_weights

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
NETWORKS = ("generator", "discriminator")


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
            assert set(written) - {"_class_name"} == {k for k in known if not k.startswith("_")}
        if name in PUBLISHED_PARAMETERS:
            assert tuple(count_parameters(components[part]) for part in NETWORKS) == PUBLISHED_PARAMETERS[name]

    def test_folder_holds_what_is_its_own_and_nothing_else(self, name):
        recipe = Recipe.load(name)
        assert {str(file.relative_to(recipe.path)) for file in recipe.path.rglob("*.*")} == {
            "generator/config.json", "discriminator/config.json", "scheduler/scheduler_config.json", "training.yaml",
            "notes.md",
        }  # fmt: skip

    def test_components_fit_the_pipeline(self, name):
        recipe = Recipe.load(name)
        components = build_without_weights(recipe)
        pipeline = recipe.pipeline_class(components["generator"], components["scheduler"])
        assert type(pipeline).__name__ in ARGUMENTS

    def test_training_options_are_known_and_valid(self, name):
        recipe = Recipe.load(name)
        argv = ["--recipe", name, "--output_dir", "unused"]
        if "dataset_name" not in recipe.training:
            argv += ["--train_data_dir", "unused"]
        arguments = parse_arguments(ARGUMENTS[recipe.pipeline_class.__name__], "", argv)
        for option, value in recipe.training.items():
            assert getattr(arguments, option) == value, option

    def test_discriminator_takes_the_batch_of_the_recipe(self, name):
        recipe = Recipe.load(name)
        batch, group = recipe.training["train_batch_size"], recipe.config("discriminator").get("stddev_group_size", 1)
        assert batch % min(batch, group) == 0

    def test_notes_say_what_is_not_published(self, name):
        notes = Recipe.load(name).notes
        assert ("proposed, not published" in notes) == (name in PROPOSED)
        assert ("recalled, not verified" in notes) == (name in PROPOSED)
        assert ("Scores of the paper" in notes) == (name not in SMALL)


@pytest.fixture
def folder(tmp_path):
    """A recipe of one's own."""
    (tmp_path / "mine" / "generator").mkdir(parents=True)
    (tmp_path / "mine" / "generator" / "config.json").write_text('{"_class_name": "MLPGenerator", "data_dim": 3}')
    (tmp_path / "mine" / "training.yaml").write_text("dataset_name: digits\n")
    return tmp_path / "mine"


def test_a_recipe_can_be_a_folder(folder):
    recipe = Recipe.load(folder)
    assert recipe.name == "mine" and recipe.notes == "" and recipe.build("generator").sample_shape == (3,)
    with pytest.raises(ValueError, match="must hold scheduler/scheduler_config.json"):
        recipe.build("scheduler")


@pytest.mark.parametrize("file", ["generator/config.json", "training.yaml"])
def test_other_folders_are_refused(folder, file):
    (folder / file).unlink()
    with pytest.raises(ValueError, match="`recipe` must be one of .*, or a folder with"):
        Recipe.load(folder)


def test_names_come_before_folders_of_the_same_name(folder, monkeypatch):
    folder.rename(folder.parent / "ddgan-digits")
    monkeypatch.chdir(folder.parent)
    assert Recipe.load("ddgan-digits").path != Recipe.load("./ddgan-digits").path == Path("ddgan-digits")


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("generator/config.json", '{"_class_name": "os.system"}', "classes of gan_diffusion, got 'os.system'"),
        ("generator/config.json", '{"_class_name": ', "must hold JSON in"),
        ("generator/config.json", "[]", "must hold a JSON object"),
        ("training.yaml", "digits", "must hold lines `option: value`"),
        ("training.yaml", "a: [", "must hold YAML in"),
        ("training.yaml", "a: !!python/object/apply:os.getcwd []", "must hold YAML in"),
    ],
)
def test_damaged_recipes_are_refused(folder, file, text, message):
    (folder / file).write_text(text)
    recipe = Recipe.load(folder)
    with pytest.raises(ValueError, match=message):
        recipe.training if file == "training.yaml" else recipe.build("generator")  # noqa: B018


def test_unknown_recipe_names_the_known_ones():
    with pytest.raises(ValueError, match="ddgan-cifar10.*got 'ddgan-nothing'"):
        Recipe.load("ddgan-nothing")


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
    (recipe / "generator").mkdir(parents=True)
    (recipe / "generator" / "config.json").write_text("{}")
    (recipe / "training.yaml").write_text("dataset_name: digits\nlerning_rate: 1\n")
    with pytest.raises(ValueError, match="lerning_rate"):
        parse_arguments(DDGANArguments, "", ["--recipe", str(recipe), "--output_dir", "o"])
