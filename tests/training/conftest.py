# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import forked_scripts
import psutil
import pytest
from accelerate.state import AcceleratorState


@pytest.fixture(autouse=True)
def no_training_is_left():
    """Ends what a failing test has started and left."""
    yield
    forked_scripts.kill_all()
    for child in psutil.Process().children(recursive=True):
        if child.is_running() and any("train_" in word for word in child.cmdline()):
            child.kill()


@pytest.fixture
def fresh_accelerate(monkeypatch):
    """accelerate keeps its device and precision for the whole process."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)
