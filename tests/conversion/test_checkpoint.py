# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import argparse
import pickle

import pytest
import torch

from gan_diffusion.conversion import convert_ddgan_generator, export_ddgan_generator, load_official_checkpoint
from gan_diffusion.models import NCSNppGenerator


OPTIONS = {
    "image_size": 8,
    "num_channels_dae": 16,
    "ch_mult": [1, 2],
    "num_res_blocks": 1,
    "attn_resolutions": [4],
    "nz": 6,
    "z_emb_dim": 12,
    "n_mlp": 1,
}


@pytest.fixture(scope="module")
def state_dict():
    model = NCSNppGenerator(
        sample_size=8,
        base_channels=16,
        channel_multipliers=(1, 2),
        layers_per_block=1,
        attention_resolutions=(4,),
        latent_dim=6,
        latent_embed_dim=12,
        num_latent_layers=1,
    )
    return export_ddgan_generator(model)


def prefixed(state_dict):
    return {f"module.{key}": value for key, value in state_dict.items()}


@pytest.fixture
def training_state(state_dict):
    """A training state as the reference writes it. The average of weight i is weight i plus i; weight 1 is frozen."""
    state = {
        i: {"step": 7, "exp_avg": torch.zeros(1), "exp_avg_sq": torch.zeros(1), "ema": value + i}
        for i, value in enumerate(state_dict.values())
        if i != 1
    }
    return {
        "epoch": 3,
        "global_step": 12,
        "args": argparse.Namespace(**OPTIONS, batch_size=4, r1_gamma=0.02, exp="run"),
        "netG_dict": prefixed(state_dict),
        "optimizerG": {"state": state, "param_groups": [{"lr": 1e-4, "params": list(range(len(state_dict)))}]},
        "schedulerG": {"T_max": 10},
        "netD_dict": {"module.end_linear.bias": torch.zeros(1)},
        "optimizerD": {},
        "schedulerD": {},
    }


class Command:
    """Runs a command when unpickled by something that runs whatever it is told."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


class TestGeneratorFile:
    def test_read(self, tmp_path, state_dict):
        torch.save(prefixed(state_dict), tmp_path / "netG_1200.pth")
        checkpoint = load_official_checkpoint(tmp_path / "netG_1200.pth")
        assert checkpoint.generator.keys() == state_dict.keys()
        assert all(torch.equal(checkpoint.generator[key], value) for key, value in state_dict.items())
        assert checkpoint.discriminator is checkpoint.options is checkpoint.generator_options is None
        assert (checkpoint.method, checkpoint.progress, checkpoint.unused) == ("ddgan", {}, [])

    def test_has_no_raw_weights(self, tmp_path, state_dict):
        torch.save(state_dict, tmp_path / "netG_1200.pth")
        with pytest.raises(ValueError, match="holds averaged weights only"):
            load_official_checkpoint(tmp_path / "netG_1200.pth", weights="raw")


class TestTrainingState:
    def test_raw_weights_and_everything_beside_them(self, tmp_path, training_state, state_dict):
        torch.save(training_state, tmp_path / "content.pth")
        checkpoint = load_official_checkpoint(tmp_path / "content.pth", weights="raw")
        assert all(torch.equal(checkpoint.generator[key], value) for key, value in state_dict.items())
        assert checkpoint.generator_options == OPTIONS
        assert checkpoint.options["r1_gamma"] == 0.02
        assert checkpoint.progress == {"epoch": 3, "global_step": 12}
        assert checkpoint.unused == ["optimizerD", "optimizerG", "schedulerD", "schedulerG"]
        assert list(checkpoint.discriminator) == ["end_linear.bias"]
        convert_ddgan_generator(checkpoint.generator, **checkpoint.generator_options)

    def test_averaged_weights(self, tmp_path, training_state, state_dict):
        torch.save(training_state, tmp_path / "content.pth")
        checkpoint = load_official_checkpoint(tmp_path / "content.pth")
        for i, (key, value) in enumerate(state_dict.items()):
            expected = value if i == 1 else value + i
            assert torch.equal(checkpoint.generator[key], expected), key

    def test_no_averages(self, tmp_path, training_state):
        training_state["optimizerG"] = {"state": {}, "param_groups": []}
        torch.save(training_state, tmp_path / "content.pth")
        with pytest.raises(ValueError, match="holds no averaged weights"):
            load_official_checkpoint(tmp_path / "content.pth")

    def test_average_of_another_shape(self, tmp_path, training_state):
        training_state["optimizerG"]["state"][0]["ema"] = torch.zeros(5)
        torch.save(training_state, tmp_path / "content.pth")
        with pytest.raises(ValueError, match=r"for 'all_modules.0.weight', got \(5,\)"):
            load_official_checkpoint(tmp_path / "content.pth")


class TestUnreadable:
    @pytest.mark.parametrize("zipped", [True, False])
    @pytest.mark.parametrize("keep", [0, 10, 1000, -1])
    def test_truncated(self, tmp_path, state_dict, keep, zipped):
        path = tmp_path / "netG_1200.pth"
        torch.save(state_dict, path, _use_new_zipfile_serialization=zipped)
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(
            ValueError, match="must hold tensors and plain values only, and be whole, got .* Copy or download it"
        ):
            load_official_checkpoint(path)

    @pytest.mark.parametrize("zipped", [True, False])
    def test_nothing_is_executed(self, tmp_path, training_state, zipped):
        marker, path = tmp_path / "executed", tmp_path / "content.pth"
        training_state["args"] = Command(marker)
        torch.save(training_state, path, _use_new_zipfile_serialization=zipped)
        with pytest.raises(ValueError, match="where it asks for .*open, which no checkpoint needs. Nothing"):
            load_official_checkpoint(path)
        assert not marker.exists()

    def test_plain_pickle_is_not_executed(self, tmp_path):
        marker, path = tmp_path / "executed", tmp_path / "content.pth"
        path.write_bytes(pickle.dumps(Command(marker), protocol=2))
        with pytest.raises(ValueError, match="where it asks for .*open, which no checkpoint needs. Nothing"):
            load_official_checkpoint(path)
        assert not marker.exists()

    @pytest.mark.parametrize("content", [[1, 2], {}, {"netG_dict": 3}, {"a": torch.zeros(1), "b": 2}, torch.zeros(2)])
    def test_other_content(self, tmp_path, content):
        torch.save(content, tmp_path / "content.pth")
        with pytest.raises(ValueError, match="must hold a state dict, a training state with netG_dict, or networks"):
            load_official_checkpoint(tmp_path / "content.pth")

    def test_missing_file(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="`path` must be a file"):
            load_official_checkpoint(tmp_path / "content.pth")

    def test_bad_choice(self, tmp_path):
        with pytest.raises(ValueError, match='`weights` must be "ema" or "raw"'):
            load_official_checkpoint(tmp_path / "content.pth", weights="best")
