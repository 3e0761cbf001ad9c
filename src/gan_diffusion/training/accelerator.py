# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Processes, device, precision and tracker of a run."""

import os
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed.nn.functional  # noqa: F401 (see `make_accelerator`)
from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs, ProjectConfiguration

from ..processes import check_processes, uses_cpus
from .arguments import TrainingArguments


def make_accelerator(arguments: TrainingArguments) -> Accelerator:
    """
    Prepares the tracker and the processes.

    Args:
        arguments ([`TrainingArguments`]): Options.

    Returns:
        `Accelerator`: ready for networks and optimisers.

    Raises:
        ValueError: If the tracker is unknown or not installed, or the launcher started another number of processes
            than it was told, or processes that cannot work together.
    """
    run = arguments.run
    output_dir = Path(run.output_dir)
    _check_tracker(run.report_to)
    _check_launcher()
    if run.allow_tf32:
        torch.set_float32_matmul_precision("high")
    # `torch.distributed.nn.functional` takes the process group of its import as a default argument and never lets go
    # of it. It is imported above, before there is a group, so that the group and its threads can end with the
    # training.
    accelerator = Accelerator(
        cpu=uses_cpus(),
        mixed_precision=arguments.optimization.mixed_precision,
        log_with=None if run.report_to == "none" else run.report_to,
        project_config=ProjectConfiguration(
            project_dir=str(output_dir), logging_dir=str(output_dir / run.logging_dir)
        ),
        kwargs_handlers=[
            # A network may run twice before its backward pass, which broadcast buffers would not survive.
            DistributedDataParallelKwargs(broadcast_buffers=False),
            InitProcessGroupKwargs(timeout=timedelta(seconds=run.distributed_timeout)),
        ],
    )
    check_processes(accelerator.num_processes)
    return accelerator


def device_name(accelerator: Accelerator) -> str:
    """Name of the GPU, or number of CPU threads, of one process."""
    if accelerator.device.type == "cuda":
        return torch.cuda.get_device_name(accelerator.device)
    return f"{torch.get_num_threads()} CPU threads"


def describe(accelerator: Accelerator) -> str:
    """What a run computes on, in a sentence."""
    precision = accelerator.mixed_precision
    return f"Training on {accelerator.num_processes} x {device_name(accelerator)}, mixed precision: {precision}."


def _check_tracker(name: str) -> None:
    known = ["none", "all", *sorted(LOGGER_TYPE_TO_CLASS)]
    if name not in known:
        raise ValueError(f"`report_to` must be one of {known}, got {name!r}.")
    installed = [str(getattr(each, "value", each)) for each in get_available_trackers()]
    if name not in ("none", "all") and name not in installed:
        raise ValueError(
            f"`report_to` {name!r} needs the package {name}, which is not installed. Run `pip install {name}`, or give 'none'."
        )


def _check_launcher() -> None:
    """
    On CPUs `accelerate launch --num_processes N` starts one process and says nothing.

    It then sets the address at which the others would meet, but no number of processes.
    """
    alone = not {"WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE"} & os.environ.keys()
    launched = (
        os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true" and "ACCELERATE_MIXED_PRECISION" in os.environ
    )
    # A cluster may set an address of its own for every command.
    if alone and launched and os.environ.get("MASTER_ADDR") == "127.0.0.1":
        raise ValueError(
            "`accelerate launch --num_processes` must be 1 on CPUs, where it starts one process whatever it is told, got "
            "more. Start several by `torchrun --nproc_per_node 2 SCRIPT ...`, where there are GPUs with "
            "ACCELERATE_USE_CPU=true in the environment."
        )
