# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from golden_utils import assert_matches, golden_state_dict, load_golden, load_golden_metadata
from tiny_pipelines import make_ddgan, seeded

from gan_diffusion import DDGANPipeline, DDGANScheduler, NCSNppGenerator
from gan_diffusion.conversion import convert_ddgan_generator, export_ddgan_generator
from gan_diffusion.pipelines import pipeline_ddgan


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


def test_colour_images():
    assert make_ddgan(in_channels=3)(generator=seeded()).images[0].mode == "RGB"


def test_latents_are_the_starting_noise_alone():
    pipeline = make_ddgan()
    latents = torch.randn(2, 1, 8, 8, generator=seeded(3))
    images = [pipeline(2, latents=latents, generator=seeded(s), output_type="pt").images for s in (0, 0, 1)]
    assert torch.equal(*images[:2]) and not torch.equal(*images[1:])
    other = pipeline(2, latents=-latents, generator=seeded(0), output_type="pt").images
    assert not torch.equal(images[0], other)


def test_class_labels():
    pipeline = make_ddgan(num_class_embeds=3)
    images = [
        pipeline(2, class_labels=labels, generator=seeded(), output_type="pt").images for labels in ([0, 1], [0, 2])
    ]
    assert torch.equal(images[0][0], images[1][0]) and not torch.equal(images[0][1], images[1][1])
    with pytest.raises(ValueError, match="`class_labels` must hold one label per sample"):
        pipeline(2)
