# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""What is typed wins over the recipe, and the recipe over the defaults; nothing gives way without a word."""

import shutil
from pathlib import Path

import pytest

from gan_diffusion.training import METHODS, DDGANArguments, TrainingArguments, parse_arguments


ROOT = Path(__file__).parents[2]


@pytest.fixture
def recipe(tmp_path):
    """`recipe(text)`: a copy of a recipe with other options in its training.yaml."""

    def make(text: str) -> str:
        folder = tmp_path / "mine"
        shutil.copytree(ROOT / "pipelines" / "ddgan-digits", folder, dirs_exist_ok=True)
        (folder / "training.yaml").write_text(text)
        return str(folder)

    return make


def parse(recipe: str, *options: str) -> TrainingArguments:
    return parse_arguments(DDGANArguments, argv=["--recipe", recipe, "--output_dir", "unused", *options])


def refusal(capsys, recipe: str, *options: str) -> str:
    """The message with which the command ends."""
    with pytest.raises(SystemExit) as ended:
        parse(recipe, *options)
    assert ended.value.code == 2
    usage, *rest, message = capsys.readouterr().err.strip().splitlines()
    assert usage.startswith("usage:") and not rest
    return message


def test_typed_over_recipe_over_default(recipe):
    name = recipe("dataset_name: digits\nlearning_rate_g: 0.5\nadam_beta1: 0.25\nrandom_flip: true\n")
    arguments = parse(name, "--learning_rate_g", "0.75", "--random_flip", "False")
    assert arguments.optimization.learning_rate_g == 0.75
    assert arguments.optimization.adam_beta1 == 0.25
    assert arguments.optimization.learning_rate_d == 1e-4
    assert arguments.data.random_flip is False and arguments.notes == []


def test_typing_the_default_wins_too(recipe):
    name = recipe("dataset_name: digits\nlearning_rate_g: 0.5\nema_kimg: 3\nmax_train_steps: 7\n")
    arguments = parse(name, "--learning_rate_g", "1.6e-4", "--ema_decay", "0.9999", "--num_train_epochs", "100")
    options = arguments.optimization
    assert options.learning_rate_g == 1.6e-4
    assert options.ema_kimg is None and options.ema_decay == 0.9999
    assert options.max_train_steps is None and options.num_train_epochs == 100


def test_every_option_knows_where_its_value_comes_from(recipe):
    name = recipe("dataset_name: digits\nlearning_rate_g: 0.5\nmax_train_steps: 7\nema_kimg: 2\n")
    arguments = parse(name, "--learning_rate_g", "0.75", "--seed", "1024", "--num_train_epochs", "2")
    assert arguments.origins["learning_rate_g"] == arguments.origins["seed"] == "typed"
    assert arguments.origins["ema_kimg"] == arguments.origins["dataset_name"] == "recipe"
    assert "adam_beta1" not in arguments.origins and "max_train_steps" not in arguments.origins
    assert arguments.instead_of["learning_rate_g"] == 0.5 and "seed" not in arguments.instead_of
    assert arguments.command == (
        f"gan-diffusion train ddgan --recipe {name} --output_dir unused --learning_rate_g 0.75 --seed 1024 "
        "--num_train_epochs 2"
    )


@pytest.mark.parametrize("word", ["none", "None", "NONE"])
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_grad_norm", "1.0"),
        ("max_train_steps", "7"),
        ("max_train_samples", "9"),
        ("checkpoints_total_limit", "3"),
        ("mixed_precision", "bf16"),
        ("dataset_config_name", "small"),
        ("resolution", "[8, 8]"),
        ("pretrained", "someone/model"),
    ],
)
def test_none_unsets_what_the_recipe_sets(recipe, option, value, word):
    name = recipe(f"dataset_name: digits\n{option}: {value}\n")
    assert parse(name).settings()[option] is not None
    arguments = parse(name, f"--{option}", word)
    assert arguments.settings()[option] is None and arguments.origins[option] == "typed"


def test_none_in_a_recipe_is_none(recipe):
    arguments = parse(recipe("dataset_name: digits\ntrain_data_dir: null\ncheckpoints_total_limit: null\n"))
    assert arguments.run.checkpoints_total_limit is None
    assert arguments.recipe_settings()["checkpoints_total_limit"] is None
    assert "max_grad_norm" not in arguments.recipe_settings()


def test_unsetting_one_of_two_that_exclude_each_other_keeps_the_other(recipe):
    name = recipe("dataset_name: digits\nema_kimg: 3\nema_rampup: 0.05\nnum_train_epochs: 4\n")
    options = parse(name, "--ema_kimg", "none", "--max_train_steps", "none").optimization
    assert (options.ema_kimg, options.ema_rampup, options.ema_decay) == (None, None, 0.9999)
    assert (options.max_train_steps, options.num_train_epochs) == (None, 4)
    assert parse(name, "--dataset_name", "none", "--train_data_dir", "x").data.train_data_dir == "x"


