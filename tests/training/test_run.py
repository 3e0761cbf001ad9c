# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""What a run prints and saves about itself, and its use: a repetition, an export, a start for another run."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from training_runs import make_recipe

from gan_diffusion import data
from gan_diffusion.data.sources import TensorSamples
from gan_diffusion.pipelines import load_pipeline
from gan_diffusion.recipes import Recipe
from gan_diffusion.training import METHODS, export_checkpoint, train
from gan_diffusion.training import run as run_module


PARTS = ("generator", "discriminator")


pytestmark = pytest.mark.usefixtures("fresh_accelerate")


@pytest.fixture
def reported(monkeypatch):
    """Data with a report and names of classes; the report is returned."""
    report = replace(
        data.load_samples(data.DataArguments(dataset_name="digits"), (1, 8, 8)).report,
        classes={f"digit {number}": 180 - number for number in range(10)},
        licence="cc-by-4.0",
    )
    load = run_module.load_samples

    def load_with_names(*arguments, **options):
        dataset = load(*arguments, **options)
        dataset.class_names = list(report.classes)
        return dataset

    monkeypatch.setattr(TensorSamples, "report", property(lambda samples: report))
    monkeypatch.setattr(run_module, "load_samples", load_with_names)
    return report


@pytest.fixture
def go(tmp_path):
    """`go(method, folder, *options)`: trains a few steps on tiny networks; a recipe of another kind may be given."""

    def run(method: str, folder: str, *options: str) -> Path:
        AcceleratorState._reset_state(True)
        argv = ["--output_dir", str(tmp_path / folder), *options]
        if "--recipe" not in options:
            recipe = tmp_path / "recipes" / method
            argv += ["--recipe", str(recipe if recipe.is_dir() else make_recipe(method, recipe))]
            argv += ["--report_to", "none", "--validation_steps", "0"]
        train(method, argv)
        return tmp_path / folder

    return run


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {
        f"{part}.{name}": value
        for part in PARTS
        for name, value in load_file(folder / part / "diffusion_pytorch_model.safetensors").items()
    }


def assert_same_model(one: Path, two: Path) -> None:
    first, second = weights(one), weights(two)
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


def record_of(folder: Path) -> dict:
    return yaml.safe_load((folder / "run.yaml").read_text())


@pytest.mark.parametrize("method", METHODS)
def test_the_record_alone_repeats_the_run_to_the_bit(go, reported, capsys, method):
    first = go(method, "first", "--max_train_steps", "3", "--class_conditional", "--learning_rate_g", "1e-3")
    printed = capsys.readouterr().out
    assert (
        "learning_rate_g 0.001 (instead of 0.00016)" in printed
        and "Data: digits of scikit-learn, 1797 samples" in printed
    )
    again = go(method, "again", "--recipe", str(first / "run.yaml"))
    assert_same_model(first, again)
    one, two = record_of(first), record_of(again)
    assert one["components"] == two["components"] and one["data"] == two["data"]
    assert {n: o["value"] for n, o in one["options"].items()} == {n: o["value"] for n, o in two["options"].items()}
    assert two["recipe_kind"] == "run" and two["left_out"] == []
    assert "Results may differ" not in capsys.readouterr().out


def test_the_record_tells_what_was_trained_on_what_and_by_what(go, reported):
    record = record_of(go("ddgan", "run", "--max_train_steps", "2", "--train_batch_size", "8"))
    assert (record["method"], record["recipe"], record["recipe_kind"]) == ("ddgan", "ddgan", "folder")
    assert record["options"]["train_batch_size"] == {"value": 8, "origin": "typed", "instead_of": 16}
    assert record["options"]["r1_interval"] == {"value": 2, "origin": "recipe"}
    assert record["options"]["adam_beta1"] == {"value": 0.5, "origin": "default"}
    assert not {"recipe", "output_dir", "num_train_epochs"} & record["options"].keys()
    assert record["data"] == {
        "name": "digits", "num_samples": 1797, "class_names": list(reported.classes), "sizes": "8x8 pixels",
        "value_range": "from 0 to 16, which become -1 and 1", "classes": reported.classes, "licence": "cc-by-4.0",
        "identity": reported.identity,
    }  # fmt: skip
    assert record["components"]["generator"]["_class_name"] == "NCSNppGenerator"
    (start,) = record["starts"]
    assert start["command"].startswith("gan-diffusion train ddgan --output_dir ")
    assert {"gan_diffusion", "torch", "diffusers", "python"} <= start["versions"].keys()
    assert (start["processes"], start["device"], start["precision"], start["from_step"]) == (1, "cpu", "no", 0)


