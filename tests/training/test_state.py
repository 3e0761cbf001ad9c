# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from gan_diffusion.training.state import TrainingState, load_checkpoint, save_checkpoint


class TestState:
    def make(self) -> tuple[TrainingState, torch.nn.Linear]:
        network = torch.nn.Linear(2, 2)
        return TrainingState({"network": network}, {"generator": {"width": 2}}, {"rate": 1.0}, 4, step=5), network

    def test_round_trip(self, tmp_path):
        state, network = self.make()
        weight = network.weight.detach().clone()
        checkpoint = save_checkpoint(state, tmp_path, Accelerator(cpu=True))
        torch.nn.init.zeros_(network.weight)
        state.step = 0
        assert load_checkpoint(state, checkpoint) == []
        assert state.step == 5 and torch.equal(network.weight, weight)
        assert [file.name for file in checkpoint.iterdir()] == ["state.pt"]

    def test_no_random_state_and_no_epoch_is_saved(self, tmp_path):
        checkpoint = save_checkpoint(self.make()[0], tmp_path, Accelerator(cpu=True))
        content = torch.load(checkpoint / "state.pt", weights_only=True)
        assert content["counters"].keys() == {"step", "seconds", "origin"}

    def test_images_are_counted_across_a_change_of_the_batch_size(self, tmp_path):
        state, _ = self.make()
        assert state.images_seen == 20
        for step, samples_per_step, images in ((5, 10, 20), (7, 10, 40), (8, 3, 43), (10, 3, 49)):
            checkpoint = save_checkpoint(state, tmp_path, Accelerator(cpu=True))
            state.samples_per_step = samples_per_step
            load_checkpoint(state, checkpoint, changes=["train_batch_size"])
            state.step = step
            assert state.images_seen == images

    def test_old_checkpoints_are_removed_and_leftovers_cleared(self, tmp_path):
        state, _ = self.make()
        (tmp_path / "checkpoint-1.partial").mkdir()
        for state.step in (1, 2, 10):
            save_checkpoint(state, tmp_path, Accelerator(cpu=True), total_limit=2)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-2"]

    def test_damaged_and_hostile_files_are_refused(self, tmp_path):
        state, network = self.make()
        checkpoint = save_checkpoint(state, tmp_path, Accelerator(cpu=True))
        content = (checkpoint / "state.pt").read_bytes()
        (checkpoint / "state.pt").write_bytes(content[: len(content) // 2])
        with pytest.raises(ValueError, match="state.pt` must be a readable checkpoint"):
            load_checkpoint(state, checkpoint)
        torch.save({"description": Hostile(tmp_path / "executed")}, checkpoint / "state.pt")
        with pytest.raises(ValueError, match="state.pt` must be a readable checkpoint"):
            load_checkpoint(state, checkpoint)
        assert not (tmp_path / "executed").exists()

    def test_other_networks_are_refused(self, tmp_path):
        state, _ = self.make()
        checkpoint = save_checkpoint(state, tmp_path, Accelerator(cpu=True))
        state.configs = {"generator": {"width": 3}}
        with pytest.raises(ValueError, match="another generator"):
            load_checkpoint(state, checkpoint, changes=["generator"])
        state, _ = self.make()
        state.parts["head"] = torch.nn.Linear(1, 1)
        with pytest.raises(ValueError, match="another set of head"):
            load_checkpoint(state, checkpoint)

    def test_other_settings_are_refused_unless_they_are_named(self, tmp_path):
        state, _ = self.make()
        checkpoint = save_checkpoint(state, tmp_path, Accelerator(cpu=True))
        state.settings = {"rate": 2.0, "new": "x"}
        with pytest.raises(ValueError, match="another new: None then, 'x' now.*--change_on_resume new"):
            load_checkpoint(state, checkpoint, changes=["rate"])
        assert load_checkpoint(state, checkpoint, changes=["rate", "new", "unchanged"]) == [
            "new changes: None then, 'x' now",
            "rate changes: 1.0 then, 2.0 now",
        ]


class Hostile:
    """Unpickling it would create a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))
