# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

from .command import run_card, run_push
from .converted_cards import Origin
from .hub import find_revision, open_repository, push_measurements, push_repository
from .repository import read_measurements, record_measurements, renew_checksums, save_converted, save_repository
from .rewriting import rewrite_card


__all__ = [
    "Origin",
    "find_revision",
    "open_repository",
    "push_measurements",
    "push_repository",
    "read_measurements",
    "record_measurements",
    "renew_checksums",
    "rewrite_card",
    "run_card",
    "run_push",
    "save_converted",
    "save_repository",
]
