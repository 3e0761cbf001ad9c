# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
Adversarial losses on logits, and gradient penalties.

Logits have shape (B, L): one per sample, or a map of L. Every loss is a scalar, the mean over all logits.
"""

import math
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor


class AdversarialLoss(ABC):
    """
    What discriminator and generator make of logits.

    In all of these losses an output above 0 says "real", so the decision threshold of an adaptive statistic is 0.

    Attributes:
        is_relative (`bool`): Whether logits are compared in pairs of a real and a generated sample. Then the generator
            needs real logits too, and one logit alone says nothing.
        has_direction (`bool`): Whether the loss has a term for the direction of a SAN.
    """

    is_relative = False
    has_direction = False

    @abstractmethod
    def discriminator_terms(self, real_logits: Tensor, fake_logits: Tensor) -> dict[str, Tensor]:
        """The terms of the discriminator's loss, which is their sum, by the names to report them under."""

    @abstractmethod
    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """Loss of the generator. A relative loss needs the real logits, the others do not look at them."""

    def real_margins(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Numbers of the shape of the logits, positive where the discriminator is right about real samples."""
        return real_logits

    def direction_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """
        Loss of the direction of a SAN, a last layer of length 1 (Takida et al. 2024, arXiv 2301.12811).

        With R, the loss of the generator, it is R(D(real)) - R(D(fake)). For the hinge loss that is the loss of a
        Wasserstein GAN, mean D(fake) - mean D(real), as in the authors' code for images. Their vocoder (Shibuya et al.
        2024, arXiv 2309.02836) has the same form with another R; they publish no code with the logistic loss. Samples
        have the weight -R', which the theory needs to be positive everywhere. That of least squares is not, and a
        relative loss has no such R.

        Args:
            real_logits (`torch.Tensor` of shape (B, L)): The `direction_logits` of real samples.
            fake_logits (`torch.Tensor` of shape (B, L)): The `direction_logits` of generated samples.

        Returns:
            `torch.Tensor`: a scalar.

        Raises:
            ValueError: If the loss has no such term.
        """
        self.check_direction()
        return self.generator_loss(real_logits) - self.generator_loss(fake_logits)

    def check_direction(self) -> None:
        """Raises a `ValueError` if the loss has no term for the direction of a SAN."""
        if not self.has_direction:
            names = " or ".join(repr(name) for name, loss in ADVERSARIAL_LOSSES.items() if loss.has_direction)
            own = next((name for name, loss in ADVERSARIAL_LOSSES.items() if loss is self), type(self).__name__)
            raise ValueError(
                f"`adversarial_loss` must be {names} for a discriminator with `last_layer` 'san', got {own!r}."
            )


class LogisticLoss(AdversarialLoss):
    """Non-saturating logistic loss (Goodfellow et al. 2014): softplus(-D(real)) + softplus(D(fake))."""

    has_direction = True

    def discriminator_terms(self, real_logits: Tensor, fake_logits: Tensor) -> dict[str, Tensor]:
        """As in the base class."""
        return {"loss_d_real": F.softplus(-real_logits).mean(), "loss_d_fake": F.softplus(fake_logits).mean()}

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """The mean of softplus(-D(fake))."""
        return F.softplus(-fake_logits).mean()


class HingeLoss(AdversarialLoss):
    """Hinge loss (Lim and Ye 2017, arXiv 1705.02894): max(0, 1 - D(real)) + max(0, 1 + D(fake))."""

    has_direction = True

    def discriminator_terms(self, real_logits: Tensor, fake_logits: Tensor) -> dict[str, Tensor]:
        """As in the base class."""
        return {"loss_d_real": F.relu(1 - real_logits).mean(), "loss_d_fake": F.relu(1 + fake_logits).mean()}

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """The mean of -D(fake)."""
        return -fake_logits.mean()


class LeastSquaresLoss(AdversarialLoss):
    """
    Least squares (Mao et al. 2017, arXiv 1611.04076, equation 2): (D(real) - 1)^2 / 2 + (D(fake) + 1)^2 / 2.

    The targets are a = -1, b = c = 1. With a = 0 a sample would count as real above 1/2; otherwise the two choices are
    the same, up to the scale of the outputs.
    """

    def discriminator_terms(self, real_logits: Tensor, fake_logits: Tensor) -> dict[str, Tensor]:
        """As in the base class."""
        return {
            "loss_d_real": (real_logits - 1).square().mean() / 2,
            "loss_d_fake": (fake_logits + 1).square().mean() / 2,
        }

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """The mean of (D(fake) - 1)^2 / 2."""
        return (fake_logits - 1).square().mean() / 2


class RelativisticLoss(AdversarialLoss):
    """
    Relativistic pairing logistic loss (R3GAN, Huang et al. 2024, arXiv 2501.05441): softplus(-(D(real) - D(fake))).

    It is meant for R1 and R2 together. Logits are paired by their place in the batch.
    """

    is_relative = True

    def discriminator_terms(self, real_logits: Tensor, fake_logits: Tensor) -> dict[str, Tensor]:
        """As in the base class, one term."""
        return {"loss_d": F.softplus(fake_logits - real_logits).mean()}

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """
        The mean of softplus(-(D(fake) - D(real))).

        Args:
            fake_logits (`torch.Tensor` of shape (B, L)): Logits of generated samples.
            real_logits (`torch.Tensor` of shape (B, L), *optional*): Logits of their real partners. Required.

        Returns:
            `torch.Tensor`: a scalar.

        Raises:
            ValueError: If there are no real logits.
        """
        if real_logits is None:
            raise ValueError("`real_logits` must be given for a relative loss, got None.")
        return F.softplus(real_logits - fake_logits).mean()

    def real_margins(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """By how much each real logit is above its partner's."""
        return real_logits - fake_logits


ADVERSARIAL_LOSSES: dict[str, AdversarialLoss] = {
    "logistic": LogisticLoss(),
    "hinge": HingeLoss(),
    "least_squares": LeastSquaresLoss(),
    "relativistic": RelativisticLoss(),
}


def inconsistency(mean_logits: Tensor) -> Tensor:
    """
    How far two discriminators are apart in what they say of the same images (HP-GAN, arXiv 2602.03039).

    Args:
        mean_logits (`torch.Tensor` of shape (B, 2)): The mean logit of each.

    Returns:
        `torch.Tensor` of shape (): the mean of the squared differences.
    """
    first, second = mean_logits.unbind(dim=1)
    return F.mse_loss(first, second)


def gradient_penalty(logits: Tensor, samples: Tensor) -> Tensor:
    """
    Mean over the batch of || d D / d sample ||^2 (Mescheder et al. 2018), without the factor gamma / 2.

    It is R1 for real samples and R2 for generated ones. D is the mean of a sample's logits.

    Args:
        logits (`torch.Tensor` of shape (B, L)): Outputs of the discriminator.
        samples (`torch.Tensor` of shape (B, ...)): Its input, with `requires_grad`.

    Returns:
        `torch.Tensor`: a scalar that can be differentiated again.
    """
    (gradient,) = torch.autograd.grad(logits.flatten(1).mean(1).sum(), samples, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean()


def path_lengths(images: Tensor, ws: Tensor, projection: Tensor | None = None) -> Tensor:
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
