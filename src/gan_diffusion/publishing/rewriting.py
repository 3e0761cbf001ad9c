# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The model card of a saved model, written again from what its folder holds."""

import re
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelCard

from ..recipes import Recipe
from ..storage.reading import read_json, read_text
from ..storage.writing import INDEX, finish_replacing, write_text
from .cards import MEASURED_HEADING, METHODS, SAMPLES, make_card, read_card, replace_measured
from .repository import CARD, read_measurements


_RECORD, _TRAINING = "run.yaml", "training.yaml"
# The title with what is before the first heading.
_TOP = ""


def rewrite_card(
    folder: str | Path, license: str | None = None, dataset_id: str | None = None, overwrite: bool = False
) -> list[str]:
    """
    Writes the model card of a trained model again, from the settings, the record of its run and the measurements.

    Of the old card stay its metadata, with measured numbers, and further sections with `##`, at the end. If a section
    that this package writes says something else, nothing is written.

    Args:
        folder (`str` or `Path`):
            The folder of the pipeline, as [`save_repository`] writes it, in the folder of its run or with a copy of
            its run.yaml.
        license (`str`, *optional*):
            Licence of the weights, by its name on the Hub. Default: that of the old card.
        dataset_id (`str`, *optional*):
            OWNER/NAME of the training data on the Hub. Default: that of the old card, or of the run.
        overwrite (`bool`, defaults to `False`):
            Whether nothing of the old card stays.

    Returns:
        `list[str]`: sentences on what was written and what is not known.

    Raises:
        OSError: If the card cannot be written.
        ValueError: If the folder is not one of a trained pipeline, its record is missing or of another run, the old
            card has broken metadata or was changed by hand, or an argument cannot be used.
    """
    _check_options(license, dataset_id)
    folder = Path(folder)
    finish_replacing(folder)
    facts = _Facts(folder)
    file = folder / CARD
    old = read_card(read_text(file)) if file.is_file() and not overwrite else None
    if old is not None:
        facts.check(old)
        license = license or _license_of(old)
        dataset_id = dataset_id or _dataset_of(old)
    measurements, has_picture = read_measurements(folder), (folder / SAMPLES).is_file()
    text = replace_measured(facts.card(license, dataset_id, has_picture), measurements)
    text = text if old is None else _with_rest_of(old, text)
    read_card(text)
    write_text(file, text)
    return _account(
        file, facts.data | ({"name": dataset_id} if dataset_id else {}), license, measurements, has_picture
    )


class _Facts:
    """
    What a folder holds for a card.

    Args:
        folder (`Path`): The folder of the pipeline.

    Raises:
        ValueError: If it is not that of a trained pipeline with its record.
    """

    def __init__(self, folder: Path):
        index = read_json(folder / INDEX) if (folder / INDEX).is_file() else {}
        if index.get("_class_name") not in METHODS or not (folder / _TRAINING).is_file():
            raise ValueError(
                f"`folder` must be that of a trained pipeline, with {INDEX} and {_TRAINING}, got {str(folder)!r}. The card "
                "of a converted model is written when it is converted."
            )
        self.recipe = Recipe.load(folder.resolve())
        self.training = self.recipe.training
        self.record = _record_of(folder, self.training)
        steps = read_measurements(folder).get("training steps")
        if isinstance(steps, int):  # A start after that belongs to later weights.
            self.record["starts"] = [each for n, each in enumerate(self.record["starts"])
                                     if n == 0 or each["from_step"] < steps]  # fmt: skip
        with torch.device("meta"):  # Only their sizes are asked for.
            generator, self.discriminator = (self.recipe.build(name) for name in ("generator", "discriminator"))
        self.pipeline = self.recipe.pipeline_class(generator, self.recipe.build("scheduler"), index.get("id2label"))

    @property
    def data(self) -> dict[str, Any]:
        """What is known of the training data."""
        return self.record["data"]

    def card(self, license: str | None, dataset_id: str | None, has_picture: bool) -> str:
        """The card, with an empty section for measured numbers."""
        record = self.record | {"data": self.data | ({"name": dataset_id} if dataset_id else {})}
        try:
            return make_card(
                self.pipeline, self.discriminator, self.recipe, self.training, record, has_picture, license=license
            )
        except (AttributeError, LookupError, TypeError) as error:
            raise ValueError(f"`{_RECORD}` must be as the run wrote it, got {error!r:.200} in it.") from error

    def check(self, old: ModelCard) -> None:
        """Refuses a card that says something else in a section that would be written again."""
        # Licence and data may have been named in the metadata alone, as the page of the Hub lets one do.
        options = product((None, _license_of(old)), (None, _dataset_of(old)), (False, True))
        ours = [dict(_sections(read_card(self.card(*each)).text)) for each in options]
        for heading, content in _sections(old.text):
            known = [each[heading] for each in ours if heading in each]
            if known and heading != MEASURED_HEADING and content not in known:
                place = f"in the section {heading.lstrip('# ')!r}" if heading else "before its first section"
                raise ValueError(
                    f"`{CARD}` must be as this package writes it, got another text {place}, by hand or by another version. "
                    "Move what you wrote to a section of its own, or give `--overwrite` to lose it."
                )


