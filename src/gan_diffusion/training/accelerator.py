# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Processes, device, precision and tracker of a run."""

import importlib.util
from pathlib import Path

import torch
import torch.distributed.nn.functional  # noqa: F401 (see `make_accelerator`)
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, ProjectConfiguration

from .arguments import TrainingArguments


def make_accelerator(arguments: TrainingArguments) -> Accelerator:
    """
    Prepares the output folder, the tracker and the processes.

    Args:
        arguments ([`TrainingArguments`]): Options.

    Returns:
        `Accelerator`: ready for networks and optimisers.

    Raises:
        ValueError: If the output folder cannot be written, or the tracker is unknown or not installed.
    """
    run = arguments.run
    output_dir = Path(run.output_dir)
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        (output_dir / ".writable").touch()
        (output_dir / ".writable").unlink(missing_ok=True)  # Another process may have been faster.
    except OSError as error:
        raise ValueError(
            f"`output_dir` must be a folder that can be written, got {str(output_dir)!r}: {error}."
        ) from error
    tracker = None if run.report_to == "none" else run.report_to
    if tracker == "tensorboard" and importlib.util.find_spec("tensorboard") is None:
        raise ValueError("`report_to` 'tensorboard' needs the package tensorboard. Install it, or give 'none'.")
    if run.allow_tf32:
        torch.set_float32_matmul_precision("high")
    # `torch.distributed.nn.functional` takes the process group of its import as a default argument and never lets go
    # of it. It is imported above, before there is a group, so that the group and its threads can end with the
    # training.
    return Accelerator(
        mixed_precision=arguments.optimization.mixed_precision,
        log_with=tracker,
        project_config=ProjectConfiguration(
            project_dir=str(output_dir), logging_dir=str(output_dir / run.logging_dir)
        ),
        # A network may run twice before its backward pass, which broadcast buffers would not survive.
        kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
    )
