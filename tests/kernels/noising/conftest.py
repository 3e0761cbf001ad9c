# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import os

import pytest
import torch

from gan_diffusion.kernels.noising import kernel_backend


# In this process the kernels are interpreted, so that they run on the CPU; a second process compiles them. The
# variable stays: triton looks at it again whenever it imports a part of itself.
os.environ["TRITON_INTERPRET"] = "1"


@pytest.fixture
def triton_backend():
    """The interpreted kernels instead of the reference."""
    pytest.importorskip("triton")
    with kernel_backend("triton"):
        yield


@pytest.fixture
def poisoned_memory():
    """Fresh memory holds NaN, so that an element which is not written cannot pass."""
    torch.use_deterministic_algorithms(True)
    assert torch.empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)
