# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""Which files of a folder are used, and which are left out and why."""

import os
import shutil
import socket
from pathlib import Path

import pytest
from data_folders import encode, load, picture, write

from gan_diffusion.data import DataArguments, load_samples
from gan_diffusion.data.listing import FOREIGN_EXTENSIONS


def used(root: Path, **options) -> list[str]:
    return load(root, **options).report.used


NESTED = ["cat/0.png", "dog/part 1/1.png", "dog/part 2/1.png"]


@pytest.mark.parametrize(
    "names",
    [
        ["test_strip.png", "train.png", "val-1.png"],
        ["train/0.png", "cat/0.png", "test.png"],
        ["train/0.png", "cat/0.png", "validation/0.png"],
        ["a [v1]/[0].png", "a*/b?.png", "{x}/%s.png", "!(a)/~.png"],
        ["ä ö/ü.png", "日本/猫.png", "😀.png", "e\u0301.png"],
        [" leading.png", "trailing .png", "two  spaces/a b.png", "quote'\".png"],
        ["x" * 250 + ".png", "/".join(["deep" * 10] * 20) + "/0.png"],
        ["UPPER.PNG", "no.dots.in.particular.png", "-dash.png"],
        ["checkpoint-2/0.png", "logs/0.png", "samples/0.png"],
        ["data.json.png", "metadata.png"],
    ],
)
def test_every_image_is_used_whatever_its_name(tmp_path, names):
    assert used(write(tmp_path / "set [v1] ✓", names)) == sorted(names)


@pytest.mark.parametrize("path", ["{}/", "{}//", "{}/.", "{}/../{}"])
def test_the_way_to_write_the_folder_changes_nothing(tmp_path, monkeypatch, path):
    write(tmp_path / "images", NESTED)
    monkeypatch.chdir(tmp_path)
    plain, other = load("images").report, load(path.format("images", "images")).report
    assert (plain.used, plain.identity, plain.lines()) == (other.used, other.identity, other.lines())


@pytest.mark.parametrize(
    "ending, form",
    [
        ("jfif", "JPEG"), ("JPG", "JPEG"), ("jpe", "JPEG"), ("avif", "AVIF"), ("webp", "WEBP"), ("bmp", "BMP"),
        ("dib", "DIB"), ("gif", "GIF"), ("tif", "TIFF"), ("jp2", "JPEG2000"), ("ppm", "PPM"), ("pnm", "PPM"),
        ("png", "JPEG"), ("jpeg_large", "JPEG"), ("", "PNG"),
    ],
)  # fmt: skip
def test_formats_are_used_alone_and_beside_others(tmp_path, ending, form):
    name = f"picture.{ending}".rstrip(".")
    (tmp_path / name).write_bytes(encode(picture(9), form))
    assert used(tmp_path) == [name]
    write(tmp_path, ["0.png"])
    assert used(tmp_path) == ["0.png", name]


@pytest.mark.parametrize(
    "name, reason",
    [
        ("._0.png", "hidden"), (".hidden/0.png", "hidden"), (".DS_Store", "hidden"), (".thumbnails/0.png", "hidden"),
        ("__MACOSX/0.png", "operating system"), ("@eaDir/0.png", "operating system"), ("Thumbs.db", "operating system"),
        ("notes.txt", "no images"), ("0.txt", "no images"), ("README.md", "no images"), ("clip.mp4", "no images"),
        ("features.npy", "no images"), ("unknown.xyz", "no images"), ("no_ending", "no images"),
    ],
)  # fmt: skip
def test_what_is_no_image_is_left_out_and_named(tmp_path, name, reason):
    write(tmp_path, ["cat/0.png", "dog/0.png", f"cat/{name}"])
    if "0.png" not in name:
        (tmp_path / "cat" / name).write_bytes(b"something else")
    report = load(tmp_path).report
    assert report.used == ["cat/0.png", "dog/0.png"]
    (why,) = report.left_out
    assert reason in why and report.left_out[why][0].startswith(f"cat/{name.split('/')[0]}")
    assert any(reason in line and "cat/" in line for line in report.lines())


@pytest.mark.parametrize("ending", sorted(FOREIGN_EXTENSIONS))
def test_images_that_cannot_be_read_here_are_named(tmp_path, ending):
    write(tmp_path, ["0.png", f"photo{ending.upper()}"])
    with pytest.raises(ValueError, match=f"1 unreadable images: photo{ending.upper()}.*skip"):
        load(tmp_path)
    report = load(tmp_path, on_bad_image="skip").report
    assert report.used == ["0.png"] and "photo" in report.left_out["images that cannot be read"][0]


