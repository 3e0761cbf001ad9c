# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""From a file of a reference implementation to a folder that can be sampled from, trained further and published."""

import argparse
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ..models.network import check_finite
from ..pipelines import DDGANPipeline, DiffusionGANPipeline, load_pipeline
from ..publishing import Origin, save_converted
from .checkpoint import OfficialCheckpoint, load_official_checkpoint
from .choices import WEIGHTS, parse_options
from .networks import Components, build_components


_EXAMPLES = """\
examples:
  gan-diffusion convert netG_1200.pth --preset ddgan-cifar10 --output_dir converted
  gan-diffusion convert netG_300.pth --options image_size=64 num_timesteps=4 --output_dir converted
  gan-diffusion convert content.pth --weights raw --output_dir converted
  gan-diffusion convert diffusion-stylegan2-ffhq.pkl --output_dir converted --verify
  gan-diffusion convert diffusion-projectedgan-cifar10.pkl --preset diffusion-projected-cifar10 --output_dir converted
"""
_VERIFIED_SAMPLES = 4


def run_conversion(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """
    Converts as a command line says, and prints what it decides.

    Args:
        argv (`Sequence[str]`, *optional*): Instead of `sys.argv[1:]`.
        prog (`str`, *optional*): Name of the command in messages.

    Raises:
        SystemExit: With a message, if the file cannot be converted.
    """
    parser = argparse.ArgumentParser(
        prog=prog,
        usage="%(prog)s FILE --output_dir FOLDER [options]; --help explains all options",
        description="Makes a pipeline of a checkpoint of the authors' code: netG_*.pth and content.pth of DDGAN, .pkl of "
        "Diffusion-GAN's StyleGAN2, InsGen and ProjectedGAN. Nothing in the file is executed.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("file", help="The checkpoint.")
    parser.add_argument("--output_dir", required=True, help="Folder for the pipeline, new or empty.")
    parser.add_argument("--preset", help="Name of the recipe of a published model, for what the file does not say.")
    parser.add_argument(
        "--options",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="Options that the file does not say, under the names of the authors' code.",
    )
    parser.add_argument("--weights", choices=("ema", "raw"), default="ema", help="Averaged weights, or those trained.")
    parser.add_argument(
        "--verify",
        action="store_true",
        help="Load what was saved, compare each weight with the file, and draw samples. What the authors' code would draw is "
        "not known here, and not compared.",
    )
    given = parser.parse_args(argv)
    try:
        options = parse_options(given.options)
        lines = convert_checkpoint(given.file, given.output_dir, given.preset, options, given.weights, given.verify)
    except (OSError, TypeError, ValueError) as error:
        parser.error(str(error))
    print(*lines, f"Saved the pipeline in {given.output_dir}", sep="\n")


@torch.no_grad()
def convert_checkpoint(
    path: str | os.PathLike,
    output_dir: str | os.PathLike,
    preset: str | None = None,
    options: Mapping[str, Any] | None = None,
    weights: str = "ema",
    verify: bool = False,
) -> list[str]:
    """
    Makes a folder with a pipeline, its discriminator if the file has one, and a model card of a checkpoint.

    Args:
        path (`str` or `os.PathLike`): `netG_*.pth` or `content.pth` of DDGAN, or a `.pkl` of Diffusion-GAN.
        output_dir (`str` or `os.PathLike`): The folder; new or empty.
        preset (`str`, *optional*): Name of the recipe of a published model, for what the file does not say.
        options (`Mapping[str, Any]`, *optional*): The same, one by one, under the names of the reference.
        weights (`str`, defaults to `"ema"`): "ema" for averaged weights of the generator, or "raw".
        verify (`bool`, defaults to `False`):
            Whether to load what was saved, compare each weight with what was converted, and draw samples, which must
            be finite, in the range of images and different from each other. The reference's own samples are not known,
            and not compared.

    Returns:
        `list[str]`: what was decided and seen, in lines.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If the folder cannot be written.
        TypeError: If an option is of a wrong type.
        ValueError: If the folder is not empty, or the file is damaged, holds anything else, or does not go together
            with the options, or the samples are not as they should be.
    """
    folder = Path(output_dir)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(
            f"`output_dir` must be a new or empty folder, got {str(output_dir)!r}, which is not. Take another."
        )
    checkpoint = load_official_checkpoint(path, weights)
    for key, tensor in {**checkpoint.generator, **(checkpoint.discriminator or {})}.items():
        is_counter = key.endswith("num_batches_tracked")
        if tensor.dtype not in (torch.float32, torch.float16, torch.bfloat16) and not is_counter:
            raise ValueError(
                f"`path` must hold weights in float32 or less, got {key!a:.80} in {tensor.dtype} in {path}."
            )
    components = build_components(checkpoint, preset, options)
    for network in filter(None, (components.generator, components.discriminator)):
        check_finite(network, str(path))
    pipeline_class = DDGANPipeline if checkpoint.method == "ddgan" else DiffusionGANPipeline
    pipeline: Any = pipeline_class(components.generator, components.scheduler)  # pyright: ignore[reportArgumentType]
    seen = _check_samples(pipeline, path) if verify else []
    save_converted(folder, pipeline, components.discriminator, _origin(path, preset, weights, checkpoint, components))
    if verify:
        seen += _check_saved(folder, pipeline)
    return [*_account(checkpoint, components, weights), *seen]


def _account(checkpoint: OfficialCheckpoint, components: Components, weights: str) -> list[str]:
    """What was converted, and each option with its origin."""
    kind = "averaged" if weights == "ema" else "raw"
    parts = "generator; no discriminator in it"
    if checkpoint.discriminator is not None:
        parts = "generator" if components.discriminator is None else "generator and discriminator"
    lines = [f"Converted with {kind} weights: {parts}."]
    by_origin: dict[str, list[str]] = {}
    for name, choice in components.choices.items():
        by_origin.setdefault(choice.origin, []).append(f"{name}={choice.value}")
    lines += [f"  {origin}: {', '.join(values)}" for origin, values in sorted(by_origin.items(), key=_weights_first)]
    unused = _unused(checkpoint, components)
    if unused:
        lines.append(f"  not converted: {', '.join(unused)}")
    return [*lines, *(f"  {note}" for note in components.notes)]


def _unused(checkpoint: OfficialCheckpoint, components: Components) -> list[str]:
    left_out = checkpoint.discriminator is not None and components.discriminator is None
    return [_word(name) for name in (["D"] if left_out else []) + checkpoint.unused]


def _weights_first(entry: tuple[str, Any]) -> tuple[bool, str]:
    return entry[0] != WEIGHTS, entry[0]


def _word(text: str) -> str:
    """A text of somebody else's making, harmless in a terminal and in Markdown."""
    return "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "?" for letter in text[:40]
    )


def _origin(
    path: str | os.PathLike, preset: str | None, weights: str, checkpoint: OfficialCheckpoint, components: Components
) -> Origin:
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Origin(
        file=_word(Path(path).name),
        sha256=digest,
        weights="averaged" if weights == "ema" else "raw",
        preset=preset,
        options={name: (str(choice.value), choice.origin) for name, choice in components.choices.items()},
        progress=checkpoint.progress,
        unused=_unused(checkpoint, components),
        notes=components.notes,
    )


def _draw(pipeline: Any) -> torch.Tensor:
    classes = pipeline.generator.config.get("num_class_embeds")
    labels = None if classes is None else [number % classes for number in range(_VERIFIED_SAMPLES)]
    pipeline.set_progress_bar_config(disable=True)
    noise = torch.Generator().manual_seed(0)
    return pipeline(_VERIFIED_SAMPLES, class_labels=labels, generator=noise, output_type="latent").images


def _check_samples(pipeline: Any, path: str | os.PathLike) -> list[str]:
    """Refuses weights whose samples are no images."""
    samples = _draw(pipeline).float()
    outside = (samples.abs() > 1.5).float().mean().item()
    spread, difference = samples.std().item(), (samples - samples.mean(dim=0)).abs().mean().item()
    seen = (
        f"values from {samples.min():.3g} to {samples.max():.3g}, mean {samples.mean():.3g}, standard deviation {spread:.3g}, "
        f"mean difference from the average sample {difference:.3g}"
    )
    if not samples.isfinite().all() or outside > 0.1 or not 0.02 < spread < 1.2 or difference < 1e-3:
        raise ValueError(
            f"`path` must hold weights whose samples are images, in [-1, 1] and different from each other, got {path}, where "
            f"{_VERIFIED_SAMPLES} samples have {seen}. Check the options that the shapes of weights do not decide."
        )
    return [f"Verified: {_VERIFIED_SAMPLES} samples have {seen}."]


def _check_saved(folder: Path, pipeline: Any) -> list[str]:
    """Refuses a folder that gives back other weights or samples. Network and file were compared when it was filled."""
    loaded: Any = load_pipeline(folder)
    expected, found = pipeline.generator.state_dict(), loaded.generator.state_dict()
    if not all(torch.equal(found[name], value) for name, value in expected.items()):
        raise OSError(f"{folder} does not give back the weights that were written. Check the disk, and convert again.")
    if not torch.equal(_draw(loaded), _draw(pipeline)):
        raise OSError(f"{folder} does not give back the same samples. Check the disk, and convert again.")
    return [
        "Verified: the saved folder gives back every weight, and the same samples, to the bit.",
        "Not verified: equality with samples of the authors' code, which nobody can know without running it. The tests of "
        "this library compare networks of the same classes with its numbers.",
    ]
