# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""Files are read into the values that real unpickling gives, and nothing that they name is looked up."""

import argparse
import collections
import pickle
import sys

import numpy as np
import pytest
import torch
from reference_pickles import PROCESS, SOURCE, tiny_stylegan2, write_pickle

from gan_diffusion.conversion import load_official_checkpoint, pickle_machine
from gan_diffusion.conversion.archives import opened_checkpoint
from gan_diffusion.conversion.inert import Array, Instance, StoredTensor


PLAIN = {
    "none": None, "truth": [True, False], "numbers": [0, -1, 255, 65536, 2**40, -(2**70), 1.5, float("inf")],
    "texts": ["", "a", "\u00e9\u4e2d\U0001f600", "line\nline", "x" * 300], "bytes": [b"", b"\x00\xff", b"y" * 300],
    "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)], "sets": [set(), {1, "a"}, frozenset({2})],
    "nested": {"a": {"b": [{"c": ({1: 2},)}]}}, 3: "key", "ordered": collections.OrderedDict(a=1, b=[2]),
    "bytearray": bytearray(b"z") * 3,
}  # fmt: skip


def content(path):
    with opened_checkpoint(path) as opened:
        return opened.value


def resolved(value):
    """The values that stand for tensors, arrays and objects as these, for comparison."""
    if isinstance(value, StoredTensor):
        return value.tensor()
    if isinstance(value, Array):
        return value.value
    if isinstance(value, Instance):
        return argparse.Namespace(**resolved(value.state))
    if isinstance(value, dict):
        return {key: resolved(entry) for key, entry in value.items()}
    return [resolved(entry) for entry in value] if isinstance(value, list) else value


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values(tmp_path, protocol):
    skipped = {"bytearray"} if protocol < 5 else set()  # Older protocols call a function for it.
    expected = {key: value for key, value in PLAIN.items() if key not in skipped}
    (tmp_path / "file").write_bytes(pickle.dumps(expected, protocol))
    found = content(tmp_path / "file")
    assert found == expected
    assert [type(entry) for entry in found["truth"] + found["sets"]] == [bool, bool, set, set, frozenset]


@pytest.mark.parametrize("protocol", range(2, 6))
def test_values_that_are_there_twice_stay_one(tmp_path, protocol):
    shared = [1]
    (tmp_path / "file").write_bytes(pickle.dumps({"a": shared, "b": (shared, shared)}, protocol))
    found = content(tmp_path / "file")
    assert found["a"] is found["b"][0] is found["b"][1]


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_are_those_of_torch(tmp_path, zipped):
    shared = torch.arange(24.0)
    saved = {
        "matrix": torch.randn(3, 4), "transposed": torch.randn(2, 3, 4).permute(2, 0, 1), "scalar": torch.tensor(1.5),
        "empty": torch.empty(0, 3), "head": shared[:6], "tail": shared[6:].view(3, 6), "parameter": torch.nn.Parameter(shared),
        "namespace": argparse.Namespace(a=1, b=["c"]), "state": torch.nn.Conv2d(2, 3, 1).state_dict(),
        "channels_last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        **{str(dtype): torch.tensor([1, 2, 3]).to(dtype) for dtype in (
            torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8,
        )},
    }  # fmt: skip
    torch.save(saved, tmp_path / "file", _use_new_zipfile_serialization=zipped)
    with torch.serialization.safe_globals([argparse.Namespace]):
        expected = torch.load(tmp_path / "file", weights_only=True)
    with opened_checkpoint(tmp_path / "file") as opened:
        found = resolved(opened.value)
    assert found["namespace"] == expected.pop("namespace") and found.pop("namespace")
    torch.testing.assert_close(found, {**expected, "state": dict(expected["state"])}, rtol=0, atol=0)
    assert {k: v.dtype for k, v in found.items() if k != "state"} == {
        k: v.dtype for k, v in expected.items() if k != "state"
    }


@pytest.mark.parametrize("view", [torch.zeros(4, 4)[:, :2], torch.zeros(1).expand(5), torch.zeros(9)[::2]])
def test_tensors_that_would_be_larger_than_their_place_are_refused(tmp_path, view):
    torch.save({"a": view}, tmp_path / "file")
    with pytest.raises(ValueError, match="it has a tensor with gaps or overlaps. Nothing of it was executed"):
        content(tmp_path / "file")


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "i8", "u1", ">f4", "b1"])
def test_numbers_of_numpy(tmp_path, protocol, dtype):
    array = np.asfortranarray(np.arange(6).reshape(2, 3).astype(dtype))
    saved = {"array": array, "one": array[1, 1], "flat": np.arange(3).astype(dtype)}
    (tmp_path / "file").write_bytes(pickle.dumps(saved, protocol))
    found = content(tmp_path / "file")
    for name in ("array", "flat"):
        np.testing.assert_array_equal(found[name].value, saved[name])
        assert found[name].value.dtype == saved[name].dtype
    assert found["one"] == saved["one"].item() and type(found["one"]) is type(saved["one"].item())


