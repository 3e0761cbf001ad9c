# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Minibatch standard deviation (Karras et al. 2018, section 3)."""

import torch
from torch import Tensor


def minibatch_stddev(sample: Tensor, group_size: int = 4, num_channels: int = 1) -> Tensor:
    """
    Appends channels: the mean standard deviation of the features within a group of samples.

    A batch of B is cut into M = B / g sets of g samples; sample b belongs to set b mod M. g is `group_size`, or, where
    that does not divide B, the largest divisor of B below it, so that any batch works: B = 6 with groups of 4 gives
    two sets of three, B = 5 five sets of one (whose deviation is zero but for the epsilon).

    Args:
        sample (`torch.Tensor` of shape (B, C, H, W)): The features.
        group_size (`int`, defaults to 4): Largest number of samples per set, at least 1.
        num_channels (`int`, defaults to 1):
            Number F of channels to append, a divisor of C: channel f is the mean over the f-th C / F features.

    Returns:
        `torch.Tensor` of shape (B, C + F, H, W) and of the same dtype; the statistic itself is computed in float32 or
        better.
    """
    batch_size, channels, height, width = sample.shape
    group = next(size for size in range(min(group_size, batch_size), 0, -1) if batch_size % size == 0)
    stats = sample if sample.dtype == torch.float64 else sample.float()
    stats = stats.reshape(group, batch_size // group, num_channels, channels // num_channels, height, width)
    # PyTorch's own variance over the first dimension takes many times longer on the CPU.
    variance = (stats - stats.mean(dim=0)).square().mean(dim=0)
    stddev = (variance + 1e-8).sqrt().mean(dim=(2, 3, 4))  # [set, channel]
    stddev = stddev.to(sample.dtype).repeat(group, 1)[:, :, None, None].expand(-1, -1, height, width)
    return torch.cat([sample, stddev], dim=1)
