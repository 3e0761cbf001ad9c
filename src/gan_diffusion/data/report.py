# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""What a data set holds, what of it is used, and by which rules."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..storage.writing import write_text


_EXAMPLES = 3


@dataclass
class DataReport:
    """
    An account of the training data. A run prints it when it begins, and saves it as `data.json`.

    Names are relative to the folder of the data, so an account tells nothing about the machine.

    Args:
        source (`str`): What was read, such as "folder cats".
        identity (`str`):
            SHA-256, in hexadecimal, of the samples that are used: names, sizes in bytes and labels, or contents where
            there are no files. Two runs with the same identity learn from the same data.
        num_samples (`int`): Number of samples.
        sizes (`str`): Their sizes in one phrase, such as "512x512" or "from 200x180 to 4000x3000 pixels".
        value_range (`str`): The values that were read, and what they become.
        classes (`dict[str, int]`, *optional*): Samples per class, in the order of the classes.
        licence (`str`, *optional*): Licence of the data, where a card tells it.
        used (`list[str]`, defaults to `[]`): Names of the samples, in the order of the data set.
        left_out (`dict[str, list[str]]`, defaults to `{}`): What was found and is not used, by the reason.
        modes (`dict[str, int]`, defaults to `{}`): Images per colour mode, as Pillow names it.
        duplicates (`int`, defaults to 0): Samples whose content is that of an earlier one.
        rules (`list[str]`, defaults to `[]`): What was decided for the user, in sentences.
    """

    source: str
    identity: str
    num_samples: int
    sizes: str
    value_range: str
    classes: dict[str, int] | None = None
    licence: str | None = None
    used: list[str] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    modes: dict[str, int] = field(default_factory=dict)
    duplicates: int = 0
    rules: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The account for people, a fact per line."""
        lines = [
            f"Data: {self.source}, {self.num_samples} samples",
            f"  sizes: {self.sizes}",
            f"  values: {self.value_range}",
        ]
        if self.modes:
            lines.append(f"  colour modes: {_counts(self.modes)}")
        if self.classes is not None:
            lines.append(f"  {len(self.classes)} classes: {_counts(self.classes)}")
        if self.licence is not None:
            lines.append(f"  licence: {self.licence}")
        if self.duplicates:
            lines.append(f"  duplicates: {self.duplicates} samples have the same content as another one")
        lines += [f"  left out: {len(names)} ({reason}): {examples(names)}" for reason, names in self.left_out.items()]
        lines += [f"  {rule}" for rule in self.rules]
        lines.append(f"  identity: {self.identity}")
        return [line.encode("utf-8", "backslashreplace").decode("utf-8") for line in lines]

    def to_dict(self) -> dict[str, Any]:
        """The whole account, with all names, for JSON."""
        return asdict(self)


def make_identity(rows: Iterable[tuple]) -> str:
    """
    A fingerprint of samples that depends on what they are and not on where they lie.

    Args:
        rows (`Iterable[tuple]`): For each sample, in any order, what it is known by: name, size, label.

    Returns:
        `str`: SHA-256 of the sorted rows, in hexadecimal.
    """
    digest = hashlib.sha256()
    for row in sorted("\0".join(map(str, row)) for row in rows):
        digest.update(row.encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()


def examples(names: list[str], count: int = _EXAMPLES) -> str:
    """
    The first of some names, and how many more there are.

    Args:
        names (`list[str]`): Names.
        count (`int`, defaults to 3): How many to give.

    Returns:
        `str`: a phrase such as "a.png, b.png, c.png and 4 more".
    """
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more


def write_json(file: Path, content: Any) -> None:
    """
    Writes a JSON file, whole or not at all.

    Args:
        file (`Path`): Where; its folder is made if it does not exist.
        content (`Any`): What JSON can hold.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, json.dumps(content, indent=1))


def _counts(counts: dict[str, int], shown: int = 20) -> str:
    return examples([f"{name} ({count})" for name, count in counts.items()], shown)
