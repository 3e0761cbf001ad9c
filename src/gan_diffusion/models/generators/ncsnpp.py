# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The DDGAN generator: an NCSN++ U-Net with adaptive group norm."""

from functools import partial

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
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
from ..layers.resampling import ConvDownsample, ConvUpsample, Downsample, Upsample
from ..outputs import GeneratorOutput
from .ncsnpp_blocks import (
    DownBlock,
    InputResidual,
    InputSkip,
    MidBlock,
    OutputResidual,
    OutputSkip,
    ResidualBlock,
    UpBlock,
)


_CHOICES = {
    "block_type": ("biggan", "biggan_oneadagn", "ddpm"),
    "progressive_input": ("none", "input_skip", "residual"),
    "progressive_output": ("none", "output_skip", "residual"),
    "progressive_combine": ("sum", "cat"),
    "time_embedding_type": ("positional", "fourier"),
}


class NCSNppGenerator(ModelMixin, ConfigMixin):
    r"""Generator G(x_{t+1}, t, z) -> x_0 of Denoising Diffusion GAN (Xiao, Kreis and Vahdat, ICLR 2022, section 3 and appendix C).

    A U-Net after NCSN++ (Song et al., ICLR 2021) whose group norms take scale and shift from a latent z. It runs in
    channels-last memory format on the CPU, whatever the format of its input; weights in that format
    (`model.to(memory_format=torch.channels_last)`) make it a few percent faster.

    Args:
        sample_size: Height and width of the images, which places attention. Images of another size can be given at run
            time as long as they divide by 2 ** (levels - 1).
        in_channels: Image channels.
        base_channels: Width of the first level; the time embedding is four times as wide.
        channel_multipliers: Width of each level in units of `base_channels`, from the highest resolution down.
        layers_per_block: Residual blocks per level on the way down; the way up has one more.
        attention_resolutions: Heights at which residual blocks are followed by attention. The lowest level always has one.
        latent_dim: Width of z.
        latent_embed_dim: Width of the style embedding made from z.
        num_latent_layers: Linear layers of the mapping network, after its first.
        block_type: "biggan" (resampling inside residual blocks), "biggan_oneadagn" (the same, with a plain second group
            norm), or "ddpm" (separate resampling layers).
        progressive_input: How the downsampled input joins each level: "none", "input_skip" or "residual".
        progressive_output: How images or features of lower levels join the output: "none", "output_skip" or "residual".
        progressive_combine: "sum" or "cat", for "input_skip".
        time_embedding_type: "positional" (sinusoids of t) or "fourier" (random Fourier features of log t, where t = 0 is
            taken as 1/2).
        fourier_scale: Standard deviation of the Fourier frequencies.
        time_conditioning: Whether the network sees t at all.
        fir: Resample with a FIR filter rather than naively.
        fir_kernel: Taps of that filter.
        resample_with_conv: Whether the resampling layers of "ddpm" blocks have a convolution.
        skip_rescale: Divide every sum of two branches by sqrt(2).
        centered: Whether the input is in [-1, 1]; if not, it is taken to be in [0, 1] and mapped there first.
        use_tanh: End in tanh.
        dropout: Dropout probability inside residual blocks.
        num_class_embeds: Number of classes, for a class-conditional generator. The class embedding is added to the time
            embedding, or to the style embedding without time conditioning.

    Raises:
        ValueError: From the constructor, if an option is not one of those named, the image size does not divide by
            2 ** (levels - 1), or a width cannot be cut into the groups of its group norm.
    """

    _supports_gradient_checkpointing = True
    _no_split_modules = ["ResidualBlock", "AttentionBlock"]
    # Residual blocks differ so much in shape that compiling them one by one exceeds the compiler's recompile limit.
    _repeated_blocks = ["AttentionBlock"]

    @register_to_config
    def __init__(
        self,
        sample_size: int = 32,
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
        fourier_scale: float = 16.0,
        time_conditioning: bool = True,
        fir: bool = True,
        fir_kernel: tuple[float, ...] = (1, 3, 3, 1),
        resample_with_conv: bool = True,
        skip_rescale: bool = True,
        centered: bool = True,
        use_tanh: bool = True,
        dropout: float = 0.0,
        num_class_embeds: int | None = None,
    ):
        super().__init__()
        self._check_config()
        num_levels = len(channel_multipliers)
        taps = tuple(fir_kernel) if fir else None
        time_dim = 4 * base_channels if time_conditioning else None

        self.latent_mapping = LatentMapping(latent_dim, latent_embed_dim, num_latent_layers)
        self.fourier_embedding = self.time_embedding = self.class_embedding = None
        if time_embedding_type == "fourier":
            self.fourier_embedding = FourierEmbedding(base_channels, fourier_scale)
        if time_conditioning:
            embedding_dim = 2 * base_channels if time_embedding_type == "fourier" else base_channels
            self.time_embedding = TimestepMLP(embedding_dim, time_dim, F.silu)
        if num_class_embeds is not None:
            self.class_embedding = nn.Embedding(num_class_embeds, time_dim or latent_embed_dim)

        resnet = partial(
            ResidualBlock,
            style_dim=latent_embed_dim,
            time_dim=time_dim,
            second_norm_adaptive=block_type != "biggan_oneadagn",
            shortcut_scale=0.1 if block_type == "ddpm" else 1.0,
            fir_taps=taps,
            skip_rescale=skip_rescale,
            dropout=dropout,
        )

        def resampler(channels: int, direction: str) -> nn.Module:
            if block_type != "ddpm":
                return resnet(channels, channels, resample=direction)
            if resample_with_conv:
                return {"up": ConvUpsample, "down": ConvDownsample}[direction](channels, channels, taps)
            return {"up": Upsample, "down": Downsample}[direction](taps)

        def attention(channels: int) -> nn.Module:
            return AttentionBlock(channels, skip_rescale)

        self.conv_in = conv(in_channels, base_channels, 3)

        self.down_blocks = nn.ModuleList()
        channels, pyramid_channels = base_channels, in_channels
        skip_channels = [base_channels]
        for level, multiplier in enumerate(channel_multipliers):
            width = base_channels * multiplier
            resnets, attentions = [], []
            for _ in range(layers_per_block):
                resnets.append(resnet(channels, width))
                channels = width
                if sample_size // 2**level in attention_resolutions:
                    attentions.append(attention(width))
                skip_channels.append(width)
            downsampler = pyramid = None
            if level < num_levels - 1:
                downsampler = resampler(channels, "down")
                if progressive_input == "input_skip":
                    pyramid = InputSkip(in_channels, channels, progressive_combine, taps)
                    channels *= 2 if progressive_combine == "cat" else 1
                elif progressive_input == "residual":
                    pyramid = InputResidual(pyramid_channels, channels, taps, skip_rescale)
                    pyramid_channels = channels
                skip_channels.append(channels)
            self.down_blocks.append(DownBlock(resnets, attentions, downsampler, pyramid))

        self.mid_block = MidBlock([resnet(channels, channels), resnet(channels, channels)], attention(channels))

        self.up_blocks = nn.ModuleList()
        pyramid_channels = None
        for level in reversed(range(num_levels)):
            width = base_channels * channel_multipliers[level]
            resnets = []
            for _ in range(layers_per_block + 1):
                resnets.append(resnet(channels + skip_channels.pop(), width))
                channels = width
            has_attention = sample_size // 2**level in attention_resolutions
            pyramid = None
            if progressive_output == "output_skip":
                pyramid = OutputSkip(channels, in_channels, taps)
            elif progressive_output == "residual":
                pyramid = OutputResidual(pyramid_channels, channels, taps, skip_rescale)
                pyramid_channels = channels
            upsampler = resampler(channels, "up") if level > 0 else None
            self.up_blocks.append(UpBlock(resnets, attention(channels) if has_attention else None, pyramid, upsampler))

        self.norm_out = self.conv_out = None
        if progressive_output != "output_skip":
            self.norm_out = GroupNorm(channels)
            self.conv_out = conv(channels, in_channels, 3, scale=0.0)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample, (C, H, W)."""
        return (self.config.in_channels, self.config.sample_size, self.config.sample_size)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | int | float,
        latent: Tensor,
        class_labels: Tensor | None = None,
        return_dict: bool = True,
    ) -> GeneratorOutput | tuple[Tensor]:
        """Predicts the clean image.

        Args:
            sample: Noisy image x_{t+1}, (B, in_channels, H, W), with H and W multiples of 2 ** (levels - 1).
            timestep: Index t of the less noisy image of the step, 0..T-1: a number or a tensor of shape () or (B,).
            latent: z ~ N(0, I), (B, latent_dim).
            class_labels: Integer labels (B,) for a class-conditional generator, else None.
            return_dict: Return a `GeneratorOutput` rather than a tuple.

        Returns:
            The predicted x_0 as `.sample`, (B, in_channels, H, W).

        Raises:
            ValueError: If a shape is not as described, or class labels are missing, unexpected or out of range.
            TypeError: If class labels are not integers.
        """
        self._check_inputs(sample, latent, class_labels)
        batch_size = sample.shape[0]
        if sample.device.type == "cpu":
            sample = sample.contiguous(memory_format=torch.channels_last)
        if not self.config.centered:
            sample = 2 * sample - 1

        style = self.latent_mapping(latent.to(sample.dtype))
        time = None
        if self.time_embedding is not None:
            timesteps = expand_timesteps(timestep, batch_size, sample.device)
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
        if time is not None:
            time = F.silu(time)  # every residual block starts from the activated embedding

        hidden = self.conv_in(sample)
        skips, pyramid = [hidden], sample
        for block in self.down_blocks:
            hidden, pyramid, level_skips = block(hidden, pyramid, time, style)
            skips.extend(level_skips)
        hidden = self.mid_block(hidden, time, style)
        pyramid = None
        for block in self.up_blocks:
            hidden, pyramid = block(hidden, skips, pyramid, time, style)
        hidden = pyramid if self.conv_out is None else self.conv_out(silu(self.norm_out(hidden)))
        if self.config.use_tanh:
            hidden = hidden.tanh()

        return GeneratorOutput(sample=hidden) if return_dict else (hidden,)

    def _check_config(self) -> None:
        for name, allowed in _CHOICES.items():
            if self.config[name] not in allowed:
                raise ValueError(f"{name}: expected one of {allowed}, got {self.config[name]!r}.")
        if not self.config.channel_multipliers:
            raise ValueError("channel_multipliers: expected at least one level, got none.")
        if self.config.base_channels < 4:
            raise ValueError(f"base_channels: expected at least 4, got {self.config.base_channels}.")
        divisor = 2 ** (len(self.config.channel_multipliers) - 1)
        if self.config.sample_size % divisor:
            raise ValueError(
                f"sample_size: {len(self.config.channel_multipliers)} levels need a multiple of {divisor}, "
                f"got {self.config.sample_size}."
            )

    def _check_inputs(self, sample: Tensor, latent: Tensor, class_labels: Tensor | None) -> None:
        channels = self.config.in_channels
        if sample.ndim != 4 or sample.shape[1] != channels:
            raise ValueError(f"sample: expected shape (batch, {channels}, height, width), got {tuple(sample.shape)}.")
        divisor = 2 ** (len(self.config.channel_multipliers) - 1)
        if sample.shape[2] % divisor or sample.shape[3] % divisor:
            raise ValueError(
                f"sample: expected height and width to be multiples of {divisor}, got {tuple(sample.shape)}."
            )
        expected = (sample.shape[0], self.config.latent_dim)
        if latent.shape != expected:
            raise ValueError(f"latent: expected shape {expected}, got {tuple(latent.shape)}.")
        check_class_labels(class_labels, self.config.num_class_embeds, sample.shape[0])
