# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

import inspect

import numpy as np
import pytest
import torch
from diffusers import ModularPipeline, ModularPipelineBlocks, SequentialPipelineBlocks
from diffusers.modular_pipelines.modular_pipeline_utils import InputParam, OutputParam
from tiny_pipelines import MAKERS, make_own, make_vectors, seeded

from gan_diffusion.pipelines import DDGANBlocks, DiffusionGANBlocks, SPIGANBlocks


BLOCKS = {"ddgan": DDGANBlocks, "diffusion-gan": DiffusionGANBlocks, "spi-gan": SPIGANBlocks}
OPTIONS = {
    "ddgan": {"num_inference_steps": 4},
    "diffusion-gan": {"truncation_psi": 0.5, "noise_mode": "const"},
    "spi-gan": {"u": 0.5, "noise_mode": "none"},
}
NAMES = {0: "Sandal", 1: "Bag", 2: "Coat"}


def modular(method: str, pipeline, blocks=None) -> ModularPipeline:
    made = (blocks or BLOCKS[method]()).init_pipeline()
    made.update_components(generator=pipeline.generator, scheduler=pipeline.scheduler)
    return made


@pytest.mark.parametrize("method", MAKERS)
def test_images_are_those_of_the_pipeline(method):
    pipeline = MAKERS[method]()
    blocks = modular(method, pipeline)
    for options in ({"batch_size": 2}, {"latents": torch.randn(3, *pipeline.latent_shape), **OPTIONS[method]}):
        expected = pipeline(generator=seeded(1), output_type="pt", **options).images
        assert torch.equal(blocks(generator=seeded(1), output_type="pt", output="images", **options), expected)
    assert [image.tobytes() for image in blocks(generator=seeded(2), output="images")] == [
        image.tobytes() for image in pipeline(generator=seeded(2)).images
    ]
    assert not torch.equal(blocks(generator=seeded(3), output_type="pt", output="images"), expected[:1])


@pytest.mark.parametrize("method", MAKERS)
def test_classes_by_number_and_by_name(method):
    pipeline = MAKERS[method](num_class_embeds=3)
    named = type(pipeline)(pipeline.generator, pipeline.scheduler, NAMES)
    blocks = modular(method, pipeline)
    expected = named(class_labels=["Coat", 0], generator=seeded(), output_type="np").images
    np.testing.assert_array_equal(
        blocks(class_labels=[2, 0], generator=seeded(), output_type="np", output="images"), expected
    )
    with pytest.raises(TypeError, match="`class_labels` must be a list of ints"):
        blocks(class_labels=["Coat", 0])
    blocks.update_components(id2label=NAMES)
    images = blocks(class_labels=["Coat", 0], generator=seeded(), output_type="np", output="images")
    np.testing.assert_array_equal(images, expected)


@pytest.mark.parametrize("method", MAKERS)
def test_half_precision_vectors_and_networks_of_ones_own(method):
    half = MAKERS[method]().to(torch.bfloat16)
    for pipeline in (half, make_vectors(method), make_own(method)):
        expected = pipeline(2, generator=seeded(), output_type="latent").images
        images = modular(method, pipeline)(batch_size=2, generator=seeded(), output_type="latent", output="images")
        assert images.dtype == pipeline.generator.dtype and torch.equal(images, expected)


@pytest.mark.parametrize("method", MAKERS)
def test_inputs_are_the_arguments_of_the_pipeline_and_are_described(method):
    blocks = BLOCKS[method]()
    arguments = inspect.signature(blocks.pipeline_class.__call__).parameters
    left_out = {"self", "return_dict", "callback_on_step_end", "callback_on_step_end_tensor_inputs"}
    assert set(blocks.input_names) == set(arguments) - left_out
    assert all(entry.default == arguments[entry.name].default and not entry.required for entry in blocks.inputs)
    assert all(len(entry.description) > 10 for entry in (*blocks.inputs, *blocks.outputs))
    assert "arXiv" in blocks.description and "scheduler (`" in blocks.doc


def test_state_holds_what_was_asked_for():
    pipeline = MAKERS["ddgan"]()
    state = modular("ddgan", pipeline)(batch_size=2, generator=seeded(), output_type="pt")
    assert state.get("batch_size") == 2 and state.get("images").shape == (2, 1, 8, 8)


def test_blocks_of_others_can_follow():
    class Invert(ModularPipelineBlocks):
        inputs = (InputParam("images", required=True),)
        intermediate_outputs = (OutputParam("images"),)

        def __call__(self, components, state):
            block_state = self.get_block_state(state)
            block_state.images = 1 - block_state.images
            self.set_block_state(state, block_state)
            return components, state

    pipeline = MAKERS["spi-gan"]()
    blocks = SequentialPipelineBlocks.from_blocks_dict({"draw": SPIGANBlocks(), "invert": Invert()})
    images = modular("spi-gan", pipeline, blocks)(generator=seeded(), output_type="pt", output="images")
    assert torch.equal(images, 1 - pipeline(generator=seeded(), output_type="pt").images)


@pytest.mark.parametrize("method", MAKERS)
def test_what_does_not_fit_gets_the_error_of_the_pipeline(method):
    pipeline = MAKERS[method](num_class_embeds=3)
    blocks = modular(method, pipeline)
    with pytest.raises(ValueError, match="`class_labels` must hold one label per sample .* got None"):
        blocks(batch_size=2)
    with pytest.raises(ValueError, match="`batch_size` must be at least 1, got 0"):
        blocks(batch_size=0, class_labels=[1])
    other = MAKERS["ddgan" if method != "ddgan" else "spi-gan"]()
    blocks.update_components(scheduler=other.scheduler)
    with pytest.raises(TypeError, match="`scheduler` must be a .*Scheduler, got "):
        blocks(class_labels=[1])
    blocks.update_components(scheduler=pipeline.scheduler, generator=torch.nn.Linear(1, 1))
    with pytest.raises(TypeError, match="`generator` must be a diffusers ModelMixin .*got Linear"):
        blocks(class_labels=[1])


def test_missing_components_are_named():
    blocks = DDGANBlocks().init_pipeline()
    with pytest.raises(ValueError, match="`generator` must be loaded .* got None. Call `load_components"):
        blocks()
    blocks.update_components(generator=MAKERS["ddgan"]().generator)
    with pytest.raises(ValueError, match="`scheduler` must be loaded"):
        blocks()
