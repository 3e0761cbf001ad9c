# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Noising in one pass over memory: the operations that the schedulers are made of."""

from .backend import kernel_backend, record_backends
from .functional import noise, noise_pair, pixels_to_images, posterior_step, straight_path


__all__ = [
    "kernel_backend",
    "noise",
    "noise_pair",
    "pixels_to_images",
    "posterior_step",
    "record_backends",
    "straight_path",
]
