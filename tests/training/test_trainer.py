# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""The loop in this process: epochs, learning rates, accumulation, precision, and objectives from outside."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import nn
from training_runs import METHODS, last_state, make_recipe

from gan_diffusion import registry
from gan_diffusion.training import METHODS as TRAINING
from gan_diffusion.training import (
    DDGANObjective,
    HalfStep,
    Objective,
    Player,
    StepOutput,
    Trainer,
    TrainingArguments,
    TrainingRun,
    make_accelerator,
    parse_arguments,
)
from gan_diffusion.training.checkpoints import list_checkpoints


pytestmark = pytest.mark.usefixtures("fresh_accelerate")


@pytest.fixture
def start(tmp_path):
    """`start(method, *options)`: a prepared run on tiny networks, without samples and trackers."""

    def prepare(method: str, *options: str) -> TrainingRun:
        recipe = make_recipe(method, tmp_path / "recipes" / method)
        fixed = ["--recipe", str(recipe), "--output_dir", str(tmp_path / "run"), "--report_to", "none"]
        argv = [*fixed, "--validation_steps", "0", *options]
        return TrainingRun.prepare(parse_arguments(TRAINING[method].arguments, argv=argv))

    return prepare


def trainer(run: TrainingRun, method: str, objective: Objective | None = None) -> Trainer:
    entry = TRAINING[method]
    pipeline = registry.load_class(entry.pipeline)(run.generator, run.scheduler)
    return Trainer(objective or entry.objective(run), pipeline, run.data, run.arguments, run.accelerator)


def write_images(folder, count: int) -> None:
    from PIL import Image

    folder.mkdir()
    for number in range(count):
        Image.new("L", (8, 8), 20 * number).save(folder / f"{number}.png")


@pytest.mark.parametrize(
    ("batch_size", "accumulation", "epochs", "steps"),
    # 10 epochs of 12 images are 120 images: exactly, or rounded up to whole steps.
    [(12, 4, 10, 3), (4, 2, 10, 15), (5, 1, 10, 24), (16, 1, 10, 8), (100, 1, 1, 1)],
)
def test_the_epochs_asked_for_are_the_epochs_run(start, tmp_path, batch_size, accumulation, epochs, steps):
    write_images(tmp_path / "images", 12)
    run = start(
        "ddgan", "--train_data_dir", str(tmp_path / "images"), "--train_batch_size", str(batch_size),
        "--gradient_accumulation_steps", str(accumulation), "--num_train_epochs", str(epochs), "--lr_eta_min", "1e-6",
    )  # fmt: skip
    training = trainer(run, "ddgan")
    rates = []
    step = training._step

    def watched(batches):
        logs = step(batches)
        rates.append(training.players["generator"].optimizer.param_groups[0]["lr"])
        return logs

    training._step = watched
    assert training.train()
    images = training.state.images_seen
    assert len(rates) == training.max_steps == steps
    assert 12 * epochs <= images < 12 * epochs + training.data.samples_per_step
    # The cosine falls from the whole rate to its end, and does not come back.
    assert rates[0] == pytest.approx(1.6e-4) and rates == sorted(rates, reverse=True)
    expected = 1e-6 + (1.6e-4 - 1e-6) * (1 + math.cos(math.pi * (steps - 1) / steps)) / 2
    assert rates[-1] == pytest.approx(expected)


def test_the_epochs_asked_for_are_run_also_after_a_change_of_the_batch_size(start, tmp_path):
    write_images(tmp_path / "images", 12)
    options = ("--train_data_dir", str(tmp_path / "images"), "--lr_scheduler", "constant", "--num_train_epochs")
    assert trainer(start("ddgan", *options, "1", "--train_batch_size", "4"), "ddgan").train()
    change = ("--train_batch_size", "6", "--change_on_resume", "train_batch_size")
    training = trainer(start("ddgan", *options, "3", *change), "ddgan")
    assert training.train()
    assert training.state.step == 3 + 4 and training.state.images_seen == 36


def test_a_resolution_is_refused_for_vectors(tmp_path):
    argv = ["--recipe", "ddgan-gaussians-25", "--output_dir", str(tmp_path), "--resolution", "8"]
    with pytest.raises(ValueError, match="`resolution` must not be given for vectors"):
        TrainingRun.prepare(parse_arguments(TRAINING["ddgan"].arguments, argv=argv))


