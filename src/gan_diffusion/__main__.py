# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Runs the command `gan-diffusion` by `python -m gan_diffusion`."""

from .cli import main


if __name__ == "__main__":
    main()
