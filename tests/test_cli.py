# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import os
import platform
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import pytest
import torch
import yaml

import gan_diffusion
from gan_diffusion.cli import main
from gan_diffusion.environment import describe_environment
from gan_diffusion.recipes import Recipe, list_recipes


def ended(capsys, *arguments: str) -> tuple[int, str, str]:
    """Exit status, output and error output of the command."""
    with pytest.raises(SystemExit) as end:
        main(arguments)
    output = capsys.readouterr()
    return end.value.code, output.out, output.err


def test_training_starts_from_the_command():
    words = ["train", "ddgan", "--recipe", "ddgan-digits", "--help"]
    result = subprocess.run([sys.executable, "-m", "gan_diffusion", *words], capture_output=True, text=True)
    assert result.returncode == 0
    assert "denoising diffusion GAN" in result.stdout and "--r1_interval" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["paint"], "invalid choice: 'paint'"),
        ([], "the following arguments are required: COMMAND"),
        (["train"], "the following arguments are required: METHOD"),
        (["train", "gan"], "invalid choice: 'gan'"),
        (["train", "ddgan"], "`--recipe` is required"),
        (["train", "ddgan", "--nothing"], "unrecognized arguments: --nothing"),
        (["train", "ddgan", "--recipe", "spi-gan-digits"], "`recipe` must be one of the method ddgan"),
        (["export"], "the following arguments are required: checkpoint, --output_dir"),
        (["export", "nowhere", "--output_dir", "x"], "`checkpoint` must lie in the folder of its run"),
        (["evaluate"], "the following arguments are required: pipeline"),
        (["evaluate", "nowhere", "--dataset_name", "digits"], "nowhere"),
        (["export", "nowhere", "--output_dir", "x", "--fast"], "unrecognized arguments: --fast"),
        (["env", "--fast"], "unrecognized arguments: --fast"),
        (["sample"], "the following arguments are required: model"),
        (["demo"], "the following arguments are required: model"),
        (["demo", "nowhere"], "`pretrained_model_name_or_path` must be a folder"),
        (["card"], "the following arguments are required: folder"),
        (["card", "nowhere"], "`folder` must be that of a trained pipeline, with model_index.json and training.yaml"),
        (["push", "nowhere"], "the following arguments are required: repo_id"),
        (["push", "nowhere", "model"], "`folder` must be that of a whole saved pipeline"),
        (["recipes", "nope"], "`recipe` must be one of ['ddgan-celebahq-256', 'ddgan-cifar10', "),
        (["recipes", "ddgan-digits", "--fast"], "unrecognized arguments: --fast"),
        (["convert"], "the following arguments are required: file, --output_dir"),
        (["convert", "nowhere", "--output_dir", "x"], "`path` must be a file, got nowhere"),
        (["convert", "nowhere", "--output_dir", "x", "--fast"], "unrecognized arguments: --fast"),
    ],
)
def test_mistakes_end_in_a_short_message(capsys, arguments, message):
    status, _, errors = ended(capsys, *arguments)
    usage, last = errors.strip().splitlines()
    assert status == 2 and usage.startswith("usage: gan-diffusion") and message in last


def test_help_lists_commands_methods_and_examples(capsys):
    status, text, _ = ended(capsys, "--help")
    commands = ("train", "export", "sample", "demo", "evaluate", "convert", "card", "push", "recipes", "env")
    assert status == 0 and all(f"  {command} " in text for command in commands)
    assert "gan-diffusion train ddgan --recipe ddgan-digits" in text
    _, text, _ = ended(capsys, "train", "--help")
    assert all(method in text for method in ("ddgan", "diffusion-gan", "spi-gan"))
    assert "Folder of the checkpoint" in ended(capsys, "export", "--help")[1]


def test_a_mistake_in_the_data_ends_in_one_line(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.png").write_bytes(b"nothing")
    words = ["train", "ddgan", "--recipe", "ddgan-cifar10", "--train_data_dir", str(tmp_path / "images")]
    result = subprocess.run(
        [sys.executable, "-m", "gan_diffusion", *words, "--output_dir", str(tmp_path / "run"), "--report_to", "none"],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert result.stderr.splitlines()[-1].startswith("gan-diffusion train ddgan: error: `train_data_dir` must hold")
    assert "Traceback" in (tmp_path / "run" / "run.log").read_text()


def test_a_reader_that_goes_away_is_no_error(monkeypatch, capfd):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as gone:
        monkeypatch.setattr("sys.stdout", gone)
        with pytest.raises(SystemExit) as end:
            main(["recipes"])
    assert end.value.code == 1 and capfd.readouterr().err == ""


def test_recipes_are_listed(capsys):
    main(["recipes"])
    text = capsys.readouterr().out
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line[:1].strip()}
    assert set(list_recipes()) < rows.keys()
    # Parameters of the published networks.
    assert rows["ddgan-cifar10"] == ["ddgan", "uoft-cs/cifar10", "3x32x32", "48,432,515"]
    assert rows["diffusion-stylegan2-ffhq-1024"] == [
        "diffusion-gan",
        "marcosv/ffhq-dataset",
        "3x1024x1024",
        "30,370,060",
    ]
    assert rows["diffusion-stylegan2-stl10-64"][:3] == ["diffusion-gan", "your", "own"]
    assert rows["spi-gan-gaussians-25"][:3] == ["spi-gan", "gaussians-25", "2"]
    for name in list_recipes():
        assert f"\n    {Recipe.load(name).notes.splitlines()[0]}\n" in text


@pytest.mark.parametrize("place", ["name", "folder"])
def test_a_recipe_is_shown_whole(capsys, tmp_path, place):
    recipe = Recipe.load("spi-gan-cifar10")
    if place == "folder":
        shutil.copytree(recipe.path, tmp_path / "mine")
    main(["recipes", recipe.name if place == "name" else str(tmp_path / "mine")])
    text = capsys.readouterr().out
    assert recipe.notes in text
    settings = yaml.safe_load(text.partition(recipe.notes)[2].rpartition("\n\n")[0])
    assert settings["training"] == recipe.training
    assert all(settings[part] == recipe.config(part) for part in ("generator", "discriminator", "scheduler"))
    source = "spi-gan-cifar10" if place == "name" else tmp_path / "mine"
    assert text.splitlines()[-1] == f"gan-diffusion train spi-gan --recipe {source} --output_dir FOLDER"


def test_the_environment_is_told(capsys):
    main(["env"])
    told = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert list(told) == [
        "gan_diffusion", "torch", "diffusers", "transformers", "accelerate", "triton", "huggingface_hub", "datasets",
        "python", "system", "devices",
    ]  # fmt: skip
    assert told["torch"] == torch.__version__ and told["python"] == platform.python_version()
    assert told["gan_diffusion"] == gan_diffusion.__version__ and told["devices"].startswith("CPU ")


def test_the_environment_is_told_without_a_package(monkeypatch):
    def version(name: str) -> str:
        if name == "triton":
            raise PackageNotFoundError
        return "1.0"

    monkeypatch.setattr("gan_diffusion.environment.version", version)
    told = describe_environment()
    assert told["triton"] == "not installed" and told["torch"] == "1.0"
