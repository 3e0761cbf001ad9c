# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch
import torch.nn.functional as F
from golden_utils import assert_matches, load_golden

from gan_diffusion.models.layers import (
    EqualizedConv2d,
    EqualizedLinear,
    ModulatedConv2d,
    demodulation,
    fir_downsample,
    fir_kernel,
    fir_upsample,
    leaky_relu,
    minibatch_stddev,
    pixel_norm,
    pyramid_channels,
    resampled_conv,
    size_pair,
)


TAPS = (1, 3, 3, 1)
TIGHT = {"rtol": 1e-9, "atol": 1e-12}


@pytest.fixture(scope="module")
def golden():
    return load_golden("diffusion_gan/stylegan2_ops")


def identity_conv(**options):
    """A 1x1 convolution of four channels that, but for bias and activation, does nothing."""
    layer = EqualizedConv2d(4, 4, 1, **options).double()
    layer.weight.data = 2 * torch.eye(4, dtype=torch.float64)[:, :, None, None]  # the run-time gain is 1 / sqrt(4)
    return layer


class TestGolden:
    def test_resampling(self, golden):
        kernel = fir_kernel(TAPS)
        assert_matches(kernel, golden["filter_1331"], **TIGHT)
        assert_matches(fir_upsample(golden["x"], kernel), golden["upsample2d"], **TIGHT)
        assert_matches(fir_downsample(golden["xe"], kernel), golden["downsample2d"], **TIGHT)

    @pytest.mark.parametrize(
        "name, sample, weight, resample",
        [
            ("conv3_plain", "x", "w3", None),
            ("conv3_up2", "x", "w3", "up"),
            ("conv3_down2", "xe", "w3", "down"),
            ("conv1_down2", "xe", "w1", "down"),
            ("conv1_up2", "x", "w1", "up"),
        ],
    )
    def test_resampled_conv(self, golden, name, sample, weight, resample):
        kernel = fir_kernel(TAPS).double()
        out = resampled_conv(golden[sample], golden[weight], kernel=kernel, resample=resample)
        assert_matches(out, golden[name], **TIGHT)

    @pytest.mark.parametrize(
        "name, options",
        [
            ("bias_act_linear", {}),
            ("bias_act_lrelu_default", {"activation": True}),
            # The reference takes the whole gain and the clamp after it; ours are those of a layer at gain 1.
            (
                "bias_act_lrelu_gain0.5_clamp0.8",
                {"activation": True, "gain": 0.5 / math.sqrt(2), "clamp": 0.8 / (0.5 / math.sqrt(2))},
            ),
        ],
    )
    @pytest.mark.parametrize("grad", [True, False])
    def test_bias_and_activation(self, golden, name, options, grad):
        layer = identity_conv(**options)
        layer.bias.data = golden["b"]
        with torch.set_grad_enabled(grad):
            assert_matches(layer(golden["x"]), golden[name], **TIGHT)

    @pytest.mark.parametrize(
        "name, weight, taps, demodulate",
        [
            ("modconv3", "w3", None, True),
            ("modconv3_up2", "w3", TAPS, True),
            ("modconv1_nodemod", "w1", None, False),
        ],
    )
    def test_modulated_conv(self, golden, name, weight, taps, demodulate):
        kernel_size = golden[weight].shape[-1]
        # Without demodulation ours equalises the learning rate; the reference leaves that to its caller.
        gain = 1.0 if demodulate else math.sqrt(4 * kernel_size**2)
        layer = ModulatedConv2d(4, 5, kernel_size, taps, demodulate, gain).double()
        layer.weight.data = golden[weight]
        out = layer(golden["x"], golden["s"], torch.zeros(1, dtype=torch.float64))
        assert_matches(out, golden[name], **TIGHT)

    @pytest.mark.parametrize(
        "name, group, channels",
        [
            ("mbstd_g4", 4, 1),
            ("mbstd_g8", 8, 1),
            ("mbstd_g32", 32, 1),
            ("mbstd_none", 8, 1),
            ("mbstd_g4_f3", 4, 3),
        ],
    )
    def test_minibatch_stddev(self, golden, name, group, channels):
        assert_matches(minibatch_stddev(golden["m"], group, channels), golden[name], **TIGHT)

    def test_normalisation(self, golden):
        assert_matches(pixel_norm(golden["s"]), golden["normalize_2nd_moment"], **TIGHT)


