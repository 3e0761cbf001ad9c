# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""What the pixels are: modes, orientation, depth, sizes."""

import io
import resource
import struct
import zlib

import numpy as np
import pytest
from data_folders import encode, load, picture, write
from PIL import Image

from gan_diffusion.data.images import decode_image, to_array


def gradient_image(mode: str, size: tuple[int, int] = (12, 8)) -> Image.Image:
    """An image whose grey value grows from left to right."""
    ramp = np.tile(np.linspace(0, 255, size[0]).astype(np.uint8), (size[1], 1))
    if mode == "I;16":
        return Image.fromarray(ramp.astype(np.uint16) * 257)
    return Image.fromarray(ramp).convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA", "P", "1", "CMYK", "I;16", "YCbCr", "PA", "RGBX", "HSV"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_becomes_the_same_picture(mode, channels):
    image = gradient_image("P").convert("PA") if mode == "PA" else gradient_image(mode)
    array = to_array(image, channels, (8, 8))
    assert array.shape == (channels, 8, 8) and array.dtype == np.uint8
    reference = to_array(gradient_image("L"), channels, (8, 8)).astype(int)
    if mode == "1":
        assert array.min() < 64 and array.max() > 192
    else:
        assert np.abs(array - reference).max() <= 2


def test_transparency_is_laid_on_white():
    assert to_array(Image.new("RGBA", (4, 4), (0, 0, 0, 0)), 3, (4, 4)).min() == 255
    assert to_array(Image.new("LA", (4, 4), (0, 0)), 1, (4, 4)).min() == 255
    half = to_array(Image.new("RGBA", (4, 4), (255, 0, 0, 128)), 3, (4, 4))
    assert half[:, 0, 0].tolist() == [255, 127, 127]


@pytest.mark.parametrize(
    "mode, colour, transparent",
    [("RGB", (1, 2, 3), (1, 2, 3)), ("L", 7, 7), ("P", 0, 0), ("1", 0, 0), ("I;16", 900, 900)],
)
def test_transparent_colours_of_png_become_white(mode, colour, transparent):
    image = Image.new(mode, (4, 4), colour)
    stream = io.BytesIO(encode(image, transparency=transparent))
    assert decode_image(stream, "x", 3, (4, 4)).min() == 255
    assert decode_image(io.BytesIO(encode(image)), "x", 3, (4, 4)).max() < 10


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


def test_fit_shows_the_whole_image_and_stretch_fills():
    wide = Image.new("L", (64, 16), 200)
    fitted = to_array(wide, 1, (32, 32), "fit")[0]
    assert (fitted[12:20] == 200).all() and fitted.sum() == 8 * 32 * 200
    assert to_array(Image.new("L", (2, 4), 9), 1, (8, 8), "fit")[0].sum() == 9 * 4 * 8
    assert (to_array(wide, 1, (32, 20), "stretch") == 200).all()
    left = Image.new("L", (64, 16))
    left.paste(255, (0, 0, 32, 16))
    stretched = to_array(left, 1, (8, 8), "stretch")[0]
    assert stretched[:, :3].min() > 200 and stretched[:, 5:].max() < 50


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


@pytest.mark.parametrize("size", [(10_000, 1), (1, 10_000), (3, 2), (1, 1), (64, 65)])
@pytest.mark.parametrize("resize_mode", ["crop", "fit", "stretch"])
def test_extreme_proportions_take_no_more_memory_than_the_result(size, resize_mode):
    assert to_array(Image.new("RGB", size, (9, 9, 9)), 3, (512, 256), resize_mode).shape == (3, 512, 256)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_as_their_exif_data_says(form, orientation):
    upright = Image.new("RGB", (48, 32), (0, 0, 0))
    upright.paste((255, 0, 0), (0, 0, 24, 16))
    upright.paste((0, 255, 0), (24, 0, 48, 16))
    # What a camera stores is the image turned back.
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}.get(orientation)
    stored = upright if back is None else upright.transpose(Image.Transpose(back))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = io.BytesIO(encode(stored, form, exif=exif))
    array = decode_image(stream, "x", 3, (32, 48), "pad").astype(int)
    assert np.abs(array - to_array(upright, 3, (32, 48)).astype(int)).mean() < 6


