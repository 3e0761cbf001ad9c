# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import itertools
import subprocess
import sys

import pytest
import torch
from torch.utils.data import Dataset

from gan_diffusion.data import Batch, EndlessBatches
from gan_diffusion.data.sources import TensorSamples, load_digits


def numbered(count: int) -> TensorSamples:
    return TensorSamples(torch.arange(count).float()[:, None], torch.arange(count) % 3)


def take(data: EndlessBatches, count: int, first_position: int = 0) -> list[list[Batch]]:
    return list(itertools.islice(data.steps(first_position), count))


def seen(data: EndlessBatches, count: int, first_position: int = 0) -> list[int]:
    batches = itertools.chain.from_iterable(take(data, count, first_position))
    return torch.cat([batch.samples for batch in batches]).flatten().int().tolist()


def test_every_pass_sees_every_sample_once_in_a_new_order():
    order = seen(EndlessBatches(numbered(12), batch_size=3), 12)
    passes = [order[first : first + 12] for first in (0, 12, 24)]
    assert all(sorted(each) == list(range(12)) for each in passes)
    assert passes[0] != passes[1] != passes[2] != passes[0]
    assert seen(EndlessBatches(numbered(12), batch_size=3), 12) == order
    assert seen(EndlessBatches(numbered(12), batch_size=3, seed=1), 12) != order


@pytest.mark.parametrize("count, batch_size", [(7, 3), (5, 8), (1, 4)])
def test_nothing_is_dropped_where_batches_do_not_fit(count, batch_size):
    order = seen(EndlessBatches(numbered(count), batch_size), count)
    assert sorted(order) == sorted(list(range(count)) * batch_size)


def test_a_step_takes_the_same_samples_on_any_number_of_processes():
    whole = EndlessBatches(numbered(20), batch_size=12)
    shares = [EndlessBatches(numbered(20), 2, batches_per_step=2, rank=r, num_processes=3) for r in range(3)]
    assert whole.samples_per_step == shares[0].samples_per_step == 12
    for first in (0, 12, 60):
        expected = seen(whole, 1, first)
        assert sorted(itertools.chain(*(seen(share, 1, first) for share in shares))) == sorted(expected)


def test_the_sequence_can_start_anywhere_and_leaves_the_random_state_alone():
    pixels = torch.arange(10 * 4).view(10, 1, 2, 2).to(torch.uint8)
    data = EndlessBatches(TensorSamples(pixels, torch.arange(10)), 4, random_flip=True, class_conditional=True)
    whole = take(data, 9)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    rest = take(data, 4, first_position=20)
    assert torch.equal(before, torch.get_rng_state())
    for (expected,), (batch,) in zip(whole[5:], rest, strict=True):
        assert torch.equal(expected.samples, batch.samples) and torch.equal(expected.flip, batch.flip)
        assert torch.equal(expected.condition["class_labels"], batch.condition["class_labels"])


def test_pixels_are_handed_over_as_they_are_with_a_mirror_flag():
    pixels = torch.tensor([[0, 255]], dtype=torch.uint8).expand(400, 1, 1, 2).contiguous()
    ((batch,),) = take(EndlessBatches(TensorSamples(pixels), 400, random_flip=True), 1)
    assert torch.equal(batch.samples, pixels) and batch.num_bytes == 400 * (2 + 1)
    assert 150 < batch.flip.sum() < 250
    clean = batch.clean_samples()
    assert clean.dtype == torch.float32
    assert torch.equal(clean[:, 0, 0, 0] == 1, batch.flip)


def test_float_images_are_mirrored_at_once():
    images = torch.tensor([[-1.0, 1.0]]).expand(400, 1, 1, 2).contiguous()
    ((batch,),) = take(EndlessBatches(TensorSamples(images), 400, random_flip=True), 1)
    assert batch.flip is None and set(batch.samples.unique().tolist()) == {-1.0, 1.0}
    assert 150 < (batch.samples[:, 0, 0, 0] == 1).sum() < 250


def test_labels_are_a_condition_only_where_they_are_asked_for():
    ((plain,),) = take(EndlessBatches(numbered(6), 6), 1)
    ((labelled,),) = take(EndlessBatches(numbered(6), 6, class_conditional=True), 1)
    assert plain.condition == {}
    assert torch.equal(labelled.condition["class_labels"], labelled.samples[:, 0].long() % 3)
    part = labelled.first(2)
    assert len(part) == 2 and torch.equal(part.condition["class_labels"], labelled.condition["class_labels"][:2])


def test_worker_processes_give_the_same_batches():
    plain, workers = (EndlessBatches(load_digits(), 64, num_workers=n) for n in (0, 2))
    for (expected,), (batch,) in zip(take(plain, 40), take(workers, 40), strict=True):
        assert torch.equal(expected.samples, batch.samples)


class Broken(Dataset):
    def __len__(self) -> int:
        return 4

    def __getitems__(self, indices):
        raise ValueError("Cannot read image 3.png")


def test_an_error_of_a_worker_reaches_the_user():
    with pytest.raises(ValueError, match="3.png"):
        take(EndlessBatches(Broken(), 2, num_workers=1), 1)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_workers_start_in_every_way(method):
    script = f"""
import itertools, torch
from gan_diffusion.data import EndlessBatches
from gan_diffusion.data.sources import load_digits
if __name__ == "__main__":
    torch.multiprocessing.set_start_method({method!r})
    data = EndlessBatches(load_digits(), 64, num_workers=1)
    print(sum(len(batch) for step in itertools.islice(data.steps(), 3) for batch in step))
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.stdout.strip() == "192", result.stderr


@pytest.mark.parametrize(
    "ending", ["pass", "batches.dataset.samples = None; list(batches.steps())", "kept = steps.gi_frame"]
)
def test_a_program_that_leaves_worker_processes_ends(ending):
    script = (
        "import torch; from gan_diffusion.data.loader import EndlessBatches; "
        "from gan_diffusion.data.sources import TensorSamples; "
        "batches = EndlessBatches(TensorSamples(torch.zeros(8, 2)), 2, num_workers=1); "
        f"steps = batches.steps(); next(steps); {ending}"
    )
    result = subprocess.run([sys.executable, "-c", script], timeout=120, capture_output=True, text=True)
    assert (result.returncode == 0) == ("None" not in ending), result.stderr
