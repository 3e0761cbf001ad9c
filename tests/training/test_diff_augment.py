# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch

from gan_diffusion.training import DiffAugmentation


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(*shape: int, dtype=torch.float32) -> torch.Tensor:
    return torch.rand(*shape, generator=seeded(), dtype=dtype) * 2 - 1


def still(**options) -> DiffAugmentation:
    """Colours alone, unless something else is asked for."""
    return DiffAugmentation(**{"translation": 0.0, "cutout": 0.0, **options})


def uncolored(images: torch.Tensor, **options) -> torch.Tensor:
    """
    The images after translation and cutout, whose pixels are far apart enough to see where each is from.

    Colours are undone by what is known of them: without cutout and translation the same draws change them alone.
    """
    colored = still()(images, seeded(3))
    return colored, DiffAugmentation(**options)(images, seeded(3))


class TestColor:
    def test_brightness_alone_moves_the_mean(self):
        images = pictures(4096, 3, 4, 4, dtype=torch.float64)
        shift = still()(images, seeded()).mean((1, 2, 3)) - images.mean((1, 2, 3))
        assert shift.abs().max() <= 0.5 and shift.mean().abs() < 0.02
        assert shift.std() == pytest.approx(1 / math.sqrt(12), rel=0.03)

    def test_contrast_and_saturation_scale_grey_and_colour(self):
        images = pictures(4096, 3, 4, 4, dtype=torch.float64)
        result = still()(images, seeded())

        def parts(images):
            grey = images.mean(1, keepdim=True)
            return grey - grey.mean((2, 3), keepdim=True), images - grey

        contrast, both = (
            (after / before).flatten(1).median(1).values
            for before, after in zip(parts(images), parts(result), strict=True)
        )
        saturation = both / contrast
        assert contrast.min() >= 0.5 - 1e-9 and contrast.max() <= 1.5 + 1e-9
        assert saturation.min() >= -1e-9 and saturation.max() <= 2 + 1e-9
        assert contrast.std() == pytest.approx(1 / math.sqrt(12), rel=0.03)
        assert saturation.std() == pytest.approx(2 / math.sqrt(12), rel=0.03)
        grey, color = parts(images)
        new_grey, new_color = parts(result)
        torch.testing.assert_close(new_grey, contrast[:, None, None, None] * grey)
        torch.testing.assert_close(new_color, both[:, None, None, None] * color)

    @pytest.mark.parametrize("channels", [1, 2, 4])
    def test_any_number_of_channels(self, channels):
        images = pictures(8, channels, 6, 6)
        result = DiffAugmentation()(images, seeded())
        assert result.shape == images.shape and not torch.equal(result, images)


class TestPlaces:
    def test_translation_moves_whole_pixels_and_fills_with_zero(self):
        images = pictures(256, 2, 16, 8)
        colored, moved = uncolored(images, translation=0.125, cutout=0.0)
        found = set()
        for before, after in zip(colored, moved, strict=True):
            padded = torch.nn.functional.pad(before, (1, 1, 2, 2))
            (shift,) = {
                (y, x) for y in range(5) for x in range(3) if torch.equal(after, padded[:, y : y + 16, x : x + 8])
            }
            found.add(shift)
        # At most 1/8: 2 of 16 rows and 1 of 8 columns, in all combinations.
        assert len(found) == 15

    @pytest.mark.parametrize(("size", "cutout", "side"), [(8, 0.5, 4), (10, 0.2, 2), (7, 0.4, 3), (4, 1.0, 4)])
    def test_cutout_is_a_square_about_any_place(self, size, cutout, side):
        colored, cut = uncolored(pictures(2000, 1, size, size), translation=0.0, cutout=cutout)
        gone = (cut == 0) & (colored != 0)
        assert torch.equal(cut, colored * ~gone)
        rows, columns = gone[:, 0].any(2), gone[:, 0].any(1)
        assert torch.equal(gone[:, 0], rows[:, :, None] & columns[:, None, :])
        for line in (rows, columns):
            count = line.sum(1)
            assert count.max() == side and (line.diff(dim=1).sum(1) <= 2).all()
            # Only at the border is less than the whole side inside.
            short = count < side
            assert ((line[:, 0] | line[:, -1]) | ~short).all()
            hits = line.float().mean(0)
            assert torch.allclose(hits, hits.flip(0), atol=0.06) and (hits > 0).all()

    def test_oblong_images_lose_their_share_of_each_side(self):
        colored, cut = uncolored(pictures(500, 1, 8, 4), translation=0.0, cutout=0.5)
        gone = ((cut == 0) & (colored != 0))[:, 0]
        assert gone.any(2).sum(1).max() == 4 and gone.any(1).sum(1).max() == 2


def test_one_draw_transforms_all_alike():
    images = pictures(4, 3, 8, 8)
    transform = DiffAugmentation().draw(images, seeded())
    assert torch.equal(transform(images), transform(images.clone()))
    assert not torch.equal(transform(images), DiffAugmentation()(images, seeded(1)))
    torch.manual_seed(0)
    assert not torch.equal(DiffAugmentation()(images), DiffAugmentation()(images))


def test_gradients_of_first_and_second_order_reach_the_images():
    images = pictures(3, 2, 4, 4, dtype=torch.float64).requires_grad_()
    transform = DiffAugmentation().draw(images, seeded())
    assert torch.autograd.gradcheck(transform, images)
    assert torch.autograd.gradgradcheck(lambda x: transform(x).pow(3), images)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_keeps_the_dtype(dtype):
    images = pictures(4, 3, 8, 8)
    transform = DiffAugmentation().draw(images, seeded())
    result = transform(images.to(dtype))
    assert result.dtype == dtype
    torch.testing.assert_close(result.double(), transform(images).double(), rtol=0.05, atol=0.05)


def test_it_has_no_state():
    augmentation = DiffAugmentation()
    assert augmentation.adapt(3) == {} and augmentation.state_dict() == {}
    augmentation.load_state_dict({})


def test_bad_input_is_refused():
    for options in ({"translation": -0.1}, {"cutout": 1.1}, {"cutout": math.nan}):
        with pytest.raises(ValueError, match=f"`{next(iter(options))}` must lie in"):
            DiffAugmentation(**options)
    with pytest.raises(ValueError, match="`images` must have shape"):
        DiffAugmentation()(torch.zeros(4, 2))
