# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""Archives and tables: zip, tar shards, parquet."""

import io
import itertools
import json
import os
import pickle
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch
from data_folders import encode, load, picture, write
from datasets import ClassLabel, Dataset, Features, Value
from datasets import Image as HFImage

from gan_diffusion.data import DataArguments, EndlessBatches, load_samples


def make_zip(path: Path, files: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def make_tar(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def pictures(*names: str) -> dict[str, bytes]:
    return {name: encode(picture(value)) for value, name in enumerate(names)}


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("prefix", ["", "pets/", "a b/[v1]/"])
def test_a_zip_is_read_like_the_folder_in_it(tmp_path, compression, prefix):
    names = ["cat/0.png", "dog/1.png", "dog/deep/2.png"]
    folder = load(write(tmp_path / "folder", names), class_conditional=True)
    junk = {"__MACOSX/cat/._0.png": b"x", f"{prefix}cat/.DS_Store": b"x"}
    path = make_zip(
        tmp_path / "x.zip", {prefix + name: content for name, content in pictures(*names).items()} | junk, compression
    )
    archive = load(path, class_conditional=True)
    assert archive.report.used == names and archive.report.classes == {"cat": 1, "dog": 2}
    assert archive.report.identity == folder.report.identity
    assert sum(map(len, archive.report.left_out.values())) == 2
    expected, items = folder.__getitems__(range(3)), archive.__getitems__(range(3))
    assert torch.equal(expected["samples"], items["samples"])
    assert torch.equal(expected["class_labels"], items["class_labels"])


def test_a_zip_may_lie_in_a_folder_alone(tmp_path):
    make_zip(tmp_path / "x.zip", pictures("0.png"))
    assert load(tmp_path).report.used == ["0.png"]
    make_zip(tmp_path / "y.zip", pictures("0.png"))
    with pytest.raises(ValueError, match="one zip archive, got 2: x.zip, y.zip"):
        load(tmp_path)


@pytest.mark.parametrize("labels", [[4, 2], None])
def test_a_zip_of_stylegan_has_its_labels(tmp_path, labels):
    files = pictures("00000/a.png", "00001/b.png")
    pairs = None if labels is None else [list(pair) for pair in zip(files, labels, strict=True)]
    path = make_zip(tmp_path / "x.zip", {**files, "dataset.json": json.dumps({"labels": pairs}).encode()})
    assert load(path).report.classes == (None if labels is None else {"2": 1, "4": 1})


def test_a_damaged_zip_is_named(tmp_path):
    path = make_zip(tmp_path / "x.zip", pictures("0.png", "1.png"))
    content = bytearray(path.read_bytes())
    content[80] ^= 255
    path.write_bytes(content)
    with pytest.raises(ValueError, match="1 unreadable images: 0.png .*CRC"):
        load(path)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="readable zip archive, got 'x.zip'"):
        load(path)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_worker_processes_read_archives(tmp_path, kind):
    files = pictures(*(f"{number:02}.png" for number in range(12)))
    path = make_zip(tmp_path / "x.zip", files) if kind == "zip" else make_tar(tmp_path / "x.tar", files)
    samples = load(path)
    plain, workers = (EndlessBatches(data, 4, num_workers=n) for data, n in ((samples, 0), (samples, 2)))
    for (one,), (two,) in itertools.islice(zip(plain.steps(), workers.steps(), strict=False), 9):
        assert torch.equal(one.samples, two.samples)
    again = pickle.loads(pickle.dumps(samples))
    assert torch.equal(again.__getitems__([3])["samples"], samples.__getitems__([3])["samples"])


@pytest.mark.parametrize(
    "labels, classes",
    [
        ({"cls": [b"3", b"1", b"3"]}, {"1": 1, "3": 2}),
        ({"cls": [b"cat\n", b"dog", b"cat"]}, {"cat": 2, "dog": 1}),
        ({"json": [b'{"label": 1}', b'{"label": 0}', b'{"label": 0}']}, {"0": 2, "1": 1}),
        (
            {"json": [b'{"label": "x"}', b'{"label": "y"}', b'{"label": "y"}'], "txt": [b"a", b"b", b"c"]},
            {"x": 1, "y": 2},
        ),
    ],
)
@pytest.mark.parametrize("shards", [1, 2])
def test_tar_shards_are_read_as_webdataset(tmp_path, labels, classes, shards):
    samples = list(pictures("a/0.jpg", "a/1.PNG", "b/0.webp").items())
    for shard in range(shards):
        files = {}
        for number, (name, content) in enumerate(samples):
            if number % shards == shard:
                files[name] = content
                files |= {f"{name.rsplit('.')[0]}.{ending}": values[number] for ending, values in labels.items()}
        make_tar(tmp_path / f"shard-{shard:05}.tar", files)
    report = load(tmp_path, class_conditional=True).report
    assert report.classes == classes and report.num_samples == 3
    assert all(name.startswith("shard-0000") == (shards > 1) for name in report.used)


def test_tar_shards_of_other_splits_are_left_out(tmp_path):
    for split in ("train", "test"):
        make_tar(tmp_path / f"{split}-00000.tar", pictures(f"{split}.png"))
    report = load(tmp_path).report
    assert report.used == ["train.png"] and report.left_out == {"split test": ["test-00000.tar"]}
    assert load(tmp_path, dataset_split="test").report.used == ["test.png"]
    assert load(tmp_path / "test-00000.tar").report.used == ["test.png"]


@pytest.mark.parametrize(
    "files, problem",
    [
        ({"0.jpg": None, "1.jpg": None, "0.cls": b"1"}, "1 missing: 1.jpg"),
        ({"0.jpg": None, "0.png": None}, "1 keys with several: 0"),
        ({"0.jpg": None, "0.json": b"{"}, "0.json.*JSON"),
        ({"0.jpg": None, "0.cls": b"-1"}, "negative: 0.jpg"),
        ({"0.jpg": None}, "the archives gives none"),
    ],
)
def test_tar_shards_that_do_not_fit_are_named(tmp_path, files, problem):
    content = encode(picture())
    make_tar(tmp_path / "x.tar", {name: content if value is None else value for name, value in files.items()})
    with pytest.raises(ValueError, match=problem):
        load(tmp_path, class_conditional=True)


def test_compressed_and_damaged_tar_archives_are_named(tmp_path):
    path = make_tar(tmp_path / "x.tar", pictures("0.png"), "w:gz")
    with pytest.raises(ValueError, match="uncompressed tar archives, got 'x.tar'"):
        load(path)
    make_tar(path, pictures("0.png"))
    with tarfile.open(path, "a") as archive:
        member = tarfile.TarInfo("link.png")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    assert load(path).report.left_out == {"links and devices in archives": ["link.png"]}


def make_parquet(
    path: Path, labels: list, feature=None, column: str = "label", image: str = "image", first: int = 0
) -> None:
    rows = {image: [picture(first + number) for number in range(len(labels))], column: labels}
    features = None if feature is None else Features({image: HFImage(), column: feature})
    path.parent.mkdir(parents=True, exist_ok=True)
    Dataset.from_dict(rows, features=features).to_parquet(path)


def table(root: Path, shape: tuple[int, int, int] = (3, 8, 8), **options):
    return load(root, shape, cache_dir=str(root.parent / "cache"), **options)


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "set [v1]"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    "feature, labels, classes",
    [
        (ClassLabel(names=["a", "b", "c"]), [0, 2, 0], {"a": 2, "b": 0, "c": 1}),
        (Value("int8"), [7, 1, 5], {"1": 1, "5": 1, "7": 1}),
        (Value("uint64"), [10, 9, 9], {"9": 2, "10": 1}),
        (Value("string"), ["x", "y", "x"], {"x": 2, "y": 1}),
        (Value("large_string"), ["2", "10", "10"], {"2": 1, "10": 2}),
        (Value("bool"), [True, False, True], {"False": 1, "True": 2}),
        (Value("float32"), [1.0, 0.0, 1.0], {"0": 1, "1": 2}),
    ],
)
def test_columns_of_any_type_are_labels(root, feature, labels, classes):
    make_parquet(root / "train.parquet", labels, feature, "kind", "picture")
    samples = table(root, class_conditional=True, image_column="picture", label_column="kind")
    assert samples.report.classes == classes and samples.class_names == list(classes)
    assert samples.report.used == ["row 0", "row 1", "row 2"]
    labels = [list(classes)[n] for n in samples.__getitems__(range(3))["class_labels"]]
    assert {name: labels.count(name) for name in classes} == classes


