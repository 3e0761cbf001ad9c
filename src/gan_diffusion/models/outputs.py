# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Outputs of models."""

from dataclasses import dataclass

from diffusers.utils import BaseOutput
from torch import Tensor


@dataclass
class GeneratorOutput(BaseOutput):
    """Output of a generator.

    Args:
        sample: Predicted clean sample x_0, of the shape of the input: (B, C, H, W) images in [-1, 1], or (B, D) vectors.
    """

    sample: Tensor
