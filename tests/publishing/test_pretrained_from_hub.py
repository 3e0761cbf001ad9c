# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""A training can start from a model on the Hub, with or without discriminator."""

import pytest
import torch
from huggingface_hub import HfApi

from gan_diffusion import DDGANPipeline, DDGANScheduler, MLPDiscriminator, MLPGenerator
from gan_diffusion.training import load_pretrained


CLASSES = {"generator": MLPGenerator, "discriminator": MLPDiscriminator}


def make_networks() -> dict:
    return {part: kind(hidden_dim=8, num_class_embeds=2) for part, kind in CLASSES.items()}


def test_a_model_on_the_hub_is_a_start(hub_here, tmp_path):
    saved, equal, new = make_networks(), [], []
    pipeline = DDGANPipeline(saved["generator"], DDGANScheduler(2), id2label={0: "a", 1: "b"})
    pipeline.save_pretrained(tmp_path / "model")
    HfApi().create_repo("user/start")
    for has_discriminator in (False, True):
        if has_discriminator:
            saved["discriminator"].save_pretrained(tmp_path / "model" / "discriminator")
        HfApi().upload_folder(repo_id="user/start", folder_path=tmp_path / "model")
        fresh = make_networks()
        account, _ = load_pretrained("user/start", fresh, ["a", "b"])
        assert account["name"] == "user/start"
        new.append(len(account["discriminator"]["new"]))
        for part, network in saved.items():
            found = fresh[part].state_dict()
            equal.append(all(torch.equal(value, found[name]) for name, value in network.state_dict().items()))
    assert equal == [True, False, True, True] and new[0] > 0 and new[1] == 0
    with pytest.raises(ValueError, match="^`pretrained` must be the folder or the Hub name of a saved pipeline"):
        load_pretrained("someone/nothing", fresh)
