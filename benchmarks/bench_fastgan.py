# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
Speed of the FastGAN generator on the CPU, relative to the speed of one convolution on the same machine.

Measures the published CIFAR-10 configuration of Diffusion-ProjectedGAN with batch 16, in training mode, with weights
in channels-last format as in a training. A 3x3 convolution from 128 to 128 channels is timed beside it, in the same
process. The floor is the time that the arithmetic of the network would take at the speed of this convolution; a
backward pass counts as two forward passes. Run it on a machine that does nothing else:

    python benchmarks/bench_fastgan.py [--quick] [--threads 2]

It prints a Markdown table: what was measured, its time, this time divided by the floor (median of the rounds), and the
same ratio for the reference implementation (Zhendong-Wang/Diffusion-GAN, measured with the same convolution).
"""

from collections.abc import Callable

import torch
from common import Row, measure, parse_arguments

from gan_diffusion.recipes import Recipe


BATCH_SIZE = 16
# Forward pass of one 32x32 image. Additions and multiplications count.
FORWARD_FLOPS = BATCH_SIZE * 17.8e9


def make_calls() -> tuple[Callable[[], object], Callable[[], object]]:
    """Noise to images without gradients, and the same with a backward pass to all weights."""
    generator = Recipe.load("diffusion-projected-cifar10").build("generator").train()
    generator.to(memory_format=torch.channels_last)
    latent = torch.randn(BATCH_SIZE, generator.config.latent_dim)

    def step():
        generator.zero_grad()
        generator(latent).sample.square().mean().backward()

    return torch.no_grad()(lambda: generator(latent).sample), step


def main() -> None:
    """Prints the table."""
    args = parse_arguments(__doc__)
    forward, step = make_calls()
    rows: dict[str, Row] = {
        "forward": (forward, FORWARD_FLOPS, 1.71),
        "forward and backward": (step, 3 * FORWARD_FLOPS, 1.98),
    }
    measure(rows, f"CIFAR-10 configuration, batch {BATCH_SIZE}", args)


if __name__ == "__main__":
    main()
