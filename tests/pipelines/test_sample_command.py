# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""The command `sample`: images of a saved pipeline in a folder, or one clear message and no folder."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_pipelines import MAKERS, make_spi_gan, make_vectors, seeded

from gan_diffusion import SPIGANPipeline
from gan_diffusion.cli import main
from gan_diffusion.pipelines import load_pipeline


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Path]:
    """A saved pipeline of each method, and one with classes: "bag, small" is 0, "7" is 1, "shoe" is 2."""
    folder = tmp_path_factory.mktemp("models")
    pipelines = {method: make() for method, make in MAKERS.items()}
    unnamed = make_spi_gan(num_class_embeds=3)
    names = {0: "bag, small", 1: "7", 2: "shoe"}
    pipelines["classes"] = SPIGANPipeline(unnamed.generator, unnamed.scheduler, id2label=names)
    pipelines["vectors"] = make_vectors("ddgan")
    for name, pipeline in pipelines.items():
        pipeline.save_pretrained(folder / name)
    return {name: folder / name for name in pipelines}


@pytest.fixture
def sample(models, tmp_path, capsys):
    """`sample(model, *options)`: the images by file name, and what was printed."""

    def run(model: str, *options: str | int | Path, output: str = "out") -> tuple[dict[str, np.ndarray], str]:
        main(["sample", str(models[model]), "--output_dir", str(tmp_path / output), *map(str, options)])
        files = sorted((tmp_path / output).iterdir())
        return {file.name: np.asarray(Image.open(file)) for file in files}, capsys.readouterr().out

    return run


def numbered(images: dict[str, np.ndarray]) -> list:
    return [image.tolist() for name, image in images.items() if name != "samples.png"]


@pytest.mark.parametrize("method", MAKERS)
def test_images_are_those_of_the_pipeline_whatever_the_batch_size(sample, models, method):
    images, printed = sample(method, "--num_images", 5, "--batch_size", 2, "--seed", 3)
    assert list(images) == ["00000.png", "00001.png", "00002.png", "00003.png", "00004.png", "samples.png"]
    pipeline = load_pipeline(models[method])
    pipeline.set_progress_bar_config(disable=True)
    for number, image in enumerate(numbered(images)):
        assert np.asarray(pipeline(1, generator=[seeded(3 + number)]).images[0]).tolist() == image
    assert "Wrote 5 images to " in printed and printed.endswith("out/samples.png.\n")
    assert len({str(image) for image in numbered(images)}) == 5
    # Three columns, two rows, and white in the place of the sixth.
    grid = images["samples.png"][..., 0]
    assert grid.shape == (16, 24) and (grid[8:, 16:] == 255).all()
    assert (grid[8:, 8:16] == images["00004.png"]).all()


def test_a_grid_may_be_left_out_and_has_a_largest_size(sample):
    images, printed = sample("diffusion-gan", "--num_images", 65, "--batch_size", 65)
    assert images["samples.png"].shape == (64, 64, 3) and "the first 64 as a grid" in printed and len(images) == 66
    images, printed = sample("diffusion-gan", "--num_images", 2, "--no-grid", output="without")
    assert list(images) == ["00000.png", "00001.png"] and "as a grid" not in printed


def test_names_and_numbers_of_classes_are_taken_in_turn(sample, models):
    images, _ = sample("classes", "--class_labels", "bag, small", "shoe,7,0", "--num_images", 6)
    pipeline = load_pipeline(models["classes"])
    pipeline.set_progress_bar_config(disable=True)
    # The name "7" comes before the number 7.
    labels = [0, 2, 1, 0, 0, 2]
    expected = pipeline(6, class_labels=labels, generator=[seeded(number) for number in range(6)]).images
    assert numbered(images) == [np.asarray(image).tolist() for image in expected]


