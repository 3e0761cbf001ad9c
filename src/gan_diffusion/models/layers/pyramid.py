# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Resolutions and widths of the StyleGAN2 networks."""

ARCHITECTURES = ("orig", "skip", "resnet")


def pyramid_channels(sample_size: int, channel_base: int, channel_max: int, architecture: str) -> dict[int, int]:
    """Width at each resolution 4, 8, ..., sample_size: min(channel_base // resolution, channel_max).

    Raises:
        ValueError: If `sample_size` is not a power of two from 4 up, `architecture` not one of those known, or a width
            less than 1.
    """
    if architecture not in ARCHITECTURES:
        raise ValueError(f"architecture: expected one of {ARCHITECTURES}, got {architecture!r}.")
    if sample_size < 4 or sample_size & (sample_size - 1):
        raise ValueError(f"sample_size: expected a power of two from 4 up, got {sample_size}.")
    resolutions = [2**level for level in range(2, sample_size.bit_length())]
    channels = {resolution: min(channel_base // resolution, channel_max) for resolution in resolutions}
    if channels[sample_size] < 1:
        raise ValueError(
            f"channel_base, channel_max: expected at least one channel at every resolution up to {sample_size}, "
            f"got {channel_base}, {channel_max}."
        )
    return channels
