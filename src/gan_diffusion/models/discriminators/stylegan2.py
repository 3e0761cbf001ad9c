# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The StyleGAN2 discriminator, told the timestep."""

import math

from diffusers.configuration_utils import register_to_config
from torch import Tensor

from ..layers.embeddings import check_class_labels, expand_timesteps
from ..layers.sliced import check_last_layer, project_on
from ..network import Network
from ..outputs import DiscriminatorOutput
from .stylegan2_blocks import ConditionMapping, StyleGAN2Epilogue, StyleGAN2Trunk


class StyleGAN2Discriminator(Network):
    r"""
    Discriminator D(x_t, t) of Diffusion-GAN (Wang et al., ICLR 2023) on StyleGAN2 (Karras et al., CVPR 2020).

    Timestep and class become a vector that the features of the image are projected on (Miyato and Koyama, ICLR 2018).
    It runs in channels-last memory format on the CPU.

    The reference feeds the number t itself to that path ("official"), which tells clean from noisy images and little
    more: at initialisation, all t > 0 give the same vector, t = 0 gives logits of exactly zero, and a label next to a
    large t is lost. "sinusoidal" has none of these flaws.

    Args:
        sample_size (`int` or `tuple[int, int]`, defaults to 32):
            Size of the images, one number or (height, width): a size with a shorter side of 4 to 7, doubled any number
            of times.
        in_channels (`int`, defaults to 3): Image channels.
        channel_base (`int`, defaults to 32768): Width of each level times its resolution.
        channel_max (`int`, defaults to 512): Largest width.
        architecture (`str`, defaults to `"resnet"`):
            "resnet" (levels have residual connections), "skip" (the image enters at every level) or "orig" (neither).
        timestep_embedding (`str`, *optional*, defaults to `"sinusoidal"`):
            "sinusoidal", "official", or `None` for a discriminator that does not see t.
        timestep_embed_dim (`int`, defaults to 256): Number of sines and cosines, at least 4, for "sinusoidal".
        num_mapping_layers (`int`, defaults to 8): Number of layers from the embedded condition to the vector.
        mapping_lr_multiplier (`float`, defaults to 0.01): Factor of their learning rate.
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

    _may_be_zero = ("num_mapping_layers", "num_stddev_channels")
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
        timestep_embedding: str | None = "sinusoidal",
        timestep_embed_dim: int = 256,
        num_mapping_layers: int = 8,
        mapping_lr_multiplier: float = 0.01,
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
        if last_layer == "san" and timestep_embedding == "official" and num_class_embeds is None:
            raise ValueError(
                "`timestep_embedding` must be 'sinusoidal' or None for `last_layer` 'san' without classes, got 'official', "
                "whose vector is 0 at t = 0 and so has no direction."
            )
        self.trunk = StyleGAN2Trunk(
            sample_size,
            in_channels,
            channel_base,
            channel_max,
            architecture,
            fir_taps,
            activation_clamp,
            patch_size=patch_size,
        )
        width = self.trunk.out_channels
        self.mapping = None
        if timestep_embedding is not None or num_class_embeds is not None:
            self.mapping = ConditionMapping(
                width,
                timestep_embedding,
                timestep_embed_dim,
                num_class_embeds,
                num_mapping_layers,
                mapping_lr_multiplier,
            )
        self.epilogue = StyleGAN2Epilogue(
            width,
            self.trunk.out_size,
            1 if self.mapping is None else width,
            stddev_group_size,
            num_stddev_channels,
            activation_clamp,
            sliced=last_layer == "san" and self.mapping is None,
        )

    @property
    def feature_channels(self) -> int:
        """Channels of the features that it can return beside the logits."""
        return self.trunk.out_channels

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | int | float | None,
        class_labels: Tensor | None = None,
        return_dict: bool = True,
        return_features: bool = False,
    ) -> DiscriminatorOutput | tuple[Tensor, ...]:
        """
        Judges diffused images.

        Args:
            sample (`torch.Tensor` of shape (B, in_channels, height, width)): Images x_t.
            timestep (`torch.Tensor` of shape () or (B,), `int`, `float` or `None`):
                t, 0 for a clean image. `None`, or anything, with `timestep_embedding=None`.
            class_labels (`torch.Tensor` of shape (B,), *optional*):
                Integer labels, for a class-conditional discriminator.
            return_dict (`bool`, defaults to `True`): Whether to return an output rather than a tuple.
            return_features (`bool`, defaults to `False`): Whether to return the features too.

        Returns:
            [`DiscriminatorOutput`] or `tuple`:
                the logits as `.logits`, (B, 1), where positive means real; if asked for, the features of the last
                level as `.features`, (B, `feature_channels`, H, W), which do not depend on timestep and label; with
                `last_layer="san"`, `.direction_logits` too.

        Raises:
            ValueError: If a shape is not as described, the timestep is missing, or class labels are missing,
                unexpected or out of range.
            TypeError: If class labels are not integers.
        """
        batch_size = sample.shape[0]
        check_class_labels(class_labels, self.config.num_class_embeds, batch_size)
        if self.config.timestep_embedding is None:
            timestep = None
        elif timestep is None:
            raise ValueError("`timestep` must be a number or a tensor for a discriminator that is told it, got None.")
        else:
            timestep = expand_timesteps(timestep, batch_size, sample.device)

        features = self.trunk(sample)
        logits = self.epilogue(features)
        if self.mapping is not None:
            condition = self.mapping(timestep, class_labels, logits.dtype)
            if self.config.last_layer == "san":
                logits = project_on(logits, condition)
            else:
                logits = (logits * condition).sum(dim=1, keepdim=True) / math.sqrt(condition.shape[1])
        output = DiscriminatorOutput.of(logits, features if return_features else None)
        return output if return_dict else output.to_tuple()
