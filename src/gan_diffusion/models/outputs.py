# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Outputs of models."""

from dataclasses import dataclass

from diffusers.utils import BaseOutput
from torch import Tensor


@dataclass
class GeneratorOutput(BaseOutput):
    """
    Output of a generator.

    Args:
        sample (`torch.Tensor` of shape (B, C, H, W) or (B, D)):
            Predicted clean samples x_0: images in [-1, 1], or vectors.
    """

    sample: Tensor


@dataclass
class DiscriminatorOutput(BaseOutput):
    """
    Output of a discriminator.

    Args:
        logits (`torch.Tensor` of shape (B, L)):
            What it says of each sample, positive means real: one number, or L for a discriminator of many parts.
        features (`torch.Tensor` of shape (B, C, H, W), *optional*): Its last features, where they were asked for.
        direction_logits (`torch.Tensor` of the shape of the logits, *optional*):
            With `last_layer="san"`: the logits again, with gradients for the last layer alone. Those of `logits` are
            for all others.
        mean_logits (`torch.Tensor` of shape (B, 2), *optional*):
            For a [`ProjectedDiscriminator`] with two frozen networks: the mean of each one's logits.
    """

    logits: Tensor
    features: Tensor | None = None
    direction_logits: Tensor | None = None
    mean_logits: Tensor | None = None

    @classmethod
    def of(cls, logits: Tensor | tuple[Tensor, Tensor], features: Tensor | None = None) -> "DiscriminatorOutput":
        """The output of a last layer: logits, or those of a SAN with their direction logits."""
        logits, directions = logits if isinstance(logits, tuple) else (logits, None)
        return cls(logits=logits, features=features, direction_logits=directions)
