# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
Model cards: what was trained, on what, how, and what was measured.

A card tells of this checkpoint alone. The notes of a recipe and the scores of a paper are not on it.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from diffusers import DiffusionPipeline, ModelMixin
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from ..recipes import Recipe


SAMPLES = "samples.png"
MEASURED_HEADING = "## Measured on this checkpoint"
_NOTHING_MEASURED = "Nothing yet."
_NO_LICENCE = ". Whoever publishes the weights states their licence, which depends on the training data."
_SHOWN_CLASSES = 20

_TEMPLATE = """\
---
{metadata}
---

# {title}, trained on {subject}

{description} {samples} The generator has {generator_size:,} parameters, the discriminator {discriminator_size:,}.
{picture}
```python
from gan_diffusion import {pipeline}

pipeline = {pipeline}.from_pretrained("path/or/hub-name")
{example}
```

## Training data

{data}

## Training

{training}

The library is under Apache-2.0{licence}

{measured_heading}
"""


@dataclass(frozen=True)
class Method:
    """
    What the cards of a method say.

    Args:
        title (`str`): Name of the method.
        description (`str`): A sentence or two, with a place for the number of `{evaluations}`.
        command (`str`): Name of its command.
        tags (`tuple[str, ...]`): Its tags on the Hub.
    """

    title: str
    description: str
    command: str
    tags: tuple[str, ...]


# By the name of the pipeline's class.
METHODS = {
    "DDGANPipeline": Method(
        "DDGAN",
        "A denoising diffusion GAN ([paper](https://arxiv.org/abs/2112.07804)): a conditional GAN models each of a few large "
        "denoising steps. A sample takes {evaluations} network evaluations.",
        "ddgan",
        ("ddgan", "denoising-diffusion-gan"),
    ),
    "DiffusionGANPipeline": Method(
        "Diffusion-GAN",
        "A Diffusion-GAN ([paper](https://arxiv.org/abs/2206.02262)): a GAN whose discriminator sees real and generated "
        "samples through noise of adaptive strength. A sample takes one network evaluation.",
        "diffusion-gan",
        ("diffusion-gan",),
    ),
    "SPIGANPipeline": Method(
        "SPI-GAN",
        "An SPI-GAN ([paper](https://arxiv.org/abs/2206.14464)) as this project reads the paper, whose authors published no "
        "code: a GAN trained on the straight path between noise and data, with a neural ODE that carries noise to the style "
        "of each position of the path. A sample takes one evaluation of the synthesis network.",
        "spi-gan",
        ("spi-gan",),
    ),
}


def make_card(
    pipeline: DiffusionPipeline,
    discriminator: ModelMixin,
    recipe: Recipe,
    training: Mapping[str, Any],
    record: Mapping[str, Any] | None = None,
    has_picture: bool = False,
    license: str | None = None,
) -> str:
    """
    Writes the model card of a trained model, with an empty section for measured numbers.

    Args:
        pipeline ([`DiffusionPipeline`]): The trained pipeline.
        discriminator ([`ModelMixin`]): The discriminator that it was trained with.
        recipe ([`Recipe`]): The recipe that the training started from.
        training (`Mapping[str, Any]`): The options of the run, by the names of training.yaml.
        record (`Mapping[str, Any]`, *optional*): The record of the run, as in its run.yaml.
        has_picture (`bool`, defaults to `False`): Whether to show `samples.png`, which lies beside the card.
        license (`str`, *optional*): Licence of the weights, by its name on the Hub.

    Returns:
        `str`: The text of README.md.
    """
    method = METHODS[type(pipeline).__name__]
    conditional = pipeline.generator.config.get("num_class_embeds") is not None
    facts: Mapping[str, Any] = {"name": training.get("dataset_name")} if record is None else record["data"]
    text = _TEMPLATE.format(
        metadata=_metadata(method, pipeline.sample_shape, conditional, facts, record, license).to_yaml(),
        title=method.title,
        subject=_code(facts["name"]) if facts["name"] else "samples of its author's own",
        # Only DDGAN's scheduler has a number of denoising steps, and only DDGAN's text asks for it.
        description=method.description.format(evaluations=pipeline.scheduler.config.get("num_train_timesteps")),
        samples=describe_samples(pipeline.sample_shape, conditional),
        generator_size=pipeline.generator.num_parameters(),
        discriminator_size=discriminator.num_parameters(),
        picture=f"\n![Samples of this checkpoint]({SAMPLES})\n" if has_picture else "",
        pipeline=type(pipeline).__name__,
        example=example_of(pipeline, conditional),
        data=_data(facts, pipeline.sample_shape),
        training=_training(method, recipe, training, record),
        licence=_NO_LICENCE if license is None else f", the weights are under {license}.",
        measured_heading=MEASURED_HEADING,
    )
    return text.rstrip() + "\n"


