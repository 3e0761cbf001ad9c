# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""The command `push`, branches, pull requests and variants."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from hub_server import Repository

from gan_diffusion.cli import main
from gan_diffusion.pipelines import load_pipeline
from gan_diffusion.publishing import save_repository
from gan_diffusion.recipes import Recipe


sys.path.insert(0, str(Path(__file__).parents[1] / "pipelines"))
from tiny_pipelines import make_spi_gan, seeded  # noqa: E402


WEIGHTS = "generator/diffusion_pytorch_model.safetensors"
RAW = "generator/diffusion_pytorch_model.raw.safetensors"


def save(folder: Path, shift: float = 0.0, **config) -> Path:
    recipe = Recipe.load("spi-gan-digits")
    pipeline = make_spi_gan(**config)
    next(pipeline.generator.parameters()).data += shift
    save_repository(
        folder, pipeline, recipe.build("discriminator", channel_max=8), recipe, recipe.training, {"shift": shift}
    )
    return folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    return save(tmp_path_factory.mktemp("saved") / "model")


@pytest.fixture(scope="module")
def shifted(tmp_path_factory) -> Path:
    """The same networks with other weights."""
    return save(tmp_path_factory.mktemp("shifted") / "model", shift=1.0)


def push(capsys, *words: str | Path) -> str:
    main(["push", *map(str, words)])
    return capsys.readouterr().out.splitlines()[-1]


def refusal(capsys, *words: str | Path) -> str:
    with pytest.raises(SystemExit) as end:
        main(["push", *map(str, words)])
    usage, *_, last = capsys.readouterr().err.strip().splitlines()
    assert end.value.code == 2 and usage.startswith("usage: gan-diffusion push FOLDER REPO_ID")
    return last


def images(pipeline) -> list:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline(2, generator=seeded(3), output_type="np").images.tolist()


def test_the_command_pushes_and_says_where(hub_here, saved, capsys):
    said = push(capsys, saved, "model", "--private")
    repository = hub_here.repository("user/model")
    assert said == f"Pushed the pipeline: {hub_here.url}/user/model/commit/{repository.head}"
    assert repository.private and hub_here.files("user/model")[WEIGHTS] == (saved / WEIGHTS).read_bytes()


def test_a_branch_is_made_and_main_stays(hub_here, saved, shifted, capsys):
    push(capsys, saved, "model")
    main_head = hub_here.repository("user/model").head
    for folder in (saved, shifted):
        push(capsys, folder, "model", "--revision", "trial")
    assert hub_here.repository("user/model").head == main_head
    assert hub_here.files("user/model", "trial")[WEIGHTS] == (shifted / WEIGHTS).read_bytes()
    assert images(load_pipeline("user/model", revision="trial")) == images(load_pipeline(shifted))
    assert images(load_pipeline("user/model")) == images(load_pipeline(saved))
    assert hub_here.unknown_requests == []


def test_a_pull_request_leaves_the_repository_of_somebody_else(hub_here, saved, shifted, capsys):
    hub_here.repositories["other/model"] = theirs = Repository()
    theirs.commit({path.relative_to(saved).as_posix(): path.read_bytes() for path in saved.rglob("*.*")})
    head = theirs.head
    assert "`repo_id` must be a repository that the token may write to" in refusal(capsys, shifted, "other/model")
    said = push(capsys, shifted, "other/model", "--create_pr")
    assert said == f"Pushed the pipeline: {hub_here.url}/other/model/discussions/1"
    assert theirs.head == head and hub_here.files("other/model", "refs/pr/1")[WEIGHTS] != theirs.commits[head][WEIGHTS]
    # Another commit into the pull request.
    theirs_now = Repository()
    hub_here.repositories["user/model"] = theirs_now
    push(capsys, saved, "user/model", "--create_pr")
    push(capsys, shifted, "user/model", "--revision", "refs/pr/1")
    assert hub_here.files("user/model", "refs/pr/1")[WEIGHTS] == (shifted / WEIGHTS).read_bytes()
    assert set(hub_here.files("user/model")) == {".gitattributes"}


def test_a_variant_is_added_and_the_rest_stays(hub_here, saved, shifted, capsys):
    push(capsys, saved, "model")
    before = hub_here.files("user/model")
    push(capsys, shifted, "model", "--variant", "raw")
    after = hub_here.files("user/model")
    changed = {name for name in after if after[name] != before.get(name)}
    assert (
        changed == {RAW, RAW.replace("generator", "discriminator"), "checksums.json"} and before.keys() < after.keys()
    )
    assert after[RAW] == (shifted / WEIGHTS).read_bytes()
    recorded = json.loads(after["checksums.json"])["files"]
    assert recorded.keys() == json.loads(before["checksums.json"])["files"].keys() | changed - {"checksums.json"}
    assert images(load_pipeline("user/model")) == images(load_pipeline(saved))
    assert images(load_pipeline("user/model", variant="raw")) == images(load_pipeline(shifted))
    # Damage on the Hub is seen when the variant is loaded.
    hub_here.repository("user/model").commit(after | {RAW: before[WEIGHTS]})
    with pytest.raises(ValueError, match="another content than its checksum says"):
        load_pipeline("user/model", variant="raw")
    # A whole pipeline takes the place of all that was there.
    push(capsys, shifted, "model")
    assert RAW not in hub_here.files("user/model")