def test_the_same_data_typed_again_keeps_what_describes_them(recipe):
    name = recipe("dataset_name: someone/pictures\nimage_column: img\n")
    assert parse(name, "--dataset_name", "someone/pictures").data.image_column == "img"
    name = recipe("train_data_dir: my/images\nimage_column: img\nmax_train_samples: 9\n")
    assert parse(name, "--train_data_dir", "my/images/").data.image_column == "img"
    assert parse(name, "--train_data_dir", "my/other").data.max_train_samples is None


@pytest.mark.parametrize(
    ("settings", "local"),
    [
        ({"dataset_name": "digits"}, False),
        ({"dataset_name": "mnist"}, False),
        ({"dataset_name": "someone/pictures"}, False),
        ({"dataset_name": "/home/me/pictures"}, True),
        ({"dataset_name": "./pictures"}, True),
        ({"dataset_name": "~/pictures"}, True),
        ({"dataset_name": "data/my/pictures"}, True),
        ({"dataset_name": "C:\\pictures"}, True),
        ({"train_data_dir": "pictures"}, True),
    ],
)
def test_places_on_this_machine_are_not_settings_of_a_recipe(recipe, settings, local):
    (option,) = settings
    arguments = parse(recipe("learning_rate_g: 0.5\n"), f"--{option}", settings[option])
    assert (option not in arguments.recipe_settings()) == local
    assert arguments.effective_settings()[option] == settings[option]


def test_a_folder_of_the_name_of_a_dataset_is_local(recipe, tmp_path, monkeypatch):
    (tmp_path / "someone" / "pictures").mkdir(parents=True)
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path)
    arguments = parse(recipe("dataset_name: someone/pictures\n"))
    assert "dataset_name" not in arguments.recipe_settings()
    assert parse(recipe("dataset_name: digits\n")).recipe_settings()["dataset_name"] == "digits"


def test_what_excludes_a_typed_option_gives_way_and_it_is_said(recipe):
    name = recipe("dataset_name: digits\nema_kimg: 3\nema_rampup: 0.05\nmax_train_steps: 7\n")
    arguments = parse(name, "--ema_decay", "0", "--num_train_epochs", "2")
    options = arguments.optimization
    assert (options.ema_decay, options.ema_kimg, options.ema_rampup) == (0, None, None)
    assert (options.num_train_epochs, options.max_train_steps) == (2, None)
    assert sorted(arguments.notes) == [
        "The recipe's ema_kimg (3.0) is left out, because --ema_decay was given.",
        "The recipe's ema_rampup (0.05) is left out, because --ema_decay was given.",
        "The recipe's max_train_steps (7) is left out, because --num_train_epochs was given.",
    ]
    # The other way round, a recipe's epochs and decay give way.
    arguments = parse(recipe("dataset_name: digits\nnum_train_epochs: 9\nema_decay: 0.5\n"), "--max_train_steps", "3")
    assert arguments.optimization.max_train_steps == 3 and arguments.optimization.ema_decay == 0.5


