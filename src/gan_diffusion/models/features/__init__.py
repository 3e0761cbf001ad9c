# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

from .efficientnet_lite import EfficientNetLite0
from .gray_classifier import GrayClassifier


__all__ = ["EfficientNetLite0", "GrayClassifier"]
