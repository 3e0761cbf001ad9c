# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Convolutions as matrix products: the same numbers as PyTorch's, through two derivatives."""

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck, gradgradcheck

from gan_diffusion.kernels.convolution import conv2d, conv_transpose2d, convolution, minimal_filtering
from gan_diffusion.kernels.convolution.minimal_filtering import suits_winograd, winograd_conv2d


def leaf(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def channels_last(tensor: torch.Tensor) -> torch.Tensor:
    """A leaf like `tensor`."""
    copy = tensor.detach().contiguous(memory_format=torch.channels_last)
    return copy.requires_grad_(tensor.requires_grad)


class TestConv2d:
    @pytest.mark.parametrize("stride, padding, size", [(1, 1, (4, 5)), (2, 0, (5, 7)), (2, 0, (6, 5)), (2, 1, (5, 4))])
    def test_equals_pytorch(self, stride, padding, size):
        sample, weight, bias = leaf(3, 2, *size), leaf(4, 2, 3, 3), leaf(4)
        output = conv2d(sample, weight, bias, stride, padding)
        expected = F.conv2d(sample, weight, bias, stride, padding)
        torch.testing.assert_close(output, expected)
        projection = torch.randn_like(output)
        gradients = torch.autograd.grad((output * projection).sum(), (sample, weight, bias))
        expected = torch.autograd.grad((expected * projection).sum(), (sample, weight, bias))
        torch.testing.assert_close(gradients, expected)

    @pytest.mark.parametrize("stride, padding, size", [(1, 1, (3, 4)), (2, 0, (5, 4))])
    def test_derivatives(self, stride, padding, size):
        inputs = leaf(2, 2, *size), leaf(2, 2, 3, 3), leaf(2)

        def function(*inputs):
            return conv2d(*inputs, stride, padding)

        assert gradcheck(function, inputs)
        assert gradgradcheck(function, inputs)

    def test_batch_in_several_parts(self, monkeypatch):
        monkeypatch.setattr(convolution, "_MAX_ROWS", 40)  # two images of 4x5, of five
        sample, weight = leaf(5, 2, 4, 5), leaf(3, 2, 3, 3)
        gradient = torch.autograd.grad(conv2d(sample, weight, padding=1).square().sum(), weight)
        expected = torch.autograd.grad(F.conv2d(sample, weight, padding=1).square().sum(), weight)
        torch.testing.assert_close(gradient, expected)

    def test_gradient_of_the_input_alone_makes_none_of_the_weight(self, monkeypatch):
        calls = []
        monkeypatch.setattr(convolution._WeightGradient, "apply", lambda *args: calls.append(args))
        sample, weight = leaf(2, 2, 4, 4), leaf(3, 2, 3, 3)
        torch.autograd.grad(conv2d(sample, weight, padding=1).sum(), sample, create_graph=True)
        assert not calls

    def test_derivatives_by_winograd(self, monkeypatch):
        monkeypatch.setattr(minimal_filtering, "_MIN_CHANNELS", 1)
        monkeypatch.setattr(minimal_filtering, "_MIN_TILES", 1)
        calls = []

        def spy(*args):
            calls.append(args)
            return winograd_conv2d(*args)

        monkeypatch.setattr(convolution, "winograd_conv2d", spy)
        inputs = channels_last(leaf(2, 2, 4, 2)), leaf(3, 2, 3, 3), leaf(3)
        projection = channels_last(torch.randn(2, 3, 4, 2, dtype=torch.float64))

        def function(*inputs):
            return conv2d(*inputs, padding=1) * projection

        (function(*inputs).sum()).backward()
        assert len(calls) == 2  # forwards, and back to the input
        assert gradcheck(function, inputs)
        assert gradgradcheck(function, inputs)

    def test_output_may_be_changed_in_place(self):
        sample, weight = channels_last(leaf(1, 256, 32, 32)), leaf(256, 256, 3, 3)
        assert suits_winograd(sample, weight, 1, 1)
        conv2d(sample, weight, padding=1).mul_(2).sum().backward()
        assert sample.grad.shape == sample.shape and weight.grad.shape == weight.shape


class TestWinograd:
    @pytest.mark.parametrize("max_tiles", [1, 5, 12, 100])
    @pytest.mark.parametrize("padding, size", [(1, (6, 8)), (0, (6, 8)), (2, (4, 2))])
    def test_equals_pytorch(self, monkeypatch, max_tiles, padding, size):
        # From less than a row of tiles at a time to all images at once; the last piece may overlap the one before.
        monkeypatch.setattr(minimal_filtering, "_MAX_TILES", max_tiles)
        sample, weight = channels_last(leaf(5, 3, *size)), leaf(4, 3, 3, 3)
        expected = F.conv2d(sample, weight, padding=padding)
        for filters in (weight, channels_last(weight)):
            with torch.no_grad():
                output = winograd_conv2d(sample, filters, padding)
            assert output.is_contiguous(memory_format=torch.channels_last)
            torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)

    def test_single_precision(self):
        sample, weight = torch.randn(1, 256, 32, 32), torch.randn(256, 256, 3, 3) / 48
        output = winograd_conv2d(channels_last(sample), weight, 1)
        expected = F.conv2d(sample.double(), weight.double(), padding=1)
        assert (output - expected).abs().max() < 1e-5 * expected.std()

    @pytest.mark.parametrize(
        "shape, weight_shape, stride, padding, suits",
        [
            ((1, 256, 32, 32), (256, 256, 3, 3), 1, 1, True),
            ((1, 256, 34, 34), (256, 256, 3, 3), 1, 0, True),
            ((1, 256, 32, 32), (256, 256, 3, 3), 2, 1, False),
            ((1, 256, 36, 36), (256, 256, 3, 3), 1, -1, False),
            ((1, 256, 33, 32), (256, 256, 3, 3), 1, 1, False),
            ((1, 256, 32, 32), (256, 256, 1, 1), 1, 0, False),
            ((1, 256, 16, 16), (256, 256, 3, 3), 1, 1, False),
            ((1, 128, 32, 32), (256, 128, 3, 3), 1, 1, False),
            ((1, 256, 32, 32), (256, 128, 3, 3), 1, 1, False),
        ],
    )
    def test_where_it_is_used(self, shape, weight_shape, stride, padding, suits):
        sample, weight = channels_last(torch.zeros(shape)), torch.zeros(weight_shape)
        assert suits_winograd(sample, weight, stride, padding) is suits
        assert not suits_winograd(sample.contiguous(), weight, stride, padding)

    def test_mismatches_raise_what_pytorch_raises(self):
        sample = channels_last(torch.zeros(1, 256, 32, 32))
        with pytest.raises(RuntimeError, match="expected input"):
            conv2d(sample, torch.zeros(256, 512, 3, 3), padding=1)
        with pytest.raises(RuntimeError, match="same type|same dtype|should be the same"):
            conv2d(sample, torch.zeros(256, 256, 3, 3, dtype=torch.float64), padding=1)


class TestConvTranspose2d:
    def test_equals_pytorch(self):
        sample, weight = leaf(3, 2, 4, 5), leaf(2, 3, 3, 3)
        output, expected = conv_transpose2d(sample, weight, 2), F.conv_transpose2d(sample, weight, stride=2)
        torch.testing.assert_close(output, expected)
        gradients = torch.autograd.grad(output.square().sum(), (sample, weight))
        expected = torch.autograd.grad(expected.square().sum(), (sample, weight))
        torch.testing.assert_close(gradients, expected)

    def test_derivatives(self):
        inputs = leaf(2, 2, 3, 3), leaf(2, 2, 3, 3)

        def function(*inputs):
            return conv_transpose2d(*inputs, stride=2)

        assert gradcheck(function, inputs)
        assert gradgradcheck(function, inputs)
