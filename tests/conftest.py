# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import os
import sys
from pathlib import Path


# Before any Hugging Face library is imported: tests never leave the machine.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
# By default MKL's rounding depends on where in memory a matrix lies, and so differs between two loads of one file.
os.environ.setdefault("MKL_CBWR", "COMPATIBLE")

# Tests that run beside each other take one thread each, and so do the processes that they start.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

sys.path.insert(0, str(Path(__file__).parent))