@pytest.mark.parametrize("protocol", range(6))
def test_networks_that_carry_their_source(tmp_path, protocol):
    networks = tiny_stylegan2(classes=3)
    head = {"queue": torch.randn(8, 5), "queue_ptr": torch.zeros(1, dtype=torch.int64)}
    write_pickle(tmp_path / "network.pkl", networks, protocol=protocol, head=head)
    before = set(sys.modules)
    checkpoints = {name: load_official_checkpoint(tmp_path / "network.pkl", name) for name in ("ema", "raw")}
    assert "SystemExit" in SOURCE  # It would have ended this process.
    new = {name for name in {*sys.modules} - before if not name.startswith("encodings.")}
    assert new == set() and not {"torch_utils", "dnnlib", "training"} & set(sys.modules)
    for weights, name in (("ema", "G_ema"), ("raw", "G")):
        found = checkpoints[weights]
        torch.testing.assert_close(found.generator, networks[name][0], rtol=0, atol=0)
        torch.testing.assert_close(found.discriminator, networks["D"][0], rtol=0, atol=0)
        assert found.method == "diffusion-gan" and found.progress == {"cur_nimg": 640}
        assert found.generator_options == networks[name][1] and found.discriminator_options == networks["D"][1]
        assert found.process_options == PROCESS | {"p": 0.0625}
        assert found.unused == sorted(["DHead", "training_set_kwargs", "G" if weights == "ema" else "G_ema"])


def test_a_file_without_averages_says_so(tmp_path):
    networks = tiny_stylegan2()
    del networks["G_ema"]
    write_pickle(tmp_path / "network.pkl", networks)
    with pytest.raises(ValueError, match='`weights` must be "raw" .* holds no G_ema, got "ema"'):
        load_official_checkpoint(tmp_path / "network.pkl")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"cos\nsystem\n(S'touch canary'\ntR.", "it asks for os.system, which no checkpoint needs"),
        (b"cdill._dill\n_create_function\n)R.", "it asks for dill._dill._create_function, which no checkpoint needs"),
        (b"cpg_modules.blocks\nconv2d\n)R.", "it asks for pg_modules.blocks.conv2d, which no checkpoint needs"),
        (b"cdill._dill\n_create_array\n(cpg_modules.blocks\nGLU\n)NNtR.", "it has an array that is none of NumPy's"),
        (b"cpg_modules.blocks\nGLU\n(I1\nt\x81.", "it makes an object of pg_modules.blocks.GLU with arguments"),
        (b"c\x1b[2Jos\nsystem\n)R.", r"it asks for .x1b\[2Jos.system"),
        (b"\x80\x04\x8e" + b"\xff" * 7 + b"\x0fab.", "it ends .* bytes too early"),
        (b"}N2\x86Ns.", "it has a key that is neither a text nor a whole number"),
        (b"N.N.", "it goes on for 2 bytes after its end"),
        (b"\x82\x01.", "it has the instruction EXT1, which no checkpoint needs"),
        (b"I am a text.", "it is damaged"),
    ],
)
def test_reasons(tmp_path, monkeypatch, data, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "network.pkl").write_bytes(data)
    with pytest.raises(ValueError, match=f"^`path` must hold tensors and plain values only, .* where {reason}"):
        load_official_checkpoint(tmp_path / "network.pkl")
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        ("MAX_INSTRUCTIONS", "it has more than 100 instructions"),
        ("MAX_PICKLE_BYTES", "it has more than 100 bytes of values"),
    ],
)
def test_limits_hold_over_all_pickles_of_a_file(tmp_path, monkeypatch, limit, reason):
    write_pickle(tmp_path / "network.pkl", tiny_stylegan2())
    load_official_checkpoint(tmp_path / "network.pkl")
    monkeypatch.setattr(pickle_machine, limit, 100)
    with pytest.raises(ValueError, match=reason):
        load_official_checkpoint(tmp_path / "network.pkl")


@pytest.mark.parametrize("kind", ["folder", "device"])
def test_what_is_no_file(tmp_path, kind):
    with pytest.raises(ValueError, match="`path` must be a file, got .* which is a folder, a pipe or a device"):
        load_official_checkpoint(tmp_path if kind == "folder" else "/dev/zero")
