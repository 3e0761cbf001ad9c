# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""What a label is: folders, metadata, StyleGAN's file, names and numbers."""

import json

import pytest
from data_folders import load, write

from gan_diffusion.data.labels import natural_order, resolve_labels


@pytest.mark.parametrize(
    "names",
    [
        ["0", "1", "2", "10"],
        ["class 9", "class 10", "class 100"],
        ["a", "B", "c"],
        ["img2b", "img10a", "img10b"],
        ["1", "-", "a1", "b"],
        ["v1.2", "v1.10", "v2"],
        ["007", "8", "09"],
        ["Ärger", "ärger"],
    ],
)
def test_names_are_in_natural_order(names):
    shuffled = names[::-1]
    assert sorted(shuffled, key=natural_order) == names


@pytest.mark.parametrize(
    "labels, numbers, names",
    [
        ([1, 5, 7, 5], [0, 1, 2, 1], ["1", "5", "7"]),
        (["10", "9", "100"], [1, 0, 2], ["9", "10", "100"]),
        ([True, False, True], [1, 0, 1], ["False", "True"]),
        (["dog", "cat"], [1, 0], ["cat", "dog"]),
        ([2.0, 1.0, 2.0], [1, 0, 1], ["1", "2"]),
        ([2**62, 0], [1, 0], ["0", str(2**62)]),
        (["a b", " a", "ä"], [1, 0, 2], [" a", "a b", "ä"]),
    ],
)
def test_labels_become_numbers_of_classes(labels, numbers, names):
    assert resolve_labels(labels, ["row"] * len(labels)) == (numbers, names)


@pytest.mark.parametrize(
    "label, problem",
    [
        (None, "missing"),
        ("", "missing"),
        (float("nan"), "missing"),
        (-1, "negative"),
        ("-1", "negative"),
        (-2.0, "negative"),
        (0.5, "no whole number or word"),
        (float("inf"), "no whole number or word"),
        ([1, 0], "no whole number or word"),
        ({"a": 1}, "no whole number or word"),
        (b"cat", "no whole number or word"),
    ],
)
def test_what_is_no_label_is_named_with_its_place(label, problem):
    with pytest.raises(ValueError, match=f"1 {problem}.*row 1"):
        resolve_labels([1, label, 3], ["row 0", "row 1", "row 2"])


@pytest.mark.parametrize(
    "label, problem", [(3, "3 without a name"), (-1, "negative"), (None, "missing"), ("a", "'a'")]
)
def test_labels_with_names_must_have_one(label, problem):
    assert resolve_labels([2, 0], ["a", "b"], ["x", "y", "z"]) == ([2, 0], ["x", "y", "z"])
    with pytest.raises(ValueError, match=f"{problem}.*row 1"):
        resolve_labels([0, label], ["row 0", "row 1"], ["x", "y", "z"])


@pytest.mark.parametrize(
    "names, classes",
    [
        (["cat/part1/0.png", "cat/part2/0.png", "dog/part1/0.png"], {"cat": 2, "dog": 1}),
        (["10/0.png", "2/0.png", "0/0.png"], {"0": 1, "2": 1, "10": 1}),
        (["train/0.png", "cat/0.png"], {"cat": 1, "train": 1}),
        (["b [1]/0.png", "b [2]/0.png"], {"b [1]": 1, "b [2]": 1}),
        (["a/x/y/z/0.png", "a/0.png", "b/1.png"], {"a": 2, "b": 1}),
    ],
)
def test_the_class_is_the_first_folder(tmp_path, names, classes):
    samples = load(write(tmp_path, names), class_conditional=True)
    assert samples.report.classes == classes and samples.class_names == list(classes)
    assert samples.num_classes == len(classes)
    labels = samples.__getitems__(range(len(samples)))["class_labels"]
    assert [samples.class_names[label] for label in labels] == [name.split("/")[0] for name in samples.report.used]


