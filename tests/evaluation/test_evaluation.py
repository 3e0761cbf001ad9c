# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from gan_diffusion.data.sources import TensorSamples
from gan_diffusion.evaluation import evaluate, images, reference
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
    values = result.values
    assert values["frechet_distance"] == pytest.approx(0, abs=1e-6)
    assert values["copied_share"] == 1 and values["distance_ratio"] == 0
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
    drawn = images.draw_labels(make_diffusion_gan(num_class_embeds=3), real_images(60, labels), 2500, seed=0)
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
        (TensorSamples(torch.zeros(20, 2)), 20, r"pipeline's shape \(1, 8, 8\), got \(2,\)"),
        (real_images(9), 20, "at least 10 images, got 20 and 9"),
        (real_images(), 5, "at least 10 images, got 5 and 60"),
    ],
)
def test_data_that_does_not_fit_is_refused(data, num_samples, message):
    with pytest.raises(ValueError, match=message):
        evaluate(make_spi_gan(), data, flat_pixels(), num_samples=num_samples)


def test_images_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="must be finite, got 2 values"):
        reference.to_pixels(torch.tensor([0.0, float("nan"), float("inf")]))


def test_pixels_are_rounded_and_other_ranges_are_refused():
    values = torch.tensor([-1.0001, -1.0, 0.0, 0.5, 1.0, 1.0001])
    assert reference.to_pixels(values).tolist() == [0, 0, 128, 191, 255, 255]
    with pytest.raises(ValueError, match=r"`samples` must lie in \[-1, 1\], got \[0, 1.5\]"):
        reference.to_pixels(torch.tensor([0.0, 1.5]))
    # Real images in [0, 255], as floats.
    data = TensorSamples(real_images().samples.float())
    with pytest.raises(ValueError, match=r"`samples` must lie in \[-1, 1\], got \[0, 255\]"):
        evaluate(make_spi_gan(), data, flat_pixels(), num_samples=20)


def test_shares_stand_beside_those_of_as_many_other_real_images():
    result = evaluate(make_spi_gan(), real_images(), flat_pixels(), num_samples=20)
    assert result.labels["coverage"] == "coverage (pixels, 20 against 20, k = 3)"
    assert result.labels["real_recall"] == "recall of other real images (pixels, 20 against 20, k = 3)"
    assert result.values["real_coverage"] > result.values["coverage"]
    # Of 30 real images two sets of 15 are made.
    few = evaluate(make_spi_gan(), real_images(30), flat_pixels(), num_samples=20)
    assert few.labels["precision"] == "precision (pixels, 15 against 15, k = 3)"


def test_what_is_kept_of_samples_does_not_grow_with_their_number(monkeypatch):
    monkeypatch.setattr(images, "NEIGHBOR_SAMPLES", 20)
    monkeypatch.setattr(images, "SHOWN_SAMPLES", 10)

    def kept(count: int) -> int:
        drawn = images._draw(make_spi_gan(), load_features("mnist"), count, 10, 0, None, {})
        tensors = [*drawn.features, *drawn.images, *drawn.statistics.tensors().values(), drawn.classes.sums]
        return sum(value.nbytes for value in tensors)

    assert kept(20) == kept(60)


def test_what_is_kept_of_real_images_does_not_grow_with_their_number(monkeypatch):
    monkeypatch.setattr(reference, "MEMORIZATION_SAMPLES", 300)
    found = [reference.real_reference(real_images(count), flat_pixels()) for count in (400, 800)]
    assert [len(each.features) for each in found] == [300, 300]
    assert [each.statistics.count for each in found] == [400, 800]
    pixels = real_images(800).samples[found[1].indices].float() / 127.5 - 1
    torch.testing.assert_close(found[1].features, pixels.flatten(1)[:, :8])


