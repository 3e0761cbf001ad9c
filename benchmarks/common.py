# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""What the benchmarks share: the machine's own convolution rate, and timing in interleaved rounds."""

import statistics
import time
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F


YARDSTICK_FLOPS = 2 * 32 * 128 * 128 * 3 * 3 * 32 * 32


def make_yardstick() -> Callable[[], torch.Tensor]:
    """A 3x3 convolution, 128 to 128 channels, of 32 channels-last float32 images of 32x32: the rate others are held to."""
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
    """Times every candidate and the yardstick in turn, so that a busy machine slows all of them.

    Args:
        candidates: Name -> function to time, called once per round after one call to warm up.
        rounds: Number of rounds.
        inner: Yardstick calls before, and again after, each candidate.

    Returns:
        Name -> for each round, the candidate's seconds times the convolution rate beside it (FLOP): divided by the
        candidate's own FLOPs this is its cost in units of the floor. The rate itself is under "yardstick" (FLOP/s).
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
