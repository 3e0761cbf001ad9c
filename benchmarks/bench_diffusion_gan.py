# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
Speed and memory of Diffusion-GAN on the CPU, relative to the speed of one convolution on the same machine.

Measures the published CIFAR-10 configuration with StyleGAN2 and batch 16, in the half-steps of the training loop. A
3x3 convolution from 128 to 128 channels is timed beside them, in the same process. The floor is the time that the
arithmetic of the networks would take at the speed of this convolution. Run it on a machine that does nothing else:

    python benchmarks/bench_diffusion_gan.py [--quick] [--threads 2]

It prints a Markdown table: what was measured, its time, this time divided by the floor (median of the rounds), and the
same ratio for the reference implementation (Zhendong-Wang/Diffusion-GAN, measured with the same convolution). In the
floor of a main half-step a backward pass counts as two forward passes, or as one where only the gradient of the input
is needed. The floor of a penalty is one forward pass of the batch, so its ratio is a number of forward passes.
"""

from collections.abc import Callable

import torch
from common import Row, measure, parse_arguments, peak_memory_mib, print_peak_memory

from gan_diffusion.data.batch import Batch
from gan_diffusion.recipes import Recipe
from gan_diffusion.training.objectives.diffusion_gan import DiffusionGANObjective


BATCH_SIZE = 16
# Forward pass of the batch through either network, 8.04 GFLOP per image. Additions and multiplications count.
FORWARD_FLOPS = BATCH_SIZE * 8.04e9


def make_objective() -> DiffusionGANObjective:
    """The recipe's objective, with the path-length penalty, which StyleGAN2 has by default and the recipe has not."""
    recipe = Recipe.load("diffusion-stylegan2-cifar10")
    networks = {name: recipe.build(name).train() for name in ("generator", "discriminator")}
    return DiffusionGANObjective(
        **networks,
        scheduler=recipe.build("scheduler"),
        latent_dim=recipe.config("generator")["latent_dim"],
        r1_gamma=recipe.training["r1_gamma"],
        path_length_weight=2.0,
    )


def make_sampling(objective: DiffusionGANObjective) -> Callable[[], torch.Tensor]:
    """One generator call without gradients."""
    latent = torch.randn(BATCH_SIZE, objective.latent_dim)

    @torch.no_grad()
    def sampling():
        return objective.generator(latent).sample

    return sampling


def make_half_step(objective: DiffusionGANObjective, name: str) -> Callable[[], None]:
    """The loss of one half-step and its backward pass, starting without gradients."""
    batch = Batch(torch.randn(BATCH_SIZE, 3, 32, 32).contiguous(memory_format=torch.channels_last))
    (half_step,) = (half_step for half_step in objective.half_steps if half_step.name == name)
    networks = [objective.networks[network] for network in objective.players[half_step.player].networks]

    def run():
        for network in networks:
            network.zero_grad()
        half_step.loss(batch).loss.backward()

    return run


def make_iteration(objective: DiffusionGANObjective) -> Callable[[], None]:
    """All half-steps in the order of the training loop, without the optimisers."""
    half_steps = [make_half_step(objective, half_step.name) for half_step in objective.half_steps]

    def iteration():
        for half_step in half_steps:
            half_step()

    return iteration


def main() -> None:
    """Prints the table, then the peak memory."""
    args = parse_arguments(__doc__, memory_modes=("imports", "iteration"))
    if args.peak_memory_of:
        print_peak_memory(make_iteration(make_objective()) if args.peak_memory_of == "iteration" else None)
        return

    objective = make_objective()
    rows: dict[str, Row] = {
        "sampling": (make_sampling(objective), FORWARD_FLOPS, "2.8 grouped, 1.65 scaled activations"),
        # Forward and backward through the generator, forward and input gradient through the discriminator.
        "generator step": (make_half_step(objective, "generator"), 5 * FORWARD_FLOPS, 2.5),
        # Forward through the generator, forward and backward through the discriminator for real and generated images.
        "discriminator step": (make_half_step(objective, "discriminator"), 7 * FORWARD_FLOPS, 1.55),
        "R1 (floor: one forward)": (make_half_step(objective, "gradient_penalty"), FORWARD_FLOPS, "-"),
        "path lengths of half the batch (floor: one forward)": (
            make_half_step(objective, "path_lengths"),
            FORWARD_FLOPS,
            "-",
        ),
    }
    measure(rows, f"CIFAR-10 configuration, batch {BATCH_SIZE}", args)
    if args.quick:
        return

    iteration, imports = (peak_memory_mib(mode, args.threads) for mode in ("iteration", "imports"))
    print(
        f"\nPeak memory of an iteration with both penalties: {iteration:.0f} MiB, of which imports {imports:.0f} MiB."
    )


if __name__ == "__main__":
    main()
