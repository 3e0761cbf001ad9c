# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
The transformations of adaptive discriminator augmentation (Karras et al. 2020, arXiv 2006.06676, appendix B).

Every transformation reaches each image with a probability p. Unlike in the reference, warped images are sampled
bilinearly, without an oversampling filter.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


_SHIFT_LIMIT = 0.125  # of the image, in whole pixels
_SCALE_STD = 0.2  # in octaves, of isotropic and anisotropic scaling
_OFFSET_STD = 0.125  # of the image
_BRIGHTNESS_STD = 0.2
_CONTRAST_STD = 0.5  # in octaves
_SATURATION_STD = 1.0  # in octaves


@dataclass
class GeometricDraws:
    """
    Parameters of the geometric transformations, in the order in which they are applied.

    An image is transformed by the inverse of each, because pixels are read from the old image for places of the new.
    That changes no probability: every law is symmetric.

    Args:
        flip (`torch.Tensor` of shape (B,)): -1 for a mirrored image, else 1.
        quarter_turns (`torch.Tensor` of shape (B,)): Rotations by 90 degrees, int64 in 0..3.
        shift (`torch.Tensor` of shape (B, 2)): Whole pixels along x and y.
        scale (`torch.Tensor` of shape (B,)): Factor of both axes.
        first_angle (`torch.Tensor` of shape (B,)): Rotation before stretching, in radians.
        stretch (`torch.Tensor` of shape (B,)): Factor of x; y has its inverse.
        second_angle (`torch.Tensor` of shape (B,)): Rotation after stretching, in radians.
        offset (`torch.Tensor` of shape (B, 2)): Pixels along x and y, fractions included.
    """

    flip: Tensor
    quarter_turns: Tensor
    shift: Tensor
    scale: Tensor
    first_angle: Tensor
    stretch: Tensor
    second_angle: Tensor
    offset: Tensor


@dataclass
class ColorDraws:
    """
    Parameters of the colour transformations, in the order in which they are applied.

    Luma is the mean of red, green and blue.

    Args:
        brightness (`torch.Tensor` of shape (B,)): What is added to all channels.
        contrast (`torch.Tensor` of shape (B,)): Factor of all channels.
        luma_flip (`torch.Tensor` of shape (B,)): -1 for an inverted luma, else 1.
        hue (`torch.Tensor` of shape (B,)): Rotation of the colours about the grey axis, in radians.
        saturation (`torch.Tensor` of shape (B,)): Factor of the distance from grey.
    """

    brightness: Tensor
    contrast: Tensor
    luma_flip: Tensor
    hue: Tensor
    saturation: Tensor


class RandomSource:
    """
    Random numbers for a batch.

    Args:
        batch_size (`int`): Number of samples.
        device (`torch.device`): Where to put the numbers.
        generator (`torch.Generator`, *optional*): Where they come from, on the CPU or the device.
    """

    def __init__(self, batch_size: int, device: torch.device, generator: torch.Generator | None):
        self.batch_size, self.device, self.generator = batch_size, device, generator

    def _draw(self, function, *shape: int) -> Tensor:
        source = self.device if self.generator is None else self.generator.device
        return function(self.batch_size, *shape, generator=self.generator, device=source).to(self.device)

    def uniform(self, limit: float, *shape: int) -> Tensor:
        """Uniform in [-limit, limit)."""
        return (2 * self._draw(torch.rand, *shape) - 1) * limit

    def normal(self, std: float, *shape: int) -> Tensor:
        """Normal with mean 0."""
        return self._draw(torch.randn, *shape) * std

    def integer(self, count: int) -> Tensor:
        """0..count - 1."""
        return (self._draw(torch.rand) * count).long()

    def chosen(self, p: float, values: Tensor, neutral: float) -> Tensor:
        """The values where a transformation is chosen, with probability p, and what changes nothing elsewhere."""
        is_chosen = (self._draw(torch.rand) < p).reshape(-1, *[1] * (values.ndim - 1))
        return values.where(is_chosen, torch.full_like(values, neutral))


