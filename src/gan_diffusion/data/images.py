# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""From an image file to an array."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
from PIL import Image


# Only these decoders of Pillow run: others start programs (EPS starts Ghostscript) or accept almost any bytes.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "AVIF", "JPEG2000", "PPM")
# Pillow's own limit against files that claim to be huge. RGBA at this size takes 0.7 GB until it is scaled down.
MAX_PIXELS = 89_478_485

# EXIF 2.32, tag 0x0112: what makes an image of each orientation upright.
_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@contextmanager
def open_image(stream: BinaryIO, name: str) -> Generator[Image.Image, None, None]:
    """
    Opens an image whose pixels are not decoded yet. Errors of the decoders while it is open are translated as well.

    Args:
        stream (`BinaryIO`): The content of the file.
        name (`str`): What an error calls it.

    Yields:
        `PIL.Image.Image`: the image, its first frame if there are several.

    Raises:
        ValueError: If it cannot be read, or has too many pixels; the image is named.
    """
    try:
        with Image.open(stream, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise OSError(f"it has {image.width} x {image.height} pixels, and {MAX_PIXELS:,} are allowed")
            yield image
    except ValueError as error:
        if str(error).startswith("`"):  # It says already what is wrong.
            raise
        raise _unreadable(name, error) from error
    except Exception as error:  # Pillow's decoders raise many kinds.
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: Exception) -> ValueError:
    reason = "no image of a supported format" if isinstance(error, Image.UnidentifiedImageError) else error
    return ValueError(f"`{name}` must be a readable image, got: {reason}. Mend or remove it.")


def decode_image(
    stream: BinaryIO,
    name: str,
    channels: int,
    size: tuple[int, int],
    resize_mode: str = "crop",
    pixel_range: tuple[float, float] | None = None,
) -> np.ndarray:
    """
    Reads an image.

    Args:
        stream (`BinaryIO`): The content of the file.
        name (`str`): What an error calls it.
        channels (`int`): See [`to_array`].
        size (`tuple[int, int]`): See [`to_array`].
        resize_mode (`str`, defaults to `"crop"`): See [`to_array`].
        pixel_range (`tuple[float, float]`, *optional*): See [`to_array`].

    Returns:
        `np.ndarray` of shape (channels, height, width), uint8.

    Raises:
        ValueError: If it cannot be read; the image is named.
    """
    with open_image(stream, name) as image:
        if resize_mode != "pad":
            # A JPEG is decoded at a half, a quarter or an eighth of its size, if that leaves twice what is needed.
            image.draft(None, (2 * max(size), 2 * max(size)))  # pyright: ignore[reportArgumentType] (any mode)
        return to_array(image, channels, size, resize_mode, pixel_range)


