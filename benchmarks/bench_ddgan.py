# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
Speed and memory of the DDGAN networks on the CPU, relative to the speed of one convolution on the same machine.

A 3x3 convolution from 128 to 128 channels is timed beside the networks, in the same process. The floor is the time
that the arithmetic of the networks would take at the speed of this convolution. Run it on a machine that does nothing
else:

    python benchmarks/bench_ddgan.py [--quick] [--threads 2]

It prints a Markdown table: what was measured, its time, this time divided by the floor (median of the rounds), and the
same ratio for the reference implementation (NVlabs/denoising-diffusion-gan, measured with the same convolution on two
cores).
"""

import statistics
import subprocess
import sys

import torch
import torch.nn.functional as F
from common import measure, parse_arguments, peak_memory_mib, print_peak_memory

from gan_diffusion.models import DDGANDiscriminator, NCSNppGenerator


# Forward passes of one 32x32 image. Additions and multiplications count.
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
    """
    One iteration without R1: the discriminator's step on a real and a generated pair, then the generator's step.

    It counts as four forward passes of the generator and eight of the discriminator. A backward pass counts as two
    forward passes, or as one where only the gradient of the input is needed.
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
    """Prints the table, then peak memory and import times."""
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
