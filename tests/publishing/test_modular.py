# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""Saved pipelines are loaded by diffusers' `ModularPipeline`, from a folder and from the Hub."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from diffusers import ModularPipeline

from gan_diffusion.pipelines import load_pipeline
from gan_diffusion.publishing import push_repository, save_repository
from gan_diffusion.recipes import Recipe


sys.path.insert(0, str(Path(__file__).parents[1] / "pipelines"))
from tiny_pipelines import MAKERS, make_own, seeded  # noqa: E402


FILES = {"modular_blocks.py", "modular_config.json", "modular_model_index.json"}

# Nothing but diffusers is imported.
LOAD = """
import json, sys
import torch
from diffusers import ModularPipeline

def draw(name, loading={}, **options):
    pipeline = ModularPipeline.from_pretrained(name, trust_remote_code=True, **options)
    pipeline.load_components(**loading)
    noise = torch.Generator().manual_seed(7)
    try:
        return pipeline(class_labels=["b", 0], generator=noise, output_type="pt", output="images")
    except ValueError as error:
        return str(error)

methods, first = json.loads(sys.argv[1]), sys.argv[2]
images = {method: draw(f"user/{method}") for method in methods}

from gan_diffusion.pipelines import load_pipeline
from huggingface_hub import snapshot_download

def expected(name, **options):
    pipeline = load_pipeline(name, **options)
    return pipeline(class_labels=["b", 0], generator=torch.Generator().manual_seed(7), output_type="pt").images

old, new = expected("user/ddgan", revision=first), expected("user/ddgan")
print(json.dumps({
    "equal": [torch.equal(images[method], expected(f"user/{method}")) for method in methods],
    "differ": not torch.equal(old, new),
    "only_code_is_old": draw("user/ddgan", revision=first),
    "old": torch.equal(draw("user/ddgan", {"revision": first}, revision=first), old),
    "raw": torch.equal(draw("user/ddgan", {"variant": "raw"}), old),
    "old_folder": torch.equal(draw(snapshot_download("user/ddgan", revision=first)), old),
    "copy": draw("user/copy"),
}))
"""


def save(method: str, folder: Path, change: float = 0.0, **config) -> Path:
    recipe = Recipe.load(f"{method}-digits")
    small = {"hidden_dim": 8} if method == "ddgan" else {"channel_max": 8}
    pipeline = MAKERS[method](**config)
    with torch.no_grad():
        next(pipeline.generator.parameters()).add_(change)
    names = {0: "a", 1: "b", 2: "c"} if "num_class_embeds" in config else None
    pipeline = type(pipeline)(pipeline.generator, pipeline.scheduler, names)
    save_repository(folder, pipeline, recipe.build("discriminator", **small), recipe, recipe.training, {})
    return folder


@pytest.fixture
def modules_here(monkeypatch, tmp_path):
    """Code that diffusers copies before it runs it goes to a folder of the test."""
    monkeypatch.setattr("diffusers.utils.dynamic_modules_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    yield
    for name in [name for name in sys.modules if name.startswith("diffusers_modules")]:
        del sys.modules[name]


@pytest.mark.parametrize("method", MAKERS)
def test_folders_load_wherever_they_are(modules_here, tmp_path, method):
    for name, config, condition in (("a", {}, {}), ("b", {"num_class_embeds": 3}, {"class_labels": ["c", 0]})):
        save(method, tmp_path / name, **config)
        (tmp_path / name).rename(tmp_path / f"{name} moved")
        folder = str(tmp_path / f"{name} moved")
        options = {"output_type": "latent", **condition}
        expected = load_pipeline(folder)(generator=seeded(), **options).images
        modular = ModularPipeline.from_pretrained(folder, trust_remote_code=True)
        modular.load_components()
        assert torch.equal(modular(generator=seeded(), output="images", **options), expected)
        modular.load_components(["generator"], dtype=torch.bfloat16)
        assert modular(output="images", **options).dtype == torch.bfloat16
        assert str(tmp_path) not in "".join((Path(folder) / file).read_text() for file in FILES)


def test_code_of_a_folder_runs_only_when_it_is_trusted(modules_here, tmp_path):
    folder = str(save("spi-gan", tmp_path / "model"))
    with pytest.raises(ValueError, match="Pass `trust_remote_code=True`"):
        ModularPipeline.from_pretrained(folder)
    (tmp_path / "model" / "modular_blocks.py").write_text("raise SystemExit")
    assert load_pipeline(folder)(output_type="pt").images.shape == (1, 1, 8, 8)


def test_damaged_weights_are_not_taken(modules_here, tmp_path):
    folder = save("diffusion-gan", tmp_path / "model")
    weights = folder / "generator" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    modular = ModularPipeline.from_pretrained(str(folder), trust_remote_code=True)
    modular.load_components()
    with pytest.raises(ValueError, match="`generator` must be loaded .* got None"):
        modular()


def test_networks_of_ones_own_load_too(modules_here, tmp_path):
    pipeline, recipe = make_own("ddgan"), Recipe.load("ddgan-digits")
    discriminator = recipe.build("discriminator", hidden_dim=8)
    save_repository(tmp_path / "model", pipeline, discriminator, recipe, recipe.training, {})
    modular = ModularPipeline.from_pretrained(str(tmp_path / "model"), trust_remote_code=True)
    modular.load_components()
    images = modular(generator=seeded(), output_type="pt", output="images")
    assert torch.equal(images, pipeline(generator=seeded(), output_type="pt").images)


def test_pushed_models_are_pulled_by_diffusers_alone(hub, hub_here, run_with_hub, tmp_path):
    for method in MAKERS:
        save(method, tmp_path / method, num_class_embeds=3)
        push_repository(tmp_path / method, method)
    first = hub.repository("user/ddgan").head
    shutil.copytree(tmp_path / "ddgan", tmp_path / "raw")
    push_repository(save("ddgan", tmp_path / "ddgan", change=0.5, num_class_embeds=3), "ddgan")
    push_repository(tmp_path / "raw", "ddgan", variant="raw")
    files = hub.files("user/ddgan")
    assert set(files) >= FILES and json.loads(files["modular_model_index.json"])["generator"][2] == {
        "pretrained_model_name_or_path": "user/ddgan", "revision": None, "subfolder": "generator",
        "type_hint": ["gan_diffusion", "NCSNppGenerator"], "variant": None,
    }  # fmt: skip
    push_repository(tmp_path / "ddgan", "copy")
    hub.repository("user/copy").commit(files)
    loaded = run_with_hub(LOAD, json.dumps([*MAKERS]), first)
    assert loaded["equal"] == [True] * len(MAKERS) and loaded["differ"]
    assert "`generator` must be of the same commit as the code" in loaded["only_code_is_old"]
    assert loaded["old"] and loaded["raw"] and loaded["old_folder"]
    assert "`generator` must be from 'user/copy', like the code of this pipeline" in loaded["copy"]
    assert hub.unknown_requests == []


def test_our_pipelines_do_not_read_the_modular_files(hub_here, tmp_path):
    push_repository(save("diffusion-gan", tmp_path / "model"), "model")
    hub_here.requests.clear()
    load_pipeline("user/model")
    assert not [request for request in hub_here.requests if "modular" in request]
