# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The options of an evaluation, beside those of the data."""

from dataclasses import dataclass

import torch

from ..metrics.features import FEATURES
from ..options import check_at_least, option


@dataclass
class EvaluationArguments:
    """
    The options of an evaluation. The help texts are the documentation.

    Raises:
        ValueError: If a value is out of its range.
    """

    output_dir: str | None = option(
        None, "Folder for numbers and pictures. Default: `evaluation` inside the pipeline's folder."
    )
    features: str | None = option(
        None,
        f"Network whose features are compared: {', '.join(FEATURES)}. Required for images, except for the data set "
        "'digits', which has a classifier of its own.",
    )
    feature_weights: str | None = option(
        None, "File of Inception's weights; Hub name or folder of DINOv2 or CLIP in place of the papers' ones."
    )
    num_samples: int = option(10_000, "Images to draw. Distances of different numbers cannot be compared.")
    batch_size: int = option(100, "Images per call of the pipeline.")
    num_inference_steps: int | None = option(None, "Steps of DDGAN's sampling. Default: as trained.")
    seed: int = option(0, "Seed of the samples.")
    device: str | None = option(None, "Device of the networks. Default: the first accelerator, else the CPU.")
    feature_cache_dir: str | None = option(
        None, "Folder in which features of the real images are kept. Default: in the cache folder of Hugging Face."
    )

    push: bool = option(
        False, "Write the numbers into the model card of the pipeline's repository on the Hub, with the pictures."
    )
    hub_token: str | None = option(
        None,
        "Token of the Hub, for --push and for private repositories. Default: HF_TOKEN, or that of `hf auth login`.",
    )

    def __post_init__(self):
        check_at_least(self, 1, "num_samples", "batch_size", "num_inference_steps")
        check_at_least(self, 0, "seed")
        if self.features is not None and self.features not in FEATURES:
            raise ValueError(f"`--features` must be one of {FEATURES}, got {self.features!r}.")
        try:
            torch.device(self.device or "cpu")
        except RuntimeError as error:
            raise ValueError(f"`--device` must be a device of torch, got {self.device!r}: {error}") from error
