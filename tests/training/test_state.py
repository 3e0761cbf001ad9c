# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: exact, verified, in order; and damaged, foreign or hostile ones."""

import os
import shutil
from types import SimpleNamespace

import pytest
import torch
from diffusers.training_utils import EMAModel

from gan_diffusion.training import checkpoints
from gan_diffusion.training.checkpoint_format import (
    DamagedCheckpointError,
    Manifest,
    pack,
    read_files,
    read_manifest,
    unpack,
    write_files,
)
from gan_diffusion.training.checkpoints import (
    CheckpointNotSavedError,
    clean_checkpoints,
    list_checkpoints,
    load_checkpoint,
    resume,
    save_checkpoint,
)
from gan_diffusion.training.state import AverageState, OptimizerState, TrainingState, data_identity


def make(step: int = 5, **options) -> TrainingState:
    """A state with all kinds of parts, after an update."""
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(2, 2)).to(
        memory_format=torch.channels_last
    )
    optimizer = torch.optim.Adam(network.parameters())
    network[0](torch.randn(1, 3, 4, 4)).sum().backward()
    optimizer.step()
    parts = {
        "network": network,
        "optimizer": OptimizerState(optimizer),
        "ema": AverageState(EMAModel(network.parameters())),
    }
    return TrainingState(parts, {"generator": {"width": 2}}, {"rate": 1.0}, 4, step=step, **options)


def tensors(state: TrainingState) -> list[torch.Tensor]:
    return list(pack(state.state_dict())[1].values())


@pytest.mark.parametrize(
    "content",
    [
        {"a": None, "b": [True, 1, -0.0, 1e-320, 2**80, "ü\n\ud800"]},
        {1: {2: (3, [4, (5,)])}, (6, "x"): {}},
        {"$tensor": "not one", "plain": {"$order": 1}},
        {"t": [torch.arange(3), torch.tensor(2.0), torch.zeros(0, 4), torch.ones(2, dtype=torch.bool)]},
        {"half": torch.randn(2, 3).bfloat16(), "long": torch.tensor([[2**62]])},
        [{"a/b": torch.zeros(1)}, {"a": {"b": torch.ones(1)}}],
    ],
)
def test_content_comes_back_exactly(tmp_path, content):
    write_files(tmp_path, content, Manifest(1, "run", 2, 3))
    with read_files(tmp_path) as (read, manifest):
        assert_same(read, content)
    assert manifest == Manifest(1, "run", 2, 3)


def assert_same(one, two) -> None:
    assert type(one) is type(two)
    if isinstance(one, dict):
        assert list(one) == list(two)
        one, two = list(one.values()), list(two.values())
    if isinstance(one, list | tuple):
        for pair in zip(one, two, strict=True):
            assert_same(*pair)
    else:
        assert (
            torch.equal(one, two) and one.dtype == two.dtype
            if isinstance(one, torch.Tensor)
            else repr(one) == repr(two)
        )


def test_memory_formats_and_tied_weights_come_back(tmp_path):
    images = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    matrix = torch.randn(4, 6)
    content = {
        "last": images,
        "turned": matrix.T,
        "part": matrix[:, 1::2],
        "tied": [matrix, matrix],
        "wide": torch.ones(1).expand(3),
    }
    write_files(tmp_path, content, Manifest(1, "run", 2, 0))
    with read_files(tmp_path) as (read, _):
        assert read["last"].stride() == images.stride() and read["turned"].stride() == matrix.T.stride()
        assert read["tied"][0].data_ptr() == read["tied"][1].data_ptr()
        assert_same(read, content)


@pytest.mark.parametrize(
    "value", [{1, 2}, object(), b"bytes", 1j, torch.float32, SimpleNamespace(), torch.eye(2).to_sparse()]
)
def test_other_types_are_refused_when_saving(value):
    with pytest.raises(TypeError, match="`state_dict` must give tensors.* got .* at /part/0"):
        pack({"part": [value]})


@pytest.mark.parametrize(
    "packed", [{"$tensor": 1}, {"$order": []}, {"$tuple": {}}, {"$items": [1], "x": 2}, {"$new": 1}]
)
def test_marks_are_read_as_they_are_written_alone(packed):
    with pytest.raises(ValueError, match="marks of a checkpoint"):
        unpack(packed, lambda name: torch.zeros(1))


