# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""
The Triton kernels, interpreted, against the reference: bit for bit.

Two properties of the interpreter are allowed for. It takes the logarithm and the square root of NumPy, whose last bit
is not always that of PyTorch: they are replaced. And it cuts bfloat16 off where GPUs round, so bfloat16 results are
compared with float32 results that are cut off too.
"""

import pytest
import torch

from gan_diffusion.kernels import noising
from gan_diffusion.kernels.noising import kernel_backend, ops, random, record_backends


triton = pytest.importorskip("triton")
tl = pytest.importorskip("triton.language")

from triton.runtime.interpreter import InterpretedFunction, InterpreterBuilder  # noqa: E402

from gan_diffusion.kernels.noising import launch, triton_kernels  # noqa: E402


pytestmark = pytest.mark.usefixtures("poisoned_memory", "torch_functions")

NUM_STEPS = 5
DTYPES = [torch.float32, torch.bfloat16, torch.float16]
SHAPES = [
    (2, 3, 8, 8),  # several samples to a row of blocks, aligned
    (2, 3, 32, 32),  # more than one block per sample
    (3, 7),  # odd vectors: samples begin inside a Philox call
    (2, 1031),  # prime, more than one block
    (1, 5, 3, 3),  # batch of one
    (3, 2, 5, 4),
    (4,),  # 0-dimensional samples
    (1,),
]
FORMATS = ["contiguous", "channels_last", "strided", "transposed"]


@pytest.fixture
def torch_functions(monkeypatch):
    for name in ("log2", "sqrt"):
        function = getattr(torch, name)
        monkeypatch.setattr(
            InterpreterBuilder,
            f"create_{name}",
            lambda self, x, function=function: self.unary_op(x, lambda data: function(torch.from_numpy(data)).numpy()),
        )


def make_sample(shape, dtype=torch.float32, layout="contiguous", seed=0):
    generator = torch.Generator().manual_seed(seed)
    if layout == "contiguous":
        return torch.randn(shape, generator=generator).to(dtype)
    if layout == "channels_last":
        return make_sample(shape, dtype, seed=seed).movedim(1, -1).contiguous().movedim(-1, 1)
    if layout == "strided":
        return make_sample((*shape[:-1], 2 * shape[-1]), dtype, seed=seed)[..., ::2]
    return make_sample((*shape[:-2], shape[-1], shape[-2]), dtype, seed=seed).transpose(-1, -2)


def tables(count):
    return torch.rand(count, NUM_STEPS, generator=torch.Generator().manual_seed(count)).add(0.1).unbind()


def timesteps(batch, count=NUM_STEPS):
    return torch.randint(count, (batch,), generator=torch.Generator().manual_seed(batch))


# The operations as functions of a list of samples, returning a tuple.


def run_noise(samples, **kwargs):
    return (noising.noise(*samples, *tables(2), timesteps(len(samples[0])), **kwargs),)


def run_noise_pair(samples, **kwargs):
    return noising.noise_pair(*samples, *tables(4), timesteps(len(samples[0]), NUM_STEPS - 1), **kwargs)


def run_posterior_step(samples, **kwargs):
    return (noising.posterior_step(*samples, *tables(3), timesteps(len(samples[0])), **kwargs),)


def run_straight_path(samples, **kwargs):
    return (noising.straight_path(*samples, torch.linspace(0, 1, len(samples[0])), 0.3, 0.9, **kwargs),)


def run_straight_path_with_terminal(samples, **kwargs):
    return noising.straight_path(
        *samples, torch.linspace(1, 0, len(samples[0])), 0.3, 0.9, return_terminal=True, **kwargs
    )


RUNS = [run_noise, run_noise_pair, run_posterior_step, run_straight_path, run_straight_path_with_terminal]
PIXEL_RUNS = [run_noise, run_noise_pair, run_straight_path, run_straight_path_with_terminal]


def make_samples(run, *args):
    return [make_sample(*args, seed=seed) for seed in range(2 if run is run_posterior_step else 1)]


def explicit_noise(run, shape, dtype, layout="contiguous"):
    noise = [make_sample(shape, dtype, layout, seed=seed) for seed in (8, 9)]
    return tuple(noise) if run is run_noise_pair else noise[0]


def on_triton(function, *args, **kwargs):
    with kernel_backend("triton"), record_backends() as ran:
        result = function(*args, **kwargs)
    assert ran and all(backend == "triton" for _, backend in ran)
    return result


def on_reference(function, *args, **kwargs):
    with kernel_backend("reference"):
        return function(*args, **kwargs)


def assert_identical(actual, expected, name):
    """Equal to the last bit: `expected` is float32 and is cast as the interpreter casts."""
    assert actual.shape == expected.shape, name
    if actual.dtype == torch.bfloat16:
        expected = (expected.view(torch.int32) >> 16).to(torch.int16).view(torch.bfloat16)
    expected = expected.to(actual.dtype)
    assert not actual.isnan().any(), f"{name}: not every element was written"
    different = (actual != expected).sum()
    assert different == 0, (
        f"{name}: {different} of {actual.numel()} elements differ, by {(actual - expected).abs().max()}"
    )


def check_forward(run, shape, dtype, layout):
    samples = make_samples(run, shape, dtype, layout)
    noise = explicit_noise(run, shape, dtype)
    wide = {"noise": tuple(n.float() for n in noise) if isinstance(noise, tuple) else noise.float()}
    for given, wide_given in (({"noise": noise}, wide), ({"seed": 5}, {"seed": 5})):
        outputs = on_triton(run, samples, **given)
        expected = on_reference(run, [sample.float() for sample in samples], **wide_given)
        for place, (actual, value) in enumerate(zip(outputs, expected, strict=True)):
            assert actual.dtype == dtype
            assert actual.stride() == torch.empty_like(samples[0]).stride()
            assert_identical(actual, value, f"{run.__name__} output {place} with {list(given)}")


def check_gradients(run, shape, dtype, layout):
    def gradients(samples, cotangents):
        samples = [sample.requires_grad_() for sample in samples]
        outputs = run(samples, seed=5)
        return torch.autograd.grad(
            outputs, samples, [c.to(o.dtype) for c, o in zip(cotangents, outputs, strict=False)]
        )

    cotangents = [make_sample(shape, dtype, seed=seed) for seed in (3, 4)]
    actual = on_triton(gradients, make_samples(run, shape, dtype, layout), cotangents)
    wide = [sample.float() for sample in make_samples(run, shape, dtype, layout)]
    for place, (got, value) in enumerate(zip(actual, on_reference(gradients, wide, cotangents), strict=True)):
        assert_identical(got, value, f"{run.__name__} gradient {place}")


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shapes(run, shape):
    check_forward(run, shape, torch.float32, "contiguous")
    check_gradients(run, shape, torch.float32, "contiguous")


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (3, 7)], ids=str)
def test_half_precision(run, dtype, shape):
    check_forward(run, shape, dtype, "contiguous")
    check_gradients(run, shape, dtype, "contiguous")


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("layout", ["channels_last", "strided", "transposed"])
@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (2, 3, 5, 7)], ids=str)
def test_memory_formats(run, layout, shape):
    check_forward(run, shape, torch.float32, layout)
    check_gradients(run, shape, torch.float32, layout)


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_channels_last(run, dtype):
    check_forward(run, (2, 3, 8, 8), dtype, "channels_last")


@pytest.mark.parametrize("run", PIXEL_RUNS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("shape", [(3, 3, 8, 8), (3, 3, 5, 7)], ids=str)
def test_pixels(run, dtype, layout, shape):
    pixels = (make_sample(shape, torch.float32, layout) * 80 + 128).clamp(0, 255).to(torch.uint8)
    noise = explicit_noise(run, shape, torch.float32)
    flip = torch.tensor([True, False, True])
    for options in ({"seed": 5}, {"seed": 5, "flip": flip}, {"noise": noise, "flip": flip}):
        outputs = on_triton(run, [pixels], dtype=dtype, **options)
        expected = on_reference(run, [pixels], dtype=torch.float32, **options)
        for actual, value in zip(outputs, expected, strict=True):
            assert actual.dtype == dtype and actual.stride() == pixels.stride()
            assert_identical(actual, value, f"{run.__name__} of pixels with {list(options)}")


@pytest.mark.parametrize("run", RUNS)
def test_generators_per_sample(run):
    for shape in [(3, 3, 8, 8), (3, 7)]:
        samples = make_samples(run, shape)
        seeds = [(lambda: torch.Generator().manual_seed(seed))() for seed in (3, 1, 2)]
        states = [generator.get_state() for generator in seeds]
        outputs = on_triton(run, samples, generator=seeds)
        for generator, state in zip(seeds, states, strict=True):
            generator.set_state(state)
        for actual, value in zip(outputs, on_reference(run, samples, generator=seeds), strict=True):
            assert_identical(actual, value, run.__name__)


@pytest.mark.parametrize("blocks", [((2048, 4),), ((1024, 2),), ((512, 1),), ((64, 1),)])
def test_numbers_do_not_depend_on_the_block(blocks, monkeypatch):
    samples = [torch.zeros(2, 1037)]
    expected = on_reference(run_noise, samples, seed=9)
    monkeypatch.setattr(launch, "BLOCKS", blocks)
    assert_identical(*on_triton(run_noise, samples, seed=9), *expected, f"blocks of {blocks}")


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_blocks_beyond_the_second_grid_dimension(rows, monkeypatch):
    samples = [torch.zeros(2, 5 * 512)]
    monkeypatch.setattr(launch, "BLOCKS", ((512, 1),))
    monkeypatch.setattr(launch, "MAX_GRID_YZ", 65535)
    expected = on_reference(run_noise, samples, seed=9)
    grid = launch.Plan.of(samples[0].shape).grid
    assert grid == (2, 5, 1)
    monkeypatch.setattr(launch.Plan, "grid", (2, rows, -(-5 // rows)))
    assert_identical(*on_triton(run_noise, samples, seed=9), *expected, f"{rows} rows of blocks")


def test_a_fresh_draw_comes_from_the_default_generator():
    sample = [torch.zeros(4, 3, 8, 8)]
    torch.manual_seed(0)
    (first,) = on_triton(run_noise, sample)
    (second,) = on_triton(run_noise, sample)
    torch.manual_seed(0)
    (again,) = on_triton(run_noise, sample)
    assert torch.equal(first, again) and not torch.equal(first, second)


@pytest.mark.parametrize("run", RUNS)
def test_empty_samples(run):
    for shape in [(0, 3, 8, 8), (2, 0, 4), (0,)]:
        samples = make_samples(run, shape)
        assert all(out.shape == shape for out in on_triton(run, samples, seed=0))
        grads = on_triton(
            lambda s: torch.autograd.grad([o.sum() for o in run(s, seed=0)], s), [x.requires_grad_() for x in samples]
        )
        assert all(grad.shape == shape for grad in grads)


@pytest.mark.parametrize("index", [-1, NUM_STEPS, 2**40])
def test_an_index_out_of_range_is_not_a_number(index):
    # On a GPU the values of the timesteps are not looked at before the launch.
    indices = torch.tensor([0, index, 1])
    with kernel_backend("triton"):
        out = ops.noise(torch.ones(3, 5), *tables(2), indices, None, torch.tensor([1]), None, torch.float32)
        pair = ops.noise_pair(
            torch.ones(3, 5),
            *tables(4),
            indices.clamp(max=NUM_STEPS - 1),
            None,
            None,
            torch.tensor([1]),
            None,
            torch.float32,
        )
    for result in (out, *(pair if index <= NUM_STEPS else ())):
        assert result[1].isnan().all() and result[[0, 2]].isfinite().all()


def test_a_position_out_of_range_is_not_a_number():
    positions = torch.tensor([0.0, 1.5, -0.1, float("nan"), 1.0])
    with kernel_backend("triton"):
        out = ops.straight_path(torch.ones(5, 3), positions, 0.1, 0.9, None, None, None, torch.float32)
    assert out[1:4].isnan().all() and out[[0, 4]].isfinite().all()


@pytest.mark.parametrize("run", RUNS)
def test_double_backward_as_r1_needs_it(run):
    def penalty_gradients(samples, weight):
        samples = [sample.requires_grad_() for sample in samples]
        outputs = run(samples, seed=1)
        logits = sum((weight * out.tanh()).sum() for out in outputs)
        grads = torch.autograd.grad(logits, samples, create_graph=True)
        penalty = sum(grad.square().sum() for grad in grads)
        return torch.autograd.grad(penalty, [weight, *samples])

    shape = (2, 3, 8, 8)
    weight = make_sample(shape, seed=6).requires_grad_()
    actual = on_triton(penalty_gradients, make_samples(run, shape), weight)
    expected = on_reference(penalty_gradients, make_samples(run, shape), weight)
    for name, got, value in zip(("weight", "sample", "second sample"), actual, expected, strict=False):
        torch.testing.assert_close(got, value, rtol=1e-6, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("run", [run_noise_pair, run_straight_path_with_terminal])
@pytest.mark.parametrize("place", [0, 1])
def test_gradient_of_one_output_alone(run, place):
    def gradient(samples):
        (sample,) = [sample.requires_grad_() for sample in samples]
        return torch.autograd.grad(run([sample], seed=2)[place].square().sum(), sample)

    shape = (2, 3, 8, 8)
    assert_identical(
        *on_triton(gradient, make_samples(run, shape)), *on_reference(gradient, make_samples(run, shape)), "gradient"
    )


def test_a_pair_is_the_single_noising_and_one_step_more():
    x_0 = make_sample((2, 3, 8, 8))
    signal, std, step_signal, step_std = tables(4)
    t = timesteps(2, NUM_STEPS - 1)
    x_t, x_tp1 = on_triton(noising.noise_pair, x_0, signal, std, step_signal, step_std, t, seed=3)
    assert torch.equal(x_t, on_triton(noising.noise, x_0, signal, std, t, seed=3))
    noise = (x_tp1 - step_signal[t + 1][:, None, None, None] * x_t) / step_std[t + 1][:, None, None, None]
    torch.testing.assert_close(noise, random.normal(x_0.shape, torch.tensor([3]), stream=1), rtol=1e-5, atol=1e-5)


# Sizes that no test can allocate.


def place_kernel(OUT, D, OWN_SEED: tl.constexpr, ALIGNED: tl.constexpr):
    sample, base, offsets, mask, first_call, call = triton_kernels._place(D, 64, 1, 2, OWN_SEED, ALIGNED, 0)
    tl.store(OUT + 2 * sample, base)
    tl.store(OUT + 2 * sample + 1, first_call)


@pytest.mark.parametrize("length", [2**31, 2**33 + 16, 2**40 + 4])
@pytest.mark.parametrize("own_seed", [False, True])
def test_offsets_are_64_bit(length, own_seed):
    out = torch.zeros(3, 2, dtype=torch.int64)
    InterpretedFunction(place_kernel)[(3, 1, 1)](out, length, own_seed, length % 16 == 0)
    for sample, (base, call) in enumerate(out.tolist()):
        assert base == sample * length
        assert call == (0 if own_seed else sample * length // 4)


def normals_kernel(OUT, SEED, FIRST, BLOCK: tl.constexpr, PER: tl.constexpr):
    call = tl.arange(0, BLOCK // (4 * PER)) * PER
    numbers = triton_kernels._normals(tl.load(SEED), tl.load(FIRST), call, 1, BLOCK, PER, False)
    tl.store(OUT + tl.arange(0, BLOCK), numbers)


@pytest.mark.parametrize("per", [1, 2])
@pytest.mark.parametrize("first", [0, 2**31 - 3, 2**32 - 3, 2**33 - 3, 2**60])
@pytest.mark.parametrize("seed", [0, 2**63 - 1])
def test_philox_calls_are_64_bit(per, first, seed):
    out = torch.empty(64)
    InterpretedFunction(normals_kernel)[(1,)](out, torch.tensor([seed]), torch.tensor([first]), 64, per)
    call = torch.arange(first, first + 16)
    key = (torch.tensor(seed & 0xFFFFFFFF), torch.tensor(seed >> 32))
    words = random.philox((call & 0xFFFFFFFF, call >> 32, 1, 0), key)
    expected = torch.stack(random.box_muller(*words[:2]) + random.box_muller(*words[2:]), dim=-1).flatten()
    assert torch.equal(out, expected)


def test_more_than_a_grid_can_index():
    for shape in [(2**31, 4), (1, 2**45)]:
        with pytest.raises(ValueError, match="`x_0` must fit a kernel's grid"):
            _ = launch.Plan.of(torch.Size(shape)).grid
    assert launch.Plan.of(torch.Size((2, 2**38))).grid == (2, 65535, 2049)
