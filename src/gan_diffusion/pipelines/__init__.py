# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

from .pipeline_ddgan import DDGANPipeline


__all__ = ["DDGANPipeline"]
