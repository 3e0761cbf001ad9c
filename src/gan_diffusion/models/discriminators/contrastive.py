# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The head with which a discriminator tells single images apart."""

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import register_to_config
from diffusers.utils import BaseOutput
from torch import Tensor, nn

from ..layers.precision import at_least_float32
from ..network import Network


@dataclass
class ContrastiveOutput(BaseOutput):
    """
    Output of a contrastive head.

    Args:
        logits (`torch.Tensor` of shape (B, 1 + queue_size)):
            Similarities over the temperature: to the key of the same image, then to the queue. The right class is 0.
        momentum_keys (`torch.Tensor` of shape (B, out_features)):
            Unit vectors that the momentum copy makes of the key features, without gradient.
        momentum_queries (`torch.Tensor` of shape (B, out_features)): The same of the query features.
    """

    logits: Tensor
    momentum_keys: Tensor | None = None  # never, but accelerate copies outputs by their first field
    momentum_queries: Tensor | None = None


class ContrastiveHead(Network):
    r"""
    Instance discrimination on a discriminator's features, InsGen (Yang et al., NeurIPS 2021, arXiv 2106.04566).

    Two layers make a unit vector of the spatial mean of features. A query is to be nearer to the key of the same image
    than to the keys of others, which are kept in a queue (MoCo, He et al., CVPR 2020, arXiv 1911.05722, equation 1).
    Keys come from a momentum copy of the layers, which is no parameter but part of the state, like the queue.

    Args:
        in_channels (`int`, defaults to 512): Channels of the features, and width of the hidden layer.
        out_features (`int`, defaults to 128): Width of queries and keys.
        queue_size (`int`, defaults to 256): Number of keys in the queue.
        temperature (`float`, defaults to 0.2): Divisor of the similarities, positive.
        momentum (`float`, defaults to 0.999): Share that the copy keeps of itself in an update, in [0, 1].

    Attributes:
        queue: Keys of earlier images (queue_size, out_features), the oldest first; random ones at the beginning.

    Raises:
        ValueError: From the constructor, if an option is out of its range.
    """

    @register_to_config
    def __init__(
        self,
        in_channels: int = 512,
        out_features: int = 128,
        queue_size: int = 256,
        temperature: float = 0.2,
        momentum: float = 0.999,
    ):
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"`temperature` must be positive, got {temperature}.")
        if not 0 <= momentum <= 1:
            raise ValueError(f"`momentum` must lie in [0, 1], got {momentum}.")
        self.mlp = nn.Sequential(nn.Linear(in_channels, in_channels), nn.ReLU(), nn.Linear(in_channels, out_features))
        self.momentum_mlp = copy.deepcopy(self.mlp)
        for module in self.momentum_mlp.modules():
            for name, parameter in tuple(module.named_parameters(recurse=False)):
                delattr(module, name)
                module.register_buffer(name, parameter.detach())
        self.register_buffer("queue", F.normalize(torch.randn(queue_size, out_features), dim=1))
        self.queue: Tensor

    def forward(
        self, query_features: Tensor, key_features: Tensor, return_dict: bool = True
    ) -> ContrastiveOutput | tuple[Tensor, Tensor, Tensor]:
        """
        Compares two views of the same images.

        Args:
            query_features (`torch.Tensor` of shape (B, in_channels, H, W)): Features of one view.
            key_features (`torch.Tensor` of shape (B, in_channels, H, W)): Features of the other view.
            return_dict (`bool`, defaults to `True`): Whether to return an output rather than a tuple.

        Returns:
            [`ContrastiveOutput`] or `tuple`: its three fields.

        Raises:
            ValueError: If a shape is not as described.
        """
        for name, features in (("query_features", query_features), ("key_features", key_features)):
            if features.ndim != 4 or features.shape[1] != self.config.in_channels:
                raise ValueError(
                    f"`{name}` must have shape (batch, {self.config.in_channels}, height, width), got "
                    f"{tuple(features.shape)}."
                )
        queries = _unit_vectors(self.mlp, query_features)
        with torch.no_grad():
            momentum_keys = _unit_vectors(self.momentum_mlp, key_features)
            momentum_queries = _unit_vectors(self.momentum_mlp, query_features)
        with torch.autocast(queries.device.type, enabled=False):
            # A copy of the queue, because its update comes before the backward pass.
            others = queries @ self.queue.t().clone()
        logits = torch.cat([(queries * momentum_keys).sum(1, keepdim=True), others], dim=1) / self.config.temperature
        if not return_dict:
            return logits, momentum_keys, momentum_queries
        return ContrastiveOutput(logits=logits, momentum_keys=momentum_keys, momentum_queries=momentum_queries)

    @torch.no_grad()
    def update_momentum(self) -> None:
        """Moves the momentum copy towards the layers."""
        for own, layer in zip(self.momentum_mlp.buffers(), self.mlp.parameters(), strict=True):
            own.lerp_(layer, 1 - self.config.momentum)

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        """Puts keys (B, out_features) at the end of the queue, and drops as many of the oldest."""
        self.queue.copy_(torch.cat([self.queue, keys.to(self.queue)])[-len(self.queue) :])


def _unit_vectors(mlp: nn.Module, features: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, out_features), at least float32."""
    return F.normalize(at_least_float32(mlp(features.mean(dim=(2, 3)))), dim=1)
