#!/usr/bin/env python
# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Trains a denoising diffusion GAN (arXiv 2112.07804) from a recipe; see training_scripts/README.md."""

from gan_diffusion.training import train


if __name__ == "__main__":
    train("ddgan")
