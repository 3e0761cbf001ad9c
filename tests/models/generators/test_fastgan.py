# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from accelerate import init_empty_weights
from golden_projected import golden_fastgan
from golden_utils import assert_matches, load_golden

from gan_diffusion import DiffusionGANPipeline, DiffusionGANScheduler
from gan_diffusion.models import FastGANGenerator


TIGHT = {"rtol": 1e-9, "atol": 1e-12}
SMALL = {"sample_size": 32, "latent_dim": 6, "base_channels": 2}


def small_generator(**options):
    """With noise, which fresh layers do not add."""
    torch.manual_seed(0)
    generator = FastGANGenerator(**(SMALL | options))
    for name, parameter in generator.named_parameters():
        if name.endswith("strength"):
            torch.nn.init.constant_(parameter, 0.3)
    return generator.eval()


@pytest.fixture(scope="module")
def golden():
    return load_golden("diffusion_gan/fastgan_generator")


@pytest.mark.parametrize(
    ("name", "sample_size", "lite", "num_classes"),
    [
        ("g32_big_uncond", 32, False, None),
        ("g32_big_cond", 32, False, 10),
        ("g32_lite_uncond", 32, True, None),
        ("g32_lite_cond", 32, True, 10),
        ("g64_big_uncond", 64, False, None),
        ("g128_lite_uncond", 128, True, None),
    ],
)
def test_images_are_those_of_the_reference(golden, name, sample_size, lite, num_classes):
    expected = golden[f"{name}.image"]
    labels = None if num_classes is None else golden["c_onehot"].argmax(dim=1)
    generator = golden_fastgan(sample_size, lite, num_classes)
    assert_matches(generator(golden["z"][: len(expected)], labels).sample, expected, **TIGHT)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_training_mode_is_that_of_the_reference(golden, memory_format):
    """One power iteration of every spectral norm, and statistics of the batch."""
    generator = golden_fastgan(32, lite=True).train().to(memory_format=memory_format)
    assert_matches(generator(golden["z"]).sample, golden["g32_lite_uncond.image_train"], **TIGHT)


# Parameters that the reference uses, of published sizes.
@pytest.mark.parametrize(
    ("sample_size", "lite", "parameters"),
    [
        (32, False, 91_124_489),
        (32, True, 66_344_707),
        (64, False, 101_939_979),
        (64, True, 75_979_523),
        (256, False, 105_684_175),
        (256, True, 79_354_307),
    ],
)
def test_published_sizes(sample_size, lite, parameters):
    with init_empty_weights():
        generator = FastGANGenerator(sample_size, lite=lite)
    assert sum(parameter.numel() for parameter in generator.parameters()) == parameters


@pytest.mark.parametrize("sample_size", [512, 1024])
def test_largest_sizes(sample_size):
    generator = FastGANGenerator(sample_size, latent_dim=4, base_channels=8, lite=True, num_class_embeds=2).eval()
    with torch.no_grad():
        image = generator(torch.randn(1, 4), torch.tensor([1])).sample
    assert image.shape == (1, *generator.sample_shape) and image.isfinite().all()


def test_noise_is_drawn_where_it_is_asked_for():
    generator, latent = small_generator(), torch.randn(2, 6)
    seeds = [[torch.Generator().manual_seed(seed) for seed in pair] for pair in ((1, 2), (2, 1), (1, 2))]
    with torch.no_grad():
        first, other, again = (generator(latent, generator=pair).sample for pair in seeds)
        alone = generator(latent[:1], generator=torch.Generator().manual_seed(1)).sample
        quiet = [generator(latent, noise_mode="none").sample for _ in range(2)]
    assert torch.equal(first, again) and not torch.equal(first, other)
    torch.testing.assert_close(first[:1], alone)
    assert torch.equal(*quiet) and not torch.equal(quiet[0], first)


def test_only_the_direction_of_the_latent_counts():
    generator, latent = small_generator(), torch.randn(2, 6)
    with torch.no_grad():
        first, second = (generator(scale * latent, noise_mode="none").sample for scale in (1, 3))
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-5)


def test_a_pipeline_samples_from_it(tmp_path):
    pipeline = DiffusionGANPipeline(small_generator(num_class_embeds=3), DiffusionGANScheduler())
    pipeline.set_progress_bar_config(disable=True)
    pipeline.save_pretrained(tmp_path)
    loaded = DiffusionGANPipeline.from_pretrained(tmp_path)
    loaded.set_progress_bar_config(disable=True)
    images = [
        each(2, [0, 2], generator=torch.Generator().manual_seed(0), output_type="pt").images
        for each in (pipeline, loaded)
    ]
    assert images[0].shape == (2, 3, 32, 32)
    torch.testing.assert_close(*images)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sample_size": 48}, r"`sample_size` must be one of \[32, 64"),
        ({"sample_size": 16}, r"`sample_size` must be one of"),
        ({"sample_size": 1024, "base_channels": 4}, "`base_channels` must leave .* Take at least 8"),
    ],
)
def test_sizes_that_cannot_be_built_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        FastGANGenerator(**(SMALL | changes))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"latent": torch.zeros(2, 5)}, "`latent` must have shape"),
        ({"truncation_psi": 0.5}, "`truncation_psi` must be 1"),
        ({"noise_mode": "const"}, "`noise_mode` must be one of"),
        ({"generator": [torch.Generator()]}, "`generator` must be one generator, or a list of 2"),
        ({"class_labels": torch.tensor([0, 1])}, "`class_labels` must be None"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(inputs, message):
    with pytest.raises(ValueError, match=message):
        small_generator()(**({"latent": torch.zeros(2, 6)} | inputs))
