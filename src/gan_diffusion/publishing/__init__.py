# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

from .converted_cards import Origin
from .repository import record_measurements, renew_checksums, save_converted, save_repository


__all__ = ["Origin", "record_measurements", "renew_checksums", "save_converted", "save_repository"]
