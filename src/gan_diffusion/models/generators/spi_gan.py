# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The generator of SPI-GAN: an embedding of noise, a neural ODE to the style of a position, and StyleGAN2's synthesis."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Generator, Tensor, nn

from ..layers.embeddings import pixel_norm
from ..layers.equalized import EqualizedConv2d, EqualizedLinear
from ..layers.mlp import ConditionalMLP
from ..layers.ode import check_solver, solve_ode
from ..layers.positions import expand_positions, position_embedding
from ..outputs import GeneratorOutput
from .stylegan2_blocks import StyleGAN2Synthesis


_CHOICES = {"initial_embedding": ("linear", "conv", "none"), "mapping_type": ("ode", "mlp")}
_EMBEDDING_CHANNELS = 64  # of the first convolution of the embedding, doubled by each one after it
_POSITION_DIM = 128


@dataclass
class SPIGANOutput(GeneratorOutput):
    """Output of the SPI-GAN generator.

    Args:
        sample: Images (B, C, H, W), nominally in [-1, 1] but not limited to it, or vectors (B, D).
        styles: h(u), the vectors that they were painted from, (B, w_dim).
    """

    styles: Tensor


class InitialEmbedding(nn.Module):
    """Embeds noise of the shape of the data as h(0): (B, C, H, W) or (B, D) -> (B, w_dim).

    Positions are never averaged: the noise is independent between them, and its mean over n positions is smaller by
    sqrt(n), so that h(0) would be nearly the same for all of it.

    Args:
        noise_shape: Shape of one sample of noise, (C, H, W) or (D,).
        w_dim: Width of h(0).
        use_conv: Whether 4x4 convolutions of stride 4 with leaky ReLU reduce the height to 4 or 8 before the linear layer,
            which would be very large for large images.
        normalize: Whether to divide h(0) by its root mean square.
    """

    def __init__(self, noise_shape: tuple[int, ...], w_dim: int, use_conv: bool, normalize: bool):
        super().__init__()
        channels, *size = noise_shape
        self.convs = nn.ModuleList()
        while use_conv and size[0] > 8:
            width = _EMBEDDING_CHANNELS * 2 ** len(self.convs)
            # Patches that do not overlap: after moving pixels to channels, the convolution is one of 1x1.
            self.convs.append(EqualizedConv2d(16 * channels, width, 1, activation=True))
            channels, size = width, [side // 4 for side in size]
        self.linear = EqualizedLinear(torch.Size([channels, *size]).numel(), w_dim)
        self.normalize = normalize

    def forward(self, noise: Tensor) -> Tensor:
        hidden = noise
        for conv in self.convs:
            hidden = conv(F.pixel_unshuffle(hidden, 4))
        hidden = self.linear(hidden.flatten(1))
        return pixel_norm(hidden) if self.normalize else hidden


class ODEMapping(nn.Module):
    """Follows dh/dt = r(h, t) from h(0) to h(u): (B, w_dim), (B,) -> (B, w_dim).

    r is fully connected with SiLU, whose smoothness lets solvers of high order keep it. Its last layer starts at zero, so
    that h(u) = h(0) at first, and learns with the root of the multiplier: slowed down by 0.01 it would need tens of
    thousands of steps to leave zero; at the full rate all h(u) soon drift together, so far that the noise in them no longer
    counts and every sample looks the same.

    Args:
        w_dim: Width of h.
        hidden_dim: Width of the hidden layers of r.
        num_layers: Number of layers of r, at least 1.
        lr_multiplier: Factor of the learning rate of all but the last, whose factor is its root.
        solver: See `solve_ode`.
        num_steps: See `solve_ode`.
    """

    def __init__(
        self, w_dim: int, hidden_dim: int, num_layers: int, lr_multiplier: float, solver: str, num_steps: int
    ):
        super().__init__()
        check_solver(solver, num_steps)
        widths = [w_dim + 1, *[hidden_dim] * (num_layers - 1), w_dim]
        multipliers = [*[lr_multiplier] * (num_layers - 1), lr_multiplier**0.5]
        self.layers = nn.ModuleList(
            EqualizedLinear(*pair, lr_multiplier=multiplier)
            for *pair, multiplier in zip(widths[:-1], widths[1:], multipliers, strict=True)
        )
        nn.init.zeros_(self.layers[-1].weight)
        self.solver = solver
        self.num_steps = num_steps

    def slope(self, state: Tensor, time: Tensor) -> Tensor:
        """r(h, t): (B, w_dim), (B,) -> (B, w_dim)."""
        hidden = self.layers[0](torch.cat([state, time.to(state.dtype)[:, None]], dim=1))
        for layer in self.layers[1:]:
            hidden = layer(F.silu(hidden))
        return hidden

    def forward(self, state: Tensor, positions: Tensor) -> Tensor:
        return solve_ode(self.slope, state, positions, solver=self.solver, num_steps=self.num_steps)


class MLPMapping(nn.Module):
    """Maps h(0) and a sinusoidal embedding of u to h(u) by fully connected layers with leaky ReLU, as StyleGAN2 maps
    latents: (B, w_dim), (B,) -> (B, w_dim).

    Args:
        w_dim: Width of h.
        hidden_dim: Width of the hidden layers.
        num_layers: Number of layers, at least 1.
        lr_multiplier: Factor of their learning rate.
    """

    def __init__(self, w_dim: int, hidden_dim: int, num_layers: int, lr_multiplier: float):
        super().__init__()
        widths = [w_dim + _POSITION_DIM, *[hidden_dim] * (num_layers - 1), w_dim]
        self.layers = nn.ModuleList(
            EqualizedLinear(*pair, lr_multiplier=lr_multiplier, activation=True)
            for pair in zip(widths[:-1], widths[1:], strict=True)
        )

    def forward(self, state: Tensor, positions: Tensor) -> Tensor:
        hidden = torch.cat([state, position_embedding(positions, _POSITION_DIM).to(state.dtype)], dim=1)
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden


class VectorSynthesis(nn.Module):
    """Makes vectors from styles by fully connected layers; has the interface of `StyleGAN2Synthesis`, and no noise."""

    num_ws = 1

    def __init__(self, data_dim: int, w_dim: int, hidden_dim: int, num_layers: int):
        super().__init__()
        self.mlp = ConditionalMLP(
            w_dim, hidden_dim, num_layers, data_dim, time_conditioning=False, preserve_variance=True
        )

    def forward(
        self, ws: Tensor, noise_mode: str = "random", generator: Generator | Sequence[Generator] | None = None
    ) -> Tensor:
        """(B, 1, w_dim) -> (B, data_dim)."""
        return self.mlp(ws[:, 0])


class SPIGANGenerator(ModelMixin, ConfigMixin):
    r"""Generator G(h(u)) of SPI-GAN (Jeon and Park, arXiv 2206.14464): noise -> a sample of the straight path at u.

    `generator.embed` makes h(0) from noise of the shape of the data, `generator.mapping` carries it to h(u) by a neural
    ODE, and `generator.synthesis`, StyleGAN2's, paints from h(u) in every style slot. u reaches the image through h(u)
    alone. Samples of one noise at several u are separate draws: the discriminator compares their distributions only.

    The paper has these three parts; widths, depths, the forms of embedding and ODE function, the solver and the vector
    variant are our choices. It runs in channels-last memory format on the CPU. The last layer is linear: images are limited
    to [-1, 1] by the pipeline.

    Args:
        sample_size: Height and width of the images, a power of two from 4 up.
        out_channels: Image channels, of the noise too.
        w_dim: Width of h.
        initial_embedding: "linear" (one linear layer), "conv" (4x4 convolutions of stride 4, then a linear layer; for large
            images) or "none" (the noise is h(0) itself, of shape (B, w_dim)).
        normalize_embedding: Whether embeddings are divided by their root mean square; None for images only. Of noise of few
            dimensions it would keep the direction alone.
        mapping_type: "ode", or "mlp" for fully connected layers on h(0) and an embedding of u.
        mapping_dim: Width of the mapping's hidden layers.
        num_mapping_layers: Number of the mapping's layers, at least 1.
        mapping_lr_multiplier: Factor of their learning rate; its root for the last layer of the ODE function.
        ode_solver: "euler", "midpoint", "rk4" or, with the package torchdiffeq, "dopri5".
        num_ode_steps: Number of solver steps from 0 to u, at least 1.
        channel_base: Width of each level of the synthesis network times its resolution.
        channel_max: Largest width.
        architecture: "skip" (images of all levels are summed), "resnet" (levels have residual connections) or "orig"
            (neither).
        fir_kernel: Taps of the resampling filter.
        activation_clamp: Bound of the absolute activations, or None.
        data_dim: Dimension D of vectors (B, D) to make instead of images; what describes images is then not used.
        hidden_dim: Width of the hidden layers of the synthesis network of vectors, at least 4.
        num_layers: Number of them, at least 1.

    Raises:
        ValueError: From the constructor, if an option is out of range.
    """

    _supports_gradient_checkpointing = True
    _no_split_modules = ["SynthesisBlock"]

    @register_to_config
    def __init__(
        self,
        sample_size: int = 32,
        out_channels: int = 3,
        w_dim: int = 512,
        initial_embedding: str = "linear",
        normalize_embedding: bool | None = None,
        mapping_type: str = "ode",
        mapping_dim: int = 512,
        num_mapping_layers: int = 3,
        mapping_lr_multiplier: float = 0.01,
        ode_solver: str = "rk4",
        num_ode_steps: int = 4,
        channel_base: int = 32768,
        channel_max: int = 512,
        architecture: str = "skip",
        fir_kernel: tuple[float, ...] = (1, 3, 3, 1),
        activation_clamp: float | None = 256.0,
        data_dim: int | None = None,
        hidden_dim: int = 128,
        num_layers: int = 3,
    ):
        super().__init__()
        self._check_config()
        if data_dim is None:
            self.synthesis = StyleGAN2Synthesis(
                sample_size, out_channels, w_dim, channel_base, channel_max, architecture, fir_kernel, activation_clamp
            )
        else:
            self.synthesis = VectorSynthesis(data_dim, w_dim, hidden_dim, num_layers)
        self.embedding = None
        if initial_embedding != "none":
            normalize = data_dim is None if normalize_embedding is None else normalize_embedding
            self.embedding = InitialEmbedding(self.noise_shape, w_dim, initial_embedding == "conv", normalize)
        layers = (w_dim, mapping_dim, num_mapping_layers, mapping_lr_multiplier)
        if mapping_type == "ode":
            self.mapping = ODEMapping(*layers, ode_solver, num_ode_steps)
        else:
            self.mapping = MLPMapping(*layers)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample, (C, H, W) or (D,)."""
        if self.config.data_dim is not None:
            return (self.config.data_dim,)
        return (self.config.out_channels, self.config.sample_size, self.config.sample_size)

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Shape of one sample of noise: (C, H, W), (D,), or (w_dim,) without an initial embedding."""
        if self.config.initial_embedding == "none":
            return (self.config.w_dim,)
        return self.sample_shape

    def embed(self, noise: Tensor) -> Tensor:
        """Embeds noise.

        Args:
            noise: z ~ N(0, I), or x_T in training, (B, *noise_shape).

        Returns:
            h(0), (B, w_dim).

        Raises:
            ValueError: If the shape is not as described.
        """
        if noise.ndim < 2 or noise.shape[1:] != self.noise_shape:
            expected = ", ".join(["batch", *map(str, self.noise_shape)])
            raise ValueError(f"noise: expected shape ({expected}), got {tuple(noise.shape)}.")
        return noise if self.embedding is None else self.embedding(noise)

    def synthesize(
        self, styles: Tensor, noise_mode: str = "random", generator: Generator | list[Generator] | None = None
    ) -> Tensor:
        """Paints samples from styles h(u), (B, w_dim); see `forward` for the other arguments and the shape."""
        return self.synthesis(styles[:, None].expand(-1, self.synthesis.num_ws, -1), noise_mode, generator)

    def forward(
        self,
        noise: Tensor | None = None,
        u: Tensor | float = 1.0,
        noise_mode: str = "random",
        return_dict: bool = True,
        *,
        styles: Tensor | None = None,
        generator: Generator | list[Generator] | None = None,
    ) -> SPIGANOutput | tuple[Tensor, Tensor]:
        """Makes samples of the straight path, at u = 1 of the data.

        Args:
            noise: z ~ N(0, I), or x_T in training, (B, *noise_shape).
            u: Position in [0, 1]: a number or a tensor of shape () or (B,). With the ODE, h(u) at u = 0 is h(0) exactly.
            noise_mode: Noise of the synthesis layers: "random" (drawn anew), "const" (stored with the weights) or "none".
                Networks for vectors have none.
            return_dict: Return a `SPIGANOutput` rather than a tuple.
            styles: h(u) to paint from, (B, w_dim), instead of `noise` and `u`.
            generator: Source of the random layer noise: one for the batch, or a list with one per sample.

        Returns:
            The samples as `.sample`, (B, out_channels, sample_size, sample_size) or (B, data_dim), and h(u) as `.styles`.

        Raises:
            ValueError: If a shape, a position or `noise_mode` is not as described, or a list of generators is not as long
                as the batch.
        """
        if (noise is None) == (styles is None):
            raise ValueError("`noise` must be given, or else `styles`, and not both.")
        if styles is None:
            state = self.embed(noise)
            positions = expand_positions(u, state.shape[0], state.device)
            styles = self.mapping(state, positions)
        sample = self.synthesize(styles, noise_mode, generator)
        return SPIGANOutput(sample=sample, styles=styles) if return_dict else (sample, styles)

    def _check_config(self) -> None:
        for name, allowed in _CHOICES.items():
            if self.config[name] not in allowed:
                raise ValueError(f"{name}: expected one of {allowed}, got {self.config[name]!r}.")
        if self.config.data_dim is not None and self.config.initial_embedding == "conv":
            raise ValueError('initial_embedding: "conv" is for images, expected "linear" or "none" with `data_dim`.')
        for name in ("w_dim", "mapping_dim", "num_mapping_layers"):
            if self.config[name] < 1:
                raise ValueError(f"{name}: expected at least 1, got {self.config[name]}.")
        if not self.config.mapping_lr_multiplier > 0:
            raise ValueError(
                f"mapping_lr_multiplier: expected a positive number, got {self.config.mapping_lr_multiplier}."
            )
