# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from gan_diffusion import DDGANDiscriminator, MLPDiscriminator, SPIGANDiscriminator, StyleGAN2Discriminator
from gan_diffusion.models import DiscriminatorOutput


IMAGE = torch.zeros(2, 3, 8, 8)
SMALL_PYRAMID = {"sample_size": 8, "channel_base": 64, "channel_max": 8}


@pytest.mark.parametrize(
    "discriminator, args",
    [
        (DDGANDiscriminator(base_channels=4, channel_multipliers=(1, 2), downsample=(True,)), (IMAGE, 0, IMAGE)),
        (StyleGAN2Discriminator(**SMALL_PYRAMID), (IMAGE, 0)),
        (SPIGANDiscriminator(**SMALL_PYRAMID), (IMAGE, 0.5)),
        (MLPDiscriminator(data_dim=192, hidden_dim=8), (IMAGE, 0, IMAGE)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_discriminators_return_an_output_with_logits_or_a_tuple(discriminator, args):
    output = discriminator(*args)
    assert isinstance(output, DiscriminatorOutput) and output.logits.shape == (2, 1)
    (logits,) = discriminator(*args, return_dict=False)
    assert torch.equal(logits, output.logits)
