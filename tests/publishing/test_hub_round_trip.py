# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
Models go through the Hub: pushed by one process, loaded by others that start with nothing but an import.

A round trip through a folder, or within one process, would pass without any of what makes the Hub work.
"""

import json
import re

import pytest
from huggingface_hub import ModelCard


PUSH = """
import json, sys
from pathlib import Path
import torch
from huggingface_hub import create_repo, upload_folder
from gan_diffusion import DDGANDiscriminator, DDGANPipeline, DDGANScheduler, NCSNppGenerator
from gan_diffusion.publishing import save_repository
from gan_diffusion.recipes import Recipe

folder = Path(sys.argv[1])
torch.manual_seed(0)
generator = NCSNppGenerator(
    sample_size=8, in_channels=1, base_channels=16, channel_multipliers=(1, 2), layers_per_block=1,
    attention_resolutions=(), latent_dim=4, latent_embed_dim=8, num_latent_layers=1,
).eval()
# A fresh network's last layer is almost zero, so that every image would look the same.
for parameter in generator.parameters():
    torch.nn.init.normal_(parameter, std=0.2)
scheduler = DDGANScheduler(3, beta_max=15.0)
discriminator = DDGANDiscriminator(in_channels=1, base_channels=8, channel_multipliers=(1, 2), downsample=(True,))
pipeline = DDGANPipeline(generator, scheduler)
images = pipeline(2, generator=torch.Generator().manual_seed(7), output_type="pt").images
sample = torch.randn(2, 1, 8, 8)
with torch.no_grad():
    logits = discriminator(sample, 1, -sample).logits
torch.save({"images": images, "sample": sample, "logits": logits}, folder / "expected.pt")

pipeline.push_to_hub("user/tiny")
generator.push_to_hub("user/tiny-generator")
scheduler.push_to_hub("user/tiny-scheduler")
discriminator.push_to_hub("user/tiny-discriminator")

recipe = Recipe.load("ddgan-digits")
save_repository(folder / "published", pipeline, discriminator, recipe, recipe.training, {"steps": 5})
create_repo("user/published")
commits = [upload_folder(repo_id="user/published", folder_path=folder / "published").oid for _ in range(2)]
# To a repository that has a card: only the weights may change.
pipeline.push_to_hub("user/published")
print(json.dumps({"commits": commits}))
"""

LOAD = """
import json, sys
from gan_diffusion import DDGANPipeline

pipeline = DDGANPipeline.from_pretrained("user/tiny")

import traceback
from pathlib import Path
import torch
from diffusers import AutoModel, DiffusionPipeline
from gan_diffusion import NCSNppGenerator
from gan_diffusion.recipes import Recipe

folder = Path(sys.argv[1])
expected = torch.load(folder / "expected.pt")


def draw(pipeline):
    return pipeline(2, generator=torch.Generator().manual_seed(7), output_type="pt").images


def error(load, *arguments, **options):
    try:
        load(*arguments, **options)
    except OSError as error:
        return "".join(traceback.format_exception_only(error) + traceback.format_exception(error.__cause__))


auto = AutoModel.from_pretrained("user/tiny", subfolder="generator")
custom = DiffusionPipeline.from_pretrained("user/published", custom_pipeline="user/published", trust_remote_code=True)
half = DDGANPipeline.from_pretrained("user/tiny", dtype=torch.bfloat16)
print(json.dumps({
    "images": torch.equal(draw(pipeline), expected["images"]),
    "auto": type(auto) is NCSNppGenerator,
    "auto_images": torch.equal(draw(DDGANPipeline(auto, pipeline.scheduler)), expected["images"]),
    "custom": type(custom) is DDGANPipeline,
    "custom_images": torch.equal(draw(custom), expected["images"]),
    "half": str(half.generator.dtype),
    "no_repository": error(DDGANPipeline.from_pretrained, "user/missing"),
    "no_revision": error(DDGANPipeline.from_pretrained, "user/tiny", revision="v9"),
    "no_index": error(DDGANPipeline.from_pretrained, "user/tiny-generator"),
    "no_config": error(NCSNppGenerator.from_pretrained, "user/tiny-scheduler"),
    "no_subfolder": error(NCSNppGenerator.from_pretrained, "user/tiny", subfolder="discriminator"),
}))
"""

# By the modules' own names: no name of the top-level package is used before loading.
LOAD_COMPONENTS = """
import json, sys
from gan_diffusion.pipelines import DDGANPipeline

pipeline = DDGANPipeline.from_pretrained("user/tiny")

from pathlib import Path
import torch
from gan_diffusion.models import DDGANDiscriminator, NCSNppGenerator
from gan_diffusion.schedulers import DDGANScheduler

expected = torch.load(Path(sys.argv[1]) / "expected.pt")


def draw(pipeline):
    return pipeline(2, generator=torch.Generator().manual_seed(7), output_type="pt").images