class TestResampledConv:
    @pytest.mark.parametrize("taps", [TAPS, (1, 1), (1, 2, 1), (1, 2, 4, 1), (1, 4, 6, 4, 1)])
    def test_up_against_definition(self, taps):
        """Zero insertion, true convolution with the weight, true convolution with the taps, cropping."""
        x = torch.randn(2, 3, 4, 6, dtype=torch.float64)
        weight = torch.randn(5, 3, 3, 3, dtype=torch.float64)
        spread = torch.zeros(2, 3, 8, 12, dtype=torch.float64)
        spread[..., ::2, ::2] = x
        learned = F.conv2d(spread, weight.flip(2, 3), padding=2)[..., :-1, :-1]  # [9, 13]
        row = torch.tensor(taps, dtype=torch.float64)
        low_pass = (torch.outer(row, row) / row.sum() ** 2).flip(0, 1)[None, None].expand(5, 1, -1, -1)
        before, after = (len(taps) - 1) // 2, (len(taps) - 2) // 2
        padded = F.pad(learned, (before, after, before, after))
        expected = 4 * F.conv2d(padded, low_pass, groups=5)
        actual = resampled_conv(x, weight, kernel=fir_kernel(taps).double(), resample="up")
        torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)

    @pytest.mark.parametrize("size, resample", [(1, "up"), (3, "up"), (1, "down"), (3, "down"), (3, None)])
    def test_bias_is_added_last(self, size, resample):
        x, weight, bias = torch.randn(2, 3, 4, 4), torch.randn(5, 3, size, size), torch.randn(5)
        kernel = fir_kernel(TAPS)
        without = resampled_conv(x, weight, None, kernel, resample)
        torch.testing.assert_close(
            resampled_conv(x, weight, bias, kernel, resample), without + bias[:, None, None], atol=1e-5, rtol=1e-5
        )

    @pytest.mark.parametrize("size, resample", [(1, "up"), (3, "up"), (1, "down"), (3, "down"), (3, None)])
    def test_differentiable_twice(self, size, resample):
        x = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
        weight = torch.randn(2, 2, size, size, dtype=torch.float64, requires_grad=True)
        bias = torch.randn(2, dtype=torch.float64, requires_grad=True)
        kernel = fir_kernel(TAPS).double()

        def function(x, weight, bias):
            return resampled_conv(x, weight, bias, kernel, resample)

        assert torch.autograd.gradcheck(function, (x, weight, bias))
        assert torch.autograd.gradgradcheck(function, (x, weight, bias))

    @pytest.mark.parametrize("resample, size", [("up", 8), ("down", 2), (None, 4)])
    def test_keeps_channels_last(self, resample, size):
        x = torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)
        out = resampled_conv(x, torch.randn(5, 3, 3, 3), torch.randn(5), fir_kernel(TAPS), resample)
        assert out.shape == (2, 5, size, size)
        assert out.is_contiguous(memory_format=torch.channels_last)


