# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from gan_diffusion.training import AdaptiveAugmentation
from gan_diffusion.training.transforms import (
    draw_color,
    draw_geometric,
    draw_transform,
    geometric_map,
    recolor,
    warp,
)


CPU = torch.device("cpu")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(*shape: int, dtype=torch.float32):
    return torch.rand(*shape, generator=seeded(), dtype=dtype) * 2 - 1


def augment(images, p, **options):
    return draw_transform(images, p, **options)(images)


def moved(images, **parameters):
    """The images after geometric transformations of which only the given ones are not the identity."""
    draws = replace(draw_geometric(0.0, len(images), images.shape[2:], CPU), **parameters)
    return warp(images, *geometric_map(draws))


def recolored(images, **parameters):
    return recolor(images, replace(draw_color(0.0, len(images), CPU), **parameters))


class TestGeometry:
    def test_whole_pixels_are_moved_exactly(self):
        images = pictures(4, 3, 9, 9)
        turns = torch.arange(4)
        rotated = torch.stack([image.rot90(k, (1, 2)) for k, image in enumerate(images)])
        assert torch.equal(moved(images, quarter_turns=turns), rotated)
        flip = torch.tensor([1.0, -1.0, -1.0, 1.0])
        expected = torch.where(flip[:, None, None, None] < 0, images.flip(3), images)
        assert torch.equal(moved(images, flip=flip), expected)
        # Sampling goes from new to old: a shift by (1, -2) takes each pixel from one to the right and two above.
        shift = torch.tensor([1.0, -2.0]).expand(4, 2)
        expected = F.pad(images, (0, 1, 2, 0), mode="reflect")[:, :, :9, 1:]
        assert torch.equal(moved(images, shift=shift), expected)
        assert torch.equal(moved(images, offset=shift), expected)

    def test_order(self):
        """An image is mirrored before it is turned, and turned before it is shifted."""
        images = pictures(1, 1, 6, 6)
        result = moved(
            images,
            flip=torch.tensor([-1.0]),
            quarter_turns=torch.tensor([1]),
            shift=torch.tensor([[1.0, 0.0]]),
        )
        turned = images.flip(3).rot90(1, (2, 3))
        assert torch.equal(result, F.pad(turned, (0, 1, 0, 0), mode="reflect")[:, :, :, 1:])

    @pytest.mark.parametrize("size", [(8, 8), (5, 7), (2, 6)])
    def test_equals_grid_sample(self, size):
        images = pictures(32, 2, *size, dtype=torch.float64)
        matrix, offset = geometric_map(draw_geometric(1.0, 32, size, CPU, seeded()))
        # grid_sample counts from -1 to 1 between the centres of the border pixels.
        unit = torch.tensor([size[1] - 1, size[0] - 1]) / 2
        theta = torch.cat([matrix * unit / unit[:, None], (offset / unit)[:, :, None]], dim=2).double()
        grid = F.affine_grid(theta, images.shape, align_corners=True)
        expected = F.grid_sample(images, grid, padding_mode="reflection", align_corners=True)
        torch.testing.assert_close(warp(images, matrix, offset), expected, rtol=0, atol=1e-4)

    def test_maps(self):
        """Isotropic scaling and rotations keep angles, stretching keeps areas."""
        count, size = 64, (16, 16)
        neutral, drawn = draw_geometric(0.0, count, size, CPU), draw_geometric(1.0, count, size, CPU, seeded())
        similar = replace(neutral, scale=drawn.scale, first_angle=drawn.first_angle, second_angle=drawn.second_angle)
        matrix, offset = geometric_map(similar)
        gram = matrix.mT @ matrix
        torch.testing.assert_close(gram, drawn.scale[:, None, None] ** 2 * torch.eye(2).expand(count, 2, 2))
        assert torch.equal(offset, torch.zeros(count, 2))
        matrix, _ = geometric_map(replace(drawn, scale=neutral.scale, flip=neutral.flip))
        torch.testing.assert_close(torch.linalg.det(matrix), torch.ones(count))

    def test_constant_images_stay(self):
        images = torch.full((16, 1, 8, 8), 0.3)
        torch.testing.assert_close(augment(images, 1.0, color=False, generator=seeded()), images)

    def test_no_quarter_turns_of_oblong_images(self):
        assert (draw_geometric(1.0, 64, (8, 8), CPU, seeded()).quarter_turns > 0).any()
        assert (draw_geometric(1.0, 64, (8, 9), CPU, seeded()).quarter_turns == 0).all()