class Regression(Objective):
    """An objective without random numbers: both networks learn the mean of the samples."""

    @property
    def half_steps(self):
        return (
            HalfStep("discriminator", "discriminator", lambda batch: self.loss("discriminator", batch)),
            HalfStep("generator", "generator", lambda batch: self.loss("generator", batch)),
        )

    def loss(self, name: str, batch) -> StepOutput:
        weight = next(self.networks[name].parameters()).flatten()[:1]
        # The generator's target moves with the discriminator, so the order of the half-steps shows.
        shift = 0 if name == "discriminator" else next(self.discriminator.parameters()).detach().flatten()[0]
        loss = (weight - batch.samples.flatten(1).mean(1) - shift).square().mean()
        return StepOutput(loss, {})


def test_accumulated_batches_equal_one_large_batch(start, tmp_path):
    results = []
    for batch_size, accumulation in ((8, 1), (4, 2), (1, 8)):
        run = start(
            "ddgan", "--train_batch_size", str(batch_size), "--gradient_accumulation_steps", str(accumulation),
            "--max_train_steps", "4", "--ema_decay", "0", "--output_dir", str(tmp_path / str(batch_size)),
        )  # fmt: skip
        training = trainer(run, "ddgan", Regression(run.generator, run.discriminator, run.scheduler))
        before = [next(network.parameters()).detach().clone() for network in training.networks.values()]
        assert training.train()
        after = [next(network.parameters()).detach().clone() for network in training.networks.values()]
        assert all(not torch.equal(*pair) for pair in zip(before, after, strict=True))
        results.append(after)
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)


class WithCritic(DDGANObjective):
    """DDGAN and a third network with a loss of its own, as somebody outside the package would write it."""

    def __init__(self, *networks, **options):
        super().__init__(*networks, **options)
        self.networks["critic"] = nn.Linear(64, 1)
        self.players["critic"] = Player(("critic",), learning_rate="generator")
        self.judged = 0

    @property
    def half_steps(self):
        return (*super().half_steps, HalfStep("critic", "critic", self.critic_loss, every=2))

    def critic_loss(self, batch) -> StepOutput:
        self.judged += len(batch)
        noisy = batch.samples + torch.randn_like(batch.samples)
        loss = F.mse_loss(self.networks["critic"](noisy.flatten(1)), batch.samples.flatten(1).mean(1, keepdim=True))
        return StepOutput(loss, {"loss_critic": loss.detach()})

    def state_dict(self):
        return {"judged": self.judged}

    def load_state_dict(self, state):
        self.judged = state["judged"]


def test_an_objective_from_outside_brings_a_third_network(start, tmp_path):
    def run_to(step: int, folder: str) -> Trainer:
        torch.manual_seed(0)
        run = start(
            "ddgan",
            "--output_dir",
            str(tmp_path / folder),
            "--max_train_steps",
            str(step),
            "--lr_scheduler",
            "constant",
        )
        objective = WithCritic(
            run.generator, run.discriminator, run.scheduler, latent_dim=run.generator.config.latent_dim
        )
        training = trainer(run, "ddgan", objective)
        before = training.networks["critic"].weight.detach().clone()
        assert training.train()
        assert not torch.equal(before, training.networks["critic"].weight)
        return training

    whole = run_to(6, "whole")
    state = last_state(tmp_path / "whole")
    assert {"network.critic", "optimizer.critic"} <= state["parts"].keys()
    assert whole.objective.judged == state["parts"]["objective"]["judged"] == 3 * 16  # steps 0, 2 and 4

    run_to(3, "parts")
    resumed = run_to(6, "parts")
    for name, network in whole.networks.items():
        for key, value in network.state_dict().items():
            assert torch.equal(value, resumed.networks[name].state_dict()[key]), f"{name}.{key}"
    # A checkpoint with the third network is not one of the objective without it.
    with pytest.raises(ValueError, match="another set of network.critic, optimizer.critic"):
        plain = start("ddgan", "--output_dir", str(tmp_path / "whole"), "--lr_scheduler", "constant")
        trainer(plain, "ddgan").train()


class Failure(Exception):
    """Of whatever kind."""


def poisoned(kind: str, value: torch.Tensor) -> torch.Tensor:
    """A loss whose value or gradient is not finite, or that is not computed at all."""
    if kind == "error":
        raise Failure
    if kind == "gradient":  # d sqrt(x) / dx at 0, times 0
        return value + 0 * (value - value.detach()).sqrt()
    return value * float(kind)


