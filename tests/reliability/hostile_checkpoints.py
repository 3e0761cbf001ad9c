#!/usr/bin/env python
# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""
Makes 306 checkpoints that somebody could forge, checksums included, and loads each in a process of its own.

Each must be refused by one clear error within 10 seconds and 2 GB, and nothing of it may be executed. Linux only.

Usage: `python tests/reliability/hostile_checkpoints.py`
"""

import argparse
import collections
import io
import json
import multiprocessing
import os
import pickle
import resource
import shutil
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from checkpoint_cases import make_state

from gan_diffusion.training.checkpoint_format import MANIFEST, STATE, TENSORS, _fingerprint, _manifest_bytes
from gan_diffusion.training.checkpoints import load_checkpoint, save_checkpoint


SECONDS, BYTES = 10, 2 * 2**30
Forgery = Callable[[Path], None]


class Canary:
    """Unpickling it makes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def seal(folder: Path, **changes) -> None:
    """Writes a manifest that fits the files, with changes."""
    about = json.loads((folder / MANIFEST).read_bytes())
    del about["sha256"]
    about["files"] = {name: _fingerprint(folder / name) for name in (STATE, TENSORS)}
    (folder / MANIFEST).write_bytes(_manifest_bytes(about | changes))


def content(name: str, data: bytes | Callable[[bytes], bytes]) -> Forgery:
    """Another content of a file, with the right checksum."""

    def forge(folder: Path) -> None:
        (folder / name).write_bytes(data((folder / name).read_bytes()) if callable(data) else data)
        if name != MANIFEST:
            seal(folder)

    return forge


def executables(canary: Path) -> Iterator[tuple[str, Forgery]]:
    for protocol in (0, 2, 4, 5):
        data = pickle.dumps({"parts": Canary(canary)}, protocol)
        yield from (("pickle", content(name, data)) for name in (MANIFEST, STATE, TENSORS))
    for zipped in (True, False):
        file = io.BytesIO()
        torch.save({"parts": Canary(canary)}, file, _use_new_zipfile_serialization=zipped)
        yield from (("torch archive", content(name, file.getvalue())) for name in (MANIFEST, STATE, TENSORS))


def with_value(path: tuple, value) -> Forgery:
    """The state with another value at a place."""

    def change(data: bytes) -> bytes:
        state = json.loads(data)
        place = state
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        return json.dumps(state).encode()

    return content(STATE, change)


