# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

from .arguments import DataArguments
from .batch import Batch, Samples
from .loader import EndlessBatches
from .report import DataReport
from .sources import load_samples


__all__ = ["Batch", "DataArguments", "DataReport", "EndlessBatches", "Samples", "load_samples"]
