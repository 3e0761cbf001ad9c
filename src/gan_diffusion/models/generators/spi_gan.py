# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The generator of SPI-GAN: an embedding of noise, a neural ODE to the style of a position, StyleGAN2's synthesis."""

import math
from dataclasses import dataclass

from diffusers.configuration_utils import register_to_config
from torch import Generator, Tensor

from ..layers.embeddings import check_class_labels
from ..layers.equalized import ClassEmbedding
from ..layers.positions import expand_positions
from ..layers.precision import at_least_float32
from ..layers.pyramid import size_pair
from ..network import Network
from ..outputs import GeneratorOutput
from .spi_gan_blocks import InitialEmbedding, MLPMapping, ODEMapping, VectorSynthesis
from .stylegan2_blocks import StyleGAN2Synthesis


_CHOICES = {"initial_embedding": ("linear", "conv", "none"), "mapping_type": ("ode", "mlp")}


@dataclass
class SPIGANOutput(GeneratorOutput):
    """
    Output of the SPI-GAN generator.

    Args:
        sample (`torch.Tensor` of shape (B, C, H, W) or (B, D)):
            Images, nominally in [-1, 1] but not limited to it, or vectors.
        styles (`torch.Tensor` of shape (B, w_dim)):
            h(u), the vectors that they were painted from, in float32 or better.
    """

    styles: Tensor | None = None


