# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The page of `gan-diffusion demo` in a browser: `make browser`. Not among the tests that need no browser."""

import io
import shutil

import pytest
import torch
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from gan_diffusion import (
    DDGANPipeline,
    DDGANScheduler,
    DiffusionGANPipeline,
    DiffusionGANScheduler,
    NCSNppGenerator,
    SPIGANGenerator,
    SPIGANPipeline,
    SPIGANScheduler,
    StyleGAN2Generator,
)
from gan_diffusion.demo import build_demo
from gan_diffusion.pipelines import list_shipped_models


SIZE = 8
# A busy machine may take long; the tests say what is shown and not how soon.
expect.set_options(timeout=60_000)
SCREENS = {
    "desktop": {"viewport": {"width": 1280, "height": 800}},
    "phone": {
        "viewport": {"width": 390, "height": 844},
        "is_mobile": True,
        "has_touch": True,
        "device_scale_factor": 2,
    },
}


def ddgan(num_class_embeds: int | None = None) -> DDGANPipeline:
    small = {"base_channels": 16, "channel_multipliers": (1, 2), "layers_per_block": 1, "attention_resolutions": ()}
    generator = NCSNppGenerator(sample_size=SIZE, in_channels=1, num_class_embeds=num_class_embeds, **small)
    for parameter in generator.parameters():  # A fresh network's images all look the same.
        torch.nn.init.normal_(parameter, std=0.2)
    return DDGANPipeline(generator, DDGANScheduler(2), num_class_embeds and {0: "ant", 1: "bee"})


def stylegan2() -> DiffusionGANPipeline:
    generator = StyleGAN2Generator(sample_size=SIZE, out_channels=1, latent_dim=6, w_dim=8, channel_max=8)
    return DiffusionGANPipeline(generator, DiffusionGANScheduler())


def spi_gan() -> SPIGANPipeline:
    generator = SPIGANGenerator(sample_size=SIZE, out_channels=1, w_dim=8, mapping_dim=8, channel_max=8)
    # A fresh mapping stands still: every position would give the same styles.
    torch.nn.init.normal_(generator.mapping.layers[-1].weight, std=100.0)
    return SPIGANPipeline(generator, SPIGANScheduler())


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders of untrained pipelines of each method."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    for name, pipeline in {
        "classes": ddgan(num_class_embeds=2),
        "plain": ddgan(),
        "stylegan2": stylegan2(),
        "spi-gan": spi_gan(),
    }.items():
        pipeline.save_pretrained(folder / name)
    return folder


@pytest.fixture(scope="module")
def url(models):
    page = build_demo(str(models / "classes"), "cpu")
    page.launch(server_name="127.0.0.1", share=False, prevent_thread_lock=True, quiet=True)
    yield page.local_url
    page.close()


@pytest.fixture(scope="module")
def browser():
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert path, "Install Chromium or Chrome."
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visitor:
    """Somebody who has opened the page and sees its first picture."""

    def __init__(self, tab: Page, url: str):
        self.tab, self.url = tab, url
        self.asked = []
        tab.set_default_timeout(60_000)
        tab.on("request", lambda request: self.asked.append(request.url))
        tab.goto(url)
        self.source()

    def picture(self, name: str = "Images"):
        return self.tab.get_by_alt_text(name, exact=True)

    def source(self, name: str = "Images") -> str:
        """Address of a picture, which holds a hash of its content."""
        self.picture(name).wait_for()
        return self.picture(name).get_attribute("src")

    def changed(self, act, name: str = "Images") -> str:
        """Address of a picture after an action that changes it."""
        before = self.source(name)
        act()
        expect(self.picture(name)).not_to_have_attribute("src", before)
        return self.source(name)

    def pixels(self, name: str = "Images") -> Image.Image:
        return Image.open(io.BytesIO(self.tab.request.get(self.source(name)).body()))

    def draw(self) -> None:
        self.tab.get_by_role("button", name="Draw").click()

    def fill(self, label: str, text: str) -> None:
        self.tab.get_by_label(label, exact=True).fill(text)

    def choose(self, label: str, option: str) -> None:
        self.tab.get_by_label(label, exact=True).click()
        self.tab.get_by_role("option", name=option, exact=True).click()

    def enter_model(self, name) -> None:
        self.fill("Model", str(name))
        self.tab.get_by_label("Model", exact=True).press("Enter")

    def slide(self, label: str) -> None:
        """Takes the slider that has been at its end to the middle."""
        slider = self.tab.get_by_role("slider", name=label)
        box = slider.bounding_box()
        slider.click(position={"x": box["width"] / 2, "y": box["height"] / 2})

    def fits(self) -> bool:
        """Whether nothing is wider than the screen."""
        return self.tab.evaluate("document.scrollingElement.scrollWidth <= innerWidth")


