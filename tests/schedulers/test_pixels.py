# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""Every call that noises clean samples takes uint8 pixels and a mirror flag per sample."""

import pytest
import torch

from gan_diffusion import DDGANScheduler, DiffusionGANScheduler, SPIGANScheduler
from gan_diffusion.kernels.noising import pixels_to_images


PIXELS = torch.randint(256, (3, 2, 4, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
FLIP = torch.tensor([True, False, True])
NOISE = torch.randn(2, *PIXELS.shape, generator=torch.Generator().manual_seed(1))
TIMESTEPS = torch.tensor([0, 3, 1])
POSITIONS = torch.tensor([0.0, 0.3, 1.0])
DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]

ddgan, diffusion_gan, spi_gan = DDGANScheduler(4), DiffusionGANScheduler(), SPIGANScheduler()
CALLS = {
    "DDGAN add_noise": lambda x, n, **kw: ddgan.add_noise(x, n[0], TIMESTEPS, **kw),
    "DDGAN add_noise_pair": lambda x, n, **kw: torch.stack(ddgan.add_noise_pair(x, TIMESTEPS, tuple(n), **kw)),
    "Diffusion-GAN add_noise": lambda x, n, **kw: diffusion_gan.add_noise(x, n[0], TIMESTEPS, **kw),
    "SPI-GAN add_noise": lambda x, n, **kw: spi_gan.add_noise(x, n[0], POSITIONS, **kw),
    "SPI-GAN interpolate": lambda x, n, **kw: torch.stack(
        spi_gan.interpolate(x, POSITIONS, n[0], return_terminal=True, **kw)
    ),
    "SPI-GAN diffuse": lambda x, n, **kw: spi_gan.diffuse(x, n[0], **kw),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


def float_images(dtype=torch.float32):
    images = (PIXELS.to(dtype) - 127.5) * (1 / 127.5)
    return torch.stack([image.flip(-1) if mirrored else image for image, mirrored in zip(images, FLIP, strict=True)])


@every_call
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_pixels_are_noised_as_the_float_images(call, dtype):
    compute = torch.float64 if dtype == torch.float64 else torch.float32
    noisy = call(PIXELS, NOISE, flip=FLIP, dtype=dtype)
    assert noisy.dtype == dtype
    assert torch.equal(noisy, call(float_images(compute), NOISE).to(dtype))
    assert not torch.equal(noisy, call(PIXELS, NOISE, dtype=dtype))


@every_call
def test_float32_is_the_default_and_float_samples_are_not_mirrored(call):
    assert torch.equal(call(PIXELS, NOISE, flip=FLIP), call(PIXELS, NOISE, flip=FLIP, dtype=torch.float32))
    with pytest.raises(ValueError, match="`flip` must be None for float samples"):
        call(float_images(), NOISE, flip=FLIP)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
def test_pixels_to_images_gives_the_numbers_of_the_kernels(dtype, memory_format):
    pixels = PIXELS.contiguous(memory_format=memory_format)
    images = pixels_to_images(pixels, FLIP, dtype)
    assert images.is_contiguous(memory_format=memory_format)
    # At timestep 0, Diffusion-GAN's chain leaves samples as they are.
    assert torch.equal(images, diffusion_gan.add_noise(pixels, None, 0, flip=FLIP, dtype=dtype))
    assert images.min() >= -1 and images.max() <= 1
    assert torch.equal(pixels_to_images(pixels), pixels_to_images(pixels, torch.zeros(3, dtype=torch.bool)))


def test_pixels_to_images_refuses():
    with pytest.raises(TypeError, match="`pixels` must be uint8, got torch.float32"):
        pixels_to_images(float_images())
    with pytest.raises(ValueError, match=r"`flip` must have the shape \(3,\)"):
        pixels_to_images(PIXELS, FLIP[:2])