def add_results(text: str, results: Sequence[EvalResult]) -> str:
    """
    Adds measured numbers to the metadata of a card, its `model-index`.

    Args:
        text (`str`): The card.
        results (`Sequence[EvalResult]`):
            The numbers. Each replaces an older one of the same data, metric and protocol.

    Returns:
        `str`: the card with them.

    Raises:
        ValueError: If the metadata of the card cannot be read.
    """
    card = read_card(text)
    data: Any = card.data  # The base class of cards declares less.
    older = [old for old in data.eval_results or () if not any(old.is_equal_except_value(new) for new in results)]
    title = re.search(r"^# (.+)$", card.text, re.MULTILINE)
    data.model_name = data.model_name or (title[1].replace("`", "") if title else "gan_diffusion")
    data.eval_results = [*older, *results]
    return str(card)


def read_card(text: str) -> ModelCard:
    """
    Reads a card and its metadata.

    Args:
        text (`str`): The card.

    Returns:
        `ModelCard`: the card.

    Raises:
        ValueError: If its metadata cannot be read.
    """
    try:
        return ModelCard(text)
    except (AttributeError, TypeError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise ValueError(f"`README.md` must begin with metadata in YAML, got: {reason}.") from error


def replace_measured(text: str, measurements: Mapping[str, Any]) -> str:
    """
    Writes the section of measured numbers of a card anew, and leaves the sections around it.

    Args:
        text (`str`): The card.
        measurements (`Mapping[str, Any]`): Names and values.

    Returns:
        `str`: the card with them.
    """
    rows = "\n".join(f"| {name} | {value} |" for name, value in measurements.items())
    content = f"| what | value |\n|---|---|\n{rows}" if rows else _NOTHING_MEASURED
    before, _, old = text.partition(MEASURED_HEADING)
    _, next_heading, after = old.partition("\n## ")
    return f"{before.rstrip()}\n\n{MEASURED_HEADING}\n\n{content}\n{next_heading}{after}"


def _metadata(
    method: Method,
    sample_shape: tuple[int, ...],
    conditional: bool,
    facts: Mapping[str, Any],
    record: Mapping[str, Any] | None,
    license: str | None,
) -> ModelCardData:
    task = "unconditional-image-generation" if len(sample_shape) == 3 and not conditional else None
    return ModelCardData(
        library_name="gan_diffusion",
        license=license,
        pipeline_tag=task,
        base_model=_base_model(record),
        datasets=[facts["name"]] if facts["name"] and "/" in facts["name"] else None,
        tags=["diffusers", *([task] if task else []), *method.tags],
    )


def _base_model(record: Mapping[str, Any] | None) -> str | None:
    """Hub name of the model that the run started from, if there is one."""
    return ((record or {}).get("fine_tuned_from") or {}).get("name")


def describe_samples(sample_shape: tuple[int, ...], conditional: bool) -> str:
    """What samples of a shape are, in words."""
    kind = "Class-conditional" if conditional else "Unconditional"
    if len(sample_shape) == 1:
        return f"{kind}; samples are vectors of {sample_shape[0]} numbers."
    channels, height, width = sample_shape
    return f"{kind}; images of {width}x{height} pixels with {channels} channel{'s' if channels > 1 else ''}."


def example_of(pipeline: Any, conditional: bool) -> str:
    """A line of Python that draws samples."""
    label = json.dumps(next(iter(pipeline.labels), 0), ensure_ascii=False)
    if len(pipeline.sample_shape) == 3:
        return f"image = pipeline({f'class_labels=[{label}]' if conditional else ''}).images[0]"
    labels = f"class_labels=[{label}] * 1000, " if conditional else ""
    return f'samples = pipeline(batch_size=1000, {labels}output_type="np").images'


def _data(facts: Mapping[str, Any], sample_shape: tuple[int, ...]) -> str:
    """What is known of the training data, a fact per line."""
    kind = "images" if len(sample_shape) == 3 else "samples"
    count = f"{facts['num_samples']:,} {kind}" if "num_samples" in facts else kind
    if not facts["name"]:
        lines = [f"- {count[0].upper()}{count[1:]} of its author's own"]
    elif "/" in facts["name"]:
        lines = [f"- {count} of [{facts['name']}](https://huggingface.co/datasets/{facts['name']})"]
    else:
        lines = [f"- {count} of {_code(facts['name'])}"]
    if facts.get("sizes"):
        lines.append(f"- Sizes as found: {facts['sizes']}")
    if facts.get("value_range"):
        lines.append(f"- Values: {facts['value_range']}")
    if facts.get("classes"):
        classes = [f"{_code(name)} ({number:,})" for name, number in facts["classes"].items()]
        more = f" and {len(classes) - _SHOWN_CLASSES} more" if len(classes) > _SHOWN_CLASSES else ""
        lines.append(f"- {len(classes)} classes: {', '.join(classes[:_SHOWN_CLASSES])}{more}")
    lines.append(f"- Licence of the data: {facts.get('licence') or 'not known to this card'}")
    if facts.get("identity"):
        lines.append(f"- Identity: `{facts['identity']}`, equal for equal files and labels")
    return "\n".join(lines)


def _training(method: Method, recipe: Recipe, training: Mapping[str, Any], record: Mapping[str, Any] | None) -> str:
    """How the model was trained, in paragraphs."""
    again = "The options of this run are in `training.yaml`: a copy of this repository is a recipe too."
    if record is None:
        data = "" if training.get("dataset_name") else " --train_data_dir path/to/data"
        command = f"{method.command} --recipe path/to/copy --output_dir runs/again{data}"
        return f"Trained with the recipe `{recipe.name}` of gan_diffusion. {again}\n\n{_command(command)}"
    kinds = {"published": "its recipe {}", "folder": "a recipe of its author's own, {}",
             "run": "the settings of an earlier run with the recipe {}"}  # fmt: skip
    first, *later = record["starts"]
    origin = kinds[record["recipe_kind"]].format(_code(record["recipe"]))
    parts = [
        f"Trained by gan_diffusion {first['versions']['gan_diffusion']} with {origin}. A recipe gives the settings; its "
        f"data and scores are not those of this model. {again}",
        _command(record["command"], first["processes"], first["device"]),
    ]
    rows = [
        f"| {name} | {entry['value']} | {entry['instead_of']} |"
        for name, entry in record["options"].items()
        if "instead_of" in entry and name in training
    ]
    if rows:
        parts.append("\n".join(["| option | here | in the recipe, or by default |", "|---|---|---|", *rows]))
    if record.get("fine_tuned_from"):
        base = _base_model(record)
        named = f"[{base}](https://huggingface.co/{base})" if base else "a saved model of its author's own"
        parts.append(f"Fine-tuned from {named}.")
    for start in later:
        names = [name for name in start.get("changed", ()) if name in training]
        if names and start["from_step"]:
            parts.append(
                f"From step {start['from_step']:,} on, the run had other values of {', '.join(names)} than before."
            )
    return "\n\n".join(parts)


def _command(words: str, processes: int = 1, device: str = "cuda") -> str:
    """A training that is typed; the batch size is that of one process, so their number matters."""
    launcher = "accelerate launch"
    if processes > 1:  # `accelerate launch` starts one process on CPUs, whatever it is told.
        launcher = (
            f"torchrun --nproc_per_node {processes}"
            if device == "cpu"
            else f"{launcher} --multi_gpu --num_processes {processes}"
        )
    return f"```bash\n{launcher} -m gan_diffusion train {words}\n```"


def _code(text: str) -> str:
    """Text of somebody else's making as one piece of code in a line of Markdown."""
    return "`" + " ".join(text.split()).replace("`", "'") + "`"
