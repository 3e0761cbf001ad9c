# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The discriminator of SPI-GAN, told the position on the straight path."""

import math

import torch.nn.functional as F
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from ..layers.embeddings import check_class_labels
from ..layers.equalized import ClassEmbedding, EqualizedLinear
from ..layers.positions import expand_positions, position_embedding
from ..layers.sliced import check_last_layer, project_on
from ..network import Network
from ..outputs import DiscriminatorOutput
from .stylegan2_blocks import StyleGAN2Epilogue, StyleGAN2Trunk


class SPIGANDiscriminator(Network):
    r"""
    Discriminator D(i(u), u) of SPI-GAN (Jeon and Park, arXiv 2206.14464) on StyleGAN2 (Karras et al., CVPR 2020).

    That it depends on u is the paper's; how is our choice: an embedding of u shifts the features of every level, as
    the timestep does in DDGAN's discriminator. The paper has no classes: with them, an embedding of the label is added
    to that of u. It runs in channels-last memory format on the CPU.

    Args:
        sample_size (`int` or `tuple[int, int]`, defaults to 32):
            Size of the images, one number or (height, width): a size with a shorter side of 4 to 7, doubled any number
            of times.
        in_channels (`int`, defaults to 3): Image channels.
        channel_base (`int`, defaults to 32768): Width of each level times its resolution.
        channel_max (`int`, defaults to 512): Largest width.
        architecture (`str`, defaults to `"resnet"`):
            "resnet" (levels have residual connections), "skip" (the image enters at every level) or "orig" (neither).
        position_embed_dim (`int`, defaults to 128): Width of the embedding of u, at least 4.
        projection (`bool`, defaults to `False`):
            Whether features are also projected on the embedding (Miyato and Koyama, ICLR 2018).
        num_class_embeds (`int`, *optional*): Number of classes, for a class-conditional discriminator.
        stddev_group_size (`int`, defaults to 4):
            Largest number of samples compared by the minibatch standard deviation layer. Batches that it does not
            divide use smaller groups.
        num_stddev_channels (`int`, defaults to 1): Channels of that layer; 0 for none.
        fir_taps (`tuple[float, ...]`, defaults to `(1, 3, 3, 1)`): Taps of the downsampling filter.
        activation_clamp (`float`, *optional*, defaults to 256.0): Bound of the absolute activations.
        last_layer (`str`, defaults to `"linear"`):
            "san" for a last layer of length 1, trained by the `direction_logits`: see [`ProjectedDiscriminator`].
        patch_size (`int`, defaults to 1):
            Side of the square patches whose pixels become channels at the input, as in [`NCSNppGenerator`]. The levels
            are those of the grid of patches.

    Raises:
        ValueError: From the constructor, if an option is out of range.
    """

    _no_split_modules = ["StyleGAN2DiscriminatorBlock"]
    _repeated_blocks = ["StyleGAN2DiscriminatorBlock"]

    @register_to_config
    def __init__(
        self,
        sample_size: int | tuple[int, int] = 32,
        in_channels: int = 3,
        channel_base: int = 32768,
        channel_max: int = 512,
        architecture: str = "resnet",
        position_embed_dim: int = 128,
        projection: bool = False,
        num_class_embeds: int | None = None,
        stddev_group_size: int = 4,
        num_stddev_channels: int = 1,
        fir_taps: tuple[float, ...] = (1, 3, 3, 1),
        activation_clamp: float | None = 256.0,
        last_layer: str = "linear",
        patch_size: int = 1,
    ):
        super().__init__()
        check_last_layer(last_layer)
        if position_embed_dim < 4:
            raise ValueError(f"`position_embed_dim` must be at least 4, got {position_embed_dim}.")
        self.position_mlp = nn.Sequential(
            EqualizedLinear(position_embed_dim, position_embed_dim, activation=True),
            EqualizedLinear(position_embed_dim, position_embed_dim, activation=True),
        )
        self.class_embed = None
        if num_class_embeds is not None:
            self.class_embed = ClassEmbedding(num_class_embeds, position_embed_dim)
        self.trunk = StyleGAN2Trunk(
            sample_size,
            in_channels,
            channel_base,
            channel_max,
            architecture,
            fir_taps,
            activation_clamp,
            embed_dim=position_embed_dim,
            patch_size=patch_size,
        )
        width = self.trunk.out_channels
        self.project = EqualizedLinear(position_embed_dim, width) if projection else None
        # The first output is the logit, the others are what is projected.
        self.epilogue = StyleGAN2Epilogue(
            width,
            self.trunk.out_size,
            1 + width if projection else 1,
            stddev_group_size,
            num_stddev_channels,
            activation_clamp,
            sliced=last_layer == "san" and not projection,
        )

    def forward(
        self, sample: Tensor, u: Tensor | float, class_labels: Tensor | None = None, return_dict: bool = True
    ) -> DiscriminatorOutput | tuple[Tensor, ...]:
        """
        Judges points of the straight path.

        Args:
            sample (`torch.Tensor` of shape (B, in_channels, height, width)): Images i(u).
            u (`torch.Tensor` of shape () or (B,), or `float`): Position in [0, 1].
            class_labels (`torch.Tensor` of shape (B,), *optional*):
                Integer labels, for a class-conditional discriminator.
            return_dict (`bool`, defaults to `True`): Whether to return an output rather than a tuple.

        Returns:
            [`DiscriminatorOutput`] or `tuple`:
                the logits as `.logits`, (B, 1), where positive means real; with `last_layer="san"`,
                `.direction_logits` too.

        Raises:
            ValueError: If a shape or a position is not as described, or class labels are missing, unexpected or out of
                range.
            TypeError: If class labels are not integers.
        """
        check_class_labels(class_labels, self.config.num_class_embeds, sample.shape[0])
        positions = expand_positions(u, sample.shape[0], sample.device)
        embedding = position_embedding(positions, self.config.position_embed_dim)
        embedding = self.position_mlp(embedding.to(sample.dtype))
        if self.class_embed is not None:
            embedding = (embedding + self.class_embed(class_labels)) * math.sqrt(0.5)
        logits = self.epilogue(self.trunk(sample, embedding))
        if self.project is not None:
            scale = math.sqrt(self.trunk.out_channels)
            if self.config.last_layer == "san":
                # The embedding belongs to the features, which it has a part in.
                vector = self.project(embedding.detach()) / scale
                logits = project_on(logits, F.pad(vector, (1, 0), value=1.0))
            else:
                projected = (logits[:, 1:] * self.project(embedding)).sum(dim=1, keepdim=True)
                logits = logits[:, :1] + projected / scale
        output = DiscriminatorOutput.of(logits)
        return output if return_dict else output.to_tuple()
