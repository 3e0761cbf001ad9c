# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

from .ddgan import DDGANDraws, DDGANObjective


__all__ = ["DDGANDraws", "DDGANObjective"]
