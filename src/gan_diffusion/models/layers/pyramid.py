# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Sizes of images, and the levels and widths of the StyleGAN2 networks."""

from collections.abc import Sequence


ARCHITECTURES = ("orig", "skip", "resnet")
MAX_SIDE = 2**14


def size_pair(sample_size: int | Sequence[int]) -> tuple[int, int]:
    """
    Height and width of images.

    Args:
        sample_size (`int` or `tuple[int, int]`): One number for square images, or (height, width).

    Returns:
        `tuple[int, int]`: (height, width).

    Raises:
        ValueError: If it is neither a positive integer nor a pair of them, or one is over 16384.
    """
    sides = (sample_size, sample_size) if isinstance(sample_size, int) else sample_size
    if (
        not isinstance(sides, Sequence)
        or len(sides) != 2
        or not all(isinstance(side, int) and side > 0 for side in sides)
    ):
        raise ValueError(
            f"`sample_size` must be a positive integer, or a pair (height, width) of them, got {sample_size!r}."
        )
    height, width = sides
    if max(height, width) > MAX_SIDE:
        raise ValueError(f"`sample_size` must be at most {MAX_SIDE}, got {sample_size!r}.")
    return height, width


def pyramid_channels(
    sample_size: int | Sequence[int], channel_base: int, channel_max: int, architecture: str, patch_size: int = 1
) -> dict[tuple[int, int], int]:
    """
    Sizes and widths of the levels of a StyleGAN2 network, from the lowest up.

    Each level doubles height and width. The shorter side of the lowest is 4 to 7: 32 starts at 4x4, 48 at 6x6, 96x64
    at 6x4. A level has min(channel_base // resolution, channel_max) channels; its resolution is its shorter side. With
    patches, the highest level has one place for each of them.

    Args:
        sample_size (`int` or `tuple[int, int]`): Size of the images, one number or (height, width).
        channel_base (`int`): Width of each level times its resolution.
        channel_max (`int`): Largest width.
        architecture (`str`): "orig", "skip" or "resnet".
        patch_size (`int`, defaults to 1): Side of the patches.

    Returns:
        `dict[tuple[int, int], int]`: (height, width) -> channels.

    Raises:
        ValueError: If the size is no multiple of `patch_size` or cannot be reached by doubling, `architecture` is not
            one of those named, or a width is less than 1.
    """
    if architecture not in ARCHITECTURES:
        raise ValueError(f"`architecture` must be one of {ARCHITECTURES}, got {architecture!r}.")
    if patch_size < 1:
        raise ValueError(f"`patch_size` must be at least 1, got {patch_size}.")
    height, width = size_pair(sample_size)
    if height % patch_size or width % patch_size:
        raise ValueError(f"`sample_size` must be a multiple of `patch_size` {patch_size}, got {sample_size}.")
    height, width = height // patch_size, width // patch_size
    shorter = min(height, width)
    if shorter < 4:
        raise ValueError(f"`sample_size` must be at least {4 * patch_size}, got {sample_size}.")
    doublings = shorter.bit_length() - 3
    scale = 2**doublings
    if height % scale or width % scale:
        raise ValueError(
            f"`sample_size` must be reached by doubling a size whose shorter side is 4 to 7, got {sample_size}. Take "
            f"multiples of {scale * patch_size}, such as "
            f"{tuple(side // scale * scale * patch_size for side in (height, width))}."
        )
    sizes = [(height >> level, width >> level) for level in range(doublings, -1, -1)]
    channels = {size: min(channel_base // min(size), channel_max) for size in sizes}
    if channels[height, width] < 1:
        raise ValueError(
            f"`channel_base` and `channel_max` must leave at least one channel at every level up to {sample_size}, "
            f"got {channel_base} and {channel_max}."
        )
    return channels