def places(value, path: tuple = ()) -> Iterator[tuple]:
    """All places in the state that are not of its marks' making."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*path, key)
        if isinstance(item, dict | list):
            yield from places(item, (*path, key))


def wrong_values(source: Path) -> Iterator[tuple[str, Forgery]]:
    state = json.loads((source / STATE).read_bytes())
    found = list(places(state))
    others = [None, "x", [], {}, [[]], {"$tensor": "no"}, {"$tuple": [{}]}]
    for number in range(140):
        path = found[number * len(found) // 140]
        yield f"value at {path}", with_value(path, others[number % len(others)])
    for value in (-1, -0.5, 2**70, 10**400, float("nan"), float("inf"), 1e400, True):
        yield "seconds", with_value(("counters", "seconds"), -1 if value == 2**70 else value)
    for value in (0, -1, 2**63, 10**400, True, "16"):
        yield "samples per step", with_value(("samples_per_step",), value)
    for origin in ([9, 0], [-1, 0], [0, -1], [0, 2**63], [0], [0, 0, 0], [None, 0]):
        yield "origin", with_value(("counters", "origin"), {"$tuple": origin})


def texts() -> Iterator[tuple[str, Forgery]]:
    for depth in (10**3, 10**5, 10**6):
        for one, two in (("[", "]"), ('{"a":', "}"), ('{"$tuple":[', "]}"), ('{"$items":[[1,', "]]}")):
            yield "depth", content(STATE, (one * depth + "1" + two * depth).encode()[: 2**22])
    for text in (
        "", "null", "[]", "1", '"x"', "{", "NaN", "9" * 10**6, "[" + "1," * 10**6 + "1]", "{" * 2**22, "[" * 2**22,
        '{"$items": [[[1], 2]]}', '{"$items": [[{}, 2]]}', '{"$tensor": {}}', '{"$x": 1, "$y": 2}', "\ud7ff", "\0",
        "[" + ",".join(['{"$tensor": "parts/network.generator/0.weight"}'] * 150_000) + "]", " " * (2**22 + 1),
    ):  # fmt: skip
        yield "text", content(STATE, text.encode())
    for text in ("", "null", "[]", "{}", "{" * 10**4, "[" * 10**4, " " * 2**17, '{"sha256": 1}', "\xff", "NaN"):
        yield "manifest text", content(MANIFEST, text.encode())


def header(change: Callable[[dict], object]) -> Forgery:
    """Tensors with another table of contents."""

    def forge(data: bytes) -> bytes:
        (length,) = struct.unpack("<Q", data[:8])
        table = json.loads(data[8 : 8 + length])
        text = change(table) or table
        text = text if isinstance(text, bytes) else json.dumps(text).encode()
        return struct.pack("<Q", len(text)) + text + data[8 + length :]

    return content(TENSORS, forge)


def tensor_files() -> Iterator[tuple[str, Forgery]]:
    for length in (0, 1, 2**22 + 1, 2**32, 2**40, 2**63, 2**64 - 1):
        yield "length", content(TENSORS, lambda data, length=length: struct.pack("<Q", length) + data[8:])
    name = "parts/network.generator/0.weight"
    for key, value in (
        ("dtype", "F64"), ("dtype", "X"), ("dtype", 1), ("dtype", None), ("shape", [2**40]), ("shape", [2**63, 2]),
        ("shape", [-1]), ("shape", []), ("shape", [64, 64, 1]), ("shape", [4096]), ("shape", None), ("shape", [0]),
        ("data_offsets", [0, 0]), ("data_offsets", [0, 2**40]), ("data_offsets", [16, 0]), ("data_offsets", [-1, 4]),
        ("data_offsets", [0, 16384]), ("data_offsets", None), ("data_offsets", [2**63, 2**64 - 1]),
    ):  # fmt: skip
        yield f"{key} {value}", header(lambda table, key=key, value=value: table[name].update({key: value}))
    yield "missing tensor", header(lambda table: table.pop(name) and None)
    yield "two names for one place", header(lambda table: table.update(again=table[name]))
    yield "not a table", header(lambda table: b"[]")
    yield "no json", header(lambda table: b"{" * 1000)
    yield "depth", header(lambda table: b'{"a":' * 10**5 + b"1" + b"}" * 10**5)
    yield "many names", header(lambda table: b"{" + b",".join(b'"%d":{}' % n for n in range(3 * 10**5)) + b"}")
    yield "doubled name", header(lambda table: json.dumps(table)[:-1].encode() + b"," + json.dumps(table)[1:].encode())
    for size in (2**31, 2**33, 2**36):

        def grow(folder: Path, size: int = size) -> None:
            os.truncate(folder / TENSORS, size)
            about = json.loads((folder / MANIFEST).read_bytes())
            del about["sha256"]
            about["files"][TENSORS]["size"] = size
            (folder / MANIFEST).write_bytes(_manifest_bytes(about))

        yield "sparse file", grow


def manifests() -> Iterator[tuple[str, Forgery]]:
    for key in ("sequence", "step", "half_steps"):
        for value in (-1, 2**63, 10**400, 1.5, "1", None, [], True):
            yield f"{key} {value!r:.20}", lambda folder, key=key, value=value: seal(folder, **{key: value})
    for key, value in (
        ("run", 1), ("run", None), ("run", {}), ("format", 0), ("format", 2), ("format", "1"), ("files", None),
        ("files", []), ("files", {}), ("files", {STATE: {}, TENSORS: {}}), ("files", {"../../etc/passwd": {}}),
        ("files", {STATE: 1, TENSORS: 2}), ("step", 4), ("step", 10**17),
    ):  # fmt: skip
        yield f"{key} {value!r:.20}", lambda folder, key=key, value=value: seal(folder, **{key: value})


def odd_files() -> Iterator[tuple[str, Forgery]]:
    def place(name: str, make: Callable[[Path], object]) -> Forgery:
        def forge(folder: Path) -> None:
            (folder / name).unlink()
            make(folder / name)

        return forge

    for name in (MANIFEST, STATE, TENSORS):
        yield "pipe", place(name, os.mkfifo)
        yield "folder", place(name, os.mkdir)
        yield "endless device", place(name, lambda path: path.symlink_to("/dev/zero"))
        yield "link to itself", place(name, lambda path: path.symlink_to(path))


def cases(source: Path, canary: Path) -> list[tuple[str, Forgery]]:
    groups = executables(canary), tensor_files(), manifests(), odd_files(), texts(), wrong_values(source)
    return [case for group in groups for case in group]


def load(folder: Path, answer) -> None:
    """In a process of its own: loads, and answers how that ended."""
    state = make_state(0)
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, used + BYTES))
    try:
        load_checkpoint(state, folder)
        answer.send(("accepted", ""))
    except ValueError as error:
        whole = state.step == 0
        answer.send(("refused" if whole else "half loaded", str(error)))
    except MemoryError as error:
        answer.send(("memory", str(error)))
    except BaseException as error:
        answer.send(("raw", repr(error)))


def run_case(folder: Path) -> tuple[str, str]:
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=load, args=(folder, sender))
    process.start()
    sender.close()
    ending = ("crash", "")
    if not receiver.poll(SECONDS):
        ending = ("hang", "")
        process.kill()
    else:
        try:
            ending = receiver.recv()
        except EOFError:
            pass
    process.join()
    return ending


def run_all(every: int = 1) -> tuple[collections.Counter, list[str]]:
    """Counts of the endings, and what went wrong."""
    torch.set_num_threads(1)  # A fork of a process that has used several may hang.
    counts, wrong = collections.Counter(), []
    with tempfile.TemporaryDirectory() as root:
        source, canary = save_checkpoint(make_state(3), Path(root)), Path(root) / "executed"
        for number, (kind, forge) in enumerate(cases(source, canary)):
            if number % every:
                continue
            folder = shutil.copytree(source, Path(root) / str(number) / "checkpoint-3")
            forge(folder)
            ending, text = run_case(folder)
            ending = "executed" if canary.exists() else ending
            counts[ending] += 1
            if ending != "refused":
                wrong.append(f"case {number}, {kind}: {ending}: {text:.300}")
            shutil.rmtree(folder.parent)
    return counts, wrong


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    counts, wrong = run_all()
    print(f"hostile checkpoints: {counts.total()} cases, {dict(counts)}")
    print("\n".join(wrong), file=sys.stderr)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
