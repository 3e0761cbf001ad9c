# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

from .scheduling_ddgan import DDGANScheduler, DDGANSchedulerOutput


__all__ = ["DDGANScheduler", "DDGANSchedulerOutput"]
