# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""A saved pipeline is on the Hub as a whole or not at all, and nothing else of its folder is."""

import json
import shutil
import socket
import sys
from pathlib import Path

import pytest
from hub_server import Repository
from huggingface_hub import constants
from PIL import Image

from gan_diffusion.pipelines import load_pipeline
from gan_diffusion.publishing import open_repository, push_repository, record_measurements, save_repository
from gan_diffusion.recipes import Recipe


sys.path.insert(0, str(Path(__file__).parents[1] / "pipelines"))
from tiny_pipelines import MAKERS, seeded  # noqa: E402


TOKEN = "hf_secret"
PUBLISHED = {
    "README.md", "checksums.json", "discriminator/config.json", "discriminator/diffusion_pytorch_model.safetensors",
    "generator/config.json", "generator/diffusion_pytorch_model.safetensors", "measurements.json", "model_index.json",
    "modular_blocks.py", "modular_config.json", "modular_model_index.json", "pipeline.py", "samples.png",
    "scheduler/scheduler_config.json", "training.yaml",
}  # fmt: skip


def save(method: str, folder: Path) -> Path:
    recipe = Recipe.load(f"{method}-digits")
    small = {"hidden_dim": 8} if method == "ddgan" else {"channel_max": 8}
    discriminator = recipe.build("discriminator", **small)
    picture = Image.new("L", (8, 8))
    save_repository(folder, MAKERS[method](), discriminator, recipe, recipe.training, {"steps": 5}, samples=picture)
    return folder


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    return save("spi-gan", tmp_path_factory.mktemp("original") / "model")


@pytest.fixture
def folder(original, tmp_path) -> Path:
    """A saved pipeline in a folder of a run, beside what is not for others."""
    folder = tmp_path / "run"
    shutil.copytree(original, folder)
    for name in ("run.yaml", "run.log", "logs/events", "checkpoint-3/a.safetensors", "model-3/model_index.json", "data.json",
                 "best/model_index.json", "samples/step-3.png", "training-images.png", "generator/notes.txt",
                 "evaluation/nearest.png", ".gitignore"):  # fmt: skip
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("{}")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def published(hub, name: str = "user/run") -> set[str]:
    return set(hub.files(name)) - {".gitattributes"}


def commits(hub, name: str = "user/run") -> int:
    return len(hub.repository(name).commits)


def test_the_whole_pipeline_is_one_commit_and_the_rest_of_the_folder_stays(hub_here, folder):
    before = contents(folder)
    url = push_repository(folder, "run")
    assert url == f"{hub_here.url}/user/run/commit/{hub_here.repository('user/run').head}"
    assert published(hub_here) == PUBLISHED and commits(hub_here) == 2
    as_they_are = PUBLISHED - {"modular_model_index.json"}  # It gets the name of the repository.
    assert all(hub_here.files("user/run")[name] == before[name] for name in as_they_are)
    assert "![Samples of this checkpoint](samples.png)" in hub_here.files("user/run")["README.md"].decode()
    assert not hub_here.repository("user/run").private
    # Nothing is new: no commit.
    assert push_repository(folder, "user/run") == url and commits(hub_here) == 2
    assert contents(folder) == before and hub_here.unknown_requests == []


def test_another_pipeline_replaces_all_of_the_older_one(hub_here, folder):
    push_repository(folder, "run")
    head = hub_here.files("user/run")
    stale = {"generator/old.safetensors": b"1", "evaluation/nearest.png": b"2", "LICENSE": b"3", "notes.md": b"4"}
    hub_here.repository("user/run").commit(head | stale)
    (folder / "discriminator" / "config.json").unlink()
    (folder / "discriminator" / "diffusion_pytorch_model.safetensors").unlink()
    (folder / "checksums.json").unlink()
    push_repository(folder, "run")
    gone = {"checksums.json", *(name for name in PUBLISHED if name.startswith("discriminator/"))}
    assert published(hub_here) == PUBLISHED - gone | {"LICENSE", "notes.md"}
    assert commits(hub_here) == 4


def test_a_picture_of_older_weights_does_not_stay(folder):
    recipe = Recipe.load("spi-gan-digits")
    discriminator = recipe.build("discriminator", channel_max=8)
    save_repository(folder, MAKERS["spi-gan"](), discriminator, recipe, recipe.training, {})
    assert not (folder / "samples.png").exists() and "samples.png" not in (folder / "README.md").read_text()


def images_of(pipeline) -> list:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline(2, generator=seeded(7), output_type="np").images.tolist()


