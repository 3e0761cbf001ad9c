# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import subprocess
import sys

import numpy as np
import pytest
import torch
from golden_utils import assert_matches, golden_state_dict, load_golden, load_golden_metadata

from gan_diffusion import DDGANPipeline, DDGANScheduler, MLPGenerator, NCSNppGenerator
from gan_diffusion.conversion import convert_ddgan_generator, export_ddgan_generator
from gan_diffusion.pipelines import pipeline_ddgan


TINY = {
    "sample_size": 8, "in_channels": 1, "base_channels": 16, "channel_multipliers": (1, 2), "layers_per_block": 1,
    "attention_resolutions": (), "latent_dim": 4, "latent_embed_dim": 8, "num_latent_layers": 1,
}  # fmt: skip


def make_pipeline(**overrides) -> DDGANPipeline:
    torch.manual_seed(0)
    pipeline = DDGANPipeline(NCSNppGenerator(**{**TINY, **overrides}).eval(), DDGANScheduler(4))
    # A fresh network's last layer is almost zero, so that every image would look the same.
    for parameter in pipeline.generator.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="module")
def pipeline() -> DDGANPipeline:
    return make_pipeline()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_sampling_equals_the_reference(monkeypatch):
    golden, metadata = load_golden("ddgan/sampling"), load_golden_metadata("ddgan/sampling")
    layout = NCSNppGenerator(base_channels=32, channel_multipliers=(1, 2, 2), latent_embed_dim=64, num_latent_layers=3)
    shapes = {key: value.shape for key, value in export_ddgan_generator(layout).items()}
    generator = convert_ddgan_generator(golden_state_dict(shapes), **metadata["config"]).double().eval()
    scheduler = DDGANScheduler(4)
    pipeline = DDGANPipeline(generator, scheduler)

    latents, noises, inputs, predictions = (iter(golden[name].double()) for name in ("z", "noise", "x_in", "x0_pred"))
    monkeypatch.setattr(pipeline_ddgan, "randn_tensor", lambda *args, **kwargs: next(latents))
    plain_step = scheduler.step

    def step(model_output, timestep, sample, generator=None):
        assert_matches(sample, next(inputs), name=f"x_in at {timestep}")
        assert_matches(model_output, next(predictions), name=f"x0_pred at {timestep}")
        return plain_step(model_output, timestep, sample, variance_noise=next(noises))

    scheduler.step = step
    images = pipeline(2, latents=golden["x_init"].double(), output_type="latent").images
    assert images.dtype == torch.float64
    assert_matches(images, golden["x_final"], name="x_final")
    assert next(inputs, None) is None


def test_output_types(pipeline):
    latent = pipeline(3, generator=seeded(), output_type="latent").images
    assert latent.shape == (3, 1, 8, 8) and latent.min() < 0 and latent.abs().max() <= 1
    pt = pipeline(3, generator=seeded(), output_type="pt").images
    torch.testing.assert_close(pt, latent / 2 + 0.5)
    array = pipeline(3, generator=seeded(), output_type="np").images
    assert isinstance(array, np.ndarray) and array.shape == (3, 8, 8, 1)
    np.testing.assert_array_equal(array, pt.permute(0, 2, 3, 1).numpy())
    pil = pipeline(3, generator=seeded()).images
    assert [image.size for image in pil] == [(8, 8)] * 3
    np.testing.assert_array_equal(np.asarray(pil[0]), (array[0, ..., 0] * 255).round().astype("uint8"))
    (from_tuple,) = pipeline(3, generator=seeded(), output_type="pt", return_dict=False)
    assert torch.equal(from_tuple, pt)


def test_colour_images():
    image = make_pipeline(in_channels=3)(generator=seeded()).images[0]
    assert image.mode == "RGB"


