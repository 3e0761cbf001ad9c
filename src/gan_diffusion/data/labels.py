# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""From labels as people write them to numbers of classes."""

import math
import re
from collections.abc import Sequence
from typing import Any

from .report import examples


def natural_order(name: str) -> tuple:
    """
    A key that sorts names as people count: 0, 1, 2, 10.

    Args:
        name (`str`): A name.

    Returns:
        `tuple`: the key.
    """
    parts = re.split(r"([0-9]+)", name)
    return ([int(part) if number % 2 else part.lower() for number, part in enumerate(parts)], name)


def resolve_labels(
    labels: Sequence[Any], places: Sequence[str], class_names: Sequence[str] | None = None
) -> tuple[list[int], list[str]]:
    """
    Gives each sample the number of its class.

    Args:
        labels (`Sequence[Any]`): A whole number, word or truth value per sample; `None` where it is missing.
        places (`Sequence[str]`): The file or row of each sample, for errors.
        class_names (`Sequence[str]`, *optional*):
            The names that whole numbers stand for. Without them the labels themselves are the names, and the classes
            are in their natural order.

    Returns:
        pair of `list[int]` and `list[str]`: the number of each sample's class, and the names of all classes.

    Raises:
        ValueError: If labels are missing, negative, no whole number or word, or have no name; with their places.
    """
    problems: dict[str, list[str]] = {}
    for label, place in zip(labels, places, strict=True):
        problem = _problem(label)
        if problem is None and class_names is not None and (isinstance(label, str) or label >= len(class_names)):
            problem = f"{label!r} without a name"
        if problem is not None:
            problems.setdefault(problem, []).append(place)
    if problems:
        told = "; ".join(f"{len(where)} {what}: {examples(where, 5)}" for what, where in list(problems.items())[:5])
        raise ValueError(
            f"`labels` must be whole numbers of at least 0 or words, one for each image, got {told}. Mend the labels, "
            "or train without --class_conditional."
        )
    if class_names is not None:
        return [int(label) for label in labels], list(class_names)
    words = [str(int(label)) if isinstance(label, float) else str(label) for label in labels]
    names = sorted(set(words), key=natural_order)
    numbers = {name: number for number, name in enumerate(names)}
    return [numbers[word] for word in words], names


def _problem(label: Any) -> str | None:
    """What is wrong with a label, or `None`."""
    if label is None or (isinstance(label, float) and math.isnan(label)) or label == "":
        return "missing"
    if isinstance(label, str):
        return "negative" if re.fullmatch(r"-\s*[0-9]+", label.strip()) else None
    if isinstance(label, int) or (isinstance(label, float) and label.is_integer()):
        return "negative" if label < 0 else None
    return f"no whole number or word ({str(label)[:40]})"
