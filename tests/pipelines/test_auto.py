# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

import pytest
import torch

from gan_diffusion import (
    DDGANPipeline,
    DDGANScheduler,
    DiffusionGANPipeline,
    DiffusionGANScheduler,
    LatentMLPGenerator,
    MLPGenerator,
)
from gan_diffusion.pipelines import load_pipeline


@pytest.fixture
def saved(tmp_path):
    DDGANPipeline(MLPGenerator(hidden_dim=8), DDGANScheduler(3)).save_pretrained(tmp_path / "ddgan")
    return tmp_path / "ddgan"


def test_pipelines_of_any_method_are_loaded_by_one_function(saved, tmp_path):
    assert type(load_pipeline(saved)) is DDGANPipeline
    generator = LatentMLPGenerator(hidden_dim=8)
    DiffusionGANPipeline(generator, DiffusionGANScheduler(max_timesteps=20)).save_pretrained(tmp_path / "other")
    other = load_pipeline(str(tmp_path / "other"), dtype=torch.float64)
    assert type(other) is DiffusionGANPipeline and other.generator.dtype == torch.float64
    assert other.scheduler.config.max_timesteps == 20


def test_other_pipelines_are_refused(saved):
    index = saved / "model_index.json"
    index.write_text(index.read_text().replace("DDGANPipeline", "DDPMPipeline"))
    with pytest.raises(ValueError, match="must hold one of the pipelines .*got '.*ddgan' with a 'DDPMPipeline'"):
        load_pipeline(saved)


@pytest.mark.parametrize("name", ["nothing", "not/a/hub/name", "someone/unknown", "ddgan/generator", "broken"])
def test_what_is_not_a_pipeline_gets_one_clear_error(saved, monkeypatch, name):
    monkeypatch.chdir(saved.parent)
    (saved.parent / "broken").mkdir()
    (saved.parent / "broken" / "model_index.json").write_text("{")
    for path in (name, str(saved.parent / name)):
        with pytest.raises(ValueError, match=f"`pretrained_model_name_or_path` must be a folder .*, got '.*{name}'"):
            load_pipeline(path)