def test_the_account_counts_turned_images_by_their_size_as_shown(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for form in ("JPEG", "PNG", "TIFF"):
        (tmp_path / f"x.{form.lower()}").write_bytes(encode(picture(1, (48, 32)), form, exif=exif))
    report = load(tmp_path, (3, 48, 32), resize_mode="pad").report
    assert report.sizes == "32x48" and any("EXIF data says: 3 of 3" in rule for rule in report.rules)


@pytest.mark.parametrize("exif", [b"Exif\x00\x00nonsense", b"Exif\x00\x00II*\x00\xff\xff\xff\xff", b"Exif\x00\x00"])
def test_damaged_exif_data_does_not_spoil_an_image(tmp_path, exif):
    (tmp_path / "x.jpg").write_bytes(encode(picture(), "JPEG", exif=exif))
    assert load(tmp_path).report.num_samples == 1


def grey16(values) -> Image.Image:
    return Image.fromarray(np.asarray(values, dtype=np.uint16))


@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM", "JPEG2000"])
def test_16_bits_are_scaled_linearly(tmp_path, form):
    ramp = np.tile(np.arange(64, dtype=np.uint16) * 1040, (64, 1))
    (tmp_path / f"x.{form.lower()}").write_bytes(encode(grey16(ramp), form))
    samples = load(tmp_path, (1, 64, 64))
    pixels = samples.__getitems__([0])["samples"][0, 0].numpy()
    assert np.array_equal(pixels, np.rint(ramp / 65535 * 255))
    assert (
        "0 to 65520" in samples.report.value_range
        and "0 and 65535 become black and white" in samples.report.value_range
    )


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_few_bits_in_16_are_refused_with_advice(tmp_path, bits, form):
    highest = 2**bits - 1
    ramp = np.linspace(0, highest, 64).astype(np.uint16)
    (tmp_path / f"x.{form.lower()}").write_bytes(encode(grey16(np.tile(ramp, (64, 1))), form))
    with pytest.raises(ValueError, match=f"`pixel_range`.*{bits} bits.*0 {highest}"):
        load(tmp_path, (1, 64, 64))
    samples = load(tmp_path, (1, 64, 64), pixel_range=[0, highest])
    pixels = samples.__getitems__([0])["samples"][0, 0].numpy()
    assert np.array_equal(pixels, np.rint(np.tile(ramp, (64, 1)) / highest * 255))
    dark = load(tmp_path, (1, 64, 64), pixel_range=[0, 65535]).__getitems__([0])["samples"]
    assert dark.max() == round(highest / 257)


@pytest.mark.parametrize("kind", ["float32", "int32"])
@pytest.mark.parametrize("low, high", [(0, 1), (-1, 1), (-1000, 3000), (0, 100_000)])
def test_32_bits_and_floats_need_a_range(tmp_path, kind, low, high):
    values = np.linspace(low, high, 64).astype(kind)
    Image.fromarray(np.tile(values, (64, 1))).save(tmp_path / "x.tif")
    with pytest.raises(ValueError, match=f"`pixel_range` must be given.*from {low} to {high}|from {low} to 1e.05"):
        load(tmp_path, (1, 64, 64))
    pixels = load(tmp_path, (1, 64, 64), pixel_range=[low, high]).__getitems__([0])["samples"][0, 0, 0].numpy()
    assert np.abs(pixels - (values.astype(float) - low) / (high - low) * 255).max() <= 0.51
    with pytest.raises(ValueError, match="must hold all values, got 1 images with others: x.tif"):
        load(tmp_path, (1, 64, 64), pixel_range=[low, high - (high - low) / 4])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_make_a_bad_image(tmp_path, value):
    values = np.zeros((8, 8), dtype=np.float32)
    Image.fromarray(values + np.float32(0.5)).save(tmp_path / "good.tif")
    values[3, 3] = value
    Image.fromarray(values).save(tmp_path / "bad.tif")
    with pytest.raises(ValueError, match="bad.tif .*not finite"):
        load(tmp_path, (1, 8, 8), pixel_range=[0, 1])
    assert load(tmp_path, (1, 8, 8), pixel_range=[0, 1], on_bad_image="skip").report.used == ["good.tif"]


def test_a_range_is_refused_where_it_means_nothing(tmp_path):
    write(tmp_path, ["0.png"])
    with pytest.raises(ValueError, match="`pixel_range`.*1 others: 0.png"):
        load(tmp_path, pixel_range=[0, 4095])
    grey16(np.full((8, 8), 4095)).save(tmp_path / "1.png")
    with pytest.raises(ValueError, match="`pixel_range`.*1 others: 0.png"):
        load(tmp_path, pixel_range=[0, 4095])
    with pytest.raises(ValueError, match="--pixel_range"):
        load(tmp_path, pixel_range=[5, 5])


def png(width: int, height: int, bits: int, colour: int, rows: bytes) -> bytes:
    """A PNG as the format says, also of kinds that Pillow does not write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def png16(values: np.ndarray) -> bytes:
    """A PNG with 16 bits per colour."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return png(values.shape[1], values.shape[0], 16, 2, rows)


def test_16_bits_of_colour_are_said_or_refused(tmp_path):
    values = np.random.default_rng(0).integers(0, 65536, (8, 8, 3))
    (tmp_path / "x.png").write_bytes(png16(values))
    samples = load(tmp_path)
    assert np.array_equal(samples.__getitems__([0])["samples"][0].numpy().transpose(1, 2, 0), values >> 8)
    assert any("16-bit colour" in rule for rule in samples.report.rules)
    (tmp_path / "x.png").write_bytes(png16(values >> 4))
    with pytest.raises(ValueError, match="as if they had fewer bits. Convert"):
        load(tmp_path)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "TIFF", "PNG"])
