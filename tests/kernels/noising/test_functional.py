# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""The public functions on the reference: formulas, random numbers, gradients, and what they refuse."""

import pytest
import torch
from golden_utils import assert_matches, load_golden

from gan_diffusion.kernels.noising import noise, noise_pair, posterior_step, random, straight_path


GOLDEN_TAGS = ["vp_T2", "vp_T4", "geo_T4"]


def table(*values):
    return torch.tensor(values, dtype=torch.float32)


SIGNAL, STD = table(1.0, 0.8, 0.1), table(0.0, 0.6, 0.99)
STEP_SIGNAL, STEP_STD = table(1.0, 0.9, 0.2), table(0.1, 0.4, 0.98)


def image(shape=(3, 2, 4, 4), dtype=torch.float32, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def column(values):
    return values[:, None, None, None]


# Each operation with everything settled but its samples and its noise.
T = torch.tensor([0, 1, 0])
U = torch.tensor([0.0, 0.25, 1.0])
CALLS = {
    "noise": lambda x, **options: noise(x, SIGNAL, STD, T, **options),
    "noise_pair": lambda x, **options: noise_pair(x, SIGNAL, STD, STEP_SIGNAL, STEP_STD, T, **options),
    "posterior_step": lambda x, **options: posterior_step(x, x.flip(0), SIGNAL, STEP_SIGNAL, STD, T, **options),
    "straight_path": lambda x, **options: straight_path(x, U, 0.01, 0.99, **options),
    "straight_path_with_terminal": lambda x, **options: straight_path(
        x, U, 0.01, 0.99, return_terminal=True, **options
    ),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


def tuple_of(result):
    return result if isinstance(result, tuple) else (result,)


# Formulas.


def test_noise_is_the_formula():
    x, e = image(dtype=torch.float64), image(dtype=torch.float64, seed=1)
    t = torch.tensor([2, 0, 1])
    expected = column(SIGNAL[t].double()) * x + column(STD[t].double()) * e
    torch.testing.assert_close(noise(x, SIGNAL, STD, t, noise=e), expected, rtol=1e-15, atol=1e-15)


def test_straight_path_is_the_formula():
    x, e = image(dtype=torch.float64), image(dtype=torch.float64, seed=1)
    out, end = straight_path(x, U.double(), 0.01, 0.99, noise=e, return_terminal=True)
    expected = 0.01 * x + 0.99 * e
    torch.testing.assert_close(end, expected, rtol=1e-15, atol=1e-15)
    torch.testing.assert_close(out, column(U) * x + (1 - column(U)) * expected, rtol=1e-15, atol=1e-15)
    assert torch.equal(out[2], x[2]) and torch.equal(out[0], end[0])


@pytest.mark.parametrize("tag", GOLDEN_TAGS)
@pytest.mark.parametrize(("dtype", "suffix"), [(torch.float32, "f32"), (torch.float64, "f64")])
def test_golden_ddgan(tag, dtype, suffix):
    golden, tables = load_golden("ddgan/diffusion"), load_golden("ddgan/schedules")

    def given(name):
        return golden[f"{tag}.{name}"].to(dtype)

    forward = [tables[f"{tag}.fwd.{name}"] for name in ("a_s_cum", "sigmas_cum", "a_s", "sigmas")]
    t = golden[f"{tag}.t"]
    x_t, x_tp1 = noise_pair(given("x0"), *forward, t, noise=(given("noise_t"), given("noise_tp1")))
    assert torch.equal(x_t, noise(given("x0"), *forward[:2], t, noise=given("noise_t")))
    std = torch.exp(0.5 * tables[f"{tag}.post.posterior_log_variance_clipped"])
    std[0] = 0
    means = [tables[f"{tag}.post.posterior_mean_coef{number}"] for number in (1, 2)]
    x_post = posterior_step(given("x0_pred"), x_tp1, *means, std, t, noise=given("noise_post"))
    for name, actual in (("x_t", x_t), ("x_tp1", x_tp1), ("posterior_sample", x_post)):
        tolerance = 1e-6 if dtype == torch.float32 else 1e-15
        assert_matches(actual, golden[f"{tag}.{name}.{suffix}"], rtol=tolerance, atol=tolerance, name=name)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64], ids=str)
