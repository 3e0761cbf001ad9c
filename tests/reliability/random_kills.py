#!/usr/bin/env python
# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""
Kills small trainings at random times, gives the same command until it ends, and compares the result to the bit.

A training is killed once or twice, by SIGKILL, SIGTERM or SIGINT, at a moment drawn from the time that an undisturbed
one takes, which includes reading the data, checkpoints, sample grids and the export.

Usage: `python tests/reliability/random_kills.py --kills 100`
"""

import argparse
import collections
import os
import random
import signal
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import torch
from isolation import ScriptProcess, import_what_it_imports

from gan_diffusion.training import train


sys.path.insert(0, str(Path(__file__).parents[1]))

from training_runs import METHODS, assert_equal_runs, command, make_recipe


SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
# Long enough that most kills find it between two steps or in a checkpoint.
OPTIONS = ("--max_train_steps", "24", "--checkpointing_steps", "4", "--validation_steps", "8", "--report_to", "none")


def start(recipe: Path, output_dir: Path) -> ScriptProcess:
    _, script, *options = command(recipe, output_dir, *OPTIONS)
    return ScriptProcess(script, options, output_dir.with_suffix(".errors"))


def run_killed(recipe: Path, output_dir: Path, seconds: float, choice: random.Random) -> str:
    """Kills once or twice, and runs to the end. Returns what happened."""
    happened = []
    for _ in range(choice.randint(1, 2)):
        number, delay = choice.choice(SIGNALS), choice.uniform(0, 1) * seconds
        process = start(recipe, output_dir)
        code = process.wait(delay)
        if code is None:
            os.kill(process.pid, number)
            code = process.wait()
        happened.append(f"{number.name} after {delay:.1f} s: {code}")
    if start(recipe, output_dir).wait():
        errors = output_dir.with_suffix(".errors").read_text(errors="replace")
        raise RuntimeError(f"{', '.join(happened)}, then the same command failed:\n{errors[-2000:]}")
    return ", ".join(happened)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="Trainings of each method.")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    os.environ |= {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    torch.set_num_threads(1)  # Children of a process with threads of torch's would hang.
    bad = False
    for method in arguments.methods:
        choice, endings = random.Random(f"{arguments.seed} {method}"), collections.Counter()
        with tempfile.TemporaryDirectory() as folder:
            recipe, whole = make_recipe(method, Path(folder) / method), Path(folder) / "whole"
            import_what_it_imports(partial(train, method, command(recipe, Path(folder) / "first", *OPTIONS)[2:]))
            begin = time.monotonic()
            if start(recipe, whole).wait():
                sys.exit(whole.with_suffix(".errors").read_text(errors="replace"))
            seconds = time.monotonic() - begin
            for number in range(arguments.kills):
                output_dir = Path(folder) / f"run-{number}"
                try:
                    run_killed(recipe, output_dir, seconds, choice)
                    assert_equal_runs(whole, output_dir)
                    endings["exact"] += 1
                except Exception as error:
                    bad = True
                    endings[type(error).__name__] += 1
                    print(f"{method}, run {number}: {error}", file=sys.stderr, flush=True)
        print(f"{method}: {arguments.kills} trainings killed, {dict(endings)}", flush=True)
    sys.exit(bad)


if __name__ == "__main__":
    main()
