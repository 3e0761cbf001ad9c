# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import json

import pytest

from gan_diffusion.storage.checksums import CHECKSUMS, verified_part, verify_checksums, write_checksums


PARTS = ("model_index.json", "generator", "scheduler", "discriminator")


@pytest.fixture
def folder(tmp_path):
    files = {
        "model_index.json": "{}", "README.md": "card", "training.yaml": "a: 1", "checkpoint-3/state.pt": "state",
        "generator/config.json": '{"a": 1}', "generator/weights.safetensors": "0123456789", "generator/notes.txt": "x",
        "scheduler/scheduler_config.json": "{}", "discriminator/config.json": "{}", "discriminator/weights.bin": "123",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    write_checksums(tmp_path)
    return tmp_path


def verify(folder) -> None:
    for part in PARTS:
        verify_checksums(folder, part)


def test_what_sampling_needs_is_recorded(folder):
    assert set(json.loads((folder / CHECKSUMS).read_text())["files"]) == {
        "model_index.json", "generator/config.json", "generator/weights.safetensors", "scheduler/scheduler_config.json",
        "discriminator/config.json", "discriminator/weights.bin",
    }  # fmt: skip
    verify(folder)


@pytest.mark.parametrize("name", ["README.md", "training.yaml", "checkpoint-3/state.pt", "generator/notes.txt"])
def test_other_files_may_change(folder, name):
    (folder / name).write_text("changed")
    verify(folder)


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("generator/weights.safetensors", "0123456788", "another content"),
        ("generator/weights.safetensors", "012345678", "9 bytes instead of 10"),
        ("generator/weights.safetensors", "", "0 bytes"),
        ("generator/config.json", '{"a": 2}', "another content"),
        ("scheduler/scheduler_config.json", "[]", "another content"),
        ("discriminator/weights.bin", "124", "another content"),
        ("model_index.json", "{ }", "3 bytes"),
        ("generator/weights.safetensors.index.json", "{}", "a file without a checksum"),
        (CHECKSUMS, "{}", "its own checksum"),
        (CHECKSUMS, "", "JSON"),
        (CHECKSUMS, "\x00", "JSON"),
        (CHECKSUMS, '{"files": [], "sha256": ""}', "its own checksum"),
    ],
)
def test_differences_are_named_with_what_to_do(folder, name, text, found):
    (folder / name).write_text(text)
    with pytest.raises(ValueError, match=f"(?s)`{name}` in '{folder}' must be .*{found}.*renew_checksums"):
        verify(folder)
    write_checksums(folder)
    verify(folder)


def test_every_flipped_bit_of_the_checksums_is_seen_or_harmless(folder):
    file = folder / CHECKSUMS
    content = file.read_bytes()
    known = json.loads(content)
    for position in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        file.write_bytes(damaged)
        try:
            verify(folder)
        except ValueError:
            continue
        assert json.loads(file.read_text()) == known


def test_folders_without_checksums_pass(folder):
    (folder / CHECKSUMS).unlink()
    (folder / "generator" / "config.json").write_text("changed")
    verify(folder)


def test_folders_that_were_not_there_pass(folder):
    (folder / "mine").mkdir()
    (folder / "mine" / "config.json").write_text("{}")
    assert verified_part(folder, "mine") == verified_part(folder / "mine") == folder / "mine"


def test_weights_that_were_added_pass_and_an_index_does_not(folder):
    (folder / "generator" / "weights.fp16.safetensors").write_text("more")
    verify(folder)
    (folder / "generator" / "weights.fp16.safetensors.index.json").write_text("{}")
    with pytest.raises(ValueError, match="a file without a checksum"):
        verify(folder)


def test_a_missing_part_is_named(folder):
    (folder / "generator").rename(folder / "moved")
    with pytest.raises(ValueError, match="`generator` in .* got nothing"):
        verify_checksums(folder, "generator")


def test_newest_whole_files_are_taken(folder):
    for part in ("generator", "scheduler"):
        (folder / ".export" / part).mkdir(parents=True)
    assert verified_part(folder / "generator") == folder / ".export" / "generator"
    assert verified_part(folder, "scheduler") == folder / ".export" / "scheduler"


def test_only_pipelines_get_checksums(tmp_path):
    with pytest.raises(ValueError, match="`folder` must hold a model_index.json"):
        write_checksums(tmp_path)
