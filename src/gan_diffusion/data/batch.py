# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""What data hands to an objective."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch

from ..kernels.noising import pixels_to_images
from .report import DataReport


class Samples(Protocol):
    """
    A set of samples that is read by whole batches.

    Attributes:
        num_classes (`int`, *optional*): Number of classes; `None` without labels.
        class_names (`list[str]`, *optional*): Their names.
        report ([`~data.DataReport`]): What the data is.
    """

    num_classes: int | None
    class_names: list[str] | None

    @property
    def report(self) -> DataReport:
        """What the data is."""
        ...

    def __len__(self) -> int: ...

    def __getitems__(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        """Gives `samples` (B, ...), float in [-1, 1] or uint8 pixels, and `class_labels` (B,) if there are labels."""
        ...

    def name(self, index: int) -> str:
        """The file or row of a sample."""
        ...


@dataclass(frozen=True)
class Batch:
    """
    Real samples, and the condition that both networks get with them.

    Args:
        samples (`torch.Tensor` of shape (B, ...)): Float in [-1, 1], or uint8 pixels as they were read.
        condition (`dict[str, torch.Tensor]`, defaults to `{}`):
            Keyword arguments of the networks' forward, each of shape (B, ...), such as `class_labels`.
        flip (`torch.Tensor` of shape (B,), *optional*):
            Which of the samples are to be mirrored along their last dimension, bool; for uint8 pixels only.
    """

    samples: torch.Tensor
    condition: dict[str, torch.Tensor] = field(default_factory=dict)
    flip: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def device(self) -> torch.device:
        """Where the samples are."""
        return self.samples.device

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the float samples: float32 for pixels."""
        return self.samples.dtype if self.samples.is_floating_point() else torch.float32

    @property
    def num_bytes(self) -> int:
        """Bytes of all tensors, which is what moving the batch to a device costs."""
        tensors = [self.samples, *self.condition.values()]
        return sum(tensor.nbytes for tensor in (tensors if self.flip is None else [*tensors, self.flip]))

    def to(self, device: torch.device) -> "Batch":
        """The batch on a device, images in channels-last memory format."""
        samples = self.samples.to(device, non_blocking=True)
        if samples.ndim == 4:
            samples = samples.contiguous(memory_format=torch.channels_last)
        condition = {name: value.to(device, non_blocking=True) for name, value in self.condition.items()}
        flip = None if self.flip is None else self.flip.to(device, non_blocking=True)
        return Batch(samples, condition, flip)

    def first(self, count: int) -> "Batch":
        """The first `count` samples with their conditions."""
        condition = {name: value[:count] for name, value in self.condition.items()}
        return Batch(self.samples[:count], condition, None if self.flip is None else self.flip[:count])

    def clean_samples(self) -> torch.Tensor:
        """The samples as floats in [-1, 1], mirrored as asked, for a gradient with respect to them."""
        if self.samples.is_floating_point():
            return self.samples
        return pixels_to_images(self.samples, self.flip, self.dtype)
