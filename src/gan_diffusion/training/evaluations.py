# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Measures the averaged generator in the middle of a training, and knows which step was the best one."""

import json
import operator
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from diffusers import DiffusionPipeline

from ..data.batch import Samples
from ..evaluation import MIN_IMAGES, MORE_IS_BETTER, Evaluation, Reference, evaluate, read_pixels, real_reference
from ..metrics.features import load_features
from ..publishing import read_measurements
from ..storage.reading import read_text
from ..storage.writing import write_text
from .arguments import TrainingArguments
from .state import TrainingState


EVALUATIONS, BEST = "evaluations.json", "best"
# The measurement of a model card that tells its step.
STEPS = "training steps"
# Training images that the samples are compared with, at most: more would take minutes at the first evaluation.
_REAL_IMAGES = 10_000


class Evaluations:
    """
    The evaluations of a run, in `evaluations.json` in its folder, and its best model in the folder `best`.

    In several processes each draws a part of the samples, and the main one writes.

    Args:
        arguments ([`TrainingArguments`]): Options.
        data ([`~data.Samples`]): The training images.
        accelerator (`Accelerator`): Processes and device.

    Raises:
        ValueError: If the data are vectors, too few, or do not fit the network of features, if that cannot be had, or
            if what an earlier start has written is damaged.
    """

    def __init__(self, arguments: TrainingArguments, data: Samples, accelerator: Accelerator):
        run = arguments.run
        self.data = data
        self.accelerator = accelerator
        self.num_samples = run.evaluation_samples
        self.batch_size = arguments.optimization.train_batch_size
        self.seed = arguments.optimization.seed
        self.best_metric = run.best_metric
        self.output_dir = Path(run.output_dir)
        self.reference: Reference | None = None
        # The step of the model in `best`, what its value is of, and the value.
        self.best: tuple[int, tuple[str, str], float] | None = None
        first = data.__getitems__([0])["samples"]
        if first.ndim != 4:
            raise ValueError(
                f"`evaluation_steps` must be 0 for vectors, got {run.evaluation_steps}. It is for images."
            )
        if len(data) < MIN_IMAGES:
            raise ValueError(f"`evaluation_steps` must be 0 for less than {MIN_IMAGES} images, got {len(data)}.")
        self.network = load_features(str(run.evaluation_features), run.evaluation_feature_weights)
        self.network.to(accelerator.device)
        # What cannot be used is refused here, and by all processes.
        self.network(read_pixels(data, [0]))
        self._read()
        read_measurements(self.output_dir / BEST)

    def start(self, step: int) -> None:
        """
        Leaves out what an earlier start of the run measured beyond the step at which this one begins.

        Args:
            step (`int`): The step.
        """
        before = self._read()
        entries = [entry for entry in before if entry["step"] <= step]
        if len(entries) < len(before):
            self._write(entries)
        saved = read_measurements(self.output_dir / BEST).get(STEPS)
        for entry in entries:
            if entry["step"] == saved:
                self.best = self._judged(entry)
        if saved is not None and self.best is None:
            print(
                f"The model in {self.output_dir / BEST} is of step {saved}, beyond the one at which this start begins. The "
                "next evaluation replaces it."
            )

    def measure(self, pipeline: DiffusionPipeline) -> Evaluation:
        """
        Measures the pipeline as it is. All processes must call this.

        Args:
            pipeline ([`DiffusionPipeline`]): Its generator has the averaged weights, and does not train.

        Returns:
            [`Evaluation`]: the numbers.

        Raises:
            ValueError: If samples are not finite.
        """
        if self.reference is None:
            self.reference = real_reference(self.data, self.network, self.seed, max_images=_REAL_IMAGES)
            if self.accelerator.is_main_process:
                count = self.reference.statistics.count
                which = "all" if count == len(self.data) else f"always the same {count:,}, drawn at random, of the"
                print(
                    f"Evaluations compare {self.num_samples:,} samples with {which} {len(self.data):,} training images, by "
                    f"the features of {self.network.name}.",
                    flush=True,
                )
        result = evaluate(
            pipeline, self.data, self.network, self.num_samples, self.batch_size, self.seed, reference=self.reference
        )
        result.protocol["mixed precision"] = self.accelerator.mixed_precision
        return result

    def record(self, result: Evaluation, state: TrainingState) -> bool:
        """
        Adds an evaluation to `evaluations.json`, prints and logs it. The main process alone must call this.

        Args:
            result ([`Evaluation`]): From [`measure`].
            state ([`TrainingState`]): With the step.

        Returns:
            `bool`: whether this model is to be saved in `best`: none that was measured in the same way is as good.
        """
        entry: dict[str, Any] = {
            "step": state.step,
            "images_seen": state.images_seen,
            "seconds": round(state.seconds, 1),
            "metrics": result.values,
            "names": result.labels,
            "protocol": result.protocol,
        }
        self._write([*self._read(), entry])
        self.accelerator.log({f"evaluation/{n}": value for n, value in result.values.items()}, step=state.step)
        _, subject, value = judged = self._judged(entry)
        text = f"Step {state.step}: {subject[0]}: {value:.5g}"
        better = operator.gt if MORE_IS_BETTER[self.best_metric] else operator.lt
        is_best = self.best is None or self.best[1] != subject or better(value, self.best[2])
        if is_best:
            self.best = judged
            text += f", the best so far, which is saved in {self.output_dir / BEST}."
        elif self.best is not None:
            text += f". The best so far is {self.best[2]:.5g} at step {self.best[0]}."
        print(text, flush=True)
        return is_best

    def _judged(self, entry: dict[str, Any]) -> tuple[int, tuple[str, str], float]:
        """Step, metric with network, numbers of images and data, and value: what the best model is chosen by."""
        # The network of an earlier start may not have had this metric: its value is none that others compare with.
        name, value = (entry[part].get(self.best_metric) for part in ("names", "metrics"))
        return entry["step"], (name, entry["protocol"]["identity of the real data"]), value

    def _read(self) -> list[dict[str, Any]]:
        file = self.output_dir / EVALUATIONS
        if not file.is_file():
            return []
        try:
            entries = json.loads(read_text(file))
            if isinstance(entries, list) and all(isinstance(self._judged(each)[0], int) for each in entries):
                return entries
        except (AttributeError, KeyError, TypeError, ValueError):
            pass
        raise ValueError(f"`{file}` must be the list that this run has written, got something else. Move it away.")

    def _write(self, entries: list[dict[str, Any]]) -> None:
        write_text(self.output_dir / EVALUATIONS, json.dumps(entries, indent=1) + "\n")