@pytest.mark.parametrize(
    "feature, labels, problem",
    [
        (ClassLabel(names=["a", "b"]), [0, -1, 1], "1 negative: row 1"),
        (ClassLabel(names=["a", "b"]), [0, 1, None], "1 missing: row 2"),
        (Value("string"), ["x", None, ""], "2 missing: row 1, row 2"),
        (Value("int32"), [-5, 1, 2], "1 negative: row 0"),
        (Value("float64"), [0.5, 1.0, 2.0], "no whole number or word .0.5.: row 0"),
    ],
)
def test_missing_and_negative_labels_are_named_with_their_row(root, feature, labels, problem):
    make_parquet(root / "train.parquet", labels, feature)
    with pytest.raises(ValueError, match=problem):
        table(root, class_conditional=True)
    assert table(root).report.classes is None


def test_columns_that_are_missing_or_no_images_are_named(root):
    make_parquet(root / "train.parquet", [0, 1])
    with pytest.raises(ValueError, match="image_column.*image.*'picture'"):
        table(root, image_column="picture")
    with pytest.raises(ValueError, match="image_column.*'label', which holds"):
        table(root, image_column="label")
    with pytest.raises(ValueError, match="no column 'kind'"):
        table(root, label_column="kind", class_conditional=True)


@pytest.mark.parametrize(
    "names", [("train", "test"), ("data/train-00000-of-00001", "data/test-00000-of-00001"), ("training", "validation")]
)
def test_only_one_split_of_parquet_files_is_used(root, names):
    for number, name in enumerate(names):
        make_parquet(root / f"{name}.parquet", [0] * (number + 1), first=10 * number)
    (root / "README.md").write_text("---\nlicense: mit\n---\n# Pictures\n")
    report = table(root).report
    assert report.num_samples == 1 and report.licence == "mit"
    (split,) = [reason for reason in report.left_out if reason.startswith("split ")]
    assert report.left_out[split] == [f"{names[1]}.parquet"] and any(split in line for line in report.lines())
    assert table(root, dataset_split=split.removeprefix("split ")).report.num_samples == 2
    with pytest.raises(ValueError, match="`dataset_split` must be one of .*'train'.*got 'other'"):
        table(root, dataset_split="other")


