# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Adversarial losses on logits, and the gradient penalty. Logits have shape (B, 1); every loss is a scalar."""

import torch
import torch.nn.functional as F


def discriminator_loss(real_logits: torch.Tensor, fake_logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logistic loss of the discriminator (Goodfellow et al. 2014): the terms of the real and of the fake samples."""
    return F.softplus(-real_logits).mean(), F.softplus(fake_logits).mean()


def generator_loss(fake_logits: torch.Tensor) -> torch.Tensor:
    """Non-saturating logistic loss of the generator (Goodfellow et al. 2014)."""
    return F.softplus(-fake_logits).mean()


def r1_penalty(real_logits: torch.Tensor, real_samples: torch.Tensor) -> torch.Tensor:
    """
    R1 = mean over the batch of || d sum(logits) / d sample ||^2 (Mescheder et al. 2018), without the factor gamma / 2.

    Args:
        real_logits (`torch.Tensor` of shape (B, 1)): Outputs of the discriminator.
        real_samples (`torch.Tensor` of shape (B, ...)): Its input, with `requires_grad`.

    Returns:
        `torch.Tensor`: a scalar that can be differentiated again.
    """
    (gradient,) = torch.autograd.grad(real_logits.sum(), real_samples, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean()
