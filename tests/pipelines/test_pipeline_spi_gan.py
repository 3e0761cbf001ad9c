# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

import pytest
import torch
from accelerate.hooks import AlignDevicesHook, add_hook_to_module
from tiny_pipelines import make_own, make_spi_gan, seeded


def test_latents_decide_the_image_without_layer_noise():
    pipeline = make_spi_gan()
    latents = torch.randn(2, 1, 8, 8, generator=seeded(3))
    images = [pipeline(2, latents=latents, noise_mode="const", output_type="pt").images for _ in range(2)]
    assert torch.equal(*images)
    noisy = [pipeline(2, latents=latents, output_type="pt").images for _ in range(2)]
    assert not torch.equal(*noisy)
    with pytest.raises(ValueError, match="noise_mode"):
        pipeline(noise_mode="loud")


def test_class_labels():
    pipeline = make_spi_gan(num_class_embeds=3)
    latents = torch.randn(2, 1, 8, 8)
    images = [
        pipeline(2, class_labels=labels, latents=latents, noise_mode="none", output_type="pt").images
        for labels in ([0, 1], [2, 1])
    ]
    assert not torch.equal(images[0][0], images[1][0]) and torch.equal(images[0][1], images[1][1])
    with pytest.raises(ValueError, match="`class_labels` must hold one label per sample"):
        pipeline(2)
    a, b = latents[:, None]
    strip = pipeline.interpolate(a, b, num=2, class_labels=[0, 1], output_type="pt")
    ends = pipeline(2, class_labels=[0, 1], latents=latents, noise_mode="const", output_type="pt").images
    torch.testing.assert_close(strip, ends, rtol=1e-5, atol=1e-5)
    assert pipeline.path(a, us=(0.5, 1.0), class_labels=[2], output_type="pt").shape == (2, 1, 8, 8)


class TestStrips:
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

    def test_only_the_forward_of_the_network_is_called(self):
        """Hooks of offloading put the weights in place when the network is called, and only then."""
        pipeline = make_spi_gan()
        a, b = torch.randn(2, 1, 1, 8, 8)

        def strips():
            return torch.cat([pipeline.interpolate(a, b, output_type="pt"), pipeline.path(a, output_type="pt")])

        expected = strips()
        weights = {name: value.clone() for name, value in pipeline.generator.state_dict().items()}
        hook = AlignDevicesHook(execution_device="cpu", offload=True, weights_map=weights, place_submodules=True)
        add_hook_to_module(pipeline.generator, hook)
        assert next(pipeline.generator.parameters()).device.type == "meta"
        assert torch.equal(strips(), expected)

    def test_class_labels_of_the_ends(self):
        pipeline = make_own("spi-gan", num_class_embeds=3)
        assert len(pipeline.interpolate(num=3, class_labels=[0, 2], output_type="pt")) == 3
        assert len(pipeline.path(us=(0.0, 1.0), class_labels=[2], output_type="pt")) == 2
        for strip, labels in ((pipeline.interpolate, None), (pipeline.interpolate, [0]), (pipeline.path, [0, 1])):
            with pytest.raises(ValueError, match="`class_labels`"):
                strip(class_labels=labels)

    def test_seed_decides_the_strip(self):
        pipeline = make_spi_gan()
        for strip in (pipeline.interpolate, pipeline.path):
            first, again, other = (strip(generator=seeded(s), output_type="pt") for s in (1, 1, 2))
            assert torch.equal(first, again) and not torch.equal(first, other)

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"num": 1}, ValueError, "`num` must be an int of at least 2, got 1"),
            ({"num": 2.5}, ValueError, "`num` must be an int of at least 2, got 2.5"),
            ({"latents_a": torch.zeros(1, 8)}, ValueError, "`latents_a` must have shape"),
            ({"latents_b": torch.zeros(2, 1, 8, 8)}, ValueError, "`latents_b` must have shape"),
            ({"latents_b": [0.0]}, TypeError, "`latents_b` must be a torch.Tensor"),
            ({"generator": [seeded(), seeded()]}, TypeError, "`generator` must be one torch.Generator, got a list"),
            ({"output_type": "jpg"}, ValueError, "`output_type`"),
        ],
    )
    def test_interpolate_refuses_bad_input(self, options, error, message):
        with pytest.raises(error, match=message):
            make_spi_gan().interpolate(**options)

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"us": ()}, ValueError, "`us` must be a list of at least one position"),
            ({"us": 0.5}, ValueError, "`us` must be a list of at least one position"),
            ({"us": "a cat"}, TypeError, "`us` must be a list of numbers, got 'a cat'"),
            ({"us": (0.5, 1.5)}, ValueError, "`u` must"),
            ({"latents": torch.zeros(1, 8)}, ValueError, "`latents` must have shape"),
        ],
    )
    def test_path_refuses_bad_input(self, options, error, message):
        with pytest.raises(error, match=message):
            make_spi_gan().path(**options)

    def test_positions_out_of_range_are_refused(self):
        with pytest.raises(ValueError, match="`u` must"):
            make_spi_gan()(u=-0.1)
