# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The record of a run, run.yaml: every setting and where it comes from, data, versions, and each start."""

import platform
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import diffusers
import torch
import yaml
from accelerate import Accelerator

from ..data.batch import Samples
from ..recipes import Recipe
from ..storage.writing import write_text
from .arguments import OPTIONS_OF_A_START, TrainingArguments, is_local


RECORD_NAME = "run.yaml"
_HEADER = f"""\
# The record of a training run. `--recipe path/to/{RECORD_NAME}` repeats the run, if it was not changed on the way.
# It names folders of this machine, so .gitignore keeps it out of repositories and of uploads to the Hub.
"""
# What is in the folder of a run and does not belong to the model. The Hub's client leaves it out of an upload too.
_NOT_PUBLISHED = f"{RECORD_NAME}\nrun.log\nlogs/\nsamples/\ncheckpoint-*/\nmodel-*/\nbest/\n"
_PLACEHOLDERS = {
    "dataset_name": "path/to/data", "train_data_dir": "path/to/data", "pretrained": "path/to/model",
    "evaluation_feature_weights": "path/to/weights",
}  # fmt: skip


def make_record(
    arguments: TrainingArguments,
    recipe: Recipe,
    components: Mapping[str, Any],
    dataset: Samples,
    fine_tuned_from: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """
    Describes a run with all that is needed to repeat it.

    Args:
        arguments ([`TrainingArguments`]): Options.
        recipe ([`Recipe`]): The recipe.
        components (`Mapping[str, Any]`): Generator, discriminator and scheduler as they were built.
        dataset ([`~data.Samples`]): The data.
        fine_tuned_from (`Mapping[str, Any]`, *optional*): The saved model that the run starts from.

    Returns:
        `dict[str, Any]`: plain values, as they are written to run.yaml.
    """
    options = {}
    for name, value in arguments.effective_settings().items():
        options[name] = {"value": _plain(value), "origin": arguments.origins.get(name, "default")}
        if name in arguments.instead_of:
            options[name]["instead_of"] = _plain(arguments.instead_of[name])
    record = {
        "method": arguments.method.name,
        "recipe": recipe.name,
        "recipe_kind": "published" if recipe.is_published else "folder" if recipe.record is None else "run",
        "data": describe_data(arguments, dataset),
        "command": _public_command(arguments, recipe),
        "options": options,
        "left_out": list(arguments.notes),
        "components": {name: _config(component) for name, component in components.items()},
    }
    return record if fine_tuned_from is None else record | {"fine_tuned_from": dict(fine_tuned_from)}


def describe_data(arguments: TrainingArguments, dataset: Samples) -> dict[str, Any]:
    """
    What is known of the data, without their place on this machine.

    Args:
        arguments ([`TrainingArguments`]): Options.
        dataset ([`~data.Samples`]): The data. Where they have a `report`, it tells the rest.

    Returns:
        `dict[str, Any]`: plain values; `name` is `None` for data of the user's own.
    """
    name = arguments.data.dataset_name
    report, class_names = getattr(dataset, "report", None), getattr(dataset, "class_names", None)
    facts = {
        "name": None if is_local("dataset_name", name) else name,
        "num_samples": len(dataset),
        "class_names": None if class_names is None else [str(each) for each in class_names],
    }
    for key in ("num_samples", "sizes", "value_range", "classes", "licence", "identity"):
        if getattr(report, key, None) is not None:
            facts[key] = _plain(getattr(report, key))
    return facts


def describe_start(arguments: TrainingArguments, accelerator: Accelerator) -> dict[str, Any]:
    """
    What one start of a run has of its own.

    Args:
        arguments ([`TrainingArguments`]): Options.
        accelerator (`Accelerator`): Processes and device.

    Returns:
        `dict[str, Any]`: time, command, versions, processes, device and precision.
    """
    version = sys.modules[__name__.partition(".")[0]].__version__
    versions = {"gan_diffusion": version, "torch": str(torch.__version__), "diffusers": diffusers.__version__}
    commit = _commit()
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": arguments.command,
        "versions": versions | {"python": platform.python_version()} | ({} if commit is None else {"commit": commit}),
        "processes": accelerator.num_processes,
        "device": accelerator.device.type,
        "precision": accelerator.mixed_precision,
    }


def summarize(record: Mapping[str, Any], start: Mapping[str, Any], output_dir: str | Path) -> list[str]:
    """
    The record for people: what a run prints when it begins.

    Args:
        record (`Mapping[str, Any]`): From [`make_record`].
        start (`Mapping[str, Any]`): From [`describe_start`].
        output_dir (`str` or `Path`): Folder of the run.

    Returns:
        `list[str]`: lines.
    """
    versions = ", ".join(f"{name} {version}" for name, version in start["versions"].items())
    kinds = {"published": "recipe", "folder": "recipe in a folder", "run": "settings of an earlier run with recipe"}
    recipe = f"{kinds[record['recipe_kind']]} {record['recipe']}"
    processes = f"{start['processes']} process{'es' if start['processes'] > 1 else ''}"
    lines = [
        f"Versions: {versions}",
        f"Machine: {processes} on {start['device']}, mixed precision {start['precision']}",
        f"Method: {record['method']}, {recipe}",
    ]
    origins = {"typed": "typed", "recipe": f"from the {recipe}", "default": "by default"}
    for origin, title in origins.items():
        words = [_words(name, entry) for name, entry in record["options"].items() if entry["origin"] == origin]
        if words:
            lines += textwrap.wrap(f"Options {title}: {', '.join(words)}", width=119, subsequent_indent="  ")
    lines += record["left_out"]
    return [*lines, f"All settings are in {Path(output_dir) / RECORD_NAME}"]


