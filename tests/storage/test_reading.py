# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import json
import os

import pytest

from gan_diffusion.storage.reading import MAX_DEPTH, MAX_YAML_BYTES, read_json, read_text, read_yaml


def nested(depth: int) -> dict:
    content = {}
    for _ in range(depth - 1):
        content = {"a": content}
    return content


@pytest.mark.parametrize(
    "text",
    ['{"a": 1, "b": [1.5, true, null, "x"], "c": {"d": -3}}', "{}", '{"a": "\\u00e9"}', json.dumps(nested(MAX_DEPTH))],
)
def test_plain_json_is_read(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    assert read_json(tmp_path / "a.json") == json.loads(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must hold JSON"),
        ('{"a": 1', "must hold JSON"),
        ("[1]", "JSON object"),
        ('{"a": 1, "a": 2}', "`a` must stand there once"),
        ('{"b": {"a": 1, "a": 1}}', "`a` must stand there once"),
        ('{"a": NaN}', "finite"),
        ('{"a": [-Infinity]}', "finite"),
        ('{"a": 1e999}', "finite"),
        ('{"a": 9223372036854775808}', "64 bits"),
        ('{"a": %s}' % ("9" * 5000), "must hold JSON"),  # noqa: UP031
        ('{"a": "\\u0000"}', "texts"),
        ('{"\\ud800": 1}', "texts"),
        ("[" * 100_000, "must hold JSON"),
        (json.dumps(nested(MAX_DEPTH + 1)), "nested"),
        ('{"a": "%s"}' % ("x" * 9_000_000), "bytes"),  # noqa: UP031
    ],
)
def test_other_json_is_refused(tmp_path, text, message):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=f"`{tmp_path}/a.json` .*{message}"):
        read_json(tmp_path / "a.json")


def test_plain_yaml_is_read(tmp_path):
    (tmp_path / "a.yaml").write_text("a: 1\nb: [x, 0.5, true, null]\nc:\n  d: \N{SNOWMAN}\n", encoding="utf-8")
    assert read_yaml(tmp_path / "a.yaml") == {"a": 1, "b": ["x", 0.5, True, None], "c": {"d": "\N{SNOWMAN}"}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "option: value"),
        ("- a\n- b\n", "option: value"),
        ("a: &x [1]\nb: *x\n", "alias"),
        ("a: &x [*x]\n", "alias"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", "alias"),
        ("a: 1\na: 2\n", "a key twice"),
        ("a: {b: 1, b: 1}\n", "a key twice"),
        ("a: !!python/object/apply:os.getcwd []\n", "must hold YAML"),
        ("a: !!binary aGFsbG8=\n", "texts"),
        ("a: 2026-01-01\n", "texts"),
        ("a: 2026-99-99\n", "must hold YAML"),
        ("a: !!bool maybe\n", "must hold YAML"),
        ("a: .nan\n", "finite"),
        ("a: 99999999999999999999\n", "64 bits"),
        ("a: " + "[" * 5000, "levels"),
        ("a: [" + "1," * MAX_YAML_BYTES + "]", "bytes"),
        ("? [a, b]\n: 1\n", "must hold YAML|texts"),
    ],
)
def test_other_yaml_is_refused(tmp_path, text, message):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ValueError, match=rf"(?s)`{tmp_path}/a.yaml` .*{message}"):
        read_yaml(tmp_path / "a.yaml")


@pytest.mark.parametrize("content", [b"\xff\xfe", "x".encode("utf-16"), b"\xe9t\xe9"])
def test_text_is_utf_8(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(ValueError, match="must hold text in UTF-8"):
        read_text(tmp_path / "a")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda file: file.symlink_to("/dev/zero")])
def test_only_files_are_read(tmp_path, make):
    make(tmp_path / "a")
    with pytest.raises((ValueError, OSError), match=f"{tmp_path}/a"):
        read_text(tmp_path / "a")
