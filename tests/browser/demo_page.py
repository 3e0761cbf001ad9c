# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The page of `gan-diffusion demo` in a browser: `make browser`. Not among the tests that need no browser."""

import shutil

import pytest
import torch
from playwright.sync_api import expect, sync_playwright

from gan_diffusion import DDGANPipeline, DDGANScheduler, NCSNppGenerator
from gan_diffusion.demo import build_demo


def save_model(folder, **options):
    torch.manual_seed(0)
    small = {"base_channels": 16, "channel_multipliers": (1, 2), "layers_per_block": 1, "attention_resolutions": ()}
    generator = NCSNppGenerator(sample_size=8, in_channels=1, **small, **options).eval()
    for parameter in generator.parameters():  # A fresh network's images all look the same.
        torch.nn.init.normal_(parameter, std=0.2)
    names = {0: "ant", 1: "bee"} if options else None
    DDGANPipeline(generator, DDGANScheduler(2), names).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def page(tmp_path):
    page = build_demo(save_model(tmp_path / "classes", num_class_embeds=2))
    page.launch(server_name="127.0.0.1", share=False, prevent_thread_lock=True, quiet=True)
    yield page
    page.close()


@pytest.fixture
def tab():
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert browser, "Install Chromium or Chrome."
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"]).new_page()


def test_the_page_draws_by_class_and_seed_and_asks_nobody_else(page, tab, tmp_path):
    asked = []
    tab.on("request", lambda request: asked.append(request.url))
    grid = tab.locator("img[src*='/file=']")

    def source() -> str:
        grid.wait_for()
        return grid.get_attribute("src")

    def changed(act) -> str:
        """Source of the grid, whose name is a hash of its content, after an action that changes it."""
        before = source()
        act()
        expect(grid).not_to_have_attribute("src", before)
        return source()

    def draw() -> None:
        tab.get_by_role("button", name="Draw").click()

    tab.goto(page.local_url)
    first = source()
    tab.get_by_label("Seed").fill("7")
    changed(draw)
    tab.get_by_label("Class").click()
    tab.get_by_role("option", name="bee").click()
    bees = changed(draw)
    tab.get_by_label("Class").click()
    tab.get_by_role("option", name="all in turn").click()
    tab.get_by_label("Seed").fill("0")
    assert changed(draw) == first != bees
    tab.get_by_label("Model").fill(save_model(tmp_path / "plain"))
    changed(lambda: tab.get_by_label("Model").press("Enter"))
    expect(tab.get_by_label("Class")).to_be_hidden()
    assert asked and all(url.startswith((page.local_url, "data:", "blob:")) for url in asked)
