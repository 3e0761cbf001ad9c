# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""A part of the attacks on checkpoints; `make reliability` runs all."""

import subprocess
import sys
from pathlib import Path

import pytest


FOLDER = Path(__file__).parent


def test_damaged_checkpoints_give_way_to_the_one_before():
    sys.path.insert(0, str(FOLDER))
    from damaged_checkpoints import cases, run_all

    assert len(list(cases())) == 265
    counts, wrong = run_all(every=5)
    assert counts == {"older one used": 53}, wrong


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_hostile_checkpoints_are_refused():
    # In a process of its own, because it forks.
    script = "from hostile_checkpoints import run_all; print(*run_all(every=6))"
    result = subprocess.run([sys.executable, "-c", script], cwd=FOLDER, capture_output=True, text=True)
    assert "Counter({'refused': 51}) []" in result.stdout, result.stdout + result.stderr


def test_a_killed_training_goes_on_exactly():
    options = ["--kills", "1", "--methods", "spi-gan"]
    result = subprocess.run([sys.executable, FOLDER / "random_kills.py", *options], capture_output=True, text=True)
    assert "spi-gan: 1 trainings killed, {'exact': 1}" in result.stdout, result.stdout + result.stderr