def test_other_data_leaves_what_described_the_recipes_data(recipe):
    name = recipe(
        "dataset_name: someone/pictures\ndataset_config_name: small\nimage_column: img\nlabel_column: kind\n"
        "stack_channels: true\nresize_mode: pad\ndataset_split: test\nrandom_flip: true\n"
    )
    data = parse(name, "--train_data_dir", "folder", "--label_column", "class").data
    assert (data.dataset_name, data.dataset_config_name, data.train_data_dir) == (None, None, "folder")
    assert (data.image_column, data.label_column, data.dataset_split) == ("image", "class", "train")
    assert (data.stack_channels, data.resize_mode, data.random_flip) == (False, "crop", True)
    assert len(parse(name, "--train_data_dir", "folder").notes) == 7
    kept = parse(name).data
    assert (kept.image_column, kept.stack_channels, kept.resize_mode) == ("img", True, "pad")
    other = parse(name, "--dataset_name", "digits").data
    assert (other.dataset_name, other.dataset_config_name, other.resize_mode) == ("digits", None, "crop")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--train_data_dir", "x", "--dataset_name", "y"], "`--dataset_name` and `--train_data_dir`, which exclude"),
        (["--max_train_steps", "3", "--num_train_epochs", "3"], "`--num_train_epochs` and `--max_train_steps`"),
        (["--ema_decay", "0.5", "--ema_kimg", "3"], "`--ema_decay` and `--ema_kimg`"),
        (["--ema_rampup", "0.5"], "`--ema_rampup` must be given with `--ema_kimg`"),
        (["--nothing", "3"], "unrecognized arguments: --nothing 3"),
        (["--learning_rate_g", "fast"], "--learning-rate-g: invalid float value: 'fast'"),
        (["--learning_rate_g", "nan"], "`--learning_rate_g` must be at least 0, got nan"),
        (["--lr_scheduler", "linear"], "--lr-scheduler: invalid choice: 'linear'"),
        (["--ema_decay", "1"], "`--ema_decay` must be in [0, 1), got 1.0"),
        (["--max_grad_norm", "0"], "`--max_grad_norm` must be positive"),
        (["--max_train_steps", "0"], "`--max_train_steps` must be at least 1"),
        (["--dataloader_num_workers", "-1"], "`--dataloader_num_workers` must be at least 0"),
        (["--resolution", "8", "8", "8"], "`--resolution` must be one or two numbers"),
        (["--resolution", "8", "none"], "`--resolution` must be 'none' alone, or values"),
        (["--seed", "none"], "--seed: invalid int value: 'none'"),
        (["--no_random_flip"], "unrecognized arguments: --no_random_flip"),
        (["--save_model_steps", "-1"], "`--save_model_steps` must be at least 0"),
        (["--recipe"], "--recipe: expected one argument"),
        (["--change_on_resume", "output_dir"], "`--change_on_resume` must name options out of"),
    ],
)
def test_bad_options_end_in_a_short_message(capsys, recipe, options, message):
    assert message in refusal(capsys, recipe("dataset_name: digits\n"), *options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dataset_name: digits\nlearning_rat: 1\n", "recipe 'mine' sets unknown options: ['learning_rat']"),
        (
            "dataset_name: digits\nlearning_rate_g: fast\n",
            "recipe 'mine': argument --learning_rate_g/--learning-rate-g: invalid float",
        ),
        ("dataset_name: digits\nrandom_flip: 3\n", "recipe 'mine': argument --random_flip"),
        ("dataset_name: digits\ntrain_data_dir: x\n", "recipe 'mine' sets `--dataset_name` and `--train_data_dir`"),
        ("dataset_name: digits\nmixed_precision: no\n", "`mixed_precision` must not be False. Put the words yes, no,"),
        ("dataset_name: digits\nresume_from_checkpoint: off\n", "`resume_from_checkpoint` must not be False."),
        ("dataset_name: digits\nseed: true\n", "`seed` must not be True."),
        ("dataset_name: digits\nseed: null\n", "recipe 'mine': argument --seed: invalid int value: 'None'"),
        ("dataset_name: digits\nseed: [1, 2]\n", "`seed` must be one value, got [1, 2]"),
        ("dataset_name: {a: 1}\n", "`dataset_name` must be one value, got {'a': 1}"),
        ("dataset_name: digits\nresolution: [8, null]\n", "`--resolution` must be 'none' alone"),
        ("dataset_name: digits\n3: 4\n", "sets unknown options: ['3']"),
        ("learning_rate_g: 1\n", "Give one of `--dataset_name` and `--train_data_dir`"),
    ],
)
def test_bad_recipes_are_named(capsys, recipe, text, message):
    assert message in refusal(capsys, recipe(text))


def test_a_missing_recipe_is_named(capsys):
    assert "'nowhere'" in refusal(capsys, "nowhere")


def test_recipe_and_folder_are_required(capsys):
    with pytest.raises(SystemExit):
        parse_arguments(DDGANArguments, argv=["--dataset_name", "digits"])
    assert "`--recipe` is required" in capsys.readouterr().err


@pytest.mark.parametrize("method", METHODS)
def test_help_explains_every_option_with_the_recipes_values(capsys, method):
    with pytest.raises(SystemExit) as ended:
        parse_arguments(METHODS[method].arguments, argv=["--recipe", f"{method}-digits", "--help"])
    text = capsys.readouterr().out
    assert ended.value.code == 0
    assert "--r1_gamma" in text and "(default: digits)" in text


def test_only_what_no_number_depends_on_is_free():
    arguments = parse("ddgan-digits")
    fixed = arguments.settings(free=False)
    assert {"learning_rate_g", "adam_beta1", "seed", "r1_gamma", "random_flip"} <= fixed.keys()
    # The data are known by their identity, and not by their name or place.
    assert (
        not {"dataset_name", "train_data_dir", "output_dir", "logging_steps", "max_train_steps", "cache_dir"}
        & fixed.keys()
    )
    assert fixed.keys() | arguments.settings(free=True).keys() == arguments.settings().keys()
