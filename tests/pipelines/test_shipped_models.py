# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from huggingface_hub import ModelCard

from gan_diffusion.pipelines import list_shipped_models, load_pipeline, shipped_model


@pytest.mark.parametrize("name", list_shipped_models())
def test_a_shipped_model_draws_varied_images_and_says_where_it_comes_from(name):
    pipeline = load_pipeline(name)
    pipeline.set_progress_bar_config(disable=True)
    condition = {} if not pipeline.labels else {"class_labels": torch.arange(8) % len(pipeline.labels)}
    images = pipeline(8, **condition, generator=torch.Generator().manual_seed(0), output_type="pt").images
    assert images.shape == (8, *pipeline.sample_shape)
    assert 0 <= images.min() and images.max() <= 1
    assert images.flatten(1).std(0).mean() > 0.1
    folder = shipped_model(name)
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < 2e6
    assert not any("_name_or_path" in file.read_text() for file in folder.rglob("*.json"))
    card = ModelCard.load(folder / "README.md")
    assert card.data.license and card.data.eval_results


def test_models_ship_with_the_package():
    assert list_shipped_models()


def test_a_name_that_does_not_ship():
    with pytest.raises(ValueError, match=r"`name` must be one of \[.*\], got 'nothing'"):
        shipped_model("nothing")


def test_a_folder_comes_before_a_shipped_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = list_shipped_models()[0]
    (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match=f"got '{name}'"):
        load_pipeline(name)