def test_parquet_files_of_no_split_are_refused_and_a_card_decides(root):
    make_parquet(root / "train.parquet", [0])
    make_parquet(root / "more.parquet", [0, 1], first=5)
    with pytest.raises(ValueError, match="1 beside them: more.parquet"):
        table(root)
    (root / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: more.parquet\n---\n"
    )
    report = table(root).report
    assert report.num_samples == 2 and report.left_out["split of other configurations"] == ["train.parquet"]
    assert table(root / "train.parquet").report.num_samples == 1


def test_parquet_files_without_a_split_are_all_used(root):
    for number in range(3):
        make_parquet(root / f"{number:04}.parquet", [0, 1], first=2 * number)
    assert table(root).report.num_samples == 6


def test_plain_bytes_are_images_and_postscript_is_not(root):
    content = {"image": [encode(picture()), b"%!PS-Adobe-3.0 EPSF-3.0\n", b"", None]}
    Dataset.from_dict(content, features=Features({"image": Value("binary")})).to_parquet(root / "train.parquet")
    with pytest.raises(ValueError, match="3 unreadable images: row 1 .*row 2 .*row 3 .the row has no image"):
        table(root)
    assert table(root, on_bad_image="skip").report.used == ["row 0"]


@pytest.mark.parametrize("path", ["/dev/zero", "/nowhere.png", "pipe", ""])
def test_paths_in_a_table_open_no_devices(root, path):
    if path == "pipe":
        path = str(root.parent / "pipe")
        os.mkfifo(path)
    rows = {"image": [{"bytes": None, "path": path}, {"bytes": encode(picture()), "path": path}]}
    features = Features({"image": {"bytes": Value("binary"), "path": Value("string")}})
    Dataset.from_dict(rows, features=features).to_parquet(root / "train.parquet")
    assert table(root, on_bad_image="skip").report.used == ["row 1"]


