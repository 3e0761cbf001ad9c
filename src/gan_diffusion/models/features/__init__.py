# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

from .efficientnet_lite import EfficientNetLite0
from .gray_classifier import GrayClassifier
from .maps import TimmMaps, TransformerMaps, digest_of, load_feature_network, register_feature_network


__all__ = [
    "EfficientNetLite0",
    "GrayClassifier",
    "TimmMaps",
    "TransformerMaps",
    "digest_of",
    "load_feature_network",
    "register_feature_network",
]
