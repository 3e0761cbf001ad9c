# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""What is said when a loss or a gradient is not finite any more."""

from collections.abc import Mapping, Sequence

import torch

from ..data.batch import Batch
from .objectives.base import HalfStep
from .players import PlayerState


def describe_not_finite(
    half: HalfStep,
    player: PlayerState,
    logs: Mapping[str, torch.Tensor | float],
    batches: Sequence[Batch],
    finite_loss: bool,
) -> str:
    """
    Says where numbers are not finite, and what helps there.

    Args:
        half ([`~training.HalfStep`]): The half-step that is about to update its player.
        player (`PlayerState`): The player, with gradients.
        logs (`Mapping[str, torch.Tensor | float]`): Terms of the loss.
        batches (`Sequence[Batch]`): The samples.
        finite_loss (`bool`): Whether the loss is finite, and its gradient alone is not.

    Returns:
        `str`: sentences.
    """
    terms = {name: float(value) for name, value in logs.items()}
    bad_tensors = [
        f"{name}.{key}"
        for name, network in player.networks.items()
        for key, parameter in network.named_parameters()
        if parameter.grad is not None and not parameter.grad.isfinite().all()
    ]
    values = ", ".join(f"{name} {value:.4g}" for name, value in terms.items())
    text = f"Half-step {half.name!r} of {' and '.join(player.networks)}: {values or 'no terms reported'}. "
    if bad_tensors:
        shown = ", ".join(bad_tensors[:3]) + (f" and {len(bad_tensors) - 3} more" if len(bad_tensors) > 3 else "")
        text += f"Gradients that are not finite: {shown}. "
    elif finite_loss:
        text += "The gradients are too large for their norm to be a float32. "
    return text + _advice(half, player, batches, finite_loss)


def _advice(half: HalfStep, player: PlayerState, batches: Sequence[Batch], finite_loss: bool) -> str:
    if any(not batch.samples.isfinite().all() for batch in batches):
        return "The samples of this step are not finite. Mend the data."
    options = [
        f"a lower `--learning_rate_{'g' if player.player.learning_rate == 'generator' else 'd'}`",
        "a `--max_grad_norm`",
    ]
    if half.name == "gradient_penalty" or half.terms:
        options.append("another `--r1_gamma` or `--r2_gamma`")
    if half.name == "path_lengths":
        options.append("a lower `--path_length_weight`")
    if player.accelerator.mixed_precision != "no":
        options.append("`--mixed_precision no`")
    start = "Its loss is finite, but not its gradient" if finite_loss else "Its loss is not finite"
    return (
        f"{start}. The same command would end here again. Go on with {', '.join(options[:-1])} or {options[-1]}, and add the "
        "name of the option to `--change_on_resume`. Or go back to an earlier checkpoint by `--resume_from_checkpoint`."
    )
