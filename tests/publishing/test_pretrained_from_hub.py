# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""A training can start from a model on the Hub, with or without discriminator."""

SCRIPT = """
import json, sys
import torch
from huggingface_hub import HfApi
from gan_diffusion import DDGANPipeline, DDGANScheduler, MLPDiscriminator, MLPGenerator
from gan_diffusion.training import load_pretrained

folder, name = sys.argv[1:]
generator, discriminator = (kind(hidden_dim=8, num_class_embeds=2) for kind in (MLPGenerator, MLPDiscriminator))
DDGANPipeline(generator, DDGANScheduler(2), id2label={0: "a", 1: "b"}).save_pretrained(folder)
HfApi().create_repo(name)
HfApi().upload_folder(repo_id=name, folder_path=folder)
result = {}
for part in ("without", "with"):
    if part == "with":
        discriminator.save_pretrained(folder + "/discriminator")
        HfApi().upload_folder(repo_id=name, folder_path=folder)
    fresh = {"generator": MLPGenerator(hidden_dim=8, num_class_embeds=2),
             "discriminator": MLPDiscriminator(hidden_dim=8, num_class_embeds=2)}
    account, _ = load_pretrained(name, fresh, ["a", "b"])
    equal = [all(torch.equal(v, fresh[k].state_dict()[n]) for n, v in network.state_dict().items())
             for k, network in (("generator", generator), ("discriminator", discriminator))]
    result[part] = {"name": account["name"], "equal": equal, "new": len(account["discriminator"]["new"])}
try:
    load_pretrained("someone/nothing", fresh)
except ValueError as error:
    result["missing"] = str(error)
print(json.dumps(result))
"""


def test_a_model_on_the_hub_is_a_start(run_with_hub, tmp_path):
    result = run_with_hub(SCRIPT, tmp_path / "model", "user/start")
    assert result["without"]["name"] == result["with"]["name"] == "user/start"
    assert result["without"]["equal"] == [True, False] and result["without"]["new"] > 0
    assert result["with"]["equal"] == [True, True] and result["with"]["new"] == 0
    assert result["missing"].startswith("`pretrained` must be the folder or the Hub name of a saved pipeline")
