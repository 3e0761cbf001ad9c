# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Embeddings of time, latent vectors and class labels."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .initialization import linear


def sinusoidal_embedding(timesteps: Tensor, dim: int) -> Tensor:
    """
    Sines, then cosines, of the timesteps at frequencies from 1 down to 1e-4, computed in float32.

    f_k = exp(-k ln(10000) / (dim // 2 - 1)); a zero column is appended when `dim` is odd.

    Args:
        timesteps (`torch.Tensor` of shape (B,)): Integer or floating.
        dim (`int`): Width, at least 4.

    Returns:
        `torch.Tensor` of shape (B, dim) in float32.
    """
    half = dim // 2
    frequencies = torch.arange(half, dtype=torch.float32, device=timesteps.device)
    frequencies = torch.exp(frequencies * (-math.log(10000.0) / (half - 1)))
    angles = timesteps.float()[:, None] * frequencies
    embedding = torch.cat([angles.sin(), angles.cos()], dim=1)
    return F.pad(embedding, (0, 1)) if dim % 2 else embedding


def fourier_features(sample: Tensor, num_octaves: int) -> Tensor:
    """
    Appends the sines, then the cosines, of every coordinate times 1, 2, 4, ..., 2 ** (num_octaves - 1).

    Networks of a few layers learn coarse structure first and fine structure hardly at all (Tancik et al. 2020); with
    these features they see both at once.

    Args:
        sample (`torch.Tensor` of shape (B, D)): The vectors.
        num_octaves (`int`): Number of frequencies; 0 returns the sample alone.

    Returns:
        `torch.Tensor` of shape (B, D (1 + 2 num_octaves)) and of the same dtype.
    """
    if num_octaves == 0:
        return sample
    # Half precision would lose the phase of the higher frequencies.
    points = sample if sample.dtype == torch.float64 else sample.float()
    frequencies = 2.0 ** torch.arange(num_octaves, dtype=points.dtype, device=points.device)
    angles = (points[:, :, None] * frequencies).flatten(1)
    return torch.cat([sample, angles.sin().to(sample.dtype), angles.cos().to(sample.dtype)], dim=1)


class FourierEmbedding(nn.Module):
    """
    Random Fourier features of log t: (B,) -> (B, 2 dim), sines first. The frequencies are fixed and saved.

    The logarithm of t = 0 does not exist. Timesteps below 1/2 are therefore embedded as 1/2, half a step before the
    first; every t >= 1 is embedded as in the reference, which returns NaN at 0. The frequencies are normal with the
    reference's default standard deviation.

    Args:
        dim (`int`): Number of frequencies.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.weight = nn.Parameter(16.0 * torch.randn(dim), requires_grad=False)

    def forward(self, timesteps: Tensor) -> Tensor:
        """(B,) -> (B, 2 dim)."""
        # Angles reach hundreds of radians: half precision would lose the phase.
        weight = self.weight if self.weight.dtype == torch.float64 else self.weight.float()
        log_t = timesteps.to(weight.dtype).clamp(min=0.5).log()
        angles = 2 * math.pi * log_t[:, None] * weight
        return torch.cat([angles.sin(), angles.cos()], dim=1)


class TimestepMLP(nn.Module):
    """
    Two linear layers with an activation between them: (B, in_dim) -> (B, dim).

    Args:
        in_dim (`int`): Width of the input.
        dim (`int`): Width of the output.
        activation (`Callable`): The activation.
    """

    def __init__(self, in_dim: int, dim: int, activation: Callable[[Tensor], Tensor]):
        super().__init__()
        self.linear_1 = linear(in_dim, dim)
        self.linear_2 = linear(dim, dim)
        self.activation = activation

    def forward(self, embedding: Tensor) -> Tensor:
        """(B, in_dim) -> (B, dim)."""
        return self.linear_2(self.activation(self.linear_1(embedding)))


def pixel_norm(features: Tensor, eps: float = 1e-8) -> Tensor:
    """Divides by the root mean square over dimension 1."""
    return features * torch.rsqrt(features.square().mean(dim=1, keepdim=True) + eps)


class LatentMapping(nn.Module):
    """
    Maps latents z ~ N(0, I) to style embeddings: pixel norm, then `num_layers` + 1 linear layers, each with SiLU.

    Args:
        latent_dim (`int`): Width of z.
        dim (`int`): Width of the style embedding.
        num_layers (`int`): Number of layers after the first.
    """

    def __init__(self, latent_dim: int, dim: int, num_layers: int):
        super().__init__()
        self.layers = nn.ModuleList(linear(latent_dim if i == 0 else dim, dim) for i in range(num_layers + 1))

    def forward(self, latent: Tensor) -> Tensor:
        """(B, latent_dim) -> (B, dim)."""
        hidden = pixel_norm(latent)
        for layer in self.layers:
            hidden = F.silu(layer(hidden))
        return hidden


def expand_timesteps(timestep: Tensor | int | float, batch_size: int, device: torch.device) -> Tensor:
    """
    Brings a timestep to shape (B,).

    Args:
        timestep (`torch.Tensor` of shape (), (1,) or (B,), `int` or `float`): The timestep.
        batch_size (`int`): B.
        device (`torch.device`): Where the result lies.

    Returns:
        `torch.Tensor` of shape (B,).

    Raises:
        ValueError: If `timestep` is a tensor of any other shape than (), (1,) or (B,).
    """
    timestep = torch.as_tensor(timestep, device=device)
    if timestep.ndim > 1 or (timestep.ndim == 1 and timestep.shape[0] not in (1, batch_size)):
        raise ValueError(
            f"`timestep` must be a number or have shape ({batch_size},), got shape {tuple(timestep.shape)}."
        )
    return timestep.expand(batch_size)


def check_class_labels(class_labels: Tensor | None, num_class_embeds: int | None, batch_size: int) -> None:
    """
    Checks the class labels of a batch.

    Args:
        class_labels (`torch.Tensor` of shape (B,) or `None`): Integer labels, in 0..num_class_embeds - 1.
        num_class_embeds (`int` or `None`): Number of classes of the model; `None` for an unconditional one.
        batch_size (`int`): B.

    Raises:
        ValueError: If labels are missing, unexpected, of a wrong shape, or (looked at on the CPU only, where it costs
            no synchronisation) out of range.
        TypeError: If labels are not a tensor of integers.
    """
    if num_class_embeds is None:
        if class_labels is not None:
            raise ValueError(
                "`class_labels` must be None for a model without classes (`num_class_embeds` is None), got "
                f"{type(class_labels).__name__}."
            )
        return
    if class_labels is None:
        raise ValueError(f"`class_labels` must be given for a model of {num_class_embeds} classes, got None.")
    if not isinstance(class_labels, Tensor):
        raise TypeError(f"`class_labels` must be a tensor of integers, got {type(class_labels).__name__}.")
    if class_labels.dtype not in (torch.int64, torch.int32):
        raise TypeError(f"`class_labels` must be int64 or int32, got {class_labels.dtype}.")
    if class_labels.shape != (batch_size,):
        raise ValueError(f"`class_labels` must have shape ({batch_size},), got {tuple(class_labels.shape)}.")
    if class_labels.device.type == "cpu" and not torch.compiler.is_compiling():
        low, high = class_labels.min().item(), class_labels.max().item()
        if low < 0 or high >= num_class_embeds:
            raise ValueError(f"`class_labels` must be in 0..{num_class_embeds - 1}, got {low}..{high}.")
