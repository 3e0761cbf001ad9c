# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""What pipelines are loaded from: files as they were saved, classes that are expected, whole folders."""

import json
import shutil
import sys

import pytest
import torch
from diffusers import UNet2DModel
from tiny_pipelines import MAKERS, make_ddgan, make_own

from gan_diffusion import DDGANPipeline, DDGANScheduler, NCSNppGenerator, SPIGANPipeline
from gan_diffusion.pipelines.auto import load_pipeline
from gan_diffusion.publishing import renew_checksums


WEIGHTS = "generator/diffusion_pytorch_model.safetensors"


@pytest.fixture
def folder(tmp_path):
    make_ddgan().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def edit(file, **values) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def loaders(folder):
    return [lambda: load_pipeline(folder), lambda: DDGANPipeline.from_pretrained(folder)]


@pytest.mark.parametrize(
    "name", [WEIGHTS, "generator/config.json", "scheduler/scheduler_config.json", "model_index.json"]
)
def test_changed_files_are_refused_until_they_are_meant(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[-5] ^= 1  # in the last number of the weights, or what stands in a text
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match="must"):
        load_pipeline(folder)
    with pytest.raises(ValueError, match=f"`{name}` in .* must be as it was saved"):
        DDGANPipeline.from_pretrained(folder)
    if name == WEIGHTS:
        renew_checksums(folder)
        assert load_pipeline(folder)


@pytest.mark.parametrize(("part", "component_class"), [("generator", NCSNppGenerator), ("scheduler", DDGANScheduler)])
def test_components_alone_are_compared_too(folder, part, component_class):
    file = next((folder / part).glob("*config.json"))
    file.write_text(file.read_text() + "\n")
    for location in ((folder / part, {}), (folder, {"subfolder": part})):
        with pytest.raises(ValueError, match=f"`{part}/.*` in .* must be as it was saved"):
            component_class.from_pretrained(location[0], **location[1])


def test_saving_again_renews_the_checksums(folder):
    pipeline = load_pipeline(folder)
    pipeline.generator.conv_in.bias.data.add_(1.0)
    pipeline.scheduler = DDGANScheduler(2)
    pipeline.save_pretrained(folder)
    assert load_pipeline(folder).scheduler.config.num_train_timesteps == 2


def test_given_components_are_not_compared(folder):
    generator = load_pipeline(folder).generator
    (folder / WEIGHTS).write_bytes(b"damaged")
    assert DDGANPipeline.from_pretrained(folder, generator=generator).generator is generator


def test_options_of_diffusers_go_on_working(folder):
    pipeline = load_pipeline(folder)
    for options in (
        {"torch_dtype": torch.float16}, {"dtype": torch.bfloat16}, {"low_cpu_mem_usage": False}, {"use_safetensors": True},
        {"device_map": "balanced"}, {"disable_mmap": True}, {"local_files_only": True},
    ):  # fmt: skip
        loaded = load_pipeline(folder, **options)
        expected = options.get("torch_dtype", options.get("dtype", torch.float32))
        assert loaded.generator.dtype == expected
        torch.testing.assert_close(
            loaded.generator.conv_in.weight.cpu(), pipeline.generator.conv_in.weight.to(expected), rtol=0, atol=0
        )


@pytest.mark.parametrize("options", [{"max_shard_size": "10KB"}, {"variant": "fp16"}, {"safe_serialization": False}])
def test_ways_of_saving_have_checksums(folder, options):
    pipeline = load_pipeline(folder)
    shutil.rmtree(folder)
    pipeline.save_pretrained(folder, **options)
    reading = {"variant": options.get("variant"), "use_safetensors": options.get("safe_serialization")}
    loaded = DDGANPipeline.from_pretrained(folder, **reading)
    torch.testing.assert_close(loaded.generator.state_dict(), pipeline.generator.state_dict(), rtol=0, atol=0)
    weights = max((folder / "generator").iterdir(), key=lambda file: file.stat().st_size)
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(ValueError, match="must be as it was saved"):
        DDGANPipeline.from_pretrained(folder, **reading)