@pytest.mark.parametrize("source", [{}, {"seed": 3}])
def test_no_noise_where_its_deviation_is_zero(dtype, source):
    x = image(dtype=torch.float32).to(dtype)
    assert torch.equal(noise(x, SIGNAL, STD, 0, **source), x)
    assert torch.equal(posterior_step(x, x, SIGNAL, table(0, 0, 0), STD, 0, **source), x)
    assert torch.equal(straight_path(x, 1.0, 0.01, 0.99, **source), x)
    assert not torch.equal(noise(x, SIGNAL, STD, 1, **source), x)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@every_call
def test_half_precision_is_rounded_once(call, dtype):
    x = image().to(dtype)
    for half, wide in zip(tuple_of(call(x, seed=4)), tuple_of(call(x.float(), seed=4)), strict=True):
        assert half.dtype == dtype and torch.equal(half, wide.to(dtype))


@pytest.mark.parametrize("name", ["noise", "noise_pair", "straight_path", "straight_path_with_terminal"])
@pytest.mark.parametrize("dtype", [None, torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_pixels_are_normalised_and_mirrored(name, dtype):
    pixels = torch.randint(256, (3, 2, 4, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    pixels[0, 0, 0, :2] = torch.tensor([0, 255])
    flip = torch.tensor([False, True, True])
    images = (pixels.to(dtype if dtype == torch.float64 else torch.float32) - 127.5) * (1 / 127.5)
    assert images[0, 0, 0, :2].tolist() == [-1, 1]
    for options, expected in (({}, images), ({"flip": flip}, torch.where(column(flip), images.flip(-1), images))):
        outputs = tuple_of(CALLS[name](pixels, seed=4, dtype=dtype, **options))
        for actual, value in zip(outputs, tuple_of(CALLS[name](expected, seed=4)), strict=True):
            assert actual.dtype == (dtype or torch.float32)
            assert torch.equal(actual, value.to(actual.dtype))


def test_timesteps_may_be_one_number_or_any_integer_tensor():
    x, e = image(), image(seed=1)
    expected = noise(x, SIGNAL, STD, torch.tensor([2, 2, 2]), noise=e)
    per_sample = torch.tensor([2, 2, 2], dtype=torch.int32), torch.tensor([2, 1]).expand(3, 2)[:, 0]
    for t in (2, torch.tensor(2), torch.tensor([2]), *per_sample):
        assert torch.equal(noise(x, SIGNAL, STD, t, noise=e), expected)
    path = straight_path(x, torch.full((3,), 0.5), 0.01, 0.99, noise=e)
    for u in (0.5, torch.tensor(0.5), torch.tensor([0.5]), torch.tensor(0.5, dtype=torch.bfloat16)):
        assert torch.equal(straight_path(x, u, 0.01, 0.99, noise=e), path)


@pytest.mark.parametrize("shape", [(4,), (4, 7), (1, 3, 5), (0, 3), (2, 0), (2, 3, 4, 5, 6)], ids=str)
def test_any_trailing_shape(shape):
    x, t = image(shape), 1
    for out in (
        noise(x, SIGNAL, STD, t),
        *noise_pair(x, SIGNAL, STD, STEP_SIGNAL, STEP_STD, t),
        posterior_step(x, x, SIGNAL, STD, STD, t),
        *straight_path(x, 0.5, 0.1, 0.9, return_terminal=True),
    ):
        assert out.shape == shape and out.dtype == x.dtype


@every_call
def test_channels_last_goes_in_and_comes_out(call):
    x = image().to(memory_format=torch.channels_last)
    for options in ({}, {"seed": 1}):
        assert all(out.is_contiguous(memory_format=torch.channels_last) for out in tuple_of(call(x, **options)))
    for actual, expected in zip(tuple_of(call(x, seed=1)), tuple_of(call(x.contiguous(), seed=1)), strict=True):
        assert torch.equal(actual, expected)


# Random numbers.


def test_the_seed_gives_the_documented_sequence():
    x = torch.zeros(2, 3, 5)
    assert torch.equal(noise(x, table(0), table(1), 0, seed=9), random.normal(x.shape, torch.tensor([9])))
    x_t, x_tp1 = noise_pair(x, table(0, 0), table(1, 1), table(0, 0), table(1, 1), 0, seed=9)
    assert torch.equal(x_t, random.normal(x.shape, torch.tensor([9]), stream=0))
    assert torch.equal(x_tp1, random.normal(x.shape, torch.tensor([9]), stream=1))


@every_call
def test_float64_gets_the_same_numbers(call):
    x = image()
    for wide, narrow in zip(tuple_of(call(x.double(), seed=2)), tuple_of(call(x, seed=2)), strict=True):
        assert wide.dtype == torch.float64
        torch.testing.assert_close(wide.float(), narrow, rtol=1e-6, atol=1e-6)


@every_call
@pytest.mark.parametrize("seed", [0, 2**63 - 1])
def test_seeds_are_reproducible(call, seed):
    x = image()
    for first, second, other in zip(
        tuple_of(call(x, seed=seed)), tuple_of(call(x, seed=seed)), tuple_of(call(x, seed=1)), strict=True
    ):
        assert torch.equal(first, second) and not torch.equal(first, other)


@every_call
def test_a_generator_advances(call):
    x, generator = image(), torch.Generator().manual_seed(5)
    first, second = tuple_of(call(x, generator=generator)), tuple_of(call(x, generator=generator))
    again = tuple_of(call(x, generator=generator.manual_seed(5)))
    for a, b, c in zip(first, second, again, strict=True):
        assert torch.equal(a, c) and not torch.equal(a, b)


def test_a_list_of_generators_gives_each_sample_what_it_would_get_alone():
    x = image()
    together = noise(x, SIGNAL, STD, 2, generator=[torch.Generator().manual_seed(seed) for seed in (3, 1, 2)])
    for sample, out, seed in zip(x, together, (3, 1, 2), strict=True):
        alone = noise(sample[None], SIGNAL, STD, 2, generator=[torch.Generator().manual_seed(seed)])
        assert torch.equal(out[None], alone)
        assert torch.equal(alone, noise(sample[None], SIGNAL, STD, 2, generator=torch.Generator().manual_seed(seed)))


def test_a_list_of_one_generator_is_that_generator():
    x, generator = image(), torch.Generator()
    expected = noise(x, SIGNAL, STD, 2, generator=generator.manual_seed(3))
    assert torch.equal(noise(x, SIGNAL, STD, 2, generator=[generator.manual_seed(3)]), expected)


@every_call
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_a_fresh_draw_honours_manual_seed(call, dtype):
    x = image().to(dtype)
    torch.manual_seed(7)
    first, second = tuple_of(call(x)), tuple_of(call(x))
    torch.manual_seed(7)
    for a, b, c in zip(first, second, tuple_of(call(x)), strict=True):
        assert torch.equal(a, c) and not torch.equal(a[1], b[1])


def test_a_fresh_draw_is_torch_randn():
    x, t = image(), torch.tensor([1, 0, 1])
    torch.manual_seed(7)
    n_tp1, n_t = torch.randn(x.shape), torch.randn(x.shape)
    expected = noise_pair(x, SIGNAL, STD, STEP_SIGNAL, STEP_STD, t, noise=(n_t, n_tp1))
    torch.manual_seed(7)
    for actual, value in zip(noise_pair(x, SIGNAL, STD, STEP_SIGNAL, STEP_STD, t), expected, strict=True):
        torch.testing.assert_close(actual, value, rtol=1e-6, atol=1e-6)


@every_call
def test_given_noise_and_samples_stay_as_they_are(call):
    x = image()
    e = (image(seed=1), image(seed=2)) if call is CALLS["noise_pair"] else image(seed=1)
    copies = x.clone(), [n.clone() for n in tuple_of(e)]
    call(x, noise=e)
    call(x)
    assert torch.equal(x, copies[0])
    assert all(torch.equal(n, copy) for n, copy in zip(tuple_of(e), copies[1], strict=True))


# Gradients.


@every_call
def test_gradients_of_every_order(call):
    x = image((3, 1, 2, 2), torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: call(x, seed=1), x)
    assert torch.autograd.gradgradcheck(lambda x: tuple(out.tanh() for out in tuple_of(call(x, seed=1))), x)


@every_call
def test_a_fresh_draw_has_the_gradient_of_a_given_one(call):
    def gradient(**options):
        x = image().requires_grad_()
        return torch.autograd.grad(sum(out.sum() for out in tuple_of(call(x, **options))), x)[0]

    assert torch.equal(gradient(), gradient(seed=1))


# What is refused.

X = image()
GOOD = {"x_0": X, "signal_coefs": SIGNAL, "noise_coefs": STD, "timesteps": T}


@pytest.mark.parametrize(
    ("error", "message", "changes"),
    [
        (TypeError, "`x_0` must be a torch.Tensor, got list", {"x_0": [1.0]}),
        (TypeError, "`x_0` must have one of the dtypes .* got torch.int32", {"x_0": X.int()}),
        (TypeError, "`x_0` must have one of the dtypes .* got torch.complex64", {"x_0": X.cfloat()}),
        (ValueError, "`x_0` must have a batch dimension", {"x_0": torch.tensor(1.0)}),
        (TypeError, "`signal_coefs` must be a torch.Tensor, got list", {"signal_coefs": [1.0]}),
        (TypeError, "`signal_coefs` must be float32, got torch.float64", {"signal_coefs": SIGNAL.double()}),
        (ValueError, "`signal_coefs` must be a vector .* got the shape \\(1, 3\\)", {"signal_coefs": SIGNAL[None]}),
        (ValueError, "`signal_coefs` must be a vector", {"signal_coefs": SIGNAL[:0]}),
        (ValueError, "`noise_coefs` must have 3 entries, .* got 2", {"noise_coefs": STD[:2]}),
        (
            ValueError,
            "`noise_coefs` must be on the device of `x_0`, cpu, got meta",
            {"noise_coefs": STD.to("meta")},
        ),
        (ValueError, "`noise_coefs` must not require a gradient", {"noise_coefs": STD.clone().requires_grad_()}),
        (ValueError, r"`timesteps` must lie in \[0, 2\], got 3", {"timesteps": torch.tensor([0, 3, 1])}),
        (ValueError, r"`timesteps` must lie in \[0, 2\], got -1", {"timesteps": -1}),
        (
            ValueError,
            r"`timesteps` must have the shape \(\), \(1,\) or \(3,\), .* got \(2,\)",
            {"timesteps": torch.tensor([0, 1])},
        ),
        (TypeError, "`timesteps` must be an integer tensor, got torch.float32", {"timesteps": U}),
        (TypeError, "`timesteps` must be an int or an integer tensor, got str", {"timesteps": "1"}),
        (ValueError, "`timesteps` must be on the CPU or on cpu, got meta", {"timesteps": T.to("meta")}),
        (
            ValueError,
            r"`noise` must have the shape of `x_0`, \(3, 2, 4, 4\), got \(3, 2\)",
            {"noise": X[..., 0, 0]},
        ),
        (ValueError, "`noise` must be on the device of `x_0`, cpu, got meta", {"noise": X.to("meta")}),
        (
            TypeError,
            "`noise` must not be more precise than the result, torch.float32, got torch.float64",
            {"noise": X.double()},
        ),
        (ValueError, "`noise` must not require a gradient", {"noise": X.clone().requires_grad_()}),
        (ValueError, "`noise`, `generator` and `seed` must not be given together", {"noise": X, "seed": 1}),
        (TypeError, "`seed` must be an int, got float", {"seed": 1.0}),
        (ValueError, r"`seed` must lie in \[0, 2\^63 - 1\], got -1", {"seed": -1}),
        (ValueError, r"`seed` must lie in \[0, 2\^63 - 1\], got 9223372036854775808", {"seed": 2**63}),
        (TypeError, "`generator` must be a torch.Generator or a list of them, got int", {"generator": 3}),
        (
            ValueError,
            "`generator` must hold one generator per sample, 3, or a single one, got 2",
            {"generator": [torch.Generator(), torch.Generator()]},
        ),
        (ValueError, "`flip` must be None for float samples", {"flip": torch.ones(3, dtype=torch.bool)}),
        (
            ValueError,
            "`dtype` must be None or torch.float32, as `x_0` is, got torch.float16",
            {"dtype": torch.float16},
        ),
    ],
)
def test_noise_refuses(error, message, changes):
    with pytest.raises(error, match=message):
        noise(**GOOD | changes)


PIXELS = torch.zeros(3, 2, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("error", "message", "changes"),
    [
        (TypeError, "`dtype` must be one of .* got torch.int32", {"dtype": torch.int32}),
        (TypeError, "`flip` must be a bool tensor, got torch.int64", {"flip": T}),
        (
            ValueError,
            r"`flip` must have the shape \(3,\), one flag per sample, got \(2,\)",
            {"flip": torch.ones(2, dtype=torch.bool)},
        ),
        (
            ValueError,
            "`flip` must be on the device of `x_0`",
            {"flip": torch.ones(3, dtype=torch.bool, device="meta")},
        ),
        (ValueError, r"`flip` must be None for samples of shape \(B,\)", {"x_0": PIXELS[:, 0], "flip": T.bool()}),
    ],
)
def test_noise_refuses_pixels(error, message, changes):
    with pytest.raises(error, match=message):
        noise(**GOOD | {"x_0": PIXELS} | changes)


def test_noise_pair_refuses():
    tables = (SIGNAL, STD, STEP_SIGNAL, STEP_STD)
    with pytest.raises(ValueError, match=r"`timesteps` must lie in \[0, 1\], got 2"):
        noise_pair(X, *tables, 2)
    with pytest.raises(ValueError, match="`step_noise_coefs` must have 3 entries"):
        noise_pair(X, *tables[:3], STD[:2], T)
    with pytest.raises(TypeError, match=r"`noise` must be the pair \(noise_t, noise_tp1\), got Tensor"):
        noise_pair(X, *tables, T, noise=X)
    with pytest.raises(ValueError, match=r"`noise\[1\]` must have the shape of `x_0`"):
        noise_pair(X, *tables, T, noise=(X, X[:2]))


def test_posterior_step_refuses():
    with pytest.raises(ValueError, match=r"`x_tp1` must have the shape of `x_0`, \(3, 2, 4, 4\), got \(2, 2, 4, 4\)"):
        posterior_step(X, X[:2], SIGNAL, SIGNAL, STD, T)
    with pytest.raises(TypeError, match="`x_tp1` must have the dtype of `x_0`, torch.float32, got torch.float16"):
        posterior_step(X, X.half(), SIGNAL, SIGNAL, STD, T)
    with pytest.raises(ValueError, match="`x_tp1` must be on the device of `x_0`, cpu, got meta"):
        posterior_step(X, X.to("meta"), SIGNAL, SIGNAL, STD, T)
    with pytest.raises(TypeError, match="`x_0` must have one of the dtypes"):
        posterior_step(PIXELS, PIXELS, SIGNAL, SIGNAL, STD, T)
    with pytest.raises(ValueError, match="`std` must have 3 entries"):
        posterior_step(X, X, SIGNAL, SIGNAL, STD[:1], T)


def test_straight_path_refuses():
    for positions in (1.5, -0.1, float("nan"), torch.tensor([0.0, 2.0, 1.0])):
        with pytest.raises(ValueError, match=r"`positions` must lie in \[0, 1\]"):
            straight_path(X, positions, 0.1, 0.9)
    with pytest.raises(TypeError, match="`positions` must be a float tensor, got torch.int64"):
        straight_path(X, T, 0.1, 0.9)
    with pytest.raises(TypeError, match="`positions` must be a float or a float tensor, got str"):
        straight_path(X, "half", 0.1, 0.9)
    with pytest.raises(ValueError, match="`positions` must not require a gradient"):
        straight_path(X, U.clone().requires_grad_(), 0.1, 0.9)
    with pytest.raises(ValueError, match="`noise_coef` must be at least 0, got -0.9"):
        straight_path(X, U, 0.1, -0.9)
    with pytest.raises(TypeError, match="`signal_coef` must be a float, got Tensor"):
        straight_path(X, U, torch.tensor(0.1), 0.9)
