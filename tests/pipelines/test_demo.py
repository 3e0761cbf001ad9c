# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The page in the browser, over HTTP as a browser uses it."""

import json
import re
import runpy
import sys
from pathlib import Path

import gradio
import numpy as np
import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from diffusers.image_processor import VaeImageProcessor
from gradio_client import Client
from gradio_client.exceptions import AppError
from huggingface_hub import SpaceCard
from PIL import Image
from tiny_pipelines import make_ddgan, make_diffusion_gan, make_spi_gan, make_vectors, seeded

from gan_diffusion.demo import build_demo, run_demo
from gan_diffusion.pipelines import list_shipped_models, load_pipeline
from gan_diffusion.pipelines.command import draw_images


ROOT = Path(__file__).parents[2]
# What the page says of a model, in the order of its answer to `/load`.
SAID = ("text", "classes", "slider", "download")


def make_labelled():
    pipeline = make_ddgan(num_class_embeds=3)
    return type(pipeline)(pipeline.generator, pipeline.scheduler, {0: "ant", 1: "bee", 2: "cow"})


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders of pipelines of each method, and of what the page cannot draw."""
    folder = tmp_path_factory.mktemp("models")
    unet = UNet2DModel(8, 1, 1, down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",),
                       block_out_channels=(4,), norm_num_groups=1)  # fmt: skip
    for name, pipeline in {
        "classes": make_labelled(),
        "stylegan2": make_diffusion_gan(),
        "spi-gan": make_spi_gan(),
        "spi-gan-classes": make_spi_gan(num_class_embeds=2),
        "vectors": make_vectors("ddgan"),
        "other-library": DDPMPipeline(unet, DDPMScheduler()),
    }.items():
        pipeline.save_pretrained(folder / name)
    for name, file, content in [
        ("no-pipeline", "config.json", {}),
        ("markup", "model_index.json", {"_class_name": "<img src='https://example.org'>"}),
    ]:
        (folder / name).mkdir()
        (folder / name / file).write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def page(models):
    page = build_demo(str(models / "classes"), "cpu")
    page.launch(server_name="127.0.0.1", share=False, prevent_thread_lock=True, quiet=True)
    yield page
    page.close()


@pytest.fixture(scope="module")
def client(page, tmp_path_factory):
    """A visitor, with the model that the page begins with."""
    folder = str(tmp_path_factory.mktemp("downloads"))
    return Client(page.local_url, download_files=folder, verbose=False, analytics_enabled=False)


@pytest.fixture
def load(client, models):
    """What the page says of a model, whose classes it then takes."""

    def load(name: str) -> dict:
        return dict(zip(SAID, client.predict(place(models, name), api_name="/load"), strict=True))

    yield load
    client.predict(str(models / "classes"), api_name="/load")


@pytest.fixture
def draw(client, models):
    """The pictures of a model: of all images, or of how its method makes the first one."""

    def draw(name: str, label: int = -1, seed: int = 0, count: int = 1, amount: float = 1.0) -> np.ndarray:
        file, *_ = client.predict(str(models / name), label, seed, count, amount, api_name="/draw")
        return cells(file, int(np.ceil(np.sqrt(count))))

    return draw


@pytest.fixture
def strips(client, models):
    def strips(name: str, label: int = -1, seed: int = 0, other_seed: int = 1) -> list[np.ndarray | None]:
        files = client.predict(str(models / name), label, seed, other_seed, api_name="/draw_strips")
        return [file and cells(file, columns) for file, columns in zip(files, (5, 6, 8), strict=True)]

    return strips


def place(models: Path, name: str) -> str:
    """The folder of a model of this module, or the name of a shipped one."""
    return name if name in list_shipped_models() else str(models / name)


def cells(file: str, columns: int) -> np.ndarray:
    """The images of a grid of 8x8 images, (N, 8, 8), each pixel of which is shown by a square."""
    grid = Image.open(file)
    assert grid.format == "PNG"
    scale = grid.width // (8 * columns)
    pixels = np.asarray(grid.convert("L"))
    assert scale > 1 and (pixels == np.kron(pixels[::scale, ::scale], np.ones((scale, scale), np.uint8))).all()
    pixels = pixels[::scale, ::scale]
    return pixels.reshape(-1, 8, columns, 8).swapaxes(1, 2).reshape(-1, 8, 8)


def pixels(images) -> np.ndarray:
    return np.stack([np.asarray(image) for image in images])


def expected(pipeline, labels: list[int] | None, count: int, seed: int, **options) -> np.ndarray:
    return pixels(draw_images(pipeline, count, count, seed, labels, **options))


def test_the_grid_holds_the_images_of_class_and_seed(draw):
    *images, blank = draw("classes", 1, 5, 3)
    np.testing.assert_array_equal(images, expected(make_labelled(), [1], 3, 5))
    assert (blank == 255).all()


def test_all_classes_are_drawn_in_turn(draw):
    np.testing.assert_array_equal(draw("classes", count=4), expected(make_labelled(), [0, 1, 2], 4, 0))


def test_the_grid_is_downloaded_under_the_name_of_model_and_seed_and_the_time_is_told(client, models):
    shown, download, told = client.predict(str(models / "classes"), -1, 7, 4, 1, api_name="/draw")
    assert Path(download).name == "classes-seed-7.png"
    assert Path(download).read_bytes() == Path(shown).read_bytes()
    seconds, each = re.fullmatch(r"4 images in ([\d.]+) s, ([\d.]+) ms per image", told).groups()
    assert float(each) > 0 and float(seconds) * 1000 / 4 == pytest.approx(float(each), abs=0.05 + 5 / 4)


def test_a_ddgan_shows_its_noise_and_each_step_of_the_first_image(draw, strips):
    steps, path, between = strips("classes", label=2, seed=3)
    assert path is None and between is None
    states = [make_labelled().prepare_latents(1, torch.float32, torch.device("cpu"), seeded(3))]
    make_labelled()(
        class_labels=[2],
        generator=seeded(3),
        callback_on_step_end=lambda pipeline, step, timestep, tensors: states.append(tensors["latents"]) or {},
    )
    assert len(states) == 1 + 4
    images = VaeImageProcessor(vae_scale_factor=1).postprocess(torch.cat(states), output_type="pil")
    np.testing.assert_array_equal(steps, pixels(images))
    np.testing.assert_array_equal(steps[-1:], draw("classes", label=2, seed=3))
    assert len(np.unique(steps, axis=0)) == 5


def test_the_slider_of_a_stylegan2_truncates(load, draw, strips):
    said = load("stylegan2")
    assert said["slider"]["visible"] is True and said["slider"]["label"] == "Truncation"
    images = draw("stylegan2", seed=2, count=4, amount=0.3)
    np.testing.assert_array_equal(images, expected(make_diffusion_gan(), None, 4, 2, truncation_psi=0.3))
    assert (images != draw("stylegan2", seed=2, count=4)).any()
    assert strips("stylegan2") == [None, None, None]


def test_the_slider_of_an_spi_gan_is_the_position_on_its_path(load, draw):
    said = load("spi-gan")
    assert said["slider"]["visible"] is True and said["slider"]["label"] == "Position u on the path"
    images = draw("spi-gan", seed=2, count=4, amount=0.4)
    np.testing.assert_array_equal(images, expected(make_spi_gan(), None, 4, 2, u=0.4))
    assert (images != draw("spi-gan", seed=2, count=4)).any()


@pytest.mark.parametrize(
    "name, label, used", [("spi-gan", -1, None), ("spi-gan-classes", -1, 0), ("spi-gan-classes", 1, 1)]
)
def test_an_spi_gan_shows_the_path_of_a_seed_and_the_way_to_another(load, strips, name, label, used):
    load(name)
    steps, path, between = strips(name, label, seed=3, other_seed=9)
    assert steps is None
    pipeline = make_spi_gan(num_class_embeds=None if used is None else 2)
    classes = None if used is None else [used]
    us = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    np.testing.assert_array_equal(path, pixels(pipeline.path(us=us, class_labels=classes, generator=seeded(3))))
    ends = [pipeline.path(us=[1.0], class_labels=classes, generator=seeded(seed))[0] for seed in (3, 9)]
    np.testing.assert_array_equal(between[[0, -1]], pixels(ends))
    assert len(np.unique(between, axis=0)) == 8


@pytest.mark.parametrize("name", ["classes", "diffusion-projected-fashion-mnist"])
def test_a_model_without_styles_has_no_slider_and_is_drawn_whatever_it_says(client, load, models, name):
    model = place(models, name)
    assert load(name)["slider"]["visible"] is False
    files = [client.predict(model, 1, 0, 1, amount, api_name="/draw")[0] for amount in (0.2, 1)]
    assert Path(files[0]).read_bytes() == Path(files[1]).read_bytes()
    (image,) = expected(load_pipeline(model), [1], 1, 0)
    shown = np.asarray(Image.open(files[0]).convert("L"))
    np.testing.assert_array_equal(shown[:: len(shown) // len(image), :: len(shown) // len(image)], image)


@pytest.mark.parametrize(
    "name, text, classes",
    [
        (
            "classes",
            "DDGANPipeline, 1x8x8, 4 evaluations of the network per image",
            [["all in turn", -1], ["ant", 0], ["bee", 1], ["cow", 2]],
        ),
        ("stylegan2", "DiffusionGANPipeline, 1x8x8, 1 evaluation of the network per image", None),
        (
            "spi-gan-classes",
            "SPIGANPipeline, 1x8x8, 1 evaluation of the network per image",
            [["all in turn", -1], ["0", 0], ["1", 1]],
        ),
    ],
)
def test_another_model_is_described_with_its_classes(load, name, text, classes):
    said = load(name)
    assert said["text"]["value"] == text
    assert said["classes"]["visible"] is (classes is not None)
    assert classes is None or said["classes"]["choices"] == classes


@pytest.mark.parametrize(
    "values, message",
    [
        ((7, 0, 1, 1), "not in the list of choices"),
        ((1, -1, 1, 1), "less than minimum"),
        ((1, None, 1, 1), "`Seed` must be a whole number, got nothing"),
        ((1, 0, 65, 1), "greater than maximum"),
        ((1, 0, 0, 1), "less than minimum"),
        ((1, 0, 1, 1.5), "greater than maximum"),
    ],
)
def test_mistakes_are_told_on_the_page(client, models, values, message):
    with pytest.raises(AppError, match=message):
        client.predict(str(models / "classes"), *values, api_name="/draw")


def test_an_end_without_a_seed_is_told_on_the_page(client, models):
    with pytest.raises(AppError, match="`Other seed` must be a whole number, got nothing"):
        client.predict(str(models / "spi-gan"), -1, 0, None, api_name="/draw_strips")


@pytest.mark.parametrize(
    "name, message",
    [
        ("{models}/nowhere", "`Model` must be a folder with a model_index.json, .* got '.*nowhere'"),
        ("{models}/no-pipeline", "`Model` must be a folder with a model_index.json"),
        ("somebody/private", "`Model` must be a folder with .* got 'somebody/private'"),
        ("no name of the Hub", "`Model` must be a folder with"),
        ("", "`Model` must be a folder with .* got ''"),
        (None, "`Model` must be a folder with .* got ''"),
        ("{models}/other-library", "`Model` must hold one of the pipelines .* with a 'DDPMPipeline'"),
        ("{models}/markup", "with a \"&lt;img src='https://example.org'&gt;\""),
        ("{models}/vectors", "`model` must be a pipeline of images, got"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_told_and_never_drawn(client, models, draw, name, message):
    name = name and name.format(models=models)
    for values, api_name in [((), "/load"), ((-1, 0, 1, 1), "/draw"), ((-1, 0, 1), "/draw_strips")]:
        with pytest.raises(AppError, match=message):
            client.predict(name, *values, api_name=api_name)
    np.testing.assert_array_equal(draw("classes", label=2), expected(make_labelled(), [2], 1, 0))


def test_the_page_is_for_this_machine_alone(page):
    assert page.local_url.startswith("http://127.0.0.1:")
    assert page.share_url is None and page.analytics_enabled is False


@pytest.mark.parametrize(
    "words, message",
    [
        (["nowhere"], "must be a folder with a model_index.json"),
        (["{vectors}"], "must be a pipeline of images, got"),
        (["{plain}", "--device", "abacus"], "`--device` must be a device of this machine, got 'abacus'"),
        (["{plain}", "--port", "{port}"], "Cannot find empty port"),
        (["{plain}", "--share"], "unrecognized arguments: --share"),
    ],
)
def test_the_command_refuses_in_one_line(models, page, capsys, words, message):
    names = {"plain": models / "stylegan2", "vectors": models / "vectors", "port": page.server_port}
    with pytest.raises(SystemExit):
        run_demo([word.format(**names) for word in words], prog="gan-diffusion demo")
    usage, last = capsys.readouterr().err.strip().splitlines()[-2:]
    assert usage.startswith("usage: gan-diffusion demo MODEL") and message in last


def test_what_is_missing_is_said(models, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(ValueError, match="pip install gradio"):
        build_demo(str(models / "stylegan2"))


def test_the_folder_is_a_space_that_shows_a_shipped_model_and_offers_all():
    card = SpaceCard.load(ROOT / "demo" / "README.md").data
    demo = runpy.run_path(str(ROOT / "demo" / card.app_file))["demo"]
    assert isinstance(demo, gradio.Blocks)
    (model,) = [part for part in demo.blocks.values() if getattr(part, "label", None) == "Model"]
    assert [value for _, value in model.choices] == list_shipped_models() and model.value in list_shipped_models()


def test_the_space_has_the_versions_that_the_tests_run_with():
    card = SpaceCard.load(ROOT / "demo" / "README.md").data
    setup = (ROOT / "setup.cfg").read_text().splitlines()
    assert f"gradio=={card.sdk_version}" in (ROOT / "constraints.txt").read_text().splitlines()
    assert f"python_requires = >={card.python_version}" in setup
    assert f"name = {(ROOT / 'demo' / 'requirements.txt').read_text().strip()}" in setup
    assert (card.sdk, card.license) == ("gradio", "apache-2.0")