@pytest.mark.parametrize(
    "entry",
    [
        ["os", "system"], ["antigravity", "x"], ["transformers", "CLIPTextModel"], ["torch.nn", "Linear"],
        ["diffusers", "DiffusionPipeline"], ["diffusers", "nothing"], ["gan_diffusion", "load_class"],
        ["gan_diffusion", "DDGANPipeline"], ["gan_diffusion", "__version__"], ["module", "Class"], [None, None], "os", None, [],
        ["a", 1],
    ],
)  # fmt: skip
def test_other_classes_are_refused_and_nothing_is_imported(folder, entry):
    edit(folder / "model_index.json", generator=entry)
    renew_checksums(folder)
    for load in loaders(folder):
        with pytest.raises(ValueError, match="`generator` in model_index.json .* must name a network or scheduler"):
            load()
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"safety_checker": ["os", "system"]}, "must name generator and scheduler alone, got safety_checker"),
        ({"_class_name": ["pipeline", "DDGANPipeline"]}, "`_class_name` .* must be a text"),
        ({"_class_name": None}, "`_class_name` .* must be a text"),
    ],
)
def test_other_entries_of_the_index_are_refused(folder, values, message):
    edit(folder / "model_index.json", **values)
    renew_checksums(folder)
    with pytest.raises(ValueError, match=message):
        DDGANPipeline.from_pretrained(folder)


def test_an_index_without_a_component_is_refused(folder):
    index = json.loads((folder / "model_index.json").read_text())
    index.pop("scheduler")
    (folder / "model_index.json").write_text(json.dumps(index))
    renew_checksums(folder)
    with pytest.raises(ValueError, match="must name a scheduler, it does not"):
        load_pipeline(folder)
    assert DDGANPipeline.from_pretrained(folder, scheduler=DDGANScheduler(4))


def test_components_of_another_method_are_refused(folder):
    with pytest.raises(TypeError, match="`generator` must be"):
        SPIGANPipeline.from_pretrained(folder)


@pytest.mark.parametrize("method", MAKERS)
def test_networks_of_ones_own_load_and_are_compared(tmp_path, method):
    make_own(method).save_pretrained(tmp_path)
    assert load_pipeline(tmp_path)
    (tmp_path / WEIGHTS).write_bytes((tmp_path / WEIGHTS).read_bytes()[:-1] + b"\x7f")
    with pytest.raises(ValueError, match=f"`{WEIGHTS}` in .* must be as it was saved"):
        load_pipeline(tmp_path)


def test_networks_of_diffusers_may_stand_in_the_index(folder):
    edit(folder / "model_index.json", generator=["diffusers", "UNet2DModel"])
    shutil.rmtree(folder / "generator")
    UNet2DModel(
        8, block_out_channels=(32,), down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",)
    ).save_pretrained(folder / "generator")
    renew_checksums(folder)
    with pytest.raises(TypeError, match="`generator` must be .*got UNet2DModel"):
        load_pipeline(folder)


def test_a_folder_whose_files_are_being_replaced_gives_the_new_ones(folder):
    newer = make_ddgan()
    newer.generator.conv_in.bias.data.fill_(3.0)
    newer.save_pretrained(folder / ".export")
    (folder / "model_index.json").unlink()
    (folder / WEIGHTS).unlink()
    for load in loaders(folder):
        assert (load().generator.conv_in.bias == 3.0).all()
    for arguments in ((folder / "generator",), (folder, "generator")):
        generator = NCSNppGenerator.from_pretrained(arguments[0], subfolder="".join(arguments[1:]) or None)
        assert (generator.conv_in.bias == 3.0).all()


def test_saving_over_such_a_folder_counts(folder):
    newer = make_ddgan()
    newer.save_pretrained(folder / ".export")
    newer.generator.conv_in.bias.data.fill_(3.0)
    newer.save_pretrained(folder)
    assert (load_pipeline(folder).generator.conv_in.bias == 3.0).all()
