# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""What is said when a loss or a gradient is not finite any more."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from ..data.batch import Batch
from .objectives.base import HalfStep, Player


# Updates that the scaler of float16 may skip one after the other. It halves its factor each time: from 2^16 down to
# 2^-34, far below any gradient.
MAX_SKIPPED_UPDATES = 50


def gradient_norm(networks: Mapping[str, nn.Module]) -> torch.Tensor:
    """Norm of all gradients together. It is not finite if one of them is not."""
    gradients = [p.grad for network in networks.values() for p in network.parameters() if p.grad is not None]
    return torch.nn.utils.get_total_norm(gradients)


def describe_not_finite(
    half: HalfStep,
    player: Player,
    networks: Mapping[str, nn.Module],
    logs: Mapping[str, torch.Tensor | float],
    batches: Sequence[Batch],
    precision: str,
) -> str:
    """
    Says where numbers are not finite, and what helps there.

    Args:
        half ([`~training.HalfStep`]): The half-step that is about to update its player.
        player ([`~training.Player`]): The player.
        networks (`Mapping[str, nn.Module]`): Its networks, with gradients.
        logs (`Mapping[str, torch.Tensor | float]`): Terms of the loss.
        batches (`Sequence[Batch]`): The samples.
        precision (`str`): accelerate's mixed precision.

    Returns:
        `str`: sentences.
    """
    terms = {name: float(value) for name, value in logs.items()}
    bad_terms = [name for name, value in terms.items() if not math.isfinite(value)]
    bad_tensors = [
        f"{name}.{key}"
        for name, network in networks.items()
        for key, parameter in network.named_parameters()
        if parameter.grad is not None and not parameter.grad.isfinite().all()
    ]
    values = ", ".join(f"{name} {value:.4g}" for name, value in terms.items())
    text = f"Half-step {half.name!r} of {' and '.join(player.networks)}: {values or 'no terms reported'}. "
    if bad_tensors:
        shown = ", ".join(bad_tensors[:3]) + (f" and {len(bad_tensors) - 3} more" if len(bad_tensors) > 3 else "")
        text += f"Gradients that are not finite: {shown}. "
    elif not bad_terms:
        text += "The gradients are too large for their norm to be a float32. "
    return text + _advice(half, player, bad_terms, batches, precision)


def _advice(half: HalfStep, player: Player, bad_terms: Sequence[str], batches: Sequence[Batch], precision: str) -> str:
    if any(not batch.samples.isfinite().all() for batch in batches):
        return "The samples of this step are not finite. Mend the data."
    options = [
        f"a lower `--learning_rate_{'g' if player.learning_rate == 'generator' else 'd'}`",
        "a `--max_grad_norm`",
    ]
    if "r1" in half.terms or half.name == "r1":
        options.append("another `--r1_gamma`")
    if half.name == "path_lengths":
        options.append("a lower `--path_length_weight`")
    if precision != "no":
        options.append("`--mixed_precision no`")
    start = "Its loss is not finite" if bad_terms else "Its loss is finite, but not its gradient"
    return (
        f"{start}. The same command would end here again. Go on with {', '.join(options[:-1])} or {options[-1]}, and add the "
        "name of the option to `--change_on_resume`. Or go back to an earlier checkpoint by `--resume_from_checkpoint`."
    )
