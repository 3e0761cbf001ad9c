# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The time-dependent discriminator of DDGAN."""

import math
from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from ..layers.embeddings import TimestepMLP, check_class_labels, expand_timesteps, sinusoidal_embedding
from ..layers.initialization import conv, linear
from ..layers.minibatch_stddev import minibatch_stddev
from ..layers.resampling import Downsample
from ..layers.sliced import SlicedLinear, check_last_layer
from ..network import Network
from ..outputs import DiscriminatorOutput


_leaky_relu = partial(F.leaky_relu, negative_slope=0.2)


class DiscriminatorBlock(nn.Module):
    """
    Two convolutions and a residual connection, halving height and width if asked.

    Args:
        in_channels (`int`): Channels of the input.
        out_channels (`int`): Channels of the output.
        time_dim (`int`): Width of the time embedding.
        fir_taps (`tuple[float, ...]`, *optional*):
            Taps of the downsampling filter; `None` for a block that does not downsample.
    """

    def __init__(self, in_channels: int, out_channels: int, time_dim: int, fir_taps: Sequence[float] | None = None):
        super().__init__()
        self.conv1 = conv(in_channels, out_channels, 3)
        self.time_proj = linear(time_dim, out_channels)
        self.conv2 = conv(out_channels, out_channels, 3, scale=0.0)
        self.shortcut = conv(in_channels, out_channels, 1, bias=False)
        self.downsample = None if fir_taps is None else Downsample(fir_taps)

    def forward(self, sample: Tensor, time: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H', W'); `time` is the time embedding after its activation."""
        hidden = self.conv1(_leaky_relu(sample))
        hidden = _leaky_relu(hidden.add_(self.time_proj(time)[:, :, None, None]), inplace=True)
        if self.downsample is not None:
            hidden, sample = self.downsample(hidden), self.downsample(sample)
        return self.conv2(hidden).add_(self.shortcut(sample)).mul_(math.sqrt(0.5))


class DDGANDiscriminator(Network):
    r"""
    Discriminator D(x_t, t, x_{t+1}) of Denoising Diffusion GAN (Xiao, Kreis and Vahdat, ICLR 2022, appendix C).

    Returns one logit per pair, of images of any size. Features are summed over positions at the end, so logits grow
    with the image size. The defaults are the published discriminator for 32x32 images; for 256x256 the published one
    has `channel_multipliers=(2, 4, 8, 8, 8, 8, 8)`, six times True for `downsample`, and `zero_init_final_conv=False`.

    Args:
        in_channels (`int`, defaults to 3): Channels of one image; the pair is concatenated inside.
        base_channels (`int`, defaults to 64): Unit of the widths.
        channel_multipliers (`tuple[int, ...]`, defaults to `(2, 2, 4, 8, 8)`):
            Width of the input layer, then of each block, in units of `base_channels`.
        downsample (`tuple[bool, ...]`, defaults to `(False, True, True, True)`):
            For each block, whether it halves height and width.
        zero_init_final_conv (`bool`, defaults to `True`): Whether the last convolution starts near zero.
        time_embed_dim (`int`, defaults to 256): Width of the time embedding.
        fir_taps (`tuple[float, ...]`, defaults to `(1, 3, 3, 1)`): Taps of the downsampling filter.
        stddev_group_size (`int`, defaults to 4):
            Largest number of samples compared by the minibatch standard deviation layer. Batches that it does not
            divide use smaller groups.
        num_class_embeds (`int`, *optional*):
            Number of classes, for a class-conditional discriminator: the class embedding is added to the time
            embedding.
        last_layer (`str`, defaults to `"linear"`):
            "san" for a last layer of length 1, trained by the `direction_logits`: see [`ProjectedDiscriminator`].
        patch_size (`int`, defaults to 1):
            Side of the square patches whose pixels become channels at the input, as in [`NCSNppGenerator`].

    Raises:
        ValueError: From the constructor, if `downsample` is not one shorter than `channel_multipliers`,
            `stddev_group_size`, `time_embed_dim` or `patch_size` is too small, or `last_layer` is unknown.
    """

    _no_split_modules = ["DiscriminatorBlock"]
    _repeated_blocks = ["DiscriminatorBlock"]

    @register_to_config
    def __init__(
        self,
        in_channels: int = 3,
        base_channels: int = 64,
        channel_multipliers: tuple[int, ...] = (2, 2, 4, 8, 8),
        downsample: tuple[bool, ...] = (False, True, True, True),
        zero_init_final_conv: bool = True,
        time_embed_dim: int = 256,
        fir_taps: tuple[float, ...] = (1, 3, 3, 1),
        stddev_group_size: int = 4,
        num_class_embeds: int | None = None,
        last_layer: str = "linear",
        patch_size: int = 1,
    ):
        super().__init__()
        if len(downsample) != len(channel_multipliers) - 1:
            raise ValueError(
                f"`downsample` must have one value per block, {len(channel_multipliers) - 1} for "
                f"{len(channel_multipliers)} `channel_multipliers`, got {len(downsample)}."
            )
        if stddev_group_size < 1:
            raise ValueError(f"`stddev_group_size` must be at least 1, got {stddev_group_size}.")
        if time_embed_dim < 4:
            raise ValueError(f"`time_embed_dim` must be at least 4, got {time_embed_dim}.")
        if patch_size < 1:
            raise ValueError(f"`patch_size` must be at least 1, got {patch_size}.")
        check_last_layer(last_layer)
        widths = [base_channels * multiplier for multiplier in channel_multipliers]

        self.time_embedding = TimestepMLP(time_embed_dim, time_embed_dim, _leaky_relu)
        self.class_embedding = None if num_class_embeds is None else nn.Embedding(num_class_embeds, time_embed_dim)
        self.conv_in = conv(2 * in_channels * patch_size**2, widths[0], 1)
        self.blocks = nn.ModuleList(
            DiscriminatorBlock(width, next_width, time_embed_dim, tuple(fir_taps) if down else None)
            for width, next_width, down in zip(widths[:-1], widths[1:], downsample, strict=True)
        )
        self.conv_out = conv(widths[-1] + 1, widths[-1], 3, scale=0.0 if zero_init_final_conv else 1.0)
        self.linear_out = SlicedLinear(widths[-1]) if last_layer == "san" else linear(widths[-1], 1)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | int | float,
        noisier_sample: Tensor,
        class_labels: Tensor | None = None,
        return_dict: bool = True,
    ) -> DiscriminatorOutput | tuple[Tensor, ...]:
        """
        Judges a pair of neighbouring states of the diffusion.

        Args:
            sample (`torch.Tensor` of shape (B, in_channels, H, W)):
                Less noisy image x_t, with H and W multiples of `patch_size` and of at least
                patch_size * 2 ** (number of downsampling blocks).
            timestep (`torch.Tensor` of shape () or (B,), `int` or `float`): Index t of that image, 0..T-1.
            noisier_sample (`torch.Tensor` of the shape of `sample`): Noisier image x_{t+1}.
            class_labels (`torch.Tensor` of shape (B,), *optional*):
                Integer labels, for a class-conditional discriminator.
            return_dict (`bool`, defaults to `True`): Whether to return an output rather than a tuple.

        Returns:
            [`DiscriminatorOutput`] or `tuple`:
                the logits as `.logits`, (B, 1), where positive means real; with `last_layer="san"`,
                `.direction_logits` too.

        Raises:
            ValueError: If a shape is not as described, or class labels are missing, unexpected or out of range.
            TypeError: If class labels are not integers.
        """
        self._check_inputs(sample, noisier_sample, class_labels)
        timesteps = expand_timesteps(timestep, sample.shape[0], sample.device)
        embedding = sinusoidal_embedding(timesteps, self.config.time_embed_dim)
        time = self.time_embedding(embedding.to(sample.dtype))
        if self.class_embedding is not None:
            time = time + self.class_embedding(class_labels)
        time = _leaky_relu(time)

        hidden = F.pixel_unshuffle(torch.cat([sample, noisier_sample], dim=1), self.config.patch_size)
        if hidden.device.type == "cpu":
            hidden = hidden.contiguous(memory_format=torch.channels_last)
        hidden = self.conv_in(hidden)
        for block in self.blocks:
            hidden = block(hidden, time)
        hidden = minibatch_stddev(hidden, self.config.stddev_group_size)
        hidden = _leaky_relu(self.conv_out(hidden), inplace=True)
        output = DiscriminatorOutput.of(self.linear_out(hidden.sum(dim=(2, 3))))
        return output if return_dict else output.to_tuple()

    def _check_inputs(self, sample: Tensor, noisier_sample: Tensor, class_labels: Tensor | None) -> None:
        channels = self.config.in_channels
        if sample.ndim != 4 or sample.shape[1] != channels:
            raise ValueError(
                f"`sample` must have shape (batch, {channels}, height, width), got {tuple(sample.shape)}."
            )
        if noisier_sample.shape != sample.shape:
            raise ValueError(
                f"`noisier_sample` must have the shape of `sample`, {tuple(sample.shape)}, got "
                f"{tuple(noisier_sample.shape)}."
            )
        patch_size = self.config.patch_size
        if any(side % patch_size for side in sample.shape[2:]):
            raise ValueError(
                f"`sample` must have a height and width that are multiples of `patch_size` {patch_size}, got "
                f"{tuple(sample.shape)}."
            )
        smallest = patch_size * 2 ** sum(self.config.downsample)
        if min(sample.shape[2:]) < smallest:
            raise ValueError(
                f"`sample` must have a height and width of at least {smallest} for {sum(self.config.downsample)} "
                f"downsampling blocks, got {tuple(sample.shape)}."
            )
        check_class_labels(class_labels, self.config.num_class_embeds, sample.shape[0])
