# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

from ..registration import register_with_diffusers
from .pipeline_ddgan import DDGANPipeline


__all__ = ["DDGANPipeline"]

# Here as well as in the package's own list of names: `from gan_diffusion.pipelines import ...` uses none of those.
register_with_diffusers()
