# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""Convolutions with a weight gradient of their own: the same numbers as PyTorch's, through two derivatives."""

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck, gradgradcheck

from gan_diffusion.models.layers import convolution
from gan_diffusion.models.layers.convolution import conv2d, conv_transpose2d


def leaf(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


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
