# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
Model cards. What holds for every model is here, what holds for one recipe is in its notes.md.

A card keeps three things apart: what is known of this checkpoint, what the recipe says, and the scores of the paper.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diffusers import DiffusionPipeline, ModelMixin
from huggingface_hub import ModelCardData

from ..recipes import Recipe


MEASURED_HEADING = "## Measured on this checkpoint"
PAPER_HEADING = "## Scores of the paper"

_TEMPLATE = """\
---
{metadata}
---

# {title}, recipe {recipe}

{description} {samples} The generator has {generator_size:,} parameters, the discriminator {discriminator_size:,}.

```python
from gan_diffusion import {pipeline}

pipeline = {pipeline}.from_pretrained("path/or/hub-name")
{example}
```

## Training

Trained on {data} with the recipe `{recipe}` of gan_diffusion. The options of this run are in `training.yaml`: a copy of
this repository is a recipe too.

```bash
accelerate launch -m gan_diffusion train {command} --recipe path/to/copy --output_dir runs/again{data_option}
```

The library is under Apache-2.0. Whoever publishes the weights states their licence, which depends on the training data.

{measured_heading}

{notes}
"""

_NOTES = """\
## The recipe

This section is about the recipe, not about this checkpoint: a run may change the data and every setting.

"""
_NOT_THIS_CHECKPOINT = "Published numbers, not those of this checkpoint."


@dataclass(frozen=True)
class _Method:
    title: str
    description: str
    command: str
    tags: tuple[str, ...]


# By the name of the pipeline's class.
_METHODS = {
    "DDGANPipeline": _Method(
        "DDGAN",
        "A denoising diffusion GAN ([paper](https://arxiv.org/abs/2112.07804)): a conditional GAN models each of a few large "
        "denoising steps. A sample takes {evaluations} network evaluations.",
        "ddgan",
        ("ddgan", "denoising-diffusion-gan"),
    ),
    "DiffusionGANPipeline": _Method(
        "Diffusion-GAN",
        "A Diffusion-GAN ([paper](https://arxiv.org/abs/2206.02262)): a GAN whose discriminator sees real and generated "
        "samples through noise of adaptive strength. A sample takes one network evaluation.",
        "diffusion-gan",
        ("diffusion-gan",),
    ),
    "SPIGANPipeline": _Method(
        "SPI-GAN",
        "An SPI-GAN ([paper](https://arxiv.org/abs/2206.14464)) as this project reads the paper, whose authors published no "
        "code: a GAN trained on the straight path between noise and data, with a neural ODE that carries noise to the style "
        "of each position of the path. A sample takes one evaluation of the synthesis network.",
        "spi-gan",
        ("spi-gan",),
    ),
}


def make_card(
    pipeline: DiffusionPipeline, discriminator: ModelMixin, recipe: Recipe, training: Mapping[str, Any]
) -> str:
    """
    Writes the model card of a trained model, with an empty section for measured numbers.

    Args:
        pipeline ([`DiffusionPipeline`]): The trained pipeline.
        discriminator ([`ModelMixin`]): The discriminator that it was trained with.
        recipe ([`Recipe`]): The recipe that the training started from.
        training (`Mapping[str, Any]`): The options of the run, by the names of training.yaml.

    Returns:
        `str`: The text of README.md.
    """
    method = _METHODS[type(pipeline).__name__]
    conditional = pipeline.generator.config.get("num_class_embeds") is not None
    data, data_option = _training_data(training)
    notes = recipe.notes.replace(PAPER_HEADING, f"{PAPER_HEADING}\n\n{_NOT_THIS_CHECKPOINT}")
    text = _TEMPLATE.format(
        metadata=_metadata(method, pipeline.sample_shape, conditional, training).to_yaml(),
        title=method.title,
        recipe=recipe.name,
        # Only DDGAN's scheduler has a number of denoising steps, and only DDGAN's text asks for it.
        description=method.description.format(evaluations=pipeline.scheduler.config.get("num_train_timesteps")),
        samples=_samples(pipeline.sample_shape, conditional),
        generator_size=pipeline.generator.num_parameters(),
        discriminator_size=discriminator.num_parameters(),
        pipeline=type(pipeline).__name__,
        example=_example(pipeline.sample_shape, conditional),
        data=data,
        data_option=data_option,
        command=method.command,
        measured_heading=MEASURED_HEADING,
        notes=_NOTES + notes if notes else "",
    )
    return text.rstrip() + "\n"


def _metadata(
    method: _Method, sample_shape: tuple[int, ...], conditional: bool, training: Mapping[str, Any]
) -> ModelCardData:
    dataset = training.get("dataset_name")
    task = "unconditional-image-generation" if len(sample_shape) == 3 and not conditional else None
    return ModelCardData(
        library_name="gan_diffusion",
        pipeline_tag=task,
        datasets=[dataset] if dataset and "/" in dataset else None,
        tags=["diffusers", *([task] if task else []), *method.tags],
    )


def _samples(sample_shape: tuple[int, ...], conditional: bool) -> str:
    kind = "Class-conditional" if conditional else "Unconditional"
    if len(sample_shape) == 1:
        return f"{kind}; samples are vectors of {sample_shape[0]} numbers."
    channels, height, width = sample_shape
    return f"{kind}; images of {width}x{height} pixels with {channels} channel{'s' if channels > 1 else ''}."


def _example(sample_shape: tuple[int, ...], conditional: bool) -> str:
    if len(sample_shape) == 3:
        return f"image = pipeline({'class_labels=[0]' if conditional else ''}).images[0]"
    labels = "class_labels=[0] * 1000, " if conditional else ""
    return f'samples = pipeline(batch_size=1000, {labels}output_type="np").images'


def _training_data(training: Mapping[str, Any]) -> tuple[str, str]:
    """What the card calls the training data, and the option that names them when training again."""
    dataset = training.get("dataset_name")
    if dataset is None:
        return "images of its author's own", " --train_data_dir path/to/images"
    if "/" in dataset:
        return f"[{dataset}](https://huggingface.co/datasets/{dataset})", ""
    return f"`{dataset}`", ""