def test_features_of_other_data_or_of_another_network_are_not_used(tmp_path, caplog):
    data, module = real_images(), torch.nn.Linear(1, 1)
    other = TensorSamples(255 - data.samples)
    expected = reference.real_reference(data, flat_pixels(module=module), cache_dir=tmp_path)
    (file,) = tmp_path.glob("*.features")
    reference.real_reference(other, flat_pixels(module=module), cache_dir=tmp_path)
    (new,) = set(tmp_path.glob("*.features")) - {file}
    new.replace(file)
    again = reference.real_reference(data, flat_pixels(module=module), cache_dir=tmp_path)
    assert torch.equal(again.features, expected.features)
    assert "is of other data or another network" in caplog.text
    file.write_bytes(b"no safetensors")
    again = reference.real_reference(data, flat_pixels(module=module), cache_dir=tmp_path)
    assert torch.equal(again.features, expected.features) and "is damaged" in caplog.text


def test_fewer_images_than_features_are_pointed_out(caplog):
    evaluate(make_spi_gan(), real_images(), flat_pixels(), num_samples=20)
    assert "Frechet distance" not in caplog.text
    evaluate(make_spi_gan(), real_images(), load_features("mnist"), num_samples=29)
    assert "The Frechet distance needs more than 128 images" in caplog.text


def three_digits(images: torch.Tensor) -> torch.Tensor:
    """A network that reads the three labels from the first pixel of each channel."""
    return ((images[:, :, 0, 0] + 1) * 127.5).round()


@pytest.fixture
def labelling() -> FeatureNetwork:
    return FeatureNetwork("reader", 3, three_digits, channels=3, labels=lambda features: features.long())


def test_modes_are_counted_among_all_samples_and_as_many_real_images(labelling):
    codes = torch.cat([torch.tensor([[1, 2, 3]]).expand(12, 3), torch.tensor([[4, 5, 6]]).expand(4, 3)])
    data = TensorSamples(codes[:, :, None, None].expand(-1, -1, 8, 8).to(torch.uint8))

    class Repeater:
        sample_shape, num_timesteps, device = (3, 8, 8), 1, torch.device("cpu")
        generator = SimpleNamespace(config={})
        drawn = 0

        def set_progress_bar_config(self, disable):
            pass

        def __call__(self, count, generator, output_type):
            chosen = torch.arange(self.drawn, self.drawn + count) % 16
            self.drawn += count
            return SimpleNamespace(images=data.samples[chosen].float() / 255)

    result = evaluate(Repeater(), data, labelling, num_samples=16, batch_size=5)
    divergence = 0.75 * math.log(750) + 0.25 * math.log(250)
    for prefix in ("", "real_"):
        assert (result.values[prefix + "modes"], result.values[prefix + "well_covered_modes"]) == (2, 1)
        assert result.values[prefix + "reverse_kl"] == pytest.approx(divergence)
    assert result.labels["modes"] == "modes of 1000 (reader, 16 samples)"
    assert result.labels["real_reverse_kl"] == "reverse KL of the modes of real images (reader, 16 samples)"
    assert "inception_score" not in result.values
    # There are not as many real images: their figures could not be compared.
    more = evaluate(Repeater(), data, labelling, num_samples=48, batch_size=5)
    assert more.values["well_covered_modes"] == 2 and more.values["reverse_kl"] == pytest.approx(divergence)
    assert "real_modes" not in more.values


def test_labels_of_several_processes_are_those_of_one(labelling, monkeypatch):
    def drawn(process: int, count: int) -> images._Drawn:
        state = SimpleNamespace(process_index=process, num_processes=count, is_local_main_process=False)
        monkeypatch.setattr(images, "PartialState", lambda: state)
        return images._draw(make_spi_gan(out_channels=3), labelling, 23, 5, 0, None, {})

    alone, parts = drawn(0, 1), [drawn(process, 2) for process in range(2)]
    assert torch.equal(torch.cat(images._joined(parts).labels), torch.cat(alone.labels))
    assert [sum(map(len, part.labels)) for part in (alone, *parts)] == [23, 13, 10]


def test_networks_without_labels_count_no_modes():
    result = evaluate(make_spi_gan(), real_images(), flat_pixels(), num_samples=20)
    assert not {"modes", "well_covered_modes", "reverse_kl"} & set(result.values)
