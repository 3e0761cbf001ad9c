# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Building blocks of the StyleGAN2 generator: the mapping network, the synthesis network and its levels."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from diffusers.utils.torch_utils import randn_tensor
from torch import Generator, Tensor, nn

from ..layers.embeddings import check_class_labels, pixel_norm
from ..layers.equalized import LEAKY_RELU_GAIN, EqualizedConv2d, EqualizedLinear, leaky_relu
from ..layers.modulated_conv import ModulatedConv2d
from ..layers.pyramid import pyramid_channels
from ..layers.resampling import Upsample


NOISE_MODES = ("random", "const", "none")


class StyleGAN2Mapping(nn.Module):
    """Maps latents z ~ N(0, I) to the vectors w that styles are made from, one for each slot of the synthesis network.

    The latent and, with classes, a label embedding are brought to unit root mean square and go through fully connected
    layers with leaky ReLU. A moving average of w, updated by every call in training mode, serves truncation.

    Args:
        latent_dim: Width of z.
        w_dim: Width of w and of the layers.
        num_ws: Number of slots.
        num_class_embeds: Number of classes; None without.
        num_layers: Number of layers, at least 1.
        lr_multiplier: Factor of their learning rate.
        w_avg_decay: Decay of the moving average, per call.
    """

    def __init__(
        self,
        latent_dim: int,
        w_dim: int,
        num_ws: int,
        num_class_embeds: int | None = None,
        num_layers: int = 8,
        lr_multiplier: float = 0.01,
        w_avg_decay: float = 0.995,
    ):
        super().__init__()
        self.num_ws = num_ws
        self.num_class_embeds = num_class_embeds
        self.w_avg_decay = w_avg_decay
        self.class_embed = None if num_class_embeds is None else EqualizedLinear(num_class_embeds, w_dim)
        in_dim = latent_dim + (0 if num_class_embeds is None else w_dim)
        self.layers = nn.ModuleList(
            EqualizedLinear(in_dim if i == 0 else w_dim, w_dim, lr_multiplier=lr_multiplier, activation=True)
            for i in range(num_layers)
        )
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(
        self,
        latent: Tensor,
        class_labels: Tensor | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        update_w_avg: bool = True,
    ) -> Tensor:
        """(B, latent_dim) -> (B, num_ws, w_dim).

        Truncation is w_avg + psi (w - w_avg), in the first `truncation_cutoff` slots only if that is given.

        Raises:
            ValueError: If class labels are missing, unexpected, of a wrong shape or out of range.
            TypeError: If class labels are not integers.
        """
        check_class_labels(class_labels, self.num_class_embeds, latent.shape[0])
        hidden = pixel_norm(latent)
        if self.class_embed is not None:
            one_hot = F.one_hot(class_labels.long(), self.num_class_embeds).to(hidden.dtype)
            hidden = torch.cat([hidden, pixel_norm(self.class_embed(one_hot))], dim=1)
        for layer in self.layers:
            hidden = layer(hidden)
        if self.training and update_w_avg:
            self.w_avg.lerp_(hidden.detach().mean(dim=0).to(self.w_avg.dtype), 1 - self.w_avg_decay)
        ws = hidden[:, None].repeat(1, self.num_ws, 1)
        if truncation_psi == 1.0:
            return ws
        cutoff = self.num_ws if truncation_cutoff is None else truncation_cutoff
        truncated = self.w_avg.to(ws.dtype).lerp(ws[:, :cutoff], truncation_psi)
        return torch.cat([truncated, ws[:, cutoff:]], dim=1)


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU, clamping: (B, in, H, W), (B, w_dim) -> (B, out, H', W').

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        w_dim: Width of w.
        resolution: Height and width of the output.
        fir_taps: Taps of the filter that doubles the size; None for a layer that keeps it.
        clamp: Bound of the absolute output before `gain`, or None.
        gain: Factor of the output.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        resolution: int,
        fir_taps: Sequence[float] | None = None,
        clamp: float | None = None,
        gain: float = 1.0,
    ):
        super().__init__()
        self.gain = LEAKY_RELU_GAIN * gain
        self.clamp = None if clamp is None else clamp * gain
        self.conv = ModulatedConv2d(in_channels, out_channels, w_dim, fir_taps=fir_taps, gain=self.gain)
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))

    def make_noise(self, mode: str, ws: Tensor, generator: Generator | Sequence[Generator] | None) -> Tensor | None:
        """Noise image (B, 1, H, W) or (1, 1, H, W) in the dtype of `ws`; None without noise."""
        if mode == "none":
            return None
        if mode == "const":
            return self.noise_const[None, None].to(ws.dtype)
        shape = (ws.shape[0], 1, *self.noise_const.shape)
        return randn_tensor(shape, generator=generator, device=ws.device, dtype=ws.dtype)

    def forward(self, sample: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        bias = (self.bias * self.gain)[:, None, None]
        if noise is None:
            return leaky_relu(self.conv(sample, w, bias), self.clamp)
        hidden = self.conv(sample, w, noise * (self.noise_strength * self.gain))
        return leaky_relu(hidden.add_(bias), self.clamp)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution without demodulation, bias, clamping: (B, in, H, W), (B, w_dim) -> (B, out, H, W)."""

    def __init__(self, in_channels: int, out_channels: int, w_dim: int, clamp: float | None = None):
        super().__init__()
        self.clamp = clamp
        self.conv = ModulatedConv2d(in_channels, out_channels, w_dim, kernel_size=1, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def forward(self, sample: Tensor, w: Tensor) -> Tensor:
        image = self.conv(sample, w, self.bias[:, None, None])
        return image if self.clamp is None else image.clamp(-self.clamp, self.clamp)


class SynthesisBlock(nn.Module):
    """One resolution of the synthesis network: one or two styled convolutions, and an image if the architecture has one.

    Args:
        in_channels: Channels of the input; None for the lowest level, which starts from a learned constant.
        out_channels: Channels of the output.
        w_dim: Width of w.
        resolution: Height and width of the output.
        image_channels: Channels of the image.
        architecture: "orig", "skip" or "resnet".
        is_last: Whether this is the highest resolution, which makes an image in every architecture.
        fir_taps: Taps of the resampling filter.
        clamp: Bound of the absolute activations, or None.
    """

    def __init__(
        self,
        in_channels: int | None,
        out_channels: int,
        w_dim: int,
        resolution: int,
        image_channels: int,
        architecture: str,
        is_last: bool,
        fir_taps: Sequence[float],
        clamp: float | None,
    ):
        super().__init__()
        residual = in_channels is not None and architecture == "resnet"
        gain = math.sqrt(0.5) if residual else 1.0
        self.const = self.conv0 = self.skip = self.to_rgb = self.upsample = None
        if in_channels is None:
            self.const = nn.Parameter(torch.randn(out_channels, resolution, resolution))
        else:
            self.conv0 = StyledConv(in_channels, out_channels, w_dim, resolution, fir_taps, clamp)
            self.upsample = Upsample(fir_taps) if architecture == "skip" else None
        self.conv1 = StyledConv(out_channels, out_channels, w_dim, resolution, clamp=clamp, gain=gain)
        if residual:
            self.skip = EqualizedConv2d(
                in_channels, out_channels, 1, bias=False, resample="up", fir_taps=fir_taps, gain=gain
            )
        if is_last or architecture == "skip":
            self.to_rgb = ToRGB(out_channels, image_channels, w_dim, clamp)

    @property
    def convs(self) -> list[StyledConv]:
        """The styled convolutions, in order."""
        return [conv for conv in (self.conv0, self.conv1) if conv is not None]

    def forward(
        self, hidden: Tensor | None, image: Tensor | None, ws: Tensor, noises: Sequence[Tensor | None]
    ) -> tuple[Tensor, Tensor | None]:
        """Features and image of the level below -> those of this level.

        Args:
            hidden: Features (B, in, H / 2, W / 2); None at the lowest level.
            image: Image of the level below, or None.
            ws: One vector per styled convolution and one for the image, (B, 2 or 3, w_dim).
            noises: Noise of each styled convolution.
        """
        if self.const is not None:
            hidden = self.const.expand(ws.shape[0], -1, -1, -1)
            if ws.device.type == "cpu":
                hidden = hidden.contiguous(memory_format=torch.channels_last)
        shortcut = None if self.skip is None else self.skip(hidden)
        for i, conv in enumerate(self.convs):
            hidden = conv(hidden, ws[:, i], noises[i])
        if shortcut is not None:
            hidden = shortcut.add_(hidden)
        if self.to_rgb is not None:
            rgb = self.to_rgb(hidden, ws[:, len(noises)])
            image = rgb if image is None else self.upsample(image).add_(rgb)
        return hidden, image


class StyleGAN2Synthesis(nn.Module):
    """Synthesis network of StyleGAN2 (Karras et al. 2020): styles -> image.

    Levels double the resolution from 4 to `sample_size`; their features come from modulated convolutions and per-pixel
    noise. It runs in channels-last memory format on the CPU.

    Args:
        sample_size: Height and width of the images, a power of two from 4 up.
        out_channels: Image channels.
        w_dim: Width of w.
        channel_base: Width of each level times its resolution.
        channel_max: Largest width.
        architecture: "skip" (images of all levels are summed), "resnet" (levels have residual connections) or "orig"
            (neither).
        fir_kernel: Taps of the resampling filter.
        activation_clamp: Bound of the absolute activations, or None.

    Attributes:
        num_ws: Number of style slots. The image of a level shares its slot with the first convolution of the next.

    Raises:
        ValueError: From the constructor, if an option is out of range.
    """

    def __init__(
        self,
        sample_size: int,
        out_channels: int = 3,
        w_dim: int = 512,
        channel_base: int = 32768,
        channel_max: int = 512,
        architecture: str = "skip",
        fir_kernel: Sequence[float] = (1, 3, 3, 1),
        activation_clamp: float | None = 256.0,
    ):
        super().__init__()
        channels = pyramid_channels(sample_size, channel_base, channel_max, architecture)
        self.blocks = nn.ModuleList(
            SynthesisBlock(
                channels.get(resolution // 2),
                width,
                w_dim,
                resolution,
                out_channels,
                architecture,
                is_last=resolution == sample_size,
                fir_taps=tuple(fir_kernel),
                clamp=activation_clamp,
            )
            for resolution, width in channels.items()
        )
        self.w_dim = w_dim
        self.num_ws = sum(len(block.convs) for block in self.blocks) + 1
        self.gradient_checkpointing = False

    def forward(
        self, ws: Tensor, noise_mode: str = "random", generator: Generator | Sequence[Generator] | None = None
    ) -> Tensor:
        """Paints images.

        Args:
            ws: Vectors w, (B, num_ws, w_dim).
            noise_mode: "random" (drawn anew), "const" (the noise stored with the weights) or "none".
            generator: Source of the random noise: one for the batch, or a list with one per sample.

        Returns:
            Images (B, out_channels, sample_size, sample_size), not limited to any range.

        Raises:
            ValueError: If a shape or `noise_mode` is not as described, or a list of generators not as long as the batch.
        """
        if ws.ndim != 3 or ws.shape[1:] != (self.num_ws, self.w_dim):
            raise ValueError(f"ws: expected shape (batch, {self.num_ws}, {self.w_dim}), got {tuple(ws.shape)}.")
        if noise_mode not in NOISE_MODES:
            raise ValueError(f"noise_mode: expected one of {NOISE_MODES}, got {noise_mode!r}.")
        if isinstance(generator, list | tuple) and len(generator) != ws.shape[0]:
            raise ValueError(
                f"generator: expected one, or a list of {ws.shape[0]} for the batch, got a list of {len(generator)}."
            )
        hidden = image = None
        first = 0
        for block in self.blocks:
            # Drawn out here: recomputation under gradient checkpointing has to meet the same noise.
            noises = [conv.make_noise(noise_mode, ws, generator) for conv in block.convs]
            args = (hidden, image, ws[:, first : first + len(noises) + 1], noises)
            if torch.is_grad_enabled() and self.gradient_checkpointing:
                hidden, image = self._gradient_checkpointing_func(block, *args)
            else:
                hidden, image = block(*args)
            first += len(noises)
        return image
