# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""How the processes that a launcher started become one run."""

import os

import torch
from accelerate.utils import parse_flag_from_env


def uses_cpus() -> bool:
    """
    Whether a run computes on CPUs, because it was told so or nothing else is there.

    Without being told, accelerate starts no process group on CPUs, and each process would work alone.
    """
    return parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available()


def check_processes(num_processes: int) -> None:
    """
    Refuses processes that do not know of each other: each would do the whole work, in the same folder.

    Args:
        num_processes (`int`): How many accelerate knows of.

    Raises:
        ValueError: If `torchrun` or `accelerate launch` started another number of processes.
    """
    started = int(os.environ.get("WORLD_SIZE", 1))
    if "LOCAL_RANK" in os.environ and started != num_processes:
        raise ValueError(
            f"The number of processes must be {num_processes} on this device, where accelerate cannot join more, got "
            f"{started} from the launcher. Give it `--nproc_per_node {num_processes}`, or compute on CPUs with "
            "`ACCELERATE_USE_CPU=true` in the environment."
        )