class TestEqualized:
    @pytest.mark.parametrize("lr_multiplier", [1.0, 0.01])
    def test_linear_keeps_the_variance(self, lr_multiplier):
        layer = EqualizedLinear(256, 512, lr_multiplier=lr_multiplier)
        assert layer.weight.std().item() == pytest.approx(1 / lr_multiplier, rel=0.02)
        out = layer(torch.randn(64, 256))
        assert out.std().item() == pytest.approx(1.0, rel=0.05)

    def test_linear_bias_starts_at_the_value_asked_for(self):
        for lr_multiplier in (1.0, 0.01):
            layer = EqualizedLinear(4, 3, bias_init=1.0, lr_multiplier=lr_multiplier)
            torch.testing.assert_close(layer(torch.zeros(1, 4)), torch.ones(1, 3))

    def test_lr_multiplier_scales_the_speed(self):
        """One step of a sign-like optimiser moves the function in proportion to the multiplier."""
        moves = []
        for lr_multiplier in (1.0, 0.01):
            layer = EqualizedLinear(8, 1, lr_multiplier=lr_multiplier)
            x = torch.ones(1, 8)
            before = layer(x)
            optimizer = torch.optim.Adam(layer.parameters(), lr=0.1, betas=(0.0, 0.99))
            before.sum().backward()
            optimizer.step()
            moves.append((layer(x) - before).item())
        assert moves[1] == pytest.approx(0.01 * moves[0], rel=1e-3)

    @pytest.mark.parametrize("kernel_size", [1, 3])
    def test_conv_keeps_the_variance(self, kernel_size):
        layer = EqualizedConv2d(64, 64, kernel_size)
        out = layer(torch.randn(4, 64, 16, 16))[..., 1:-1, 1:-1]
        assert out.std().item() == pytest.approx(1.0, rel=0.1)

    def test_shift_is_a_bias_per_sample(self):
        layer = identity_conv(activation=True, clamp=1.5, gain=0.5)
        x, shift = torch.randn(2, 4, 3, 3, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64)
        expected = 0.5 * (math.sqrt(2) * F.leaky_relu(x + shift[:, :, None, None], 0.2)).clamp(-1.5, 1.5)
        torch.testing.assert_close(layer(x, shift), expected)

    def test_clamp_without_activation(self):
        x = torch.tensor([[[[3.0]], [[-3.0]], [[1.0]], [[-1.0]]]], dtype=torch.float64)
        expected = torch.tensor([[[[2.0]], [[-2.0]], [[1.0]], [[-1.0]]]], dtype=torch.float64)
        torch.testing.assert_close(identity_conv(clamp=2.0)(x), expected)

    def test_leaky_relu_clamps(self):
        x = torch.tensor([-100.0, -1.0, 1.0, 100.0])
        for grad in (True, False):
            with torch.set_grad_enabled(grad):
                torch.testing.assert_close(leaky_relu(x.clone(), 10.0), torch.tensor([-10.0, -0.2, 1.0, 10.0]))
                torch.testing.assert_close(leaky_relu(x.clone()), torch.tensor([-20.0, -0.2, 1.0, 100.0]))

    @pytest.mark.parametrize("resample", [None, "up", "down"])
    def test_conv_differentiable_twice(self, resample):
        layer = EqualizedConv2d(2, 2, 3, resample=resample, activation=True, clamp=2.0).double()
        x = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
        shift = torch.randn(1, 2, dtype=torch.float64, requires_grad=True)

        def function(x, weight, bias, shift):
            return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x, shift))

        arguments = (x, layer.weight, layer.bias, shift)
        assert torch.autograd.gradcheck(function, arguments)
        assert torch.autograd.gradgradcheck(function, arguments)


