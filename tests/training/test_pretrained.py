# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""Starting from a saved model: each tensor is taken, begins anew and is named, or the networks are refused."""

import json
import shutil

import pytest
import torch

from gan_diffusion import (
    DDGANDiscriminator,
    DDGANPipeline,
    DDGANScheduler,
    DiffusionGANPipeline,
    DiffusionGANScheduler,
    LatentMLPGenerator,
    MLPDiscriminator,
    MLPGenerator,
    NCSNppGenerator,
    SPIGANDiscriminator,
    SPIGANGenerator,
    StyleGAN2Discriminator,
    StyleGAN2Generator,
)
from gan_diffusion.training import load_pretrained, transfer_weights


PYRAMID = {"channel_base": 128, "channel_max": 8}
NETWORKS = {
    "ncsnpp": (
        NCSNppGenerator,
        {"sample_size": 8, "in_channels": 1, "base_channels": 8, "channel_multipliers": (1, 2), "layers_per_block": 1,
         "attention_resolutions": (8,), "latent_dim": 4, "latent_embed_dim": 8, "num_latent_layers": 1},
    ),
    "ddgan": (
        DDGANDiscriminator,
        {"in_channels": 1, "base_channels": 8, "channel_multipliers": (1, 2), "downsample": (True,),
         "time_embed_dim": 16},
    ),
    "stylegan2-g": (StyleGAN2Generator, {**PYRAMID, "sample_size": 16, "latent_dim": 6, "w_dim": 8}),
    "stylegan2-d": (StyleGAN2Discriminator, {**PYRAMID, "sample_size": 16}),
    "official-d": (StyleGAN2Discriminator, {**PYRAMID, "sample_size": 16, "timestep_embedding": "official"}),
    "spi-gan-g": (SPIGANGenerator, {**PYRAMID, "sample_size": 16, "w_dim": 8, "mapping_dim": 8}),
    "spi-gan-d": (SPIGANDiscriminator, {**PYRAMID, "sample_size": 16}),
    "mlp-g": (MLPGenerator, {"hidden_dim": 8}),
    "latent-mlp": (LatentMLPGenerator, {"hidden_dim": 8}),
    "mlp-d": (MLPDiscriminator, {"hidden_dim": 8}),
}  # fmt: skip


def make(name: str, seed: int, **changes):
    kind, config = NETWORKS[name]
    torch.manual_seed(seed)
    network = kind(**{**config, **changes})
    for parameter in network.parameters():
        # Zeros would hide that nothing was copied.
        torch.nn.init.normal_(parameter)
    return network


def pair(name: str, before: dict, after: dict):
    return make(name, 0, **before), make(name, 1, **after)


def assert_accounted(result, source, target, fresh: dict) -> None:
    """Every tensor of both networks is in one list, and what is called new is as it was."""
    names = [*result.taken, *result.mixed, *result.new]
    assert sorted(names) == sorted(target.state_dict())
    for name in result.new:
        assert torch.equal(target.state_dict()[name], fresh[name]), name
    for name in result.mixed:
        assert not torch.equal(target.state_dict()[name], fresh[name]), name