def test_all_classes_are_drawn_in_turn_where_none_is_named(sample):
    images, printed = sample("classes", "--num_images", 4)
    assert "Classes in turn: bag, small, 7, shoe. Choose with --class_labels." in printed
    named, _ = sample("classes", "--class_labels", "bag, small", "7", "shoe", "--num_images", 4, output="named")
    assert numbered(images) == numbered(named)
    _, printed = sample("classes", "--num_images", 1, output="one")
    assert "Classes in turn: bag, small. Choose" in printed


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("method", MAKERS)
def test_precision_is_that_of_the_option(sample, method, dtype):
    # Many, because the 64 pixels of one image may all be rounded to the same.
    full, _ = sample(method, "--num_images", 32)
    half, _ = sample(method, "--num_images", 32, "--dtype", dtype, output="half")
    difference = np.abs(np.array(numbered(full)) - np.array(numbered(half)))
    assert 0 < difference.max() and difference.mean() < 16


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("ddgan", ["--num_images", "0"], "`--num_images` must be at least 1, got 0."),
        ("ddgan", ["--batch_size", "0"], "`--batch_size` must be at least 1, got 0."),
        ("ddgan", ["--num_inference_steps", "0"], "`--num_inference_steps` must be at least 1, got 0."),
        (
            "ddgan",
            ["--num_inference_steps", "3"],
            "`num_inference_steps` must be 4, the number of steps the generator",
        ),
        ("spi-gan", ["--num_inference_steps", "2"], "`num_inference_steps` must be 1, got 2."),
        ("ddgan", ["--seed", "-1"], "`--seed` must lie in [0, 4294967295], got -1."),
        ("ddgan", ["--dtype", "int8"], "argument --dtype: invalid choice: 'int8'"),
        ("ddgan", ["--device", "toaster"], "`--device` must be a device of this machine, got 'toaster'"),
        ("ddgan", ["--device", "cuda:99"], "`--device` must be a device of this machine, got 'cuda:99'"),
        ("ddgan", ["--device", "meta"], "`--device` must be a device of this machine, got 'meta'"),
        ("ddgan", ["--revision", "main"], "`--revision` must be given with a name on the Hub, got the folder"),
        ("ddgan", ["--variant", "raw"], "raw"),
        ("ddgan", ["--class_labels", "0"], "`class_labels` must be None, since this model is unconditional"),
        ("classes", ["--class_labels", "bag"], "numbers or names out of ['bag, small', '7', 'shoe'], got ['bag']"),
        ("classes", ["--class_labels", "-1"], "`class_labels` must be between 0 and 2, got [-1]."),
        ("classes", ["--class_labels", "0,1,2", "--num_images", "2"], "`--num_images` must be at least 3"),
        ("vectors", [], "for samples of shape (2,), got 'pil'"),
        ("ddgan", ["--fast"], "unrecognized arguments: --fast"),
    ],
)
def test_mistakes_end_in_one_message_and_no_folder(sample, models, tmp_path, capsys, model, options, message):
    with pytest.raises(SystemExit) as end:
        sample(model, *options)
    usage, last = capsys.readouterr().err.strip().splitlines()[-2:]
    assert end.value.code == 2 and usage.startswith("usage: gan-diffusion sample MODEL") and message in last
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["file", "full"])
def test_a_file_or_a_folder_with_files_is_left_alone(sample, models, tmp_path, capsys, name):
    (tmp_path / "full").mkdir()
    for file in (tmp_path / "file", tmp_path / "full" / "00000.png"):
        file.write_text("mine")
    with pytest.raises(SystemExit):
        sample("ddgan", output=name)
    assert "`--output_dir` must be a new or empty folder" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == (tmp_path / "full" / "00000.png").read_text() == "mine"


def test_an_interruption_leaves_no_images(sample, tmp_path, monkeypatch):
    save, saved = Image.Image.save, []

    def stop(image, file):
        saved.append(file)
        if len(saved) == 3:
            raise KeyboardInterrupt
        save(image, file)

    monkeypatch.setattr(Image.Image, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        sample("ddgan", "--num_images", 4)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_model_that_is_not_there_is_named(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["sample", "nowhere"])
    assert "got 'nowhere'. Check the name" in capsys.readouterr().err and not list(tmp_path.iterdir())
