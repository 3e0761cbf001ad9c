# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The discriminator of SPI-GAN, told the position on the straight path."""

import math

from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from ..layers.equalized import EqualizedLinear
from ..layers.positions import expand_positions, position_embedding
from ..outputs import DiscriminatorOutput
from .stylegan2_blocks import StyleGAN2Epilogue, StyleGAN2Trunk


class SPIGANDiscriminator(ModelMixin, ConfigMixin):
    r"""Discriminator D(i(u), u) of SPI-GAN (Jeon and Park, arXiv 2206.14464) on StyleGAN2 (Karras et al., CVPR 2020).

    That it depends on u is the paper's; how is our choice: an embedding of u shifts the features of every level, as the
    timestep does in DDGAN's discriminator. It runs in channels-last memory format on the CPU.

    Args:
        sample_size: Height and width of the images, a power of two from 4 up.
        in_channels: Image channels.
        channel_base: Width of each level times its resolution.
        channel_max: Largest width.
        architecture: "resnet" (levels have residual connections), "skip" (the image enters at every level) or "orig"
            (neither).
        position_embed_dim: Width of the embedding of u, at least 4.
        projection: Whether features are also projected on the embedding of u (Miyato and Koyama, ICLR 2018).
        stddev_group_size: Number of samples compared by the minibatch standard deviation layer. Batches have to divide by
            it; those that are smaller are one group.
        num_stddev_channels: Channels of that layer; 0 for none.
        fir_kernel: Taps of the downsampling filter.
        activation_clamp: Bound of the absolute activations, or None.

    Raises:
        ValueError: From the constructor, if an option is out of range.
    """

    _no_split_modules = ["StyleGAN2DiscriminatorBlock"]

    @register_to_config
    def __init__(
        self,
        sample_size: int = 32,
        in_channels: int = 3,
        channel_base: int = 32768,
        channel_max: int = 512,
        architecture: str = "resnet",
        position_embed_dim: int = 128,
        projection: bool = False,
        stddev_group_size: int = 4,
        num_stddev_channels: int = 1,
        fir_kernel: tuple[float, ...] = (1, 3, 3, 1),
        activation_clamp: float | None = 256.0,
    ):
        super().__init__()
        if position_embed_dim < 4:
            raise ValueError(f"position_embed_dim: expected at least 4, got {position_embed_dim}.")
        self.position_mlp = nn.Sequential(
            EqualizedLinear(position_embed_dim, position_embed_dim, activation=True),
            EqualizedLinear(position_embed_dim, position_embed_dim, activation=True),
        )
        self.trunk = StyleGAN2Trunk(
            sample_size,
            in_channels,
            channel_base,
            channel_max,
            architecture,
            fir_kernel,
            activation_clamp,
            embed_dim=position_embed_dim,
        )
        width = self.trunk.out_channels
        self.project = EqualizedLinear(position_embed_dim, width) if projection else None
        # The first output is the logit, the others are what is projected.
        out_features = 1 + width if projection else 1
        self.epilogue = StyleGAN2Epilogue(
            width, out_features, stddev_group_size, num_stddev_channels, activation_clamp
        )

    def forward(
        self, sample: Tensor, u: Tensor | float, return_dict: bool = True
    ) -> DiscriminatorOutput | tuple[Tensor]:
        """Judges points of the straight path.

        Args:
            sample: Images i(u), (B, in_channels, sample_size, sample_size).
            u: Position in [0, 1]: a number or a tensor of shape () or (B,).
            return_dict: Return a `DiscriminatorOutput` rather than a tuple.

        Returns:
            [`DiscriminatorOutput`] or `tuple`: the logits as `.logits`, (B, 1); positive means real.

        Raises:
            ValueError: If a shape or a position is not as described, or the batch does not divide by the group size.
        """
        positions = expand_positions(u, sample.shape[0], sample.device)
        embedding = position_embedding(positions, self.config.position_embed_dim)
        embedding = self.position_mlp(embedding.to(sample.dtype))
        logits = self.epilogue(self.trunk(sample, embedding))
        if self.project is not None:
            projected = (logits[:, 1:] * self.project(embedding)).sum(dim=1, keepdim=True)
            logits = logits[:, :1] + projected / math.sqrt(self.trunk.out_channels)
        return DiscriminatorOutput(logits=logits) if return_dict else (logits,)