@pytest.mark.parametrize(
    "names, problem",
    [
        (["0.png", "1.png"], "all images lie in one folder"),
        (["cat/0.png", "dog/0.png", "loose.png"], "1 missing: loose.png"),
        (["cat/0.png", "cat/1.png"], "at least two classes.*cat"),
        (["root/cat/0.png", "root/dog/0.png"], "at least two classes.*root"),
    ],
)
def test_images_without_a_class_are_named(tmp_path, names, problem):
    root = write(tmp_path, names)
    with pytest.raises(ValueError, match=problem):
        load(root, class_conditional=True)
    assert load(root).report.used == sorted(names)


IMAGES = ["a.png", "b.png", "sub/c.png"]


def metadata(form: str, rows: list[dict]) -> tuple[str, str]:
    if form == "csv":
        lines = [",".join(rows[0]), *(",".join(str(value) for value in row.values()) for row in rows)]
        return "metadata.csv", "\n".join(lines)
    return "metadata.jsonl", "\n".join(json.dumps(row) for row in rows)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.parametrize("labels", [(3, 1, 3), ("x", "y", "x"), (0, 10, 2), ("ä", "b c", "ä")])
def test_metadata_gives_labels(tmp_path, form, labels):
    root = write(tmp_path, IMAGES)
    rows = [{"file_name": name, "kind": label} for name, label in zip(IMAGES, labels, strict=True)]
    name, text = metadata(form, rows)
    (root / name).write_text(text, encoding="utf-8")
    samples = load(root, class_conditional=True, label_column="kind")
    assert [samples.class_names[n] for n in samples.__getitems__(range(3))["class_labels"]] == list(map(str, labels))
    assert samples.report.left_out == {}
    with pytest.raises(ValueError, match="no column 'breed'"):
        load(root, class_conditional=True, label_column="breed")


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_images_that_metadata_does_not_list_are_still_used(tmp_path, form):
    root = write(tmp_path, IMAGES)
    name, text = metadata(form, [{"file_name": "a.png", "label": 1}, {"file_name": "sub/c.png", "label": 2}])
    (root / name).write_text(text)
    report = load(root).report
    assert report.used == IMAGES and report.classes is None
    assert any("1 images are not in" in line and "b.png" in line for line in report.lines())
    with pytest.raises(ValueError, match="1 missing: b.png"):
        load(root, class_conditional=True)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.parametrize("missing", ["d.png", "../a.png", "/a.png", "A.png", "c.png"])
def test_listed_files_must_exist(tmp_path, form, missing):
    root = write(tmp_path, IMAGES)
    name, text = metadata(form, [{"file_name": "a.png", "label": 1}, {"file_name": missing, "label": 2}])
    (root / name).write_text(text)
    with pytest.raises(ValueError, match="1 that do not exist: "):
        load(root)


def test_metadata_in_folders_lists_what_lies_there(tmp_path):
    root = write(tmp_path, ["one/a.png", "two/a.png", "e\u0301.png"])
    (root / "one" / "metadata.csv").write_text("file_name,label\na.png,x\n")
    (root / "two" / "metadata.jsonl").write_text('{"file_name": "a.png", "label": "y"}\n\n')
    (root / "metadata.csv").write_bytes("\ufefffile_name,label\r\n\u00e9.png,x\r\n".encode())
    assert load(root, class_conditional=True).report.classes == {"x": 2, "y": 1}
    (root / "metadata.csv").write_text("file_name,label\ne\u0301.png,x\none/a.png,y\n")
    with pytest.raises(ValueError, match="1 in .*with two: one/a.png"):
        load(root)


