# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Adversarial losses on logits, and gradient penalties. Logits have shape (B, 1); every loss is a scalar."""

import math

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


def path_lengths(images: torch.Tensor, ws: torch.Tensor, projection: torch.Tensor | None = None) -> torch.Tensor:
    """
    Length of the generator's Jacobian along random image directions (Karras et al. 2020, section 3.2).

    It is the root of the mean over layers of || d sum(image * y) / d w ||^2, with y normal of variance 1 / (H W).

    Args:
        images (`torch.Tensor` of shape (B, C, H, W)): Outputs of the synthesis network.
        ws (`torch.Tensor` of shape (B, num_ws, w_dim)): The styles they were made from, in their graph.
        projection (`torch.Tensor` of the shape of the images, *optional*): y before scaling, if not to be drawn here.

    Returns:
        `torch.Tensor` of shape (B,), which can be differentiated again.
    """
    if projection is None:
        projection = torch.randn_like(images)
    direction = projection / math.sqrt(images.shape[2] * images.shape[3])
    (gradient,) = torch.autograd.grad((images * direction).sum(), ws, create_graph=True)
    return gradient.square().sum(2).mean(1).sqrt()
