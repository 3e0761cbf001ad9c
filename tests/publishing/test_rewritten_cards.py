# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""The command `card`: the card of a trained model again, without a word of the user's being lost."""

import copy
import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from accelerate.state import AcceleratorState
from huggingface_hub import EvalResult, ModelCard
from training_runs import METHODS, make_recipe

from gan_diffusion.cli import main
from gan_diffusion.publishing import record_measurements, rewrite_card
from gan_diffusion.training import export_checkpoint, train


sys.path.insert(0, str(Path(__file__).parents[1] / "pipelines"))
from tiny_pipelines import make_ddgan  # noqa: E402


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCELERATE_USE_CPU", "true")
        for method in METHODS:
            AcceleratorState._reset_state(True)
            recipe = make_recipe(method, folder / "recipes" / method)
            words = ["--recipe", str(recipe), "--output_dir", str(folder / method), "--seed", "7"]
            train(method, [*words, "--max_train_steps", "2", "--checkpointing_steps", "1", "--save_model_steps", "1"])
    AcceleratorState._reset_state(True)
    return folder


@pytest.fixture
def run(runs, tmp_path) -> Path:
    return Path(shutil.copytree(runs / "ddgan", tmp_path / "run"))


def card(capsys, *words: str | Path) -> str:
    main(["card", *map(str, words)])
    return capsys.readouterr().out


def refusal(capsys, *words: str | Path) -> str:
    with pytest.raises(SystemExit) as end:
        main(["card", *map(str, words)])
    usage, last = capsys.readouterr().err.strip().splitlines()
    assert end.value.code == 2 and usage.startswith("usage: gan-diffusion card FOLDER")
    return last


def change(file: Path, old: str, new: str) -> str:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    return file.read_text(encoding="utf-8")


@pytest.mark.parametrize("method", METHODS)
def test_what_a_training_wrote_is_written_again(runs, method):
    for folder in (runs / method, runs / method / "model-1"):
        before = (folder / "README.md").read_bytes()
        for overwrite in (False, True):
            rewrite_card(folder, overwrite=overwrite)
            assert (folder / "README.md").read_bytes() == before
        (folder / "README.md").unlink()
        rewrite_card(folder)
        assert (folder / "README.md").read_bytes() == before


def test_licence_and_data_set_are_written_and_stay(run, capsys):
    said = card(capsys, run, "--license", "cc-by-4.0", "--dataset_id", "somebody/digits")
    first, second = said.splitlines()
    assert first.startswith(
        f"Wrote {run / 'README.md'}: licence of the weights (cc-by-4.0), data set (somebody/digits)"
    )
    assert "picture (samples.png)" in first and second == "Not known, so not on it: licence of the data."
    text = (run / "README.md").read_text()
    written = ModelCard(text)
    assert (written.data.license, written.data.datasets) == ("cc-by-4.0", ["somebody/digits"])
    assert "The library is under Apache-2.0, the weights are under cc-by-4.0." in text
    assert "trained on `somebody/digits`" in text and "(https://huggingface.co/datasets/somebody/digits)" in text
    card(capsys, run)
    assert (run / "README.md").read_text() == text
    card(capsys, run, "--license", "mit")
    assert (run / "README.md").read_text() == text.replace("cc-by-4.0", "mit")
    assert "Not known, so not on it: licence of the weights" in card(capsys, run, "--overwrite")
    assert ModelCard.load(run / "README.md").data.license is None


def test_measurements_and_sections_of_the_user_stay(run):
    result = EvalResult("image-generation", "custom", "digits", "fid", 3.5, metric_name="FID")
    record_measurements(run, {"FID": 3.5}, [result])
    change(run / "README.md", "library_name: gan_diffusion\n", "library_name: gan_diffusion\nlanguage: en\n")
    change(run / "README.md", "- diffusers\n", "- diffusers\n- mine\n")
    change(
        run / "README.md", "## Training data", "## Limits\n\nSmall \N{MULTIPLICATION SIGN} few.\n\n## Training data"
    )
    (run / "samples.png").unlink()
    (run / "measurements.json").write_text(json.dumps({"FID": 3.25}))
    assert (
        "Not known, so not on it: licence of the weights, licence of the data, picture." in rewrite_card(run, None)[1]
    )
    written = ModelCard.load(run / "README.md")
    assert written.data.eval_results == [result] and written.data["language"] == "en" and "mine" in written.data.tags
    assert written.text.endswith("| FID | 3.25 |\n\n## Limits\n\nSmall \N{MULTIPLICATION SIGN} few.\n")
    assert "samples.png" not in written.text and written.text.count("## Limits") == 1
    text = (run / "README.md").read_text(encoding="utf-8")
    rewrite_card(run)
    assert (run / "README.md").read_text(encoding="utf-8") == text


