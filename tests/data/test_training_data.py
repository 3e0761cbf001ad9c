# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""What a run tells about its data, from the command line."""

import json
from pathlib import Path

import pytest
from data_folders import encode, picture, write
from PIL import Image
from training_runs import make_recipe, run

from gan_diffusion.training import train


def test_a_run_tells_which_images_it_trains_on(tmp_path, capsys):
    root = write(
        tmp_path / "My pets [1]", [f"{kind}/{number}.png" for kind in ("2", "10", "train") for number in range(4)]
    )
    (root / "2" / "broken.jpg").write_bytes(encode(picture(1, (64, 64)), "JPEG")[:900])
    (root / "._x.png").write_bytes(b"x")
    recipe, output_dir = make_recipe("ddgan", tmp_path / "ddgan"), tmp_path / "run"
    options = ["--train_data_dir", f"{root}/", "--class_conditional", "--report_to", "none", "--max_train_steps", "1"]

    def start(folder: Path, *more: str) -> None:
        train("ddgan", ["--recipe", str(recipe), "--output_dir", str(folder), *options, *more])

    with pytest.raises(ValueError, match="1 unreadable images: 2/broken.jpg"):
        start(output_dir)
    with pytest.raises(ValueError, match="`output_dir` must lie outside"):
        start(root / "run")
    assert not (root / "run").exists()
    options += ["--on_bad_image", "skip"]
    start(output_dir, "--preview", "4")
    assert "Nothing was trained" in capsys.readouterr().out
    assert Image.open(output_dir / "preview.png").size == (16, 16)
    assert not (output_dir / "model_index.json").exists()

    trained = run(recipe, output_dir, *options)
    assert trained.returncode == 0, trained.stderr
    for fact in ("folder My pets [1], 12 samples", "3 classes: 2 (4), 10 (4), train (4)", "2/broken.jpg", "12x8"):
        assert fact in trained.stdout
    report = json.loads((output_dir / "data.json").read_text())
    assert len(report["used"]) == 12 and sum(map(len, report["left_out"].values())) == 2
    assert str(tmp_path) not in (output_dir / "data.json").read_text()
    shown = json.loads((output_dir / "training-images.json").read_text())["images"]
    listed = json.loads((output_dir / "preview.json").read_text())["images"]
    assert len(shown) == 12 and shown[:4] == listed and {image["class"] for image in shown} == {"2", "10", "train"}
    assert "Checking images" not in trained.stderr  # The check of the preview still holds.