@pytest.mark.parametrize(
    "name, content, problem",
    [
        ("metadata.jsonl", b"{", "must be a readable table"),
        ("metadata.jsonl", b"[1]", "no object"),
        ("metadata.jsonl", b"[" * 100_000, "must be a readable table"),
        ("dataset.json", b"[" * 100_000, "must be a JSON file"),
        ("metadata.csv", b"\xff\xfe\x00", "UTF-8"),
        ("metadata.csv", b'file_name,label\n"a.png,1', "must be a readable table"),
        ("metadata.jsonl", b'{"file_name": "a.png"}\n{}', "1 rows without one: 2"),
        ("dataset.json", b"{", "must be a JSON file"),
        ("metadata.csv", b"file_name,label\na.png,1\na.png,2\n", "two: a.png"),
    ],
)
def test_damaged_lists_are_named(tmp_path, name, content, problem):
    (write(tmp_path, IMAGES) / name).write_bytes(content)
    with pytest.raises(ValueError, match=problem):
        load(tmp_path)


def test_metadata_of_another_kind_is_left_out_and_the_folders_are_the_classes(tmp_path):
    root = write(tmp_path, ["cat/0.png", "dog/0.png"])
    (root / "metadata.csv").write_text("camera,lens\nx,y\n")
    report = load(root, class_conditional=True).report
    assert list(report.left_out.values()) == [["metadata.csv"]] and report.classes == {"cat": 1, "dog": 1}
    (root / "metadata.csv").write_text("file_name,text\ncat/0.png,a cat\n")
    assert load(root, class_conditional=True).report.classes == {"cat": 1, "dog": 1}


SHARDS = ["00000/img00000000.png", "00000/img00000001.png", "00001/img00000002.png"]


@pytest.mark.parametrize("labels", [[3, 1, 3], [0, 1, 2], [10, 9, 9]])
def test_stylegan_labels_are_read(tmp_path, labels):
    root = write(tmp_path, SHARDS)
    (root / "dataset.json").write_text(
        json.dumps({"labels": [list(pair) for pair in zip(SHARDS, labels, strict=True)]})
    )
    samples = load(root, class_conditional=True)
    assert [samples.class_names[n] for n in samples.__getitems__(range(3))["class_labels"]] == list(map(str, labels))
    assert samples.class_names == [str(label) for label in sorted(set(labels))]


def test_stylegan_data_without_labels_has_no_classes(tmp_path):
    root = write(tmp_path, SHARDS)
    (root / "dataset.json").write_text('{"labels": null}')
    assert load(root).report.classes is None
    with pytest.raises(ValueError, match="dataset.json gives none"):
        load(root, class_conditional=True)


@pytest.mark.parametrize(
    "labels, problem",
    [
        ([[SHARDS[0], 1]], "2 missing: 00000/img00000001.png"),
        ([[name, -1] for name in SHARDS], "3 negative"),
        ([[name, [1.0, 0.0]] for name in SHARDS], "no whole number or word"),
        ([["00000/gone.png", 1]], "1 that do not exist: 00000/gone.png"),
        ([[SHARDS[0], 1], [SHARDS[0], 2]], "with two: 00000"),
    ],
)
def test_stylegan_labels_that_do_not_fit_are_named(tmp_path, labels, problem):
    root = write(tmp_path, SHARDS)
    (root / "dataset.json").write_text(json.dumps({"labels": labels}))
    with pytest.raises(ValueError, match=problem):
        load(root, class_conditional=True)


@pytest.mark.parametrize("content", ["[]", '{"labels": [1]}', '{"images": []}', '{"labels": "x"}', "3"])
def test_another_dataset_json_is_left_out(tmp_path, content):
    root = write(tmp_path, ["cat/0.png", "dog/0.png"])
    (root / "dataset.json").write_text(content)
    report = load(root, class_conditional=True).report
    assert report.classes == {"cat": 1, "dog": 1} and report.left_out == {
        "not a file of labels of StyleGAN": ["dataset.json"]
    }


def test_two_sources_of_labels_are_refused(tmp_path):
    root = write(tmp_path, SHARDS)
    (root / "dataset.json").write_text('{"labels": null}')
    (root / "metadata.csv").write_text("file_name,label\n")
    with pytest.raises(ValueError, match="one file of labels"):
        load(root)
