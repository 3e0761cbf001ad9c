# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

import pytest
import torch
from tiny_pipelines import make_diffusion_gan, seeded


def test_latents_decide_the_image_without_layer_noise():
    pipeline = make_diffusion_gan()
    latents = torch.randn(2, 6, generator=seeded(3))
    images = [pipeline(2, latents=latents, noise_mode="const", output_type="pt").images for _ in range(2)]
    assert torch.equal(*images)
    noisy = [pipeline(2, latents=latents, output_type="pt").images for _ in range(2)]
    assert not torch.equal(*noisy)
    with pytest.raises(ValueError, match="noise_mode"):
        pipeline(noise_mode="loud")


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
    with pytest.raises(ValueError, match="`class_labels` must hold one label per sample"):
        pipeline(2)
