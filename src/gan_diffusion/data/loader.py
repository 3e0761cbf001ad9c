# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Samples as an endless sequence of batches that can start anywhere."""

import os
import signal
from collections.abc import Generator
from functools import lru_cache
from itertools import count

import numpy as np
import torch
from torch.utils.data import DataLoader

from .batch import Batch, Samples


# The signals that ask a run to end. The terminal and cluster schedulers send them to all of its processes.
STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2") if hasattr(signal, name)
)


class EndlessBatches:
    """
    Shuffled batches without end: a function of the seed and of the position, never of the global random state.

    All samples are laid end to end in a new random order for every pass over the data, and step number s of the
    training takes the samples from position s times `samples_per_step` on. Nothing is dropped at the end of a pass,
    and a dataset may be smaller than a batch. A step takes the same samples on any number of processes, as long as
    `samples_per_step` is the same.

    Args:
        dataset ([`~data.Samples`]): The samples.
        batch_size (`int`): Samples per batch, of one process.
        batches_per_step (`int`, defaults to 1): Batches per step, of one process.
        seed (`int`, defaults to 0): Seed of the order and of the mirroring.
        random_flip (`bool`, defaults to `False`): Mirror half of the images.
        class_conditional (`bool`, defaults to `False`): Put the labels into the batches' condition, as `class_labels`.
        num_workers (`int`, defaults to 0): Processes that read; 0 reads in this process.
        rank (`int`, defaults to 0): Number of this process.
        num_processes (`int`, defaults to 1): Number of processes.

    Attributes:
        samples_per_step (`int`): Samples per step, of all processes together.
    """

    def __init__(
        self,
        dataset: Samples,
        batch_size: int,
        batches_per_step: int = 1,
        seed: int = 0,
        random_flip: bool = False,
        class_conditional: bool = False,
        num_workers: int = 0,
        rank: int = 0,
        num_processes: int = 1,
    ):
        self.dataset = dataset
        self.batch_size = batch_size
        self.batches_per_step = batches_per_step
        self.seed = seed
        self.random_flip = random_flip
        self.class_conditional = class_conditional
        self.num_workers = num_workers
        self.rank = rank
        self.num_processes = num_processes
        self.samples_per_step = batch_size * batches_per_step * num_processes

    def steps(self, first_position: int = 0) -> Generator[list[Batch], None, None]:
        """
        Yields the batches of one step after the other, for ever.

        Args:
            first_position (`int`, defaults to 0): Samples, of all processes, that lie before the first step.

        Yields:
            `list[Batch]`: the batches of this process.
        """
        first, stride = first_position + self.rank * self.batch_size, self.num_processes * self.batch_size
        loader = DataLoader(
            self.dataset,  # pyright: ignore[reportArgumentType] (it needs no more than the protocol has)
            batch_sampler=(self._places(position, self.batch_size)[0].tolist() for position in count(first, stride)),
            num_workers=self.num_workers,
            collate_fn=_as_it_is,  # pyright: ignore[reportArgumentType] (`__getitems__` gives a batch)
            worker_init_fn=_leave_signals_to_the_run,
            generator=torch.Generator().manual_seed(self.seed),  # Keeps the loader off the global random state.
        )
        step: list[Batch] = []
        for position, items in zip(count(first, stride), loader, strict=False):
            step.append(self._batch(items, self._places(position, self.batch_size)[1]))
            if len(step) == self.batches_per_step:
                yield step
                step = []

    def first_samples(self, count: int) -> tuple[list[int], Batch]:
        """
        The samples that a training sees first, of all processes together.

        Args:
            count (`int`): How many.

        Returns:
            pair of `list[int]` and [`Batch`]: their numbers in the dataset, and the samples as the networks get them.
        """
        indices, mirrored = self._places(0, count)
        return indices.tolist(), self._batch(self.dataset.__getitems__(indices.tolist()), mirrored)

    def _places(self, position: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the `count` samples from `position` on, and which of them are mirrored."""
        passes, places = np.divmod(np.arange(position, position + count), len(self.dataset))
        indices, mirrored = np.empty(count, dtype=np.int64), np.empty(count, dtype=bool)
        for number in np.unique(passes):
            order, flips = _order(len(self.dataset), self.seed, int(number))
            here = passes == number
            indices[here], mirrored[here] = order[places[here]], flips[places[here]]
        return indices, mirrored

    def _batch(self, items: dict[str, torch.Tensor], mirrored: np.ndarray) -> Batch:
        samples = items["samples"]
        condition = {"class_labels": items["class_labels"]} if self.class_conditional else {}
        if not self.random_flip:
            return Batch(samples, condition)
        flip = torch.from_numpy(mirrored)
        if samples.dtype == torch.uint8:
            return Batch(samples, condition, flip)
        return Batch(torch.where(flip.view(-1, 1, 1, 1), samples.flip(-1), samples), condition)


@lru_cache(maxsize=4)
def _order(length: int, seed: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Order of the samples in one pass over the data, and which places of it are mirrored."""
    random = np.random.default_rng([seed, number])
    return random.permutation(length), random.random(length) < 0.5


def _as_it_is(items: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """For the data loader: `__getitems__` already gives a batch."""
    return items


def _leave_signals_to_the_run(worker: int) -> None:
    """
    For a process that reads: what a terminal or scheduler sends to all processes of a run is for the run to act on.

    SIGTERM keeps its meaning, because multiprocessing ends the worker by it and then waits. In a process group of its
    own the worker gets only the one that is meant for it. It also ends when the run is gone.
    """
    if hasattr(os, "setpgrp"):
        os.setpgrp()
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.SIG_IGN)
