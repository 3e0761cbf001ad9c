# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Weights of the contrastive heads of Diffusion-InsGen, "DHead" and "GHead", to and from our network."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ..models.discriminators.contrastive import ContrastiveHead
from .key_maps import build_and_fill, export_by_key_map


def convert_contrastive_head(
    state_dict: Mapping[str, Tensor], temperature: float = 0.2, momentum: float = 0.999
) -> ContrastiveHead:
    """
    Builds a head from a reference state dict, with its queue and momentum copy.

    Args:
        state_dict (`dict[str, torch.Tensor]`): Reference state dict; a `module.` prefix on its keys is taken off.
        temperature (`float`, defaults to 0.2): Divisor of the similarities.
        momentum (`float`, defaults to 0.999): Share that the momentum copy keeps of itself.

    Returns:
        [`ContrastiveHead`]: the head, in float32.

    Raises:
        ValueError: If an option is out of its range, or entries of the state dict are missing, unexpected, or of
            another shape.
    """
    state_dict = {key.removeprefix("module."): value for key, value in state_dict.items()}
    queue, weight = state_dict.get("queue"), state_dict.get("mlp.0.weight")
    if queue is None or weight is None or queue.ndim != 2 or weight.ndim != 2:
        raise ValueError(f"`state_dict` must hold the queue and layers of a head, got the keys {sorted(state_dict)}.")
    pointer = int(state_dict.pop("queue_ptr", torch.zeros(1)))
    if not 0 <= pointer < queue.shape[1]:
        raise ValueError(f"`queue_ptr` must be a place in the queue of {queue.shape[1]}, got {pointer}.")
    # The reference writes into a ring; ours begins with the oldest key.
    state_dict["queue"] = queue.roll(-pointer, 1)
    return build_and_fill(
        lambda: ContrastiveHead(weight.shape[1], queue.shape[0], queue.shape[1], temperature, momentum),
        lambda head: {"key_map": contrastive_head_key_map(head), "transposed": {"queue"}},
        state_dict,
    )


def export_contrastive_head(head: ContrastiveHead) -> dict[str, Tensor]:
    """Reference state dict of a head, the inverse of `convert_contrastive_head`."""
    pointer = {"queue_ptr": torch.zeros(1, dtype=torch.int64)}
    return export_by_key_map(head, contrastive_head_key_map(head), transposed={"queue"}, constants=pointer)


def contrastive_head_key_map(head: ContrastiveHead) -> dict[str, str]:
    """Reference key -> our key, for every parameter and buffer of a head: they have the same names."""
    return {key: key for key in head.state_dict()}
