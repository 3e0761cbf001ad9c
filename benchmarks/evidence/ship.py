# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
Puts the model of a finished run into the package, with 16-bit weights and its card.

    python benchmarks/evidence/ship.py NAME

NAME is an entry of benchmarks/evidence/runs.yaml that has been run by benchmarks/evidence/run.py. The model takes the
place and the name of its recipe's.
"""

import argparse
import json
import shutil
from pathlib import Path

from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file

from gan_diffusion.storage.checksums import write_checksums


HERE = Path(__file__).parent
TARGET = HERE.parents[1] / "src" / "gan_diffusion" / "pipelines" / "weights"
# Of each data set: its name, and who made it under which licence.
DATA = {"fashion-mnist": ("Fashion-MNIST", "Fashion-MNIST by Zalando Research, MIT licence")}


def main() -> None:
    """Ships one model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    name = parser.parse_args().name
    result = json.loads((HERE / "results" / f"{name}.json").read_text())
    folder = TARGET / result["recipe"]
    data, origin = DATA[result["data"]]
    run = Path("runs/evidence") / name / ("best" if result.get("measure") == "best" else "")
    shutil.rmtree(folder, ignore_errors=True)
    for part in ("generator", "scheduler"):
        shutil.copytree(run / part, folder / part)
    shutil.copy(run / "model_index.json", folder)
    pipeline = json.loads((folder / "model_index.json").read_text())["_class_name"]
    weights = folder / "generator" / "diffusion_pytorch_model.safetensors"
    # No training goes on from here, so there is nothing to lose by rounding.
    save_file(
        {key: value.half() if value.is_floating_point() else value for key, value in load_file(weights).items()},
        weights,
        {"format": "pt"},
    )
    write_checksums(folder)
    card = ModelCard.load(run / "README.md")
    card.data.license = "apache-2.0"
    for measured in card.data.eval_results:
        measured.dataset_name = data
    changes = {
        "images of its author's own": f"images of {data}",
        "samples of its author's own": data,
        "- Licence of the data: not known to this card": f"- The data: {origin}",
        f"import {pipeline}\n": f"import {pipeline}\nfrom gan_diffusion.pipelines import shipped_model\n",
        '"path/or/hub-name"': f'shipped_model("{folder.name}")',
        " The options of this run are in `training.yaml`: a copy of this repository is a recipe too.": "",
        "Whoever publishes the weights states their licence, which depends on the training data.": "So are these weights.",
    }
    for old, new in changes.items():
        if old not in card.text:
            raise ValueError(f"`{run / 'README.md'}` must hold {old!r}, which has another form here.")
        card.text = card.text.replace(old, new)
    card.data.model_name = card.data.model_name.replace("samples of its author's own", data)
    card.save(folder / "README.md")
    shutil.copy(run / "evaluation" / "samples.png", folder / "samples.png")


if __name__ == "__main__":
    main()