class SPIGANGenerator(Network):
    r"""
    Generator G(h(u)) of SPI-GAN (Jeon and Park, arXiv 2206.14464): noise -> a sample of the straight path at u.

    `generator.embed` makes h(0) from noise of the shape of the data, `generator.mapping` carries it to h(u) by a
    neural ODE, and `generator.synthesis`, StyleGAN2's, paints from h(u) in every style slot. u reaches the image
    through h(u) alone. Samples of one noise at several u are separate draws: the discriminator compares their
    distributions only.

    The paper has these three parts; widths, depths, the forms of embedding and ODE function, the solver and the vector
    variant are our choices. The paper has no classes: with them, an embedding of the label is added to that of the
    noise, so that h(0) and all that follows depends on it. It runs in channels-last memory format on the CPU. The last
    layer is linear: images are limited to [-1, 1] by the pipeline.

    Args:
        sample_size (`int` or `tuple[int, int]`, defaults to 32):
            Size of the images, one number or (height, width): a size with a shorter side of 4 to 7, doubled any number
            of times.
        out_channels (`int`, defaults to 3): Image channels, of the noise too.
        w_dim (`int`, defaults to 512): Width of h.
        num_class_embeds (`int`, *optional*): Number of classes, for a class-conditional generator.
        initial_embedding (`str`, defaults to `"linear"`):
            "linear" (one linear layer), "conv" (4x4 convolutions of stride 4, then a linear layer; for large images)
            or "none" (the noise is h(0) itself, of shape (B, w_dim)).
        normalize_embedding (`bool`, *optional*):
            Whether embeddings are divided by their root mean square; `None` for images only. Of noise of few
            dimensions it would keep the direction alone.
        mapping_type (`str`, defaults to `"ode"`):
            "ode", or "mlp" for fully connected layers on h(0) and an embedding of u.
        mapping_dim (`int`, defaults to 512): Width of the mapping's hidden layers.
        num_mapping_layers (`int`, defaults to 3): Number of the mapping's layers, at least 1.
        mapping_lr_multiplier (`float`, defaults to 0.01):
            Factor of their learning rate; its root for the last layer of the ODE function.
        ode_solver (`str`, defaults to `"rk4"`):
            "euler", "midpoint", "rk4" or, with the package torchdiffeq, "dopri5".
        num_ode_steps (`int`, defaults to 4): Number of solver steps from 0 to u, at least 1.
        channel_base (`int`, defaults to 32768): Width of each level of the synthesis network times its resolution.
        channel_max (`int`, defaults to 512): Largest width.
        architecture (`str`, defaults to `"skip"`):
            "skip" (images of all levels are summed), "resnet" (levels have residual connections) or "orig" (neither).
        fir_taps (`tuple[float, ...]`, defaults to `(1, 3, 3, 1)`): Taps of the resampling filter.
        activation_clamp (`float`, *optional*, defaults to 256.0): Bound of the absolute activations.
        patch_size (`int`, defaults to 1):
            Side of the square patches whose pixels are channels up to the output, as in [`NCSNppGenerator`]. The
            levels are those of the grid of patches.
        data_dim (`int`, *optional*):
            Dimension D of vectors (B, D) to make instead of images; what describes images is then not used.
        hidden_dim (`int`, defaults to 128): Width of the hidden layers of the synthesis network of vectors, at least
            4.
        num_layers (`int`, defaults to 3): Number of them, at least 1.

    Raises:
        ValueError: From the constructor, if an option is out of range.
    """

    _supports_gradient_checkpointing = True
    _no_split_modules = ["ODEMapping", "MLPMapping", "SynthesisBlock"]
    # Levels differ in shape, so each is compiled: nine of them (1024x1024) need a recompile limit above the default 8.
    _repeated_blocks = ["SynthesisBlock", "ConditionalMLP"]

    @register_to_config
    def __init__(
        self,
        sample_size: int | tuple[int, int] = 32,
        out_channels: int = 3,
        w_dim: int = 512,
        num_class_embeds: int | None = None,
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
        fir_taps: tuple[float, ...] = (1, 3, 3, 1),
        activation_clamp: float | None = 256.0,
        patch_size: int = 1,
        data_dim: int | None = None,
        hidden_dim: int = 128,
        num_layers: int = 3,
    ):
        super().__init__()
        self._check_config()
        if data_dim is None:
            self.synthesis = StyleGAN2Synthesis(
                sample_size,
                out_channels,
                w_dim,
                channel_base,
                channel_max,
                architecture,
                fir_taps,
                activation_clamp,
                patch_size,
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
        self.class_embed = None if num_class_embeds is None else ClassEmbedding(num_class_embeds, w_dim)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample, (C, H, W) or (D,)."""
        if self.config.data_dim is not None:
            return (self.config.data_dim,)
        return (self.config.out_channels, *size_pair(self.config.sample_size))

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Shape of one sample of noise: (C, H, W), (D,), or (w_dim,) without an initial embedding."""
        if self.config.initial_embedding == "none":
            return (self.config.w_dim,)
        return self.sample_shape

    def embed(self, noise: Tensor, class_labels: Tensor | None = None) -> Tensor:
        """
        Embeds noise.

        Args:
            noise (`torch.Tensor` of shape (B, *noise_shape)): z ~ N(0, I), or x_T in training.
            class_labels (`torch.Tensor` of shape (B,), *optional*):
                Integer labels, for a class-conditional generator.

        Returns:
            `torch.Tensor` of shape (B, w_dim): h(0).

        Raises:
            ValueError: If the shape is not as described, or class labels are missing, unexpected or out of range.
            TypeError: If class labels are not integers.
        """
        if noise.ndim < 2 or noise.shape[1:] != self.noise_shape:
            expected = ", ".join(["batch", *map(str, self.noise_shape)])
            raise ValueError(f"`noise` must have shape ({expected}), got {tuple(noise.shape)}.")
        check_class_labels(class_labels, self.config.num_class_embeds, noise.shape[0])
        state = noise if self.embedding is None else self.embedding(noise)
        if self.class_embed is None:
            return state
        return (state + self.class_embed(class_labels).to(state.dtype)) * math.sqrt(0.5)

    def synthesize(
        self, styles: Tensor, noise_mode: str = "random", generator: Generator | list[Generator] | None = None
    ) -> Tensor:
        """Paints samples from styles h(u), (B, w_dim); see `forward` for the other arguments and the shape."""
        return self.synthesis(styles[:, None].expand(-1, self.synthesis.num_ws, -1), noise_mode, generator)

    def forward(
        self,
        noise: Tensor | None = None,
        u: Tensor | float = 1.0,
        class_labels: Tensor | None = None,
        noise_mode: str = "random",
        return_dict: bool = True,
        *,
        styles: Tensor | None = None,
        generator: Generator | list[Generator] | None = None,
    ) -> SPIGANOutput | tuple[Tensor, Tensor]:
        """
        Makes samples of the straight path, at u = 1 of the data.

        Args:
            noise (`torch.Tensor` of shape (B, *noise_shape)): z ~ N(0, I), or x_T in training.
            u (`torch.Tensor` of shape () or (B,), or `float`, defaults to 1.0):
                Position in [0, 1]. With the ODE, h(u) at u = 0 is h(0) exactly.
            class_labels (`torch.Tensor` of shape (B,), *optional*):
                Integer labels, for a class-conditional generator.
            noise_mode (`str`, defaults to `"random"`):
                Noise of the synthesis layers: "random" (drawn anew), "const" (stored with the weights) or "none".
                Networks for vectors have none.
            return_dict (`bool`, defaults to `True`): Whether to return an output rather than a tuple.
            styles (`torch.Tensor` of shape (B, w_dim), *optional*): h(u) to paint from, instead of `noise` and `u`.
            generator (`torch.Generator` or `list[torch.Generator]`, *optional*):
                Source of the random layer noise: one for the batch, or a list with one per sample.

        Returns:
            [`SPIGANOutput`] or `tuple`: the samples as `.sample`, (B, out_channels, height, width) or (B, data_dim),
            and h(u) as `.styles`.

        Raises:
            ValueError: If a shape, a position or `noise_mode` is not as described, class labels are missing,
                unexpected or out of range, or a list of generators is not as long as the batch.
            TypeError: If class labels are not integers.
        """
        if noise is not None and styles is None:
            state = self.embed(noise, class_labels)
            positions = expand_positions(u, state.shape[0], state.device)
            mapped = self.mapping(state, positions)
        elif styles is not None and noise is None:
            mapped = styles
        else:
            raise ValueError("`noise` must be given, or else `styles`, and not both.")
        # In float32, so that accelerate's mixed precision hands on this very tensor, which the sample depends on.
        styles = at_least_float32(mapped)
        sample = self.synthesize(styles.to(mapped.dtype), noise_mode, generator)
        return SPIGANOutput(sample=sample, styles=styles) if return_dict else (sample, styles)

    def _check_config(self) -> None:
        for name, allowed in _CHOICES.items():
            if self.config[name] not in allowed:
                raise ValueError(f"`{name}` must be one of {allowed}, got {self.config[name]!r}.")
        if self.config.data_dim is not None and self.config.initial_embedding == "conv":
            raise ValueError('`initial_embedding` must be "linear" or "none" with `data_dim`, got "conv".')
        for name in ("w_dim", "mapping_dim", "num_mapping_layers"):
            if self.config[name] < 1:
                raise ValueError(f"`{name}` must be at least 1, got {self.config[name]}.")
        if not self.config.mapping_lr_multiplier > 0:
            raise ValueError(
                f"`mapping_lr_multiplier` must be a positive number, got {self.config.mapping_lr_multiplier}."
            )
