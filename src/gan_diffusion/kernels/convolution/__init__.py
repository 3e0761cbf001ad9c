# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

from .convolution import conv2d, conv_transpose2d


__all__ = ["conv2d", "conv_transpose2d"]
