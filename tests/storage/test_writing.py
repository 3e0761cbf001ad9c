# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import os
import stat

import pytest

from gan_diffusion.storage import writing
from gan_diffusion.storage.writing import INDEX, current_folder, finish_replacing, replaced_files, write_text


def fill(folder, text: str, *names: str) -> None:
    for name in (INDEX, "part/config.json", *names):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)


def contents(folder) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def folder(tmp_path):
    """With an older export, and a file of somebody else."""
    with replaced_files(tmp_path / "run") as new:
        fill(new, "old", "part/extra", "other/config.json")
    (tmp_path / "run" / "log.txt").write_text("mine")
    return tmp_path / "run"


NEW = {INDEX: "new", "part/config.json": "new", "other/config.json": "old", "log.txt": "mine"}


def replace(folder) -> None:
    with replaced_files(folder) as new:
        fill(new, "new")


def test_new_files_take_the_place_of_old_ones(folder):
    replace(folder)
    assert contents(folder) == NEW
    assert not list(folder.glob(".*"))


def test_without_links_files_are_copied(folder, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no links here")

    monkeypatch.setattr(writing.os, "link", refuse)
    replace(folder)
    assert contents(folder) == NEW


def test_a_failure_changes_nothing(folder):
    before = contents(folder)
    with pytest.raises(KeyboardInterrupt), replaced_files(folder) as new:  # noqa: PT012
        fill(new, "new")
        raise KeyboardInterrupt
    assert contents(folder) == before


@pytest.mark.parametrize("calls", range(1, 8))
def test_files_count_from_the_moment_of_the_rename(folder, monkeypatch, calls):
    """Whatever of putting them in their places was done."""
    put, left = writing._put, [calls]

    def stop(source, target):
        left[0] -= 1
        if left[0] == 0:
            raise SystemExit
        put(source, target)

    monkeypatch.setattr(writing, "_put", stop)
    try:
        replace(folder)
    except SystemExit:
        assert current_folder(folder) != folder
        assert not (folder / INDEX).exists()
    else:
        assert calls > 2
    assert contents(current_folder(folder))[INDEX] == "new"
    monkeypatch.setattr(writing, "_put", put)
    finish_replacing(folder)
    assert contents(folder) == NEW


def test_what_did_not_count_is_removed(folder):
    before = contents(folder)
    (folder / ".export.partial" / "part").mkdir(parents=True)
    (folder / ".export.partial" / INDEX).write_text("half")
    assert current_folder(folder) == folder
    finish_replacing(folder)
    assert contents(folder) == before


def test_text_is_replaced_at_once(tmp_path, monkeypatch):
    file = tmp_path / "a.json"
    write_text(file, "old")
    monkeypatch.setattr(writing.os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_text(file, "new")
    assert file.read_text() == "old"
    monkeypatch.undo()
    write_text(file, "\N{SNOWMAN}")
    assert file.read_text(encoding="utf-8") == "\N{SNOWMAN}"
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_files_have_the_rights_that_the_umask_leaves(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_text(tmp_path / "a", "text")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~umask