def judge(*arguments, **options):
    with torch.no_grad():
        discriminator = DDGANDiscriminator.from_pretrained(*arguments, **options)
        return discriminator(expected["sample"], 1, -expected["sample"]).logits


scheduler = DDGANScheduler.from_pretrained("user/tiny-scheduler")
parts = DDGANPipeline(NCSNppGenerator.from_pretrained("user/tiny-generator"), scheduler)
parts.save_pretrained(Path(sys.argv[1]) / "parts")
print(json.dumps({
    "images": torch.equal(draw(pipeline), expected["images"]),
    "scheduler": dict(scheduler.config),
    "parts": torch.equal(draw(parts), expected["images"]),
    "index": json.loads((Path(sys.argv[1]) / "parts" / "model_index.json").read_text()),
    "discriminator": torch.equal(judge("user/tiny-discriminator"), expected["logits"]),
    "published_discriminator": torch.equal(judge("user/published", subfolder="discriminator"), expected["logits"]),
}))
"""

WITHOUT_REGISTRATION = """
import json
from diffusers.pipelines.pipeline_loading_utils import LOADABLE_CLASSES

from gan_diffusion import DDGANPipeline, DDGANScheduler, NCSNppGenerator
from gan_diffusion.registry import register_with_diffusers

del LOADABLE_CLASSES["gan_diffusion"]

try:
    DDGANPipeline.from_pretrained("user/tiny")
    error = None
except ValueError as raised:
    error = str(raised)
register_with_diffusers()
pipeline = DDGANPipeline.from_pretrained("user/tiny")
print(json.dumps({"error": error, "registered": type(pipeline.generator) is NCSNppGenerator}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("round_trip")


@pytest.fixture(scope="module")
def pushed(run_with_hub, folder) -> dict:
    return run_with_hub(PUSH, folder)


@pytest.fixture(scope="module")
def loaded(run_with_hub, folder, pushed) -> dict:
    return run_with_hub(LOAD, folder)


def test_pushed_files(hub, pushed):
    files = hub.files("user/tiny")
    assert set(files) == {
        ".gitattributes", "README.md", "checksums.json", "generator/config.json",
        "generator/diffusion_pytorch_model.safetensors", "model_index.json", "scheduler/scheduler_config.json",
    }  # fmt: skip
    index = json.loads(files["model_index.json"])
    assert index["_class_name"] == "DDGANPipeline"
    assert index["generator"] == ["gan_diffusion", "NCSNppGenerator"]
    assert index["scheduler"] == ["gan_diffusion", "DDGANScheduler"]


def test_published_repository_keeps_its_card(hub, pushed):
    files = hub.files("user/published")
    assert {"pipeline.py", "training.yaml", "measurements.json", "discriminator/config.json"} <= set(files)
    assert ModelCard(files["README.md"].decode()).data.library_name == "gan_diffusion"
    assert "| steps | 5 |" in files["README.md"].decode()


def test_uploading_again_changes_nothing(pushed):
    first, second = pushed["commits"]
    assert first == second


def test_loaded_pipeline_gives_equal_images(loaded):
    assert loaded["images"]
    assert loaded["half"] == "torch.bfloat16"


def test_auto_model_finds_the_generator(loaded):
    assert loaded["auto"] and loaded["auto_images"]


def test_custom_pipeline_is_the_installed_class(loaded):
    assert loaded["custom"] and loaded["custom_images"]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no_repository", "Repository Not Found for url: .*/user/missing"),
        ("no_revision", "Revision Not Found for url: .*/user/tiny/revision/v9"),
        ("no_index", "Entry Not Found for url: .*/user/tiny-generator/.*/model_index.json"),
        ("no_config", "user/tiny-scheduler does not appear to have a file named config.json"),
        ("no_subfolder", "user/tiny does not appear to have a file named config.json"),
    ],
)
def test_what_is_missing_is_named(loaded, what, message):
    assert re.search(message, loaded[what])


def test_components_go_through_the_hub_alone(run_with_hub, folder, pushed):
    loaded = run_with_hub(LOAD_COMPONENTS, folder)
    assert loaded["images"] and loaded["parts"]
    assert loaded["discriminator"] and loaded["published_discriminator"]
    assert (loaded["scheduler"]["num_train_timesteps"], loaded["scheduler"]["beta_max"]) == (3, 15.0)
    assert loaded["index"]["generator"] == ["gan_diffusion", "NCSNppGenerator"]


def test_registration_alone_makes_loading_work(run_with_hub, pushed):
    """If the error is gone, diffusers finds our classes by itself, and the registration can go."""
    loaded = run_with_hub(WITHOUT_REGISTRATION)
    assert "generator/gan_diffusion.py as defined in `model_index.json` does not exist" in loaded["error"]
    assert loaded["registered"]


def test_server_knew_every_request(hub, loaded):
    assert hub.unknown_requests == []
    assert any(request.startswith("PUT /lfs/") for request in hub.requests)
