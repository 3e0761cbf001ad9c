# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
What the kernels compute, in plain PyTorch on any device. The tests compare with it and CPUs use it.

Arithmetic is float32, or float64 for float64 samples, with the float32 tables promoted; the result is cast in the last
line. Gradients come from autograd. Arguments are those of the public functions after their checks: `timesteps` and
`positions` hold one value per sample, and noise is a tensor.
"""

import torch


def pixels_to_images(pixels: torch.Tensor, flip: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor:
    """uint8 pixels to [-1, 1], each sample mirrored along its last dimension where `flip` is set."""
    images = (pixels.to(_compute_dtype(dtype)) - 127.5) * (1.0 / 127.5)
    if flip is not None:
        images = torch.where(per_sample(flip, images), images.flip(-1), images)
    return _cast(images, dtype)


def per_sample(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A tensor of shape (B,), shaped to broadcast over `like`."""
    return values.view(-1, *(1,) * (like.ndim - 1))


def noise(x_0, signal_coefs, noise_coefs, timesteps, noise, *, flip=None, dtype=None, noise_is_scratch=False):
    """
    signal_coefs[t] x_0 + noise_coefs[t] n.

    With `noise_is_scratch` the noise, laid out as the samples and in the dtype of the arithmetic, may be overwritten.
    """
    (x,), dtype = _promote(x_0, flip=flip, dtype=dtype)
    return _cast(_blend(signal_coefs, noise_coefs, timesteps, x, noise, noise_is_scratch), dtype)


def noise_pair(
    x_0,
    signal_coefs,
    noise_coefs,
    step_signal_coefs,
    step_noise_coefs,
    timesteps,
    noise_t,
    noise_tp1,
    *,
    flip=None,
    dtype=None,
    noise_is_scratch=False,
):
    """x_t = signal_coefs[t] x_0 + noise_coefs[t] n_t and, by the tables of one step, x_{t+1} from x_t and n_{t+1}."""
    (x,), dtype = _promote(x_0, flip=flip, dtype=dtype)
    x_t = _blend(signal_coefs, noise_coefs, timesteps, x, noise_t, noise_is_scratch)
    x_tp1 = _blend(step_signal_coefs, step_noise_coefs, timesteps + 1, x_t, noise_tp1, noise_is_scratch)
    return _cast(x_t, dtype), _cast(x_tp1, dtype)


def posterior_step(x_0, x_tp1, coef_x_0, coef_x_tp1, std, timesteps, noise, *, noise_is_scratch=False):
    """coef_x_0[t] x_0 + coef_x_tp1[t] x_{t+1} + std[t] n."""
    (x, y), dtype = _promote(x_0, x_tp1)
    mean = _coef(coef_x_0, timesteps, x) * x + _coef(coef_x_tp1, timesteps, y) * y
    return _cast(mean.add_(_scaled(noise, _coef(std, timesteps, x), noise_is_scratch)), dtype)


def straight_path(
    x_0,
    positions,
    signal_coef,
    noise_coef,
    noise,
    *,
    flip=None,
    dtype=None,
    return_terminal=False,
    noise_is_scratch=False,
):
    """i(u) = u x_0 + (1 - u) x_T with x_T = signal_coef x_0 + noise_coef n; with `return_terminal` also x_T."""
    (x,), dtype = _promote(x_0, flip=flip, dtype=dtype)
    coef = torch.tensor(noise_coef, dtype=x.dtype, device=x.device)
    terminal = (signal_coef * x).add_(_scaled(noise, coef, noise_is_scratch))
    u = _cast(per_sample(positions, x), x.dtype)
    point = _cast(u * x + (1 - u) * terminal, dtype)
    return (point, _cast(terminal, dtype)) if return_terminal else point


def _promote(*samples, flip=None, dtype=None):
    """The samples in the dtype of the arithmetic, and the dtype of the result."""
    dtype = dtype or samples[0].dtype
    compute = _compute_dtype(dtype)
    if samples[0].dtype == torch.uint8:
        return [pixels_to_images(samples[0], flip, compute)], dtype
    return [_cast(sample, compute) for sample in samples], dtype


def _compute_dtype(dtype):
    return torch.float64 if dtype == torch.float64 else torch.float32


def _cast(tensor, dtype):
    # Even a cast that does nothing takes its time, beside a small batch.
    return tensor if tensor.dtype == dtype else tensor.to(dtype)


def _coef(table, timesteps, like):
    return _cast(per_sample(table.index_select(0, timesteps), like), like.dtype)


def _scaled(noise, coef, noise_is_scratch):
    return noise.mul_(coef) if noise_is_scratch else noise.to(coef.dtype) * coef


def _blend(signal_coefs, noise_coefs, timesteps, x, noise, noise_is_scratch):
    a = _coef(signal_coefs, timesteps, x)
    scaled = _scaled(noise, _coef(noise_coefs, timesteps, x), noise_is_scratch)
    # One pass less, but the sum may be fused with the product and the layout is the noise's.
    return scaled.addcmul_(x, a) if noise_is_scratch else (a * x).add_(scaled)