def draw_geometric(
    p: float, batch_size: int, size: tuple[int, int], device: torch.device, generator: torch.Generator | None = None
) -> GeometricDraws:
    """Draws geometric transformations, each with probability p, for images of the given height and width."""
    source = RandomSource(batch_size, device, generator)
    extent = torch.tensor([size[1], size[0]], dtype=torch.float32, device=device)
    rotation_p = 1 - math.sqrt(1 - p)  # of each of two, so that at least one is chosen with probability p
    turns = source.integer(4)
    return GeometricDraws(
        flip=source.chosen(p, 1.0 - 2.0 * source.integer(2), 1.0),
        quarter_turns=source.chosen(p, turns if size[0] == size[1] else torch.zeros_like(turns), 0),
        shift=source.chosen(p, (source.uniform(_SHIFT_LIMIT, 2) * extent).round(), 0.0),
        scale=source.chosen(p, source.normal(_SCALE_STD).exp2(), 1.0),
        first_angle=source.chosen(rotation_p, source.uniform(math.pi), 0.0),
        stretch=source.chosen(p, source.normal(_SCALE_STD).exp2(), 1.0),
        second_angle=source.chosen(rotation_p, source.uniform(math.pi), 0.0),
        offset=source.chosen(p, source.normal(_OFFSET_STD, 2) * extent, 0.0),
    )


def draw_color(
    p: float, batch_size: int, device: torch.device, generator: torch.Generator | None = None
) -> ColorDraws:
    """Draws colour transformations, each with probability p."""
    source = RandomSource(batch_size, device, generator)
    return ColorDraws(
        brightness=source.chosen(p, source.normal(_BRIGHTNESS_STD), 0.0),
        contrast=source.chosen(p, source.normal(_CONTRAST_STD).exp2(), 1.0),
        luma_flip=source.chosen(p, 1.0 - 2.0 * source.integer(2), 1.0),
        hue=source.chosen(p, source.uniform(math.pi), 0.0),
        saturation=source.chosen(p, source.normal(_SATURATION_STD).exp2(), 1.0),
    )


def _matrix(*rows: tuple[Tensor, Tensor]) -> Tensor:
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


def _product(left: Tensor, right: Tensor) -> Tensor:
    """Matrix product in float32: `@` would obey autocast and TF32, which misplace pixels."""
    return (left[:, :, :, None] * right[:, None, :, :]).sum(dim=2)


def geometric_map(draws: GeometricDraws) -> tuple[Tensor, Tensor]:
    """
    The affine map from pixels of the new image to pixels of the old, both counted (x, y) from the centre.

    Args:
        draws ([`GeometricDraws`]): The transformations.

    Returns:
        `tuple[torch.Tensor, torch.Tensor]`: matrices (B, 2, 2) and offsets (B, 2); exactly the identity where nothing
        was drawn.
    """
    zeros, ones = torch.zeros_like(draws.scale), torch.ones_like(draws.scale)

    def rotation(cos: Tensor, sin: Tensor) -> Tensor:
        return _matrix((cos, -sin), (sin, cos))

    turn_cos = ones.new_tensor([1, 0, -1, 0])[draws.quarter_turns]
    turn_sin = ones.new_tensor([0, 1, 0, -1])[draws.quarter_turns]
    outer = _product(_matrix((draws.flip, zeros), (zeros, ones)), rotation(turn_cos, turn_sin))
    inner = draws.scale[:, None, None] * rotation(draws.first_angle.cos(), draws.first_angle.sin())
    inner = _product(inner, _matrix((draws.stretch, zeros), (zeros, 1 / draws.stretch)))
    inner = _product(inner, rotation(draws.second_angle.cos(), draws.second_angle.sin()))
    offset = draws.shift[:, :, None] + _product(inner, draws.offset[:, :, None])
    return _product(outer, inner), _product(outer, offset)[:, :, 0]


def _reflected(position: Tensor, size: int) -> Tensor:
    """Folds positions into [0, size - 1], mirroring at the centres of the border pixels."""
    last = size - 1
    return last - (position.remainder(2 * last) - last).abs()


