# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""What every metric asks of its features."""

from collections.abc import Mapping

import torch


def check_features(minimum: int = 2, **features: torch.Tensor) -> None:
    """
    Checks sets of features.

    Args:
        minimum (`int`, defaults to 2): Fewest samples of each set.
        features (`torch.Tensor` of shape (N, D)): The sets by name.

    Raises:
        ValueError: If a set is not of shape (N, D), is too small, holds values that are not finite, or the sets have
            different D.
    """
    for name, values in features.items():
        if values.ndim != 2:
            raise ValueError(f"`{name}` must have shape (N, D), got {tuple(values.shape)}.")
        if len(values) < minimum:
            raise ValueError(f"`{name}` must hold at least {minimum} samples, got {len(values)}. Draw more samples.")
        bad = int((~values.isfinite()).any(1).sum())
        if bad:
            raise ValueError(f"`{name}` must be finite, got {bad} of {len(values)} samples that are not.")
    check_same({name: values.shape[1] for name, values in features.items()}, "features per sample")


def check_same(numbers: Mapping[str, int], what: str) -> None:
    """
    Checks that sets agree in a number.

    Args:
        numbers (`Mapping[str, int]`): The number of each set, by its name.
        what (`str`): What is counted.

    Raises:
        ValueError: If they differ.
    """
    if len(set(numbers.values())) > 1:
        names, values = "` and `".join(numbers), " and ".join(map(str, numbers.values()))
        raise ValueError(f"`{names}` must have the same number of {what}, got {values}. Use one network for both.")
