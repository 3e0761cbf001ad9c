# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The training loop of all methods. It knows clocks, devices and files; the objective knows the maths."""

import gc
import math
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from diffusers import DiffusionPipeline
from diffusers.training_utils import EMAModel
from diffusers.utils import logging
from torch import nn
from tqdm.auto import tqdm

from ..data.batch import Batch
from ..data.loader import EndlessBatches
from .arguments import OptimizationArguments, TrainingArguments
from .objectives.base import Objective, Player
from .schedules import cosine_factor, ema_decay, lazy_adam
from .snapshots import draw_samples, save_samples
from .state import TrainingState, list_checkpoints, load_checkpoint, save_checkpoint


logger = logging.get_logger(__name__)


@dataclass
class _PlayerState:
    """A player with its optimiser, and its learning rate at the beginning."""

    networks: dict[str, nn.Module]
    optimizer: Any
    learning_rate: float


@contextmanager
def _stop_request() -> Iterator[list[str]]:
    """Collects SIGINT and SIGTERM by name, so that a run can finish its step. A second signal is not held back."""
    received: list[str] = []

    def handle(number, frame):
        received.append(signal.Signals(number).name)
        signal.signal(number, previous[number])

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class Trainer:
    """
    Runs the half-steps of an objective, over and over.

    There is one counter, the step. Learning rates, moving average, position in the data and random numbers follow from
    it, so a run that goes on from a checkpoint is one that starts at its step. Beside the steps there are checkpoints,
    grids of samples from a fixed seed, and losses for a tracker.

    Args:
        objective ([`~training.objectives.Objective`]): The networks and their losses.
        pipeline ([`DiffusionPipeline`]): Samples from the objective's generator; it is what the run produces.
        data ([`~data.EndlessBatches`]): Batches.
        arguments ([`TrainingArguments`]): Options.
        accelerator (`Accelerator`): Processes, device and tracker.

    Attributes:
        on_start (`Callable[[int], None]`, *optional*): Called in the main process with the number of the first step.
        on_save_model (`Callable[[int], None]`, *optional*):
            Called in the main process every `save_model_steps` steps, while the generator holds the averaged weights.
    """

    on_start: Callable[[int], None] | None = None
    on_save_model: Callable[[int], None] | None = None

    def __init__(
        self,
        objective: Objective,
        pipeline: DiffusionPipeline,
        data: EndlessBatches,
        arguments: TrainingArguments,
        accelerator: Accelerator,
    ):
        self.objective = objective
        self.pipeline = pipeline
        self.data = data
        self.arguments = arguments
        self.accelerator = accelerator
        self.networks: dict[str, Any] = dict(objective.networks)

        optimization = arguments.optimization
        self._place_networks()
        self.players = {name: self._player(player) for name, player in objective.players.items()}
        self.ema = None
        if optimization.ema_decay > 0 or optimization.ema_kimg is not None:
            self.ema = EMAModel(self.networks["generator"].parameters(), foreach=True)
        self.state = TrainingState(
            self._parts(), self._configs(), arguments.settings(free=False), data.samples_per_step
        )

    def _place_networks(self) -> None:
        """Networks to the device, in training mode, and into their distributed wrappers."""
        if self.arguments.run.gradient_checkpointing:
            self.networks["generator"].enable_gradient_checkpointing()
        for name, network in self.networks.items():
            network.train()
            network.to(self.accelerator.device)
            if self._makes_images:
                network.to(memory_format=torch.channels_last)
            self.objective.networks[name] = self.accelerator.prepare(network)

    def _player(self, player: Player) -> _PlayerState:
        options: OptimizationArguments = self.arguments.optimization
        networks = {name: self.objective.networks[name] for name in player.networks}
        rate = options.learning_rate_g if player.learning_rate == "generator" else options.learning_rate_d
        rate, betas = lazy_adam(rate, (options.adam_beta1, options.adam_beta2), player.lazy_interval)
        parameters = [parameter for name in player.networks for parameter in self.networks[name].parameters()]
        optimizer = torch.optim.Adam(parameters, rate, betas, options.adam_epsilon, fused=True)
        return _PlayerState(networks, self.accelerator.prepare(optimizer), rate)

    def _parts(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        parts: dict[str, Any] = {f"network.{name}": network for name, network in self.networks.items()}
        parts |= {f"optimizer.{name}": player.optimizer for name, player in self.players.items()}
        parts["objective"] = self.objective
        if self.ema is not None:
            self.ema.to(self.accelerator.device)
            parts["ema"] = self.ema
        if self.accelerator.scaler is not None:
            parts["scaler"] = self.accelerator.scaler
        return parts

    def _configs(self) -> dict[str, dict]:
        """The configs of networks and scheduler, without what diffusers adds."""
        owners = {**self.networks, "scheduler": self.pipeline.scheduler}
        return {
            name: {key: _plain(value) for key, value in owner.config.items() if not key.startswith("_")}
            for name, owner in owners.items()
            if hasattr(owner, "config")
        }

    @property
    def max_steps(self) -> int:
        """Steps in all. Epochs are counted in images, and rounded up to whole steps."""
        options = self.arguments.optimization
        if options.max_train_steps is not None:
            return options.max_train_steps
        step, images = self.state.origin
        asked = options.num_train_epochs * len(self.data.dataset)
        return step + math.ceil((asked - images) / self.data.samples_per_step)

    @property
    def _makes_images(self) -> bool:
        return len(self.networks["generator"].sample_shape) == 3

    def train(self) -> bool:
        """
        Trains to the end, or until SIGINT or SIGTERM, upon which a checkpoint is saved.

        Returns:
            `bool`: whether the training is complete. The generator then holds the averaged weights.

        Raises:
            ValueError: If a checkpoint does not fit or cannot be read.
            FloatingPointError: If a loss is not finite any more.
        """
        try:
            self._resume()
            if self.on_start is not None and self.accelerator.is_main_process:
                self.on_start(self.state.step)
            if self.accelerator.log_with:
                settings = self.arguments.settings()
                plain = {name: value for name, value in settings.items() if isinstance(value, (int, float, str, bool))}
                self.accelerator.init_trackers("gan_diffusion", config=plain)
            with _stop_request() as stop:
                self._run(stop)
        finally:
            self._leave_processes()
        if self.state.step < self.max_steps:
            logger.warning("Stopped at step %d of %d. Run the same command to go on.", self.state.step, self.max_steps)
            return False
        generator = self.networks["generator"]
        if self.ema is not None:
            self.ema.copy_to(generator.parameters())
        generator.eval()
        return True

    def _leave_processes(self) -> None:
        """
        Ends the trackers and the process group, with its threads.

        The group ends when nothing refers to it any more, which the distributed wrappers do. A thread of it that is
        left may abort the process when the interpreter closes, and a finished training would be reported as failed.
        """
        self.objective.networks.update(self.networks)
        for player in self.players.values():
            player.networks = {name: self.networks[name] for name in player.networks}
        self.accelerator.free_memory()
        gc.collect()
        self.accelerator.end_training()

    def _resume(self) -> None:
        wanted = self.arguments.run.resume_from_checkpoint
        if wanted == "no":
            return
        if wanted == "latest":
            checkpoints = list_checkpoints(self.arguments.run.output_dir)
            if not checkpoints:
                return
            wanted = checkpoints[-1]
        changes = load_checkpoint(self.state, wanted, self.arguments.run.change_on_resume)
        if self.ema is not None:
            self.ema.to(self.accelerator.device)
        if self.accelerator.is_main_process:
            logger.warning("Going on from %s.", wanted)
            for change in changes:
                logger.warning("%s.", change)

    def _run(self, stop: list[str]) -> None:
        state, run = self.state, self.arguments.run
        saved_step = state.step
        hidden = not self.accelerator.is_local_main_process
        with (
            closing(self.data.steps(state.images_seen)) as steps,
            tqdm(total=self.max_steps, initial=state.step, unit="step", disable=hidden) as progress,
        ):
            while state.step < self.max_steps and not self._should_stop(stop):
                start = time.perf_counter()
                logs = self._step(next(steps))
                state.step += 1
                progress.update()
                state.seconds += time.perf_counter() - start
                if state.step % run.logging_steps == 0:
                    self._log(logs, progress)
                if run.validation_steps and state.step % run.validation_steps == 0:
                    self._save_samples()
                if run.save_model_steps and state.step % run.save_model_steps == 0:
                    self._save_model()
                if state.step % run.checkpointing_steps == 0:
                    self._save_checkpoint()
                    saved_step = state.step
        if saved_step != state.step:
            self._save_checkpoint()

    def _should_stop(self, stop: list[str]) -> bool:
        """Whether to stop here. All processes must agree, which costs a little, so they only ask now and then."""
        if self.accelerator.num_processes == 1:
            return bool(stop)
        if self.state.step % self.arguments.run.logging_steps:
            return False
        if stop:
            self.accelerator.set_trigger()
        return self.accelerator.check_trigger()

    def _step(self, batches: list[Batch]) -> dict[str, torch.Tensor | float]:
        """One training step: every half-step that is due, on all batches of the step."""
        step = self.state.step
        self._seed_step()
        self._set_learning_rates()
        batches = [batch.to(self.accelerator.device) for batch in batches]
        logs: dict[str, torch.Tensor | float] = {}
        for half in self.objective.half_steps:
            if not half.is_due(step):
                continue
            player, terms = self.players[half.player], half.terms_due(step)
            for number, batch in enumerate(batches, start=1):
                with ExitStack() as stack:
                    if number < len(batches):
                        for network in player.networks.values():
                            stack.enter_context(self.accelerator.no_sync(network))
                    output = half.loss(batch, **terms)
                    self.accelerator.backward(output.loss / len(batches))
                logs |= output.logs
            self._update(player)
        if self.ema is not None:
            self._update_ema(self.ema)
        return logs | self.objective.finish_step(step)

    def _seed_step(self) -> None:
        """Makes what is drawn in this step a function of seed, process and step."""
        numbers = [self.arguments.optimization.seed, self.accelerator.process_index, self.state.step]
        seeds = np.random.SeedSequence(numbers).generate_state(3)
        random.seed(int(seeds[0]))
        np.random.seed(seeds[1])
        # Not `torch.manual_seed`, which takes a third of a millisecond for devices that are not there.
        torch.default_generator.manual_seed(int(seeds[2]))
        if self.accelerator.device.type != "cpu":
            torch.get_device_module(self.accelerator.device).manual_seed(int(seeds[2]))

    def _set_learning_rates(self) -> None:
        options = self.arguments.optimization
        if options.lr_scheduler == "constant":
            return
        for player in self.players.values():
            floor = min(options.lr_eta_min / player.learning_rate, 1.0) if player.learning_rate else 1.0
            for group in player.optimizer.param_groups:
                group["lr"] = player.learning_rate * cosine_factor(self.state.step, self.max_steps, floor)

    def _update(self, player: _PlayerState) -> None:
        max_norm = self.arguments.optimization.max_grad_norm
        if max_norm is not None:
            parameters = [p for network in player.networks.values() for p in network.parameters()]
            self.accelerator.clip_grad_norm_(parameters, max_norm)
        player.optimizer.step()
        player.optimizer.zero_grad(set_to_none=True)

    def _update_ema(self, ema: EMAModel) -> None:
        options, decay = self.arguments.optimization, self.arguments.optimization.ema_decay
        if options.ema_kimg is not None:
            decay = ema_decay(
                self.state.samples_per_step, self.state.images_seen, options.ema_kimg, options.ema_rampup
            )
        # Both bounds: diffusers' own warm-up is not part of any of the methods.
        ema.decay = ema.min_decay = decay
        ema.step(self.networks["generator"].parameters())

    def _log(self, logs: dict[str, torch.Tensor | float], progress: tqdm) -> None:
        values = {name: float(value) for name, value in logs.items()}
        if not all(math.isfinite(value) for value in values.values()):
            raise FloatingPointError(
                f"A loss is not finite at step {self.state.step}: {values}. Lower the learning rates or raise `--r1_gamma`, "
                "and go on from a checkpoint before that step."
            )
        shown = {name: f"{value:.3f}" for name, value in values.items()}
        progress.set_postfix(shown | {"images/s": self.images_per_second})
        for name, player in self.players.items():
            values[f"lr_{name}"] = player.optimizer.param_groups[0]["lr"]
        values["images_per_second"] = self.images_per_second
        self.accelerator.log(values, step=self.state.step)

    @property
    def images_per_second(self) -> int:
        """Mean training speed, without sampling and saving."""
        return round(self.state.images_seen / max(self.state.seconds, 1e-9))

    def measurements(self) -> dict[str, str | int | float]:
        """What the run cost, for the model card."""
        device = self.accelerator.device
        name = (
            torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
        )
        return {
            "training steps": self.state.step,
            "real images seen": self.state.images_seen,
            "training time (minutes, without sampling and saving)": round(self.state.seconds / 60, 1),
            "training speed (images per second)": self.images_per_second,
            "trained on": f"{self.accelerator.num_processes} x {name}",
            "seed": self.arguments.optimization.seed,
        }

    def _save_checkpoint(self) -> None:
        run = self.arguments.run
        save_checkpoint(self.state, run.output_dir, self.accelerator, run.checkpoints_total_limit)

    def _save_model(self) -> None:
        if self.on_save_model is not None and self.accelerator.is_main_process:
            with self._averaged_weights():
                self.on_save_model(self.state.step)

    def _save_samples(self) -> None:
        """A grid of samples from the averaged weights."""
        if not self.accelerator.is_main_process or not self._makes_images:
            return
        run = self.arguments.run
        with self._averaged_weights():
            images = draw_samples(self.pipeline, run.num_validation_images, self.arguments.optimization.seed)
        save_samples(images, Path(run.output_dir) / "samples", self.state.step, self.accelerator)

    @contextmanager
    def _averaged_weights(self) -> Iterator[None]:
        """Puts the moving average into the generator for a while."""
        parameters = list(self.networks["generator"].parameters())
        if self.ema is None:
            yield
            return
        self.ema.store(parameters)
        self.ema.copy_to(parameters)
        try:
            yield
        finally:
            self.ema.restore(parameters)


def _plain(value: Any) -> Any:
    """A config value as it comes back from a checkpoint: tuples as lists."""
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
