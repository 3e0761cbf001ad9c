# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Differentiable augmentation, DiffAugment (Zhao et al. 2020, arXiv 2006.10738)."""

from collections.abc import Callable

import torch
from torch import Tensor

from .augmentation import Augmentation
from .transforms import RandomSource, check_images


_BRIGHTNESS = 0.5  # Largest summand, of images in [-1, 1].
_SATURATION = (0.0, 2.0)  # Range of the factor of the distance from grey.
_CONTRAST = (0.5, 1.5)  # Range of the factor of the distance from the mean of the image.


class DiffAugmentation(Augmentation):
    """
    Colour, translation and cutout, of every image, always (arXiv 2006.10738).

    Brightness, saturation about the mean of the channels, and contrast about the mean of the image are changed first.
    Then the image is moved by whole pixels, and a square of it, which may lie partly outside, is cut out. What is
    uncovered is 0, which is mid-grey. Images may have any number of channels; the values are not clamped.

    Args:
        translation (`float`, defaults to 0.125): Largest shift, as a share of height and width.
        cutout (`float`, defaults to 0.5):
            Sides of what is cut out, as a share of height and width; 0 cuts out nothing. The reference implementation
            of projected Diffusion-GANs has 0.2.

    Raises:
        ValueError: If an argument is outside [0, 1].
    """

    def __init__(self, translation: float = 0.125, cutout: float = 0.5):
        for name, value in (("translation", translation), ("cutout", cutout)):
            if not 0 <= value <= 1:
                raise ValueError(f"`{name}` must lie in [0, 1], got {value}.")
        self.translation = translation
        self.cutout = cutout

    def draw(self, images: Tensor, generator: torch.Generator | None = None) -> Callable[[Tensor], Tensor]:
        """
        Draws a transformation for each image.

        Args:
            images (`torch.Tensor` of shape (B, C, H, W)): Images in [-1, 1]; only their shape and device count.
            generator (`torch.Generator`, *optional*): Source of the random numbers, on the CPU or the images' device.

        Returns:
            `Callable`: what transforms images of this shape. All that it is called with is transformed alike, keeps
            its dtype, and can be differentiated twice.

        Raises:
            ValueError: If the shape is not as described.
        """
        check_images(images, 1)
        source = RandomSource(images.shape[0], images.device, generator)
        brightness = source.uniform(_BRIGHTNESS)
        saturation, contrast = (
            sum(bounds) / 2 + source.uniform((bounds[1] - bounds[0]) / 2) for bounds in (_SATURATION, _CONTRAST)
        )
        rows, columns = (self._draw_axis(size, source) for size in images.shape[2:])

        def transform(images: Tensor) -> Tensor:
            images = images + _per_image(brightness, images)
            mean = images.mean(dim=1, keepdim=True)
            images = mean + (images - mean) * _per_image(saturation, images)
            mean = images.mean(dim=(1, 2, 3), keepdim=True)
            images = mean + (images - mean) * _per_image(contrast, images)
            return _move_and_cut(images, rows, columns)

        return transform

    def _draw_axis(self, size: int, source: RandomSource) -> tuple[Tensor, Tensor, Tensor]:
        """For each image and place (B, size): where its pixel is from, if that exists, and if it is cut out."""
        place = torch.arange(size, device=source.device)
        limit = int(size * self.translation + 0.5)
        origin = place - (source.integer(2 * limit + 1) - limit)[:, None]
        inside = (origin >= 0) & (origin < size)
        side = int(size * self.cutout + 0.5)
        # The middle of the square is anywhere in the image; with an even side it lies between pixels.
        start = source.integer(size + 1 - side % 2)[:, None] - side // 2
        return origin.clamp(0, size - 1), inside, (place >= start) & (place < start + side)


def _per_image(values: Tensor, images: Tensor) -> Tensor:
    """(B,) -> (B, 1, 1, 1), in the dtype of the images."""
    return values.to(images.dtype)[:, None, None, None]


def _move_and_cut(images: Tensor, rows: tuple[Tensor, ...], columns: tuple[Tensor, ...]) -> Tensor:
    """Images (B, C, H, W) whose pixels come from other rows and columns, or are 0."""
    (row, row_inside, row_cut), (column, column_inside, column_cut) = rows, columns
    channels, height, width = images.shape[1:]
    images = images.gather(2, row[:, None, :, None].expand(-1, channels, -1, width))
    images = images.gather(3, column[:, None, None, :].expand(-1, channels, height, -1))
    kept = row_inside[:, :, None] & column_inside[:, None, :] & ~(row_cut[:, :, None] & column_cut[:, None, :])
    return images * kept[:, None]
