# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from gan_diffusion.data.sources import TensorSamples
from gan_diffusion.evaluation import evaluate, images
from gan_diffusion.metrics.features import FeatureNetwork, load_features


sys.path.insert(0, str(Path(__file__).parents[1] / "pipelines"))
from tiny_pipelines import make_ddgan, make_diffusion_gan, make_spi_gan  # noqa: E402


def real_images(count: int = 60, labels: torch.Tensor | None = None) -> TensorSamples:
    pixels = torch.randint(0, 256, (count, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return TensorSamples(pixels, labels)


def flat_pixels(compute=lambda images: images.flatten(1), **options) -> FeatureNetwork:
    """Eight values of the image itself as features."""
    return FeatureNetwork("pixels", 8, lambda images: compute(images)[:, :8], channels=1, **options)


@pytest.mark.parametrize("make", [make_ddgan, make_diffusion_gan, make_spi_gan])
def test_every_method_is_measured_and_repeats(make):
    first = evaluate(make(), real_images(), load_features("mnist"), num_samples=12, batch_size=5, seed=3)
    again = evaluate(make(), real_images(), load_features("mnist"), num_samples=12, batch_size=5, seed=3)
    speed = "images per second"
    assert {k: v for k, v in first.metrics.items() if k != speed} == {
        k: v for k, v in again.metrics.items() if k != speed
    }
    assert torch.equal(first.images, again.images) and first.images.shape == (12, 1, 8, 8)
    assert first.nearest == again.nearest and max(first.nearest) < 60
    other = evaluate(make(), real_images(), load_features("mnist"), num_samples=12, batch_size=5, seed=4)
    assert not torch.equal(first.images, other.images)


def test_a_pipeline_that_repeats_the_data_is_perfect_and_a_copier():
    data = real_images(40)

    class Copier:
        sample_shape, num_timesteps, device = (1, 8, 8), 1, torch.device("cpu")
        generator = SimpleNamespace(config={})
        drawn = 0

        def set_progress_bar_config(self, disable):
            pass

        def __call__(self, count, generator, output_type):
            samples = data.samples[self.drawn : self.drawn + count].float() / 255
            self.drawn += count
            return SimpleNamespace(images=samples)

    result = evaluate(Copier(), data, flat_pixels(), num_samples=40, batch_size=10)
    values = list(result.metrics.values())
    assert values[0] == pytest.approx(0, abs=1e-6)
    assert result.metrics["coverage (the same)"] == result.metrics["recall (the same)"] == 1
    assert result.metrics["share of copies (nearest less than a third as far as the second)"] == 1
    assert result.nearest == list(range(40))


def test_features_of_real_images_are_computed_once(tmp_path):
    data, seen, module = real_images(), [], torch.nn.Linear(1, 1)

    def counted(images):
        seen.append(len(images))
        return images.flatten(1)

    def measure(data, module) -> tuple[list[float], int]:
        """All numbers but the speed, and how many images the network saw: 20 generated ones, and real ones."""
        seen.clear()
        network = flat_pixels(counted, module=module)
        result = evaluate(make_spi_gan(), data, network, num_samples=20, batch_size=20, cache_dir=tmp_path)
        return list(result.metrics.values())[:-1], sum(seen)

    first = measure(data, module)
    assert first[1] == 60 + 20
    assert measure(data, module) == (first[0], 20)
    assert measure(data, None) == (first[0], 60 + 20)  # Nothing tells this network from others of its name.
    assert measure(TensorSamples(255 - data.samples), module)[1] == 60 + 20
    for file in tmp_path.glob("*.features"):
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
    assert measure(data, module) == first
    assert measure(data, module) == (first[0], 20)


def test_classes_are_drawn_as_often_as_the_data_has_them():
    labels = torch.tensor([0] * 45 + [2] * 15)
    drawn = images._labels(make_diffusion_gan(num_class_embeds=3), real_images(60, labels), 2500, seed=0)
    counts = torch.bincount(drawn, minlength=3) / 2500
    assert counts[1] == 0 and counts[0] == pytest.approx(0.75, abs=0.04)
    with pytest.raises(ValueError, match="`data` must have labels"):
        evaluate(make_diffusion_gan(num_class_embeds=3), real_images(), flat_pixels(), num_samples=20)


@pytest.mark.parametrize(
    "data, num_samples, message",
    [
        (
            TensorSamples(torch.zeros(20, 3, 8, 8, dtype=torch.uint8)),
            20,
            r"pipeline's shape \(1, 8, 8\), got \(3, 8, 8\)",
        ),
        (TensorSamples(torch.zeros(20, 1, 8, 9, dtype=torch.uint8)), 20, "pipeline's shape"),
        (real_images(9), 20, "at least 10 images, got 20 and 9"),
        (real_images(), 5, "at least 10 images, got 5 and 60"),
    ],
)
def test_data_that_does_not_fit_is_refused(data, num_samples, message):
    with pytest.raises(ValueError, match=message):
        evaluate(make_spi_gan(), data, flat_pixels(), num_samples=num_samples)


def test_images_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="must be finite, got 2 values"):
        images.to_pixels(torch.tensor([0.0, float("nan"), float("inf")]))


def test_pixels_are_rounded_and_clipped():
    values = torch.tensor([-1.2, -1.0, 0.0, 0.5, 1.0, 1.1])
    assert images.to_pixels(values).tolist() == [0, 0, 128, 191, 255, 255]
