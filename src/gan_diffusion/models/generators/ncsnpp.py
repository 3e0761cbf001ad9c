# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The DDGAN generator: an NCSN++ U-Net with adaptive group norm."""

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from ..layers.attention import AttentionBlock
from ..layers.embeddings import (
    FourierEmbedding,
    LatentMapping,
    TimestepMLP,
    check_class_labels,
    expand_timesteps,
    sinusoidal_embedding,
)
from ..layers.initialization import conv
from ..layers.normalization import GroupNorm, silu
from ..layers.pyramid import size_pair
from ..layers.resampling import Downsample, Upsample
from ..network import Network
from ..outputs import GeneratorOutput
from .ncsnpp_blocks import DownBlock, InputResidual, InputSkip, MidBlock, OutputSkip, ResidualBlock, UpBlock


_CHOICES = {
    "block_type": ("biggan", "biggan_oneadagn", "ddpm"),
    "progressive_input": ("none", "input_skip", "residual"),
    "progressive_output": ("none", "output_skip"),
    "progressive_combine": ("sum", "cat"),
    "time_embedding_type": ("positional", "fourier"),
}


class NCSNppGenerator(Network):
    r"""
    Generator G(x_{t+1}, t, z) -> x_0 of Denoising Diffusion GAN (Xiao, Kreis and Vahdat, ICLR 2022).

    Section 3 and appendix C of the paper describe it: a U-Net after NCSN++ (Song et al., ICLR 2021) whose group norms
    take scale and shift from a latent z. It runs in channels-last memory format on the CPU, whatever the format of its
    input; weights in that format (`model.to(memory_format=torch.channels_last)`) make it a few percent faster.

    Args:
        sample_size (`int` or `tuple[int, int]`, defaults to 32):
            Size of the images, one number or (height, width), which places attention. Images of another size can be
            given at run time as long as they divide by patch_size * 2 ** (levels - 1).
        in_channels (`int`, defaults to 3): Image channels.
        base_channels (`int`, defaults to 128): Width of the first level; the time embedding is four times as wide.
        channel_multipliers (`tuple[int, ...]`, defaults to `(1, 2, 2, 2)`):
            Width of each level in units of `base_channels`, from the highest resolution down.
        layers_per_block (`int`, defaults to 2):
            Residual blocks per level on the way down; the way up has one more.
        attention_resolutions (`tuple[int, ...]`, defaults to `(16,)`):
            Heights of the levels whose residual blocks are followed by attention; one that no level has is without
            effect, as in the reference. The lowest level always has one attention block. The first level has the
            height of the image divided by `patch_size`.
        latent_dim (`int`, defaults to 100): Width of z; 0 for a generator without it, an ablation of the paper.
        latent_embed_dim (`int`, defaults to 256): Width of the style embedding made from z.
        num_latent_layers (`int`, defaults to 4): Linear layers of the mapping network, after its first.
        block_type (`str`, defaults to `"biggan"`):
            "biggan" (resampling inside residual blocks), "biggan_oneadagn" (the same, with a plain second group norm),
            or "ddpm" (resampling between residual blocks).
        progressive_input (`str`, defaults to `"residual"`):
            How the downsampled input joins each level: "none", "input_skip" or "residual".
        progressive_output (`str`, defaults to `"none"`):
            How images of lower levels join the output: "none" or "output_skip".
        progressive_combine (`str`, defaults to `"sum"`): "sum" or "cat", for "input_skip".
        time_embedding_type (`str`, defaults to `"positional"`):
            "positional" (sinusoids of t) or "fourier" (random Fourier features of log t, where t = 0 is taken as 1/2).
        time_conditioning (`bool`, defaults to `True`): Whether the network sees t at all.
        fir_taps (`tuple[float, ...]`, *optional*, defaults to `(1, 3, 3, 1)`):
            Taps of the resampling filter; `None` for naive resampling.
        skip_rescale (`bool`, defaults to `True`): Whether to divide every sum of two branches by sqrt(2).
        centered (`bool`, defaults to `True`):
            Whether the input is in [-1, 1]; if not, it is taken to be in [0, 1] and mapped there first.
        use_tanh (`bool`, defaults to `True`): Whether to end in tanh.
        dropout (`float`, defaults to 0.0): Dropout probability inside residual blocks.
        num_class_embeds (`int`, *optional*):
            Number of classes, for a class-conditional generator. The class embedding is added to the time embedding,
            or to the style embedding without time conditioning.
        patch_size (`int`, defaults to 1):
            Side of the square patches whose pixels become channels at the input, and pixels again at the output (as in
            simple diffusion, Hoogeboom, Heek and Salimans, ICML 2023). Not in the paper: 2 leaves out the highest
            resolution, the most expensive one, for training with little computing power.

    Raises:
        ValueError: From the constructor, if an option is not one of those named, the image size does not divide by
            patch_size * 2 ** (levels - 1), or a width cannot be cut into the groups of its group norm.
    """

    _supports_gradient_checkpointing = True
    _no_split_modules = ["DownBlock", "MidBlock", "UpBlock"]
    # Residual blocks differ so much in shape that compiling them one by one exceeds the compiler's recompile limit.
    _repeated_blocks = ["AttentionBlock"]
    _may_be_zero = ("latent_dim",)

    @register_to_config
    def __init__(
        self,
        sample_size: int | tuple[int, int] = 32,
        in_channels: int = 3,
        base_channels: int = 128,
        channel_multipliers: tuple[int, ...] = (1, 2, 2, 2),
        layers_per_block: int = 2,
        attention_resolutions: tuple[int, ...] = (16,),
        latent_dim: int = 100,
        latent_embed_dim: int = 256,
        num_latent_layers: int = 4,
        block_type: str = "biggan",
        progressive_input: str = "residual",
        progressive_output: str = "none",
        progressive_combine: str = "sum",
        time_embedding_type: str = "positional",
        time_conditioning: bool = True,
        fir_taps: tuple[float, ...] | None = (1, 3, 3, 1),
        skip_rescale: bool = True,
        centered: bool = True,
        use_tanh: bool = True,
        dropout: float = 0.0,
        num_class_embeds: int | None = None,
        patch_size: int = 1,
    ):
        super().__init__()
        self._check_config()
        self._add_embeddings()
        self.conv_in = conv(self._patch_channels, base_channels, 3)
        skip_channels = self._add_down_path()
        channels = skip_channels[-1]
        self.mid_block = MidBlock(
            [self._resnet(channels, channels), self._resnet(channels, channels)], self._attention(channels)
        )
        channels = self._add_up_path(skip_channels)
        self.norm_out = self.conv_out = None
        if progressive_output != "output_skip":
            self.norm_out = GroupNorm(channels)
            self.conv_out = conv(channels, self._patch_channels, 3, scale=0.0)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample, (C, H, W)."""
        return (self.config.in_channels, *size_pair(self.config.sample_size))

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | int | float,
        latent: Tensor,
        class_labels: Tensor | None = None,
        return_dict: bool = True,
    ) -> GeneratorOutput | tuple[Tensor]:
        """
        Predicts the clean image.

        Args:
            sample (`torch.Tensor` of shape (B, in_channels, H, W)):
                Noisy image x_{t+1}, with H and W multiples of patch_size * 2 ** (levels - 1).
            timestep (`torch.Tensor` of shape () or (B,), `int` or `float`):
                Index t of the less noisy image of the step, 0..T-1.
            latent (`torch.Tensor` of shape (B, latent_dim)): z ~ N(0, I).
            class_labels (`torch.Tensor` of shape (B,), *optional*):
                Integer labels, for a class-conditional generator.
            return_dict (`bool`, defaults to `True`): Whether to return an output rather than a tuple.

        Returns:
            [`GeneratorOutput`] or `tuple`: the predicted x_0 as `.sample`, (B, in_channels, H, W).

        Raises:
            ValueError: If a shape is not as described, or class labels are missing, unexpected or out of range.
            TypeError: If class labels are not integers.
        """
        self._check_inputs(sample, latent, class_labels)
        sample = F.pixel_unshuffle(sample, self.config.patch_size)
        if sample.device.type == "cpu":
            sample = sample.contiguous(memory_format=torch.channels_last)
        if not self.config.centered:
            sample = 2 * sample - 1
        time, style = self._embed(sample, timestep, latent, class_labels)

        hidden = self.conv_in(sample)
        skips, pyramid = (hidden,), sample
        for block in self.down_blocks:
            hidden, pyramid, level_skips = block(hidden, pyramid, time, style)
            skips += level_skips
        hidden = self.mid_block(hidden, time, style)
        pyramid = None
        count = self.config.layers_per_block + 1
        for block in self.up_blocks:
            hidden, pyramid = block(hidden, skips[-count:], pyramid, time, style)
            skips = skips[:-count]
        if self.norm_out is not None and self.conv_out is not None:
            hidden = self.conv_out(silu(self.norm_out(hidden)))
        elif pyramid is not None:  # the levels of "output_skip" have made the image
            hidden = pyramid
        if self.config.use_tanh:
            hidden = hidden.tanh()
        hidden = F.pixel_shuffle(hidden, self.config.patch_size)

        return GeneratorOutput(sample=hidden) if return_dict else (hidden,)

    def _embed(
        self, sample: Tensor, timestep: Tensor | int | float, latent: Tensor, class_labels: Tensor | None
    ) -> tuple[Tensor | None, Tensor]:
        """The time embedding after its activation, from which every residual block starts, and the style embedding."""
        style = self.latent_mapping(latent.to(sample.dtype))
        time = None
        if self.time_embedding is not None:
            timesteps = expand_timesteps(timestep, sample.shape[0], sample.device)
            if self.fourier_embedding is not None:
                embedding = self.fourier_embedding(timesteps)
            else:
                embedding = sinusoidal_embedding(timesteps, self.config.base_channels)
            time = self.time_embedding(embedding.to(sample.dtype))
        if self.class_embedding is not None:
            class_embedding = self.class_embedding(class_labels)
            if time is None:
                style = style + class_embedding
            else:
                time = time + class_embedding
        return None if time is None else F.silu(time), style

    def _add_embeddings(self) -> None:
        config, time_dim = self.config, self._time_dim
        self.latent_mapping = LatentMapping(config.latent_dim, config.latent_embed_dim, config.num_latent_layers)
        self.fourier_embedding = self.time_embedding = self.class_embedding = None
        embedding_dim = config.base_channels
        if config.time_embedding_type == "fourier":
            self.fourier_embedding = FourierEmbedding(config.base_channels)
            embedding_dim = 2 * config.base_channels
        if time_dim is not None:
            self.time_embedding = TimestepMLP(embedding_dim, time_dim, F.silu)
        if config.num_class_embeds is not None:
            self.class_embedding = nn.Embedding(config.num_class_embeds, time_dim or config.latent_embed_dim)

    def _add_down_path(self) -> list[int]:
        """Returns the channels of the features that the way up takes back, from the first made to the last."""
        config = self.config
        self.down_blocks = nn.ModuleList()
        channels = pyramid_channels = None
        skip_channels = [config.base_channels]
        for level, width in enumerate(self._widths):
            resnets, attentions = [], []
            for _ in range(config.layers_per_block):
                resnets.append(self._resnet(skip_channels[-1], width))
                if self._has_attention(level):
                    attentions.append(self._attention(width))
                skip_channels.append(width)
            downsampler = pyramid = None
            if level < len(self._widths) - 1:
                downsampler = self._resampler(width, "down")
                pyramid, channels = self._input_pyramid(pyramid_channels or self._patch_channels, width)
                pyramid_channels = width
                skip_channels.append(channels)
            self.down_blocks.append(DownBlock(resnets, attentions, downsampler, pyramid))
        return skip_channels

    def _add_up_path(self, skip_channels: list[int]) -> int:
        """Returns the channels of the last features."""
        config = self.config
        self.up_blocks = nn.ModuleList()
        channels, remaining = skip_channels[-1], list(skip_channels)
        for level, width in reversed(list(enumerate(self._widths))):
            resnets = []
            for _ in range(config.layers_per_block + 1):
                resnets.append(self._resnet(channels + remaining.pop(), width))
                channels = width
            pyramid = None
            if config.progressive_output == "output_skip":
                pyramid = OutputSkip(width, self._patch_channels, config.fir_taps)
            upsampler = self._resampler(width, "up") if level > 0 else None
            attention = self._attention(width) if self._has_attention(level) else None
            self.up_blocks.append(UpBlock(resnets, attention, pyramid, upsampler))
        return channels

    def _resnet(self, in_channels: int, out_channels: int, resample: str | None = None) -> ResidualBlock:
        config = self.config
        return ResidualBlock(
            in_channels,
            out_channels,
            style_dim=config.latent_embed_dim,
            time_dim=self._time_dim,
            resample=resample,
            second_norm_adaptive=config.block_type != "biggan_oneadagn",
            shortcut_scale=0.1 if config.block_type == "ddpm" else 1.0,
            fir_taps=config.fir_taps,
            skip_rescale=config.skip_rescale,
            dropout=config.dropout,
        )

    def _attention(self, channels: int) -> AttentionBlock:
        return AttentionBlock(channels, self.config.skip_rescale)

    def _has_attention(self, level: int) -> bool:
        height = size_pair(self.config.sample_size)[0] // self.config.patch_size
        return height // 2**level in self.config.attention_resolutions

    def _resampler(self, channels: int, direction: str) -> nn.Module:
        if self.config.block_type != "ddpm":
            return self._resnet(channels, channels, resample=direction)
        return {"up": Upsample, "down": Downsample}[direction](self.config.fir_taps)

    def _input_pyramid(self, pyramid_channels: int, channels: int) -> tuple[nn.Module | None, int]:
        """What joins the downsampled input with features of the given width, and the width after it."""
        config = self.config
        if config.progressive_input == "residual":
            return InputResidual(pyramid_channels, channels, config.fir_taps, config.skip_rescale), channels
        if config.progressive_input == "input_skip":
            doubled = config.progressive_combine == "cat"
            pyramid = InputSkip(self._patch_channels, channels, config.progressive_combine, config.fir_taps)
            return pyramid, channels * (2 if doubled else 1)
        return None, channels

    @property
    def _widths(self) -> list[int]:
        return [self.config.base_channels * multiplier for multiplier in self.config.channel_multipliers]

    @property
    def _patch_channels(self) -> int:
        return self.config.in_channels * self.config.patch_size**2

    @property
    def _time_dim(self) -> int | None:
        return 4 * self.config.base_channels if self.config.time_conditioning else None

    @property
    def _divisor(self) -> int:
        return self.config.patch_size * 2 ** (len(self.config.channel_multipliers) - 1)

    def _check_config(self) -> None:
        for name, allowed in _CHOICES.items():
            if self.config[name] not in allowed:
                raise ValueError(f"`{name}` must be one of {allowed}, got {self.config[name]!r}.")
        if not self.config.channel_multipliers:
            raise ValueError("`channel_multipliers` must have at least one level, got none.")
        for name, least in (("base_channels", 4), ("layers_per_block", 1), ("patch_size", 1)):
            if self.config[name] < least:
                raise ValueError(f"`{name}` must be at least {least}, got {self.config[name]}.")
        if not 0 <= self.config.dropout <= 1:
            raise ValueError(f"`dropout` must lie in [0, 1], got {self.config.dropout}.")
        if any(side % self._divisor for side in size_pair(self.config.sample_size)):
            raise ValueError(
                f"`sample_size` must be a multiple of {self._divisor} for {len(self.config.channel_multipliers)} levels "
                f"and `patch_size` {self.config.patch_size}, got {self.config.sample_size}."
            )

    def _check_inputs(self, sample: Tensor, latent: Tensor, class_labels: Tensor | None) -> None:
        channels = self.config.in_channels
        if sample.ndim != 4 or sample.shape[1] != channels:
            raise ValueError(
                f"`sample` must have shape (batch, {channels}, height, width), got {tuple(sample.shape)}."
            )
        if any(side % self._divisor for side in sample.shape[2:]):
            raise ValueError(
                f"`sample` must have a height and width that are multiples of {self._divisor}, got {tuple(sample.shape)}."
            )
        expected = (sample.shape[0], self.config.latent_dim)
        if latent.shape != expected:
            raise ValueError(f"`latent` must have shape {expected}, got {tuple(latent.shape)}.")
        check_class_labels(class_labels, self.config.num_class_embeds, sample.shape[0])
