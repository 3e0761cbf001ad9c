# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""A page in the browser that draws images from a saved pipeline, and shows how its method makes them."""

import argparse
import html
import math
import time
from collections.abc import Callable, Sequence
from functools import lru_cache, partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from diffusers.image_processor import VaeImageProcessor
from diffusers.utils import make_image_grid
from PIL import Image

from .models import StyleGAN2Generator
from .pipelines import DDGANPipeline, SPIGANPipeline, list_shipped_models, load_pipeline
from .pipelines.command import MAX_SEED, draw_images, find_device, make_grid


if TYPE_CHECKING:
    from gradio import Blocks


_MAX_IMAGES = 64
_BATCH_SIZE = 16
# Small images are enlarged until their picture is at least this wide.
_GRID_WIDTH, _STRIP_WIDTH = 512, 768
# Images that were shown are deleted: every this many seconds, those older than this many.
_DELETE_IMAGES = (3600, 3600)
_IN_TURN = -1  # The choice that stands for all classes.
_ALL_CLASSES = ("all in turn", _IN_TURN)
# Parts of the page that depend on the pipeline, and the pictures and the times.
_DEPENDENT = ("text", "label", "amount", "download", "of_ddgan", "of_spi_gan")
_DRAWN = ("grid", "taken", "steps", "path", "between")
_POSITIONS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_NUM_BETWEEN = 8
# Options of pipelines that a slider from 0 to 1 sets, with its label and explanation.
_SLIDERS = {
    "truncation_psi": ("Truncation", "Below 1 the images are more typical and less varied."),
    "u": ("Position u on the path", "1 gives images, less gives images mixed with noise."),
}


