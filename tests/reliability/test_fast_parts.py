# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""A part of what `make reliability` does in hours."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks, and limits memory as Linux does")
@pytest.mark.parametrize(
    ("script", "options", "least"),
    [
        ("hostile_folders", ["--step", "15"], 25),
        ("hostile_pickles", ["--step", "18"], 60),
        ("damaged_pipelines", ["--methods", "ddgan", "--step", "6"], 15),
        pytest.param(
            "crash_points",
            ["--scenarios", "export over an older one", "--step", "16"],
            7,
            marks=pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler"),
        ),
    ],
)
def test_nothing_goes_wrong(script, options, least):
    command = [sys.executable, str(Path(__file__).with_name(f"{script}.py")), *options]
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert result.returncode == 0, result.stderr
    counts = [word for word in result.stdout.replace(":", " ").split() if word.isdigit()]
    assert int(counts[0]) >= least, result.stdout
