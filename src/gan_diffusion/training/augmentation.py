# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Augmentation of what a discriminator sees, real and generated samples alike."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..schedulers.sign_statistic import SignStatistic, steered
from .transforms import draw_transform


class Augmentation:
    """
    What an objective does to images before the discriminator sees them. This one does nothing.

    In each step an objective calls `observe` with how sure the discriminator is of clean real samples, and at its end
    `adapt`. That of Diffusion-GAN hands over the p of its noise instead.
    """

    def draw(self, images: Tensor, generator: torch.Generator | None = None) -> Callable[[Tensor], Tensor]:
        """
        Draws one transformation per image.

        Args:
            images (`torch.Tensor` of shape (B, C, H, W)): Images in [-1, 1]; only their shape and device count.
            generator (`torch.Generator`, *optional*): Source of the random numbers.

        Returns:
            `Callable`: what transforms images of this shape, all that it is called with alike.
        """
        return lambda images: images

    def __call__(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Transforms images (B, C, H, W), each on its own. Gradients go through."""
        return self.draw(images, generator)(images)

    def observe(self, real_margins: Tensor, is_clean: Tensor) -> None:
        """
        Records how sure the discriminator is of clean real samples.

        Args:
            real_margins (`torch.Tensor` of shape (B, ...)): Positive where it is right about a real sample.
            is_clean (`torch.Tensor` of shape (B,)):
                bool; which samples have no noise. The others do not count: outputs near zero for them say nothing
                about overfitting.
        """

    def adapt(self, step: int) -> dict[str, float]:
        """Ends step number `step` in every process. Returns numbers to report."""
        return {}

    def state_dict(self) -> dict:
        """What a resumed run needs beyond the arguments. Every process of a distributed run must call it."""
        return {}

    def load_state_dict(self, state: dict) -> None:
        """Puts back what `state_dict` gave."""


class AdaptiveAugmentation(Augmentation):
    """
    Adaptive discriminator augmentation (Karras et al. 2020, arXiv 2006.06676): transformations with a probability p.

    It grows while the discriminator is surer of real images than it should be, and shrinks otherwise.

    Args:
        initial_p (`float`, defaults to 0.0): p at the beginning.
        max_p (`float`, defaults to 0.8): Largest p. Near 1 the generator cannot tell augmentations from the data any
            more.
        target (`float`, defaults to 0.6): Value in (-1, 1) that the mean sign of real logits is steered to.
        adaptation_kimg (`float`, defaults to 500.0): Thousands of real images that take p from 0 to 1 at the fastest.
        geometric (`bool`, defaults to `True`): Whether pixels are moved, see [`~training.transforms.draw_transform`].
        color (`bool`, defaults to `True`): Whether colours are changed.
        update_interval (`int`, defaults to 4): Steps between updates of p.

    Attributes:
        p (`float`): The probability.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        initial_p: float = 0.0,
        max_p: float = 0.8,
        target: float = 0.6,
        adaptation_kimg: float = 500.0,
        geometric: bool = True,
        color: bool = True,
        update_interval: int = 4,
    ):
        if not 0 <= initial_p <= max_p <= 1:
            raise ValueError(
                f"`initial_p` and `max_p` must satisfy 0 <= initial_p <= max_p <= 1, got {initial_p} and {max_p}."
            )
        if not -1 < target < 1:
            raise ValueError(f"`target` must lie in (-1, 1), as the mean sign of logits does, got {target}.")
        if not adaptation_kimg > 0:
            raise ValueError(f"`adaptation_kimg` must be positive, got {adaptation_kimg}.")
        if update_interval < 1:
            raise ValueError(f"`update_interval` must be at least 1, got {update_interval}.")
        self.p = float(initial_p)
        self.max_p = max_p
        self.target = target
        self.adaptation_kimg = adaptation_kimg
        self.geometric = geometric
        self.color = color
        self.update_interval = update_interval
        self._statistic = SignStatistic()

    def draw(self, images: Tensor, generator: torch.Generator | None = None) -> Callable[[Tensor], Tensor]:
        """Draws with the present probability, see [`~training.transforms.draw_transform`]."""
        return draw_transform(images, self.p, self.geometric, self.color, generator)

    def observe(self, real_margins: Tensor, is_clean: Tensor) -> None:
        """As in the base class."""
        self._statistic.observe(real_margins[is_clean])

    def adapt(self, step: int) -> dict[str, float]:
        """Updates p every `update_interval` steps, if anything was observed since the last update."""
        if (step + 1) % self.update_interval == 0:
            sign_mean, images = self._statistic.reduce()
            if sign_mean is not None:  # There may have been no clean sample.
                self.update(sign_mean, images)
                self._statistic.reset()
        return {"augmentation_p": self.p}

    def update(self, discriminator_sign_mean: float, num_images: int) -> None:
        """
        Moves p by num_images / (1000 adaptation_kimg): up where the mean is above the target, down where it is below.

        Args:
            discriminator_sign_mean (`float`): Mean sign of the discriminator's logits of real images since the last
                update, in [-1, 1].
            num_images (`int`): Real images since the last update, in all processes.

        Raises:
            ValueError: if the mean is not a number in [-1, 1] or the number is negative. p is left as it was.
        """
        self.p = min(
            max(steered(self.p, discriminator_sign_mean, self.target, num_images, self.adaptation_kimg), 0.0),
            self.max_p,
        )

    def follow(self, p: float) -> dict[str, float]:
        """Takes over a probability that adapts elsewhere, but at most `max_p`. Returns numbers to report."""
        self.p = min(p, self.max_p)
        return {"augmentation_p": self.p}

    def state_dict(self) -> dict:
        """p, and what was observed since its last update."""
        return {"p": self.p, "statistic": self._statistic.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        """
        Puts back what [`state_dict`] gave.

        Args:
            state (`dict`): The state.

        Raises:
            ValueError: If p is outside [0, max_p].
        """
        if not 0 <= state["p"] <= self.max_p:
            raise ValueError(f"`state` must have p in [0, {self.max_p}], got {state['p']}.")
        self.p = state["p"]
        self._statistic.load_state_dict(state["statistic"])
