# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The training loop of all methods, over accelerate. It knows clocks, devices and files; the objective knows the maths."""

import importlib.util
import json
import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, ProjectConfiguration, set_seed
from diffusers import DiffusionPipeline
from diffusers.training_utils import EMAModel
from diffusers.utils import logging, make_image_grid
from torch.optim.lr_scheduler import LambdaLR
from tqdm.auto import tqdm

from .arguments import TrainingArguments, fixed_options
from .data import TrainingData
from .objectives.base import Objective
from .schedules import cosine_factor, ema_decay, lazy_adam
from .state import TrainingState, list_checkpoints, load_checkpoint, save_checkpoint


logger = logging.get_logger(__name__)


def make_accelerator(arguments: TrainingArguments) -> Accelerator:
    """
    Prepares the output folder, the tracker and the processes.

    Raises:
        ValueError: if the output folder cannot be written, or the tracker is unknown or not installed.
    """
    output_dir = Path(arguments.output_dir)
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        (output_dir / ".writable").touch()
        (output_dir / ".writable").unlink()
    except OSError as error:
        raise ValueError(f"`output_dir` {str(output_dir)!r} cannot be written: {error}.") from error
    tracker = None if arguments.report_to == "none" else arguments.report_to
    if tracker == "tensorboard" and importlib.util.find_spec("tensorboard") is None:
        raise ValueError("`report_to` 'tensorboard' needs the package tensorboard: install it, or give 'none'.")
    if arguments.allow_tf32:
        torch.set_float32_matmul_precision("high")
    return Accelerator(
        gradient_accumulation_steps=arguments.gradient_accumulation_steps,
        mixed_precision=arguments.mixed_precision,
        log_with=tracker,
        project_config=ProjectConfiguration(
            project_dir=str(output_dir), logging_dir=str(output_dir / arguments.logging_dir)
        ),
        # The networks have no buffers that change, and the discriminator runs twice before its backward pass.
        kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
    )


