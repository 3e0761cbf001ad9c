# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Coefficient tables of schedulers."""

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
