# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""What this package runs on, for the report of a problem."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

import torch


_PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "triton", "huggingface_hub", "datasets")


def describe_environment() -> dict[str, str]:
    """
    Versions and devices.

    Returns:
        `dict[str, str]`: what each is, by name.
    """
    versions = {"gan_diffusion": sys.modules[__name__.partition(".")[0]].__version__}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    system = {"python": platform.python_version(), "system": platform.platform()}
    return versions | system | {"devices": ", ".join(_devices())}


def _devices() -> list[str]:
    cores = f"CPU {platform.machine()} with {os.cpu_count()} cores, {torch.get_num_threads()} threads of torch"
    if not torch.accelerator.is_available():
        return [cores]
    if torch.cuda.is_available():
        numbers = range(torch.cuda.device_count())
        sizes = [torch.cuda.get_device_properties(number).total_memory / 2**30 for number in numbers]
        return [cores, *(f"{torch.cuda.get_device_name(n)} with {sizes[n]:.0f} GiB" for n in numbers)]
    return [cores, f"{torch.accelerator.device_count()} x {torch.accelerator.current_accelerator()}"]
