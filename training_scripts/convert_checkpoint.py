#!/usr/bin/env python
# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Makes a pipeline of a checkpoint of the authors' code; see docs/converting.md."""

from gan_diffusion.conversion import run_conversion


if __name__ == "__main__":
    run_conversion()