def test_links_are_followed_but_not_in_a_circle(tmp_path):
    write(tmp_path / "elsewhere", ["dog/0.png", "one.png"])
    root = write(tmp_path / "images", ["cat/0.png"])
    (root / "dog").symlink_to(tmp_path / "elsewhere" / "dog")
    (root / "cat" / "1.png").symlink_to(tmp_path / "elsewhere" / "one.png")
    (root / "cat" / "up").symlink_to(root)
    (root / "self").symlink_to(root / "self")
    report = load(root).report
    assert report.used == ["cat/0.png", "cat/1.png", "dog/0.png"] and report.classes == {"cat": 2, "dog": 1}
    assert report.left_out["a link back to a folder that it lies in"] == ["cat/up/"]
    (root / "cat" / "2.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(ValueError, match="cat/2.png .No such file"):
        load(root)


@pytest.mark.parametrize("name", ["pipe.png", "metadata.csv", "pipe"])
def test_a_pipe_is_left_out(tmp_path, name):
    os.mkfifo(write(tmp_path, ["0.png"]) / name)
    report = load(tmp_path).report
    assert report.used == ["0.png"] and report.left_out == {"pipes, sockets and devices": [name]}


def test_sockets_and_devices_are_left_out(tmp_path, monkeypatch):
    write(tmp_path, ["0.png"])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.png")
        assert load(tmp_path).report.left_out == {"pipes, sockets and devices": ["socket.png", "zero.png"]}


@pytest.mark.parametrize(
    "stray, kind",
    [
        ("stray.parquet", "parquet files"),
        ("more/archive.zip", "zip archives"),
        ("shard.tar", "tar archives"),
        ("A.ZIP", "zip archives"),
        ("x.PARQUET", "parquet files"),
    ],
)
def test_data_of_two_kinds_is_refused(tmp_path, stray, kind):
    write(tmp_path, ["cat/0.png", stray])
    with pytest.raises(ValueError, match=f"1 images .cat/0.png.; 1 {kind} .{stray}."):
        load(tmp_path)


@pytest.mark.parametrize("inside", [".", "runs", "cat/run", "../images/x"])
def test_the_output_folder_may_not_lie_in_the_data(tmp_path, inside):
    root = write(tmp_path / "images", NESTED)
    with pytest.raises(ValueError, match="`output_dir` must lie outside"):
        load(root, output_dir=root / inside)
    (tmp_path / "link").symlink_to(root)
    with pytest.raises(ValueError, match="`output_dir` must lie outside"):
        load(root, output_dir=tmp_path / "link" / inside)


def test_the_samples_of_a_run_are_not_its_data(tmp_path):
    root = write(tmp_path / "run" / "samples", ["step-1.png", "deep/0.png"])
    for data in (root, root / "deep"):
        with pytest.raises(ValueError, match="`output_dir` must lie outside"):
            load(data, output_dir=tmp_path / "run")


def test_the_output_folder_may_lie_beside_or_around_the_data(tmp_path):
    root = write(tmp_path / "images", NESTED)
    for output_dir in (tmp_path, tmp_path / "images-run", tmp_path / "new"):
        assert load(root, output_dir=output_dir).report.used == NESTED
    (tmp_path / "new").mkdir(exist_ok=True)
    (root / "out").symlink_to(tmp_path / "new")
    assert load(root, output_dir=tmp_path / "new").report.left_out == {"the output folder of this run": ["out/"]}


@pytest.mark.parametrize("file", ["model_index.json", "training-images.png"])
def test_the_pictures_of_a_run_are_no_training_images(tmp_path, file):
    root = write(tmp_path / "images", [*NESTED, "runs/one/samples/step-1.png", f"runs/one/{file}"])
    report = load(root).report
    assert report.used == NESTED and report.left_out == {"written by a training run": ["runs/one/"]}
    with pytest.raises(ValueError, match="written by a training run"):
        load(root / "runs" / "one")


@pytest.mark.parametrize("splits", [("train", "test"), ("training", "validation"), ("Train", "Val", "Test")])
def test_a_folder_of_splits_is_refused(tmp_path, splits):
    root = write(tmp_path, [f"{split}/cat/0.png" for split in splits])
    with pytest.raises(ValueError, match="one split"):
        load(root)
    assert used(root / splits[0]) == ["cat/0.png"]


def test_empty_missing_and_closed_folders_are_refused(tmp_path):
    with pytest.raises(ValueError, match="must be a folder.*nowhere"):
        load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="must hold images"):
        load(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ValueError, match="1 other files: notes.txt"):
        load(tmp_path)
    with pytest.raises(ValueError, match="must be a folder, or a file that ends with"):
        load(tmp_path / "notes.txt")