def test_round_trip(tmp_path):
    state = make(seconds=1.5, half_steps=1)
    checkpoint = save_checkpoint(state, tmp_path)
    other = make(step=0)
    assert load_checkpoint(other, checkpoint) == []
    assert (other.step, other.half_steps, other.seconds, other.run) == (5, 1, 1.5, state.run)
    for one, two in zip(tensors(state), tensors(other), strict=True):
        assert torch.equal(one, two) and one.stride() == two.stride()
    assert sorted(file.name for file in checkpoint.iterdir()) == ["manifest.json", "state.json", "tensors.safetensors"]


def test_a_changed_learning_rate_counts(tmp_path):
    checkpoint = save_checkpoint(make(), tmp_path)
    other = make()
    other.parts["optimizer"].optimizer.param_groups[0].update(lr=0.5, betas=(0.1, 0.2))
    load_checkpoint(other, checkpoint)
    group = other.parts["optimizer"].optimizer.param_groups[0]
    assert group["lr"] == 0.5 and group["betas"] == (0.1, 0.2)


def test_nothing_of_the_machine_and_no_random_state_is_saved(tmp_path):
    checkpoint = save_checkpoint(make(), tmp_path)
    with read_files(checkpoint) as (content, _):
        assert content["counters"].keys() == {"seconds", "origin"}
    text = "".join((checkpoint / name).read_text() for name in ("state.json", "manifest.json"))
    for private in (str(tmp_path), os.uname().nodename, os.path.expanduser("~")):
        assert private not in text


def test_saved_files_have_the_mode_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        checkpoint = save_checkpoint(make(), tmp_path)
    finally:
        os.umask(before)
    assert {file.stat().st_mode & 0o777 for file in checkpoint.iterdir()} == {0o640}
    assert checkpoint.stat().st_mode & 0o777 == 0o750


def test_images_are_counted_across_a_change_of_the_batch_size(tmp_path):
    state = make()
    assert state.images_seen == 20
    for step, samples_per_step, images in ((5, 10, 20), (7, 10, 40), (8, 3, 43), (10, 3, 49)):
        checkpoint = save_checkpoint(state, tmp_path)
        state.samples_per_step = samples_per_step
        load_checkpoint(state, checkpoint, changes=["train_batch_size"])
        state.step = step
        assert state.images_seen == images


def test_the_newest_is_the_one_written_last_whatever_its_number(tmp_path):
    for step in (10, 2, 30, 4):
        save_checkpoint(make(step), tmp_path, total_limit=3)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["checkpoint-2", "checkpoint-30", "checkpoint-4"]
    state = make(0)
    assert resume(state, tmp_path, "latest")[0].name == "checkpoint-4" and state.step == 4


@pytest.mark.parametrize("limit", [1, 2, None])
def test_new_checkpoints_are_never_the_ones_removed(tmp_path, limit):
    for step in (100, 200):
        save_checkpoint(make(step), tmp_path, total_limit=limit)
    _, notes = resume(make(0), tmp_path, "no")
    assert "are not used" in notes[-1] and "checkpoint-200" in notes[-1]
    for step in (1, 2, 3):
        assert list_checkpoints(tmp_path)[-1] != save_checkpoint(make(step), tmp_path, total_limit=limit)
        assert list_checkpoints(tmp_path)[-1].name == f"checkpoint-{step}"
    names = [path.name for path in list_checkpoints(tmp_path)]
    assert (
        names == ["checkpoint-100", "checkpoint-200", "checkpoint-1", "checkpoint-2", "checkpoint-3"][-(limit or 5) :]
    )


def test_a_step_that_exists_is_replaced(tmp_path):
    save_checkpoint(make(3, seconds=1.0), tmp_path)
    save_checkpoint(make(4), tmp_path)
    save_checkpoint(make(3, seconds=2.0), tmp_path, total_limit=2)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["checkpoint-4", "checkpoint-3"]
    state = make(0)
    resume(state, tmp_path, "latest")
    assert state.step == 3 and state.seconds == 2.0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-3", "checkpoint-4"]


