# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
Writes the measured numbers into docs/benchmarks.md and the summary of README.md. No number is typed by hand.

    python benchmarks/evidence/report.py

The text of the page is benchmarks/evidence/benchmarks.md. In it, `{{table GROUP}}` becomes a table of all measurements
of runs.yaml with this group, `{{grid NAME}}` the samples of one, `{{value NAME METRIC}}` one of its measurements, and
`{{fact NAME FACT}}` one of its training's facts.
"""

import json
import math
import re
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml


HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DOCS = ROOT / "docs"
# The summary of README.md: where it begins and ends, and its columns.
SUMMARY = re.compile(r"(?<=<!-- made by benchmarks/evidence/report.py -->\n).*?(?=<!-- end -->)", re.DOTALL)
SUMMARY_COLUMNS = "model, evaluations, images seen (millions), minutes, cores, Frechet distance, coverage, images/s"
# What a column tells of a result, by its heading.
FACTS: dict[str, Callable[[dict[str, Any]], str]] = {
    "model": lambda result: result["label"],
    "training images": lambda result: f"{result['protocol']['images of the training']:,}",
    "evaluations": lambda result: str(result["protocol"]["network evaluations per image"]),
    "weights (millions)": lambda result: " + ".join(number(count / 1e6) for count in result["weights"].values()),
    "images seen (millions)": lambda result: number(result["training"]["real images seen"] / 1e6),
    "minutes": lambda result: number(result["training"]["training time (minutes, without sampling and saving)"]),
    # Of "1 x 2 CPU threads".
    "cores": lambda result: str(math.prod(int(part) for part in re.findall(r"\d+", result["training"]["trained on"]))),
}
# The beginning of a metric's name, by the heading of its column.
METRICS = {
    "Frechet distance": "Frechet distance",
    "KID x 1000": "kernel distance",
    "precision": "precision (",
    "recall": "recall (",
    "coverage": "coverage (",
    "distance to the nearest": "distance to the nearest",
    "copies": "share of copies",
    "images/s": "images per second",
    "modes of 25": "modes covered",
    "modes of 1000": "modes of 1000 (",
    "KL": "reverse KL of the modes (",
    "high quality (%)": "high-quality samples",
    "reverse KL": "reverse KL",
    "spread of a mode": "spread of the modes",
}
# Columns of the tables, by group.
TABLES = {
    "fashion-mnist": (
        "model, evaluations, weights (millions), images seen (millions), minutes, cores, Frechet distance, KID x 1000, "
        "precision, recall, coverage, copies, images/s"
    ),
    "stackedmnist": "model, evaluations, images seen (millions), minutes, cores, modes of 1000, KL, Frechet distance",
    "emoji": "model, images seen (millions), minutes, cores, KID x 1000, coverage, distance to the nearest, copies",
    **dict.fromkeys(
        ("small-data", "small-data-long"),
        "model, training images, images seen (millions), minutes, Frechet distance, precision, coverage, "
        "distance to the nearest, copies",
    ),
    **dict.fromkeys(
        ("ablation-ddgan", "ablation-diffusion-gan", "ablation-spi-gan"),
        "model, modes of 25, high quality (%), reverse KL, spread of a mode",
    ),
}


def metric(result: dict[str, Any], name: str) -> float:
    """A number of a result by the beginning of its name; "25 of 25" and "98.9%" are 25 and 98.9."""
    (value,) = [value for label, value in result["metrics"].items() if label.startswith(name)]
    return float(value.split()[0].rstrip("%")) if isinstance(value, str) else value


def number(value: float) -> str:
    """Three digits."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def cell(result: dict[str, Any], column: str) -> str:
    """What a row says in a column; of several seeds, the mean, the least and the greatest."""
    if column in FACTS:
        return FACTS[column](result)
    if "runs" not in result:
        return number(metric(result, METRICS[column]))
    values = [metric(run, METRICS[column]) for run in result["runs"].values()]
    least, greatest = number(min(values)), number(max(values))
    return least if least == greatest else f"{number(statistics.mean(values))} ({least} to {greatest})"


def table(results: dict[str, dict[str, Any]], columns: list[str]) -> str:
    """One row for each result."""
    rows = [columns, ["---"] * len(columns)]
    rows += [[cell(result, column) for column in columns] for result in results.values()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def render(text: str, runs: dict[str, dict[str, Any]], results: dict[str, dict[str, Any]]) -> str:
    """The text with tables, pictures and numbers in their places."""

    def replace(match: re.Match) -> str:
        kind, name, *rest = match[1].split(" ", 2)
        if kind == "table":
            group = {key: result for key, result in results.items() if runs[key]["group"] == name}
            return table(group, TABLES[name].split(", "))
        if kind == "grid":
            shutil.copy(HERE / "results" / f"{name}.png", DOCS / f"benchmark-{name}.png")
            return f"![Left: samples. Right: training images.](benchmark-{name}.png)"
        if kind == "fact":
            return str(results[name]["training"][rest[0]])
        return number(metric(results[name], rest[0]))

    return re.sub(r"\{\{(.*?)\}\}", replace, text)


def pages() -> dict[Path, str]:
    """The page and README.md as they should be."""
    runs = yaml.safe_load((HERE / "runs.yaml").read_text())
    files = {name: HERE / "results" / f"{name}.json" for name in runs}
    results = {name: json.loads(file.read_text()) for name, file in files.items() if file.is_file()}
    clothes = {name: result for name, result in results.items() if runs[name]["group"] == "fashion-mnist"}
    real = next(iter(clothes.values()))
    perfect = (number(metric(real, name)) for name in ("the same of two halves", "coverage of other real images"))
    summary = (
        f"{table(clothes, SUMMARY_COLUMNS.split(', '))}\n| other real images | | | | | {' | '.join(perfect)} | |\n"
    )
    readme = ROOT / "README.md"
    return {
        DOCS / "benchmarks.md": render((HERE / "benchmarks.md").read_text(), runs, results),
        readme: SUMMARY.sub(lambda _: summary, readme.read_text()),
    }


def main() -> None:
    """Writes both."""
    for file, text in pages().items():
        file.write_text(text)


if __name__ == "__main__":
    main()
