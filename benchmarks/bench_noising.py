# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
Noising a batch: ours against `torch.randn_like` and diffusers' `DDPMScheduler.add_noise`, in one run.

    python benchmarks/bench_noising.py            # on the GPU if there is one, else on the CPU
    python benchmarks/bench_noising.py --device cpu --threads 1 --rounds 200

In every round each candidate runs once, so a busy machine slows all of them. Ratios are medians over the rounds. On a
GPU, "copy bandwidth" is the bandwidth as a fraction of that of copying the batch. Results are compared before anything
is timed.
"""

import argparse
import statistics
import weakref
from collections.abc import Callable

import torch
from common import seconds
from diffusers import DDPMScheduler
from torch.utils._python_dispatch import TorchDispatchMode

from gan_diffusion.kernels import noising


SHAPES = [(64, 3, 32, 32), (256, 3, 32, 32), (4, 3, 256, 256), (16, 3, 256, 256)]


class PeakMemory(TorchDispatchMode):
    """The most bytes that tensors made inside a `with` block hold at once."""

    def __init__(self):
        super().__init__()
        self.live: dict[int, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        known = {argument.untyped_storage()._cdata for argument in args if isinstance(argument, torch.Tensor)}
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage()._cdata not in known | self.live.keys():
                storage = tensor.untyped_storage()
                self.live[storage._cdata] = storage.nbytes()
                weakref.finalize(storage, self.live.pop, storage._cdata, None)
                self.peak = max(self.peak, sum(self.live.values()))
        return result


def candidates(shape: tuple[int, ...], device: torch.device) -> dict[str, Callable[[], torch.Tensor]]:
    """What is timed on a batch of a shape: name -> function."""
    scheduler = DDPMScheduler()
    alphas_cumprod = scheduler.alphas_cumprod = scheduler.alphas_cumprod.to(device)
    signal_coefs, noise_coefs = alphas_cumprod.sqrt(), (1 - alphas_cumprod).sqrt()
    sample = torch.randn(shape, device=device)
    timesteps = torch.randint(len(alphas_cumprod), shape[:1], device=device)
    check_agreement(scheduler, sample, signal_coefs, noise_coefs, timesteps)
    timed = {
        "randn_like": lambda: torch.randn_like(sample),
        "diffusers": lambda: scheduler.add_noise(sample, torch.randn_like(sample), timesteps),
        "ours": lambda: noising.noise(sample, signal_coefs, noise_coefs, timesteps),
    }
    if device.type != "cpu":
        timed["copy"] = sample.clone
    return timed


def check_agreement(scheduler, sample, signal_coefs, noise_coefs, timesteps):
    """Asserts that the result equals that of diffusers with the same noise, and the reference's with the same seed."""
    noise = torch.randn_like(sample)
    ours = noising.noise(sample, signal_coefs, noise_coefs, timesteps, noise=noise)
    torch.testing.assert_close(ours, scheduler.add_noise(sample, noise, timesteps), rtol=1e-6, atol=1e-6)
    seeded = noising.noise(sample, signal_coefs, noise_coefs, timesteps, seed=1)
    with noising.kernel_backend("reference"):
        expected = noising.noise(sample, signal_coefs, noise_coefs, timesteps, seed=1)
    # The GPU's approximate logarithm moves the shortest radii, sqrt(-2 ln u) with u near 1, by less than 1e-3.
    torch.testing.assert_close(seeded, expected, rtol=1e-5, atol=1e-5 if sample.device.type == "cpu" else 1e-3)


def timed_rounds(timed: dict[str, Callable], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Seconds of every candidate in every round. Each is called once before, untimed, so that its memory is there."""
    results = {name: [] for name in timed}
    for _ in range(rounds):
        for name, function in timed.items():
            function()
            results[name].append(gpu_seconds(function) if device.type != "cpu" else seconds(function))
    return results


def gpu_seconds(function: Callable, repeats: int = 20) -> float:
    """Mean time of one call on the GPU, over enough calls in a row to hide the launches."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(repeats):
        function()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3 / repeats


def peak_bytes(function: Callable, device: torch.device) -> int:
    """The most bytes that a call holds beyond what was there before."""
    if device.type != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        function()
        return torch.cuda.max_memory_allocated() - before
    with PeakMemory() as memory:
        function()
    return memory.peak


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, help="CPU threads; PyTorch's choice if not given")
    parser.add_argument("--rounds", type=int, default=100)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} thread(s)"
    print(f"{name}, torch {torch.__version__}, float32, {arguments.rounds} rounds\n")
    columns = ["batch", "randn_like ms", "diffusers ms", "ours ms", "ours / diffusers", "ours / randn_like"]
    columns += ["copy bandwidth"] * (device.type != "cpu") + ["memory diffusers", "memory ours"]
    print("| " + " | ".join(columns) + " |")
    print("| --- " + "| ---: " * (len(columns) - 1) + "|")
    for shape in SHAPES:
        timed = candidates(shape, device)
        results = timed_rounds(timed, arguments.rounds, device)

        def ratio(above, below, results=results):
            return statistics.median(a / b for a, b in zip(results[above], results[below], strict=True))

        batch_bytes = 4 * torch.Size(shape).numel()
        cells = ["x".join(map(str, shape))]
        cells += [f"{1e3 * statistics.median(results[key]):.3f}" for key in ("randn_like", "diffusers", "ours")]
        cells += [f"{ratio('ours', 'diffusers'):.2f}", f"{ratio('ours', 'randn_like'):.2f}"]
        if device.type != "cpu":
            cells.append(f"{ratio('copy', 'ours'):.0%}")
        cells += [f"{peak_bytes(timed[key], device) / batch_bytes:.2f} x batch" for key in ("diffusers", "ours")]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