def test_a_variant_of_other_networks_is_refused(hub_here, saved, capsys, tmp_path):
    assert "got 'user/model' with no model_index.json" in refusal(capsys, saved, "model", "--variant", "raw")
    push(capsys, save(tmp_path / "wide", w_dim=12), "model")
    commits = len(hub_here.repository("user/model").commits)
    message = "`variant` must be given for a repository that holds the same networks, got 'user/model' with another"
    assert f"{message} generator/config.json" in refusal(capsys, saved, "model", "--variant", "raw")
    assert len(hub_here.repository("user/model").commits) == commits


def test_a_variant_goes_where_there_are_no_checksums(hub_here, saved, shifted, capsys):
    push(capsys, saved, "model")
    files = hub_here.files("user/model")
    hub_here.repository("user/model").commit({name: files[name] for name in files if name != "checksums.json"})
    push(capsys, shifted, "model", "--variant", "raw")
    assert RAW in hub_here.files("user/model") and "checksums.json" not in hub_here.files("user/model")


def test_images_are_drawn_from_branches_and_variants_on_the_hub(hub_here, saved, shifted, capsys, tmp_path):
    push(capsys, saved, "model")
    push(capsys, shifted, "model", "--variant", "raw")
    push(capsys, shifted, "model", "--revision", "trial")
    drawn = {}
    for name, model, *options in (
        ("saved", str(saved)), ("shifted", str(shifted)), ("main", "user/model"),
        ("trial", "user/model", "--revision", "trial"), ("raw", "user/model", "--variant", "raw"),
    ):  # fmt: skip
        main(["sample", model, "--num_images", "2", "--output_dir", str(tmp_path / name), *options])
        drawn[name] = (tmp_path / name / "samples.png").read_bytes()
    assert drawn["main"] == drawn["saved"] != drawn["shifted"] == drawn["trial"] == drawn["raw"]
    with pytest.raises(SystemExit):
        main(["sample", "user/model", "--revision", "nothing", "--output_dir", str(tmp_path / "nothing")])
    assert "got 'user/model'" in capsys.readouterr().err and not (tmp_path / "nothing").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["model", "--variant", "../raw"], "`variant` must be of letters, digits and underscores, got '../raw'"),
        (["model", "--create_pr"], "`repo_id` must be a repository on the Hub that the token may read, got 'model'"),
        (["there", "--create_pr"], "`repo_id` must be a repository on the Hub that the token may read, got 'there'"),
        (["user/there", "--create_pr", "--revision", "trial"], "`revision` must be a branch of 'user/there' on the Hub, got"),
        (["user/there", "--revision", "refs/pr/9"], "`revision` must be a branch of 'user/there' on the Hub, got"),
        (["user/there", "--private"], "`repo_id` must be a private repository, got 'user/there'"),
        (["user/there", "--private", "--create_pr"], "`repo_id` must be a private repository, got 'user/there'"),
        (["user/taken"], "`repo_id` must be a new or empty repository"),
        (["user/taken", "--create_pr"], "`repo_id` must be a new or empty repository"),
        (["user/model", "--hub_token", "hf_old"], "`hub_token` must be a valid token of the Hub"),
        (["a/b/c"], "`repo_id` must be NAME or OWNER/NAME on the Hub, got 'a/b/c'"),
        (["model", "--fast"], "unrecognized arguments: --fast"),
    ],
)  # fmt: skip
def test_what_cannot_be_pushed_is_refused_in_one_line(hub_here, saved, capsys, options, message):
    hub_here.expired_tokens.add("hf_old")
    hub_here.repositories |= {"user/there": Repository(), "user/taken": Repository()}
    hub_here.repository("user/taken").commit({"model.bin": b""})
    assert message in refusal(capsys, saved, *options)
    assert not any("/commit/" in request or "/lfs/" in request for request in hub_here.requests)


def test_a_branch_with_other_files_is_refused(hub_here, saved, capsys):
    push(capsys, saved, "model")
    hub_here.repository("user/model").commit({"model.bin": b""}, "trial")
    assert "`repo_id` must be a new or empty repository" in refusal(capsys, saved, "model", "--revision", "trial")


def test_folders_without_a_pipeline_are_refused(hub_here, saved, capsys, tmp_path, monkeypatch):
    assert "`folder` must be that of a whole saved pipeline" in refusal(capsys, tmp_path, "model")
    shutil.copytree(saved, tmp_path / "model")
    (tmp_path / "model" / WEIGHTS).rename(tmp_path / "model" / RAW)
    (tmp_path / "model" / "checksums.json").unlink()
    message = f"`folder` must hold the weights of a network in one diffusion_pytorch_model.safetensors for a variant, got {RAW}"
    assert message in refusal(capsys, tmp_path / "model", "model", "--variant", "b")
    monkeypatch.delenv("HF_TOKEN")
    assert "`hub_token` must be given to write to the Hub, got none" in refusal(capsys, saved, "user/m", "--create_pr")
    assert hub_here.requests == []
