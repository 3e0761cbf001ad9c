# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
Which dtype styles are kept in and painted from.

Path-length regularisation differentiates an image by the styles that a generator returns beside it. accelerate
converts outputs of mixed precision to float32, which makes new tensors that the image does not depend on. Styles are
therefore float32 from the start and are cast where they are used.
"""

import torch
from torch import Tensor


def at_least_float32(tensor: Tensor) -> Tensor:
    """The tensor itself in float32 and float64, else its float32 copy."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def to_compute_dtype(tensor: Tensor, parameter: Tensor) -> Tensor:
    """Casts to the dtype that a layer computes in: that of autocast where it is on, else that of its parameter."""
    device_type = tensor.device.type
    autocast = torch.is_autocast_enabled(device_type)
    return tensor.to(torch.get_autocast_dtype(device_type) if autocast else parameter.dtype)
