# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The page in the browser, over HTTP as a browser uses it."""

import sys

import numpy as np
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from PIL import Image
from tiny_pipelines import make_ddgan, make_diffusion_gan, make_vectors

from gan_diffusion.demo import build_demo, run_demo
from gan_diffusion.pipelines.command import draw_images


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders of a pipeline with classes, one without, and one of vectors."""
    folder = tmp_path_factory.mktemp("models")
    labelled = make_ddgan(num_class_embeds=3)
    labelled = type(labelled)(labelled.generator, labelled.scheduler, {0: "ant", 1: "bee", 2: "cow"})
    for name, pipeline in {
        "classes": labelled,
        "plain": make_diffusion_gan(),
        "vectors": make_vectors("ddgan"),
    }.items():
        pipeline.save_pretrained(folder / name)
    return folder


@pytest.fixture(scope="module")
def page(models):
    page = build_demo(str(models / "classes"))
    page.launch(server_name="127.0.0.1", share=False, prevent_thread_lock=True, quiet=True)
    yield page
    page.close()


@pytest.fixture
def client(page, tmp_path):
    """A visitor, with the model that the page begins with."""
    return Client(page.local_url, download_files=str(tmp_path), verbose=False, analytics_enabled=False)


def cells(file: str, columns: int) -> np.ndarray:
    """The images of a grid of 8x8 images, (N, 8, 8), each pixel of which is shown by a square."""
    grid = Image.open(file)
    scale = grid.width // (8 * columns)
    pixels = np.asarray(grid.convert("L"))
    assert scale > 1 and (pixels == np.kron(pixels[::scale, ::scale], np.ones((scale, scale), np.uint8))).all()
    pixels = pixels[::scale, ::scale]
    return pixels.reshape(-1, 8, columns, 8).swapaxes(1, 2).reshape(-1, 8, 8)


def expected(labels: list[int] | None, count: int, seed: int, make=make_ddgan, **options) -> np.ndarray:
    return np.stack([np.asarray(image) for image in draw_images(make(**options), count, count, seed, labels)])


def test_the_grid_holds_the_images_of_class_and_seed(client):
    *images, blank = cells(client.predict(1, 5, 3, api_name="/draw"), 2)
    np.testing.assert_array_equal(images, expected([1], 3, 5, num_class_embeds=3))
    assert (blank == 255).all()


def test_all_classes_are_drawn_in_turn(client):
    images = cells(client.predict(-1, 0, 4, api_name="/draw"), 2)
    np.testing.assert_array_equal(images, expected([0, 1, 2], 4, 0, num_class_embeds=3))


def test_another_model_is_loaded(client, models):
    text, classes = client.predict(str(models / "plain"), api_name="/load")
    assert classes["visible"] is False and text == "DiffusionGANPipeline, 1x8x8, 1 evaluation of the network per image"
    images = cells(client.predict(-1, 2, 1, api_name="/draw"), 1)
    np.testing.assert_array_equal(images, expected(None, 1, 2, make_diffusion_gan))
    text, classes = client.predict(str(models / "classes"), api_name="/load")
    assert classes["choices"] == [["all in turn", -1], ["ant", 0], ["bee", 1], ["cow", 2]]
    assert text == "DDGANPipeline, 1x8x8, 4 evaluations of the network per image"


@pytest.mark.parametrize(
    "values, message",
    [
        ((7, 0, 1), "not in the list of choices"),
        ((1, -1, 1), "less than minimum"),
        ((1, 0, 65), "greater than maximum"),
        ((1, 0, 0), "less than minimum"),
    ],
)
def test_mistakes_are_told_on_the_page(client, values, message):
    with pytest.raises(AppError, match=message):
        client.predict(*values, api_name="/draw")


@pytest.mark.parametrize(
    "name, message",
    [("nowhere", "must be a folder with a model_index.json"), ("vectors", "must be a pipeline of images, got")],
)
def test_a_model_that_cannot_be_loaded_leaves_the_other(client, models, name, message):
    with pytest.raises(AppError, match=message):
        client.predict(str(models / name), api_name="/load")
    images = cells(client.predict(2, 0, 1, api_name="/draw"), 1)
    np.testing.assert_array_equal(images, expected([2], 1, 0, num_class_embeds=3))


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
    words = [word.format(plain=models / "plain", vectors=models / "vectors", port=page.server_port) for word in words]
    with pytest.raises(SystemExit):
        run_demo(words, prog="gan-diffusion demo")
    usage, last = capsys.readouterr().err.strip().splitlines()[-2:]
    assert usage.startswith("usage: gan-diffusion demo MODEL") and message in last


def test_what_is_missing_is_said(models, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(ValueError, match="pip install gradio"):
        build_demo(str(models / "plain"))
