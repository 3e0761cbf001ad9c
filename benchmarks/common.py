# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""What the benchmarks share: options, the speed of a convolution on this machine, timing in rounds, peak memory."""

import argparse
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F


# A row of a table: its function, the arithmetic of one call (FLOP), and the reference implementation's cost, or "-".
Row = tuple[Callable[[], object], float, float | str]

YARDSTICK_FLOPS = 2 * 32 * 128 * 128 * 3 * 3 * 32 * 32


def make_yardstick() -> Callable[[], torch.Tensor]:
    """The convolution that times are compared with: 3x3, 128 to 128 channels, on 32 float32 images of 32x32 pixels."""
    sample = torch.randn(32, 128, 32, 32).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(128, 128, 3, 3).contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def yardstick():
        return F.conv2d(sample, weight, padding=1)

    return yardstick


def seconds(function: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def interleaved(candidates: Mapping[str, Callable[[], object]], rounds: int, inner: int = 5) -> dict[str, list[float]]:
    """
    Times the candidates and the convolution of [`make_yardstick`] in turns, so that a busy machine slows all of them.

    Args:
        candidates (`Mapping[str, Callable]`): Name -> function to time. Called once to warm up, then once per round.
        rounds (`int`): Number of rounds.
        inner (`int`, defaults to 5): Calls of the convolution before each candidate, and as many after it.

    Returns:
        `dict[str, list[float]]`: Name -> one value per round: the candidate's time in seconds, times the speed of the
            convolution around it in FLOP/s. Divided by the candidate's own FLOPs this is its time relative to the
            floor. The speeds of the convolution are under "yardstick".
    """
    yardstick = make_yardstick()
    seconds(yardstick)
    for function in candidates.values():
        function()
    results = {name: [] for name in ("yardstick", *candidates)}
    for _ in range(rounds):
        for name, function in candidates.items():
            before = [seconds(yardstick) for _ in range(inner)]
            elapsed = seconds(function)
            after = [seconds(yardstick) for _ in range(inner)]
            rate = YARDSTICK_FLOPS / statistics.median(before + after)
            results["yardstick"].append(rate)
            results[name].append(elapsed * rate)
    return results


def parse_arguments(description: str, memory_modes: tuple[str, ...] = ("imports",)) -> argparse.Namespace:
    """
    Reads the options of a benchmark, and sets the number of threads and the seed.

    Args:
        description (`str`): The docstring of the benchmark.
        memory_modes (`tuple[str, ...]`, defaults to `("imports",)`): The modes in which `peak_memory_mib` may run it.

    Returns:
        `argparse.Namespace`: `quick`, `threads` and `peak_memory_of`.
    """
    parser = argparse.ArgumentParser(
        description=description.strip(), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="three rounds of times, nothing else")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--peak_memory_of", choices=memory_modes, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    return args


def measure(rows: Mapping[str, Row], title: str, args: argparse.Namespace) -> dict[str, float]:
    """Times the rows, prints them as a table, and returns the median time of each in seconds, at the median rate."""
    results = interleaved({name: function for name, (function, *_) in rows.items()}, rounds=3 if args.quick else 7)
    rate = statistics.median(results["yardstick"])
    print(
        f"Yardstick: {rate / 1e9:.1f} GFLOP/s, {args.threads} threads ({YARDSTICK_FLOPS / 1e9:.2f} GFLOP per call).\n"
    )
    print(f"| {title} | time (s) | x floor | best round | reference x floor |")
    print("|---|---|---|---|---|")
    times = {}
    for name, (_, flops, reference) in rows.items():
        cost = [value / flops for value in results[name]]
        median = statistics.median(cost)
        times[name] = median * flops / rate
        print(f"| {name} | {times[name]:.2f} | {median:.2f} | {min(cost):.2f} | {reference} |")
    return times


def print_peak_memory(run: Callable[[], object] | None = None) -> None:
    """Calls `run` twice, then prints the peak memory of this process in KiB, for `peak_memory_mib` to read."""
    if run is not None:
        for _ in range(2):
            run()
    # Not `ru_maxrss`: a new process inherits its parent's.
    print(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1])


def peak_memory_mib(mode: str, threads: int) -> float:
    """Peak resident memory, in MiB, of a fresh process of the running benchmark with `--peak_memory_of mode`."""
    command = [sys.executable, sys.argv[0], "--peak_memory_of", mode, "--threads", str(threads)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 1024