def test_a_continued_run_keeps_its_earlier_starts_and_says_what_changed(go, tmp_path, capsys):
    go("ddgan", "run", "--max_train_steps", "3")
    folder = go("ddgan", "run", "--max_train_steps", "4", "--logging_steps", "7")
    first, second = record_of(folder)["starts"]
    assert "changed" not in first and (first["from_step"], second["from_step"]) == (0, 3)
    assert second["changed"] == {
        "logging_steps": {"before": 1, "now": 7}, "max_train_steps": {"before": 3, "now": 4}
    }  # fmt: skip
    go("ddgan", "run", "--max_train_steps", "4", "--logging_steps", "7", "--resume_from_checkpoint", "no")
    third = record_of(folder)["starts"][-1]
    assert len(record_of(folder)["starts"]) == 3 and third["from_step"] == 0 and "changed" not in third
    capsys.readouterr()
    # The record of a run that changed on the way is repeated with a warning.
    text = (folder / "run.yaml").read_text()
    copied = tmp_path / "copied.yaml"
    copied.write_text(text)
    go("ddgan", "again", "--recipe", str(copied))
    assert "The run changed logging_steps, max_train_steps at step 3." in capsys.readouterr().out


def test_a_refused_continuation_leaves_the_record_alone(go):
    folder = go("ddgan", "run", "--max_train_steps", "2")
    before = (folder / "run.yaml").read_text()
    with pytest.raises(ValueError, match="--change_on_resume learning_rate_g"):
        go("ddgan", "run", "--max_train_steps", "2", "--learning_rate_g", "0.5")
    assert (folder / "run.yaml").read_text() == before


def test_typed_options_win_over_a_record_and_other_data_drop_what_described_the_old(go, reported, capsys):
    first = go("ddgan", "first", "--max_train_steps", "1", "--class_conditional", "--max_train_samples", "100")
    before = reported.identity
    reported.identity = "other"
    recipe = ("--recipe", str(first / "run.yaml"))
    again = go("ddgan", "again", *recipe, "--max_train_steps", "2", "--class_conditional", "False")
    printed = capsys.readouterr().out
    assert "The recipe's 10 classes are left out: class_conditional is off." in printed
    assert f"The data are not those of the run: identity {before}, now other." in printed
    record = record_of(again)
    assert record["options"]["max_train_steps"] == {"value": 2, "origin": "typed", "instead_of": 1}
    assert record["components"]["generator"]["num_class_embeds"] is None
    assert load_pipeline(again).labels == {}


def test_a_saved_model_is_a_recipe_and_holds_nothing_of_the_machine(go, tmp_path, reported):
    here = str(tmp_path)
    folder = go(
        "ddgan", "run", "--max_train_steps", "2", "--class_conditional", "--cache_dir", f"{here}/cache", "--save_model_steps", "1",
    )  # fmt: skip
    assert load_pipeline(folder).labels["digit 3"] == 3
    ignored = (folder / ".gitignore").read_text().split()
    kept = [p for p in folder.rglob("*") if p.is_file() and p.suffix in (".json", ".yaml", ".md", ".py")]
    public = [
        p for p in kept if p.name not in ignored and not p.relative_to(folder).parts[0].startswith("checkpoint-")
    ]
    assert {"README.md", "training.yaml", "model_index.json"} <= {p.name for p in public}
    for file in public:
        assert here not in file.read_text() and os.uname().nodename not in file.read_text()
    assert here in (folder / "run.yaml").read_text() and "run.yaml" in ignored
    # Trained again as a recipe it is the same model.
    assert_same_model(folder, go("ddgan", "again", "--recipe", str(folder)))


