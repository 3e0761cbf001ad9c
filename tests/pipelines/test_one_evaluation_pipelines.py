# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""The pipelines that make a sample in one evaluation: Diffusion-GAN and SPI-GAN."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from gan_diffusion import (
    DiffusionGANPipeline,
    DiffusionGANScheduler,
    LatentMLPGenerator,
    SPIGANGenerator,
    SPIGANPipeline,
    SPIGANScheduler,
    StyleGAN2Generator,
)


def make_diffusion_gan(**overrides) -> DiffusionGANPipeline:
    torch.manual_seed(0)
    config = {"sample_size": 8, "out_channels": 1, "latent_dim": 6, "w_dim": 8, "channel_max": 8}
    generator = StyleGAN2Generator(**{**config, "num_mapping_layers": 2, **overrides})
    return finish(DiffusionGANPipeline(generator.eval(), DiffusionGANScheduler()))


def make_spi_gan(**overrides) -> SPIGANPipeline:
    torch.manual_seed(0)
    config = {"sample_size": 8, "out_channels": 1, "w_dim": 8, "mapping_dim": 8, "channel_max": 8}
    generator = SPIGANGenerator(**{**config, **overrides})
    # A fresh mapping stands still: every position would give the same styles.
    torch.nn.init.normal_(generator.mapping.layers[-1].weight, std=100.0)
    return finish(SPIGANPipeline(generator.eval(), SPIGANScheduler()))


def finish(pipeline):
    for name, parameter in pipeline.generator.named_parameters():
        if name.endswith("noise_strength"):
            torch.nn.init.constant_(parameter, 0.3)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="module", params=[make_diffusion_gan, make_spi_gan], ids=["diffusion-gan", "spi-gan"])
def pipeline(request):
    return request.param()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_output_types(pipeline):
    latent = pipeline(3, generator=seeded(), output_type="latent").images
    assert latent.shape == (3, 1, 8, 8)
    pt = pipeline(3, generator=seeded(), output_type="pt").images
    torch.testing.assert_close(pt, (latent / 2 + 0.5).clamp(0, 1))
    array = pipeline(3, generator=seeded(), output_type="np").images
    np.testing.assert_array_equal(array, pt.permute(0, 2, 3, 1).numpy())
    pil = pipeline(3, generator=seeded()).images
    assert [image.size for image in pil] == [(8, 8)] * 3
    (from_tuple,) = pipeline(3, generator=seeded(), output_type="pt", return_dict=False)
    assert torch.equal(from_tuple, pt)


def test_the_synthesis_network_is_evaluated_once(pipeline, monkeypatch):
    calls = []
    handle = pipeline.generator.synthesis.register_forward_hook(lambda *args: calls.append(1))
    pipeline(4, output_type="pt")
    handle.remove()
    assert len(calls) == 1 and pipeline.num_timesteps == 1


def test_seed_decides_the_image_and_the_global_state_is_left_alone(pipeline):
    before = torch.get_rng_state()
    first, again, other = (pipeline(2, generator=seeded(s), output_type="pt").images for s in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


def test_list_of_generators_gives_each_image_its_own_seed(pipeline):
    together = pipeline(2, generator=[seeded(1), seeded(2)], output_type="pt").images
    for image, seed in zip(together, (1, 2), strict=True):
        alone = pipeline(1, generator=seeded(seed), output_type="pt").images[0]
        torch.testing.assert_close(image, alone, rtol=1e-5, atol=1e-5)


def test_latents_decide_the_image_without_layer_noise(pipeline):
    shape = (6,) if isinstance(pipeline, DiffusionGANPipeline) else (1, 8, 8)
    latents = torch.randn(2, *shape, generator=seeded(3))
    images = [pipeline(2, latents=latents, noise_mode="const", output_type="pt").images for _ in range(2)]
    assert torch.equal(*images)
    noisy = [pipeline(2, latents=latents, output_type="pt").images for _ in range(2)]
    assert not torch.equal(*noisy)


def test_callback_sees_the_step_and_can_change_the_result(pipeline):
    seen = []

    def zero(pipe, step, timestep, kwargs):
        seen.append((step, kwargs["latents"].shape))
        return {"latents": torch.zeros_like(kwargs["latents"])}

    images = pipeline(2, callback_on_step_end=zero, output_type="pt").images
    assert seen == [(0, (2, 1, 8, 8))] and (images == 0.5).all()


def test_saved_and_reloaded_in_a_new_process_gives_equal_images(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    expected = pipeline(2, generator=seeded(7), output_type="pt").images
    name = type(pipeline).__name__
    script = f"""
import torch
from gan_diffusion import {name}
pipeline = {name}.from_pretrained(r"{tmp_path}")
images = pipeline(2, generator=torch.Generator().manual_seed(7), output_type="pt").images
torch.save(images, r"{tmp_path / "images.pt"}")
"""
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    assert torch.equal(torch.load(tmp_path / "images.pt", weights_only=True), expected)


def test_bfloat16(pipeline):
    images = pipeline.to(torch.bfloat16)(2, generator=seeded(), output_type="np").images
    pipeline.to(torch.float32)
    assert images.dtype == np.float32 and np.isfinite(images).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"num_inference_steps": 4}, "num_inference_steps"),
        ({"output_type": "jpg"}, "output_type"),
        ({"latents": torch.zeros(1, 3)}, "latents"),
        ({"noise_mode": "loud"}, "noise_mode"),
        ({"callback_on_step_end_tensor_inputs": ["generator"]}, "callback_on_step_end_tensor_inputs"),
    ],
)
def test_bad_input_is_refused(pipeline, options, message):
    with pytest.raises(ValueError, match=message):
        pipeline(**options)


