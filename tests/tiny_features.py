# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""A frozen network of feature maps of one's own, so small that it takes no time."""

import torch
from torch import nn

from gan_diffusion.models.features import register_feature_network


class TinyFeatures(nn.Module):
    """Maps of a half and a quarter of the size, with weights that belong to a seed."""

    def __init__(self, seed: int = 0, channels: tuple[int, int] = (4, 6)):
        super().__init__()
        self.fine = nn.Conv2d(3, channels[0], 3, stride=2, padding=1)
        self.coarse = nn.Conv2d(*channels, 3, stride=2, padding=1)
        source = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=source) / parameter[0].numel() ** 0.5
        self.eval().requires_grad_(False)

    def maps(self, images: torch.Tensor) -> list[torch.Tensor]:
        fine = self.fine(images).relu()
        return [fine, self.coarse(fine).relu()]


# Options of a discriminator on it for images of at least 8 pixels, with heads of 16 channels.
TINY = {
    "feature_network": "tiny",
    "feature_channels": (4, 6),
    "input_size": None,
    "projection_channels": 4,
    "num_downsamples": 1,
    "head_channels": 16,
}

# With a second network.
TWO = TINY | {"feature_network": ("tiny", "tiny-other"), "feature_channels": ((4, 6), (3, 5))}

register_feature_network("tiny", TinyFeatures)
register_feature_network("tiny-other", lambda: TinyFeatures(1, (3, 5)))
