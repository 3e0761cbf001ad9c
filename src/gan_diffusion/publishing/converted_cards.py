# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Model cards of models that were converted: which file they come from, how, and under which licence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from diffusers import ModelMixin
from huggingface_hub import ModelCardData

from .cards import MEASURED_HEADING, METHODS, describe_samples, example_of


_TEMPLATE = """\
---
{metadata}
---

# {title}, converted from `{file}`

{description} {samples} {sizes}

```python
from gan_diffusion import {pipeline}

pipeline = {pipeline}.from_pretrained("path/or/hub-name")
{example}
```

## Origin

{origin}

## Options

Under the names of the authors' code, with where each comes from.

{options}

## Licence

{licence} The licence of this library does not cover them. If you trained them yourself, you know which licence they
have: write it here, and into the first lines of this file.

{measured_heading}
"""


@dataclass(frozen=True)
class Origin:
    """
    Where converted weights come from.

    Args:
        file (`str`): Name of the file, without folders.
        sha256 (`str`): Its checksum.
        weights (`str`): "averaged" or "raw".
        preset (`str`, *optional*): Name of the recipe that filled in what the file does not say.
        options (`Mapping[str, tuple[str, str]]`, defaults to `{}`): Value and origin of each option.
        progress (`Mapping[str, int]`, defaults to `{}`): How far the training was, as the file says.
        unused (`Sequence[str]`, defaults to `()`): What else is in the file.
        notes (`Sequence[str]`, defaults to `()`): What else is to say, in sentences.
    """

    file: str
    sha256: str
    weights: str
    preset: str | None = None
    options: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    progress: Mapping[str, int] = field(default_factory=dict)
    unused: Sequence[str] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class _Licence:
    name: str
    link: str
    text: str


_LICENCES = {
    "DDGANPipeline": _Licence(
        "nvidia-source-code-license",
        "https://github.com/NVlabs/denoising-diffusion-gan/blob/main/LICENSE",
        "The authors' code and checkpoints are under the NVIDIA Source Code License, which allows **non-commercial use "
        "only**. These weights keep it.",
    ),
    "DiffusionGANPipeline": _Licence(
        "nvidia-source-code-license",
        "https://github.com/NVlabs/stylegan2-ada-pytorch/blob/main/LICENSE.txt",
        "The authors' repository has an MIT licence, and parts of its code that of NVIDIA's StyleGAN2, which allows "
        "**non-commercial use only**. The authors do not say which one their checkpoints have: keep to the stricter one.",
    ),
}


def make_converted_card(pipeline: Any, discriminator: ModelMixin | None, origin: Origin) -> str:
    """
    Writes the model card of a converted model, with an empty section for measured numbers.

    Args:
        pipeline ([`DiffusionPipeline`]): The pipeline.
        discriminator ([`ModelMixin`], *optional*): The discriminator, if there is one.
        origin ([`Origin`]): Where the weights come from.

    Returns:
        `str`: The text of README.md.
    """
    name = type(pipeline).__name__
    method, licence = METHODS[name], _LICENCES[name]
    conditional = pipeline.generator.config.get("num_class_embeds") is not None
    task = None if conditional else "unconditional-image-generation"
    metadata = ModelCardData(
        library_name="gan_diffusion",
        license="other",
        license_name=licence.name,
        license_link=licence.link,
        pipeline_tag=task,
        tags=["diffusers", *([task] if task else []), *method.tags],
    )
    sizes = f"The generator has {pipeline.generator.num_parameters():,} parameters"
    if discriminator is not None:
        sizes += f", the discriminator {discriminator.num_parameters():,}"
    text = _TEMPLATE.format(
        metadata=metadata.to_yaml(),
        title=method.title,
        file=origin.file,
        description=method.description.format(evaluations=pipeline.scheduler.config.get("num_train_timesteps")),
        samples=describe_samples(pipeline.sample_shape, conditional),
        sizes=f"{sizes}.",
        pipeline=name,
        example=example_of(pipeline, conditional),
        origin=_origin(origin, discriminator),
        options=_options(origin),
        licence=licence.text,
        measured_heading=MEASURED_HEADING,
    )
    return text.rstrip() + "\n"


def _origin(origin: Origin, discriminator: ModelMixin | None) -> str:
    progress = ", ".join(f"{name} {number:,}" for name, number in origin.progress.items())
    lines = [
        f"- File: `{origin.file}`, SHA-256 `{origin.sha256}`",
        f"- Weights of the generator: {origin.weights}",
        f"- Discriminator: {_place_of(discriminator, origin)}",
        f"- Training, as the file says: {progress or 'nothing'}",
    ]
    if origin.preset is not None:
        lines.append(f"- Preset: `{origin.preset}`. That the file is that model is its converter's word.")
    if origin.unused:
        lines.append(f"- Not converted: {', '.join(f'`{name}`' for name in origin.unused)}")
    lines += [f"- {note}" for note in origin.notes]
    return "\n".join(lines)


def _place_of(discriminator: ModelMixin | None, origin: Origin) -> str:
    if discriminator is not None:
        return "in the folder `discriminator`"
    return "left out" if "D" in origin.unused else "none in the file"


def _options(origin: Origin) -> str:
    rows = [f"| {name} | {value} | {source} |" for name, (value, source) in origin.options.items()]
    return "\n".join(["| option | value | from |", "|---|---|---|", *rows])