def test_truncation_draws_styles_to_their_mean():
    pipeline = make_diffusion_gan()
    options = {"generator": None, "noise_mode": "const", "output_type": "pt"}
    latents = torch.randn(8, 6)
    spread = [
        pipeline(8, latents=latents, truncation_psi=psi, **options).images.var(0).mean() for psi in (0.0, 0.5, 1.0)
    ]
    assert spread[0] < 1e-10 < spread[1] < spread[2]


def test_class_labels():
    pipeline = make_diffusion_gan(num_class_embeds=3)
    latents = torch.randn(2, 6)
    images = [
        pipeline(2, class_labels=labels, latents=latents, noise_mode="none", output_type="pt").images
        for labels in ([0, 1], [2, 1])
    ]
    assert not torch.equal(images[0][0], images[1][0]) and torch.equal(images[0][1], images[1][1])
    with pytest.raises(ValueError, match="class_labels"):
        pipeline(2)
    with pytest.raises(ValueError, match="class_labels"):
        pipeline(2, class_labels=[0, 3])
    with pytest.raises(ValueError, match="class_labels"):
        pipeline(3, class_labels=[0, 1])


def test_vectors():
    diffusion_gan = finish(DiffusionGANPipeline(LatentMLPGenerator(), DiffusionGANScheduler()))
    spi_gan = finish(SPIGANPipeline(SPIGANGenerator(data_dim=2, w_dim=8, mapping_dim=8), SPIGANScheduler()))
    for pipeline in (diffusion_gan, spi_gan):
        assert pipeline(5, output_type="np").images.shape == (5, 2)
        with pytest.raises(ValueError, match="vectors"):
            pipeline(5)


class TestSPIGANStrips:
    def test_interpolation_joins_the_two_ends(self):
        pipeline = make_spi_gan()
        a, b = torch.randn(2, 1, 1, 8, 8)
        strip = pipeline.interpolate(a, b, num=5, output_type="pt")
        assert strip.shape == (5, 1, 8, 8)
        for end, latents in ((strip[0], a), (strip[-1], b)):
            image = pipeline(latents=latents, noise_mode="const", output_type="pt").images[0]
            torch.testing.assert_close(end, image, rtol=1e-5, atol=1e-5)
        steps = (strip[1:] - strip[:-1]).flatten(1).norm(dim=1)
        assert (steps < (strip[-1] - strip[0]).norm()).all()
        assert len(pipeline.interpolate(num=3)) == 3

    def test_path_shows_each_position_from_one_noise(self):
        pipeline = make_spi_gan()
        latents = torch.randn(1, 1, 8, 8)
        strip = pipeline.path(latents, us=(0.2, 0.6, 1.0), output_type="pt")
        assert strip.shape == (3, 1, 8, 8)
        for u, image in zip((0.2, 0.6, 1.0), strip, strict=True):
            alone = pipeline(latents=latents, u=u, noise_mode="const", output_type="pt").images[0]
            torch.testing.assert_close(image, alone, rtol=1e-5, atol=1e-5)
        assert not torch.equal(strip[0], strip[2])

    def test_bad_input_is_refused(self):
        pipeline = make_spi_gan()
        with pytest.raises(ValueError, match="num"):
            pipeline.interpolate(num=1)
        with pytest.raises(ValueError, match="latents"):
            pipeline.interpolate(torch.zeros(1, 8))
        with pytest.raises(ValueError, match="`us`"):
            pipeline.path(us=())
        with pytest.raises(ValueError, match="`u` must be in"):
            pipeline.path(us=(0.5, 1.5))
        with pytest.raises(ValueError, match="`u` must be in"):
            pipeline(u=-0.1)