def _record_of(folder: Path, training: Mapping[str, Any]) -> dict[str, Any]:
    """The record of the run, which lies beside the model, or above a model that was saved on the way."""
    files = [place / _RECORD for place in (folder, folder.resolve().parent) if (place / _RECORD).is_file()]
    if not files:
        raise ValueError(
            f"`folder` must hold the {_RECORD} of its run, or lie in the folder of the run, got {str(folder)!r}, which does "
            "not. Copy that file into it: it is never published."
        )
    record = dict(Recipe.load(files[0]).record or {})
    values = {name: entry["value"] for name, entry in record["options"].items()}
    other = [name for name, value in training.items() if values.get(name) != value]
    if other or not record["starts"] or "command" not in record:
        raise ValueError(
            f"`{_RECORD}` must be that of the run that made the model, got {str(files[0])!r} with "
            f"{f'another {other[0]} than {_TRAINING}' if other else 'no command or start'}. If the run went on with other "
            "settings, its next saved model gets a new card."
        )
    return record


def _check_options(license: str | None, dataset_id: str | None) -> None:
    if license is not None and (license == "other" or not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", license)):
        raise ValueError(
            f"`license` must be a name of the Hub, such as apache-2.0 or cc-by-4.0, got {license!r}. Write another one into "
            "the metadata of the card yourself, as license_name and license_link."
        )
    if dataset_id is not None and not re.fullmatch(r"[\w.-]+/[\w.-]+", dataset_id):
        raise ValueError(f"`dataset_id` must be OWNER/NAME of a data set on the Hub, got {dataset_id!r}.")


def _license_of(card: ModelCard) -> str | None:
    """The licence in the metadata, if its name says which one it is."""
    license = card.data.get("license")
    return license if isinstance(license, str) and license != "other" else None


def _dataset_of(card: ModelCard) -> str | None:
    datasets = card.data.get("datasets")
    first = datasets[0] if isinstance(datasets, list) and datasets else None
    return first if isinstance(first, str) and "/" in first else None


def _sections(text: str) -> Iterator[tuple[str, str]]:
    """Headings with `##` and their content, from a title without one on."""
    heading = _TOP
    for part in re.split(r"^(## .*)$", text, flags=re.MULTILINE):
        if part.startswith("## "):
            heading = part.strip()
        else:
            yield heading, part.strip()


def _with_rest_of(old: ModelCard, text: str) -> str:
    """A new card with the metadata and the sections of the old one that it does not have itself."""
    card = read_card(text)
    obsolete = () if card.data.get("license") is None else ("license_name", "license_link")
    for name, value in vars(old.data).items():
        if card.data.get(name) is None and name not in obsolete:
            card.data[name] = value
    # The first data set is the one that the text names.
    for name, before in (("tags", old.data.get("tags") or []), ("datasets", (old.data.get("datasets") or [])[1:])):
        new = card.data.get(name) or []
        if isinstance(before, list):
            card.data[name] = [*new, *(each for each in before if each not in new)] or None
    ours = dict(_sections(card.text))
    rest = [f"\n{heading}\n\n{content}\n" for heading, content in _sections(old.text) if heading not in ours]
    return str(card).rstrip() + "\n" + "".join(rest)


def _account(
    file: Path, data: Mapping[str, Any], license: str | None, measurements: Mapping[str, Any], has_picture: bool
) -> list[str]:
    """What is on the card and what is not, in sentences."""
    known = {
        f"licence of the weights ({license})": license is not None,
        f"data set ({data['name']})": data["name"] is not None,
        "licence of the data": bool(data.get("licence")),
        f"{len(measurements)} measurements": bool(measurements),
        f"picture ({SAMPLES})": has_picture,
    }
    written = ", ".join(what for what, is_known in known.items() if is_known)
    missing = [what.partition(" (")[0].removeprefix("0 ") for what, is_known in known.items() if not is_known]
    return [f"Wrote {file}: {written}."] + ([f"Not known, so not on it: {', '.join(missing)}."] if missing else [])