class TestColor:
    def test_brightness_and_contrast(self):
        images, brightness, contrast = pictures(2, 3, 4, 4), torch.tensor([0.5, -0.1]), torch.tensor([2.0, 0.5])
        expected = contrast[:, None, None, None] * (images + brightness[:, None, None, None])
        torch.testing.assert_close(recolored(images, brightness=brightness, contrast=contrast), expected)
        grey = recolored(images[:, :1], brightness=brightness, contrast=contrast)
        torch.testing.assert_close(grey, expected[:, :1])

    def test_luma_flip(self):
        images = pictures(2, 3, 4, 4)
        result = recolored(images, luma_flip=torch.tensor([-1.0, 1.0]))
        torch.testing.assert_close(result[0].mean(0), -images[0].mean(0))
        torch.testing.assert_close(result[0] - result[0].mean(0), images[0] - images[0].mean(0))
        assert torch.equal(result[1], images[1])
        # Brightness comes before: it is inverted too.
        result = recolored(images, luma_flip=-torch.ones(2), brightness=torch.full((2,), 0.25))
        torch.testing.assert_close(result.mean(1), -images.mean(1) - 0.25)

    def test_hue(self):
        images = pictures(3, 3, 4, 4)
        third = 2 * math.pi / 3
        result = recolored(images, hue=torch.tensor([third, -third, 0.7]))
        torch.testing.assert_close(result[0], images[0].roll(1, dims=0))
        torch.testing.assert_close(result[1], images[1].roll(-1, dims=0))
        torch.testing.assert_close(result.mean(1), images.mean(1))
        torch.testing.assert_close(result.square().sum(1), images.square().sum(1))

    def test_saturation(self):
        images = pictures(2, 3, 4, 4)
        result = recolored(images, saturation=torch.tensor([0.0, 2.0]))
        grey = images.mean(1, keepdim=True)
        torch.testing.assert_close(result[0], grey[0].expand(3, 4, 4))
        torch.testing.assert_close(result[1], (2 * images - grey)[1])

    @pytest.mark.parametrize("channels", [1, 2, 4])
    def test_other_numbers_of_channels_keep_their_ratios(self, channels):
        """Without three channels there is no colour: all get one factor and one summand."""
        images = pictures(8, channels, 6, 6)
        result = augment(images, 1.0, geometric=False, generator=seeded())
        for before, after in zip(images, result, strict=True):
            slope = (after.max() - after.min()) / (before.max() - before.min())
            shift = after.flatten()[0] - slope * before.flatten()[0]
            torch.testing.assert_close(after, slope * before + shift, rtol=1e-4, atol=1e-5)
            assert abs(slope - 1) > 1e-3 and abs(shift) > 1e-3


class TestProbability:
    def test_zero_is_the_identity(self):
        images = pictures(4, 3, 8, 8)
        assert augment(images, 0.0) is images

    def share_of_untouched(self, images, p, **options):
        result = augment(images, p, generator=seeded(), **options)
        return (result == images).flatten(1).all(dim=1).float().mean().item()

    @pytest.mark.parametrize("p", [0.1, 0.3])
    def test_each_transformation_has_probability_p(self, p):
        """An image is untouched if every transformation spares it; flips and turns may also draw the identity."""
        images = pictures(20_000, 3, 8, 8)
        # Integer shifts reach one pixel here, each axis being spared by half of its draws.
        blit = (1 - p / 2) * (1 - 3 * p / 4) * (1 - 3 * p / 4)
        assert abs(self.share_of_untouched(images, p, color=False) - blit * (1 - p) ** 4) < 0.01
        assert abs(self.share_of_untouched(images, p, geometric=False) - (1 - p / 2) * (1 - p) ** 4) < 0.01
        assert abs(self.share_of_untouched(images[:, :1], p, geometric=False) - (1 - p) ** 2) < 0.01

    def test_laws(self):
        draws, color = draw_geometric(1.0, 50_000, (64, 32), CPU, seeded()), draw_color(1.0, 50_000, CPU, seeded(1))
        stds = [
            (draws.scale.log2(), 0.2),
            (draws.stretch.log2(), 0.2),
            (draws.offset[:, 0] / 32, 0.125),
            (draws.offset[:, 1] / 64, 0.125),
            (draws.first_angle, math.pi / math.sqrt(3)),
            (color.brightness, 0.2),
            (color.contrast.log2(), 0.5),
            (color.saturation.log2(), 1.0),
            (color.hue, math.pi / math.sqrt(3)),
        ]
        for values, std in stds:
            assert abs(values.mean()) < 0.02 * std and abs(values.std() / std - 1) < 0.02
        assert draws.shift.abs().amax(0).tolist() == [4.0, 8.0] and torch.equal(draws.shift, draws.shift.round())
        assert {-1.0, 1.0} == set(draws.flip.tolist()) == set(color.luma_flip.tolist())

    def test_generator(self):
        images = pictures(4, 3, 8, 8)
        first, second, other = (augment(images, 0.5, generator=seeded(s)) for s in (1, 1, 2))
        assert torch.equal(first, second) and not torch.equal(first, other)
        torch.manual_seed(0)
        assert not torch.equal(augment(images, 0.5), augment(images, 0.5))


