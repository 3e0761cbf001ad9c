# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import json
import shutil
from pathlib import Path

import pytest
from accelerate import init_empty_weights

from gan_diffusion.recipes import Recipe, list_recipes
from gan_diffusion.training import METHODS, parse_arguments


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
    "diffusion-insgen-afhqcat-512": (30_276_583, 29_246_016),
    "diffusion-insgen-afhqdog-512": (30_276_583, 29_246_016),
    "diffusion-insgen-afhqwild-512": (30_276_583, 29_246_016),
    # With 376,768 parameters of random projections, and without the frozen network.
    "diffusion-projected-cifar10": (91_124_489, 10_708_096),
    "diffusion-projected-stl10-64": (101_939_979, 10_708_096),
    "diffusion-projected-lsun-bedroom-256": (105_684_175, 10_708_096),
    "diffusion-projected-lsun-church-256": (105_684_175, 10_708_096),
}
PROPOSED = {"spi-gan-cifar10", "spi-gan-celebahq-256", "spi-gan-lsun-church-256"}
SMALL = {
    f"{method}-{data}"
    for method in ("ddgan", "diffusion-gan", "spi-gan")
    for data in ("digits", "fashion-mnist", "gaussians-25")
}
SMALL |= {"ddgan-stackedmnist-small", "diffusion-projected-fashion-mnist", "ddgan-emoji"}
SMALL |= {f"diffusion-{method}-elpv" for method in ("gan", "insgen", "projected")}
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
        assert pipeline.sample_shape == components["generator"].sample_shape

    def test_training_options_are_known_and_valid(self, name):
        recipe = Recipe.load(name)
        argv = ["--recipe", name, "--output_dir", "unused"]
        if "dataset_name" not in recipe.training:
            argv += ["--train_data_dir", "unused"]
        (arguments,) = [m.arguments for m in METHODS.values() if m.pipeline == recipe.pipeline_class.__name__]
        settings = parse_arguments(arguments, argv=argv).recipe_settings()
        assert {option: settings[option] for option in recipe.training} == recipe.training

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
        ("generator/config.json", '{"_class_name": ', "config.json` must hold JSON"),
        ("generator/config.json", "[]", "must hold a JSON object"),
        ("generator/config.json", "[" * 10_000, "must hold JSON"),
        ("generator/config.json", '{"_class_name": ["os", "system"]}', "classes of gan_diffusion"),
        (
            "generator/config.json",
            '{"_class_name": "DDGANScheduler"}',
            "classes of gan_diffusion, got 'DDGANScheduler'",
        ),
        ("generator/config.json", '{"_class_name": "DDGANPipeline"}', "classes of gan_diffusion"),
        ("generator/config.json", '{"_class_name": "MLPGenerator", "a": 1}', "generator that can be built.*got a"),
        ("generator/config.json", '{"_class_name": "MLPGenerator", "hidden_dim": 99999999}', "at most .* weights"),
        ("generator/config.json", '{"_class_name": "MLPGenerator", "data_dim": -3}', "`data_dim` must be at least 1"),
        ("training.yaml", "digits", "must hold lines `option: value`"),
        ("training.yaml", "a: &b [1]\nc: *b", "an alias"),
        ("training.yaml", "a: 1\na: 2", "a key twice"),
        ("training.yaml", "a: 2026-01-01", "must hold texts"),
        ("training.yaml", "a: .inf", "finite"),
        ("training.yaml", "a: [", "training.yaml` must hold YAML"),
        ("training.yaml", "a: !!python/object/apply:os.getcwd []", "training.yaml` must hold YAML"),
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


@pytest.mark.parametrize("name", ["no\0name", "x" * 5000, "", "/dev/null", "."])
def test_names_that_no_recipe_has_are_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="`recipe` must be one of"):
        Recipe.load(name)


def test_a_value_of_the_wrong_type_is_named(folder):
    (folder / "generator" / "config.json").write_text('{"_class_name": "MLPGenerator", "data_dim": "three"}')
    with pytest.raises(TypeError, match="`recipe` must hold a generator .*'mine'.*`data_dim` must be of type int"):
        Recipe.load(folder).build("generator")


def test_the_recipe_of_a_folder_whose_files_are_being_replaced_is_the_new_one(folder):
    shutil.copytree(folder, folder / ".export")
    (folder / ".export" / "training.yaml").write_text("seed: 7\n")
    (folder / "generator" / "config.json").unlink()
    recipe = Recipe.load(folder)
    assert recipe.name == "mine" and recipe.training == {"seed": 7} and recipe.build("generator")