def test_the_first_of_several_frames_is_used_and_counted(tmp_path, form):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    stream = io.BytesIO()
    options = {"lossless": True} if form == "WEBP" else {}
    frames[0].save(stream, form, save_all=True, append_images=frames[1:], **options)
    (tmp_path / f"x.{form.lower()}").write_bytes(stream.getvalue())
    samples = load(tmp_path)
    assert samples.__getitems__([0])["samples"][0, :, 0, 0].tolist() == [255, 0, 0]
    assert any("animated" in rule and "1 of 1" in rule for rule in samples.report.rules)


def test_images_too_large_to_pad_are_all_counted(tmp_path):
    write(tmp_path, ["0.png", "1.png", "2.png", "3.png", "4.png", "5.png"])
    (tmp_path / "small.png").write_bytes(encode(picture(9, (4, 4))))
    with pytest.raises(ValueError, match=r"10x8 pixels, got 6 larger ones: 0.png \(12x8\).* and 1 more"):
        load(tmp_path, (3, 8, 10), resize_mode="pad")


def test_enlarged_images_and_extreme_proportions_are_said(tmp_path):
    for name, size in {"small": (4, 4), "long": (100, 9), "good": (40, 20)}.items():
        (tmp_path / f"{name}.png").write_bytes(encode(picture(1, size)))
    rules = "\n".join(load(tmp_path, (3, 8, 16)).report.rules)
    assert "enlarged: 1 of 3" in rules and "long.png (100x9)" in rules and "scaled to 16x8" in rules


def test_a_jpeg_is_decoded_small_and_looks_the_same():
    image = picture(3, (40, 30)).resize((1600, 1200), Image.Resampling.BICUBIC)
    small = decode_image(io.BytesIO(encode(image, "JPEG", quality=95)), "x", 3, (30, 40)).astype(int)
    assert np.abs(small - to_array(image, 3, (30, 40)).astype(int)).mean() < 3


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [(13_300, 13_300), (9_460, 9_460), (2**31 - 1, 1), (1, 10**9), (60_000, 60_000)])
@pytest.mark.parametrize("kind", ["png", "gif", "bmp", "ppm"])
def test_too_many_pixels_are_refused_from_the_header(tmp_path, kind, size):
    width, height = size
    content = {
        "png": png(width, height, 8, 6, b"\0"),
        "gif": b"GIF89a" + struct.pack("<HH", min(width, 65_535), min(height, 65_535)) + b"\0\0\0",
        "bmp": b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0),
        "ppm": f"P6 {width} {height} 255\n".encode(),
    }[kind]
    (tmp_path / f"huge.{kind}").write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match="1 unreadable images: huge"):
        load(tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kilobytes


def test_the_limit_of_pixels_is_said(tmp_path):
    (tmp_path / "huge.png").write_bytes(png(9_460, 9_460, 8, 6, b"\0"))
    with pytest.raises(ValueError, match="it has 9460 x 9460 pixels, and 89,478,485 are allowed"), pytest.warns():
        load(tmp_path)