def test_a_damaged_parquet_file_is_refused(root):
    (root / "train.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(ValueError, match="readable parquet files"):
        table(root)


def test_the_identity_of_a_table_is_that_of_its_contents(root, tmp_path):
    make_parquet(root / "train.parquet", [0, 1])
    identity = table(root).report.identity
    (tmp_path / "moved").mkdir()
    make_parquet(tmp_path / "moved" / "train-0.parquet", [0, 1])
    assert table(tmp_path / "moved").report.identity == identity
    make_parquet(tmp_path / "other" / "train.parquet", [0, 1], first=1)
    assert table(tmp_path / "other").report.identity != identity


@pytest.mark.parametrize("name", ["images", "./images", "images/"])
def test_a_folder_is_no_dataset_of_the_hub(tmp_path, monkeypatch, name):
    write(tmp_path / "images", ["0.png"])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="`dataset_name`.*a folder or file here. Give it as --train_data_dir"):
        load_samples(DataArguments(dataset_name=name), (3, 8, 8))


@pytest.mark.parametrize("name", ["x.png", "metadata.csv", "unknown"])
def test_a_file_that_claims_to_be_huge_is_not_unpacked(tmp_path, name):
    path = make_zip(tmp_path / "x.zip", pictures("0.png"), zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive, archive.open(name, "w") as file:
        for _ in range(520):
            file.write(bytes(2**20))
    if name == "unknown":
        assert load(path).report.left_out == {"no images": ["unknown"]}
        return
    with pytest.raises(ValueError, match=f"{name}.*bytes"):
        load(path)


def test_a_dataset_of_the_hub_is_opened_with_its_split_and_licence(tmp_path, monkeypatch):
    rows = {"image": [picture(0), picture(1)], "label": [1, 0]}
    dataset = Dataset.from_dict(rows, features=Features({"image": HFImage(), "label": ClassLabel(names=["a", "b"])}))
    dataset.info.license, dataset.info.splits = "cc0-1.0", {"train": None, "test": None}
    asked = []
    monkeypatch.setattr(
        "datasets.load_dataset", lambda *names, **options: asked.append((*names, options["split"])) or dataset
    )
    report = load_samples(DataArguments(dataset_name="someone/pets", dataset_split="train"), (3, 8, 8)).report
    assert asked == [("someone/pets", None, "train")]
    assert (report.licence, report.classes, report.left_out) == (
        "cc0-1.0",
        {"a": 1, "b": 1},
        {"other splits": ["test"]},
    )
    assert report.source == "dataset someone/pets, split train" and report.num_samples == 2


@pytest.mark.parametrize("name", ["nobody/nothing", "no such name", "../x/y"])
def test_a_dataset_that_cannot_be_read_is_named(name):
    with pytest.raises(ValueError, match=f"`dataset_name` must be .*{name}"):
        load_samples(DataArguments(dataset_name=name), (3, 8, 8))
