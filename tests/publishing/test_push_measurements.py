# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""Measured numbers go into the card of a repository on the Hub, with all that they depend on."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import EvalResult, ModelCard
from PIL import Image

from gan_diffusion.publishing import record_measurements
from gan_diffusion.publishing.cards import add_results


SCRIPT = """
import contextlib, io, json, os, sys
from pathlib import Path
from huggingface_hub import HfApi
from gan_diffusion.evaluation import run_evaluation
from gan_diffusion.publishing import push_measurements

folder, pictures, token = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
del os.environ["HF_TOKEN"]
api = HfApi(token=token)
for name in ("user/tiny", "user/bare"):
    api.create_repo(name)
    api.upload_folder(repo_id=name, folder_path=folder, ignore_patterns=["README.md"] if name == "user/bare" else None)
output, errors = io.StringIO(), {}
common = ["--train_data_dir", pictures, "--features", "mnist", "--num_samples", "16", "--output_dir", "numbers"]


def refused(name, *arguments):
    error = io.StringIO()
    try:
        with contextlib.redirect_stderr(error):
            run_evaluation([*arguments, *common])
    except SystemExit:
        errors[name] = error.getvalue().strip().splitlines()[-1]


os.chdir(folder)
with contextlib.redirect_stdout(output):
    measured = run_evaluation(["user/tiny", "--push", "--hub_token", token, *common])
    first = api.model_info("user/tiny").sha
    run_evaluation(["user/tiny", "--push", "--hub_token", token, *common])
    refused("no_token", "user/tiny", "--push")
    refused("folder", str(folder), "--push")
    refused("unused_token", str(folder), "--hub_token", token)
    refused("no_card", "user/bare", "--push", "--hub_token", token)
    refused("no_repository", "user/none", "--push", "--hub_token", token)
try:
    push_measurements("user/tiny", {}, {"late": 1}, [], first, token)
except OSError as error:
    errors["newer"] = str(error)
print(json.dumps({"measured": measured, "first": first, "output": output.getvalue(), "errors": errors}))
"""
TOKEN = "hf_secret"


@pytest.fixture(scope="module")
def pushed(run_with_hub, tmp_path_factory) -> dict:
    sys.path.insert(0, str(Path(__file__).parents[1] / "pipelines"))
    from tiny_pipelines import make_spi_gan

    folder, pictures, random = (
        tmp_path_factory.mktemp("model"),
        tmp_path_factory.mktemp("own"),
        np.random.default_rng(0),
    )
    make_spi_gan().save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: mit\ntags:\n- gan\n---\n\n# My `tiny` model\n\nText stays.\n")
    for number in range(12):
        Image.fromarray(random.integers(0, 256, (8, 8), dtype=np.uint8)).save(pictures / f"{number}.png")
    return run_with_hub(SCRIPT, folder, pictures, TOKEN) | {"pictures": str(pictures)}


def results_of(text: str) -> dict:
    return {result.metric_type: result for result in ModelCard(text).data.eval_results}


def test_numbers_are_metadata_and_a_table_of_the_card(hub, pushed):
    card = hub.files("user/tiny", pushed["first"])["README.md"].decode()
    results, data = results_of(card), ModelCard(card).data
    assert (data.license, data.tags, data.model_name) == ("mit", ["gan"], "My tiny model") and "Text stays." in card
    assert {"frechet_distance_mnist_classifier", "kernel_distance_mnist_classifier", "coverage_mnist_classifier"} <= {
        *results
    }
    assert all("mnist classifier" in result.metric_name for result in results.values())
    frechet = results["frechet_distance_mnist_classifier"]
    assert frechet.metric_name == "Frechet distance (mnist classifier, 16 against 12)"
    assert frechet.metric_value == pushed["measured"][f"{frechet.metric_name}, 1 evaluation"]
    assert (frechet.metric_args["seed"], frechet.metric_args["network_evaluations_per_image"]) == (0, 1)
    assert (frechet.dataset_type, frechet.dataset_name) == ("custom", "images of its author's own")
    assert f"| {frechet.metric_name}, 1 evaluation | {frechet.metric_value} |" in card


def test_numbers_and_pictures_come_in_one_commit(hub, pushed):
    files = hub.files("user/tiny", pushed["first"])
    new = {"evaluation.json", "evaluation.md", "samples.png", "nearest.png", "shares.png"}
    assert {f"evaluation/{name}" for name in new} | {"README.md", "measurements.json"} <= {*files}
    assert json.loads(files["evaluation/evaluation.json"])["protocol"]["generated images"] == 16
    commits = list(hub.repository("user/tiny").commits)
    assert len(commits) == 4  # An empty one, the model, and two evaluations.
    assert commits.index(pushed["first"]) == 2


def test_a_repetition_replaces_its_numbers(hub, pushed):
    once, twice = (hub.files("user/tiny", name)["README.md"].decode() for name in (pushed["first"], "main"))
    assert [*results_of(once)] == [*results_of(twice)] and twice.count("## Measured") == 1
    assert len(ModelCard(twice).data.eval_results) == len(ModelCard(once).data.eval_results)


def test_neither_the_token_nor_places_are_published_or_printed(hub, pushed):
    assert TOKEN not in pushed["output"] and TOKEN not in "".join(pushed["errors"].values())
    for content in hub.files("user/tiny").values():
        assert TOKEN.encode() not in content and pushed["pictures"].encode() not in content


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no_token", "`hub_token` must be given to write to the Hub, got none. Or run `hf auth login` once."),
        ("folder", "`--push` must be given with the name of a repository on the Hub, got folder"),
        ("unused_token", "`--hub_token` must be given with the name of a repository on the Hub, got folder"),
        ("no_card", "`repo_id` must be a repository with a README.md, got 'user/bare'. Give it a model card first."),
        ("no_repository", "`repo_id` must be a repository on the Hub that the token may read, got 'user/none'."),
        ("newer", "A commit has happened since"),
    ],
)
def test_what_cannot_be_pushed_is_refused(hub, pushed, what, message):
    assert message in pushed["errors"][what]
    assert b"late" not in hub.files("user/tiny")["measurements.json"]


def test_server_knew_every_request(hub, pushed):
    assert hub.unknown_requests == []


def result(value: float, **changes) -> EvalResult:
    facts = {
        "task_type": "unconditional-image-generation",
        "dataset_type": "a/b",
        "dataset_name": "a/b",
        "metric_type": "frechet_distance_x",
        "metric_name": "Frechet distance (x, 5 against 5)",
        "metric_args": {"seed": 0},
    }
    return EvalResult(**facts | changes, metric_value=value)


def test_results_of_another_protocol_stay():
    text = add_results("---\nlicense: mit\n---\n# T\n", [result(1.0), result(2.0, metric_args={"seed": 1})])
    text = add_results(text, [result(3.0), result(4.0, dataset_type="c/d")])
    values = {(r.dataset_type, r.metric_args["seed"]): r.metric_value for r in ModelCard(text).data.eval_results}
    assert values == {("a/b", 0): 3.0, ("a/b", 1): 2.0, ("c/d", 0): 4.0}
    assert ModelCard(text).data.model_name == "T"


def test_damaged_metadata_are_refused_and_nothing_is_written(tmp_path):
    card = "---\nlicense: [\n---\n# T\n"
    (tmp_path / "README.md").write_text(card)
    with pytest.raises(ValueError, match="`README.md` must begin with metadata in YAML"):
        record_measurements(tmp_path, {"a": 1}, [result(1.0)])
    assert (tmp_path / "README.md").read_text() == card and not (tmp_path / "measurements.json").exists()
