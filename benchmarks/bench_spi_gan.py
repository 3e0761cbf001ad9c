# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
Speed of the SPI-GAN generator on the CPU, relative to the speed of one convolution on the same machine.

Measures the CIFAR-10 configuration with batch 16. A 3x3 convolution from 128 to 128 channels is timed beside it, in
the same process. The floor is the time that the arithmetic of the synthesis network would take at the speed of this
convolution. Run it on a machine that does nothing else:

    python benchmarks/bench_spi_gan.py [--quick] [--threads 2]

It prints a Markdown table: what was measured, its time, and this time divided by the floor (median of the rounds).
After it come, for both kinds of mapping, the time from noise to style as a share of the time from style to image, and
the peak memory of sampling.
"""

from collections.abc import Callable

import torch
from common import Row, measure, parse_arguments, peak_memory_mib, print_peak_memory

from gan_diffusion.models import SPIGANGenerator
from gan_diffusion.recipes import Recipe


BATCH_SIZE = 16
# Forward pass of the batch through the synthesis network, 8.04 GFLOP per image. Additions and multiplications count.
SYNTHESIS_FLOPS = BATCH_SIZE * 8.04e9
MAPPINGS = ("ode", "mlp")


def make_generator(mapping_type: str) -> SPIGANGenerator:
    """The recipe's generator with one of the mappings."""
    return Recipe.load("spi-gan-cifar10").build("generator", mapping_type=mapping_type).eval()


def make_sampling(generator: SPIGANGenerator) -> Callable[[], torch.Tensor]:
    """Noise to images."""
    noise = torch.randn(BATCH_SIZE, *generator.noise_shape)
    return torch.no_grad()(lambda: generator(noise).sample)


def make_mapping(generator: SPIGANGenerator) -> Callable[[], torch.Tensor]:
    """Noise to styles at u = 1."""
    noise, positions = torch.randn(BATCH_SIZE, *generator.noise_shape), torch.ones(BATCH_SIZE)
    return torch.no_grad()(lambda: generator.mapping(generator.embed(noise), positions))


def make_synthesis(generator: SPIGANGenerator) -> Callable[[], torch.Tensor]:
    """Styles to images."""
    styles = torch.randn(BATCH_SIZE, generator.config.w_dim)
    return torch.no_grad()(lambda: generator.synthesize(styles))


def main() -> None:
    """Prints the table, the shares of the mappings and the peak memory."""
    args = parse_arguments(__doc__, memory_modes=("imports", "sampling"))
    if args.peak_memory_of:
        print_peak_memory(make_sampling(make_generator("ode")) if args.peak_memory_of == "sampling" else None)
        return

    generators = {mapping_type: make_generator(mapping_type) for mapping_type in MAPPINGS}
    functions = {
        **{f"sampling, {name}": make_sampling(generator) for name, generator in generators.items()},
        **{f"noise to style, {name}": make_mapping(generator) for name, generator in generators.items()},
        "style to image": make_synthesis(generators["ode"]),
    }
    rows: dict[str, Row] = {name: (function, SYNTHESIS_FLOPS, "-") for name, function in functions.items()}
    times = measure(rows, f"CIFAR-10 configuration, batch {BATCH_SIZE}", args)
    print()
    for name in MAPPINGS:
        share = times[f"noise to style, {name}"] / times["style to image"]
        print(f"Noise to style, {name}: {share:.1%} of the time from style to image.")
    if args.quick:
        return

    sampling, imports = (peak_memory_mib(mode, args.threads) for mode in ("sampling", "imports"))
    print(f"\nPeak memory of sampling: {sampling:.0f} MiB, of which imports {imports:.0f} MiB.")


if __name__ == "__main__":
    main()
