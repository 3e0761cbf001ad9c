# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
Writes the measured numbers into docs/benchmarks.md and the summary of README.md. No number is typed by hand.

    python benchmarks/evidence/report.py

The text of the page is benchmarks/evidence/benchmarks.md. In it, `{{table GROUP}}` becomes a table of all measurements
of runs.yaml with this group, `{{grid NAME}}` the samples of one, `{{value NAME METRIC}}` one of its measurements,
`{{fact NAME FACT}}` one of its training's facts, and `{{plot NAME}}` a drawing of this script. Images per second are
those of results/speed.json.
"""

import json
import math
import re
import shutil
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from matplotlib.figure import Figure


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
SPEED = json.loads((HERE / "results" / "speed.json").read_text())
FACTS["images/s"] = lambda result: number(SPEED["images per second"][result["name"]])
# The beginning of a metric's name, by the heading of its column.
METRICS = {
    "Frechet distance": "Frechet distance",
    "KID x 1000": "kernel distance",
    "precision": "precision (",
    "recall": "recall (",
    "coverage": "coverage (",
    "distance to the nearest": "distance to the nearest",
    "copies": "share of copies",
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


def draw_trilemma(results: dict[str, dict[str, Any]]) -> Figure:
    """Distance and coverage of the models of Fashion-MNIST against their speed."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    axes = figure.subplots(1, 2)
    for position, result in enumerate(results.values()):
        speed = SPEED["images per second"][result["name"]]
        for axis, column in zip(axes, ("Frechet distance", "coverage"), strict=True):
            label = f"{result['label']}, {cell(result, 'evaluations')} evaluations".replace(", 1 evaluations", "")
            axis.scatter(speed, metric(result, METRICS[column]), 70, marker=MARKERS[position], label=label)
            axis.set(xscale="log", xlabel="images per second", ylabel=column)
    # Not before all points are drawn: it ends the automatic scale.
    axes[0].set(ylim=0, title="lower is better")
    axes[1].set(ylim=0, title="higher is better")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", fontsize="small", frameon=False)
    return figure


def draw_curves(results: dict[str, dict[str, Any]], metrics: dict[str, str]) -> Figure:
    """Two metrics during training against the images seen; `metrics` holds the label of each axis by name."""
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    axes = figure.subplots(1, 2)
    for axis, (name, label) in zip(axes, metrics.items(), strict=True):
        for result in results.values():
            if curve := result.get("curve"):  # The first runs did not keep theirs.
                seen = [each["images_seen"] / 1e6 for each in curve]
                axis.plot(seen, [each["metrics"][name] for each in curve], marker=".", label=result["label"])
        axis.set(xlabel="images seen (millions)", ylabel=label)
        if name == "frechet_distance":  # It falls by a factor of thirty.
            axis.set_yscale("log")
            axis.minorticks_off()
            axis.set_yticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
        else:
            axis.set_ylim(0)
    axes[1].legend(frameon=False, fontsize="small")
    return figure


# Drawings: what they show, the group that they are of, and their function.
PLOTS: dict[str, tuple[str, str, Callable[[dict[str, dict[str, Any]]], Figure]]] = {
    "trilemma": ("Distance and coverage against images per second", "fashion-mnist", draw_trilemma),
    "curves": (
        "Distance and coverage against images seen",
        "fashion-mnist",
        partial(
            draw_curves,
            metrics={"frechet_distance": "Frechet distance of 2000 samples", "coverage": "coverage of 2000 samples"},
        ),
    ),
    "modes": (
        "Modes and divergence against images seen",
        "stackedmnist",
        partial(
            draw_curves,
            metrics={"modes": "modes of 1000 in 5000 samples", "reverse_kl": "reverse KL of 5000 samples"},
        ),
    ),
}
MARKERS = "os^Dv*XPp<>hd"


def render(text: str, results: dict[str, dict[str, Any]]) -> str:
    """The text with tables, pictures and numbers in their places."""

    def replace(match: re.Match) -> str:
        kind, name, *rest = match[1].split(" ", 2)
        if kind == "table":
            return table(read_results(name), TABLES[name].split(", "))
        if kind == "grid":
            shutil.copy(HERE / "results" / f"{name}.png", DOCS / f"benchmark-{name}.png")
            return f"![Left: samples. Right: training images.](benchmark-{name}.png)"
        if kind == "plot":
            return f"![{PLOTS[name][0]}](benchmark-{name}.png)"
        if kind == "fact":
            return str(results[name]["training"][rest[0]])
        return number(metric(results[name], rest[0]))

    return re.sub(r"\{\{(.*?)\}\}", replace, text)


def read_results(group: str | None = None) -> dict[str, dict[str, Any]]:
    """The measurements by name, in the order of runs.yaml; those of a group, or all."""
    runs = yaml.safe_load((HERE / "runs.yaml").read_text())
    files = {name: HERE / "results" / f"{name}.json" for name in runs if group in (None, runs[name]["group"])}
    return {name: json.loads(file.read_text()) for name, file in files.items() if file.is_file()}


def pages() -> dict[Path, str]:
    """The page and README.md as they should be."""
    clothes = read_results("fashion-mnist")
    real = next(iter(clothes.values()))
    perfect = (number(metric(real, name)) for name in ("the same of two halves", "coverage of other real images"))
    summary = (
        f"{table(clothes, SUMMARY_COLUMNS.split(', '))}\n| other real images | | | | | {' | '.join(perfect)} | |\n"
    )
    readme = ROOT / "README.md"
    return {
        DOCS / "benchmarks.md": render((HERE / "benchmarks.md").read_text(), read_results()),
        readme: SUMMARY.sub(lambda _: summary, readme.read_text()),
    }


def main() -> None:
    """Writes both, and draws."""
    for name, (_, group, draw) in PLOTS.items():
        draw(read_results(group)).savefig(DOCS / f"benchmark-{name}.png", dpi=90)
    for file, text in pages().items():
        file.write_text(text)


if __name__ == "__main__":
    main()