def clone(network) -> dict:
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("classes", [None, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_network_is_taken_to_the_bit(name, classes):
    source, target = pair(name, {"num_class_embeds": classes}, {"num_class_embeds": classes})
    names = [str(number) for number in range(classes or 0)]
    result = transfer_weights(source, target, {each: int(each) for each in names}, names)
    assert not result.new and not result.mixed and not result.unused and not result.changed
    for key, value in source.state_dict().items():
        assert torch.equal(value, target.state_dict()[key]), key


def condition_of(network, name: str, label: int):
    """What the network makes of one class: the part of its state that belongs to it."""
    kind, config = NETWORKS[name]
    more, fewer = (kind(**{**config, "num_class_embeds": n}).state_dict() for n in (3, 2))
    found = {}
    for key, value in network.state_dict().items():
        axis = [i for i in range(value.ndim) if more[key].shape[i] != fewer[key].shape[i]]
        if axis:
            gain = getattr(network.get_submodule(key.rpartition(".")[0]), "gain", 1.0)
            found[key] = value.select(axis[0], label) * gain
    return found


@pytest.mark.parametrize("count", [3, 4])
@pytest.mark.parametrize("name", NETWORKS)
def test_classes_are_matched_by_name_and_not_by_number(name, count):
    source, target = pair(name, {"num_class_embeds": 3}, {"num_class_embeds": count})
    fresh, before = clone(target), clone(source)
    old, new = {"cat": 0, "dog": 1, "eel": 2}, ["dog", "ape", "cat", "fox"][:count]
    result = transfer_weights(source, target, old, new)
    assert_accounted(result, source, target, fresh)
    assert result.mixed and not result.new and not result.unused
    for label, kind in enumerate(new):
        ours = condition_of(target, name, label)
        assert ours
        for key, value in ours.items():
            if kind in old:
                torch.testing.assert_close(value, condition_of(source, name, old[kind])[key])
            else:
                assert not any(torch.allclose(value, condition_of(source, name, n)[key]) for n in range(3))
    assert all(torch.equal(before[key], value) for key, value in source.state_dict().items())


@pytest.mark.parametrize(
    "names", [(None, ["a", "b", "c"]), ({"a": 0, "b": 1, "c": 2}, None), ({"a": 0}, ["x", "y", "z"])]
)
def test_classes_without_a_common_name_begin_anew(names):
    source, target = pair("stylegan2-g", {"num_class_embeds": 3}, {"num_class_embeds": 3})
    result = transfer_weights(source, target, *names)
    assert result.new == ["mapping.class_embed.weight"]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("counts", [(None, 3), (3, None)])
def test_classes_come_and_go(name, counts):
    source, target = pair(name, {"num_class_embeds": counts[0]}, {"num_class_embeds": counts[1]})
    fresh = clone(target)
    result = transfer_weights(source, target, {"a": 0, "b": 1, "c": 2} if counts[0] else None, ["a", "b", "c"])
    assert_accounted(result, source, target, fresh)
    assert len(result.taken) > len(result.new) + len(result.mixed)
    assert bool(result.unused) == (counts[0] is not None and name != "official-d")


def test_a_layer_with_more_inputs_keeps_its_function_on_the_old_ones():
    source, target = pair("stylegan2-g", {}, {"num_class_embeds": 3})
    result = transfer_weights(source, target)
    assert result.mixed == ["mapping.layers.0.weight"]
    old, new = source.mapping.layers[0], target.mapping.layers[0]
    latent = torch.randn(5, 6)
    torch.testing.assert_close(new(torch.cat([latent, torch.zeros(5, 8)], dim=1)), old(latent))


@pytest.mark.parametrize("architecture", ["orig", "skip", "resnet"])
@pytest.mark.parametrize("sizes", [(16, 32), (32, 16), (8, 32), ((16, 24), (32, 48))])
@pytest.mark.parametrize("name", ["stylegan2-g", "stylegan2-d", "spi-gan-d"])
def test_levels_of_another_resolution_are_matched_by_their_size(name, sizes, architecture):
    source, target = pair(
        name, *({"sample_size": size, "architecture": architecture, "channel_base": 32} for size in sizes)
    )
    fresh = clone(target)
    result = transfer_weights(source, target)
    assert_accounted(result, source, target, fresh)
    if name == "stylegan2-g":
        shared = [key for key in result.taken if key.startswith("synthesis.blocks.1.conv0")]
        assert shared and torch.equal(
            source.synthesis.blocks[1].conv0.conv.weight, target.synthesis.blocks[1].conv0.conv.weight
        )
        return
    # The last levels, not the first ones, are at the same size.
    for depth in range(1, min(len(source.trunk.blocks), len(target.trunk.blocks)) + 1):
        old, new = source.trunk.blocks[-depth], target.trunk.blocks[-depth]
        assert torch.equal(old.conv1.weight, new.conv1.weight)
    if architecture == "skip":
        assert torch.equal(source.trunk.from_rgb[-1].weight, target.trunk.from_rgb[-1].weight)
    else:
        assert {"trunk.from_rgb.0.weight", "trunk.from_rgb.0.bias"} <= set(result.new)
        assert {"trunk.from_rgb.0.weight", "trunk.from_rgb.0.bias"} <= set(result.unused)
    assert torch.equal(source.epilogue.linear.weight, target.epilogue.linear.weight) or name == "spi-gan-d"


def test_levels_on_patches_are_matched_by_the_size_of_their_grid():
    options = {"patch_size": 2, "channel_base": 64}
    source, target = pair("stylegan2-d", options, {**options, "sample_size": 32})
    transfer_weights(source, target)
    assert torch.equal(source.trunk.blocks[0].conv1.weight, target.trunk.blocks[1].conv1.weight)


def test_a_larger_pyramid_paints_the_smaller_image_before_its_new_level_adds_to_it():
    source, target = pair("stylegan2-g", {}, {"sample_size": 32})
    transfer_weights(source, target)
    latent = torch.randn(2, 6)
    with torch.no_grad():
        for parameter in target.synthesis.blocks[-1].to_rgb.parameters():
            parameter.zero_()
        small = source.eval()(latent, noise_mode="none").sample
        large = target.eval()(latent, noise_mode="none").sample
        torch.testing.assert_close(large, target.synthesis.blocks[-1].upsample(small))


def test_a_unet_of_the_same_depth_takes_another_resolution():
    source, target = pair("ncsnpp", {}, {"sample_size": 16})
    fresh = clone(target)
    result = transfer_weights(source, target)
    assert_accounted(result, source, target, fresh)
    # Attention works at 8 pixels, which is another level now.
    assert result.new and all("attention" in name for name in [*result.new, *result.unused])


@pytest.mark.parametrize(
    ("name", "before", "after", "message"),
    [
        ("stylegan2-g", {}, {"channel_max": 4}, "channel_max 8 there, 4 here"),
        ("stylegan2-g", {"w_dim": 6}, {}, "w_dim 6 there, 8 here"),
        ("stylegan2-d", {}, {"architecture": "orig"}, "architecture resnet there, orig here"),
        ("stylegan2-d", {"num_mapping_layers": 2}, {}, "num_mapping_layers 2 there, 8 here"),
        ("stylegan2-d", {}, {"patch_size": 2}, "patch_size 1 there, 2 here"),
        ("ncsnpp", {}, {"channel_multipliers": (1, 2, 2)}, r"channel_multipliers \[1, 2\] there, \[1, 2, 2\] here"),
        ("ncsnpp", {"layers_per_block": 2}, {}, "layers_per_block 2 there, 1 here"),
        ("mlp-g", {}, {"data_dim": 3}, "data_dim 2 there, 3 here"),
        ("mlp-d", {"hidden_dim": 16}, {}, "hidden_dim 16 there, 8 here"),
    ],
)
def test_networks_of_another_structure_are_refused_with_the_reason(name, before, after, message):
    source, target = pair(name, before, after)
    fresh = clone(target)
    with pytest.raises(ValueError, match=f"`pretrained` must have networks of the same structure .*{message}"):
        transfer_weights(source, target)
    assert all(torch.equal(fresh[key], value) for key, value in target.state_dict().items())


@pytest.mark.parametrize("sizes", [(16, 24), (16, (16, 32)), ((16, 32), (32, 16))])
@pytest.mark.parametrize("name", ["stylegan2-g", "stylegan2-d"])
def test_resolutions_with_other_levels_are_refused(name, sizes):
    source, target = pair(name, *({"sample_size": size, "channel_base": 256} for size in sizes))
    with pytest.raises(ValueError, match="`resolution` must lead down to the same smallest level"):
        transfer_weights(source, target)


def test_config_values_that_change_the_function_alone_are_told():
    source, target = pair("ncsnpp", {"dropout": 0.1}, {"use_tanh": False})
    result = transfer_weights(source, target)
    assert not result.new
    assert result.changed == ["dropout 0.1 there, 0.0 here", "use_tanh True there, False here"]
    assert result.lines("generator")[-1].endswith("dropout 0.1 there, 0.0 here, use_tanh True there, False here")


def test_colour_from_grey_begins_with_fresh_first_and_last_layers():
    source, target = pair("stylegan2-d", {"in_channels": 1}, {"in_channels": 3})
    assert transfer_weights(source, target).new == ["trunk.from_rgb.0.weight"]


@pytest.mark.parametrize("after", ["sinusoidal", "official"])
def test_a_discriminator_that_is_not_told_the_timestep_is_a_start(after):
    source, target = pair("stylegan2-d", {"timestep_embedding": None}, {"timestep_embedding": after})
    result = transfer_weights(source, target)
    fresh = {name.partition(".")[0] for name in result.new}
    assert fresh == {"mapping", "epilogue"} and {n for n in result.new if n.startswith("epilogue")} == {
        "epilogue.linear_out.weight", "epilogue.linear_out.bias"}  # fmt: skip
    # With classes, their embedding is not taken for that of the timestep, whatever its width.
    config = {"num_class_embeds": 8, "timestep_embed_dim": 8}
    source, target = pair(
        "stylegan2-d", {"timestep_embedding": None, **config}, {"timestep_embedding": after, **config}
    )
    assert {"mapping.embeds.0.weight", "mapping.embeds.0.bias"} <= set(transfer_weights(source, target).new)


@pytest.fixture
def saved(tmp_path):
    """`saved(dtype)`: folder of a model with three classes, and its networks."""

    def save(dtype: torch.dtype = torch.float32):
        networks = {
            "generator": make("mlp-g", 0, num_class_embeds=3).to(dtype),
            "discriminator": make("mlp-d", 0, num_class_embeds=3).to(dtype),
        }
        folder = tmp_path / "model"
        names = {0: "cat", 1: "dog", 2: "eel"}
        DDGANPipeline(networks["generator"], DDGANScheduler(2), id2label=names).save_pretrained(folder)
        networks["discriminator"].save_pretrained(folder / "discriminator")
        return folder, networks

    return save


def fresh_networks() -> dict:
    return {"generator": make("mlp-g", 1, num_class_embeds=3), "discriminator": make("mlp-d", 1, num_class_embeds=3)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_saved_model_is_loaded_in_float32(saved, dtype):
    folder, sources = saved(dtype)
    networks = fresh_networks()
    account, lines = load_pretrained(str(folder), networks, ["cat", "dog", "eel"])
    for part, network in networks.items():
        assert not account[part]["new"]
        for name, value in network.state_dict().items():
            assert value.dtype == torch.float32 and torch.equal(value, sources[part].state_dict()[name].float())
    assert account["name"] is None and len(account["identity"]) == 64
    assert lines[0] == f"Fine-tuning from {folder}:"


def test_a_model_without_discriminator_leaves_a_fresh_one_and_says_so(saved):
    folder, _ = saved()
    shutil.rmtree(folder / "discriminator")
    networks = fresh_networks()
    before = clone(networks["discriminator"])
    account, lines = load_pretrained(str(folder), networks, None)
    assert account["discriminator"]["new"] == list(before)
    assert all(torch.equal(before[name], value) for name, value in networks["discriminator"].state_dict().items())
    assert any(line.startswith("  discriminator, begin anew: ") for line in lines)


def test_models_of_another_class_are_refused(tmp_path):
    pipeline = DiffusionGANPipeline(LatentMLPGenerator(hidden_dim=8), DiffusionGANScheduler())
    pipeline.save_pretrained(tmp_path / "other")
    with pytest.raises(
        ValueError, match="`pretrained` must hold a MLPGenerator as the generator.* LatentMLPGenerator"
    ):
        load_pretrained(str(tmp_path / "other"), fresh_networks())


@pytest.mark.parametrize("damage", ["nan", "missing", "truncated", "config", "no index"])
def test_damaged_models_are_refused(saved, damage):
    from safetensors.torch import load_file, save_file

    folder, _ = saved()
    file = folder / "generator" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    name = next(iter(tensors))
    if damage == "nan":
        tensors[name].view(-1)[0] = float("nan")
        save_file(tensors, file)
    elif damage == "missing":
        del tensors[name]
        save_file(tensors, file)
    elif damage == "truncated":
        file.write_bytes(file.read_bytes()[:200])
    elif damage == "config":
        (folder / "generator" / "config.json").write_text(json.dumps([1]))
    else:
        (folder / "model_index.json").unlink()
    with pytest.raises(ValueError, match="`pretrained` must"):
        load_pretrained(str(folder), fresh_networks())