@pytest.mark.parametrize("method", METHODS)
def test_any_checkpoint_is_exported_with_the_averaged_weights(go, reported, tmp_path, method):
    folder = go(method, "run", "--max_train_steps", "4", "--class_conditional", "--save_model_steps", "3")
    export_checkpoint(folder / "checkpoint-4", tmp_path / "last")
    assert_same_model(folder, tmp_path / "last")
    export_checkpoint(folder / "checkpoint-3", tmp_path / "earlier")
    assert_same_model(folder / "model-3", tmp_path / "earlier")
    assert (tmp_path / "last" / "training.yaml").read_text() == (folder / "training.yaml").read_text()
    for exported, step in (("last", 4), ("earlier", 3)):
        card = (tmp_path / exported / "README.md").read_text()
        assert f"| training steps | {step} |" in card and f"| real images seen | {16 * step} |" in card
        assert load_pipeline(tmp_path / exported).labels == load_pipeline(folder).labels != {}
    pipeline = load_pipeline(folder / "model-3")
    assert pipeline(2, class_labels=["digit 1", "digit 2"], output_type="pt").images.isfinite().all()


def test_saving_models_on_the_way_does_not_change_the_training(go):
    assert_same_model(
        go("ddgan", "plain", "--max_train_steps", "4"),
        go("ddgan", "saving", "--max_train_steps", "4", "--save_model_steps", "1"),
    )


def test_an_exported_checkpoint_tells_the_settings_that_it_was_trained_with(go, tmp_path):
    go("ddgan", "run", "--max_train_steps", "3", "--lr_scheduler", "constant")
    folder = go("ddgan", "run", "--max_train_steps", "4", "--lr_scheduler", "constant", "--r1_gamma", "0.25",
                "--change_on_resume", "r1_gamma")  # fmt: skip
    export_checkpoint(folder / "checkpoint-3", tmp_path / "early")
    assert Recipe.load(tmp_path / "early").training["r1_gamma"] == 0.05
    assert Recipe.load(folder).training["r1_gamma"] == 0.25
    assert "From step 3 on, the run had other values of" in (folder / "README.md").read_text()


def test_checkpoints_without_their_run_are_refused(go, tmp_path):
    folder = go("ddgan", "run", "--max_train_steps", "3")
    record = record_of(folder)
    record["components"]["generator"]["dropout"] = 0.5
    (folder / "run.yaml").write_text(yaml.safe_dump(record))
    with pytest.raises(ValueError, match="`checkpoint` must be of the run .* another generator"):
        export_checkpoint(folder / "checkpoint-3", tmp_path / "exported")
    (folder / "run.yaml").unlink()
    with pytest.raises(ValueError, match="`checkpoint` must lie in the folder of its run, beside run.yaml"):
        export_checkpoint(folder / "checkpoint-3", tmp_path / "exported")
    assert not (tmp_path / "exported").exists()