class TestGradients:
    def test_first_and_second_order(self):
        images = pictures(3, 3, 4, 4, dtype=torch.float64).requires_grad_()
        assert torch.autograd.gradcheck(lambda x: augment(x, 0.9, generator=seeded()), images)
        assert torch.autograd.gradgradcheck(lambda x: augment(x, 0.9, generator=seeded()).pow(3), images)

    def test_gradient_penalty_reaches_the_discriminator(self):
        images, network = pictures(4, 3, 8, 8).requires_grad_(), torch.nn.Conv2d(3, 1, 3)
        logits = network(augment(images, 0.9, generator=seeded())).tanh().sum()
        (gradient,) = torch.autograd.grad(logits, images, create_graph=True)
        gradient.square().sum().backward()
        assert network.weight.grad.abs().max() > 0 and network.weight.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_keeps_the_dtype(dtype):
    images = pictures(4, 3, 8, 8)
    result = augment(images.to(dtype), 0.9, generator=seeded())
    assert result.dtype == dtype and result.shape == images.shape
    torch.testing.assert_close(
        result.double(), augment(images, 0.9, generator=seeded()).double(), rtol=0.05, atol=0.05
    )


def test_positions_are_exact_under_autocast():
    images = pictures(8, 3, 64, 64)
    with torch.autocast("cpu", torch.bfloat16):
        result = augment(images, 1.0, generator=seeded())
    assert torch.equal(result, augment(images, 1.0, generator=seeded()))


class TestAdaptation:
    def test_rule(self):
        augmentation = AdaptiveAugmentation(adaptation_kimg=1.0, max_p=0.5)
        assert augmentation.p == 0
        steps = [
            (0.7, 200, 0.2),
            (0.6, 200, 0.2),
            (0.5, 150, 0.05),
            (-1.0, 100, 0.0),
            (1.0, 10_000, 0.5),
            (1.0, 0, 0.5),
        ]
        for sign_mean, num_images, expected in steps:
            augmentation.update(sign_mean, num_images)
            assert math.isclose(augmentation.p, expected, abs_tol=1e-12)

    def test_augments_with_the_present_probability(self):
        augmentation, images = AdaptiveAugmentation(adaptation_kimg=1.0, color=False), pictures(4, 3, 8, 8)
        assert augmentation(images) is images
        augmentation.update(1.0, 400)
        expected = augment(images, 0.4, color=False, generator=seeded())
        assert torch.equal(augmentation(images, generator=seeded()), expected)

    def test_state(self):
        augmentation, other = AdaptiveAugmentation(initial_p=0.3), AdaptiveAugmentation(max_p=0.2)
        with pytest.raises(ValueError, match=r"p in \[0, 0.2\], got 0.3"):
            other.load_state_dict(augmentation.state_dict())
        assert other.p == 0
        other = AdaptiveAugmentation()
        other.load_state_dict(augmentation.state_dict())
        assert other.p == 0.3

    @pytest.mark.parametrize("sign_mean", [math.nan, 1.5, -math.inf])
    def test_no_number_is_refused(self, sign_mean):
        augmentation = AdaptiveAugmentation(initial_p=0.3)
        with pytest.raises(ValueError, match=r"`discriminator_sign_mean` must be a number in \[-1, 1\]"):
            augmentation.update(sign_mean, 64)
        with pytest.raises(ValueError, match="`num_images` must not be negative, got -1"):
            augmentation.update(0.5, -1)
        assert augmentation.p == 0.3

    @pytest.mark.parametrize(
        "options, message",
        [
            ({"initial_p": 0.9}, "initial_p"),
            ({"max_p": 1.1}, "max_p"),
            ({"initial_p": math.nan}, "initial_p"),
            ({"target": 1.0}, "`target` must lie in"),
            ({"adaptation_kimg": 0.0}, "adaptation_kimg"),
        ],
    )
    def test_bad_configuration_is_refused(self, options, message):
        with pytest.raises(ValueError, match=message):
            AdaptiveAugmentation(**options)


def test_bad_input_is_refused():
    for p in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="`p` must lie in"):
            augment(pictures(1, 3, 4, 4), p)
    for shape in ((4, 2), (1, 3, 1, 4)):
        with pytest.raises(ValueError, match="`images` must have shape"):
            augment(torch.zeros(shape), 0.5)