def build_demo(model: str, device: torch.device | str | None = None) -> "Blocks":
    """
    Builds the page, with one grid drawn as soon as it is opened.

    Beside the grid, a DDGAN shows its denoising steps, an SPI-GAN its path and the images between two seeds, and a
    StyleGAN2 has truncation. Nothing about the use of the page is reported to anybody. `launch()` shows it.

    Args:
        model (`str`):
            Folder or Hub name of the saved pipeline that it begins with, or one of [`list_shipped_models`]; the page
            can load others.
        device (`torch.device` or `str`, *optional*):
            Device of the networks; by default the first accelerator, else the CPU.

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

    content = _Content(gr, find_device(None) if device is None else device)
    with gr.Blocks(title="gan_diffusion", analytics_enabled=False, delete_cache=_DELETE_IMAGES) as page:
        content.lay_out(model)
        content.connect(page)
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
    return [_ALL_CLASSES, *names.items()]


def _describe(pipeline: Any) -> str:
    channels, height, width = pipeline.sample_shape
    steps = len(pipeline.scheduler.timesteps)  # The only number that the schedulers allow.
    evaluations = f"{steps} evaluation{'s' if steps > 1 else ''} of the network"
    return f"{type(pipeline).__name__}, {channels}x{height}x{width}, {evaluations} per image"


def _slider_option(pipeline: Any) -> str | None:
    """The option of the pipeline that the slider sets, if there is one."""
    if isinstance(pipeline, SPIGANPipeline):
        return "u"
    return "truncation_psi" if isinstance(pipeline.generator, StyleGAN2Generator) else None


def _labels(pipeline: Any, label: int) -> list[int | str] | None:
    """The classes that the images take in turn."""
    classes: list[int | str] = [number for _, number in _choices(pipeline)[1:]]
    return [label] if label != _IN_TURN else classes or None


def _draw_grid(pipeline: Any, label: int, seed: int, count: int, amount: float) -> tuple[Image.Image, str]:
    """A grid of images, and how long they took."""
    option = _slider_option(pipeline)
    options = {} if option is None else {option: amount}
    start = time.perf_counter()
    images = list(draw_images(pipeline, count, _BATCH_SIZE, seed, _labels(pipeline, label), **options))
    seconds = time.perf_counter() - start
    taken = f"{count} image{'s' if count > 1 else ''} in {seconds:.2f} s, {1000 * seconds / count:.1f} ms per image"
    return _enlarge(make_grid(images), _GRID_WIDTH), taken


def _draw_steps(pipeline: DDGANPipeline, label: int, seed: int) -> Image.Image:
    """The noise that the first image of the grid begins with, and what each step makes of it."""
    states = [_noise(pipeline, seed)]

    def record(pipeline: Any, step: int, timestep: torch.Tensor, tensors: dict) -> dict:
        states.append(tensors["latents"])
        return {}

    list(draw_images(pipeline, 1, 1, seed, _labels(pipeline, label), callback_on_step_end=record))
    images = VaeImageProcessor(vae_scale_factor=1).postprocess(torch.cat(states).float(), output_type="pil")
    return _strip(images)


def _draw_path(pipeline: SPIGANPipeline, label: int, seed: int) -> Image.Image:
    """What the noise of the first image of the grid gives along the path."""
    noise = torch.Generator().manual_seed(seed)
    images = pipeline.path(us=_POSITIONS, class_labels=_first(pipeline, label, 1), generator=noise)
    return _strip(images)


def _draw_between(pipeline: SPIGANPipeline, label: int, seed: int, other_seed: int) -> Image.Image:
    """Images from that of one seed to that of another, of one class."""
    ends = [_noise(pipeline, number) for number in (seed, other_seed)]
    images = pipeline.interpolate(*ends, num=_NUM_BETWEEN, class_labels=_first(pipeline, label, 2))
    return _strip(images)


def _noise(pipeline: Any, seed: int) -> torch.Tensor:
    """What `draw_images` begins with for the image of this seed."""
    generator = torch.Generator().manual_seed(seed)
    return pipeline.prepare_latents(1, pipeline.generator.dtype, pipeline.device, generator)


def _first(pipeline: Any, label: int, count: int) -> list[int | str] | None:
    """The class of the first image of the grid, `count` times."""
    labels = _labels(pipeline, label)
    return None if labels is None else labels[:1] * count


def _strip(images: Any) -> Image.Image:
    return _enlarge(make_image_grid(images, rows=1, cols=len(images)), _STRIP_WIDTH)


def _enlarge(image: Image.Image, width: int) -> Image.Image:
    scale = math.ceil(width / image.width)
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)


def _looks(pipeline: Any) -> tuple[dict[str, Any], ...]:
    """What each of `_DEPENDENT` looks like."""
    choices, option = _choices(pipeline), _slider_option(pipeline)
    label, info = _SLIDERS.get(option or "", (None, None))
    return (
        {"value": _describe(pipeline)},
        {"choices": choices, "value": _IN_TURN, "visible": len(choices) > 1},
        {"label": label, "info": info, "value": 1, "visible": option is not None},
        {"value": None, "visible": True},
        {"visible": isinstance(pipeline, DDGANPipeline)},
        {"visible": isinstance(pipeline, SPIGANPipeline)},
    )


class _Content:
    """The parts of the page, by their names, and what happens when they are used."""

    def __init__(self, gr: Any, device: torch.device | str):
        self.gr = gr
        self.load = lru_cache(maxsize=1)(partial(_load, device=device))
        self.parts: dict[str, Any] = {}

    def lay_out(self, model: str) -> None:
        gr, parts = self.gr, self.parts
        looks = dict(zip(_DEPENDENT, _looks(self.load(model)), strict=True))
        gr.Markdown("# gan_diffusion")
        with gr.Row():
            with gr.Column(scale=1):
                parts["name"] = gr.Dropdown(
                    list(dict.fromkeys([*list_shipped_models(), model])),
                    value=model,
                    label="Model",
                    info="Choose one, or type a folder or a Hub name and press Enter.",
                    allow_custom_value=True,
                )
                parts["text"] = gr.Markdown(**looks["text"])
                parts["label"] = gr.Dropdown(label="Class", **looks["label"])
                parts["seed"] = self._seed(0, label="Seed", info="Image n has seed + n.")
                parts["count"] = gr.Slider(1, _MAX_IMAGES, value=_BATCH_SIZE, step=1, label="Images")
                parts["amount"] = gr.Slider(0, 1, step=0.05, **looks["amount"])
                parts["button"] = gr.Button("Draw", variant="primary")
            with gr.Column(scale=2):
                parts["grid"] = self._picture("Images")
                parts["taken"] = gr.Markdown()
                parts["download"] = gr.DownloadButton("Download", size="sm", **looks["download"])
                with gr.Column(**looks["of_ddgan"]) as parts["of_ddgan"]:
                    gr.Markdown("**Steps** of the first image: the noise, and what each evaluation makes of it")
                    parts["steps"] = self._picture("Steps")
                with gr.Column(**looks["of_spi_gan"]) as parts["of_spi_gan"]:
                    gr.Markdown(f"**Path** of the first noise: u = {', '.join(f'{u:g}' for u in _POSITIONS)}")
                    parts["path"] = self._picture("Path")
                    gr.Markdown("**Between** the image of the seed and that of another seed")
                    parts["between"] = self._picture("Between")
                    parts["other"] = self._seed(1, label="Other seed")

    def _seed(self, value: int, **options: Any) -> Any:
        return self.gr.Number(value, precision=0, minimum=0, maximum=MAX_SEED, **options)

    def _picture(self, name: str) -> Any:
        # A label or buttons would cover a corner of the picture.
        return self.gr.Image(alt_text=name, show_label=False, buttons=[], format="png", interactive=False)

    def connect(self, page: Any) -> None:
        draw = self._event(self.draw, ["name", "label", "seed", "count", "amount"], ["grid", "download", "taken"])
        strips = self._event(self.draw_strips, ["name", "label", "seed", "other"], ["steps", "path", "between"])
        show = self._event(self.show, ["name"], _DEPENDENT)
        forget = self._event(self.forget, [], _DEPENDENT + _DRAWN)
        private = {"api_visibility": "private"}

        self.parts["button"].click(**draw, api_name="draw").success(**strips, api_name="draw_strips")
        page.load(**draw, **private).success(**strips, **private)
        # What the model that was chosen before has drawn never stands under another name.
        chosen = self.parts["name"].input(**forget, **private).then(**show, api_name="load")
        chosen.success(**draw, **private).success(**strips, **private)
        # While a slider moves, the newest of its positions is drawn.
        self.parts["amount"].input(**draw, **private, trigger_mode="always_last", show_progress="hidden")
        self.parts["other"].input(**strips, **private, trigger_mode="always_last", show_progress="hidden")

    def _event(self, function: Callable, inputs: Sequence[str], outputs: Sequence[str]) -> dict[str, Any]:
        """What is done, with its errors told on the page; one at a time in the order of the clicks."""

        @wraps(function)
        def run(*values: Any) -> Any:
            try:
                return function(*values)
            except (OSError, TypeError, ValueError) as error:
                # Messages are shown as HTML, and may hold words of a repository.
                message = html.escape(str(error).replace("pretrained_model_name_or_path", "Model"), quote=False)
                raise self.gr.Error(message, duration=30, print_exception=False) from error

        places = {"inputs": [self.parts[name] for name in inputs], "outputs": [self.parts[name] for name in outputs]}
        return {"fn": run, "concurrency_id": "pipeline", "concurrency_limit": 1, **places}

    def forget(self) -> tuple:
        update = self.gr.update
        classes = update(choices=[_ALL_CLASSES], value=_IN_TURN, visible=False)
        return "", classes, *[update(visible=False)] * (len(_DEPENDENT) - 2), *[None] * len(_DRAWN)

    def show(self, name: str | None) -> tuple:
        return tuple(self.gr.update(**look) for look in _looks(self.load(name or "")))

    def draw(self, name: str | None, label: int, seed: float | None, count: float, amount: float) -> tuple:
        from gradio.processing_utils import save_pil_to_cache

        number = _whole("Seed", seed)
        picture, taken = _draw_grid(self.load(name or ""), label, number, int(count), float(amount))
        file = f"{Path(name or '').resolve().name.lstrip('.')[:100]}-seed-{number}"  # as a browser will save it
        path = save_pil_to_cache(picture, self.parts["grid"].GRADIO_CACHE, file, "png")
        return path, path, taken

    def draw_strips(self, name: str | None, label: int, seed: float | None, other: float | None) -> tuple:
        pipeline, number = self.load(name or ""), _whole("Seed", seed)
        if isinstance(pipeline, DDGANPipeline):
            return _draw_steps(pipeline, label, number), None, None
        if isinstance(pipeline, SPIGANPipeline):
            between = _draw_between(pipeline, label, number, _whole("Other seed", other))
            return None, _draw_path(pipeline, label, number), between
        return None, None, None


def _whole(name: str, number: float | None) -> int:
    if number is None:
        raise ValueError(f"`{name}` must be a whole number, got nothing.")
    return int(number)
