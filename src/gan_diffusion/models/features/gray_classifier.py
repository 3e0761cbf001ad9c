# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""A small classifier of grey images, whose features measure generated ones."""

import torch
from torch import nn


class GrayClassifier(nn.Module):
    """
    Four convolutions with batch normalisation, the mean over all positions as features, and a linear layer.

    The network of the yardsticks on Fashion-MNIST: 242 thousand parameters.

    Args:
        num_classes (`int`, defaults to 10): Number of classes.
        channels (`tuple[int, ...]`, defaults to (32, 64, 128, 128)): Channels of the convolutions; the image is halved
            after each but the last.
    """

    def __init__(self, num_classes: int = 10, channels: tuple[int, ...] = (32, 64, 128, 128)):
        super().__init__()
        layers: list[nn.Module] = []
        for number, (before, after) in enumerate(zip((1, *channels), channels, strict=False)):
            layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
            if number < len(channels) - 1:
                layers.append(nn.MaxPool2d(2))
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(channels[-1], num_classes)
        self.num_features = channels[-1]

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """
        Features of images.

        Args:
            images (`torch.Tensor` of shape (B, 1, H, W)): In [-1, 1], with sides of at least 8.

        Returns:
            `torch.Tensor` of shape (B, num_features): the features.
        """
        return self.layers(images).mean((2, 3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """
        Logits of images.

        Args:
            images (`torch.Tensor` of shape (B, 1, H, W)): In [-1, 1], with sides of at least 8.

        Returns:
            `torch.Tensor` of shape (B, num_classes): the logits.
        """
        return self.head(self.features(images))
