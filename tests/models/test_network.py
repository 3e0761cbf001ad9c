# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""What networks and schedulers refuse: configs that cannot be meant, and weights that are not whole."""

import json
import os
import stat

import pytest
import torch
from safetensors.torch import load_file, save_file

from gan_diffusion import (
    DDGANDiscriminator,
    DDGANScheduler,
    DiffusionGANScheduler,
    LatentMLPGenerator,
    MLPGenerator,
    NCSNppGenerator,
    SPIGANDiscriminator,
    SPIGANGenerator,
    SPIGANScheduler,
    StyleGAN2Discriminator,
    StyleGAN2Generator,
)
from gan_diffusion.models import network as network_module


WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.mark.parametrize(
    ("config_class", "name", "value"),
    [
        (MLPGenerator, "data_dim", "two"),
        (MLPGenerator, "hidden_dim", 16.0),
        (MLPGenerator, "num_layers", True),
        (MLPGenerator, "residual", "yes"),
        (MLPGenerator, "residual", 1),
        (MLPGenerator, "num_class_embeds", [3]),
        (LatentMLPGenerator, "latent_dim", None),
        (NCSNppGenerator, "channel_multipliers", 2),
        (NCSNppGenerator, "channel_multipliers", [1, "2"]),
        (NCSNppGenerator, "fir_taps", "1331"),
        (NCSNppGenerator, "block_type", 3),
        (NCSNppGenerator, "sample_size", {"height": 32}),
        (NCSNppGenerator, "sample_size", [8, 8, 8]),
        (NCSNppGenerator, "dropout", "0"),
        (StyleGAN2Generator, "mapping_lr_multiplier", [0.01]),
        (StyleGAN2Discriminator, "timestep_embedding", False),
        (SPIGANGenerator, "normalize_embedding", "True"),
        (SPIGANDiscriminator, "projection", None),
        (DDGANDiscriminator, "downsample", [True, 2]),
        (DDGANScheduler, "beta_min", "small"),
        (DDGANScheduler, "trained_betas", 0.5),
        (DiffusionGANScheduler, "adaptation_kimg", None),
        (SPIGANScheduler, "shared_positions", 0),
    ],
)
def test_values_of_other_types_are_refused_by_name(config_class, name, value):
    for make in (config_class, lambda **config: config_class.from_config(config)):
        with pytest.raises(TypeError, match=f"`{name}` must be of type .*, got "):
            make(**{name: value})


@pytest.mark.parametrize(
    ("config_class", "name", "value", "message"),
    [
        (MLPGenerator, "data_dim", -2, "at least 1"),
        (MLPGenerator, "num_octaves", -1, "at least 0"),
        (MLPGenerator, "num_class_embeds", 0, "at least 1"),
        (LatentMLPGenerator, "latent_dim", 0, "at least 1"),
        (NCSNppGenerator, "channel_multipliers", [1, 0], "at least 1"),
        (NCSNppGenerator, "latent_embed_dim", -1, "at least 1"),
        (NCSNppGenerator, "dropout", float("nan"), "finite"),
        (NCSNppGenerator, "dropout", 1.5, "lie in"),
        (NCSNppGenerator, "sample_size", 2**20, "at most 16384"),
        (NCSNppGenerator, "fir_taps", [1.0, float("inf")], "finite"),
        (StyleGAN2Generator, "num_mapping_layers", 0, "at least 1"),
        (StyleGAN2Discriminator, "num_stddev_channels", -1, "at least 0"),
        (SPIGANGenerator, "w_dim", 0, "at least 1"),
        (DDGANScheduler, "num_train_timesteps", 10**9, "at most 1000000"),
        (DiffusionGANScheduler, "max_timesteps", 10**9, "at most 1000000"),
        (DiffusionGANScheduler, "list_length", 10**30, "at most 1000000"),
        (SPIGANScheduler, "beta_max", float("inf"), "finite"),
    ],
)
def test_values_out_of_range_are_refused_by_name(config_class, name, value, message):
    with pytest.raises(ValueError, match=f"`{name}` must .*{message}"):
        config_class(**{name: value})


def test_what_json_makes_of_a_config_is_taken():
    assert NCSNppGenerator.from_config(
        {"channel_multipliers": [1, 2], "sample_size": [8, 8], "dropout": 0, "fir_taps": [3, -1], "base_channels": 8}
    ).sample_shape == (3, 8, 8)
    assert MLPGenerator.from_config({"num_octaves": 0, "num_class_embeds": None}).config.num_octaves == 0


@pytest.mark.parametrize("config_class", [MLPGenerator, DDGANScheduler, StyleGAN2Discriminator])
def test_unknown_names_are_refused(config_class):
    with pytest.raises(ValueError, match=f"`config` must hold options of {config_class.__name__}.*got colour, shape."):
        config_class.from_config({"shape": 1, "colour": 2, "_diffusers_version": "0"})


