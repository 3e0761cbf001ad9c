# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The training loop of all methods. It knows clocks, devices and files; the objective knows the maths."""

import gc
import math
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from diffusers import DiffusionPipeline
from diffusers.training_utils import EMAModel
from diffusers.utils import logging
from tqdm.auto import tqdm

from ..data.batch import Batch
from ..data.loader import EndlessBatches
from .accelerator import describe, device_name
from .arguments import LOCAL_OPTIONS, TrainingArguments
from .checkpoints import CheckpointNotSavedError, clean_checkpoints, load_checkpoint, resume, save_checkpoint
from .finite import describe_not_finite
from .objectives.base import HalfStep, Objective
from .players import PlayerState
from .safe_point import SafePoint
from .schedules import ema_decay
from .seeding import seed_half_step
from .signals import stop_request
from .snapshots import averaged_weights, draw_samples, save_samples
from .state import AverageState, OptimizerState, TrainingState, data_identity, plain_configs


logger = logging.get_logger(__name__)


class Trainer:
    """
    Runs the half-steps of an objective, over and over.

    There is one counter, the step. Learning rates, moving average, position in the data and random numbers follow from
    it, so a run that goes on from a checkpoint is one that starts at its step. Beside the steps there are checkpoints,
    grids of samples from a fixed seed, and losses for a tracker.

    A loss or gradient that is not finite ends the run before the update. After any error in the middle of a run the
    last good state is saved, which may lie between two half-steps.

    Args:
        objective ([`~training.objectives.Objective`]): The networks and their losses.
        pipeline ([`DiffusionPipeline`]): Samples from the objective's generator; it is what the run produces.
        data ([`~data.EndlessBatches`]): Batches.
        arguments ([`TrainingArguments`]): Options.
        accelerator (`Accelerator`): Processes, device and tracker.

    Attributes:
        on_start (`Callable[[int], None]`, *optional*): Called in the main process with the number of the first step.
        on_average (`list[tuple[int, Callable[[], None]]]`):
            Each is called in all processes every so many steps, while the generator holds the averaged weights in
            evaluation mode; never with 0 steps.
    """

    on_start: Callable[[int], None] | None = None

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
        self.players = {
            name: PlayerState(player, self.objective.networks, optimization, accelerator)
            for name, player in objective.players.items()
        }
        self.ema = None
        if optimization.ema_decay > 0 or optimization.ema_kimg is not None:
            self.ema = EMAModel(self.networks["generator"].parameters(), foreach=True)
        self.safe_point = SafePoint(objective, self.networks)
        self.state = TrainingState(
            self._parts(),
            plain_configs({**self.networks, "scheduler": pipeline.scheduler}),
            arguments.settings(free=False),
            data.samples_per_step,
            data_identity(data.dataset),
        )
        self.on_average: list[tuple[int, Callable[[], None]]] = []
        self.saved = (0, 0)
        self.stop: list[str] = []
        self._stop_agreed = False
        self._updating = False

    def _place_networks(self) -> None:
        """Networks to the device, in training mode, and into their distributed wrappers."""
        if self.arguments.run.gradient_checkpointing:
            self.networks["generator"].enable_gradient_checkpointing()
        for name, network in self.networks.items():
            network.train()
            network.to(self.accelerator.device)
            if self._makes_images:
                network.to(memory_format=torch.channels_last)
            # Where nothing learns, as in a moving average, there is nothing to distribute.
            learns = any(parameter.requires_grad for parameter in network.parameters())
            self.objective.networks[name] = self.accelerator.prepare_model(network, evaluation_mode=not learns)

    def _parts(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        parts: dict[str, Any] = {f"network.{name}": network for name, network in self.networks.items()}
        parts |= {f"optimizer.{name}": OptimizerState(player.optimizer) for name, player in self.players.items()}
        parts["objective"] = self.safe_point
        if self.ema is not None:
            self.ema.to(self.accelerator.device)
            parts["ema"] = AverageState(self.ema)
        if self.accelerator.scaler is not None:
            parts["scaler"] = self.accelerator.scaler
        return parts

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
        Trains to the end, or until one of the signals that ask for one, upon which a checkpoint is saved.

        Returns:
            `bool`: whether the training is complete. The generator then holds the averaged weights.

        Raises:
            ValueError: If a checkpoint does not fit or cannot be read.
            FloatingPointError: If a loss, a gradient or a weight is not finite any more.
        """
        try:
            self._say(describe(self.accelerator))
            self._resume()
            if self.on_start is not None and self.accelerator.is_main_process:
                self.on_start(self.state.step)
            if self.accelerator.log_with:
                settings = {n: v for n, v in self.arguments.settings().items() if n not in LOCAL_OPTIONS}
                plain = {name: value for name, value in settings.items() if isinstance(value, (int, float, str, bool))}
                self.accelerator.init_trackers("gan_diffusion", config=plain)
            with stop_request() as self.stop:
                try:
                    self._run()
                except Exception as error:
                    self._rescue(error)
                    raise
        finally:
            self._leave_processes()
        if self.state.step < self.max_steps:
            self._say(
                f"Stopped at step {self.state.step} of {self.max_steps} by {', '.join(self.stop) or 'another process'}. Run "
                f"the same command to go on from checkpoint-{self.state.step}."
            )
            return False
        generator = self.networks["generator"]
        if self.ema is not None:
            self.ema.copy_to(generator.parameters())
        generator.eval()
        for name, value in generator.state_dict().items():
            if not value.isfinite().all():
                raise FloatingPointError(
                    f"generator.{name} is not finite at the end of the training. It is not exported."
                )
        return True

    def _say(self, line: str) -> None:
        if self.accelerator.is_main_process:
            logger.warning("%s", line)

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
        run, found, notes = self.arguments.run, None, []
        if self.accelerator.is_main_process:
            clean_checkpoints(run.output_dir)
            found, notes = resume(self.state, run.output_dir, run.resume_from_checkpoint, run.change_on_resume)
        (found,) = broadcast_object_list([found])
        if found is not None and not self.accelerator.is_main_process:
            load_checkpoint(self.state, found, run.change_on_resume)
        self.safe_point.take()
        self.saved = (self.state.step, self.state.half_steps)
        for note in notes:
            self._say(note)

    def _run(self) -> None:
        state, run = self.state, self.arguments.run
        hidden = not self.accelerator.is_local_main_process
        with (
            closing(self.data.steps(state.images_seen)) as steps,
            tqdm(total=self.max_steps, initial=state.step, unit="step", disable=hidden) as progress,
        ):
            while state.step < self.max_steps and not self._should_stop():
                start = time.perf_counter()
                logs = self._step(next(steps))
                progress.update()
                state.seconds += time.perf_counter() - start
                if state.step % run.logging_steps == 0:
                    self._log(logs, progress)
                if run.validation_steps and state.step % run.validation_steps == 0:
                    self._save_samples()
                for steps_between, act in self.on_average:
                    if steps_between and state.step % steps_between == 0:
                        with averaged_weights(self.networks["generator"], self.ema):
                            act()
                if state.step % run.checkpointing_steps == 0:
                    self._save_checkpoint()
        if self.saved != (state.step, state.half_steps):
            self._save_checkpoint()

    def _should_stop(self) -> bool:
        """Whether to stop here. Several processes agree on it in each half-step."""
        return bool(self.stop) if self.accelerator.num_processes == 1 else self._stop_agreed

    def _rescue(self, error: Exception) -> None:
        """Saves the last good state after an error, and says what was saved. The main process alone does so."""
        if "timed out" in str(error).lower() and self.accelerator.num_processes > 1:
            seconds = self.arguments.run.distributed_timeout
            logger.error("A process did not answer within `--distributed_timeout` %d seconds.", seconds)
        if not self.accelerator.is_main_process or isinstance(error, CheckpointNotSavedError):
            pass
        elif self._updating:
            logger.error(
                "The error came in the middle of an update, so nothing is saved. Older checkpoints are whole."
            )
        elif self.saved == (self.state.step, self.state.half_steps):
            logger.error("Nothing is lost: the last good state, step %d, is already saved.", self.state.step)
        else:
            try:
                self.safe_point.restore()
                done = f"step {self.state.step}, and {self.state.half_steps} half-steps of the next one"
                path = save_checkpoint(
                    self.state, self.arguments.run.output_dir, self.arguments.run.checkpoints_total_limit
                )
                logger.error("The last good state (%s) is saved in %s.", done, path)
            except Exception as second:  # The first error is what the user has to know.
                logger.error("The last good state could not be saved: %s", second)
        if isinstance(error, FloatingPointError):  # It ends all processes here, and the main one is to end last.
            self.accelerator.wait_for_everyone()

    def _step(self, batches: list[Batch]) -> dict[str, torch.Tensor | float]:
        """One training step, or the rest of one: every half-step that is due, on all batches of the step."""
        state, half_steps = self.state, self.objective.half_steps
        for player in self.players.values():
            player.set_learning_rate(state.step, self.max_steps)
        batches = [batch.to(self.accelerator.device) for batch in batches]
        logs: dict[str, torch.Tensor | float] = {}
        for number, half in enumerate(half_steps):
            if number < state.half_steps or not half.is_due(state.step):
                continue
            self._seed(number)
            logs |= self._half_step(half, batches)
            state.half_steps = number + 1
            self.players[half.player].check_skipped()
        if self.ema is not None and state.half_steps <= len(half_steps):
            self._updating = True
            self._update_ema(self.ema)
            self._updating = False
        state.half_steps = len(half_steps) + 1
        self._seed(len(half_steps))
        logs |= self.objective.finish_step(state.step)
        state.step, state.half_steps = state.step + 1, 0
        self.safe_point.take()
        return logs

    def _half_step(self, half: HalfStep, batches: list[Batch]) -> dict[str, torch.Tensor | float]:
        """Gradients of the loss, and the update of the player if they are finite."""
        player, terms = self.players[half.player], half.terms_due(self.state.step)
        logs: dict[str, torch.Tensor | float] = {}
        losses = []
        for number, batch in enumerate(batches, start=1):
            with ExitStack() as stack:
                if number < len(batches):
                    for network in player.networks.values():
                        stack.enter_context(self.accelerator.no_sync(network))
                output = half.loss(batch, **terms)
                self.accelerator.backward(output.loss / len(batches))
            losses.append(output.loss.detach())
            logs |= output.logs
        values = torch.stack([value.float() for value in (player.clip(), *losses)])
        finite = self._agree_that_finite(values)
        player.skipped = 0 if finite else player.skipped + 1
        if not finite and self.accelerator.scaler is None:
            text = describe_not_finite(half, player, logs, batches, bool(values[1:].isfinite().all()))
            raise FloatingPointError(f"Not finite in step {self.state.step + 1}, before its update. {text}")
        self.safe_point.take()
        self._updating = True
        player.update()
        self._updating = False
        return logs

    def _agree_that_finite(self, values: torch.Tensor) -> bool:
        """Whether the values of all processes are finite. In the same message the processes agree on when to stop."""
        bad = (~values.isfinite().all()).float()
        if self.accelerator.num_processes > 1:
            flags = torch.stack([bad, torch.full_like(bad, len(self.stop))])
            torch.distributed.all_reduce(flags)
            bad, stop = flags.tolist()
            self._stop_agreed = stop > 0
        return not bad

    def _seed(self, half_step: int) -> None:
        seed, accelerator = self.arguments.optimization.seed, self.accelerator
        seed_half_step(seed, accelerator.process_index, self.state.step, half_step, accelerator.device)

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
        return {
            "training steps": self.state.step,
            "real images seen": self.state.images_seen,
            "training time (minutes, without sampling and saving)": round(self.state.seconds / 60, 1),
            "training speed (images per second)": self.images_per_second,
            "trained on": f"{self.accelerator.num_processes} x {device_name(self.accelerator)}",
            "seed": self.arguments.optimization.seed,
        }

    def _save_checkpoint(self) -> None:
        run = self.arguments.run
        if self.accelerator.is_main_process:
            save_checkpoint(self.state, run.output_dir, run.checkpoints_total_limit)
        self.saved = (self.state.step, self.state.half_steps)
        self.accelerator.wait_for_everyone()

    def _save_samples(self) -> None:
        """A grid of samples from the averaged weights."""
        if not self.accelerator.is_main_process or not self._makes_images:
            return
        run = self.arguments.run
        with averaged_weights(self.networks["generator"], self.ema):
            images = draw_samples(self.pipeline, run.num_validation_images, self.arguments.optimization.seed)
        save_samples(images, Path(run.output_dir) / "samples", self.state.step, self.accelerator)