def warp(images: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    """
    Samples images bilinearly where an affine map points, mirrored outside.

    `torch.nn.functional.grid_sample` does the same, but not every version of PyTorch differentiates it twice.

    Args:
        images (`torch.Tensor` of shape (B, C, H, W)): Images with sides of at least 2.
        matrix (`torch.Tensor` of shape (B, 2, 2)): See [`geometric_map`].
        offset (`torch.Tensor` of shape (B, 2)): See [`geometric_map`].

    Returns:
        `torch.Tensor`: images of the same shape and dtype, differentiable in the old ones twice.
    """
    channels, height, width = images.shape[1:]
    y = torch.arange(height, device=images.device)[:, None] - (height - 1) / 2
    x = torch.arange(width, device=images.device)[None, :] - (width - 1) / 2
    matrix, offset = matrix[..., None, None], offset[..., None, None]
    columns, rows = (
        matrix[:, i, 0] * x + matrix[:, i, 1] * y + offset[:, i] for i in range(2)
    )  # [batch, height, width]

    corners = []
    for position, size in ((rows, height), (columns, width)):
        position = _reflected(position + (size - 1) / 2, size)
        lower = position.floor()
        weight = (position - lower).to(images.dtype)
        lower = lower.long()
        corners.append(((lower, 1 - weight), ((lower + 1).clamp(max=size - 1), weight)))
    pixels = images.flatten(2)
    parts = []
    for row, row_weight in corners[0]:
        for column, column_weight in corners[1]:
            index = (row * width + column).flatten(1)[:, None].expand(-1, channels, -1)
            parts.append((row_weight * column_weight).flatten(1)[:, None] * pixels.gather(2, index))
    warped = parts[0] + parts[1] + parts[2] + parts[3]
    return warped.unflatten(2, (height, width))


def recolor(images: Tensor, draws: ColorDraws) -> Tensor:
    """Changes the colours of images (B, C, H, W); unless C = 3, only brightness and contrast."""
    draws_of = {name: value.to(images.dtype)[:, None, None, None] for name, value in vars(draws).items()}
    brightness, contrast = draws_of["brightness"], draws_of["contrast"]
    if images.shape[1] != 3:
        return contrast * (images + brightness)

    luma_flip, hue, saturation = draws_of["luma_flip"], draws_of["hue"], draws_of["saturation"]
    grey = images.mean(dim=1, keepdim=True)
    color = images - grey
    # Rotation about the grey axis: the cross product with it is a difference of the two other channels.
    crossed = (images.roll(1, dims=1) - images.roll(-1, dims=1)) * math.sqrt(1 / 3)
    change = (luma_flip - 1) * grey + (saturation * hue.cos() - 1) * color + saturation * hue.sin() * crossed
    return contrast * (images + change + luma_flip * brightness)


def draw_transform(
    images: Tensor,
    p: float,
    geometric: bool = True,
    color: bool = True,
    generator: torch.Generator | None = None,
) -> Callable[[Tensor], Tensor]:
    """
    Draws one transformation per image, each of its parts with probability p.

    Geometric: mirroring, rotation by 90 degrees (of square images), integer translation, isotropic scaling, rotation,
    anisotropic scaling, fractional translation. Colour: brightness, contrast; for 3 channels also inversion of the
    luma, hue, saturation.

    Args:
        images (`torch.Tensor` of shape (B, C, H, W)): Images in [-1, 1], with sides of at least 2. Only their shape
            and device count.
        p (`float`): Probability in [0, 1]. With 0 images are left as they are.
        geometric (`bool`, defaults to `True`): Whether to move pixels.
        color (`bool`, defaults to `True`): Whether to change colours, which may leave [-1, 1].
        generator (`torch.Generator`, *optional*): Source of the random numbers, on the CPU or the images' device.

    Returns:
        `Callable`: what transforms images of this shape. All that it is called with is transformed alike, keeps its
        dtype, and can be differentiated twice.

    Raises:
        ValueError: If p is out of range or the shape is not as described.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"`p` must lie in [0, 1], got {p}.")
    check_images(images, 2)
    if p == 0:
        return lambda images: images
    batch_size, device = images.shape[0], images.device
    size = (images.shape[2], images.shape[3])
    move = geometric_map(draw_geometric(p, batch_size, size, device, generator)) if geometric else None
    paint = draw_color(p, batch_size, device, generator) if color else None

    def transform(images: Tensor) -> Tensor:
        images = images if move is None else warp(images, *move)
        return images if paint is None else recolor(images, paint)

    return transform


def check_images(images: Tensor, smallest: int) -> None:
    """
    Refuses what are no images.

    Args:
        images (`torch.Tensor`): What should be of shape (B, C, H, W).
        smallest (`int`): Smallest height and width.

    Raises:
        ValueError: If the shape is another one, as that of vectors, or a side is too small.
    """
    if images.ndim != 4 or min(images.shape[2:]) < smallest:
        raise ValueError(
            f"`images` must have shape (batch, channels, height, width) with sides of at least {smallest}, got "
            f"{tuple(images.shape)}."
        )