@pytest.mark.parametrize(
    ("config_class", "config"),
    [
        (MLPGenerator, {"hidden_dim": 10**8}),
        (MLPGenerator, {"num_layers": 10**8}),
        (MLPGenerator, {"num_class_embeds": 10**9}),
        (MLPGenerator, {"hidden_dim": 2**62}),
        (NCSNppGenerator, {"base_channels": 10**7}),
        (NCSNppGenerator, {"layers_per_block": 10**8}),
        (StyleGAN2Generator, {"num_mapping_layers": 10**8}),
        (StyleGAN2Generator, {"latent_dim": 10**9}),
        (SPIGANDiscriminator, {"position_embed_dim": 10**6}),
    ],
)
def test_configs_of_giants_are_refused_before_memory_is_taken(config_class, config):
    with pytest.raises(ValueError, match="`config` must"):
        config_class.from_config(config)


def test_the_trial_takes_no_random_numbers():
    torch.manual_seed(0)
    expected = NCSNppGenerator(base_channels=8, channel_multipliers=(1,), sample_size=8).state_dict()
    torch.manual_seed(0)
    built = NCSNppGenerator.from_config({"base_channels": 8, "channel_multipliers": [1], "sample_size": 8})
    torch.testing.assert_close(built.state_dict(), expected, rtol=0, atol=0)


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    MLPGenerator(hidden_dim=8).save_pretrained(tmp_path / "net")
    return tmp_path / "net"


def change_weights(folder, change) -> None:
    state = load_file(folder / WEIGHTS)
    change(state)
    save_file(state, folder / WEIGHTS)


def change_config(folder, **values) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s["mlp.linear_out.bias"].fill_(float("nan")), "`mlp.linear_out.bias` must hold finite numbers"),
        (lambda s: s["mlp.linear_in.weight"][0].mul_(float("inf")), "`mlp.linear_in.weight` must hold finite"),
        (lambda s: s.pop("mlp.linear_out.bias"), "missing .*mlp.linear_out.bias"),
        (lambda s: s.update(other=torch.zeros(1)), "unexpected .*other"),
        (lambda s: s.update({"mlp.linear_out.bias": torch.zeros(3)}), "mlp.linear_out.bias"),
        (lambda s: s.update({"mlp.linear_out.bias": torch.zeros(2, dtype=torch.int32)}), "floating-point .*I32"),
        (lambda s: s.update({"mlp.linear_out.bias": torch.zeros(2, dtype=torch.complex64)}), "floating-point .*C64"),
    ],
)
def test_weights_that_are_not_whole_are_refused(saved, change, message):
    change_weights(saved, change)
    for options in ({}, {"low_cpu_mem_usage": False}):
        with pytest.raises(ValueError, match=message):
            MLPGenerator.from_pretrained(saved, **options)


@pytest.mark.parametrize(
    "values", [{"num_layers": 2}, {"num_layers": 4}, {"hidden_dim": 12}, {"data_dim": 3}, {"num_class_embeds": 5}]
)
def test_weights_of_another_config_are_refused(saved, values):
    change_config(saved, **values)
    with pytest.raises(ValueError, match="must hold"):
        MLPGenerator.from_pretrained(saved)


def test_tensors_that_nothing_is_loaded_into_are_refused(saved):
    """diffusers does as it is asked, and leaves them as the memory was."""
    change_config(saved, latent_dim=3)
    with pytest.raises(ValueError, match="mismatched .*linear_in"):
        MLPGenerator.from_pretrained(saved, ignore_mismatched_sizes=True, low_cpu_mem_usage=False)


def test_pickles_are_not_taken_instead(saved):
    network = MLPGenerator.from_pretrained(saved)
    network.save_pretrained(saved, safe_serialization=False)
    (saved / WEIGHTS).unlink(missing_ok=True)
    with pytest.raises(OSError, match=WEIGHTS):
        MLPGenerator.from_pretrained(saved)
    again = MLPGenerator.from_pretrained(saved, use_safetensors=False)
    torch.testing.assert_close(again.state_dict(), network.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_precisions_of_weights_load(saved, dtype):
    MLPGenerator.from_pretrained(saved, torch_dtype=dtype).save_pretrained(saved)
    network, info = MLPGenerator.from_pretrained(saved, torch_dtype=dtype, output_loading_info=True)
    assert network.dtype == dtype and not info["missing_keys"]


@pytest.mark.parametrize("shards", ['{"weight_map": {"a": "../net/b.safetensors"}}', '{"weight_map": [1]}', "{}", "["])
def test_an_index_of_shards_names_files_of_its_folder(saved, shards):
    (saved / f"{WEIGHTS}.index.json").write_text(shards)
    with pytest.raises(ValueError, match="weight_map|must hold JSON"):
        MLPGenerator.from_pretrained(saved)


def test_every_tensor_counts_towards_the_limit(saved, monkeypatch):
    monkeypatch.setattr(network_module, "MAX_WEIGHTS", 100)
    with pytest.raises(ValueError, match="at most 100 weights"):
        MLPGenerator.from_pretrained(saved)
    monkeypatch.undo()
    monkeypatch.setattr(network_module, "MAX_TENSORS", 3)
    with pytest.raises(ValueError, match="in 3 tensors"):
        MLPGenerator.from_pretrained(saved)


@pytest.mark.parametrize("umask", [0o022, 0o027])
def test_saved_weights_have_the_rights_that_the_umask_leaves(tmp_path, umask):
    before = os.umask(umask)
    try:
        MLPGenerator(hidden_dim=8).save_pretrained(tmp_path, max_shard_size=500)
    finally:
        os.umask(before)
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o666 & ~umask}
