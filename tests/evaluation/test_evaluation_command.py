# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import json
import math
import sys
from pathlib import Path

import forked_scripts
import numpy as np
import pytest
from huggingface_hub import ModelCard
from PIL import Image
from sklearn.datasets import load_digits

from gan_diffusion.evaluation import run_evaluation
from gan_diffusion.evaluation.pictures import SHARES, show_shares
from gan_diffusion.evaluation.toys import measure_digits


sys.path.insert(0, str(Path(__file__).parents[1] / "pipelines"))
from tiny_pipelines import make_spi_gan  # noqa: E402


@pytest.fixture
def pipeline(tmp_path) -> Path:
    make_spi_gan().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def pictures(tmp_path) -> Path:
    folder, random = tmp_path / "pictures", np.random.default_rng(0)
    folder.mkdir()
    for number in range(12):
        Image.fromarray(random.integers(0, 256, (8, 8), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


def test_numbers_and_pictures_of_a_folder_of_images(pipeline, pictures, tmp_path, capsys):
    (pipeline / "README.md").write_text("---\nlicense: mit\n---\n# Tiny\n")
    measured = run_evaluation(
        [str(pipeline), "--train_data_dir", str(pictures), "--features", "mnist", "--num_samples", "16",
         "--batch_size", "8", "--feature_cache_dir", str(tmp_path / "cache")]
    )  # fmt: skip
    written = json.loads((pipeline / "evaluation" / "evaluation.json").read_text())
    assert written["protocol"]["generated images"] == 16 and written["protocol"]["real images"] == 12
    assert any(name.startswith("Frechet distance (mnist classifier, 16 against 12)") for name in measured)
    results = ModelCard.load(pipeline / "README.md").data.eval_results
    assert "frechet_distance_mnist_classifier" in [each.metric_type for each in results]
    assert "| metric | value |" in (pipeline / "evaluation" / "evaluation.md").read_text()
    for name in ("samples.png", "nearest.png", "shares.png"):
        with Image.open(pipeline / "evaluation" / name) as image:
            assert image.width > image.height > 100
    assert str(tmp_path) not in (pipeline / "evaluation" / "evaluation.json").read_text()
    assert "Frechet distance" in capsys.readouterr().out


def test_two_processes_measure_what_one_does(pipeline, tmp_path):
    numbers = []
    for count in (1, 2):
        output = tmp_path / str(count)
        options = ["--dataset_name", "digits", "--features", "mnist", "--num_samples", "30", "--batch_size", "8"]
        options += ["--feature_cache_dir", str(tmp_path / "cache"), "--output_dir", str(output)]
        result = forked_scripts.run_ranks(["-m", "gan_diffusion", "evaluate", str(pipeline), *options], count)
        assert result.returncode == 0, result.stderr
        content = json.loads((output / "evaluation.json").read_text())
        assert content["protocol"]["processes"] == count
        numbers.append(content["metrics"])
        assert numbers[-1].pop("images per second") > 0
    assert numbers[0] == pytest.approx(numbers[1], rel=1e-6)


def test_digits_have_a_classifier_of_their_own(pipeline, tmp_path):
    output = tmp_path / "out"
    measured = run_evaluation(
        [str(pipeline), "--dataset_name", "digits", "--num_samples", "20", "--output_dir", str(output)]
    )
    assert any("recognised with confidence 0.9" in name for name in measured)
    assert json.loads((output / "evaluation.json").read_text()) == measured
    assert (output / "samples.png").is_file()


def test_digits_of_a_class_conditional_pipeline_are_drawn_with_classes(tmp_path):
    make_spi_gan(num_class_embeds=10).save_pretrained(tmp_path / "model")
    measured = run_evaluation([str(tmp_path / "model"), "--dataset_name", "digits", "--num_samples", "20"])
    assert any("recognised with confidence 0.9" in name for name in measured)


def test_copies_of_digits_are_recognised_and_called_copies():
    pixels, labels = load_digits(return_X_y=True)
    real = pixels.reshape(-1, 8, 8, 1) / 16
    # Copies of the digits 0 and 1 are of two classes, and as far from the real ones as copies are.
    measured = measure_digits(real[labels < 2], real)
    recognised, _, classes, shares, spread, distance = measured.values()
    assert float(str(recognised).rstrip("%")) > 90 and classes == "2 of 10" and distance == 0
    assert 0.8 < float(spread) < 1.1
    smallest, largest = (float(share.rstrip("%")) for share in str(shares).split(" and "))
    assert smallest == 0 and largest == pytest.approx(50, abs=3)
    collapsed = np.repeat(real[:10], 3, axis=0)  # One picture for each class.
    assert list(measure_digits(collapsed, real).values())[-2] == pytest.approx(0, abs=1e-6)


def test_images_need_a_network(pipeline, pictures, capsys):
    with pytest.raises(SystemExit):
        run_evaluation([str(pipeline), "--train_data_dir", str(pictures)])
    assert "`--features` must name a network" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options, message",
    [
        (["--num_samples", "0"], "`--num_samples` must be at least 1"),
        (["--features", "vgg"], "`--features` must be one of"),
        (["--no_such_option"], "unrecognized arguments"),
        (["--features", "mnist", "--device", "nothing"], "nothing"),
        (["--train_data_dir", "here"], "`--dataset_name` and `--train_data_dir`"),
        (["--seed", "-1"], "`--seed` must be at least 0, got -1"),
        (["--num_inference_steps", "2"], "`num_inference_steps` must be 1, got 2"),
        (["--features", "inception"], "`feature_weights` must name the file of Inception's weights, got none"),
        (["--features", "inception", "--feature_weights", "no.pth"], "must be a file, got 'no.pth'"),
        (["--features", "mnist", "--num_samples", "9"], "must be at least 10 images, got 9 and 1797"),
    ],
)
def test_wrong_options_end_in_one_line(pipeline, capsys, options, message):
    with pytest.raises(SystemExit):
        run_evaluation([str(pipeline), "--dataset_name", "digits", *options])
    errors = capsys.readouterr().err
    assert "usage: " in errors and "Traceback" not in errors and message in errors.strip().splitlines()[-1]


def test_a_folder_of_mixed_sizes_and_colours_is_measured_at_the_size_of_the_model(pipeline, pictures, capsys):
    for number, size in enumerate([(8, 8), (20, 9), (9, 30)]):
        Image.new("RGB", size, (40 * number, 10, 200)).save(pictures / f"colour-{number}.png")
    run_evaluation(
        [str(pipeline), "--train_data_dir", str(pictures), "--features", "mnist", "--num_samples", "10",
         "--feature_cache_dir", str(pictures.parent / "cache")]
    )  # fmt: skip
    protocol = json.loads((pipeline / "evaluation" / "evaluation.json").read_text())["protocol"]
    assert protocol["sizes of the real data"].startswith("from 8x8 to ") and protocol["size of both"] == "8x8"
    assert protocol["real images"] == 15


def test_a_colour_pipeline_and_a_network_of_grey_images_do_not_fit(tmp_path, pictures, capsys):
    make_spi_gan(out_channels=3).save_pretrained(tmp_path / "colour")
    with pytest.raises(SystemExit):
        run_evaluation([str(tmp_path / "colour"), "--train_data_dir", str(pictures), "--features", "mnist"])
    assert "must be given images of 1 channel(s), got 3" in capsys.readouterr().err.strip().splitlines()[-1]


def test_stacked_digits_are_measured_by_their_modes(tmp_path):
    make_spi_gan(out_channels=3).save_pretrained(tmp_path / "stacked")
    (tmp_path / "stacked" / "README.md").write_text("---\nlicense: mit\n---\n# Tiny\n")
    measured = run_evaluation(
        [str(tmp_path / "stacked"), "--dataset_name", "digits", "--stack_channels", "--features", "stacked-mnist",
         "--max_train_samples", "20", "--num_samples", "20", "--batch_size", "8", "--feature_cache_dir", str(tmp_path / "cache")]
    )  # fmt: skip
    found = {name.partition(",")[0]: value for name, value in measured.items()}
    modes, real = (found[f"modes{of} of 1000 (stacked-mnist classifier"] for of in ("", " of real images"))
    assert 1 <= modes <= 20 and 1 <= real <= 20
    assert (
        found["reverse KL of the modes (stacked-mnist classifier"] >= math.log(50) - 1e-3
    )  # 20 samples are 20 modes.
    card = ModelCard.load(tmp_path / "stacked" / "README.md")
    results = {each.metric_type: each.metric_value for each in card.data.eval_results}
    assert results["modes_stacked_mnist_classifier"] == modes and "reverse_kl_stacked_mnist_classifier" in results


def test_stacked_digits_need_a_network_as_all_colour_images_do(tmp_path, capsys):
    make_spi_gan(out_channels=3).save_pretrained(tmp_path / "stacked")
    with pytest.raises(SystemExit):
        run_evaluation([str(tmp_path / "stacked"), "--dataset_name", "digits", "--stack_channels"])
    assert "`--features` must name a network for images, got none" in capsys.readouterr().err


def test_grey_images_are_not_taken_for_stacked_digits(pipeline, capsys):
    with pytest.raises(SystemExit):
        run_evaluation([str(pipeline), "--dataset_name", "digits", "--features", "stacked-mnist"])
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert "`features` 'stacked-mnist classifier' must be given images of 3 channel(s), got 1" in last


def test_a_class_conditional_pipeline_needs_labels(tmp_path, pictures, capsys):
    make_spi_gan(num_class_embeds=2).save_pretrained(tmp_path / "conditional")
    with pytest.raises(SystemExit):
        run_evaluation([str(tmp_path / "conditional"), "--train_data_dir", str(pictures), "--features", "mnist"])
    assert "`data` must have labels for a class-conditional pipeline" in capsys.readouterr().err


def test_the_picture_of_shares_is_as_high_as_they_are(tmp_path):
    heights = []
    for value in (0.1, 0.9):
        shares = dict.fromkeys((p + name for p in ("", "real_") for name in SHARES), value)
        show_shares(shares, "precision (x, 5 against 5, k = 3)", tmp_path / "shares.png")
        with Image.open(tmp_path / "shares.png") as image:
            pixels = np.asarray(image.convert("RGB")).astype(int)
        heights.append(int((np.abs(pixels - [31, 119, 180]).sum(2) < 30).sum()))
    assert 6 < heights[1] / heights[0] < 12
