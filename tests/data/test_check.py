# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""Images that cannot be read are found before training, and nothing in a data set is executed."""

import json
import os
import subprocess
import sys
import time

import pytest
from data_folders import encode, load, picture, write
from PIL import Image

from gan_diffusion.data import check
from gan_diffusion.data.check import RECORD_FILE, _PixelBudget


FORMATS = {"png": "PNG", "jpg": "JPEG", "gif": "GIF", "tiff": "TIFF", "bmp": "BMP", "webp": "WEBP", "ppm": "PPM"}
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n(canary) (w) file\nshowpage\n"


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("ending", FORMATS)
def test_truncated_images_are_named(tmp_path, ending, part):
    content = encode(picture(1, (64, 64)), FORMATS[ending])
    (tmp_path / f"whole.{ending}").write_bytes(content)
    (tmp_path / f"part.{ending}").write_bytes(content[: int(part * len(content))])
    with pytest.raises(ValueError, match=f"1 unreadable images: part.{ending}"):
        load(tmp_path)
    report = load(tmp_path, on_bad_image="skip").report
    assert report.used == [f"whole.{ending}"]
    assert report.left_out["images that cannot be read"][0].startswith(f"part.{ending} (")
    assert any("left out: 1" in line for line in report.lines())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not an image",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0",
        b"GIF89a",
        b"II*\x00\x08\x00\x00\x00",
        b"BM",
        EPS,
    ],
)
@pytest.mark.parametrize("ending", ["png", "jpg", "tif"])
def test_what_is_no_image_is_named(tmp_path, ending, content):
    write(tmp_path, ["0.png"])
    (tmp_path / f"x.{ending}").write_bytes(content)
    with pytest.raises(ValueError, match=f"1 unreadable images: x.{ending}"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x", "x.unknown", "x.eps", "x.tif"])
def test_postscript_starts_no_program(tmp_path, monkeypatch, name):
    write(tmp_path, ["0.png"])
    (tmp_path / name).write_bytes(EPS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: pytest.fail("a program was started"))
    assert load(tmp_path, on_bad_image="skip").report.used == ["0.png"]
    assert not (tmp_path / "canary").exists()  # What the PostScript would write.


def test_a_wrong_check_sum_is_found(tmp_path):
    content = bytearray(encode(picture(1, (64, 64))))
    content[len(content) // 2] ^= 1
    write(tmp_path, ["0.png"])
    (tmp_path / "flipped.png").write_bytes(content)
    with pytest.raises(ValueError, match="flipped.png"):
        load(tmp_path)


def test_all_bad_images_are_counted_and_some_are_named(tmp_path):
    for number in range(9):
        (tmp_path / f"{number}.png").write_bytes(b"bad")
    with pytest.raises(ValueError, match="9 unreadable images: 0.png.*4.png.* and 4 more. Mend.*skip"):
        load(tmp_path)
    with pytest.raises(ValueError, match="at least one image"):
        load(tmp_path, on_bad_image="skip")


def test_a_file_that_may_not_be_read_is_named_without_the_path_of_the_machine(tmp_path, monkeypatch):
    write(tmp_path, ["0.png", "1.png"])
    (tmp_path / "2.png").symlink_to(tmp_path / "gone")
    with pytest.raises(ValueError, match="2.png") as error:
        load(tmp_path)
    assert str(tmp_path) not in str(error.value)


def test_an_image_that_breaks_later_is_named(tmp_path):
    samples = load(write(tmp_path, ["cat/0.png", "cat/1.png"]))
    (tmp_path / "cat" / "0.png").write_bytes(b"gone")
    with pytest.raises(ValueError, match="cat/0.png"):
        samples.__getitems__([0])
    (tmp_path / "cat" / "0.png").unlink()
    with pytest.raises(ValueError, match="cat/0.png.*No such file"):
        samples.__getitems__([0])


@pytest.fixture
def decoded(monkeypatch):
    """Names of the images that the check decodes."""
    names = []
    inspect = check._inspect
    monkeypatch.setattr(
        check, "_inspect", lambda storage, name, budget: names.append(name) or inspect(storage, name, budget)
    )
    return names


def test_unchanged_images_are_decoded_once(tmp_path, decoded):
    root = write(tmp_path / "images", ["0.png", "1.png", "2.png"])
    first = load(root, output_dir=tmp_path / "run").report
    assert sorted(decoded) == ["0.png", "1.png", "2.png"]
    decoded.clear()
    assert load(root, output_dir=tmp_path / "run").report == first and decoded == []
    (root / "1.png").write_bytes(encode(picture(8, (30, 30))))
    os.utime(root / "2.png", ns=(time.time_ns(), 5))
    second = load(root, output_dir=tmp_path / "run").report
    assert sorted(decoded) == ["1.png", "2.png"] and second.sizes == "from 12x8 to 30x30 pixels"
    decoded.clear()
    load(root, output_dir=tmp_path / "another")
    assert len(decoded) == 3


def test_a_bad_image_stays_bad_until_it_is_mended(tmp_path, decoded):
    root = write(tmp_path / "images", ["0.png"])
    (root / "1.png").write_bytes(b"bad")
    for _ in range(2):
        with pytest.raises(ValueError, match="1.png"):
            load(root, output_dir=tmp_path / "run")
    assert sorted(decoded) == ["0.png", "1.png"]
    write(root, ["0.png", "1.png"])
    assert load(root, output_dir=tmp_path / "run").report.num_samples == 2


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"pillow": "1"}', '{"images": {"0.png": 1}}', None])
def test_a_damaged_record_is_made_anew(tmp_path, decoded, content):
    root = write(tmp_path / "images", ["0.png"])
    load(root, output_dir=tmp_path / "run")
    record = tmp_path / "run" / RECORD_FILE
    whole = json.loads(record.read_text())
    record.write_text(content if content is not None else json.dumps(whole | {"images": {"0.png": [[1], [2]]}}))
    decoded.clear()
    assert load(root, output_dir=tmp_path / "run").report.num_samples == 1 and decoded == ["0.png"]
    assert json.loads(record.read_text()) == whole


def test_large_images_are_decoded_one_at_a_time():
    budget = _PixelBudget(10)
    with budget.share(4), budget.share(6):
        assert budget.used == 10
    with budget.share(1000):  # Alone it may be larger than the limit.
        assert budget.used == 1000
    assert budget.used == 0


def test_large_images_take_less_than_2_gb(tmp_path):
    for number in range(2):
        Image.new("RGBA", (6000, 6000), (number, 0, 0, 9)).save(tmp_path / f"{number}.png", compress_level=1)
    code = (
        "import resource; from gan_diffusion.data import DataArguments, load_samples; "
        f"load_samples(DataArguments(train_data_dir={str(tmp_path)!r}), (3, 8, 8)); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert int(result.stdout) < 2_000_000, result.stderr  # kilobytes, of the whole process
