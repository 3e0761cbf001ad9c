# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""
Kills a process before each of its calls that change files, and looks at what is left.

After every kill the folder must give the old pipeline or the new one, whole: the generator, the discriminator, the
scheduler and the settings of one export. The same work again must then give the new one, and leave nothing else.
Prints the counts, and what went wrong; ends with 1 if anything did. Needs Linux and a C compiler.

Calls of the C library are seen. safetensors renames each file that it has written without it: those two calls of an
export, in the folder that does not count yet, are not.
"""

import argparse
import collections
import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import isolation
import torch

from gan_diffusion.storage.writing import finish_replacing


ROOT = Path(__file__).parents[2]
EXPORTED = ("model_index.json", "generator", "discriminator", "scheduler", "README.md", "training.yaml", "pipeline.py",
            "measurements.json", "checksums.json", "modular_blocks.py", "modular_config.json", "modular_model_index.json")  # fmt: skip
NOTHING = "nothing"


@dataclass
class Scenario:
    """
    Work that is killed.

    Args:
        name (`str`): What it is called.
        prepare (`Callable`): Brings an empty folder to the state before.
        work (`Callable`): What is killed, with the folder.
    """

    name: str
    prepare: Callable[[Path], object]
    work: Callable[[Path], object]


def build_shim(folder: Path) -> Path:
    library = folder / "crash_points.so"
    source = Path(__file__).with_suffix(".c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


def armed(work: Callable[[Path], object], folder: Path, number: int) -> Callable[[], int]:
    """The work, killed before its call `number`; 0 to count them."""
    shim = ctypes.CDLL(None)
    shim.crash_seen.restype = ctypes.c_long

    def run() -> int:
        shim.crash_arm(str(folder).encode(), ctypes.c_long(number))
        work(folder)
        return shim.crash_seen()

    return run


def whole(folder: Path) -> str:
    """A checksum of everything that the package reads from a folder, or that there is nothing to read."""
    from gan_diffusion.pipelines.auto import load_pipeline
    from gan_diffusion.recipes import Recipe

    if not any((folder / place / "model_index.json").exists() for place in ("", ".export")):
        return NOTHING
    pipeline = load_pipeline(folder)
    recipe = Recipe.load(folder)
    discriminator = recipe.component_class("discriminator").from_pretrained(folder, subfolder="discriminator")
    content = hashlib.sha256(repr((dict(pipeline.scheduler.config), recipe.training)).encode())
    for network in (pipeline.generator, discriminator):
        for name, tensor in network.state_dict().items():
            content.update(name.encode() + tensor.numpy().tobytes())
    return content.hexdigest()


def bytes_of(folder: Path) -> str:
    """A checksum of the files of an export, as other libraries find them; without an index they find nothing."""
    if not (folder / "model_index.json").exists():
        return NOTHING
    files = [file for name in EXPORTED for file in (folder / name, *sorted((folder / name).rglob("*")))]
    content = hashlib.sha256()
    for file in files:
        # Times of the run stand in two of them.
        timed = file.name in ("README.md", "measurements.json")
        content.update(str(file.relative_to(folder)).encode())
        content.update(file.read_bytes() if file.is_file() and not timed else str(file.exists()).encode())
    return content.hexdigest()


def leftovers(folder: Path) -> list[str]:
    hidden = [str(path.relative_to(folder)) for path in folder.rglob(".*") if path.name != ".gitignore"]
    return hidden + [str(path.relative_to(folder)) for path in folder.rglob("*.partial*")]


def in_child(function: Callable[[], object]) -> object:
    kind, value = isolation.run(function, seconds=300, memory=None)
    if kind != "returned":
        raise RuntimeError(f"{kind}: {value}")
    return value


def look(folder: Path) -> tuple[str, str]:
    kind, value = isolation.run(lambda: whole(folder), seconds=300, memory=None)
    return (value if kind == "returned" else f"{kind}: {value}"), bytes_of(folder)


def check(scenario: Scenario, step: int = 1) -> tuple[collections.Counter, dict[str, str]]:
    """Kills before every `step`-th call. Returns the counts of what was left, and what went wrong by call."""
    counts, wrong = collections.Counter(), {}
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary)
        start, end, folder = base / "start", base / "end", base / "killed"
        start.mkdir()
        in_child(lambda: scenario.prepare(start))
        old = look(start)
        shutil.copytree(start, end)
        shutil.copytree(start, folder)
        in_child(lambda: finish_replacing(folder))
        whole_files = {NOTHING, old[1], bytes_of(folder)}
        shutil.rmtree(folder)
        calls = in_child(armed(scenario.work, end, 0))
        new = look(end)
        whole_files.add(new[1])
        assert old != new, scenario.name
        for number in range(1, calls + 1, step):
            shutil.copytree(start, folder)
            outcome = isolation.run(armed(scenario.work, folder, number), seconds=300, memory=None)
            found = look(folder)
            problems = [f"not killed: {outcome}"] * (outcome != ("died", -9))
            problems += [f"loads as {found[0]}"] * (found[0] not in (old[0], new[0]))
            problems += ["files of two exports"] * (found[1] not in whole_files)
            again = isolation.run(lambda: scenario.work(folder), seconds=300, memory=None)
            after = look(folder)
            problems += [f"again: {again}"] * (again[0] != "returned") + ["again gives another"] * (after != new)
            problems += [f"left over: {leftovers(folder)}"] * bool(leftovers(folder))
            counts["wrong" if problems else "old" if found[0] == old[0] else "new"] += 1
            if problems:
                wrong[f"{scenario.name}, call {number}"] = "; ".join(problems)
            shutil.rmtree(folder)
    return counts, wrong


def scenarios(recipes: Path) -> dict[str, Scenario]:
    sys.path.insert(0, str(ROOT / "tests"))
    from training_runs import make_recipe

    from gan_diffusion.cli import main
    from gan_diffusion.publishing import record_measurements, save_repository
    from gan_diffusion.recipes import Recipe

    source = make_recipe("ddgan", recipes / "ddgan")

    def export(folder: Path, seed: int = 1) -> None:
        recipe = Recipe.load(source)
        torch.manual_seed(seed)
        networks = recipe.build("generator"), recipe.build("discriminator")
        pipeline = recipe.pipeline_class(networks[0], recipe.build("scheduler"))
        save_repository(folder, pipeline, networks[1], recipe, {"seed": seed}, {"steps": seed})

    def older(folder: Path) -> None:
        export(folder, seed=0)
        (folder / "generator" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"of the older export")
        (folder / "samples.txt").write_text("stays")

    def interrupted(folder: Path) -> None:
        """An older export, and a newer one that was killed after it began to count."""
        older(folder)
        export(folder / "newer", seed=2)
        (folder / "newer").rename(folder / ".export")
        (folder / "model_index.json").unlink()

    def measure(folder: Path) -> None:
        record_measurements(folder, {"FID": 3.5})

    def train(folder: Path, steps: int = 4) -> None:
        options = ["--checkpointing_steps", "2", "--validation_steps", "2", "--max_train_steps", str(steps)]
        main(["train", "ddgan", "--recipe", str(source), "--output_dir", str(folder), *options])

    def stopped(folder: Path) -> None:
        """A run of which only its checkpoint is left."""
        train(folder, steps=2)
        for name in EXPORTED:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return {
        scenario.name: scenario
        for scenario in (
            Scenario("first export", lambda folder: None, export),
            Scenario("export over an older one", older, export),
            Scenario("export after an interrupted one", interrupted, export),
            Scenario("measurements after an interrupted export", interrupted, measure),
            Scenario("first run", lambda folder: None, train),
            Scenario("continued run", stopped, train),
            Scenario("run over an older export", lambda folder: train(folder, steps=2), train),
        )
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenarios", nargs="+", help="Names of scenarios; all by default.")
    parser.add_argument("--step", type=int, default=1, help="Kill before every so-manieth call only.")
    arguments = parser.parse_args()
    os.environ |= {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    torch.set_num_threads(1)
    bad = False
    with tempfile.TemporaryDirectory() as recipes:
        known = scenarios(Path(recipes))
        names = arguments.scenarios or list(known)
        work = known["first run" if any("run" in name for name in names) else "first export"].work
        with tempfile.TemporaryDirectory() as folder:
            isolation.import_what_it_imports(lambda: work(Path(folder)))
        for name in names:
            counts, wrong = check(known[name], arguments.step)
            for call, problem in wrong.items():
                print(f"{call}: {problem:.500}", file=sys.stderr)
            print(f"{name}: {sum(counts.values())} crash points: {dict(sorted(counts.items()))}", flush=True)
            bad = bad or bool(wrong)
    sys.exit(int(bad))


if __name__ == "__main__":
    if "crash_points" not in os.environ.get("LD_PRELOAD", ""):
        with tempfile.TemporaryDirectory() as place:
            environment = {**os.environ, "LD_PRELOAD": str(build_shim(Path(place)))}
            sys.exit(subprocess.run([sys.executable, *sys.argv], env=environment).returncode)
    main()
