# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""How sure a discriminator is of real samples, and what this steers (Karras et al. 2020, arXiv 2006.06676, sec. 3)."""

import torch
import torch.distributed


class SignStatistic:
    """
    Collects r, the mean sign of a discriminator's outputs for real samples, over steps and processes.

    Args:
        threshold (`float`, defaults to 0.0):
            Output above which the discriminator calls a sample real.
    """

    def __init__(self, threshold: float = 0.0):
        self.threshold = threshold
        self.reset()

    def reset(self) -> None:
        """Forgets what was recorded."""
        self._signs = torch.zeros(2, dtype=torch.float64)  # their sum and their number
        self._images = 0

    @torch.no_grad()
    def observe(self, real_logits: torch.Tensor, new_images: bool = True) -> None:
        """
        Records outputs for real samples.

        Args:
            real_logits (`torch.Tensor` of shape (B, ...)):
                The outputs; there may be many per sample.
            new_images (`bool`, defaults to `True`):
                Whether the samples count as new images. Pass `False` where a batch is seen again.
        """
        margins = real_logits.detach() - self.threshold
        signs = torch.where(margins.isnan(), margins, margins.sign())  # torch says that the sign of NaN is 0
        # On the device of the logits: reading the sum here would stall it.
        seen = torch.stack([signs.sum().double(), signs.new_tensor(signs.numel()).double()])
        self._signs = self._signs.to(seen.device) + seen
        self._images += len(real_logits) if new_images else 0

    def reduce(self) -> tuple[float | None, int]:
        """
        r and the number of new images since the last reset, of all processes together.

        Returns:
            `tuple[float | None, int]`: r, or `None` if nothing was recorded, and the number.
        """
        total, count, images = self._collected()
        return (total / count if count else None), images

    def _collected(self) -> tuple[float, float, int]:
        """Sum and number of the signs, and number of new images, of all processes together."""
        collected = torch.cat([self._signs, self._signs.new_tensor([self._images])])
        if _num_processes() > 1:
            torch.distributed.all_reduce(collected)
        total, count, images = collected.tolist()
        return total, count, int(images)

    def state_dict(self) -> dict:
        """What all processes recorded together. Every process of a distributed run must call it."""
        total, count, images = self._collected()
        return {"signs": [total, count], "images": images}

    def load_state_dict(self, state: dict) -> None:
        """Puts back what `state_dict` returned, in one process of a distributed run, so that it counts once."""
        self.reset()
        if _num_processes() == 1 or torch.distributed.get_rank() == 0:
            self._signs = torch.tensor(state["signs"], dtype=torch.float64)
            self._images = state["images"]


def _num_processes() -> int:
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if distributed else 1


def steered(p: float, sign_mean: float, target: float, num_images: int, adaptation_kimg: float) -> float:
    """
    p after one step: up if the discriminator is surer of real samples than `target`, down if it is less sure.

    Args:
        p (`float`):
            Strength of what keeps the discriminator from overfitting.
        sign_mean (`float`):
            r, in [-1, 1].
        target (`float`):
            Value that r is steered to.
        num_images (`int`):
            Real images since the last step.
        adaptation_kimg (`float`):
            Thousands of images that move p by 1.

    Returns:
        `float`: p + num_images / (1000 adaptation_kimg), p minus that, or p where r equals the target.

    Raises:
        ValueError: If `sign_mean` is not a number in [-1, 1] or `num_images` is negative.
    """
    if not -1 <= sign_mean <= 1:
        raise ValueError(
            f"`discriminator_sign_mean` must be a number in [-1, 1], got {sign_mean}. If `observe` recorded it, the "
            "discriminator's outputs are not numbers any more: the training has diverged."
        )
    if num_images < 0:
        raise ValueError(f"`num_images` must not be negative, got {num_images}.")
    direction = (sign_mean > target) - (sign_mean < target)
    return p + direction * num_images / (1000 * adaptation_kimg)
