# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Building blocks of the StyleGAN2 generator: the mapping network, the synthesis network and its levels."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.utils.torch_utils import randn_tensor
from torch import Generator, Tensor, nn

from ..layers.embeddings import check_class_labels, pixel_norm
from ..layers.equalized import LEAKY_RELU_GAIN, ClassEmbedding, EqualizedConv2d, EqualizedLinear, leaky_relu
from ..layers.modulated_conv import ModulatedConv2d
from ..layers.precision import at_least_float32, to_compute_dtype
from ..layers.pyramid import pyramid_channels
from ..layers.resampling import Upsample


NOISE_MODES = ("random", "const", "none")


class StyleGAN2Mapping(nn.Module):
    """
    Maps latents z ~ N(0, I) to the vectors w that styles are made from, one for each slot of the synthesis network.

    The latent and, with classes, a label embedding are brought to unit root mean square and go through fully connected
    layers with leaky ReLU. A moving average of w, updated by every call in training mode, serves truncation.

    Args:
        latent_dim (`int`): Width of z.
        w_dim (`int`): Width of w and of the layers.
        num_ws (`int`): Number of slots.
        num_class_embeds (`int`, *optional*): Number of classes.
        num_layers (`int`, defaults to 8): Number of layers, at least 1.
        lr_multiplier (`float`, defaults to 0.01): Factor of their learning rate.
        w_avg_decay (`float`, defaults to 0.995): Decay of the moving average, per call.
    """

    w_avg: Tensor

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
        self.class_embed = None if num_class_embeds is None else ClassEmbedding(num_class_embeds, w_dim)
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
        """
        Makes styles: w_avg + psi (w - w_avg), or w itself after the slots that are truncated.

        Args:
            latent (`torch.Tensor` of shape (B, latent_dim)): z.
            class_labels (`torch.Tensor` of shape (B,), *optional*): Labels, for a model with classes.
            truncation_psi (`float`, defaults to 1.0): psi.
            truncation_cutoff (`int`, *optional*): Number of slots, from the first, that are truncated; `None` for all.
            update_w_avg (`bool`, defaults to `True`): Whether a call in training mode updates the moving average.

        Returns:
            `torch.Tensor` of shape (B, num_ws, w_dim), in float32 or better, so that nobody has to convert it, which
            would make a tensor that the image does not depend on.

        Raises:
            ValueError: If class labels are missing, unexpected, of a wrong shape or out of range.
            TypeError: If class labels are not integers.
        """
        check_class_labels(class_labels, self.num_class_embeds, latent.shape[0])
        hidden = pixel_norm(latent)
        if self.class_embed is not None:
            hidden = torch.cat([hidden, self.class_embed(class_labels).to(hidden.dtype)], dim=1)
        for layer in self.layers:
            hidden = layer(hidden)
        hidden = at_least_float32(hidden)
        if self.training and update_w_avg:
            self.w_avg.lerp_(hidden.detach().mean(dim=0).to(self.w_avg.dtype), 1 - self.w_avg_decay)
        ws = hidden[:, None].repeat(1, self.num_ws, 1)
        if truncation_psi == 1.0:
            return ws
        cutoff = self.num_ws if truncation_cutoff is None else truncation_cutoff
        truncated = self.w_avg.to(ws.dtype).lerp(ws[:, :cutoff], truncation_psi)
        return torch.cat([truncated, ws[:, cutoff:]], dim=1)


class StyledConv(nn.Module):
    """
    Modulated 3x3 convolution, noise, bias, leaky ReLU, clamping: (B, in, H, W), (B, w_dim) -> (B, out, H', W').

    Args:
        in_channels (`int`): Channels of the input.
        out_channels (`int`): Channels of the output.
        w_dim (`int`): Width of w.
        size (`tuple[int, int]`): Height and width of the output.
        fir_taps (`tuple[float, ...]`, *optional*):
            Taps of the filter that doubles the size; `None` for a layer that keeps it.
        clamp (`float`, *optional*): Bound of the absolute output before `gain`.
        gain (`float`, defaults to 1.0): Factor of the output.
    """

    noise_const: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        size: tuple[int, int],
        fir_taps: Sequence[float] | None = None,
        clamp: float | None = None,
        gain: float = 1.0,
    ):
        super().__init__()
        self.size = size
        self.gain = LEAKY_RELU_GAIN * gain
        self.clamp = None if clamp is None else clamp * gain
        self.affine = EqualizedLinear(w_dim, in_channels, bias_init=1.0)
        self.conv = ModulatedConv2d(in_channels, out_channels, fir_taps=fir_taps, gain=self.gain)
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", torch.randn(size))

    def forward(self, sample: Tensor, w: Tensor, noise: Tensor | None, noise_mode: str) -> Tensor:
        """(B, in, H, W), (B, w_dim), noise (B, 1, H', W') where `noise_mode` is "random" -> (B, out, H', W')."""
        style = self.affine(w)
        bias = (self.bias * self.gain)[:, None, None]
        if noise_mode == "none":
            return leaky_relu(self.conv(sample, style, bias), self.clamp)
        if noise_mode == "const":
            noise = self.noise_const[None, None].to(w.dtype)
        elif noise is None:
            raise ValueError('`noise` must be given with `noise_mode="random"`, got None.')
        hidden = self.conv(sample, style, noise * (self.noise_strength * self.gain))
        return leaky_relu(hidden.add_(bias), self.clamp)


