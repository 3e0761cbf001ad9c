# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Every image is decoded once before training, so that none fails in the middle of it."""

import hashlib
import json
import os
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import BinaryIO

import numpy as np
import PIL
from PIL import Image
from tqdm.auto import tqdm

from .images import bit_depth, deep_pixels, open_image, orientation
from .report import write_json
from .storage import MAX_FILE_BYTES, Storage


RECORD_FILE = "image-check.json"
# Pixels that are decoded at the same time: 16 bytes each at the most, so below 1 GB unless one image has more.
_MAX_PIXELS_AT_ONCE = 50_000_000


@dataclass(frozen=True)
class ImageFacts:
    """
    What was found when an image was decoded.

    Args:
        problem (`str`, *optional*): Why it cannot be used; nothing else is known then.
        width, height (`int`): Size in pixels, upright.
        mode (`str`): Colour mode, as Pillow names it.
        depth (`str`): See [`~data.images.bit_depth`].
        low, high (`float`): Smallest and largest value.
        digest (`str`): SHA-256 of the file's content, in hexadecimal.
        animated (`bool`): Whether there are more images behind the first.
        turned (`bool`): Whether its EXIF data turns or mirrors it.
        transparent (`bool`): Whether it may be transparent.
    """

    problem: str | None = None
    width: int = 0
    height: int = 0
    mode: str = ""
    depth: str = "8"
    low: float = 0
    high: float = 0
    digest: str = ""
    animated: bool = False
    turned: bool = False
    transparent: bool = False


class _PixelBudget:
    """Lets threads decode while the pixels of all of them together stay below a limit, or one alone."""

    def __init__(self, limit: int):
        self.limit = limit
        self.used = 0
        self.changed = threading.Condition()

    @contextmanager
    def share(self, pixels: int) -> Generator[None, None, None]:
        with self.changed:
            self.changed.wait_for(lambda: self.used == 0 or self.used + pixels <= self.limit)
            self.used += pixels
        try:
            yield
        finally:
            with self.changed:
                self.used -= pixels
                self.changed.notify_all()


def check_images(
    storage: Storage, names: list[str], record_dir: Path | None, show_progress: bool = False
) -> list[ImageFacts]:
    """
    Decodes images, all of them the first time and later those that changed.

    Args:
        storage ([`~data.storage.Storage`]): Where they are.
        names (`list[str]`): Their names.
        record_dir (`Path`, *optional*):
            Folder in which is recorded what was found, with size and time of each file. Default: no record.
        show_progress (`bool`, defaults to `False`): Show a progress bar.

    Returns:
        `list[ImageFacts]`: what was found, in the order of the names.
    """
    file = None if record_dir is None else record_dir / RECORD_FILE
    known = _read_record(file)
    found: dict[str, ImageFacts] = {}
    for name in names:
        stamp, facts = known.get(name, (None, None))
        if facts is not None and stamp == list(storage.files[name]):
            found[name] = facts
    changed = [name for name in names if name not in found]
    budget = _PixelBudget(_MAX_PIXELS_AT_ONCE)
    progress = tqdm(desc="Checking images", total=len(changed), unit="image", disable=not (show_progress and changed))
    try:
        with progress, ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            # In parts, so that Ctrl-C need not wait for all.
            for start in range(0, len(changed), 256):
                part = changed[start : start + 256]
                for name, facts in zip(
                    part, pool.map(lambda name: _inspect(storage, name, budget), part), strict=True
                ):
                    found[name] = facts
                    progress.update()
    finally:
        if file is not None and changed:
            _write_record(file, storage, found)
    return [found[name] for name in names]


def _inspect(storage: Storage, name: str, budget: _PixelBudget) -> ImageFacts:
    try:
        if storage.files[name].size > MAX_FILE_BYTES:
            raise OSError(f"it has {storage.files[name].size:,} bytes, and {MAX_FILE_BYTES:,} are allowed")
        with storage.open(name) as stream:
            return _decode(stream, name, budget)
    except Exception as error:  # The file system, archives and Pillow's decoders raise many kinds.
        cause = error.__cause__ or error
        reason = "no image of a supported format" if isinstance(cause, Image.UnidentifiedImageError) else cause
        # The operating system's words without the path of this machine.
        return ImageFacts(problem=getattr(reason, "strerror", None) or str(reason) or type(cause).__name__)


def _decode(stream: BinaryIO, name: str, budget: _PixelBudget) -> ImageFacts:
    digest = hashlib.file_digest(stream, "sha256").hexdigest()  # pyright: ignore[reportArgumentType] (any file)
    stream.seek(0)
    with open_image(stream, name) as image:
        if image.format == "PNG":
            image.verify()  # Compares the check sums, which decoding does not.
    stream.seek(0)
    with open_image(stream, name) as image, budget.share(image.width * image.height):
        mode, depth, turned = image.mode, bit_depth(image), orientation(image) > 1
        image.load()
        values = deep_pixels(image)
        if values is None:
            extrema = np.asarray((image.convert("RGB") if mode in ("P", "PA") else image).getextrema())
            low, high = int(extrema.min()), int(extrema.max())
        elif np.isfinite(values).all():
            low, high = values.min().item(), values.max().item()
        else:
            raise OSError("it has values that are not finite")
        if mode == "LAB":
            raise OSError("the colour space LAB is not supported")
        swapped = turned and image.format != "TIFF" and orientation(image) >= 5
        width, height = image.size[::-1] if swapped else image.size
        transparent = "A" in mode.upper().replace("LAB", "") or "transparency" in image.info
        animated = image.format != "MPO" and getattr(image, "is_animated", False)
        return ImageFacts(None, width, height, mode, depth, low, high, digest, animated, turned, transparent)


def _read_record(file: Path | None) -> dict[str, tuple[list, ImageFacts]]:
    """What an earlier run found; nothing if there was none, its record is damaged, or Pillow is another one."""
    try:
        record = json.loads(file.read_text()) if file is not None else {}
        if record.get("pillow") != PIL.__version__ or record.get("fields") != _FIELDS:
            return {}
        return {name: (stamp, ImageFacts(*facts)) for name, (stamp, facts) in record["images"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _write_record(file: Path, storage: Storage, found: dict[str, ImageFacts]) -> None:
    images = {name: [list(storage.files[name]), list(asdict(facts).values())] for name, facts in found.items()}
    write_json(file, {"pillow": PIL.__version__, "fields": _FIELDS, "images": images})


_FIELDS = [each.name for each in fields(ImageFacts)]