@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize("method", METHODS)
def test_fine_tuning_begins_with_the_saved_networks_and_goes_on(go, reported, method, precision, capsys):
    base = go(method, "base", "--max_train_steps", "2", "--class_conditional")
    reported.classes = {f"digit {number}": 1 for number in reversed(range(10))}
    options = ("--pretrained", str(base), "--class_conditional", "--mixed_precision", precision)
    # With learning rates of zero and no decay the result is what the training began with.
    still = ("--learning_rate_g", "0", "--learning_rate_d", "0", "--lr_eta_min", "0")
    tuned = go(method, "tuned", "--max_train_steps", "1", *options, *still)
    printed = capsys.readouterr().out
    assert f"Fine-tuning from {base}:" in printed and "begin anew" not in printed
    before, after = weights(base), weights(tuned)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    # Of the buffers, only the moving average of w is updated by a step.
    assert all("class_embed" in name or "embeds" in name or name.endswith("w_avg") for name in moved) and moved
    pipelines = [load_pipeline(folder) for folder in (base, tuned)]
    assert [p.labels["digit 7"] for p in pipelines] == [7, 2]
    record = record_of(tuned)
    assert record["fine_tuned_from"]["name"] is None and record["fine_tuned_from"]["generator"]["new"] == []
    card = (tuned / "README.md").read_text()
    assert "Fine-tuned from a saved model of its author's own." in card and str(base) not in card
    assert "--pretrained path/to/model" in card and "pretrained" not in Recipe.load(tuned).training
    assert_same_model(tuned, go(method, "again", "--recipe", str(tuned / "run.yaml")))


def test_a_fine_tuned_run_goes_on_only_from_its_own_start(go):
    base = go("ddgan", "base", "--max_train_steps", "1")
    other = go("ddgan", "other", "--max_train_steps", "1", "--seed", "5")
    tuned = go("ddgan", "tuned", "--max_train_steps", "2", "--pretrained", str(base))
    origin = record_of(tuned)["fine_tuned_from"]
    with pytest.raises(ValueError, match="`pretrained` must be the saved model that the run began with"):
        go("ddgan", "tuned", "--max_train_steps", "3", "--pretrained", str(other))
    go("ddgan", "tuned", "--max_train_steps", "3")
    assert record_of(tuned)["fine_tuned_from"] == origin
    assert "Fine-tuned from" in (tuned / "README.md").read_text()


@pytest.mark.parametrize("damage", ["options: 3", "[]", "recipe: x", "a: [", "{}"])
def test_files_that_are_no_record_are_refused(go, tmp_path, damage, capsys):
    file = tmp_path / "run.yaml"
    file.write_text(damage)
    with pytest.raises(SystemExit):
        go("ddgan", "run", "--recipe", str(file))
    assert "`recipe` must" in capsys.readouterr().err


@pytest.mark.parametrize(
    "path",
    [["recipe"], ["data"], ["data", "class_names"], ["options", "seed", "value"], ["components", "scheduler"],
     ["components"], ["starts", 0, "versions"], ["starts", 0]],
)  # fmt: skip
def test_records_with_something_missing_are_refused(path, tmp_path):
    record = {
        "recipe": "mine", "recipe_kind": "run", "data": {"name": None, "num_samples": 3, "class_names": None},
        "options": {"seed": {"value": 3, "origin": "typed"}},
        "components": {"generator": {}, "discriminator": {}, "scheduler": {}},
        "starts": [{"from_step": 0, "versions": {}, "processes": 1, "device": "cpu", "precision": "no"}],
    }  # fmt: skip
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(record))
    assert Recipe.load(file).training == {"seed": 3}
    inner = record
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = "nonsense"
    if path[-1] in ("versions", "value", "class_names"):
        del inner[path[-1]]
    if path == ["recipe"]:
        inner["recipe"] = 3
    file.write_text(yaml.safe_dump(record))
    with pytest.raises(ValueError, match="`recipe` must be the run.yaml of a run, got .* without a usable"):
        Recipe.load(file)


def test_recipes_of_another_method_are_named(go, tmp_path, capsys):
    first = go("ddgan", "first", "--max_train_steps", "1")
    for recipe in ("ddgan-digits", str(first), str(first / "run.yaml")):
        with pytest.raises(SystemExit):
            go("spi-gan", "run", "--recipe", recipe)
        assert "`recipe` must be one of the method spi-gan" in capsys.readouterr().err


def test_the_index_names_the_classes(go, reported):
    folder = go("ddgan", "run", "--max_train_steps", "1", "--class_conditional")
    index = json.loads((folder / "model_index.json").read_text())
    assert index["id2label"] == {str(number): f"digit {number}" for number in range(10)}
