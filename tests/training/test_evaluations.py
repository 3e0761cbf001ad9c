# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""Evaluations in the middle of a training: numbers, the best model, and no effect on what is learned."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from training_runs import assert_equal_runs, comparable_evaluations, evaluations_of, make_recipe

from gan_diffusion.data.sources import StackedSamples, TensorSamples, load_digits
from gan_diffusion.evaluation import Evaluation, evaluate
from gan_diffusion.metrics.features import load_features
from gan_diffusion.pipelines import load_pipeline
from gan_diffusion.publishing import read_measurements
from gan_diffusion.training import METHODS, train
from gan_diffusion.training.evaluations import Evaluations
from gan_diffusion.training.state import TrainingState


WEIGHTS = "diffusion_pytorch_model.safetensors"
EVERY_2 = ("--evaluation_steps", "2", "--evaluation_features", "mnist", "--evaluation_samples", "20")


pytestmark = pytest.mark.usefixtures("fresh_accelerate")


@pytest.fixture
def go(tmp_path):
    """`go(method, folder, *options)`: trains a few steps on tiny networks."""

    def run(method: str, folder: str, *options: str) -> Path:
        AcceleratorState._reset_state(True)
        recipe = tmp_path / "recipes" / method
        recipe = recipe if recipe.is_dir() else make_recipe(method, recipe)
        argv = ["--recipe", str(recipe), "--output_dir", str(tmp_path / folder), "--report_to", "none"]
        train(method, [*argv, "--validation_steps", "0", "--max_train_samples", "100", *options])
        return tmp_path / folder

    return run


@pytest.mark.parametrize("method", METHODS)
def test_numbers_and_the_best_model_without_effect_on_the_training(go, method, capsys):
    plain = go(method, "plain", "--max_train_steps", "4", "--class_conditional")
    capsys.readouterr()
    folder = go(method, "run", "--max_train_steps", "4", "--class_conditional", *EVERY_2)
    assert_equal_runs(plain, folder)
    entries = evaluations_of(folder)
    assert [(each["step"], each["images_seen"]) for each in entries] == [(2, 32), (4, 64)]
    assert entries[0]["protocol"]["generated images"] == 20 and entries[0]["protocol"]["real images"] == 100
    best = min(entries, key=lambda each: each["metrics"]["frechet_distance"])
    assert read_measurements(folder / "best")["training steps"] == best["step"]
    printed = capsys.readouterr().out
    assert (
        "Evaluations compare 20 samples with all 100 training images, by the features of mnist classifier." in printed
    )
    name = "Frechet distance (mnist classifier, 20 against 100)"
    assert f"Step 2: {name}: {entries[0]['metrics']['frechet_distance']:.5g}, the best so far" in printed
    assert f"Step 4: {name}" in (folder / "run.log").read_text()
    assert f"| {name}, " in (folder / "best" / "README.md").read_text()
    assert "best/" in (folder / ".gitignore").read_text().split()

    # The model that was kept is the one that was measured.
    numbers = torch.randperm(1797, generator=torch.Generator().manual_seed(1024))[:100].sort().values
    pipeline, data = load_pipeline(folder / "best"), load_digits().select(numbers)
    result = evaluate(pipeline, data, load_features("mnist"), num_samples=20, batch_size=16, seed=1024)
    measured = {name: value for name, value in result.values.items() if name != "images_per_second"}
    assert measured == pytest.approx({name: best["metrics"][name] for name in measured}, rel=1e-5, abs=1e-7)