@pytest.fixture(params=SCREENS)
def visitor(request, browser, url):
    context = browser.new_context(**SCREENS[request.param])
    visitor = Visitor(context.new_page(), url)
    yield visitor
    assert visitor.fits()
    assert visitor.asked and all(address.startswith((url, "data:", "blob:")) for address in visitor.asked)
    context.close()


def test_the_page_draws_by_class_and_seed(visitor):
    first = visitor.source()
    visitor.fill("Seed", "7")
    visitor.changed(visitor.draw)
    visitor.choose("Class", "bee")
    bees = visitor.changed(visitor.draw)
    visitor.choose("Class", "all in turn")
    visitor.fill("Seed", "0")
    assert visitor.changed(visitor.draw) == first != bees
    expect(visitor.tab.get_by_text("16 images in")).to_contain_text("ms per image")


def test_a_ddgan_shows_noise_and_steps_and_no_slider(visitor, models):
    steps = visitor.source("Steps")
    visitor.fill("Seed", "3")
    assert visitor.changed(visitor.draw, "Steps") != steps
    strip, grid = visitor.pixels("Steps"), visitor.pixels()
    assert strip.width == (1 + 2) * strip.height
    # The last step is the first image of the grid of 4x4.
    last = strip.crop((2 * strip.height, 0, strip.width, strip.height)).resize((SIZE, SIZE), Image.Resampling.NEAREST)
    image = grid.crop((0, 0, grid.width // 4, grid.height // 4)).resize((SIZE, SIZE), Image.Resampling.NEAREST)
    assert last.tobytes() == image.tobytes()
    assert visitor.picture("Steps").bounding_box()["width"] <= visitor.tab.viewport_size["width"]
    expect(visitor.picture("Path")).to_have_count(0)
    expect(visitor.tab.get_by_role("slider")).to_have_count(1)  # the number of images
    visitor.changed(lambda: visitor.enter_model(models / "plain"))
    expect(visitor.tab.get_by_label("Class")).to_have_count(0)


def test_a_stylegan2_has_a_slider_of_truncation(visitor, models):
    first = visitor.changed(lambda: visitor.enter_model(models / "stylegan2"))
    expect(visitor.picture("Steps")).to_have_count(0)
    expect(visitor.picture("Path")).to_have_count(0)
    visitor.changed(lambda: visitor.slide("Truncation"))
    assert visitor.changed(lambda: visitor.tab.get_by_label("Truncation").last.press("End")) == first


def test_an_spi_gan_has_a_slider_a_path_and_the_way_to_another_seed(visitor, models):
    visitor.changed(lambda: visitor.enter_model(models / "spi-gan"))
    path, between = visitor.source("Path"), visitor.source("Between")
    visitor.changed(lambda: visitor.slide("Position u on the path"))
    assert visitor.pixels("Path").width == 6 * visitor.pixels("Path").height
    assert visitor.pixels("Between").width == 8 * visitor.pixels("Between").height
    assert visitor.changed(lambda: visitor.fill("Other seed", "5"), "Between") != between
    assert visitor.source("Path") == path
    expect(visitor.picture("Steps")).to_have_count(0)


def test_the_grid_is_downloaded(visitor):
    visitor.fill("Seed", "4")
    visitor.changed(visitor.draw)
    with visitor.tab.expect_download() as waiting:
        visitor.tab.get_by_role("button", name="Download").click()
    assert waiting.value.suggested_filename == "classes-seed-4.png"
    assert Image.open(waiting.value.path()).tobytes() == visitor.pixels().tobytes()


@pytest.mark.parametrize("by", ["Enter", "Draw"])
def test_a_missing_model_gives_a_message_and_no_picture(visitor, models, by):
    visitor.fill("Model", "nobody/nothing")
    if by == "Enter":
        visitor.tab.get_by_label("Model", exact=True).press("Enter")
    else:
        visitor.draw()
    message = visitor.tab.get_by_text("must be a folder with a model_index.json").first
    expect(message).to_contain_text("got 'nobody/nothing'")
    for name in ("Images", "Steps"):
        expect(visitor.picture(name)).to_have_count(0)
    expect(visitor.tab.get_by_text("DDGANPipeline")).to_have_count(0)
    expect(visitor.tab.get_by_text("ms per image")).to_have_count(0)
    expect(visitor.tab.get_by_label("Class")).to_have_count(0)
    expect(visitor.tab.get_by_role("button", name="Download")).to_have_count(0)
    visitor.enter_model(models / "plain")
    assert "/plain-seed-0.png" in visitor.source()


def test_a_shipped_model_is_chosen_from_the_list(visitor):
    for name in list_shipped_models():
        visitor.changed(lambda name=name: visitor.choose("Model", name))
        assert f"/{name}-seed-0.png" in visitor.source()