def failing_at(objective: Objective, step: int, name: str, kind: str) -> Objective:
    """The objective, with a failure in a half-step of step number `step`, after it has changed what it changes."""
    half_steps = type(objective).half_steps.fget
    seen = {"step": -1}

    def wrap(number: int, half: HalfStep) -> HalfStep:
        def loss(batch, **terms):
            output = half.loss(batch, **terms)
            if seen["step"] == step and half.name == name:
                output.loss = poisoned(kind, output.loss)
            return output

        return replace(half, loss=loss)

    class Failing(type(objective)):
        @property
        def half_steps(self):
            seen["step"] = self.trainer.state.step if hasattr(self, "trainer") else -1
            return tuple(wrap(number, half) for number, half in enumerate(half_steps(self)))

    objective.__class__ = Failing
    return objective


@pytest.mark.parametrize(
    ("method", "name", "kind"),
    [
        ("ddgan", "discriminator", "nan"),
        ("ddgan", "generator", "error"),
        ("diffusion-gan", "discriminator", "inf"),
        ("diffusion-gan", "gradient_penalty", "error"),
        ("diffusion-gan", "generator", "gradient"),
        ("diffusion-gan", "path_lengths", "nan"),
        ("spi-gan", "gradient_penalty", "gradient"),
        ("spi-gan", "generator", "nan"),
    ],
)
def test_an_error_in_the_middle_of_a_step_loses_nothing(start, tmp_path, method, name, kind, caplog):
    options = ("--max_train_steps", "4", "--checkpointing_steps", "100", "--logging_steps", "1000")
    assert trainer(start(method, *options, "--output_dir", str(tmp_path / "whole")), method).train()
    parts = ("--output_dir", str(tmp_path / "parts"))
    run = start(method, *options, *parts)
    objective = failing_at(TRAINING[method].objective(run), 2, name, kind)
    training = trainer(run, method, objective)
    objective.trainer = training
    with pytest.raises(Failure if kind == "error" else FloatingPointError) as error:
        training.train()
    saved = last_state(tmp_path / "parts")
    names = [half.name for half in objective.half_steps]
    assert saved["step"] == 2 and saved["half_steps"] <= names.index(name)
    assert "last good state (step 2" in caplog.text
    if kind != "error":
        player = "generator" if name in ("generator", "path_lengths") else "discriminator"
        text = str(error.value)
        assert "step 3" in text and f"{name!r} of {player}" in text and f"`--learning_rate_{player[0]}`" in text
        assert ("but not its gradient" in text) == (kind == "gradient")
    assert trainer(start(method, *options, *parts), method).train()
    whole, resumed = (last_state(tmp_path / folder) for folder in ("whole", "parts"))
    assert_equal(whole["parts"], resumed["parts"])


def assert_equal(one, two) -> None:
    if isinstance(one, dict):
        assert one.keys() == two.keys()
        for key in one:
            assert_equal(one[key], two[key])
    elif isinstance(one, list | tuple):
        for pair in zip(one, two, strict=True):
            assert_equal(*pair)
    else:
        assert torch.equal(one, two) if isinstance(one, torch.Tensor) else one == two


@pytest.mark.parametrize("place", ["log", "samples", "data", "last"])
def test_an_error_between_steps_loses_nothing(start, tmp_path, monkeypatch, place):
    run = start("ddgan", "--max_train_steps", "4", "--checkpointing_steps", "100", "--logging_steps", "2")
    training = trainer(run, "ddgan")

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    if place == "log":
        monkeypatch.setattr(training, "_log", fail)
    elif place == "samples":
        training.arguments.run.validation_steps = 2
        monkeypatch.setattr(training, "_save_samples", fail)
    elif place == "data":
        steps = itertools.islice(run.data.steps(), 2)
        monkeypatch.setattr(
            run.data,
            "steps",
            lambda first: (step if n < 2 else fail() for n, step in enumerate(itertools.chain(steps, [None]))),
        )
    else:
        training.arguments.run.checkpointing_steps = 2
        monkeypatch.setattr(training, "_log", lambda logs, progress: fail() if training.state.step == 4 else None)
    with pytest.raises(OSError, match="No space left"):
        training.train()
    assert last_state(tmp_path / "run")["step"] == (4 if place == "last" else 2)


