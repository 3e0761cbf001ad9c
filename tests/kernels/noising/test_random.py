# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""The sequence of random numbers: known answers, independence of layout, and statistics."""

import functools
import math

import pytest
import torch

from gan_diffusion.kernels.noising import random


DRAWS = 10_000_000


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Other work on the machine turns every parallel region into a wait."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@functools.cache
def draw(seed, stream=0):
    return random.normal((1, DRAWS), torch.tensor([seed]), stream).flatten()


@pytest.fixture(scope="module", params=[0, 1234, 2**63 - 1])
def draws(request):
    return draw(request.param).double()


# Random123's known answers (kat_vectors) for counters and keys of all zeros, all ones, and the digits of pi.
@pytest.mark.parametrize(
    ("rounds", "counter", "key", "words"),
    [
        (7, (0, 0, 0, 0), (0, 0), "5f6fb709 0d893f64 4f121f81 4f730a48"),
        (10, (0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        (10, (0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            10,
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_philox_known_answers(rounds, counter, key, words):
    result = random.philox(tuple(map(torch.tensor, counter)), tuple(map(torch.tensor, key)), rounds)
    assert [int(word) for word in result] == [int(word, 16) for word in words.split()]


def test_box_muller_is_the_textbook_transform():
    words = torch.randint(2**32, (2, 4096), generator=torch.Generator().manual_seed(0))
    signed = words.to(torch.int32).double()
    radius = torch.sqrt(-2 * torch.log((signed[0] + 0.5).abs() / 2**31))
    angle = signed[1] / 2**31 * math.pi / 2
    expected = radius * angle.cos() * signed[0].sign(), radius * angle.sin()
    for actual, value in zip(random.box_muller(*words), expected, strict=True):
        torch.testing.assert_close(actual.double(), value, rtol=0, atol=2e-6)


@pytest.mark.parametrize("word_0", [0, 1, 2**31 - 1, 2**31, 2**31 + 1, 2**32 - 1])
@pytest.mark.parametrize("word_1", [0, 2**31 - 1, 2**31, 2**32 - 1])
def test_box_muller_is_finite_at_the_ends(word_0, word_1):
    for value in random.box_muller(torch.tensor([word_0]), torch.tensor([word_1])):
        assert value.isfinite() and value.abs() < 6.7


def test_numbers_depend_on_the_logical_index_alone():
    seeds = torch.tensor([77])
    flat = random.normal((1, 7 * 11 * 13), seeds).flatten()
    for shape in [(7, 11, 13), (7, 143), (1001,), (1, 1001, 1)]:
        assert torch.equal(random.normal(shape, seeds).flatten(), flat)
    assert torch.equal(random.normal((10,), seeds), flat[:10])


def test_own_seeds_give_each_sample_what_it_would_get_alone():
    seeds = torch.tensor([3, 0, 2**63 - 1])
    together = random.normal((3, 5, 7), seeds)
    for sample, seed in zip(together, seeds, strict=True):
        assert torch.equal(sample[None], random.normal((1, 5, 7), seed[None]))


def test_moments(draws):
    # Four standard errors of each estimate.
    assert abs(draws.mean()) < 4 / math.sqrt(DRAWS)
    assert abs(draws.var() - 1) < 4 * math.sqrt(2 / DRAWS)
    assert abs((draws**3).mean()) < 4 * math.sqrt(15 / DRAWS)
    assert abs((draws**4).mean() - 3) < 4 * math.sqrt(96 / DRAWS)


def test_kolmogorov_smirnov(draws):
    probabilities = torch.special.ndtr(draws.sort().values)
    steps = torch.arange(DRAWS + 1, dtype=torch.float64) / DRAWS
    distance = max((steps[1:] - probabilities).max(), (probabilities - steps[:-1]).max())
    assert distance * math.sqrt(DRAWS) < 1.95  # exceeded by chance once in a thousand


def test_tails(draws):
    for bound, probability in ((3.0, 2.699796e-3), (4.0, 6.334248e-5), (4.5, 6.795346e-6)):
        expected = DRAWS * probability
        assert abs((draws.abs() > bound).sum() - expected) < 4 * math.sqrt(expected)
    assert draws.abs().max() > 5


def assert_uncorrelated(first, second):
    # Squares too: the two numbers of a Box-Muller pair share a radius, which a wrong transform shows there.
    count = len(first)
    assert abs(torch.dot(first, second)) < 4.5 * math.sqrt(count)
    squares = torch.dot(first.square().sub_(1), second.square().sub_(1))
    assert abs(squares) < 4.5 * 2 * math.sqrt(count)


@pytest.mark.parametrize("lag", [1, 2, 3, 4, 5, 8, 32, 3072])
def test_elements_are_uncorrelated(draws, lag):
    assert_uncorrelated(draws[:-lag], draws[lag:])


@pytest.mark.parametrize("other", [1, 2**32, 2**62, 2**63 - 1])
def test_seeds_are_uncorrelated(other):
    assert_uncorrelated(draw(0).double(), draw(other).double())


@pytest.mark.parametrize("seed", [0, 2**63 - 1])
def test_streams_are_uncorrelated(seed):
    first, second = (draw(seed, stream).double() for stream in (0, 1))
    assert_uncorrelated(first, second)
    assert_uncorrelated(first[1:], second[:-1])


def test_samples_of_neighbouring_seeds_are_uncorrelated():
    assert_uncorrelated(*random.normal((2, DRAWS // 2), torch.tensor([41, 42])).double())