def test_what_a_kill_leaves_is_cleaned(tmp_path):
    save_checkpoint(make(3), tmp_path)
    for name in (".checkpoint-9.partial", ".checkpoint-1.trash"):
        (tmp_path / name).mkdir()
    (tmp_path / "checkpoint-3").rename(tmp_path / ".checkpoint-3.replaced")
    shutil.copytree(tmp_path / ".checkpoint-3.replaced", tmp_path / ".checkpoint-3.partial")
    clean_checkpoints(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-3"]


@pytest.mark.parametrize("reference", ["name", "path", "slash"])
def test_a_checkpoint_is_found_by_name_and_by_path(tmp_path, reference):
    for step in (2, 3):
        save_checkpoint(make(step), tmp_path)
    wanted = {"name": "checkpoint-2", "path": str(tmp_path / "checkpoint-2"), "slash": f"{tmp_path}/checkpoint-2/"}
    state = make(0)
    _, notes = resume(state, tmp_path, wanted[reference])
    assert state.step == 2 and "checkpoint-3" in notes[-1] and "checkpoint-2" not in notes[-1]


def flip(file) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("name", ["manifest.json", "state.json", "tensors.safetensors"])
@pytest.mark.parametrize("damage", [flip, lambda file: file.unlink(), lambda file: os.truncate(file, 9)])
def test_the_one_before_is_used_for_a_damaged_newest(tmp_path, name, damage):
    first, second = (save_checkpoint(make(step), tmp_path) for step in (2, 3))
    state = make(2)
    state.run = read_manifest(first).run
    shutil.rmtree(second)
    state.step = 3
    second = save_checkpoint(state, tmp_path)
    damage(second / name)
    state = make(0)
    path, notes = resume(state, tmp_path, "latest")
    assert path == first and state.step == 2
    assert str(second) in notes[0] and notes[0].endswith("checkpoint-3 is left aside.") and "\n" not in notes[0]
    with pytest.raises(DamagedCheckpointError, match="checkpoint-3"):
        resume(make(0), tmp_path, str(second))
    damage(first / name)
    with pytest.raises(DamagedCheckpointError, match="damaged ones only.*start anew"):
        resume(make(0), tmp_path, "latest")


def test_a_checkpoint_of_an_earlier_run_is_no_substitute(tmp_path):
    for step in (2, 3):
        save_checkpoint(make(step), tmp_path)
    flip(tmp_path / "checkpoint-3" / "state.json")
    with pytest.raises(DamagedCheckpointError, match="of the last run"):
        resume(make(0), tmp_path, "latest")


def test_what_was_left_by_going_back_is_no_substitute(tmp_path):
    state = make(2)
    save_checkpoint(state, tmp_path)
    state.step = 9
    save_checkpoint(state, tmp_path)
    state = make(0)
    resume(state, tmp_path, "checkpoint-2")
    state.step = 3
    flip(save_checkpoint(state, tmp_path) / "state.json")
    with pytest.raises(DamagedCheckpointError, match="damaged ones only"):
        resume(make(0), tmp_path, "latest")


def test_swapped_folders_are_noticed(tmp_path):
    for step in (2, 3):
        save_checkpoint(make(step), tmp_path)
    for old, new in ((2, 4), (3, 2), (4, 3)):
        (tmp_path / f"checkpoint-{old}").rename(tmp_path / f"checkpoint-{new}")
    with pytest.raises(DamagedCheckpointError, match="must hold the checkpoint of step 3, got that of step 2"):
        resume(make(0), tmp_path, "latest")


def test_loading_is_all_or_nothing(tmp_path):
    state = make(2)
    state.parts["last"] = torch.nn.Linear(3, 1)
    checkpoint = save_checkpoint(state, tmp_path)
    other = make(0)
    other.parts["last"] = torch.nn.Linear(4, 1)
    before = [value.clone() for value in tensors(other)]
    with pytest.raises(DamagedCheckpointError, match=r"`last.weight` must be \(1, 4\)"):
        load_checkpoint(other, checkpoint)
    assert other.step == 0 and all(map(torch.equal, before, tensors(other)))


def test_other_networks_are_refused(tmp_path):
    checkpoint = save_checkpoint(make(), tmp_path)
    state = make()
    state.configs = {"generator": {"width": 3}}
    with pytest.raises(ValueError, match="another generator"):
        load_checkpoint(state, checkpoint, changes=["generator"])
    state = make()
    state.parts["head"] = torch.nn.Linear(1, 1)
    with pytest.raises(ValueError, match="another set of head"):
        load_checkpoint(state, checkpoint)


def test_other_settings_are_refused_unless_they_are_named(tmp_path):
    state = make()
    checkpoint = save_checkpoint(state, tmp_path)
    state.settings = {"rate": 2.0, "new": "x"}
    with pytest.raises(ValueError, match="another new: None then, 'x' now.*--change_on_resume new"):
        load_checkpoint(state, checkpoint, changes=["rate"])
    assert load_checkpoint(state, checkpoint, changes=["rate", "new", "unchanged"]) == [
        "new changes: None then, 'x' now",
        "rate changes: 1.0 then, 2.0 now",
    ]


class Labelled(list):
    """A data set with a report."""

    def __init__(self, length: int, identity: str, names: list[str]):
        super().__init__(range(length))
        self.report = SimpleNamespace(identity=identity)
        self.class_names = names


@pytest.mark.parametrize(
    ("data", "difference"),
    [
        (Labelled(4, "aa", ["cat", "dog"]), None),
        (Labelled(3, "bb", ["cat", "dog"]), "samples 4 then, 3 now"),
        (Labelled(4, "aa", ["dog", "cat"]), "classes .'cat', 'dog'. then, .'dog', 'cat'. now"),
        (Labelled(4, "bb", ["cat", "dog"]), "identity 'aa' then, 'bb' now"),
        ([1, 2, 3, 4], "identity 'aa' then, None now"),
    ],
)
def test_other_data_is_refused_unless_that_is_allowed(tmp_path, data, difference):
    checkpoint = save_checkpoint(make(data=data_identity(Labelled(4, "aa", ["cat", "dog"]))), tmp_path)
    state = make(data=data_identity(data))
    if difference is None:
        assert load_checkpoint(state, checkpoint) == []
    else:
        with pytest.raises(ValueError, match=f"another data: .*{difference}.*--change_on_resume data"):
            load_checkpoint(state, checkpoint)
        assert len(load_checkpoint(state, checkpoint, changes=["data"])) == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("part", ["network", "optimizer", "ema"])
def test_what_is_not_finite_is_not_saved(tmp_path, part, value):
    save_checkpoint(make(1), tmp_path, total_limit=1)
    state = make(2)
    weights = list(state.parts["network"].parameters())
    moments = state.parts["optimizer"].optimizer.state[weights[0]]["exp_avg"]
    place = {"network": weights[0], "optimizer": moments, "ema": state.parts["ema"].ema.shadow_params[0]}[part]
    place.data[(0,) * place.ndim] = value
    with pytest.raises(FloatingPointError, match=f"{part}.* is not finite"):
        save_checkpoint(state, tmp_path, total_limit=1)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-1"]


@pytest.mark.parametrize("fault", ["full", "unwritable", "misread", "late"])
def test_a_checkpoint_that_cannot_be_written_leaves_the_older_ones(tmp_path, monkeypatch, fault):
    save_checkpoint(make(1), tmp_path, total_limit=1)

    def fail(*arguments, **options):
        raise OSError(28, "No space left on device")

    if fault == "full":
        monkeypatch.setattr(checkpoints.shutil, "disk_usage", lambda folder: SimpleNamespace(free=100))
    elif fault == "unwritable":
        monkeypatch.setattr("gan_diffusion.training.checkpoint_format.save_file", fail)
    elif fault == "late":
        monkeypatch.setattr(checkpoints, "write_files", fail)
    else:
        written = write_files

        def write_badly(folder, *arguments):
            written(folder, *arguments)
            flip(folder / "tensors.safetensors")

        monkeypatch.setattr(checkpoints, "write_files", write_badly)
    with pytest.raises(CheckpointNotSavedError, match=r"step 2 cannot be saved in .* needs [\d,]+ bytes"):
        save_checkpoint(make(2), tmp_path, total_limit=1)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-1"]
    load_checkpoint(make(0), tmp_path / "checkpoint-1")
