# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""
Damages saved pipelines as disks and copies do, then loads them and samples.

Each must be refused by one error that names the file, or give the very samples of the whole pipeline. Prints the
counts, and what went wrong; ends with 1 if anything did.
"""

import argparse
import collections
import hashlib
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import isolation
import torch


ROOT = Path(__file__).parents[2]
WEIGHTS = "generator/diffusion_pytorch_model.safetensors"
FILES = (WEIGHTS, "generator/config.json", "scheduler/scheduler_config.json", "model_index.json", "checksums.json")
BLOCK = 512
Change = Callable[[Path, Path], object]


def changed(name: str, change: Callable[[bytearray], bytes | bytearray]) -> Change:
    return lambda folder, other: (folder / name).write_bytes(change(bytearray((folder / name).read_bytes())))


def flip(content: bytearray, position: float, bit: int) -> bytearray:
    content[int(position * (len(content) - 1))] ^= 1 << bit
    return content


def swapped(first: str, second: str) -> Change:
    def change(folder: Path, other: Path) -> None:
        one, two = (folder / first).read_bytes(), (folder / second).read_bytes()
        (folder / first).write_bytes(two)
        (folder / second).write_bytes(one)

    return change


def old_block(name: str, share: float) -> Change:
    """The rest of the file is from another training."""

    def change(folder: Path, other: Path) -> None:
        new, old = (folder / name).read_bytes(), (other / name).read_bytes()
        place = int(share * len(new))
        (folder / name).write_bytes(new[:place] + old[place:])

    return change


def cases(seed: int) -> Iterator[tuple[str, Change]]:
    """What can happen to each file."""
    rng = random.Random(seed)
    for name in FILES:
        for _ in range(30 if name == WEIGHTS else 6):
            place, bit = rng.random(), rng.randrange(8)
            yield f"{name}: bit {bit} flipped at {place:.3f}", changed(name, lambda c, p=place, b=bit: flip(c, p, b))
        for share in (0.0, 0.5, 0.99):
            keep = lambda content, s=share: content[: int(s * len(content))]  # noqa: E731
            yield f"{name}: cut at {share}", changed(name, keep)
            zero = lambda content, k=keep: k(content).ljust(len(content), b"\0")  # noqa: E731
            yield f"{name}: zeros from {share}", changed(name, zero)
        yield f"{name}: two blocks swapped", changed(name, lambda c: c[BLOCK : 2 * BLOCK] + c[:BLOCK] + c[2 * BLOCK :])
        yield f"{name}: bytes appended", changed(name, lambda c: c + b"\0\0\0\0")
        yield f"{name}: twice", changed(name, lambda c: c + c)
        yield f"{name}: missing", lambda folder, other, name=name: (folder / name).unlink()
        for share in (0.0, 0.6):
            yield f"{name}: of another training from {share}", old_block(name, share)
    yield "configs swapped", swapped("generator/config.json", "scheduler/scheduler_config.json")
    yield "index and config swapped", swapped("model_index.json", "generator/config.json")
    yield (
        "generator of another training",
        lambda folder, other: (
            shutil.rmtree(folder / "generator"),
            shutil.copytree(other / "generator", folder / "generator"),
        ),
    )
    yield "an index of shards left over", lambda folder, other: (folder / f"{WEIGHTS}.index.json").write_text("{}")
    yield "folder of the generator missing", lambda folder, other: shutil.rmtree(folder / "generator")


def sample(folder: Path) -> str:
    """What a pipeline draws, as a checksum."""
    from gan_diffusion.pipelines.auto import load_pipeline

    pipeline = load_pipeline(folder)
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(2, generator=torch.Generator().manual_seed(0), output_type="pt").images
    return hashlib.sha256(images.numpy().tobytes()).hexdigest()


def make_pipelines(method: str, folder: Path) -> None:
    """Two pipelines of one shape and different weights and schedules, `whole` and `other`."""
    sys.path.insert(0, str(ROOT / "tests" / "pipelines"))
    from tiny_pipelines import MAKERS

    schedules = {
        "ddgan": {"beta_max": 19.0}, "diffusion-gan": {"max_timesteps": 500}, "spi-gan": {"beta_max": 19.0},
    }  # fmt: skip
    pipeline = MAKERS[method]()
    pipeline.save_pretrained(folder / "whole")
    for parameter in pipeline.generator.parameters():
        parameter.data.mul_(1.1)
    pipeline.scheduler = type(pipeline.scheduler)(**schedules[method])
    pipeline.save_pretrained(folder / "other")


def check(methods: list[str], step: int = 1) -> tuple[collections.Counter, dict[str, str]]:
    """Tries every `step`-th case. Returns the counts of outcomes, and what went wrong by case."""
    counts, wrong = collections.Counter(), {}
    for seed, method in enumerate(methods):
        with tempfile.TemporaryDirectory() as temporary:
            base = Path(temporary)
            make_pipelines(method, base)
            expected = isolation.run(lambda base=base: sample(base / "whole"))
            assert expected[0] == "returned" and expected != isolation.run(lambda base=base: sample(base / "other"))
            for case, change in list(cases(seed))[::step]:
                folder = base / "damaged"
                shutil.copytree(base / "whole", folder)
                change(folder, base / "other")
                kind, value = isolation.run(lambda folder=folder: sample(folder))
                if kind == "returned":
                    kind = "same samples" if value == expected[1] else "silently other samples"
                elif kind == "refused" and str(folder) not in value:
                    kind = "unclear"
                counts[kind] += 1
                if kind not in ("same samples", "refused"):
                    wrong[f"{method}, {case}"] = f"{kind}: {value}"
                shutil.rmtree(folder)
    return counts, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=["ddgan", "diffusion-gan", "spi-gan"])
    parser.add_argument("--step", type=int, default=1, help="Try every so-manieth case only.")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    counts, wrong = check(arguments.methods, arguments.step)
    for case, problem in wrong.items():
        print(f"{case}: {problem}", file=sys.stderr)
    print(f"{sum(counts.values())} damaged pipelines: {dict(sorted(counts.items()))}", flush=True)
    sys.exit(int(bool(wrong)))


if __name__ == "__main__":
    main()
