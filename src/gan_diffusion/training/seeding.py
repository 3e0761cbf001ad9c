# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Random numbers as a function of the place in the training."""

import random

import numpy as np
import torch


def seed_half_step(seed: int, process: int, step: int, half_step: int, device: torch.device) -> None:
    """
    Makes what is drawn in a half-step a function of these four numbers.

    Args:
        seed (`int`): Seed of the run.
        process (`int`): Number of the process.
        step (`int`): Steps done.
        half_step (`int`): Number of the half-step in its step.
        device (`torch.device`): Device of the process.
    """
    seeds = np.random.SeedSequence([seed, process, step, half_step]).generate_state(3)
    random.seed(int(seeds[0]))
    np.random.seed(seeds[1])
    # Not `torch.manual_seed`, which takes a third of a millisecond for devices that are not there.
    torch.default_generator.manual_seed(int(seeds[2]))
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(int(seeds[2]))
