# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The discriminator of Projected GAN, which judges the features of a frozen network."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from ..features import digest_of, load_feature_network
from ..layers.embeddings import check_class_labels, expand_timesteps
from ..layers.sliced import check_last_layer
from ..network import Network
from ..outputs import DiscriminatorOutput
from .projected_blocks import FeatureMixing, ProjectedHead


TIMESTEP_EMBEDDINGS = ("sinusoidal", None)


class ProjectedDiscriminator(Network):
    r"""
    Discriminator of Projected GAN (Sauer et al., NeurIPS 2021), as in Diffusion-ProjectedGAN.

    A frozen network makes feature maps of the image, fixed random convolutions mix them, and one head for each map
    judges it. All logits of all heads are returned.

    The frozen network is named by the config and is no part of the weights: it is not saved, and is loaded when it is
    first needed, or by `load_features`. The config keeps a checksum of it, so other weights than those of the training
    are refused. The random convolutions are saved.

    There may be two frozen networks, as in HP-GAN (arXiv 2602.03039), each with convolutions and heads of its own.
    Both see the same images, at the same size. Their names are then a pair in `feature_network`, and the other options
    that begin with `feature_` are pairs of values too, or `None` where neither network needs one. The logits of the
    first network come first.

    Args:
        feature_network (`str` or `tuple[str, str]`, defaults to `"efficientnet-lite0"`):
            Name of the frozen network, see [`~models.features.load_feature_network`], or those of two.
        feature_revision (`str` or a pair, *optional*): Commit or tag of its weights.
        feature_layers (`tuple[int, ...]` or a pair, *optional*):
            Numbers of its layers, from the finest map to the coarsest.
        feature_channels (`tuple[int, ...]` or a pair, defaults to `(24, 40, 112, 320)`): Channels of its maps.
        feature_digest (`str` or a pair, *optional*):
            Checksum of the frozen network, filled in when it is loaded first.
        in_channels (`int`, defaults to 3): Image channels: 3, or 1, which are repeated.
        input_size (`int`, *optional*, defaults to 224):
            Images with a side below this are enlarged, bilinearly, until their shorter side has it. `None` never does.
        projection_channels (`int`, defaults to 64): Channels of the finest map after the random projection.
        num_downsamples (`int`, defaults to 4):
            How often the head of the finest map halves it, one time fewer for each next map. 4 is for maps of a
            quarter to a 32nd of 224 or 256 pixels; with an `input_size` of 64 take 3.
        head_channels (`int`, defaults to 512): Channels before the last convolution of a head, a multiple of 8.
        separable (`bool`, defaults to `False`): Whether heads have separable convolutions.
        patch (`bool`, defaults to `False`):
            Whether every head halves its map once, whatever `num_downsamples`, and so judges smaller patches.
        num_class_embeds (`int`, *optional*): Number of classes, for a class-conditional discriminator.
        timestep_embedding (`str`, *optional*):
            "sinusoidal" for a discriminator that is told the timestep of a diffused image. The published ones are not,
            which is the default: their features are diffused, each channel to a timestep of its own.
        last_layer (`str`, defaults to `"linear"`):
            "san" for a slicing adversarial network (Takida et al. 2024, arXiv 2301.12811): the last layer of each head
            has length 1 and is trained by the `direction_logits`.

    Attributes:
        feature_noise (`Callable`, *optional*):
            What is done to each map of the frozen network, (B, C, H, W) to the same. An objective sets it, and it is
            not saved.

    Raises:
        ValueError: From the constructor, if an option is out of range, or is not given for each of two networks.
    """

    _may_be_zero = ("feature_layers", "num_downsamples")
    _no_split_modules = ["FeatureMixing", "ProjectedHead"]
    _repeated_blocks = ["HeadBlock"]

    @register_to_config
    def __init__(
        self,
        feature_network: str | tuple[str, str] = "efficientnet-lite0",
        feature_revision: str | tuple[str | None, str | None] | None = None,
        feature_layers: tuple[int, ...] | tuple[tuple[int, ...] | None, tuple[int, ...] | None] | None = None,
        feature_channels: tuple[int, ...] | tuple[tuple[int, ...], tuple[int, ...]] = (24, 40, 112, 320),
        feature_digest: str | tuple[str | None, str | None] | None = None,
        in_channels: int = 3,
        input_size: int | None = 224,
        projection_channels: int = 64,
        num_downsamples: int = 4,
        head_channels: int = 512,
        separable: bool = False,
        patch: bool = False,
        num_class_embeds: int | None = None,
        timestep_embedding: str | None = None,
        last_layer: str = "linear",
    ):
        super().__init__()
        if in_channels not in (1, 3):
            raise ValueError(f"`in_channels` must be 1 or 3, got {in_channels}.")
        if head_channels % 8:
            raise ValueError(f"`head_channels` must be a multiple of 8, got {head_channels}.")
        if timestep_embedding not in TIMESTEP_EMBEDDINGS:
            raise ValueError(f"`timestep_embedding` must be one of {TIMESTEP_EMBEDDINGS}, got {timestep_embedding!r}.")
        check_last_layer(last_layer)
        networks = self._of_each_network()
        if len({network["feature_network"] for network in networks}) < len(networks):
            raise ValueError(f"`feature_network` must name two different networks, got {feature_network!r}.")
        if not all(network["feature_channels"] for network in networks):
            raise ValueError("`feature_channels` must have one number for each map, got none.")
        mixings = [FeatureMixing(network["feature_channels"], projection_channels) for network in networks]
        self.mixing, self.second_mixing = mixings[0], mixings[1] if len(mixings) == 2 else None
        self.heads = nn.ModuleList(
            ProjectedHead(
                _widths(width, 1 if patch else max(num_downsamples - level, 0), head_channels),
                separable,
                patch,
                num_class_embeds,
                None if timestep_embedding is None else 128,
                sliced=last_layer == "san",
            )
            for mixing in mixings
            for level, width in enumerate(mixing.out_channels)
        )
        self.feature_noise: Callable[[Tensor], Tensor] | None = None
        # In a list, a frozen network is no part of the parameters, the state dict and the training mode.
        self._features: list[nn.Module] = []

    def load_features(self) -> list[nn.Module]:
        """
        Loads the frozen networks, once. Before `torch.compile`, call this.

        Returns:
            `list[nn.Module]`: the network, or the two.

        Raises:
            ValueError: If one cannot be loaded, or is another one than that of the training.
        """
        if not self._features:
            loaded, digests = [], []
            for options in self._of_each_network():
                name, layers, expected = (options[f"feature_{key}"] for key in ("network", "layers", "digest"))
                # Whenever that is, the caller's random numbers stay, and gradients can go through the weights.
                with torch.random.fork_rng(devices=[]), torch.inference_mode(False):
                    layers = None if layers is None else tuple(layers)
                    network = load_feature_network(name, options["feature_revision"], layers)
                digest = digest_of(network)
                if expected not in (None, digest):
                    raise ValueError(
                        f"`feature_network` {name!r} must have the weights of the training, with the checksum {expected}, got "
                        f"{digest}. Install or name the version that it was trained with."
                    )
                loaded.append(network)
                digests.append(digest)
            # diffusers leaves the defaults of a config out where it makes another network of it.
            defaults = [name for name in self.config.get("_use_default_values", []) if name != "feature_digest"]
            of_all = digests[0] if len(digests) == 1 else tuple(digests)
            self.register_to_config(feature_digest=of_all, _use_default_values=defaults)
            self._features.extend(loaded)
        return self._features

    def _of_each_network(self) -> list[dict[str, Any]]:
        """Name, revision, layers, channels and digest of each frozen network."""
        names = ("feature_network", "feature_revision", "feature_layers", "feature_channels", "feature_digest")
        one = _is_of_one(self.config.feature_network)
        for name in names:
            value = self.config[name]
            if value is not None and _is_of_one(value) is not one:
                wanted = "one value for the one network" if one else "a pair of values for the two networks"
                raise ValueError(f"`{name}` must be {wanted} of `feature_network`, got {value!r}.")
        if one:
            return [{name: self.config[name] for name in names}]
        return [{name: (self.config[name] or (None, None))[place] for name in names} for place in range(2)]

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | int | float | None = None,
        class_labels: Tensor | None = None,
        return_dict: bool = True,
    ) -> DiscriminatorOutput | tuple[Tensor, ...]:
        """
        Judges images.

        Args:
            sample (`torch.Tensor` of shape (B, in_channels, H, W)): Images.
            timestep (`torch.Tensor` of shape () or (B,), `int` or `float`, *optional*):
                t, 0 for a clean image. `None`, or anything, for a discriminator that is not told it.
            class_labels (`torch.Tensor` of shape (B,), *optional*):
                Integer labels, for a class-conditional discriminator.
            return_dict (`bool`, defaults to `True`): Whether to return an output rather than a tuple.

        Returns:
            [`DiscriminatorOutput`] or `tuple`:
                the logits of all heads as `.logits`, (B, L), where positive means real; with `last_layer="san"`,
                `.direction_logits` too, and with two frozen networks `.mean_logits`, (B, 2).

        Raises:
            ValueError: If a shape is not as described, the images are too small, the timestep is missing, class labels
                are missing, unexpected or out of range, or the frozen network cannot be loaded or has other maps than
                `feature_channels` says.
            TypeError: If class labels are not integers.
        """
        batch_size, channels = sample.shape[0], self.config.in_channels
        if sample.ndim != 4 or sample.shape[1] != channels:
            raise ValueError(
                f"`sample` must have shape (batch, {channels}, height, width), got {tuple(sample.shape)}."
            )
        check_class_labels(class_labels, self.config.num_class_embeds, batch_size)
        timesteps = None
        if self.config.timestep_embedding is not None:
            if timestep is None:
                raise ValueError("`timestep` must be given to a discriminator that is told it, got None.")
            timesteps = expand_timesteps(timestep, batch_size, sample.device)
        heads, means, outputs = iter(self.heads), [], []
        for maps in self._mixed_maps(sample):
            # The heads of this network, one for each map.
            of_network = [self._judge(next(heads), features, sample, class_labels, timesteps) for features in maps]
            means.append(torch.cat([logits for logits, _ in of_network], dim=1).mean(dim=1))
            outputs += of_network
        directions = [direction for _, direction in outputs if direction is not None]
        output = DiscriminatorOutput(
            logits=torch.cat([logits for logits, _ in outputs], dim=1),
            direction_logits=torch.cat(directions, dim=1) if directions else None,
            mean_logits=torch.stack(means, dim=1) if len(means) == 2 else None,
        )
        return output if return_dict else output.to_tuple()

    def _mixed_maps(self, sample: Tensor) -> list[list[Tensor]]:
        """For each frozen network its maps, noised if that is asked for, and mixed."""
        mixings = [self.mixing] if self.second_mixing is None else [self.mixing, self.second_mixing]
        networks, mixed = self.load_features(), []
        for network, mixing, options in zip(networks, mixings, self._of_each_network(), strict=True):
            maps = self._maps(network, sample, list(options["feature_channels"]))
            mixed.append(mixing([each.to(sample.dtype) for each in maps]))
        return mixed

    def _maps(self, network: Any, sample: Tensor, expected: list[int]) -> list[Tensor]:
        """The maps of a frozen network, which must have the channels expected, noised if that is asked for."""
        weight = next(network.parameters(), sample)
        if weight.device != sample.device:
            network.to(sample.device)
        images = _enlarged(sample.to(weight.dtype), self.config.input_size).expand(-1, 3, -1, -1)
        maps = network.maps(images)
        found = [each.shape[1] for each in maps]
        if found != expected:
            raise ValueError(f"`feature_channels` must be those of the maps of the network, {found}, got {expected}.")
        return maps if self.feature_noise is None else [self.feature_noise(each) for each in maps]

    def _judge(
        self, head: Any, features: Tensor, sample: Tensor, class_labels: Tensor | None, timesteps: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """The logits of a head, (B, l), and those of its direction in a SAN."""
        if min(features.shape[-2:]) < head.smallest_side:
            raise ValueError(
                f"`sample` must be so large that a map has sides of at least {head.smallest_side} for its head, got one of "
                f"{tuple(features.shape[-2:])} for images of {tuple(sample.shape[-2:])}. Take larger images, a larger "
                "`input_size` or fewer `num_downsamples`."
            )
        logits, directions = head(features, class_labels, timesteps)
        return logits.flatten(1), None if directions is None else directions.flatten(1)


def _is_of_one(value: Any) -> bool:
    """Whether a value of a config is that of one frozen network, and no pair of such values."""
    return isinstance(value, str) or all(isinstance(entry, int) for entry in value)


def _widths(in_channels: int, num_blocks: int, last: int) -> list[int]:
    """Channels of a head: those of its map, then doubling up to the last, from an eighth of it at least."""
    return [in_channels, *(max(last >> block, last // 8) for block in reversed(range(num_blocks)))]


def _enlarged(images: Tensor, size: int | None) -> Tensor:
    """Images whose shorter side is at least `size`."""
    shorter = min(images.shape[-2:])
    if size is None or shorter >= size:
        return images
    sides = [round(side * size / shorter) for side in images.shape[-2:]]
    return F.interpolate(images, sides, mode="bilinear", align_corners=False)
