#!/usr/bin/env python
# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Publishes a saved pipeline on the Hub; see docs/sharing.md."""

from gan_diffusion.publishing import run_push


if __name__ == "__main__":
    run_push()
