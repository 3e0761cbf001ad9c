#!/usr/bin/env python
# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Trains a Diffusion-GAN (arXiv 2206.02262) from a recipe; see training_scripts/README.md."""

from gan_diffusion.training import train


if __name__ == "__main__":
    train("diffusion-gan")