def test_pulled_pipelines_of_all_methods_give_equal_images(hub_here, tmp_path):
    for method in MAKERS:
        push_repository(save(method, tmp_path / method), method, private=True, token="hf_other")
        assert images_of(load_pipeline(f"user/{method}")) == images_of(MAKERS[method]())
        assert hub_here.repository(f"user/{method}").private


# Status 0: the connection is lost in the middle of the request.
@pytest.mark.parametrize("status", [500, 503, 0])
@pytest.mark.parametrize(
    "request_", ["POST /api/repos/create", "GET .*/auth-check/write", "POST .*/preupload/main", "POST .*/objects/batch", "PUT /lfs/.*", "POST .*/commit/main"]
)  # fmt: skip
def test_a_failing_hub_gets_nothing_or_all(hub_here, folder, request_, status):
    before = contents(folder)
    hub_here.faults[request_] = status
    with pytest.raises(OSError, match="The Hub did not take 'user/run' .*: run the same command again") as error:
        push_repository(folder, "user/run")
    assert "\n" not in str(error.value) and TOKEN not in str(error.value)
    assert "user/run" not in hub_here.repositories or published(hub_here) == set()
    hub_here.faults.clear()
    push_repository(folder, "user/run")
    assert published(hub_here) == PUBLISHED and commits(hub_here) == 2 and contents(folder) == before


@pytest.mark.parametrize("request_", ["PUT /lfs/.*", "POST .*/commit/main"])
def test_a_token_that_expires_on_the_way_is_named(hub_here, folder, request_):
    hub_here.faults[request_] = 401
    with pytest.raises(ValueError, match="`hub_token` must be a valid token of the Hub, got one that the Hub refuses"):
        push_repository(folder, "user/run")
    assert published(hub_here) == set()


def test_without_a_network_the_error_says_so(hub_here, folder, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(OSError, match="The Hub did not take 'user/run' .*refused"):
            push_repository(folder, "user/run")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(OSError, match="offline mode is enabled.* run the same command again"):
        push_repository(folder, "user/run")


def test_what_cannot_be_written_to_is_refused_before_anything_is_sent(hub_here, folder, monkeypatch):
    hub_here.repositories["other/there"] = Repository()
    for name in ("other/there", "other/run"):
        with pytest.raises(
            ValueError, match=f"`repo_id` must be a repository that the token may write to, got '{name}'"
        ):
            push_repository(folder, name)
    hub_here.expired_tokens.add("hf_old")
    with pytest.raises(ValueError, match="`hub_token` must be a valid token of the Hub"):
        push_repository(folder, "user/run", token="hf_old")
    with pytest.raises(ValueError, match="`repo_id` must be NAME or OWNER/NAME on the Hub, got 'a/b/c'"):
        push_repository(folder, "a/b/c")
    open_repository("user/public")
    with pytest.raises(ValueError, match="`repo_id` must be a private repository, got 'user/public'"):
        push_repository(folder, "user/public", private=True)
    for files in ({"weights.bin": b""}, {"model_index.json": b'{"_class_name": "StableDiffusionPipeline"}'}):
        hub_here.repository("user/public").commit(files)
        with pytest.raises(
            ValueError, match="`repo_id` must be a new or empty .*, got 'user/public', which holds other"
        ):
            push_repository(folder, "user/public")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ValueError, match="`hub_token` must be given to write to the Hub, got none"):
        push_repository(folder, "user/run")
    assert "user/run" not in hub_here.repositories
    assert not any("/commit/" in request or "/lfs/" in request for request in hub_here.requests)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("model_index.json", "without model_index.json"),
        ("README.md", "without README.md"),
        ("generator/diffusion_pytorch_model.safetensors", "without generator/diffusion_pytorch_model.safetensors"),
        ("discriminator/config.json", "without discriminator/config.json"),
        ("scheduler/scheduler_config.json", "without scheduler/scheduler_config.json"),
    ],
)
def test_folders_that_are_not_whole_are_refused(hub_here, folder, missing, message):
    (folder / missing).unlink()
    with pytest.raises(ValueError, match=message):
        push_repository(folder, "user/run")
    assert hub_here.requests == []


def test_damaged_weights_are_not_published(hub_here, folder):
    file = folder / "generator" / "diffusion_pytorch_model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match="must be as it was saved, got another content than its checksum says"):
        push_repository(folder, "user/run")
    assert hub_here.requests == []


def test_numbers_that_are_measured_later_are_pushed_alone(hub_here, folder):
    push_repository(folder, "user/run")
    hub_here.requests.clear()
    record_measurements(folder, {"FID": 3.5})
    push_repository(folder, "user/run")
    assert json.loads(hub_here.files("user/run")["measurements.json"])["FID"] == 3.5
    assert not any(request.startswith("PUT") for request in hub_here.requests)
