# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