def test_seed_decides_the_image_and_the_global_state_is_left_alone(pipeline):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again, other = (pipeline(2, generator=seeded(s), output_type="pt").images for s in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.equal(pipeline(output_type="pt").images, pipeline(output_type="pt").images)


def test_list_of_generators_gives_each_image_its_own_seed(pipeline):
    together = pipeline(2, generator=[seeded(1), seeded(2)], output_type="pt").images
    for image, seed in zip(together, (1, 2), strict=True):
        alone = pipeline(1, generator=seeded(seed), output_type="pt").images[0]
        torch.testing.assert_close(image, alone, rtol=1e-5, atol=1e-5)


def test_latents_are_the_starting_noise(pipeline):
    latents = torch.randn(2, 1, 8, 8, generator=seeded(3))
    kept = latents.clone()
    images = [pipeline(2, latents=latents, generator=seeded(s), output_type="pt").images for s in (0, 0)]
    assert torch.equal(*images) and torch.equal(latents, kept)
    other = pipeline(2, latents=-latents, generator=seeded(0), output_type="pt").images
    assert not torch.equal(images[0], other)


def test_callback_sees_every_step_and_can_change_the_latents(pipeline):
    seen = []

    def record(pipe, step, timestep, kwargs):
        seen.append((step, int(timestep), kwargs["latents"].shape, pipe.num_timesteps))
        return kwargs

    pipeline(2, callback_on_step_end=record)
    assert seen == [(i, 3 - i, (2, 1, 8, 8), 4) for i in range(4)]

    def zero(pipe, step, timestep, kwargs):
        return {"latents": torch.zeros_like(kwargs["latents"])}

    assert pipeline(output_type="latent", callback_on_step_end=zero).images.abs().max() == 0


def test_progress_bar_counts_network_evaluations(pipeline, capfd):
    pipeline.set_progress_bar_config(disable=False)
    pipeline()
    pipeline.set_progress_bar_config(disable=True)
    assert "4/4" in capfd.readouterr().err


def test_class_labels():
    pipeline = make_pipeline(num_class_embeds=3)
    images = [
        pipeline(2, class_labels=labels, generator=seeded(), output_type="pt").images for labels in ([0, 1], [0, 2])
    ]
    assert torch.equal(images[0][0], images[1][0]) and not torch.equal(images[0][1], images[1][1])
    for labels, message in (([0], "class_labels"), (None, "class_labels"), ([0, 3], "class_labels")):
        with pytest.raises(ValueError, match=message):
            pipeline(2, class_labels=labels)


def test_vectors():
    torch.manual_seed(0)
    generator = MLPGenerator()
    pipeline = DDGANPipeline(generator, DDGANScheduler(4))
    pipeline.set_progress_bar_config(disable=True)
    points = pipeline(5, generator=seeded(), output_type="pt").images
    assert points.shape == (5, 2)
    np.testing.assert_array_equal(pipeline(5, generator=seeded(), output_type="np").images, points.numpy())
    with pytest.raises(ValueError, match="output_type"):
        pipeline(5)


def test_half_precision(pipeline):
    half = make_pipeline().to(torch.bfloat16)
    images = half(2, generator=seeded(), output_type="pt").images
    assert images.isfinite().all()
    assert half(2, generator=seeded(), output_type="latent").images.dtype == torch.bfloat16


def test_saved_pipeline_gives_equal_images_in_a_fresh_process(pipeline, tmp_path):
    folder = tmp_path / "saved"
    pipeline.save_pretrained(folder)
    assert (folder / "generator" / "diffusion_pytorch_model.safetensors").is_file()
    script = (
        "import sys, torch; from gan_diffusion import DDGANPipeline; "
        "pipeline = DDGANPipeline.from_pretrained(sys.argv[1]); "
        "images = pipeline(3, generator=torch.Generator().manual_seed(7), output_type='latent').images; "
        "torch.save(images, sys.argv[2])"
    )
    subprocess.run([sys.executable, "-c", script, folder, tmp_path / "images.pt"], check=True)
    expected = pipeline(3, generator=seeded(7), output_type="latent").images
    assert torch.equal(torch.load(tmp_path / "images.pt", weights_only=True), expected)


def test_truncated_weights_are_refused(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    weights = tmp_path / "generator" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(Exception, match="safetensors|checkpoint"):
        DDGANPipeline.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "`batch_size`"),
        ({"num_inference_steps": 10}, "`num_inference_steps` must be 4"),
        ({"output_type": "jpeg"}, "`output_type`"),
        ({"latents": torch.zeros(1, 3, 8, 8)}, "`latents`"),
        ({"class_labels": [0]}, "class_labels"),
        ({"callback_on_step_end_tensor_inputs": ["prompt"]}, "`callback_on_step_end_tensor_inputs`"),
        ({"batch_size": 2, "generator": [torch.Generator()]}, "generator"),
    ],
)
def test_bad_arguments_are_refused(pipeline, arguments, message):
    with pytest.raises(ValueError, match=message):
        pipeline(**arguments)
