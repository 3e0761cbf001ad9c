# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hub_server import HubServer
from huggingface_hub import constants


@pytest.fixture(scope="module")
def hub() -> Iterator[HubServer]:
    """An empty Hub on this machine."""
    with HubServer() as server:
        yield server


@pytest.fixture(scope="module")
def run_with_hub(hub, tmp_path_factory) -> Callable[..., dict]:
    """
    Runs Python source in a fresh process with an empty cache, whose Hub is `hub`: `run_with_hub(script, *arguments)`.

    It returns the JSON object that the script prints last.
    """

    def run(script: str, *arguments: str | Path) -> dict:
        # The clients read their settings when they are imported, hence the processes.
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
        environment |= {
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path_factory.mktemp("hf_home")),
            "HF_TOKEN": "any",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1",
            # Networks this small only lose by threads, and a lot on a busy machine.
            "OMP_NUM_THREADS": "1",
            # Else MKL rounds by where in memory the weights lie, and a loaded network's last bits differ.
            "MKL_CBWR": "COMPATIBLE",
        }
        command = [sys.executable, "-c", script, *map(str, arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture
def hub_here(hub, monkeypatch, tmp_path) -> HubServer:
    """The same Hub for this process, empty again, with the token "hf_secret". Waiting before a retry takes no time."""
    hub.repositories.clear()
    hub.lfs_objects.clear()
    hub.requests.clear()
    hub.faults.clear()
    hub.expired_tokens.clear()
    settings = {
        "ENDPOINT": hub.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": hub.url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_CACHE": str(tmp_path / "hub_cache"),
        "HF_TOKEN_PATH": str(tmp_path / "token"),
    }
    for name, value in settings.items():
        monkeypatch.setattr(constants, name, value)
    # Functions of the client that were made when it was imported.
    monkeypatch.setattr("huggingface_hub.hf_api.api.endpoint", hub.url)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return hub
