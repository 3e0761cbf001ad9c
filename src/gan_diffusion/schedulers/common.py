# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""What the schedulers share: loading, tables that follow the samples to their device, and checks of arguments."""

import math
import os
from typing import Any

import numpy as np
import torch
from diffusers.schedulers.scheduling_utils import SchedulerMixin

from ..configs import CheckedConfig
from ..storage.checksums import verified_part


# Far more than any chain has; tables of that length take some megabytes.
MAX_TIMESTEPS = 10**6


def square_root(table: torch.Tensor) -> torch.Tensor:
    """Correctly rounded, the same on every machine. PyTorch's is not: its last bit differs between kinds of CPUs."""
    return torch.from_numpy(np.sqrt(table.numpy()))


class Scheduler(SchedulerMixin, CheckedConfig):
    """Base of the schedulers. Their coefficients are tensors, made on the CPU and used where the samples are."""

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike | None = None,
        subfolder: str | None = None,
        return_unused_kwargs: bool = False,
        **kwargs: Any,
    ) -> Any:
        """
        Loads a scheduler, as in diffusers. A config in a folder with checksums must have its own.

        Args:
            pretrained_model_name_or_path (`str` or `os.PathLike`): Folder or Hub name.
            subfolder (`str`, *optional*): Folder in it.
            return_unused_kwargs (`bool`, defaults to `False`): Whether to return a pair with the kwargs not used.
            kwargs (`Any`): Arguments of diffusers' `from_pretrained`.

        Returns:
            The scheduler.

        Raises:
            OSError: If there is no config.
            TypeError: If a value of the config has the wrong type.
            ValueError: If the config is damaged or a value out of range.
        """
        if pretrained_model_name_or_path is not None and os.path.isdir(pretrained_model_name_or_path):
            pretrained_model_name_or_path = verified_part(pretrained_model_name_or_path, subfolder)
            subfolder = None
        return super().from_pretrained(pretrained_model_name_or_path, subfolder, return_unused_kwargs, **kwargs)

    def _table(self, name: str, device: torch.device) -> torch.Tensor:
        """The attribute `name` on `device`, where it stays for the next call."""
        table = getattr(self, name)
        if table.device != device:
            table = table.to(device)
            setattr(self, name, table)
        return table


def check_integer(name: str, value: int, minimum: int, maximum: float = math.inf) -> None:
    """Raises a ValueError unless `value` is an integer from `minimum` to `maximum`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise ValueError(f"`{name}` must be an integer of at least {minimum}, got {value!r}.")
    if value > maximum:
        raise ValueError(f"`{name}` must be at most {maximum}, got {value}.")


def check_interval(name: str, value: float, low: float, high: float) -> None:
    """Raises a ValueError unless `value` lies in [low, high]."""
    if not low <= value <= high:
        raise ValueError(f"`{name}` must lie in [{low}, {high}], got {value}.")


def check_draw(batch_size: int, generator: torch.Generator | None) -> None:
    """Raises an error unless one value per sample can be drawn for a batch of that size from that generator."""
    check_integer("batch_size", batch_size, 1)
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TypeError(f"`generator` must be a torch.Generator, got {type(generator).__name__}. Pass a single one.")
