# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""What users of diffusers expect of a pipeline, for every method."""

import json
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
from accelerate.hooks import AlignDevicesHook, add_hook_to_module, remove_hook_from_module
from diffusers import DiffusionPipeline
from tiny_pipelines import MAKERS, make_own, make_vectors, seeded

from gan_diffusion.publishing import save_repository
from gan_diffusion.recipes import Recipe


@pytest.fixture(scope="module", params=MAKERS)
def method(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def pipeline(method) -> DiffusionPipeline:
    return MAKERS[method]()


def draw(pipeline, batch_size: int = 2, **options) -> torch.Tensor:
    return pipeline(batch_size, generator=seeded(7), **{"output_type": "pt", **options}).images


def evaluations(pipeline) -> int:
    return len(pipeline.scheduler.timesteps)


def test_output_types(pipeline):
    latent = draw(pipeline, 3, output_type="latent")
    assert latent.shape == (3, 1, 8, 8) and latent.min() < 0
    pt = draw(pipeline, 3)
    torch.testing.assert_close(pt, (latent / 2 + 0.5).clamp(0, 1))
    array = draw(pipeline, 3, output_type="np")
    np.testing.assert_array_equal(array, pt.permute(0, 2, 3, 1).numpy())
    pil = draw(pipeline, 3, output_type="pil")
    assert [image.size for image in pil] == [(8, 8)] * 3
    np.testing.assert_array_equal(np.asarray(pil[0]), (array[0, ..., 0] * 255).round().astype("uint8"))


def test_tuple_and_dict_are_equal(pipeline):
    result = pipeline(2, generator=seeded(7), output_type="pt", return_dict=False)
    assert type(result) is tuple and len(result) == 1
    assert torch.equal(result[0], draw(pipeline))


def test_seed_decides_the_sample_and_the_global_state_is_left_alone(pipeline):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again, other = (pipeline(2, generator=seeded(s), output_type="pt").images for s in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.equal(pipeline(output_type="pt").images, pipeline(output_type="pt").images)


def test_list_of_generators_gives_each_sample_its_own_seed(pipeline):
    together = pipeline(2, generator=[seeded(1), seeded(2)], output_type="pt").images
    for image, seed in zip(together, (1, 2), strict=True):
        alone = pipeline(1, generator=seeded(seed), output_type="pt").images[0]
        torch.testing.assert_close(image, alone, rtol=1e-5, atol=1e-5)


def test_batch_size_is_that_of_what_is_given_per_sample(pipeline, method):
    assert len(pipeline().images) == 1
    assert len(pipeline(generator=[seeded(1), seeded(2)]).images) == 2
    assert len(pipeline(latents=torch.zeros(3, *pipeline.latent_shape)).images) == 3
    labelled = make_own(method, num_class_embeds=3)
    assert (
        len(labelled(class_labels=[0, 1, 2, 0]).images) == len(labelled(class_labels=torch.zeros(4).int()).images) == 4
    )
    with pytest.raises(ValueError, match=r"`class_labels` must have shape \(1,\)"):
        labelled(class_labels=[])


def test_prepare_latents_makes_what_the_call_starts_from(pipeline):
    cpu, generator = torch.device("cpu"), seeded(7)
    latents = pipeline.prepare_latents(2, torch.float32, cpu, generator)
    assert latents.shape == (2, *pipeline.latent_shape)
    kept = latents.clone()
    from_latents = pipeline(2, latents=latents, generator=generator, output_type="pt").images
    assert torch.equal(from_latents, draw(pipeline)) and torch.equal(latents, kept)
    assert torch.equal(pipeline.prepare_latents(2, torch.float32, cpu, None, latents), latents)


def test_callback_sees_every_step_and_can_change_the_result(pipeline):
    seen = []

    def zero(pipe, step, timestep, kwargs):
        seen.append((step, float(timestep), set(kwargs), pipe.num_timesteps))
        return {"latents": torch.zeros_like(kwargs["latents"])}

    images = pipeline(2, callback_on_step_end=zero, output_type="latent").images
    steps = [float(t) for t in pipeline.scheduler.timesteps]
    assert seen == [(i, t, {"latents"}, len(steps)) for i, t in enumerate(steps)]
    assert images.abs().max() == 0
    seen.clear()
    draw(pipeline, callback_on_step_end=lambda *args: args[-1], callback_on_step_end_tensor_inputs=[])
    with pytest.raises(TypeError, match="`callback_on_step_end` must return a dict, got None"):
        pipeline(callback_on_step_end=lambda *args: None)


def test_interrupt_skips_the_steps_that_are_left(pipeline):
    calls = []
    handle = pipeline.generator.register_forward_hook(lambda *args: calls.append(1))

    def stop(pipe, step, timestep, kwargs):
        pipe._interrupt = True
        return kwargs

    draw(pipeline, callback_on_step_end=stop)
    assert len(calls) == 1 and pipeline.interrupt
    # The next call starts anew.
    draw(pipeline)
    handle.remove()
    assert len(calls) == 1 + evaluations(pipeline) and not pipeline.interrupt


def test_progress_bar_counts_network_evaluations(pipeline, capfd):
    pipeline.set_progress_bar_config(disable=False)
    pipeline()
    pipeline.set_progress_bar_config(disable=True)
    assert f"{evaluations(pipeline)}/{evaluations(pipeline)}" in capfd.readouterr().err


def test_network_is_evaluated_as_often_as_it_was_trained_for(pipeline, method):
    calls = []
    handle = pipeline.generator.register_forward_hook(lambda *args: calls.append(1))
    pipeline(2, output_type="pt")
    handle.remove()
    assert len(calls) == pipeline.num_timesteps == (4 if method == "ddgan" else 1)


def test_bfloat16(pipeline, method):
    half = MAKERS[method]().to(torch.bfloat16)
    assert np.isfinite(draw(half, output_type="np")).all() and draw(half, output_type="latent").dtype == torch.bfloat16


def test_saved_pipeline_gives_equal_samples(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    assert (tmp_path / "generator" / "diffusion_pytorch_model.safetensors").is_file()
    loaded = type(pipeline).from_pretrained(tmp_path)
    loaded.set_progress_bar_config(disable=True)
    assert torch.equal(draw(loaded), draw(pipeline))
    index = json.loads((tmp_path / "model_index.json").read_text())
    assert index["generator"] == ["gan_diffusion", type(pipeline.generator).__name__]
    assert index["scheduler"] == ["gan_diffusion", type(pipeline.scheduler).__name__]


def test_variants(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path, variant="fp16")
    assert [file.name for file in (tmp_path / "generator").glob("*.safetensors")] == [
        "diffusion_pytorch_model.fp16.safetensors"
    ]
    loaded = type(pipeline).from_pretrained(tmp_path, variant="fp16")
    loaded.set_progress_bar_config(disable=True)
    assert torch.equal(draw(loaded), draw(pipeline))
    with pytest.raises(OSError, match="diffusion_pytorch_model"):
        type(pipeline).from_pretrained(tmp_path)


def test_dtype_of_each_component(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    loaded = type(pipeline).from_pretrained(tmp_path, dtype={"generator": torch.bfloat16, "default": torch.float32})
    assert loaded.generator.dtype == torch.bfloat16
    assert type(pipeline).from_pretrained(tmp_path, dtype=torch.float64).generator.dtype == torch.float64


def test_truncated_weights_are_refused(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    weights = tmp_path / "generator" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"`generator/.*` in .* must be as it was saved, got 1000 bytes"):
        type(pipeline).from_pretrained(tmp_path)
    (tmp_path / "checksums.json").unlink()
    with pytest.raises(OSError, match="generator"):
        type(pipeline).from_pretrained(tmp_path)


def test_from_pipe_shares_the_components(pipeline):
    other = type(pipeline).from_pipe(pipeline)
    other.set_progress_bar_config(disable=True)
    assert other.components == pipeline.components
    assert torch.equal(draw(other), draw(pipeline))


def test_custom_pipelines_in_fresh_processes_are_the_installed_classes(tmp_path, request):
    """In a process of each method, which is forked from one that has imported diffusers after the package."""
    request.addfinalizer(partial(torch.set_num_threads, torch.get_num_threads()))
    torch.set_num_threads(1)  # As in those processes: the last bits depend on it.
    expected = {}
    for method in MAKERS:
        recipe = Recipe.load(f"{method}-digits")
        torch.manual_seed(0)
        pipeline = recipe.pipeline_class(recipe.build("generator"), recipe.build("scheduler"))
        pipeline.set_progress_bar_config(disable=True)
        labels = None if recipe.config("generator")["num_class_embeds"] is None else [3, 1]
        save_repository(tmp_path / method, pipeline, recipe.build("discriminator"), recipe, recipe.training, {})
        expected[str(tmp_path / method)] = type(pipeline).__name__, labels, draw(pipeline, class_labels=labels)
    cases = {folder: (name, labels) for folder, (name, labels, _) in expected.items()}
    script = f"""
import os, sys, gan_diffusion
assert "diffusers" not in sys.modules
from diffusers import DiffusionPipeline
import torch
torch.set_num_threads(1)
for folder, (name, labels) in {cases}.items():
    child = os.fork()
    if child:
        assert os.waitpid(child, 0)[1] == 0
        continue
    pipeline = DiffusionPipeline.from_pretrained(folder, custom_pipeline=folder, trust_remote_code=True)
    assert type(pipeline) is getattr(gan_diffusion, name)
    images = pipeline(2, labels, generator=torch.Generator().manual_seed(7), output_type="pt").images
    torch.save(images, f"{{folder}}.pt")
    break
"""
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    for folder, (_, _, images) in expected.items():
        assert torch.equal(torch.load(f"{folder}.pt", weights_only=True), images)


class TestOffload:
    """Hooks of offloading put the weights in place when a module's forward is called, and only then."""

    def test_whole_network(self, pipeline):
        expected = draw(pipeline)
        weights = {name: value.clone() for name, value in pipeline.generator.state_dict().items()}
        hook = AlignDevicesHook(execution_device="cpu", offload=True, weights_map=weights, place_submodules=True)
        add_hook_to_module(pipeline.generator, hook)
        assert next(pipeline.generator.parameters()).device.type == "meta"
        assert torch.equal(draw(pipeline), expected)
        remove_hook_from_module(pipeline.generator)
        assert torch.equal(draw(pipeline), expected)

    @pytest.mark.parametrize("offload_type", ["leaf_level", "block_level"])
    def test_groups(self, pipeline, method, offload_type):
        offloaded = MAKERS[method]()
        offloaded.enable_group_offload(
            torch.device("cpu"), offload_type=offload_type, num_blocks_per_group=1 if "block" in offload_type else None
        )
        torch.testing.assert_close(draw(offloaded), draw(pipeline))


def test_images_that_are_not_square(method):
    pipeline = MAKERS[method](sample_size=(8, 16))
    assert draw(pipeline, output_type="np").shape == (2, 8, 16, 1)
    assert pipeline(generator=seeded()).images[0].size == (16, 8)


class TestVectors:
    def test_vectors_are_returned_as_they_are(self, method):
        pipeline = make_vectors(method)
        points = draw(pipeline, 5)
        assert points.shape == (5, 2) and torch.equal(draw(pipeline, 5, output_type="latent"), points)
        np.testing.assert_array_equal(draw(pipeline, 5, output_type="np"), points.numpy())
        with pytest.raises(ValueError, match=r"`output_type` must be 'np', .* samples of shape \(2,\), got 'pil'"):
            pipeline(5)


class TestOwnGenerators:
    def test_samples_of_any_shape(self, method):
        pipeline = make_own(method)
        assert draw(pipeline, output_type="np").shape == (2, 4, 6, 3)
        assert pipeline(generator=seeded()).images[0].size == (6, 4)
        assert draw(make_own(method, sample_shape=(2, 16))).shape == (2, 2, 16)
        with pytest.raises(ValueError, match="`output_type`"):
            make_own(method, sample_shape=(5, 4, 4))()

    def test_class_labels_reach_the_network(self, method):
        pipeline = make_own(method, num_class_embeds=3)
        images = [draw(pipeline, class_labels=labels) for labels in ([0, 1], torch.tensor([0, 2], dtype=torch.uint8))]
        assert torch.equal(images[0][0], images[1][0]) and not torch.equal(images[0][1], images[1][1])
        assert torch.equal(draw(pipeline, class_labels=[0, 2]), images[1])

    @pytest.mark.parametrize(
        ("labels", "error", "message"),
        [
            (None, ValueError, "one label per sample for this class-conditional model, 0 to 2, got None"),
            (1, TypeError, "a list of ints"),
            ([0.0, 1.0], TypeError, "a list of ints"),
            ([True, False], TypeError, "a list of ints"),
            (torch.tensor([0.0, 1.0]), TypeError, "a list of ints"),
            (np.array([0, 1]), TypeError, "a list of ints"),
            ([0], ValueError, r"shape \(2,\)"),
            (torch.tensor([[0, 1]]), ValueError, r"shape \(2,\)"),
            (torch.tensor(1), ValueError, r"shape \(2,\)"),
            ([0, 3], ValueError, r"between 0 and 2, got \[0, 3\]"),
            ([-1, 0], ValueError, "between 0 and 2"),
        ],
    )
    def test_bad_class_labels_are_refused(self, method, labels, error, message):
        with pytest.raises(error, match=f"`class_labels` must .*{message}"):
            make_own(method, num_class_embeds=3)(2, class_labels=labels)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "`batch_size` must be at least 1, got 0"),
        ({"batch_size": "a cat"}, TypeError, "`batch_size` must be an int, got 'a cat'"),
        ({"batch_size": True}, TypeError, "`batch_size` must be an int, got True"),
        ({"batch_size": 2.5}, TypeError, "`batch_size` must be an int, got 2.5"),
        ({"num_inference_steps": 10}, ValueError, "`num_inference_steps`"),
        ({"output_type": "jpg"}, ValueError, "`output_type` must be one of .*, got 'jpg'"),
        ({"class_labels": [0]}, ValueError, "`class_labels` must be None, since this model is unconditional"),
        ({"latents": torch.zeros(1, 3)}, ValueError, r"`latents` must have shape \(1, .*, got \(1, 3\)"),
        ({"latents": np.zeros((1, 1, 8, 8))}, TypeError, "`latents` must be a torch.Tensor .*, got ndarray"),
        ({"latents": torch.zeros(1, 1, 8, 8, dtype=torch.int64)}, TypeError, "`latents` must be .*, got torch.int64"),
        ({"generator": 5}, TypeError, "`generator` must be a torch.Generator"),
        ({"generator": [seeded(), None]}, TypeError, "`generator` must be a torch.Generator"),
        ({"generator": []}, ValueError, "`generator` must be one, or a list of 1, .*, got 0"),
        ({"batch_size": 2, "generator": [seeded()]}, ValueError, "`generator` must be one, or a list of 2, .*, got 1"),
        ({"callback_on_step_end": "a cat"}, TypeError, "`callback_on_step_end` must be a function"),
        (
            {"callback_on_step_end_tensor_inputs": ["prompt"]},
            ValueError,
            r"`callback_on_step_end_tensor_inputs` must be among \['latents'\], got \['prompt'\]",
        ),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_computed(pipeline, options, error, message):
    calls = []
    handle = pipeline.generator.register_forward_pre_hook(lambda *args: calls.append(1))
    with pytest.raises(error, match=message):
        pipeline(**options)
    handle.remove()
    assert not calls


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_latents_that_are_not_finite_are_refused(pipeline, value):
    with pytest.raises(ValueError, match="`latents` must be finite"):
        pipeline(latents=torch.full((1, *pipeline.latent_shape), value))


def wrong_generators(method: str) -> list:
    others = [MAKERS[other]().generator for other in MAKERS if other != method]
    return [torch.nn.Linear(2, 2), None, MAKERS[method]().generator.state_dict(), *others]


def test_wrong_generators_are_refused_at_construction(pipeline, method):
    for generator in wrong_generators(method):
        with pytest.raises(TypeError, match=f"`generator` must be .* got {type(generator).__name__}"):
            type(pipeline)(generator, pipeline.scheduler)


def test_wrong_schedulers_are_refused_at_construction(pipeline, method):
    name = type(pipeline.scheduler).__name__
    for scheduler in (None, *[MAKERS[other]().scheduler for other in MAKERS if other != method]):
        with pytest.raises(TypeError, match=f"`scheduler` must be a {name}, got {type(scheduler).__name__}"):
            type(pipeline)(pipeline.generator, scheduler)


def test_compiled_generators_are_accepted(pipeline):
    compiled = torch.compile(pipeline.generator, backend="eager")
    other = type(pipeline)(compiled, pipeline.scheduler)
    assert other.sample_shape == pipeline.sample_shape
