# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""From an image file to an array."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError


IMAGE_EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")


def decode_image(
    source: str | Path | bytes, name: str, channels: int, size: tuple[int, int], resize_mode: str
) -> np.ndarray:
    """
    Reads an image.

    Args:
        source (`str`, `Path` or `bytes`): A file or its content.
        name (`str`): What an error calls it.
        channels (`int`): See [`to_array`].
        size (`tuple[int, int]`): See [`to_array`].
        resize_mode (`str`): See [`to_array`].

    Returns:
        `np.ndarray` of shape (channels, height, width), uint8.

    Raises:
        ValueError: If it cannot be read; the image is named.
    """
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            return to_array(image, channels, size, resize_mode)
    except (OSError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise ValueError(f"`{name}` must be a readable image, got: {error}. Mend or remove it.") from error


def to_array(image: Image.Image, channels: int, size: tuple[int, int], resize_mode: str = "resize") -> np.ndarray:
    """
    Brings an image of any mode and size to the shape that a model takes.

    Args:
        image (`PIL.Image.Image`): Transparent parts become white; 16-bit grey is brought to 8 bits.
        channels (`int`): 1 (grey) or 3 (RGB).
        size (`tuple[int, int]`): Height and width of the result in pixels.
        resize_mode (`str`, defaults to `"resize"`):
            `"resize"` scales the image (Lanczos) until it just covers the size, and crops the centre; `"pad"` puts a
            smaller image in the middle of black.

    Returns:
        `np.ndarray` of shape (channels, height, width), uint8.

    Raises:
        ValueError: If the channels are neither 1 nor 3, or an image to pad is larger than the size.
    """
    if channels not in (1, 3):
        raise ValueError(f"`channels` must be 1 or 3 to read images, got {channels}. Choose a model for grey or RGB.")
    image = _flatten(image).convert("L" if channels == 1 else "RGB")
    height, width = size
    if resize_mode == "pad":
        if image.width > width or image.height > height:
            raise ValueError(
                f"`resize_mode` 'pad' must be given images of at most {width} x {height} pixels, got {image.width} x "
                f"{image.height}. Use 'resize'."
            )
        canvas = Image.new(image.mode, (width, height))
        canvas.paste(image, ((width - image.width) // 2, (height - image.height) // 2))
        image = canvas
    elif image.size != (width, height):
        scale = max(width / image.width, height / image.height)
        covering = max(width, round(image.width * scale)), max(height, round(image.height * scale))
        image = image.resize(covering, Image.Resampling.LANCZOS)
        left, top = (covering[0] - width) // 2, (covering[1] - height) // 2
        image = image.crop((left, top, left + width, top + height))
    array = np.asarray(image)
    return array[None] if channels == 1 else array.transpose(2, 0, 1)


def _flatten(image: Image.Image) -> Image.Image:
    """The image with 8 bits per channel and nothing transparent."""
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
    return image