def test_a_licence_in_the_metadata_alone_gets_its_sentence(run):
    change(run / "README.md", "library_name:", "license: mit\nlibrary_name:")
    rewrite_card(run)
    assert "the weights are under mit." in (run / "README.md").read_text()
    rewrite_card(run, overwrite=True)
    text = change(run / "README.md", "library_name:", "license: other\nlicense_name: mine\nlibrary_name:")
    rewrite_card(run)
    written = ModelCard.load(run / "README.md")
    assert (written.data.license, written.data.license_name) == ("other", "mine")
    assert written.text.strip() == ModelCard(text).text.strip()
    rewrite_card(run, "mit")
    written = ModelCard.load(run / "README.md")
    assert written.data.license == "mit" and written.data.license_name is None


def test_further_data_sets_in_the_metadata_stay(run):
    change(run / "README.md", "library_name:", "datasets:\n- a/b\n- c/d\nlibrary_name:")
    rewrite_card(run)
    assert "datasets/a/b)" in (run / "README.md").read_text()
    rewrite_card(run, dataset_id="e/f")
    assert ModelCard.load(run / "README.md").data.datasets == ["e/f", "c/d"]


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("# DDGAN, trained", "# My digits, trained", "before its first section"),
        ("Licence of the data: not known to this card", "Licence of the data: mine", "in the section 'Training data'"),
        ("Whoever publishes the weights", "Somebody", "in the section 'Training'"),
    ],
)
def test_text_that_was_changed_by_hand_is_not_lost(run, capsys, old, new, where):
    ours = (run / "README.md").read_text()
    text = change(run / "README.md", old, new)
    assert f"`README.md` must be as this package writes it, got another text {where}" in refusal(capsys, run)
    assert (run / "README.md").read_text() == text
    card(capsys, run, "--overwrite")
    assert (run / "README.md").read_text() == ours


@pytest.mark.parametrize("metadata", ["---\ntags: [\n---\n", "---\n- a\n---\n", "---\nmodel-index: 3\n---\n"])
def test_broken_metadata_are_refused(run, capsys, metadata):
    (run / "README.md").write_text(metadata + "# Title\n")
    assert "`README.md` must begin with metadata in YAML" in refusal(capsys, run)
    assert (run / "README.md").read_text() == metadata + "# Title\n"


def test_a_card_of_somebody_else_is_refused(run, capsys):
    (run / "README.md").write_text("# My model\n")
    assert "got another text before its first section" in refusal(capsys, run)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--license", "MIT License"], "`license` must be a name of the Hub, such as apache-2.0 or cc-by-4.0"),
        (["--license", "other"], "Write another one into the metadata of the card yourself"),
        (["--dataset_id", "digits"], "`dataset_id` must be OWNER/NAME of a data set on the Hub, got 'digits'"),
    ],
)
def test_options_that_cannot_be_used(run, capsys, words, message):
    assert message in refusal(capsys, run, *words)


def test_the_record_of_the_run_is_needed(run, tmp_path, capsys):
    export_checkpoint(run / "checkpoint-2", tmp_path / "early")
    assert "`folder` must hold the run.yaml of its run" in refusal(capsys, tmp_path / "early")
    before = (tmp_path / "early" / "README.md").read_text()
    shutil.copy(run / "run.yaml", tmp_path / "early")
    card(capsys, tmp_path / "early")
    assert (tmp_path / "early" / "README.md").read_text() == before
    change(tmp_path / "early" / "run.yaml", "r1_gamma: {value: ", "r1_gamma: {value: 1")
    assert "`run.yaml` must be that of the run that made the model, got " in refusal(capsys, tmp_path / "early")
    change(run / "run.yaml", "recipe_kind: folder", "recipe_kind: odd")
    assert "`run.yaml` must be as the run wrote it, got KeyError('odd') in it" in refusal(capsys, run)


def test_a_start_after_the_weights_is_not_on_their_card(run):
    before = (run / "model-1" / "README.md").read_text()
    record = yaml.safe_load((run / "run.yaml").read_text())
    again = copy.deepcopy(record["starts"][0])
    record["starts"].append({**again, "from_step": 2, "changed": {"seed": {"before": 1, "now": 7}}})
    (run / "run.yaml").write_text(yaml.safe_dump(record, sort_keys=False))
    rewrite_card(run / "model-1")
    assert (run / "model-1" / "README.md").read_text() == before
    record["starts"][-1]["from_step"] = 1
    (run / "run.yaml").write_text(yaml.safe_dump(record, sort_keys=False))
    (run / "README.md").unlink()
    rewrite_card(run)
    assert re.search("From step 1 on, the run had other values of seed", (run / "README.md").read_text())


def test_folders_without_a_trained_pipeline_are_refused(tmp_path, capsys):
    make_ddgan().save_pretrained(tmp_path / "plain")
    for name in ("plain", "nothing"):
        assert "`folder` must be that of a trained pipeline" in refusal(capsys, tmp_path / name)
    assert not (tmp_path / "nothing").exists() and not (tmp_path / "plain" / "README.md").exists()
