# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

from .attention import AttentionBlock
from .embeddings import FourierEmbedding, LatentMapping, TimestepMLP, pixel_norm, sinusoidal_embedding
from .initialization import conv, linear, variance_scaling_
from .minibatch_stddev import minibatch_stddev
from .normalization import AdaptiveGroupNorm, GroupNorm
from .resampling import (
    ConvDownsample,
    ConvUpsample,
    Downsample,
    Upsample,
    fir_blur,
    fir_downsample,
    fir_kernel,
    fir_upsample,
)


__all__ = [
    "AdaptiveGroupNorm",
    "AttentionBlock",
    "ConvDownsample",
    "ConvUpsample",
    "Downsample",
    "FourierEmbedding",
    "GroupNorm",
    "LatentMapping",
    "TimestepMLP",
    "Upsample",
    "conv",
    "fir_blur",
    "fir_downsample",
    "fir_kernel",
    "fir_upsample",
    "linear",
    "minibatch_stddev",
    "pixel_norm",
    "sinusoidal_embedding",
    "variance_scaling_",
]
