# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

from .attention import AttentionBlock
from .embeddings import FourierEmbedding, LatentMapping, TimestepMLP, pixel_norm, sinusoidal_embedding
from .equalized import ClassEmbedding, EqualizedConv2d, EqualizedLinear, leaky_relu
from .initialization import conv, linear, variance_scaling_
from .minibatch_stddev import minibatch_stddev
from .modulated_conv import ModulatedConv2d, demodulation
from .normalization import AdaptiveGroupNorm, GroupNorm
from .pyramid import pyramid_channels, size_pair
from .resampling import (
    ConvDownsample,
    Downsample,
    Upsample,
    fir_blur,
    fir_downsample,
    fir_kernel,
    fir_upsample,
    resampled_conv,
)


__all__ = [
    "AdaptiveGroupNorm",
    "AttentionBlock",
    "ClassEmbedding",
    "ConvDownsample",
    "Downsample",
    "EqualizedConv2d",
    "EqualizedLinear",
    "FourierEmbedding",
    "GroupNorm",
    "LatentMapping",
    "ModulatedConv2d",
    "TimestepMLP",
    "Upsample",
    "conv",
    "demodulation",
    "fir_blur",
    "fir_downsample",
    "fir_kernel",
    "fir_upsample",
    "leaky_relu",
    "linear",
    "minibatch_stddev",
    "pixel_norm",
    "pyramid_channels",
    "resampled_conv",
    "sinusoidal_embedding",
    "size_pair",
    "variance_scaling_",
]
