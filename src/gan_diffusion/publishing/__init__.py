# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

from .repository import record_measurements, renew_checksums, save_repository


__all__ = ["record_measurements", "renew_checksums", "save_repository"]
