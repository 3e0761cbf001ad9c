# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
Writes docs/benchmarks.md from benchmarks/evidence/benchmarks.md and the measured numbers. No number is typed by hand.

    python benchmarks/evidence/report.py

In the text, `{{table GROUP}}` becomes a table of all measurements of runs.yaml with this group, `{{grid NAME}}` the
samples of one, and `{{value NAME METRIC}}` one of its numbers.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import yaml


HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs"
# Heading of a column, and the beginning of a metric's name.
METRICS = {
    "Frechet distance": "Frechet distance",
    "KID x 1000": "kernel distance",
    "precision": "precision (",
    "recall": "recall (",
    "coverage": "coverage (",
    "copies": "share of copies",
    "images/s": "images per second",
}


def metric(result: dict[str, Any], name: str) -> float:
    """A number of a result by the beginning of its name."""
    (value,) = [value for label, value in result["metrics"].items() if label.startswith(name)]
    return value


def number(value: float) -> str:
    """Three digits."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(results: dict[str, dict[str, Any]]) -> str:
    """One row for each result."""
    head = ["model", "evaluations", "weights (millions)", "images seen (millions)", "minutes", *METRICS]
    rows = [head, ["---"] * len(head)]
    for result in results.values():
        protocol, training = result["protocol"], result["training"]
        facts = [
            result["label"],
            str(protocol["network evaluations per image"]),
            " + ".join(number(count / 1e6) for count in result["weights"].values()),
            number(training["real images seen"] / 1e6),
            number(training["training time (minutes, without sampling and saving)"]),
        ]
        rows.append(facts + [number(metric(result, name)) for name in METRICS.values()])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def render(text: str, runs: dict[str, dict[str, Any]], results: dict[str, dict[str, Any]]) -> str:
    """The text with tables, pictures and numbers in their places."""

    def replace(match: re.Match) -> str:
        kind, name, *rest = match[1].split(" ", 2)
        if kind == "table":
            return table({key: result for key, result in results.items() if runs[key]["group"] == name})
        if kind == "grid":
            shutil.copy(HERE / "results" / f"{name}.png", DOCS / f"benchmark-{name}.png")
            return f"![Left: samples. Right: training images.](benchmark-{name}.png)"
        return number(metric(results[name], rest[0]))

    return re.sub(r"\{\{(.*?)\}\}", replace, text)


def main() -> None:
    """Writes the page."""
    runs = yaml.safe_load((HERE / "runs.yaml").read_text())
    files = {name: HERE / "results" / f"{name}.json" for name in runs}
    results = {name: json.loads(file.read_text()) for name, file in files.items() if file.is_file()}
    (DOCS / "benchmarks.md").write_text(render((HERE / "benchmarks.md").read_text(), runs, results))


if __name__ == "__main__":
    main()
