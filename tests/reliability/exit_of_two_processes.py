#!/usr/bin/env python
# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""
Runs small trainings in two processes again and again, and counts how they end.

A process ends badly when a worker thread of the gloo backend outlives the training: it may still have to free a Python
object, and it does so while the interpreter closes. Python then ends that thread, and with it the process (`terminate
called without an active exception`), or both wait for each other for ever. This is rare. So each process also looks
for such threads when the script has returned, which finds them every time.

Usage: `python tests/reliability/exit_of_two_processes.py --runs 34`
"""

import argparse
import collections
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path


ROOT = Path(__file__).parents[2]
# Settings that make a step take milliseconds, with penalties and checkpoints. The networks are as in training_runs.py.
OPTIONS = ["--max_train_steps", "6", "--checkpointing_steps", "3", "--report_to", "tensorboard"]
WORKER_NAME = "pt_gloo_runloop"  # What torch calls the threads of a gloo process group.
THREADS_LEFT = 7


def gloo_threads() -> int:
    """Counts the worker threads of gloo process groups in this process. Linux only."""
    return sum(file.read_text().strip() == WORKER_NAME for file in Path("/proc/self/task").glob("*/comm"))


def run_rank(script: str, *options: str) -> None:
    """Runs the training script as one of the processes, then looks for threads that it has left."""
    sys.argv = [script, *options]
    runpy.run_path(script, run_name="__main__")
    threads = gloo_threads()
    if threads:
        print(f"{threads} threads of the process group outlive the training.", file=sys.stderr)
        sys.exit(THREADS_LEFT)


def run_once(recipe: Path, output_dir: Path, timeout: float) -> tuple[str, str]:
    """Trains once in two processes. Returns how it ended and what it wrote to stderr."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    script = ROOT / "training_scripts" / f"train_{recipe.name.replace('-', '_')}.py"
    options = ["--recipe", str(recipe), "--output_dir", str(output_dir), *OPTIONS]
    rank = [__file__, "--rank", str(script), *options]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([*launch, *rank], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)
    try:
        errors = process.communicate(timeout=timeout)[1].decode(errors="replace")
    except subprocess.TimeoutExpired:
        process.terminate()  # torchrun then ends its processes.
        return "no end", process.communicate()[1].decode(errors="replace")
    if process.returncode == 0:
        return "ended well", errors
    if "terminate called" in errors:
        return "aborted", errors
    if "outlive the training" in errors:
        return "left threads", errors
    return f"exit code {process.returncode}", errors


def main() -> None:
    sys.path.insert(0, str(ROOT / "tests"))
    from training_runs import METHODS, make_recipe

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=34, help="Trainings of each method.")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--timeout", type=float, default=300, help="Seconds after which a training counts as stuck.")
    arguments = parser.parse_args()

    bad = False
    for method in arguments.methods:
        endings = collections.Counter()
        with tempfile.TemporaryDirectory() as folder:
            recipe = make_recipe(method, Path(folder) / method)
            for number in range(arguments.runs):
                output_dir = Path(folder) / f"run-{number}"
                ending, errors = run_once(recipe, output_dir, arguments.timeout)
                endings[ending] += 1
                if ending != "ended well":
                    bad = True
                    print(f"{method}, run {number}: {ending}\n{errors}", file=sys.stderr, flush=True)
        print(f"{method}: {arguments.runs} runs, {dict(endings)}", flush=True)
    sys.exit(int(bad))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--rank"]:
        run_rank(*sys.argv[2:])
    else:
        main()