class ToRGB(nn.Module):
    """
    Modulated 1x1 convolution without demodulation, bias, clamping: (B, in, H, W), (B, w_dim) -> (B, out, H, W).

    Args:
        in_channels (`int`): Channels of the input.
        out_channels (`int`): Channels of the image.
        w_dim (`int`): Width of w.
        clamp (`float`, *optional*): Bound of the absolute output.
    """

    def __init__(self, in_channels: int, out_channels: int, w_dim: int, clamp: float | None = None):
        super().__init__()
        self.clamp = clamp
        self.affine = EqualizedLinear(w_dim, in_channels, bias_init=1.0)
        self.conv = ModulatedConv2d(in_channels, out_channels, kernel_size=1, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def forward(self, sample: Tensor, w: Tensor) -> Tensor:
        """(B, in, H, W), (B, w_dim) -> (B, out, H, W)."""
        image = self.conv(sample, self.affine(w), self.bias[:, None, None])
        return image if self.clamp is None else F.hardtanh(image, -self.clamp, self.clamp)


class SynthesisBlock(nn.Module):
    """
    One level of the synthesis network: one or two styled convolutions, and an image if the architecture has one.

    Args:
        in_channels (`int` or `None`): Channels of the input; `None` for the lowest level, a learned constant.
        out_channels (`int`): Channels of the output.
        w_dim (`int`): Width of w.
        size (`tuple[int, int]`): Height and width of the output.
        image_channels (`int`): Channels of the image.
        architecture (`str`): "orig", "skip" or "resnet".
        is_last (`bool`): Whether this is the highest level, which makes an image in every architecture.
        fir_taps (`tuple[float, ...]`): Taps of the resampling filter.
        clamp (`float` or `None`): Bound of the absolute activations.
    """

    def __init__(
        self,
        in_channels: int | None,
        out_channels: int,
        w_dim: int,
        size: tuple[int, int],
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
            self.const = nn.Parameter(torch.randn(out_channels, *size))
        else:
            self.conv0 = StyledConv(in_channels, out_channels, w_dim, size, fir_taps, clamp)
            self.upsample = Upsample(fir_taps) if architecture == "skip" else None
        self.conv1 = StyledConv(out_channels, out_channels, w_dim, size, clamp=clamp, gain=gain)
        if in_channels is not None and residual:
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
        self,
        hidden: Tensor | None,
        image: Tensor | None,
        ws: Tensor,
        noises: Sequence[Tensor | None],
        noise_mode: str,
    ) -> tuple[Tensor, Tensor | None]:
        """
        Features and image of the level below -> those of this level.

        Args:
            hidden (`torch.Tensor` of shape (B, in, H / 2, W / 2) or `None`): Features; `None` at the lowest level.
            image (`torch.Tensor` or `None`): Image of the level below.
            ws (`torch.Tensor` of shape (B, 2 or 3, w_dim)): One w per styled convolution and one for the image.
            noises (`list`): For each styled convolution, random noise (B, 1, H, W), or `None` in the other modes.
            noise_mode (`str`): "random", "const" or "none".

        Returns:
            `tuple`: features (B, out, H, W), and the image (B, image_channels, H, W) so far or `None`.

        Raises:
            ValueError: If `hidden` is `None` above the lowest level.
        """
        if self.const is not None:
            features = self.const.expand(ws.shape[0], -1, -1, -1)
            if ws.device.type == "cpu":
                features = features.contiguous(memory_format=torch.channels_last)
        elif hidden is not None:
            features = hidden
        else:
            raise ValueError("`hidden` must be the features of the level below, got None.")
        shortcut = None if self.skip is None else self.skip(features)
        for i, conv in enumerate(self.convs):
            features = conv(features, ws[:, i], noises[i], noise_mode)
        if shortcut is not None:
            features = shortcut.add_(features)
        if self.to_rgb is not None:
            rgb = self.to_rgb(features, ws[:, len(noises)])
            image = rgb if image is None or self.upsample is None else self.upsample(image).add_(rgb)
        return features, image


class StyleGAN2Synthesis(nn.Module):
    """
    Synthesis network of StyleGAN2 (Karras et al. 2020): styles -> image.

    Levels double the size up to `sample_size`; their features come from modulated convolutions and per-pixel noise. It
    runs in channels-last memory format on the CPU.

    Args:
        sample_size (`int` or `tuple[int, int]`):
            Size of the images, one number or (height, width): a size with a shorter side of 4 to 7, doubled any number
            of times.
        out_channels (`int`, defaults to 3): Image channels.
        w_dim (`int`, defaults to 512): Width of w.
        channel_base (`int`, defaults to 32768): Width of each level times its resolution.
        channel_max (`int`, defaults to 512): Largest width.
        architecture (`str`, defaults to `"skip"`):
            "skip" (images of all levels are summed), "resnet" (levels have residual connections) or "orig" (neither).
        fir_taps (`tuple[float, ...]`, defaults to `(1, 3, 3, 1)`): Taps of the resampling filter.
        activation_clamp (`float`, *optional*, defaults to 256.0): Bound of the absolute activations.
        patch_size (`int`, defaults to 1):
            Side of the square patches whose pixels are channels up to the output, as in [`NCSNppGenerator`]. The
            levels are those of the grid of patches.

    Attributes:
        num_ws: Number of style slots. The image of a level shares its slot with the first convolution of the next.

    Raises:
        ValueError: From the constructor, if an option is out of range.
    """

    _gradient_checkpointing_func: Callable[..., Any]

    def __init__(
        self,
        sample_size: int | Sequence[int],
        out_channels: int = 3,
        w_dim: int = 512,
        channel_base: int = 32768,
        channel_max: int = 512,
        architecture: str = "skip",
        fir_taps: Sequence[float] = (1, 3, 3, 1),
        activation_clamp: float | None = 256.0,
        patch_size: int = 1,
    ):
        super().__init__()
        channels = pyramid_channels(sample_size, channel_base, channel_max, architecture, patch_size)
        in_channels = [None, *channels.values()]
        blocks = [
            SynthesisBlock(
                in_channels[level],
                width,
                w_dim,
                size,
                out_channels * patch_size**2,
                architecture,
                is_last=level == len(channels) - 1,
                fir_taps=tuple(fir_taps),
                clamp=activation_clamp,
            )
            for level, (size, width) in enumerate(channels.items())
        ]
        self.blocks = nn.ModuleList(blocks)
        self.w_dim = w_dim
        self.patch_size = patch_size
        self._noise_sizes = [[conv.size for conv in block.convs] for block in blocks]
        self.num_ws = sum(len(sizes) for sizes in self._noise_sizes) + 1
        self.gradient_checkpointing = False

    def forward(
        self, ws: Tensor, noise_mode: str = "random", generator: Generator | Sequence[Generator] | None = None
    ) -> Tensor:
        """
        Paints images.

        Args:
            ws (`torch.Tensor` of shape (B, num_ws, w_dim)): Vectors w, of any dtype.
            noise_mode (`str`, defaults to `"random"`):
                "random" (drawn anew), "const" (the noise stored with the weights) or "none".
            generator (`torch.Generator` or `list[torch.Generator]`, *optional*):
                Source of the random noise: one for the batch, or a list with one per sample.

        Returns:
            `torch.Tensor` of shape (B, out_channels, height, width): images, not limited to any range.

        Raises:
            ValueError: If a shape or `noise_mode` is not as described, or a list of generators not as long as the
                batch.
        """
        if ws.ndim != 3 or ws.shape[1:] != (self.num_ws, self.w_dim):
            raise ValueError(f"`ws` must have shape (batch, {self.num_ws}, {self.w_dim}), got {tuple(ws.shape)}.")
        if noise_mode not in NOISE_MODES:
            raise ValueError(f"`noise_mode` must be one of {NOISE_MODES}, got {noise_mode!r}.")
        if isinstance(generator, Sequence):
            generator = list(generator)
            if len(generator) != ws.shape[0]:
                raise ValueError(
                    f"`generator` must be one generator, or a list of {ws.shape[0]} for the batch, got a list of "
                    f"{len(generator)}."
                )
        ws = to_compute_dtype(ws, self.blocks[0].get_parameter("const"))
        hidden = image = None
        first = 0
        for block, sizes in zip(self.blocks, self._noise_sizes, strict=True):
            noises = [None] * len(sizes)
            if noise_mode == "random":
                # Drawn out here: recomputation under gradient checkpointing has to meet the same noise.
                shapes = [(ws.shape[0], 1, *size) for size in sizes]
                noises = [randn_tensor(shape, generator, ws.device, ws.dtype) for shape in shapes]
            args = (hidden, image, ws[:, first : first + len(noises) + 1], noises, noise_mode)
            if torch.is_grad_enabled() and self.gradient_checkpointing:
                hidden, image = self._gradient_checkpointing_func(block, *args)
            else:
                hidden, image = block(*args)
            first += len(noises)
        return F.pixel_shuffle(image, self.patch_size)  # pyright: ignore[reportArgumentType]  # the highest level made it
