# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""Names of classes: saved with the pipeline, and accepted as labels, for every method."""

import json
import logging

import pytest
import torch
from tiny_pipelines import MAKERS, make_own, quiet, seeded


NAMES = {0: "cat", 1: "dog, big", 2: "1"}


@pytest.fixture(params=MAKERS)
def pipeline(request):
    unnamed = MAKERS[request.param](num_class_embeds=3)
    return quiet(type(unnamed)(unnamed.generator, unnamed.scheduler, id2label=NAMES))


def draw(pipeline, labels) -> torch.Tensor:
    return pipeline(len(labels), class_labels=labels, generator=seeded(3), output_type="pt").images


def test_names_and_numbers_give_the_same_samples(pipeline):
    assert pipeline.labels == {"cat": 0, "dog, big": 1, "1": 2}
    assert pipeline.get_label_ids(["1", "cat"]) == [2, 0] and pipeline.get_label_ids("dog, big") == [1]
    assert torch.equal(draw(pipeline, ["1", "dog, big", 0]), draw(pipeline, [2, 1, 0]))
    assert torch.equal(draw(pipeline, ["cat", "1"]), draw(pipeline, torch.tensor([0, 2])))


def test_names_are_saved_in_the_index_and_loaded(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    index = json.loads((tmp_path / "model_index.json").read_text())
    assert index["id2label"] == {str(number): name for number, name in NAMES.items()}
    loaded = quiet(type(pipeline).from_pretrained(tmp_path))
    assert loaded.labels == pipeline.labels
    assert torch.equal(draw(loaded, ["dog, big"]), draw(pipeline, [1]))
    loaded.save_pretrained(tmp_path / "again")
    assert json.loads((tmp_path / "again" / "model_index.json").read_text())["id2label"] == index["id2label"]
    shared = type(pipeline).from_pipe(pipeline)
    assert shared.labels == pipeline.labels


def test_loading_names_warns_of_nothing(pipeline, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("diffusers"), "propagate", True)
    pipeline.save_pretrained(tmp_path)
    type(pipeline).from_pretrained(tmp_path)
    assert not caplog.messages


@pytest.mark.parametrize("labels", [["cow"], ["Cat"], ["cat "], [""], ["0"]])
def test_unknown_names_are_refused_with_the_known_ones(pipeline, labels):
    with pytest.raises(ValueError, match=r"`class_labels` must be numbers or names out of \['cat', 'dog, big', '1'\]"):
        draw(pipeline, labels)
    with pytest.raises(ValueError, match="`label` must be among the classes"):
        pipeline.get_label_ids(labels)


@pytest.mark.parametrize(
    "names",
    [
        {},
        {0: "cat", 1: "dog"},
        {0: "a", 1: "b", 2: "c", 3: "d"},
        {1: "a", 2: "b", 3: "c"},
        {0: "a", 1: "a", 2: "b"},
        {0: "a", 1: "b", 2: 3},
        {"0": "a", "1": "b", "x": "c"},
    ],
)
def test_names_that_do_not_fit_the_classes_are_refused(names):
    pipeline = make_own("ddgan", num_class_embeds=3)
    with pytest.raises(ValueError, match="`id2label` must have a name of its own for each of the 3 classes"):
        type(pipeline)(pipeline.generator, pipeline.scheduler, id2label=names)


def test_models_without_classes_have_no_names():
    pipeline = make_own("spi-gan")
    assert pipeline.labels == {}
    with pytest.raises(ValueError, match="`id2label` must be None, since this model is unconditional"):
        type(pipeline)(pipeline.generator, pipeline.scheduler, id2label={0: "cat"})
    unnamed = make_own("spi-gan", num_class_embeds=2)
    with pytest.raises(TypeError, match="`class_labels` must be a list of ints"):
        unnamed(class_labels=["cat"])
