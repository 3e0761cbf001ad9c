# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""What the schedulers share: tables that follow the samples to their device, and checks of arguments."""

import torch


class TablesMixin:
    """For schedulers whose coefficients are tensors, made on the CPU and used where the samples are."""

    def _table(self, name: str, device: torch.device) -> torch.Tensor:
        """The attribute `name` on `device`, where it stays for the next call."""
        table = getattr(self, name)
        if table.device != device:
            table = table.to(device)
            setattr(self, name, table)
        return table


def check_integer(name: str, value: int, minimum: int) -> None:
    """Raises a ValueError unless `value` is an integer of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise ValueError(f"`{name}` must be an integer of at least {minimum}, got {value!r}.")


def check_interval(name: str, value: float, low: float, high: float) -> None:
    """Raises a ValueError unless `value` lies in [low, high]."""
    if not low <= value <= high:
        raise ValueError(f"`{name}` must lie in [{low}, {high}], got {value}.")


def check_draw(batch_size: int, generator: torch.Generator | None) -> None:
    """Raises an error unless one value per sample can be drawn for a batch of that size from that generator."""
    check_integer("batch_size", batch_size, 1)
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TypeError(f"`generator` must be a torch.Generator, got {type(generator).__name__}. Pass a single one.")
