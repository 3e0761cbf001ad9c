# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""A training pushes what it saves, says so early if it cannot, and writes the token nowhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from hub_server import Repository
from training_runs import command, make_recipe

from gan_diffusion.pipelines import load_pipeline
from gan_diffusion.recipes import Recipe
from gan_diffusion.training import train


TOKEN = "hf_typed_token"


@pytest.fixture
def go(hub_here, tmp_path, monkeypatch):
    """`go(method, *options)`: trains on tiny networks in the folder `run`, with a push."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.delenv("HF_TOKEN")
    recipe_folder = tmp_path / "recipes"

    def run(method: str, *options: str) -> Path:
        AcceleratorState._reset_state(True)
        recipe = recipe_folder / method
        recipe = recipe if recipe.is_dir() else make_recipe(method, recipe)
        argv = ["--recipe", str(recipe), "--output_dir", str(tmp_path / "run"), "--report_to", "tensorboard"]
        train(method, [*argv, "--push_to_hub", *options])
        return tmp_path / "run"

    yield run
    AcceleratorState._reset_state(True)


def weights(folder: Path) -> dict[str, bytes]:
    return {
        part: (folder / part / "diffusion_pytorch_model.safetensors").read_bytes()
        for part in ("generator", "discriminator")
    }


@pytest.mark.parametrize(("method", "precision"), [("ddgan", "bf16"), ("diffusion-gan", "no"), ("spi-gan", "no")])
def test_each_saved_pipeline_is_one_commit_and_nothing_else_is_published(
    hub_here, go, method, precision, capsys, tmp_path
):
    folder = go(
        method,
        "--max_train_steps",
        "3",
        "--save_model_steps",
        "2",
        "--mixed_precision",
        precision,
        f"--hub_token={TOKEN}",
    )
    repository = hub_here.repository("user/run")
    _, step_2, step_3 = repository.commits.values()  # The first one is empty.
    for commit, saved in ((step_2, folder / "model-2"), (step_3, folder)):
        names = set(commit) - {".gitattributes"}
        assert {"samples.png", "training.yaml", "measurements.json", "checksums.json", "README.md"} <= names
        assert {name.split("/")[0] for name in names} == {
            "README.md", "checksums.json", "discriminator", "generator", "measurements.json", "model_index.json",
            "modular_blocks.py", "modular_config.json", "modular_model_index.json", "pipeline.py", "samples.png", "scheduler",
            "training.yaml",
        }  # fmt: skip
        assert all(commit[name] == (saved / name).read_bytes() for name in names - {"modular_model_index.json"})
    assert (
        step_2["generator/diffusion_pytorch_model.safetensors"]
        != step_3["generator/diffusion_pytorch_model.safetensors"]
    )
    printed = capsys.readouterr().out
    assert printed.index("will be pushed to user/run on the Hub") < printed.index("Data: digits")
    assert printed.count("Pushed the pipeline: ") == 2
    here = str(tmp_path).encode()
    assert not any(here in content for content in step_3.values())


def test_after_a_failure_the_same_command_pushes_and_the_token_is_written_nowhere(hub_here, go, capsys, tmp_path):
    options = ("--max_train_steps", "2", "--save_model_steps", "1", "--hub_model_id", "user/mine")
    hub_here.faults["POST .*/commit/main"] = 503
    with pytest.raises(OSError, match="The Hub did not take 'user/mine' .*503.* run the same command again"):
        go("ddgan", *options, "--hub_token", TOKEN)
    folder = tmp_path / "run"
    saved = weights(folder)
    assert len(hub_here.repository("user/mine").commits) == 1
    printed = "".join(capsys.readouterr())
    # A failure on the way does not end the training.
    assert printed.count("Not pushed, and the training goes on: The Hub did not take 'user/mine'") == 2
    hub_here.faults.clear()
    go("ddgan", *options, f"--hub_token={TOKEN}")
    assert weights(folder) == saved and len(hub_here.repository("user/mine").commits) == 2
    for part, content in saved.items():
        assert hub_here.files("user/mine")[f"{part}/diffusion_pytorch_model.safetensors"] == content
    record = (folder / "run.yaml").read_text()
    assert "--hub_token ..." in record and "--hub_token=..." in record
    printed += "".join(capsys.readouterr())
    local = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    for text in (*local, *hub_here.files("user/mine").values(), printed.encode()):
        assert TOKEN.encode() not in text
    # A repetition of the run from its record does not push.
    assert "push_to_hub" not in Recipe.load(folder / "run.yaml").training.keys() | Recipe.load(folder).training.keys()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "`hub_token` must be given to write to the Hub, got none"),
        (("--hub_token", "hf_old"), "`hub_token` must be a valid token of the Hub"),
        (
            ("--hub_token", TOKEN, "--hub_model_id", "other/run"),
            "`repo_id` must be a repository that the token may write to",
        ),
        (("--hub_token", TOKEN, "--hub_model_id", "user/taken"), "which holds other files"),
    ],
)
def test_what_cannot_be_pushed_ends_the_run_before_it_begins(hub_here, go, tmp_path, options, message):
    hub_here.expired_tokens.add("hf_old")
    if "user/taken" in options:
        hub_here.repositories["user/taken"] = Repository()
        hub_here.repository("user/taken").commit({"model.bin": b""})
    with pytest.raises(ValueError, match=message):
        go("ddgan", *options)
    assert {path.name for path in (tmp_path / "run").iterdir()} <= {"run.lock", "run.log"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--hub_model_id", "a"], "`--hub_model_id` must be given with `--push_to_hub`"),
        (["--hub_token", TOKEN], "`--hub_token` must be given with `--push_to_hub`"),
        (["--hub_private_repo"], "`--hub_private_repo` must be given with `--push_to_hub`"),
        (["--push_to_hub", "--hub_token", TOKEN, "--report_to", "wandb"], "`--hub_token` must not be given with"),
    ],
)
def test_options_without_effect_and_trackers_that_record_the_token_are_refused(tmp_path, capsys, options, message):
    recipe = make_recipe("ddgan", tmp_path / "recipe")
    with pytest.raises(SystemExit):
        train("ddgan", ["--recipe", str(recipe), "--output_dir", str(tmp_path / "run"), *options])
    errors = capsys.readouterr().err
    assert message in errors and TOKEN not in errors and not (tmp_path / "run").exists()


def test_a_recipe_does_not_say_where_a_model_goes(tmp_path, capsys):
    recipe = make_recipe("ddgan", tmp_path / "recipe")
    with open(recipe / "training.yaml", "a") as file:
        file.write("push_to_hub: true\nhub_model_id: somebody/else\n")
    with pytest.raises(SystemExit):
        train("ddgan", ["--recipe", str(recipe), "--output_dir", str(tmp_path / "run")])
    assert "must not set ['hub_model_id', 'push_to_hub'], which only the command line may" in capsys.readouterr().err


def test_a_trained_model_gives_equal_images_when_it_is_pulled(hub_here, go):
    folder = go("spi-gan", "--max_train_steps", "1", "--hub_token", TOKEN, "--hub_private_repo")
    assert hub_here.repository("user/run").private
    here, pulled = (
        load_pipeline(place, **location)(2, generator=torch.Generator().manual_seed(7), output_type="np").images
        for place, location in ((folder, {}), ("user/run", {"token": TOKEN}))
    )
    assert (here == pulled).all()


def test_the_main_process_of_two_pushes_and_the_other_does_not_hang(hub_here, tmp_path):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    environment |= {
        "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "HF_ENDPOINT": hub_here.url, "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(tmp_path / "home"), "NO_PROXY": "127.0.0.1", "HF_TOKEN": TOKEN,
    }  # fmt: skip
    options = ["--push_to_hub", "--max_train_steps", "2", "--save_model_steps", "1", "--report_to", "none"]
    words = command(make_recipe("ddgan", tmp_path / "ddgan"), tmp_path / "run", *options)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    result = subprocess.run([*launch, *words[1:]], capture_output=True, text=True, env=environment, timeout=240)
    assert result.returncode == 0, result.stderr
    assert len(hub_here.repository("user/run").commits) == 3
    assert sum("/commit/" in request for request in hub_here.requests) == 2