def to_array(
    image: Image.Image,
    channels: int,
    size: tuple[int, int],
    resize_mode: str = "crop",
    pixel_range: tuple[float, float] | None = None,
) -> np.ndarray:
    """
    Brings an image of any mode and size to the shape that a model takes.

    Args:
        image (`PIL.Image.Image`): It is turned as its EXIF data says. Transparent parts become white.
        channels (`int`): 1 (grey) or 3 (RGB).
        size (`tuple[int, int]`): Height and width of the result in pixels.
        resize_mode (`str`, defaults to `"crop"`):
            `"crop"` cuts the largest part with the proportions of `size` from the centre and scales it (Lanczos);
            `"fit"` scales the image until it just fits and puts black around; `"stretch"` scales height and width
            each on its own; `"pad"` does not scale and puts black around.
        pixel_range (`tuple[float, float]`, *optional*):
            Values of a grey image with more than 8 bits that become 0 and 255. Default: 0 and 65535 for 16 bits.

    Returns:
        `np.ndarray` of shape (channels, height, width), uint8.

    Raises:
        ValueError: If the channels are neither 1 nor 3, an image to pad is larger than the size, or the values do not
            fit the range.
    """
    if channels not in (1, 3):
        raise ValueError(f"`channels` must be 1 or 3 to read images, got {channels}. Choose a model for grey or RGB.")
    image = _flatten(_upright(image), pixel_range)
    mode = "L" if channels == 1 else "RGB"
    array = np.asarray(_resize(image if image.mode == mode else image.convert(mode), size, resize_mode))
    return array[None] if channels == 1 else array.transpose(2, 0, 1)


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1, which is upright, if it is missing or cannot be read."""
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # Damaged EXIF data beside good pixels; Pillow raises many kinds.
        return 1
    return value if value in _UPRIGHT else 1


def bit_depth(image: Image.Image) -> str:
    """
    How many bits a value has, asked before the pixels are decoded.

    Args:
        image (`PIL.Image.Image`): An image just opened.

    Returns:
        `str`: `"8"`, `"16"`, `"16 colour"` (Pillow reads the upper 8 bits of colour), `"32"` or `"float"`.
    """
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        return "16"
    if image.mode in ("I", "F"):
        return "32" if image.mode == "I" else "float"
    for tile in getattr(image, "tile", ()):
        raw_mode = tile[3][0] if isinstance(tile[3], tuple) and tile[3] else tile[3]
        if isinstance(raw_mode, str) and ";16" in raw_mode:
            return "16 colour"
    return "8"


def deep_pixels(image: Image.Image) -> np.ndarray | None:
    """The values (height, width) of a grey image with more than 8 bits; `None` for other images."""
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return np.asarray(image)
    return None


def _upright(image: Image.Image) -> Image.Image:
    image.load()  # Pillow turns TIFF files itself at this point.
    turn = _UPRIGHT.get(orientation(image))
    if turn is None:
        return image
    upright = image.transpose(turn)
    upright.format, upright.info = image.format, image.info
    return upright


def _flatten(image: Image.Image, pixel_range: tuple[float, float] | None) -> Image.Image:
    """The image with 8 bits per channel and nothing transparent."""
    values = deep_pixels(image)
    if values is not None:
        return Image.fromarray(_to_eight_bits(values, bit_depth(image), pixel_range, image.info.get("transparency")))
    if pixel_range is not None:
        raise ValueError(f"`pixel_range` must not be given for images of 8 bits per value, got {pixel_range}.")
    if image.mode in ("RGBA", "RGBa", "LA", "PA") or "transparency" in image.info:
        if image.mode not in ("RGBA", "LA"):
            image = image.convert("RGBA")
        white = Image.new("RGB", image.size, (255, 255, 255))
        white.paste(image, mask=image)
        return white
    return image


def _to_eight_bits(
    values: np.ndarray, depth: str, pixel_range: tuple[float, float] | None, transparent: int | None
) -> np.ndarray:
    if pixel_range is None and depth != "16":
        raise ValueError("`pixel_range` must be given for images of 32 bits or floats, got None. Give LOW and HIGH.")
    low, high = pixel_range or (0, 65535)
    if not (values.min() >= low and values.max() <= high):
        raise ValueError(
            f"`pixel_range` must hold all values of an image, got {low:g} to {high:g} for values from "
            f"{values.min():g} to {values.max():g}."
        )
    if values.dtype == np.uint16:
        table = np.clip((np.arange(65536) - low) * (255 / (high - low)), 0, 255)
        pixels = np.rint(table).astype(np.uint8)[values]
    else:
        pixels = np.rint((values.astype(np.float32) - np.float32(low)) * np.float32(255 / (high - low)))
        pixels = pixels.astype(np.uint8)
    if transparent is not None:
        pixels[values == transparent] = 255
    return pixels


def _resize(image: Image.Image, size: tuple[int, int], resize_mode: str) -> Image.Image:
    height, width = size
    if image.size == (width, height):
        return image
    if resize_mode == "stretch":
        return image.resize((width, height), Image.Resampling.LANCZOS)
    if resize_mode == "crop":
        # Cut first: an image of 10,000 x 1 pixels that is scaled first takes gigabytes.
        scale = max(width / image.width, height / image.height)
        cut_width, cut_height = min(width / scale, image.width), min(height / scale, image.height)
        left, top = (image.width - cut_width) / 2, (image.height - cut_height) / 2
        box = (left, top, left + cut_width, top + cut_height)
        return image.resize((width, height), Image.Resampling.LANCZOS, box=box)
    if resize_mode == "fit":
        scale = min(width / image.width, height / image.height)
        inner = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        image = image.resize(inner, Image.Resampling.LANCZOS)
    elif image.width > width or image.height > height:
        raise ValueError(
            f"`resize_mode` 'pad' must be given images of at most {width} x {height} pixels, got {image.width} x "
            f"{image.height}. Use 'crop' or 'fit'."
        )
    canvas = Image.new(image.mode, (width, height))
    canvas.paste(image, ((width - image.width) // 2, (height - image.height) // 2))
    return canvas
