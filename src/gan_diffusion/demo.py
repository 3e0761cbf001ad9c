# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""A page in the browser that draws images from a saved pipeline."""

import argparse
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from .pipelines import load_pipeline
from .pipelines.command import MAX_SEED, draw_images, find_device, make_grid


if TYPE_CHECKING:
    from gradio import Blocks


_MAX_IMAGES = 64
_BATCH_SIZE = 16
# Small images are enlarged until their grid is about this wide.
_SHOWN_WIDTH = 512
# Images that were shown are deleted: every this many seconds, those older than this many.
_DELETE_IMAGES = (3600, 3600)
_IN_TURN = -1  # The choice that stands for all classes.


def build_demo(model: str, device: torch.device | str = "cpu") -> "Blocks":
    """
    Builds the page, with one grid drawn as soon as it is opened.

    Nothing about its use is reported to anybody. `launch()` shows it.

    Args:
        model (`str`): Folder or Hub name of the saved pipeline that it begins with; the page can load others.
        device (`torch.device` or `str`, defaults to `"cpu"`): Device of the networks.

    Returns:
        `gradio.Blocks`: the page.

    Raises:
        OSError: If a file of the pipeline cannot be read.
        ValueError: If there is no pipeline of images, or gradio is not installed.
    """
    try:
        import gradio as gr
    except ModuleNotFoundError as error:
        raise ValueError("`demo` must find the package gradio, got none. Run `pip install gradio`.") from error

    @lru_cache(maxsize=1)
    def load(name: str) -> Any:
        return _load(name, device)

    def told(function: Any) -> Any:
        """The function, with its errors shown on the page."""

        def run(*values: Any) -> Any:
            try:
                return function(*values)
            except (OSError, TypeError, ValueError) as error:
                raise gr.Error(str(error)) from error

        return run

    def show(name: str) -> tuple[str, str, Any]:
        pipeline = load(name)
        choices = _choices(pipeline)
        return name, _describe(pipeline), gr.update(choices=choices, value=_IN_TURN, visible=len(choices) > 1)

    def draw(name: str, label: int, seed: float, count: float) -> Image.Image:
        return _draw(load(name), label, int(seed), int(count))

    _, description, classes = show(model)
    with gr.Blocks(title="gan_diffusion", analytics_enabled=False, delete_cache=_DELETE_IMAGES) as page:
        gr.Markdown("# gan_diffusion")
        loaded = gr.State(model)  # The text above the description may be half typed.
        with gr.Row():
            with gr.Column(scale=1):
                name = gr.Textbox(model, label="Model", info="Folder or Hub name. Press Enter to load it.")
                text = gr.Markdown(description)
                label = gr.Dropdown(classes["choices"], value=_IN_TURN, label="Class", visible=classes["visible"])
                seed = gr.Number(
                    0, label="Seed", info="Image n has seed + n.", precision=0, minimum=0, maximum=MAX_SEED
                )
                count = gr.Slider(1, _MAX_IMAGES, value=_BATCH_SIZE, step=1, label="Images")
                button = gr.Button("Draw", variant="primary")
            with gr.Column(scale=2):
                grid = gr.Image(
                    label="Images", type="pil", format="png", interactive=False, buttons=["download", "fullscreen"]
                )
        drawing = {"fn": told(draw), "inputs": [loaded, label, seed, count], "outputs": grid}
        button.click(**drawing, api_name="draw")
        page.load(**drawing, api_visibility="private")
        loading = name.submit(told(show), name, [loaded, text, label], api_name="load")
        loading.success(**drawing, api_visibility="private")
    return page


def run_demo(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """
    Shows the page as a command line says, to this machine alone, until the command is stopped.

    Args:
        argv (`Sequence[str]`, *optional*): Instead of `sys.argv[1:]`.
        prog (`str`, *optional*): Name of the command in messages.

    Raises:
        SystemExit: With a message, if the pipeline, the device or the port cannot be used.
    """
    parser = argparse.ArgumentParser(
        prog=prog,
        usage="%(prog)s MODEL [options]; --help explains all options",
        description="Shows a page in the browser, on this machine alone, that draws images from a saved pipeline.",
        allow_abbrev=False,
    )
    parser.add_argument("model", help="Folder or Hub name of a saved pipeline.")
    parser.add_argument("--port", type=int, help="Port of the page. Default: the first free one from 7860 on.")
    parser.add_argument("--device", help="Device of the networks. Default: the first accelerator, else the CPU.")
    given = parser.parse_args(argv)
    try:
        page = build_demo(given.model, find_device(given.device))
        page.launch(server_name="127.0.0.1", server_port=given.port, share=False)
    except (OSError, ValueError) as error:
        parser.error(str(error))


def _load(name: str, device: torch.device | str) -> Any:
    pipeline: Any = load_pipeline(name)
    if len(pipeline.sample_shape) != 3:
        raise ValueError(
            f"`model` must be a pipeline of images, got {name!r} with samples of shape {pipeline.sample_shape}."
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def _choices(pipeline: Any) -> list[tuple[str, int]]:
    """All classes in turn, and the names and numbers of the classes, if there are any."""
    num_classes = pipeline.generator.config.get("num_class_embeds") or 0
    names = pipeline.labels or {str(number): number for number in range(num_classes)}
    return [("all in turn", _IN_TURN), *names.items()]


def _describe(pipeline: Any) -> str:
    channels, height, width = pipeline.sample_shape
    steps = len(pipeline.scheduler.timesteps)  # The only number that the schedulers allow.
    evaluations = f"{steps} evaluation{'s' if steps > 1 else ''} of the network"
    return f"{type(pipeline).__name__}, {channels}x{height}x{width}, {evaluations} per image"


def _draw(pipeline: Any, label: int, seed: int, count: int) -> Image.Image:
    classes = [number for _, number in _choices(pipeline)[1:]]
    labels = [label] if label != _IN_TURN else classes or None
    grid = make_grid(list(draw_images(pipeline, count, _BATCH_SIZE, seed, labels)))
    scale = math.ceil(_SHOWN_WIDTH / grid.width)
    return grid.resize((grid.width * scale, grid.height * scale), Image.Resampling.NEAREST)
