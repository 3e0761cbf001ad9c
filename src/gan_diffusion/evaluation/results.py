# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Measured numbers as the metadata of a model card has them."""

import re
from typing import Any

from huggingface_hub import EvalResult

from ..data.arguments import DataArguments, is_place
from .images import Evaluation
from .scores import MORE_IS_BETTER


_METRICS = (*MORE_IS_BETTER, "modes", "inception_score")
# Facts of the protocol that tell two measurements of a metric apart.
_ARGUMENTS = ("network evaluations per image", "generated images", "real images", "identity of the real data", "seed")


def to_results(result: Evaluation, pipeline: Any, data: DataArguments) -> list[EvalResult]:
    """
    The metrics that tell about quality, for `model-index`. Type and name of each have the network of features.

    Args:
        result ([`Evaluation`]): What was measured.
        pipeline ([`DiffusionPipeline`]): The pipeline.
        data ([`~data.DataArguments`]): The real data.

    Returns:
        `list[EvalResult]`: one for each metric. Data on this machine are not named.
    """
    conditional = pipeline.generator.config.get("num_class_embeds") is not None
    name = None if data.dataset_name is None or is_place(data.dataset_name) else data.dataset_name
    network = re.sub(r"\W+", "_", result.protocol["feature network"].lower())
    return [
        EvalResult(
            task_type="class-conditional-image-generation" if conditional else "unconditional-image-generation",
            dataset_type=name or "custom",
            dataset_name=name or "images of its author's own",
            dataset_config=data.dataset_config_name if name else None,
            dataset_split=data.dataset_split if name and "/" in name else None,
            metric_type=f"{metric}_{network}",
            metric_name=result.labels[metric],
            metric_value=float(f"{result.values[metric]:.5g}"),
            metric_args={fact.replace(" ", "_"): result.protocol[fact] for fact in _ARGUMENTS},
        )
        for metric in _METRICS
        if metric in result.values
    ]
