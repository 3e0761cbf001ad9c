# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Convolutions with the arguments of PyTorch's, faster on the CPU; elsewhere they are PyTorch's own."""

from .convolution import conv2d, conv_transpose2d


__all__ = ["conv2d", "conv_transpose2d"]