@contextmanager
def _stop_request() -> Iterator[list[str]]:
    """Collects the names of SIGINT and SIGTERM, so that a run can finish its step; a second signal is not held back."""
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
    Trains a generator against a discriminator.

    One optimiser step of each network per batch, and one more for each lazy penalty that is due; moving average of the
    generator, learning rates changed every epoch,
    checkpoints from which the same command goes on exactly, grids of samples from a fixed seed, losses to a tracker.

    Args:
        objective ([`~training.objectives.Objective`]): The networks and their losses.
        pipeline ([`DiffusionPipeline`]): Samples from the objective's generator; it is what the run produces.
        data ([`TrainingData`]): Batches.
        arguments ([`TrainingArguments`]): Options.
        accelerator (`Accelerator`): From [`make_accelerator`].
    """

    def __init__(
        self,
        objective: Objective,
        pipeline: DiffusionPipeline,
        data: TrainingData,
        arguments: TrainingArguments,
        accelerator: Accelerator,
    ):
        self.objective = objective
        self.pipeline = pipeline
        self.data = data
        self.arguments = arguments
        self.accelerator = accelerator
        self.generator, self.discriminator = objective.generator, objective.discriminator

        if arguments.gradient_checkpointing:
            self.generator.enable_gradient_checkpointing()
        for network in (self.generator, self.discriminator):
            network.train()
            network.to(accelerator.device)
        if len(pipeline.sample_shape) == 3:
            for network in (self.generator, self.discriminator):
                network.to(memory_format=torch.channels_last)

        def adam(network, learning_rate, penalty_interval):
            betas = (arguments.adam_beta1, arguments.adam_beta2)
            learning_rate, betas = lazy_adam(learning_rate, betas, penalty_interval)
            return torch.optim.Adam(network.parameters(), learning_rate, betas, arguments.adam_epsilon, fused=True)

        optimizer_g = adam(self.generator, arguments.learning_rate_g, objective.generator_penalty_interval)
        optimizer_d = adam(self.discriminator, arguments.learning_rate_d, objective.discriminator_penalty_interval)
        objective.generator, objective.discriminator, self.optimizer_g, self.optimizer_d = accelerator.prepare(
            self.generator, self.discriminator, optimizer_g, optimizer_d
        )

        self.steps_per_epoch = max(1, data.batches_per_epoch // arguments.gradient_accumulation_steps)
        self.max_steps = arguments.max_train_steps or arguments.num_train_epochs * self.steps_per_epoch
        self.num_epochs = math.ceil(self.max_steps / self.steps_per_epoch)
        self.lr_schedules = []
        if arguments.lr_scheduler == "cosine":
            self.lr_schedules = [self._cosine(optimizer) for optimizer in (optimizer_g, optimizer_d)]

        self.ema = None
        if arguments.ema_decay > 0 or arguments.ema_kimg is not None:
            self.ema = EMAModel(self.generator.parameters(), foreach=True)
            self.ema.to(accelerator.device)

        parts = {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "optimizer_g": self.optimizer_g,
            "optimizer_d": self.optimizer_d,
            "objective": objective,
            **{f"lr_schedule_{name}": schedule for name, schedule in zip("gd", self.lr_schedules, strict=False)},
        }
        if self.ema is not None:
            parts["ema"] = self.ema
        if accelerator.scaler is not None:
            parts["scaler"] = accelerator.scaler
        options = fixed_options(arguments) | {"num_processes": accelerator.num_processes}
        configs = {
            "generator": self.generator.config,
            "discriminator": self.discriminator.config,
            "scheduler": pipeline.scheduler.config,
        }
        description = {
            name: json.dumps({k: v for k, v in config.items() if not k.startswith("_")}, sort_keys=True)
            for name, config in configs.items()
        }
        description.update({name: json.dumps(value) for name, value in options.items()})
        self.state = TrainingState(parts, description)

    def _cosine(self, optimizer: torch.optim.Optimizer) -> LambdaLR:
        """A cosine from the optimiser's rate to `lr_eta_min` over all epochs; in closed form, so a run can be extended."""
        base = optimizer.param_groups[0]["lr"]
        floor = min(self.arguments.lr_eta_min / base, 1.0)
        return LambdaLR(optimizer, lambda epoch: cosine_factor(epoch, self.num_epochs, floor))

    def train(self) -> bool:
        """
        Trains to the end, or until SIGINT or SIGTERM, upon which a checkpoint is saved.

        Returns:
            `bool`: whether the training is complete. The generator then holds the averaged weights.

        Raises:
            ValueError: if a checkpoint does not fit or cannot be read.
            FloatingPointError: if a loss is not finite any more.
        """
        set_seed(self.arguments.seed, device_specific=True)
        self._resume()
        if self.accelerator.log_with:
            config = {k: v for k, v in vars(self.arguments).items() if isinstance(v, (int, float, str, bool))}
            self.accelerator.init_trackers("gan_diffusion", config=config)
        with _stop_request() as stop:
            self._run(stop)
        self.accelerator.end_training()
        if self.state.step < self.max_steps:
            logger.warning("Stopped at step %d of %d. Run the same command to go on.", self.state.step, self.max_steps)
            return False
        if self.ema is not None:
            self.ema.copy_to(self.generator.parameters())
        self.generator.eval()
        return True

    def _resume(self) -> None:
        wanted = self.arguments.resume_from_checkpoint
        if wanted == "no":
            return
        if wanted == "latest":
            checkpoints = list_checkpoints(self.arguments.output_dir)
            if not checkpoints:
                return
            wanted = checkpoints[-1]
        load_checkpoint(self.state, wanted, self.accelerator)
        if self.ema is not None:
            self.ema.to(self.accelerator.device)
        logger.warning("Going on from %s.", wanted)

    def _run(self, stop: list[str]) -> None:
        state, arguments = self.state, self.arguments
        saved_step = state.step
        progress = tqdm(
            total=self.max_steps, initial=state.step, unit="step", disable=not self.accelerator.is_local_main_process
        )
        logs: dict[str, torch.Tensor | float] = {}
        stopping = False
        while state.step < self.max_steps and not stopping:
            start = time.perf_counter()
            for batch in self.data.epoch(state.epoch, first_batch=state.batch):
                logs |= self._step(batch)
                state.batch += 1
                if not self.accelerator.sync_gradients:
                    continue
                state.step += 1
                progress.update()
                if state.step % arguments.logging_steps == 0:
                    self._log(logs, progress)
                state.seconds += time.perf_counter() - start
                if arguments.validation_steps and state.step % arguments.validation_steps == 0:
                    self._save_samples()
                if state.step % arguments.checkpointing_steps == 0:
                    self._save_checkpoint()
                    saved_step = state.step
                stopping = self._should_stop(stop)
                if state.step >= self.max_steps or stopping:
                    break
                start = time.perf_counter()
            else:
                for schedule in self.lr_schedules:
                    schedule.step()
                state.epoch += 1
                state.batch = 0
        if saved_step != state.step:
            self._save_checkpoint()
        progress.close()

    def _should_stop(self, stop: list[str]) -> bool:
        """Whether to stop here. All processes must agree, which costs a little, so they only ask now and then."""
        if self.accelerator.num_processes == 1:
            return bool(stop)
        if self.state.step % self.arguments.logging_steps:
            return False
        if stop:
            self.accelerator.set_trigger()
        return self.accelerator.check_trigger()

    def _step(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor | float]:
        """One step of each network on one batch, and of the penalties that are due."""
        objective, accelerator, step = self.objective, self.accelerator, self.state.step
        samples = batch["images"].to(accelerator.device, non_blocking=True)
        labels = batch["class_labels"].to(accelerator.device) if self.arguments.class_conditional else None
        if samples.ndim == 4:
            samples = samples.contiguous(memory_format=torch.channels_last)
        halves = (
            (self.discriminator, self.optimizer_d, objective.discriminator_step, objective.discriminator_penalty),
            (self.generator, self.optimizer_g, objective.generator_step, objective.generator_penalty),
        )
        logs: dict[str, torch.Tensor | float] = {}
        with accelerator.accumulate(objective.generator, objective.discriminator):
            for network, optimizer, main_loss, penalty in halves:
                output = main_loss(samples, step, class_labels=labels)
                self._update(network, optimizer, output.loss)
                logs |= output.logs
                # Where gradients are accumulated, the last batch stands for all.
                output = penalty(samples, step, class_labels=labels) if accelerator.sync_gradients else None
                if output is not None:
                    self._update(network, optimizer, output.loss * accelerator.gradient_accumulation_steps)
                    logs |= output.logs
            if accelerator.sync_gradients:
                if self.ema is not None:
                    self._update_ema()
                logs |= objective.finish_step()
        return logs

    def _update(self, network: torch.nn.Module, optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
        self.accelerator.backward(loss)
        if self.arguments.max_grad_norm is not None and self.accelerator.sync_gradients:
            self.accelerator.clip_grad_norm_(network.parameters(), self.arguments.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def _update_ema(self) -> None:
        arguments, decay = self.arguments, self.arguments.ema_decay
        if arguments.ema_kimg is not None:
            decay = ema_decay(self._images_per_step, self.images_seen, arguments.ema_kimg, arguments.ema_rampup)
        # Both bounds: diffusers' own warm-up is not part of any of the methods.
        self.ema.decay = self.ema.min_decay = decay
        self.ema.step(self.generator.parameters())

    def _log(self, logs: dict[str, torch.Tensor | float], progress: tqdm) -> None:
        values = {name: float(value) for name, value in logs.items()}
        if not all(math.isfinite(value) for value in values.values()):
            raise FloatingPointError(
                f"A loss is not finite at step {self.state.step}: {values}. The last checkpoint is untouched; lower the "
                "learning rates or raise `--r1_gamma`."
            )
        progress.set_postfix(
            {name: f"{value:.3f}" for name, value in values.items()} | {"images/s": self.images_per_second}
        )
        values["lr_g"] = self.optimizer_g.param_groups[0]["lr"]
        values["lr_d"] = self.optimizer_d.param_groups[0]["lr"]
        values["images_per_second"] = self.images_per_second
        self.accelerator.log(values, step=self.state.step)

    @property
    def images_seen(self) -> int:
        """Real samples used so far, all processes together."""
        return self.state.step * self._images_per_step

    @property
    def _images_per_step(self) -> int:
        arguments = self.arguments
        return arguments.train_batch_size * arguments.gradient_accumulation_steps * self.accelerator.num_processes

    @property
    def images_per_second(self) -> int:
        """Mean training speed, without data loading, sampling and saving."""
        return round(self.images_seen / max(self.state.seconds, 1e-9))

    def measurements(self) -> dict[str, str | int | float]:
        """What the run cost, for the model card."""
        device = self.accelerator.device
        name = (
            torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
        )
        return {
            "training steps": self.state.step,
            "real images seen": self.images_seen,
            "training time (minutes, without sampling and saving)": round(self.state.seconds / 60, 1),
            "training speed (images per second)": self.images_per_second,
            "trained on": f"{self.accelerator.num_processes} x {name}",
            "seed": self.arguments.seed,
        }

    def _save_checkpoint(self) -> None:
        limit = self.arguments.checkpoints_total_limit
        save_checkpoint(self.state, self.arguments.output_dir, self.accelerator, limit)

    @torch.no_grad()
    def _save_samples(self) -> None:
        """Draws a grid with the averaged weights, from the same noise every time, without touching the random state."""
        if not self.accelerator.is_main_process or len(self.pipeline.sample_shape) != 3:
            return
        if self.ema is not None:
            self.ema.store(self.generator.parameters())
            self.ema.copy_to(self.generator.parameters())
        self.generator.eval()
        count = self.arguments.num_validation_images
        labels = {}
        if self.arguments.class_conditional:
            labels["class_labels"] = torch.arange(count) % self.generator.config.num_class_embeds
        self.pipeline.set_progress_bar_config(disable=True)
        generator = torch.Generator().manual_seed(self.arguments.seed)
        images = self.pipeline(count, **labels, generator=generator, output_type="np").images
        self.generator.train()
        if self.ema is not None:
            self.ema.restore(self.generator.parameters())

        columns = math.isqrt(count)
        rows = count // columns
        grid = make_image_grid(self.pipeline.numpy_to_pil(images[: rows * columns]), rows, columns)
        folder = Path(self.arguments.output_dir) / "samples"
        folder.mkdir(exist_ok=True)
        grid.save(folder / f"step-{self.state.step:07d}.png")
        for tracker in self.accelerator.trackers:
            if tracker.name == "tensorboard":
                tracker.log_images({"samples": images}, step=self.state.step, dataformats="NHWC")
            elif tracker.name == "wandb":
                tracker.log_images({"samples": list(images)}, step=self.state.step)