def test_a_run_that_goes_on_or_back_has_the_evaluations_of_an_uninterrupted_one(go):
    options = ("--lr_scheduler", "constant", *EVERY_2)
    whole = go("ddgan", "whole", "--max_train_steps", "6", *options)
    parts = go("ddgan", "parts", "--max_train_steps", "3", *options)
    go("ddgan", "parts", "--max_train_steps", "6", *options)
    assert comparable_evaluations(whole) == comparable_evaluations(parts) and [
        each[0] for each in comparable_evaluations(whole)
    ] == [2, 4, 6]
    assert_equal_runs(whole, parts)
    weights = [load_file(folder / "best" / "generator" / WEIGHTS) for folder in (whole, parts)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    # Back to step 3: the evaluations beyond are made again.
    go("ddgan", "parts", "--max_train_steps", "4", "--resume_from_checkpoint", "checkpoint-3", *options)
    assert comparable_evaluations(parts) == comparable_evaluations(whole)[:2]


@pytest.fixture
def make(tmp_path):
    """`make(data, **options)`: evaluations in a folder, without a training."""

    def make_evaluations(data=None, features: str = "mnist", **options) -> Evaluations:
        run = {"evaluation_steps": 2, "evaluation_features": features, "evaluation_feature_weights": None,
               "evaluation_samples": 20, "best_metric": "frechet_distance", "output_dir": str(tmp_path)}  # fmt: skip
        optimization = SimpleNamespace(train_batch_size=10, seed=0)
        arguments = SimpleNamespace(run=SimpleNamespace(**{**run, **options}), optimization=optimization)
        return Evaluations(arguments, data or load_digits(), Accelerator())

    return make_evaluations


def stacked_digits() -> StackedSamples:
    digits = load_digits()
    return StackedSamples(digits.select(torch.arange(40)), 3, seed=0)


def state_at(step: int) -> TrainingState:
    return TrainingState({}, samples_per_step=10, step=step)


def result_of(
    value: float, metric: str = "frechet_distance", name: str = "distance (20 against 100)", data: str = "a"
) -> Evaluation:
    return Evaluation({metric: value}, {metric: name}, {"identity of the real data": data}, [], torch.zeros(0))


def saved_best(folder: Path, step: int) -> None:
    (folder / "best").mkdir(exist_ok=True)
    (folder / "best" / "measurements.json").write_text(json.dumps({"training steps": step}))


@pytest.mark.parametrize(
    "metric, values",
    [
        ("frechet_distance", (5.0, 6.0, 4.0, 4.0)),
        ("reverse_kl", (0.5, 0.6, 0.4, 0.4)),
        ("coverage", (0.5, 0.4, 0.6, 0.6)),
    ],
)
def test_the_best_is_the_least_distance_or_the_greatest_share(make, metric, values, capsys, monkeypatch):
    evaluations, logged = make(best_metric=metric), []
    monkeypatch.setattr(evaluations.accelerator, "log", lambda numbers, step: logged.append((numbers, step)))
    kept = [evaluations.record(result_of(value, metric), state_at(n)) for n, value in enumerate(values)]
    assert kept == [True, False, True, False]
    assert logged == [({f"evaluation/{metric}": value}, step) for step, value in enumerate(values)]
    assert f"The best so far is {values[2]:.5g} at step 2." in capsys.readouterr().out


def test_a_new_start_knows_the_best_of_the_run_up_to_its_step(make, tmp_path, capsys):
    first = make()
    for step, value in ((10, 5.0), (20, 3.0), (30, 4.0)):
        if first.record(result_of(value), state_at(step)):
            saved_best(tmp_path, step)
    later = make()
    later.start(25)
    assert [each["step"] for each in evaluations_of(tmp_path)] == [10, 20]
    assert not later.record(result_of(4.0), state_at(30)) and later.record(result_of(2.0), state_at(40))
    saved_best(tmp_path, 40)
    # Back before the best: its model is of a future that this start does not have.
    earlier = make()
    capsys.readouterr()
    earlier.start(15)
    assert "is of step 40, beyond the one at which this start begins" in capsys.readouterr().out
    assert earlier.record(result_of(9.0), state_at(20))
    # Numbers of another protocol are not compared.
    assert earlier.record(result_of(99.0, name="distance (30 against 100)"), state_at(30))
    assert earlier.record(result_of(999.0, name="distance (30 against 100)", data="b"), state_at(40))


def test_numbers_of_a_network_without_the_metric_are_not_compared(make, tmp_path):
    make().record(result_of(3.0), state_at(10))
    saved_best(tmp_path, 10)
    later = make(best_metric="reverse_kl", features="stacked-mnist", data=stacked_digits())
    later.start(10)
    assert later.record(result_of(0.5, "reverse_kl"), state_at(20))
    assert not later.record(result_of(0.6, "reverse_kl"), state_at(30))


@pytest.mark.parametrize("damage", ["{", "{}", "[3]", '[{"step": 1}]', '[{"step": "1", "metrics": {}, "names": {}}]'])
def test_a_damaged_list_is_refused_before_the_training(make, tmp_path, damage):
    (tmp_path / "evaluations.json").write_text(damage)
    with pytest.raises(ValueError, match="evaluations.json` must be the list that this run has written"):
        make()


@pytest.mark.parametrize(
    "data, options, message",
    [
        (TensorSamples(torch.zeros(20, 2)), {}, "`evaluation_steps` must be 0 for vectors, got 2"),
        (
            TensorSamples(torch.zeros(20, 3, 8, 8)),
            {},
            r"`features` 'mnist classifier' must be given images of 1 channel",
        ),
        (TensorSamples(torch.zeros(20, 1, 64, 64)), {}, "at most 32x32 pixels, got 64x64"),
        (None, {"features": "stacked-mnist"}, r"must be given images of 3 channel\(s\), got 1"),
        (TensorSamples(torch.zeros(9, 1, 8, 8)), {}, "`evaluation_steps` must be 0 for less than 10 images, got 9"),
        (None, {"features": "inception"}, "`feature_weights` must name the file of Inception's weights, got none"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_the_training(make, data, options, message):
    with pytest.raises(ValueError, match=message):
        make(data, **options)


@pytest.mark.parametrize(
    "options, message",
    [
        (["--evaluation_steps", "2"], "`--evaluation_features` must name a network for `--evaluation_steps`"),
        (["--evaluation_features", "vgg"], "`--evaluation_features` must be one of"),
        (["--evaluation_samples", "9"], "`--evaluation_samples` must be at least 10, got 9"),
        (
            ["--evaluation_features", "mnist", "--best_metric", "reverse_kl"],
            "`--evaluation_features` must be 'stacked-mnist' for `--best_metric reverse_kl`, got 'mnist'",
        ),
        (["--best_metric", "fid"], "invalid choice: 'fid' (choose from 'frechet_distance'"),
    ],
)
def test_wrong_options_end_in_one_line(go, capsys, options, message):
    with pytest.raises(SystemExit):
        go("ddgan", "run", *options)
    assert message in capsys.readouterr().err.strip().splitlines()[-1]


def test_samples_that_are_not_finite_end_the_run_and_lose_nothing(make):
    class Broken:
        sample_shape, num_timesteps, device = (1, 8, 8), 1, torch.device("cpu")
        generator = SimpleNamespace(config={})

        def set_progress_bar_config(self, disable):
            pass

        def __call__(self, count, generator, output_type):
            return SimpleNamespace(images=torch.full((count, 1, 8, 8), float("nan")))

    evaluations = make(TensorSamples(torch.rand(20, 1, 8, 8)))
    with pytest.raises(ValueError, match="`samples` must be finite, got 640 values that are not"):
        evaluations.measure(Broken())


def test_a_fixed_random_part_of_many_images_is_compared_and_said(make, monkeypatch, capsys):
    from gan_diffusion.training import evaluations as module

    sys_path = str(Path(__file__).parents[1] / "pipelines")
    monkeypatch.syspath_prepend(sys_path)
    from tiny_pipelines import make_spi_gan

    monkeypatch.setattr(module, "_REAL_IMAGES", 50)
    evaluations = make()
    first, second = (evaluations.measure(make_spi_gan()) for _ in range(2))
    assert first.protocol["real images"] == 50 and first.protocol["images of the real data"] == 1797
    assert first.values["frechet_distance"] == second.values["frechet_distance"]
    printed = capsys.readouterr().out
    assert printed.count("with always the same 50, drawn at random, of the 1,797 training images") == 1


def test_stacked_digits_are_measured_by_their_modes(make, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "pipelines"))
    from tiny_pipelines import make_spi_gan

    evaluations = make(best_metric="reverse_kl", features="stacked-mnist", data=stacked_digits())
    result = evaluations.measure(make_spi_gan(out_channels=3))
    assert 1 <= result.values["modes"] <= 20 and result.values["reverse_kl"] > 3.9  # ln 50: 20 samples are 20 modes.
    assert evaluations.record(result, state_at(2))
