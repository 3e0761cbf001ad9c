# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""From a command line to a folder of images."""

import argparse
import math
import os
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import make_image_grid
from PIL import Image
from tqdm.auto import tqdm

from ..options import check_at_least
from ..storage.writing import replaced_files
from .auto import load_pipeline


_EXAMPLES = """\
examples:
  gan-diffusion sample runs/digits --num_images 64 --output_dir digits
  gan-diffusion sample somebody/fashion --class_labels Sandal,Bag 3 --seed 7 --output_dir fashion
"""
_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
_GRID = "samples.png"
_MAX_IN_GRID = 64
MAX_SEED = 2**32 - 1


def run_sampling(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """
    Draws images as a command line says, writes them as numbered PNGs and as a grid, and prints what it wrote.

    Args:
        argv (`Sequence[str]`, *optional*): Instead of `sys.argv[1:]`.
        prog (`str`, *optional*): Name of the command in messages.

    Raises:
        SystemExit: With a message, if the pipeline or an option cannot be used. Nothing is written then.
    """
    parser = _parser(prog)
    given = parser.parse_args(argv)
    try:
        count, in_grid = _sample(given)
    except (OSError, TypeError, ValueError) as error:
        parser.error(str(error))
    folder = Path(given.output_dir)
    grid = f", and the first {in_grid} as a grid to {folder / _GRID}" if in_grid else ""
    print(f"Wrote {count} images to {folder / _name(0, count)} and on{grid}.")


def _parser(prog: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        usage="%(prog)s MODEL [options]; --help explains all options",
        description="Draws images from a saved pipeline of whichever method.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("model", help="Folder or Hub name of a saved pipeline.")
    parser.add_argument("--revision", help="Branch, tag or commit on the Hub. Default: main.")
    parser.add_argument(
        "--variant", help="Name of the weights to take, where there are several. Default: those without."
    )
    parser.add_argument("--num_images", type=int, default=16, help="Images to draw. Default: 16.")
    parser.add_argument("--batch_size", type=int, default=16, help="Images at a time. Default: 16.")
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="Image number n is drawn with seed + n, whatever the batch size. Default: 0.",
    )
    parser.add_argument("--num_inference_steps", type=int, help="Network evaluations. Default: as trained.")
    parser.add_argument(
        "--class_labels",
        nargs="+",
        metavar="LABEL",
        help="For a class-conditional model: names or numbers of classes, divided by commas or spaces, which the images "
        "take in turn. What is a name and a number is taken for a name. Default: all classes.",
    )
    parser.add_argument(
        "--output_dir", default="samples", help="Folder for the images, new or empty. Default: samples."
    )
    parser.add_argument(
        "--dtype", choices=_DTYPES, default="float32", help="Numbers of the network. Default: float32."
    )
    parser.add_argument("--device", help="Device of the network. Default: the first accelerator, else the CPU.")
    parser.add_argument(
        "--grid",
        action=argparse.BooleanOptionalAction,
        default=True,
        help=f"Whether to write {_GRID} too, with the first {_MAX_IN_GRID} images.",
    )
    return parser


def _sample(given: argparse.Namespace) -> tuple[int, int]:
    """Number of images that were written, and how many of them are in the grid."""
    device = _check(given)
    location = {name: value for name in ("revision", "variant") if (value := getattr(given, name)) is not None}
    pipeline: Any = load_pipeline(given.model, **location)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.to(device, _DTYPES[given.dtype])
    labels = _all_classes(pipeline) if given.class_labels is None else _labels(given.class_labels, pipeline.labels)
    if given.class_labels is None and labels is not None:
        labels = labels[: given.num_images]
        print(f"Classes in turn: {', '.join(map(str, labels))}. Choose with --class_labels.")
    if labels is not None and len(labels) > given.num_images:
        raise ValueError(
            f"`--num_images` must be at least {len(labels)}, the number of `--class_labels`, got {given.num_images}."
        )
    if labels is not None:
        pipeline.check_inputs(len(labels), labels)  # Its message then has what was typed.
    steps = {} if given.num_inference_steps is None else {"num_inference_steps": given.num_inference_steps}
    images = draw_images(pipeline, given.num_images, given.batch_size, given.seed, labels, **steps)
    first = next(images)  # What the pipeline refuses, it refuses before there is a folder.
    shown: list[Image.Image] = []
    progress = tqdm(chain([first], images), desc="Drawing", total=given.num_images, unit="image")
    with replaced_files(Path(given.output_dir)) as folder:
        for number, image in enumerate(progress):
            image.save(folder / _name(number, given.num_images))
            if given.grid and number < _MAX_IN_GRID:
                shown.append(image)
        if shown:
            make_grid(shown).save(folder / _GRID)
    return given.num_images, len(shown)


def _all_classes(pipeline: Any) -> list[int | str] | None:
    """Names of the classes, or numbers where they have none; `None` for a model without classes."""
    count = pipeline.generator.config.get("num_class_embeds")
    return None if count is None else list(pipeline.labels) or list(range(count))


def _check(given: argparse.Namespace) -> torch.device:
    """The device; refuses what can be refused before the pipeline is loaded."""
    check_at_least(given, 1, "num_images", "batch_size", "num_inference_steps")
    if not 0 <= given.seed <= MAX_SEED:
        raise ValueError(f"`--seed` must lie in [0, {MAX_SEED}], got {given.seed}.")
    if given.revision is not None and os.path.isdir(given.model):
        raise ValueError(f"`--revision` must be given with a name on the Hub, got the folder {given.model!r}.")
    folder = Path(given.output_dir)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(
            f"`--output_dir` must be a new or empty folder, got {str(folder)!r}, which is not. Take another."
        )
    return find_device(given.device)


def find_device(name: str | None) -> torch.device:
    """
    The device that an option names.

    Args:
        name (`str`, *optional*): Its name; without one, the first accelerator, else the CPU.

    Returns:
        `torch.device`: the device, which can be used.

    Raises:
        ValueError: If the machine has no such device.
    """
    try:
        device = torch.device(name or torch.accelerator.current_accelerator() or "cpu")
        torch.ones(1, device=device).item()
    except (AssertionError, NotImplementedError, RuntimeError) as error:  # Each kind of device has its own.
        reason = str(error).splitlines()[0]
        raise ValueError(f"`--device` must be a device of this machine, got {name!r}: {reason}") from error
    return device


def _labels(words: Sequence[str], names: dict[str, int]) -> list[int | str]:
    """Class labels as the pipeline takes them. A name may hold commas."""
    labels: list[int | str] = []
    for word in words:
        for label in [word] if word in names else word.split(","):
            is_number = label not in names and label.removeprefix("-").isdecimal()
            labels.append(int(label) if is_number else label)
    return labels


def draw_images(
    pipeline: Any,
    num_images: int,
    batch_size: int,
    seed: int,
    labels: Sequence[int | str] | None = None,
    **options: Any,
) -> Iterator[Image.Image]:
    """
    Draws images, number n of them with seed + n.

    Args:
        pipeline ([`DiffusionPipeline`]): Of images.
        num_images (`int`): Images to draw.
        batch_size (`int`): Images at a time.
        seed (`int`): Seed of the first image.
        labels (`Sequence[int | str]`, *optional*): Classes, which the images take in turn.
        options (`Any`): Further arguments of the pipeline.

    Yields:
        `PIL.Image.Image`: the images.
    """
    for start in range(0, num_images, batch_size):
        numbers = range(start, min(start + batch_size, num_images))
        condition = {} if labels is None else {"class_labels": [labels[number % len(labels)] for number in numbers]}
        noise = [torch.Generator().manual_seed(seed + number) for number in numbers]
        yield from pipeline(len(numbers), generator=noise, **options, **condition).images


def _name(number: int, count: int) -> str:
    return f"{number:0{max(5, len(str(count - 1)))}}.png"


def make_grid(images: list[Image.Image]) -> Image.Image:
    """
    One picture of all images, as square as their number allows, with white where the last row ends.

    Args:
        images (`list[PIL.Image.Image]`): At least one, all of one size.

    Returns:
        `PIL.Image.Image`: the picture.
    """
    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    blank = Image.new(images[0].mode, images[0].size, "white")
    return make_image_grid(images + [blank] * (rows * columns - len(images)), rows, columns)
