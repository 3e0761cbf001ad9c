# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from PIL import Image

from gan_diffusion.data.images import to_array


def gradient_image(mode: str, size: tuple[int, int] = (12, 8)) -> Image.Image:
    """An image whose grey value grows from left to right."""
    ramp = np.tile(np.linspace(0, 255, size[0]).astype(np.uint8), (size[1], 1))
    if mode == "I;16":
        return Image.fromarray(ramp.astype(np.uint16) * 257)
    return Image.fromarray(ramp).convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA", "P", "1", "CMYK", "I;16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_becomes_the_same_picture(mode, channels):
    array = to_array(gradient_image(mode), channels, (8, 8))
    assert array.shape == (channels, 8, 8) and array.dtype == np.uint8
    reference = to_array(gradient_image("L"), channels, (8, 8)).astype(int)
    if mode == "1":
        assert array.min() < 64 and array.max() > 192
    else:
        assert np.abs(array - reference).max() <= 2


def test_transparency_is_laid_on_white():
    assert to_array(Image.new("RGBA", (4, 4), (0, 0, 0, 0)), 3, (4, 4)).min() == 255


def test_resize_keeps_the_proportions_and_crops_the_centre():
    wide = Image.new("L", (64, 16))
    wide.paste(255, (24, 0, 40, 16))
    assert to_array(wide, 1, (16, 16)).min() == 255
    assert to_array(Image.new("L", (3, 5), 7), 1, (16, 16)).shape == (1, 16, 16)


def test_pad_sets_the_image_in_black():
    padded = to_array(Image.new("L", (28, 28), 9), 1, (32, 32), "pad")[0]
    assert (padded[2:30, 2:30] == 9).all() and padded.sum() == 28 * 28 * 9
    with pytest.raises(ValueError, match="pad"):
        to_array(Image.new("L", (33, 33)), 1, (32, 32), "pad")


def test_other_channel_counts_are_refused():
    with pytest.raises(ValueError, match="4"):
        to_array(Image.new("RGB", (4, 4)), 4, (4, 4))


def test_sizes_need_not_be_square():
    tall = Image.new("L", (10, 40))
    tall.paste(255, (0, 2, 10, 38))
    assert to_array(tall, 1, (8, 4)).shape == (1, 8, 4)
    assert to_array(tall, 1, (8, 4)).min() == 255  # the centre, 20 x 10, scaled down
    padded = to_array(Image.new("L", (3, 5), 7), 1, (9, 5), "pad")[0]
    assert padded.shape == (9, 5) and (padded[2:7, 1:4] == 7).all() and padded.sum() == 7 * 15
    with pytest.raises(ValueError, match="5 x 9 pixels, got 6 x 5"):
        to_array(Image.new("L", (6, 5)), 1, (9, 5), "pad")
