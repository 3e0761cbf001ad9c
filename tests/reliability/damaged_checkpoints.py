#!/usr/bin/env python
# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""
Damages the newest of two checkpoints in 265 ways, and resumes.

Each time the older one must be used, exactly, and one line must say why. Anything else is counted: `silent` where the
training would go on from wrong numbers, `raw` where it would end in an error although a good checkpoint is there.

Usage: `python tests/reliability/damaged_checkpoints.py`
"""

import argparse
import collections
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from checkpoint_cases import make_state, same

from gan_diffusion.training.checkpoints import resume, save_checkpoint


MANIFEST, STATE, TENSORS = FILES = ("manifest.json", "state.json", "tensors.safetensors")
Damage = Callable[[Path, Path], None]


def flipped(name: str, first: float, last: float, choice: random.Random) -> Damage:
    """One bit of the file, between two places given as shares of its length."""
    place, bit = choice.uniform(first, last), choice.randrange(8)

    def damage(older: Path, newer: Path) -> None:
        data = bytearray((newer / name).read_bytes())
        data[min(int(place * len(data)), len(data) - 1)] ^= 1 << bit
        (newer / name).write_bytes(data)

    return damage


def cut(name: str, share: float, fill: bool) -> Damage:
    """The file ends early, or in zeros."""

    def damage(older: Path, newer: Path) -> None:
        data = (newer / name).read_bytes()
        kept = min(int(share * len(data)), len(data) - 2)
        (newer / name).write_bytes(data[:kept] + bytes(len(data) - kept) * fill)

    return damage


def block(name: str, share: float, zeros: bool) -> Damage:
    """A block of the older checkpoint's file, or of zeros."""

    def damage(older: Path, newer: Path) -> None:
        data, source = bytearray((newer / name).read_bytes()), (older / name).read_bytes()
        first = int(share * len(data))
        last = min(first + 4096, len(data), len(source))
        data[first:last] = bytes(last - first) if zeros else source[first:last]
        (newer / name).write_bytes(data)

    return damage


def swapped(names: tuple[str, ...]) -> Damage:
    def damage(older: Path, newer: Path) -> None:
        for name in names:
            shutil.copy(older / name, newer / name)

    return damage


def gone(names: tuple[str, ...], kind: str) -> Damage:
    def damage(older: Path, newer: Path) -> None:
        for name in names:
            (newer / name).unlink()
            if kind == "empty":
                (newer / name).touch()

    return damage


def cases() -> Iterator[tuple[str, Damage]]:
    choice = random.Random(0)
    for name, first, last, count in (
        (TENSORS, 0.1, 1, 60), (TENSORS, 0, 0.01, 20), (STATE, 0, 1, 40), (MANIFEST, 0, 1, 40),
    ):  # fmt: skip
        yield from (("bit flip", flipped(name, first, last, choice)) for _ in range(count))
    for name in FILES:
        yield from (("truncated", cut(name, share / 10, fill=False)) for share in range(10))
        yield from (("zeros at the end", cut(name, share / 10 + 0.05, fill=True)) for share in range(10))
    for name in (TENSORS, STATE):
        yield from (("block of the older file", block(name, share / 10, zeros=False)) for share in range(10))
    yield from (("block of zeros", block(TENSORS, share / 10, zeros=True)) for share in range(10))
    for names in ((MANIFEST,), (STATE,), (TENSORS,), (MANIFEST, STATE), (MANIFEST, TENSORS), (STATE, TENSORS), FILES):
        yield "files of the older one", swapped(names)
    for names in ((MANIFEST,), (STATE,), (TENSORS,), FILES):
        yield "missing", gone(names, "missing")
        yield "empty", gone(names, "empty")


def run_case(folder: Path, damage: Damage) -> tuple[str, str]:
    """How a resume from the damaged folder ends, and what it says."""
    older, newer = folder / "checkpoint-3", folder / "checkpoint-6"
    before = {name: (newer / name).read_bytes() for name in FILES}
    damage(older, newer)
    if before == {name: (newer / name).read_bytes() for name in FILES if (newer / name).is_file()}:
        return "unchanged", ""
    state = make_state(0)
    try:
        path, notes = resume(state, folder, "latest")
    except Exception as error:
        return "raw", repr(error)
    if path != older or not same(state.state_dict(), make_state(3).state_dict()) or state.step != 3:
        return "silent", f"{path}: {notes}"
    told = sum("checkpoint-6 is left aside" in note for note in notes)
    return ("older one used" if told == 1 else "not told"), str(notes)


def run_all(every: int = 1) -> tuple[collections.Counter, list[str]]:
    """Counts of the endings, and what went wrong."""
    counts, wrong = collections.Counter(), []
    with tempfile.TemporaryDirectory() as root:
        source = Path(root) / "source"
        run = None
        for step in (3, 6):
            state = make_state(step)
            run = state.run = run or state.run
            save_checkpoint(state, source)
        for number, (kind, damage) in enumerate(cases()):
            if number % every:
                continue
            folder = shutil.copytree(source, Path(root) / str(number))
            ending, text = run_case(folder, damage)
            counts[ending] += 1
            if ending != "older one used":
                wrong.append(f"case {number}, {kind}: {ending}: {text}")
            shutil.rmtree(folder)
    return counts, wrong


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    counts, wrong = run_all()
    print(f"damaged checkpoints: {counts.total()} cases, {dict(counts)}")
    print("\n".join(wrong), file=sys.stderr)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