def test_the_identity_is_that_of_names_sizes_and_labels(tmp_path):
    first = write(tmp_path / "first", NESTED)
    second = Path(shutil.copytree(first, tmp_path / "moved"))
    identity = load(first).report.identity
    assert len(identity) == 64 and load(second).report.identity == identity
    (second / "notes.txt").write_text("not a part of the data")
    assert load(second).report.identity == identity
    shutil.move(second / "cat", second / "lion")
    renamed = load(second).report.identity
    (second / "lion" / "0.png").unlink()
    removed = load(second).report.identity
    (second / "dog" / "part 1" / "1.png").write_bytes(encode(picture(5, (40, 40))))
    resized = load(second).report.identity
    (second / "metadata.csv").write_text("file_name,label\ndog/part 1/1.png,a\ndog/part 2/1.png,b\n")
    labelled = load(second).report.identity
    assert len({identity, renamed, removed, resized, labelled}) == 5


def test_a_random_subset_follows_from_the_seed(tmp_path):
    root = write(tmp_path, [f"{number:02}.png" for number in range(40)])
    subsets = [load(root, max_train_samples=10, seed=seed).report for seed in (0, 0, 1)]
    assert subsets[0].used == subsets[1].used and subsets[0].identity == subsets[1].identity
    assert len(set(subsets[0].used)) == 10 and subsets[0].used != [f"{number:02}.png" for number in range(10)]
    assert subsets[2].used != subsets[0].used and subsets[2].identity != subsets[0].identity
    assert any("10 of 40" in line and "seed 0" in line for line in subsets[0].lines())
    assert load(root, max_train_samples=100).report.used == load(root).report.used


def test_the_account_says_what_is_there(tmp_path):
    root = write(tmp_path / "pets", ["cat/0.png", "dog/1.png"])
    shutil.copy(root / "cat/0.png", root / "cat/copy.png")
    (root / "dog" / "large.png").write_bytes(encode(picture(7, (40, 30), "L")))
    samples = load(root)
    report = samples.report
    assert (report.num_samples, report.duplicates, report.licence) == (4, 1, None)
    assert report.classes == {"cat": 2, "dog": 2} and samples.class_names == ["cat", "dog"]
    assert report.sizes == "from 12x8 to 40x30 pixels" and report.modes == {"RGB": 3, "L": 1}
    text = "\n".join(report.lines())
    for fact in ("folder pets, 4 samples", "cat (2), dog (2)", "12x8 to 40x30", "RGB (3), L (1)", report.identity):
        assert fact in text
    assert str(tmp_path) not in text and str(tmp_path) not in str(report.to_dict())


@pytest.mark.parametrize("options", [{"dataset_split": "test"}, {"dataset_config_name": "x"}, {"image_column": "x"}])
def test_options_without_an_effect_are_refused(tmp_path, options):
    (name,) = options
    with pytest.raises(ValueError, match=f"`--{name}` must not be given for a folder of images"):
        load(write(tmp_path, NESTED), **options)
    with pytest.raises(ValueError, match=f"`--{name}` must not be given for digits"):
        load_samples(DataArguments(dataset_name="digits", **options), (1, 8, 8))


def test_links_that_multiply_and_deep_folders_end(tmp_path, monkeypatch):
    write(tmp_path / "images", ["0.png"])
    for level in range(40):
        (tmp_path / f"level{level}").mkdir()
        for link in "ab":
            (tmp_path / f"level{level}" / link).symlink_to(tmp_path / f"level{level + 1}")
    (tmp_path / "level40").mkdir()
    (tmp_path / "images" / "links").symlink_to(tmp_path / "level0")
    with pytest.raises(ValueError, match="at most 100 links to one folder"):
        load(tmp_path / "images")
    monkeypatch.chdir(write(tmp_path / "deep", ["0.png"]))
    for _ in range(1500):
        os.mkdir("d")
        os.chdir("d")
    Path("1.png").write_bytes(encode(picture(1)))
    assert load(tmp_path / "deep").report.num_samples == 2
    Path("1.png").unlink()
    for _ in range(1500):  # Folders this deep are too much for pytest to remove.
        os.chdir("..")
        os.rmdir("d")
