#!/usr/bin/env python
# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Measures a saved pipeline against real data; see training_scripts/README.md."""

from gan_diffusion.evaluation import run_evaluation


if __name__ == "__main__":
    run_evaluation()