def write_record(output_dir: str | Path, record: Mapping[str, Any], start: Mapping[str, Any], step: int) -> None:
    """
    Writes run.yaml, with the starts that an earlier one lists, in one stroke.

    Args:
        output_dir (`str` or `Path`): Folder of the run.
        record (`Mapping[str, Any]`): From [`make_record`].
        start (`Mapping[str, Any]`): From [`describe_start`].
        step (`int`): Training step that this start begins at.

    Raises:
        ValueError: If the earlier record cannot be read, or the run goes on and began from another saved model.
    """
    file = Path(output_dir) / RECORD_NAME
    content, entry, starts = dict(record), {**start, "from_step": step}, []
    before = Recipe.load(file).record if file.is_file() else None
    if before is not None:
        starts = before["starts"]
        old, new = ({name: each["value"] for name, each in r["options"].items()} for r in (before, record))
        changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
        if changed:
            entry["changed"] = {name: {"before": old.get(name), "now": new.get(name)} for name in changed}
        origin = before.get("fine_tuned_from")
        if step and record.get("fine_tuned_from") not in (None, origin):
            raise ValueError(
                "`pretrained` must be the saved model that the run began with, or not be given when the run goes on. "
                "Begin another run in another `--output_dir`."
            )
        if step and origin is not None:
            content["fine_tuned_from"] = origin
    content["starts"] = [*starts, entry]
    write_text(
        file,
        _HEADER + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None, width=119),
    )
    ignored = Path(output_dir) / ".gitignore"
    if not ignored.exists():
        write_text(ignored, _NOT_PUBLISHED)


def notes_on_repeating(recipe: Recipe, record: Mapping[str, Any], start: Mapping[str, Any]) -> list[str]:
    """
    What keeps a repetition from being exact.

    Args:
        recipe ([`Recipe`]): The recipe, which may be the record of a run.
        record (`Mapping[str, Any]`): From [`make_record`], of this run.
        start (`Mapping[str, Any]`): From [`describe_start`], of this run.

    Returns:
        `list[str]`: sentences, none for an exact repetition or for another recipe.
    """
    if recipe.record is None:
        return []
    notes, starts = [], recipe.record["starts"]
    for each in starts:
        if each["from_step"] and each.get("changed"):
            names = ", ".join(each["changed"])
            notes.append(
                f"The run changed {names} at step {each['from_step']}. The last values hold from the start on."
            )
    theirs, ours = (
        {name: each[name] for name in ("processes", "device", "precision")} | each["versions"]
        for each in (*starts[-1:], start)
    )
    differ = [f"{name} {theirs.get(name)} then, {ours.get(name)} now" for name in {**theirs, **ours}
              if theirs.get(name) != ours.get(name)]  # fmt: skip
    if differ:
        notes.append(f"Results may differ from those of the run: {'; '.join(differ)}.")
    theirs, ours = (each.get("data", {}).get("identity") for each in (recipe.record, record))
    if theirs != ours:
        notes.append(f"The data are not those of the run: identity {theirs}, now {ours}.")
    return notes


def _public_command(arguments: TrainingArguments, recipe: Recipe) -> str:
    """What was typed, with placeholders for places on this machine and without what concerns this machine alone."""
    settings = arguments.settings()
    words = [arguments.method.name, "--recipe", recipe.name if recipe.is_published else "path/to/recipe"]
    words += ["--output_dir", "path/to/output"]
    for name, origin in arguments.origins.items():
        if origin != "typed" or name in OPTIONS_OF_A_START:
            continue
        value = settings[name]
        if not is_local(name, value):
            words += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
        elif name in _PLACEHOLDERS:
            words += [f"--{name}", _PLACEHOLDERS[name]]
    return shlex.join(words)


def _words(name: str, entry: Mapping[str, Any]) -> str:
    replaced = f" (instead of {entry['instead_of']})" if "instead_of" in entry else ""
    return f"{name} {entry['value']}{replaced}"


def _config(component: Any) -> dict[str, Any]:
    """The config of a component without what diffusers adds, and with its class."""
    config = {name: _plain(value) for name, value in component.config.items() if not name.startswith("_")}
    return {"_class_name": type(component).__name__, **config}


def _plain(value: Any) -> Any:
    """A value as YAML holds it: tuples as lists."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _commit() -> str | None:
    """The commit of the checkout that the library runs from, if it does."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        return None
    try:
        commit, changes = (
            subprocess.run(["git", "-C", root, *words], capture_output=True, text=True, timeout=10, check=True).stdout
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no", "src", "pipelines"])
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return commit.strip() + (" with changes" if changes.strip() else "")
