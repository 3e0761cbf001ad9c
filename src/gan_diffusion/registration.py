# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Makes the components of this package loadable by diffusers pipelines."""

_LOADING_METHODS = ["save_pretrained", "from_pretrained"]


def register_with_diffusers() -> None:
    """Adds this package to diffusers' table of component libraries.

    Without the entry a pipeline of this package saves and loads locally but not from the Hub, because diffusers writes and
    looks up component classes by registered library name. The table is only half public; the round-trip tests over a Hub
    server fail loudly when it moves. Calling this again changes nothing.
    """
    from diffusers.pipelines.pipeline_loading_utils import LOADABLE_CLASSES

    LOADABLE_CLASSES["gan_diffusion"] = {"ModelMixin": _LOADING_METHODS, "SchedulerMixin": _LOADING_METHODS}
