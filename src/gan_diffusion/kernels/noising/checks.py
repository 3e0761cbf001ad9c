# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Checks of the arguments of the public functions: all of them before anything is computed or launched."""

import torch


FLOAT_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
INDEX_DTYPES = (torch.int64, torch.int32, torch.int16, torch.uint8)


def check_sample(name: str, sample: torch.Tensor, allow_pixels: bool = False) -> None:
    if not isinstance(sample, torch.Tensor):
        raise TypeError(f"`{name}` must be a torch.Tensor, but is {type(sample).__name__}.")
    allowed = FLOAT_DTYPES + (torch.uint8,) * allow_pixels
    if sample.dtype not in allowed:
        raise TypeError(f"`{name}` must have one of the dtypes {_names(allowed)}, but has {sample.dtype}.")
    if sample.ndim == 0:
        raise ValueError(f"`{name}` must have a batch dimension, but is 0-dimensional.")


def check_same(name: str, tensor: torch.Tensor, like_name: str, like: torch.Tensor) -> None:
    """`tensor` has the shape, device and dtype of `like`."""
    check_sample(name, tensor)
    if tensor.shape != like.shape:
        raise ValueError(f"`{name}` must have the shape of `{like_name}`, {_size(like)}, but has {_size(tensor)}.")
    _check_device(name, tensor, like_name, like)
    if tensor.dtype != like.dtype:
        raise TypeError(f"`{name}` must have the dtype of `{like_name}`, {like.dtype}, but has {tensor.dtype}.")


def check_pixel_options(
    name: str, sample: torch.Tensor, flip: torch.Tensor | None, dtype: torch.dtype | None
) -> torch.dtype:
    """Checks `flip` and `dtype`, and returns the dtype of the result."""
    if sample.dtype != torch.uint8:
        if flip is not None:
            raise ValueError(f"`flip` is for uint8 pixels only, but `{name}` has dtype {sample.dtype}.")
        if dtype is not None and dtype != sample.dtype:
            raise ValueError(f"`dtype` must be {sample.dtype}, as `{name}` is, or None, but is {dtype}.")
        return sample.dtype
    if dtype is not None and dtype not in FLOAT_DTYPES:
        raise TypeError(f"`dtype` must be one of {_names(FLOAT_DTYPES)}, but is {dtype}.")
    if flip is not None:
        if not isinstance(flip, torch.Tensor) or flip.dtype != torch.bool:
            raise TypeError(f"`flip` must be a bool tensor, but is {getattr(flip, 'dtype', type(flip).__name__)}.")
        if sample.ndim < 2:
            raise ValueError(f"`flip` mirrors the last dimension, but `{name}` has only the batch dimension.")
        if flip.shape != sample.shape[:1]:
            raise ValueError(f"`flip` must have the shape ({sample.shape[0]},), but has {_size(flip)}.")
        _check_device("flip", flip, name, sample)
    return torch.float32 if dtype is None else dtype


def check_table(name: str, table: torch.Tensor, sample: torch.Tensor, length: int | None = None) -> None:
    """`table` is a float32 vector on the sample's device, of the given length if there is one."""
    if not isinstance(table, torch.Tensor):
        raise TypeError(f"`{name}` must be a torch.Tensor, but is {type(table).__name__}.")
    if table.dtype != torch.float32:
        raise TypeError(f"`{name}` must be float32, but is {table.dtype}.")
    if table.ndim != 1 or table.numel() == 0:
        raise ValueError(f"`{name}` must be a vector of one coefficient per timestep, but has shape {_size(table)}.")
    if length is not None and table.numel() != length:
        raise ValueError(f"`{name}` must have {length} entries as the other tables have, but has {table.numel()}.")
    _check_device(name, table, "the sample", sample)
    if table.requires_grad:
        raise ValueError(f"`{name}` must not require a gradient: only samples are differentiated.")