class TestModulatedConv:
    @pytest.mark.parametrize("taps", [None, TAPS])
    def test_equals_a_convolution_with_a_weight_per_sample(self, taps):
        layer = ModulatedConv2d(3, 5, fir_taps=taps, gain=0.7).double()
        x, style = torch.randn(2, 3, 4, 4, dtype=torch.float64), torch.randn(2, 3, dtype=torch.float64)
        shift = torch.randn(5, 1, 1, dtype=torch.float64)
        out = layer(x, style, shift)
        for b in range(2):
            weight = layer.weight * style[b, :, None, None]
            weight = weight / (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
            alone = resampled_conv(x[b : b + 1], weight, kernel=layer.kernel, resample=layer.resample)
            torch.testing.assert_close(out[b : b + 1], 0.7 * alone + shift)

    def test_demodulation_makes_unit_filters(self):
        weight, style = torch.randn(5, 3, 3, 3), torch.randn(2, 3)
        scale = demodulation(weight, style)
        filters = weight[None] * style[:, None, :, None, None] * scale[:, :, None, None, None]
        torch.testing.assert_close(filters.square().sum(dim=(2, 3, 4)), torch.ones(2, 5))

    def test_scale_of_the_style_does_not_matter(self):
        weight, style = torch.randn(5, 3, 3, 3), torch.randn(2, 3)
        torch.testing.assert_close(10 * demodulation(weight, 10 * style), demodulation(weight, style))

    @pytest.mark.parametrize("options", [{}, {"fir_taps": TAPS}, {"demodulate": False}])
    def test_differentiable_twice(self, options):
        layer = ModulatedConv2d(2, 2, **options).double()
        x = torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
        style = torch.randn(2, 2, dtype=torch.float64, requires_grad=True)
        shift = torch.randn(2, 1, 1, dtype=torch.float64, requires_grad=True)

        def function(x, style, shift, weight):
            return torch.func.functional_call(layer, {"weight": weight}, (x, style, shift))

        arguments = (x, style, shift, layer.weight)
        assert torch.autograd.gradcheck(function, arguments)
        assert torch.autograd.gradgradcheck(function, arguments)

    @pytest.mark.parametrize("dtype, tolerance", [(torch.bfloat16, 0.05), (torch.float16, 0.01)])
    def test_half_precision_stays_in_range(self, dtype, tolerance):
        """Raw weights of unit variance on activations at the clamp would overflow float16."""
        layer = ModulatedConv2d(256, 8)
        x, style = 256 * torch.ones(1, 256, 4, 4), 1 + 0.5 * torch.randn(1, 256)
        layer.weight.data.abs_()
        expected = layer(x, style, torch.zeros(1))
        actual = layer.to(dtype)(x.to(dtype), style.to(dtype), torch.zeros(1, dtype=dtype))
        torch.testing.assert_close(
            actual.float(), expected, rtol=tolerance, atol=tolerance * expected.abs().max().item()
        )


class TestMinibatchStddevChannels:
    def test_each_channel_is_a_mean_over_its_features(self):
        x = torch.randn(8, 6, 2, 2, dtype=torch.float64)
        out = minibatch_stddev(x, 4, num_channels=2)
        assert out.shape == (8, 8, 2, 2)
        for b in range(8):
            stddev = (x[b % 2 :: 2].var(dim=0, correction=0) + 1e-8).sqrt()
            torch.testing.assert_close(out[b, 6], stddev[:3].mean().expand(2, 2))
            torch.testing.assert_close(out[b, 7], stddev[3:].mean().expand(2, 2))


class TestPyramid:
    def test_widths(self):
        widths = pyramid_channels(64, 1024, 100, "skip")
        assert list(widths.items()) == [((4, 4), 100), ((8, 8), 100), ((16, 16), 64), ((32, 32), 32), ((64, 64), 16)]
        assert pyramid_channels(4, 1024, 100, "orig") == {(4, 4): 100}

    @pytest.mark.parametrize(
        "sample_size, lowest, levels",
        [
            (7, (7, 7), 1),
            (28, (7, 7), 3),
            (48, (6, 6), 4),
            ((96, 64), (6, 4), 5),
            ([64, 96], (4, 6), 5),
            ((32, 128), (4, 16), 4),
        ],
    )
    def test_sizes(self, sample_size, lowest, levels):
        sizes = list(pyramid_channels(sample_size, 1024, 100, "skip"))
        assert sizes == [(lowest[0] * 2**level, lowest[1] * 2**level) for level in range(levels)]
        assert sizes[-1] == size_pair(sample_size)
        # Patches leave out the highest levels, and keep the widths of the others.
        patched = tuple(4 * side for side in size_pair(sample_size))
        assert pyramid_channels(patched, 1024, 100, "skip", 4) == pyramid_channels(sample_size, 1024, 100, "skip")

    @pytest.mark.parametrize("sample_size", [0, -4, 4.0, "64", (8,), (8, 8, 8), (8, 0), (8, None), None])
    def test_sizes_that_are_none(self, sample_size):
        with pytest.raises(ValueError, match=r"`sample_size` must be a positive integer, or a pair .*, got"):
            size_pair(sample_size)

    @pytest.mark.parametrize(
        "arguments, message",
        [
            ((2, 64, 8, "skip"), "`sample_size` must be at least 4, got 2"),
            (
                (36, 64, 8, "skip"),
                r"`sample_size` must be reached by doubling .* got 36. Take multiples of 8, .*\(32, 32",
            ),
            (((40, 100), 64, 8, "skip"), r"got \(40, 100\). Take multiples of 8, such as \(40, 96\)"),
            ((0, 64, 8, "skip"), "`sample_size` must be a positive integer, .* got 0"),
            ((32, 64, 8, "residual"), "`architecture` must be one of .*, got 'residual'"),
            (
                (32, 16, 8, "skip"),
                "`channel_base` and `channel_max` must leave at least one channel .* 32, got 16 and 8",
            ),
            ((32, 64, 0, "skip"), "`channel_base` and `channel_max`"),
            ((32, 64, 8, "skip", 0), "`patch_size` must be at least 1, got 0"),
            ((32, 64, 8, "skip", 3), "`sample_size` must be a multiple of `patch_size` 3, got 32"),
            ((8, 64, 8, "skip", 4), "`sample_size` must be at least 16, got 8"),
            ((36, 64, 8, "skip", 2), r"got 36. Take multiples of 8, such as \(32, 32\)"),
        ],
    )
    def test_errors(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            pyramid_channels(*arguments)