@pytest.mark.parametrize("where", ["update", "average"])
def test_nothing_is_saved_after_an_error_in_an_update(start, tmp_path, monkeypatch, caplog, where):
    training = trainer(start("ddgan", "--max_train_steps", "4", "--checkpointing_steps", "1"), "ddgan")

    def fail(*arguments):
        if training.state.step == 2:
            raise torch.OutOfMemoryError
        return original(*arguments)

    if where == "update":
        original = training.players["generator"].update
        monkeypatch.setattr(training.players["generator"], "update", fail)
    else:
        original = training._update_ema
        monkeypatch.setattr(training, "_update_ema", fail)
    with pytest.raises(torch.OutOfMemoryError):
        training.train()
    assert [path.name for path in list_checkpoints(tmp_path / "run")] == ["checkpoint-1", "checkpoint-2"]
    assert last_state(tmp_path / "run")["half_steps"] == 0 and "middle of an update" in caplog.text


def test_an_average_that_is_not_finite_is_not_exported(start):
    training = trainer(start("ddgan", "--max_train_steps", "1"), "ddgan")
    training._rescue = lambda error: None
    training._save_checkpoint = lambda: training.ema.shadow_params[0].fill_(math.nan)
    with pytest.raises(FloatingPointError, match="generator.* is not finite at the end"):
        training.train()


def with_half_precision(arguments: TrainingArguments) -> Accelerator:
    """accelerate offers fp16 on GPUs alone; torch has it on the CPU too."""
    accelerator = make_accelerator(arguments)
    accelerator.state._mixed_precision = "fp16"
    accelerator.native_amp = True
    accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    return accelerator


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_in_half_precision_with_its_penalties(start, monkeypatch, method, precision):
    options = ["--mixed_precision", "bf16"]
    if precision == "fp16":
        monkeypatch.setattr("gan_diffusion.training.run.make_accelerator", with_half_precision)
        options = []
    run = start(method, "--max_train_steps", "4", "--logging_steps", "1", *options)
    assert run.accelerator.mixed_precision == precision
    training = trainer(run, method)
    before = {name: [p.detach().clone() for p in network.parameters()] for name, network in training.networks.items()}
    logged: dict[str, float] = {}
    monkeypatch.setattr(training.accelerator, "log", lambda values, step: logged.update(values))
    dtypes = set()
    for module in list(training.networks["discriminator"].modules())[1:]:
        module.register_forward_hook(lambda module, inputs, output: dtypes.add(getattr(output, "dtype", None)))
    assert training.train()
    assert (torch.bfloat16 if precision == "bf16" else torch.float16) in dtypes
    assert {"loss_d" if "relativistic" in METHODS[method][1] else "loss_d_real", "loss_g", "r1"} <= logged.keys()
    assert method != "diffusion-gan" or "path_length_penalty" in logged
    for name, network in training.networks.items():
        parameters = list(network.parameters())
        assert all(p.dtype == torch.float32 and p.isfinite().all() for p in parameters)
        assert any(not torch.equal(*pair) for pair in zip(before[name], parameters, strict=True))


def test_what_a_step_draws_follows_from_seed_and_step_alone(start):
    run = start("ddgan", "--max_train_steps", "3")
    training = trainer(run, "ddgan")
    drawn = []
    training.objective.finish_step = lambda step: drawn.append(torch.rand(()).item()) or {}
    batches = next(run.data.steps())
    for step in (0, 1, 0):
        training.state.step = step
        torch.manual_seed(len(drawn))
        training._step(batches)
    assert drawn[0] == drawn[2] != drawn[1]


def test_a_scaler_that_skips_every_update_ends_the_run(start, monkeypatch):
    monkeypatch.setattr("gan_diffusion.training.run.make_accelerator", with_half_precision)
    monkeypatch.setattr("gan_diffusion.training.players.MAX_SKIPPED_UPDATES", 3)
    run = start("ddgan", "--max_train_steps", "9")
    training = trainer(run, "ddgan")
    training.objective.generator_loss = lambda batch: StepOutput(
        math.inf * next(training.networks["generator"].parameters()).sum(), {}
    )
    with pytest.raises(FloatingPointError, match="skipped 3 updates of generator in a row.*--mixed_precision bf16"):
        training.train()
    assert training.state.step == 2


def test_trackers_get_nothing_of_the_machine(start, tmp_path, monkeypatch):
    run = start("ddgan", "--max_train_steps", "1")
    training = trainer(run, "ddgan")
    given = {}
    monkeypatch.setattr(training.accelerator, "log_with", ["tensorboard"])
    monkeypatch.setattr(training.accelerator, "init_trackers", lambda name, config: given.update(config))
    assert training.train()
    assert given["train_batch_size"] == 16 and not [value for value in given.values() if str(tmp_path) in str(value)]