def per_sample_index(timesteps: torch.Tensor | int, sample: torch.Tensor, upper: int) -> torch.Tensor:
    """`timesteps` as a `(batch,)` tensor on the sample's device. Values on the CPU must lie in `[0, upper)`."""
    if isinstance(timesteps, int):
        timesteps = torch.tensor(timesteps)
    if not isinstance(timesteps, torch.Tensor):
        raise TypeError(f"`timesteps` must be an integer tensor or an int, but is {type(timesteps).__name__}.")
    if timesteps.dtype not in INDEX_DTYPES:
        raise TypeError(f"`timesteps` must be an integer tensor, but has dtype {timesteps.dtype}.")
    if timesteps.device.type == "cpu" and not torch.compiler.is_compiling():
        listed = _listed(timesteps)
        if listed and not 0 <= min(listed) <= max(listed) < upper:
            outside = next(t for t in listed if not 0 <= t < upper)
            raise ValueError(f"`timesteps` must lie in [0, {upper - 1}], but holds {outside}.")
    if timesteps.dtype != torch.int64:
        timesteps = timesteps.to(torch.int64)
    return _per_sample("timesteps", timesteps, sample)


def per_sample_position(positions: torch.Tensor | float, sample: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """`positions` as a `(batch,)` tensor on the sample's device. Values on the CPU must lie in `[0, 1]`."""
    if isinstance(positions, (int, float)):
        positions = torch.tensor(float(positions), dtype=torch.float64)
    if not isinstance(positions, torch.Tensor):
        raise TypeError(f"`positions` must be a float tensor or a float, but is {type(positions).__name__}.")
    if positions.dtype not in FLOAT_DTYPES:
        raise TypeError(f"`positions` must be a float tensor, but has dtype {positions.dtype}.")
    if positions.requires_grad:
        raise ValueError("`positions` must not require a gradient: only samples are differentiated.")
    if positions.device.type == "cpu" and not torch.compiler.is_compiling():
        outside = [u for u in _listed(positions) if not 0 <= u <= 1]
        if outside:
            raise ValueError(f"`positions` must lie in [0, 1], but holds {outside[0]}.")
    compute = torch.float64 if dtype == torch.float64 else torch.float32
    return _per_sample("positions", positions.to(compute), sample)


def check_noise(name: str, noise: torch.Tensor, sample_name: str, sample: torch.Tensor, dtype: torch.dtype) -> None:
    """An explicit noise tensor: the sample's shape and device, any float dtype that the arithmetic does not narrow."""
    check_sample(name, noise)
    if noise.shape != sample.shape:
        raise ValueError(f"`{name}` must have the shape of `{sample_name}`, {_size(sample)}, but has {_size(noise)}.")
    _check_device(name, noise, sample_name, sample)
    if noise.dtype == torch.float64 and dtype != torch.float64:
        raise TypeError(f"`{name}` is float64, but the result is {dtype}.")
    if noise.requires_grad:
        raise ValueError(f"`{name}` must not require a gradient: only samples are differentiated.")


def _per_sample(name, values, sample):
    batch = len(sample)
    if values.ndim > 1 or (values.ndim == 1 and len(values) != batch):
        raise ValueError(
            f"`{name}` must have the shape () or ({batch},), one value per sample, but has {_size(values)}."
        )
    if values.device != sample.device:
        if values.device.type != "cpu":
            raise ValueError(f"`{name}` must be on the CPU or on {sample.device}, but is on {values.device}.")
        values = values.to(sample.device, non_blocking=True)
    return values if values.ndim else values.expand(batch)


def _listed(values):
    # Over the few values of a batch Python is faster than a reduction whose result must be read.
    return values.tolist() if values.ndim else [values.item()]


def _check_device(name, tensor, like_name, like):
    if tensor.device != like.device:
        raise ValueError(f"`{name}` must be on the device of {like_name}, {like.device}, but is on {tensor.device}.")


def _size(tensor):
    return tuple(tensor.shape)


def _names(dtypes):
    return ", ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
