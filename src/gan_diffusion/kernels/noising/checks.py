# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Checks of the arguments of the public functions. They run before anything is computed or launched."""

import torch


FLOAT_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
INDEX_DTYPES = (torch.int64, torch.int32, torch.int16, torch.uint8)


def check_sample(name: str, sample: torch.Tensor, allow_pixels: bool = False) -> None:
    """`sample` is a float tensor with a batch dimension, or uint8 if pixels are allowed."""
    _check_tensor(name, sample)
    allowed = FLOAT_DTYPES + (torch.uint8,) * allow_pixels
    if sample.dtype not in allowed:
        raise TypeError(f"`{name}` must have one of the dtypes {_names(allowed)}, got {sample.dtype}.")
    if sample.ndim == 0:
        raise ValueError(f"`{name}` must have a batch dimension, got the shape ().")


def check_same(name: str, tensor: torch.Tensor, like_name: str, like: torch.Tensor) -> None:
    """`tensor` has the shape, device and dtype of `like`."""
    check_sample(name, tensor)
    _check_shape(name, tensor, like_name, like)
    _check_device(name, tensor, like_name, like)
    if tensor.dtype != like.dtype:
        raise TypeError(f"`{name}` must have the dtype of `{like_name}`, {like.dtype}, got {tensor.dtype}.")


def check_pixel_options(
    name: str, sample: torch.Tensor, flip: torch.Tensor | None, dtype: torch.dtype | None
) -> torch.dtype:
    """Checks `flip` and `dtype`, and returns the dtype of the result."""
    if sample.dtype != torch.uint8:
        if flip is not None:
            raise ValueError(
                f"`flip` must be None for float samples, got a tensor, and `{name}` is {sample.dtype}. "
                "Mirror float samples before the call."
            )
        if dtype is not None and dtype != sample.dtype:
            raise ValueError(f"`dtype` must be None or {sample.dtype}, as `{name}` is, got {dtype}.")
        return sample.dtype
    if dtype is not None and dtype not in FLOAT_DTYPES:
        raise TypeError(f"`dtype` must be one of {_names(FLOAT_DTYPES)}, got {dtype}.")
    if flip is not None:
        if not isinstance(flip, torch.Tensor) or flip.dtype != torch.bool:
            raise TypeError(f"`flip` must be a bool tensor, got {getattr(flip, 'dtype', type(flip).__name__)}.")
        if sample.ndim < 2:
            raise ValueError(
                f"`flip` must be None for samples of shape (B,), which have nothing to mirror, but `{name}` has the "
                f"shape {_size(sample)}, got a tensor."
            )
        if flip.shape != sample.shape[:1]:
            raise ValueError(
                f"`flip` must have the shape ({sample.shape[0]},), one flag per sample, got {_size(flip)}."
            )
        _check_device("flip", flip, name, sample)
    return torch.float32 if dtype is None else dtype


def check_table(name: str, table: torch.Tensor, x_0: torch.Tensor, length: int | None = None) -> None:
    """`table` is a float32 vector on the device of `x_0`, of the given length if there is one."""
    _check_tensor(name, table)
    if table.dtype != torch.float32:
        raise TypeError(f"`{name}` must be float32, got {table.dtype}.")
    if table.ndim != 1 or table.numel() == 0:
        raise ValueError(f"`{name}` must be a vector with one coefficient per timestep, got the shape {_size(table)}.")
    if length is not None and table.numel() != length:
        raise ValueError(f"`{name}` must have {length} entries, as the other tables have, got {table.numel()}.")
    _check_device(name, table, "x_0", x_0)
    _check_constant(name, table)


def check_noise(name: str, noise: torch.Tensor, x_0: torch.Tensor, dtype: torch.dtype) -> None:
    """`noise` has the shape and device of `x_0` and a float dtype that the arithmetic does not narrow."""
    check_sample(name, noise)
    _check_shape(name, noise, "x_0", x_0)
    _check_device(name, noise, "x_0", x_0)
    if noise.dtype == torch.float64 and dtype != torch.float64:
        raise TypeError(f"`{name}` must not be more precise than the result, {dtype}, got torch.float64.")
    _check_constant(name, noise)


def per_sample_index(timesteps: torch.Tensor | int, x_0: torch.Tensor, upper: int) -> torch.Tensor:
    """`timesteps` as int64 of shape (B,) on the device of `x_0`. Values on the CPU must lie in `[0, upper)`."""
    if isinstance(timesteps, int):
        timesteps = torch.tensor(timesteps)
    if not isinstance(timesteps, torch.Tensor):
        raise TypeError(f"`timesteps` must be an int or an integer tensor, got {type(timesteps).__name__}.")
    if timesteps.dtype not in INDEX_DTYPES:
        raise TypeError(f"`timesteps` must be an integer tensor, got {timesteps.dtype}.")
    if timesteps.dtype != torch.int64:
        timesteps = timesteps.to(torch.int64)
    return _per_sample("timesteps", timesteps, x_0, upper - 1)


def per_sample_position(positions: torch.Tensor | float, x_0: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """`positions` as floats of shape (B,) on the device of `x_0`. Values on the CPU must lie in [0, 1]."""
    if isinstance(positions, (int, float)):
        positions = torch.tensor(float(positions), dtype=torch.float64)
    if not isinstance(positions, torch.Tensor):
        raise TypeError(f"`positions` must be a float or a float tensor, got {type(positions).__name__}.")
    if positions.dtype not in FLOAT_DTYPES:
        raise TypeError(f"`positions` must be a float tensor, got {positions.dtype}.")
    _check_constant("positions", positions)
    compute = torch.float64 if dtype == torch.float64 else torch.float32
    return _per_sample("positions", positions.to(compute), x_0, 1)


def _per_sample(name, values, x_0, largest):
    """The values, which lie in [0, largest], as a tensor of shape (B,) on the device of `x_0`."""
    batch = len(x_0)
    if values.ndim > 1 or (values.ndim == 1 and len(values) not in (1, batch)):
        raise ValueError(
            f"`{name}` must have the shape (), (1,) or ({batch},), one value for all samples or one per sample, got "
            f"{_size(values)}."
        )
    if values.device.type == "cpu" and not torch.compiler.is_compiling():
        listed = values.tolist() if values.ndim else [values.item()]
        outside = [value for value in listed if not 0 <= value <= largest]
        if outside:
            raise ValueError(f"`{name}` must lie in [0, {largest}], got {outside[0]}.")
    if values.device != x_0.device:
        if values.device.type != "cpu":
            raise ValueError(f"`{name}` must be on the CPU or on {x_0.device}, got {values.device}.")
        values = values.to(x_0.device, non_blocking=True)
    return values if values.shape == (batch,) else values.expand(batch)


def _check_tensor(name, tensor):
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"`{name}` must be a torch.Tensor, got {type(tensor).__name__}.")


def _check_shape(name, tensor, like_name, like):
    if tensor.shape != like.shape:
        raise ValueError(f"`{name}` must have the shape of `{like_name}`, {_size(like)}, got {_size(tensor)}.")


def _check_device(name, tensor, like_name, like):
    if tensor.device != like.device:
        raise ValueError(f"`{name}` must be on the device of `{like_name}`, {like.device}, got {tensor.device}.")


def _check_constant(name, tensor):
    if tensor.requires_grad:
        raise ValueError(
            f"`{name}` must not require a gradient, got a tensor that does. Detach it: only samples have gradients."
        )


def _size(tensor):
    return tuple(tensor.shape)


def _names(dtypes):
    return ", ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
