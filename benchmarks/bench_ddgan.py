# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Speed and memory of the DDGAN networks on the CPU, in units of the machine's own convolution rate.

The floor is the arithmetic of the networks at the rate of one 128-to-128-channel 3x3 convolution measured beside it, in
the same process. Run it on an otherwise idle machine:

    python benchmarks/bench_ddgan.py [--quick] [--threads 2]

Prints a Markdown table: what was measured, its time, its cost in units of the floor (median of the rounds), and the cost
of the reference implementation (NVlabs/denoising-diffusion-gan, measured with the same yardstick on two cores).
"""

import statistics
import subprocess
import sys

import torch
import torch.nn.functional as F
from common import measure, parse_arguments, peak_memory_mib, print_peak_memory

from gan_diffusion.models import DDGANDiscriminator, NCSNppGenerator


# Forward passes of one 32x32 image, multiply and add counted apart.
GENERATOR_FLOPS = 14.1e9
DISCRIMINATOR_FLOPS = 2.94e9


def make_sampling(batch_size: int):
    """One generator call of the published CIFAR-10 configuration."""
    generator = NCSNppGenerator().eval()
    sample, latent = torch.randn(batch_size, 3, 32, 32), torch.randn(batch_size, 100)

    @torch.no_grad()
    def sampling():
        return generator(sample, 1, latent).sample

    return sampling, batch_size * GENERATOR_FLOPS


def make_training(batch_size: int, optimizers: bool = False):
    """One iteration without R1: discriminator step on a real and a generated pair, then generator step.

    Counts as four generator and eight discriminator forwards: a backward pass is two, and half of it where only the
    gradient of the input is needed.
    """
    generator, discriminator = NCSNppGenerator(), DDGANDiscriminator()
    x_t, x_tp1 = torch.randn(2, batch_size, 3, 32, 32)
    latent, timestep = torch.randn(batch_size, 100), torch.arange(batch_size) % 4
    steps = {
        network: torch.optim.Adam(network.parameters(), lr=1e-4, betas=(0.5, 0.9), fused=True)
        for network in (generator, discriminator)
    }

    def iteration():
        discriminator.requires_grad_(True).zero_grad()
        F.softplus(-discriminator(x_t, timestep, x_tp1).logits).mean().backward()
        with torch.no_grad():
            fake = generator(x_tp1, timestep, latent).sample
        F.softplus(discriminator(fake, timestep, x_tp1).logits).mean().backward()
        if optimizers:
            steps[discriminator].step()

        discriminator.requires_grad_(False)
        generator.zero_grad()
        fake = generator(x_tp1, timestep, latent).sample
        F.softplus(-discriminator(fake, timestep, x_tp1).logits).mean().backward()
        if optimizers:
            steps[generator].step()

    return iteration, batch_size * (4 * GENERATOR_FLOPS + 8 * DISCRIMINATOR_FLOPS)


def import_seconds(statement: str) -> float:
    """CPU time of one import in a fresh process; the median of three."""
    code = f"import time; {statement}; print(time.process_time())"
    runs = [subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True) for _ in range(3)]
    return statistics.median(float(run.stdout) for run in runs)


def main() -> None:
    args = parse_arguments(__doc__, memory_modes=("imports", "training"))
    if args.peak_memory_of:
        print_peak_memory(make_training(batch_size=4)[0] if args.peak_memory_of == "training" else None)
        return

    rows = {
        "generator, batch 16, inference": (*make_sampling(16), 2.02),
        "training iteration without R1, batch 4": (*make_training(4), 3.35),
        "the same with both Adam steps": (*make_training(4, optimizers=True), "-"),
    }
    measure(rows, "CIFAR-10 configuration", args)
    if args.quick:
        return

    training, imports = (peak_memory_mib(mode, args.threads) for mode in ("training", "imports"))
    print(f"\nPeak memory of a training iteration, batch 4: {training:.0f} MiB, of which imports {imports:.0f} MiB.")
    print("\n| import | CPU time (s) |\n|---|---|")
    for statement in (
        "import torch",
        "import gan_diffusion",
        "from diffusers.models.modeling_utils import ModelMixin",
        "from gan_diffusion import NCSNppGenerator",
    ):
        print(f"| `{statement}` | {import_seconds(statement):.2f} |")


if __name__ == "__main__":
    main()
