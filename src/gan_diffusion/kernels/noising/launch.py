# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
Host launchers of the Triton kernels: memory formats, block sizes and grids.

Contiguous and channels-last tensors are worked on as they lie, any other layout goes through a contiguous copy.
Results have the layout of `torch.empty_like(sample)`. Arguments are those of the ops of the same name in `ops.py`.
"""

import math
from contextlib import nullcontext
from dataclasses import dataclass

import torch
import triton

from . import triton_kernels as kernels


# Whether the kernels were loaded under TRITON_INTERPRET=1 and so run on the CPU.
INTERPRETED = not isinstance(kernels.noise_kernel, triton.JITFunction)

MAX_GRID_X = 2**31 - 1
MAX_GRID_YZ = 65535
# Elements of a program and its warps: 16 elements per thread, which spreads the fixed cost of a thread.
BLOCKS = ((2048, 4), (1024, 2), (512, 1))


@dataclass(frozen=True)
class Plan:
    """How samples are cut into programs."""

    batch: int
    length: int
    block: int
    num_warps: int
    aligned: bool

    @classmethod
    def of(cls, shape: torch.Size) -> "Plan":
        """The plan for samples of shape (B, ...): the block that overruns least, among equals the largest."""
        length = math.prod(shape[1:])
        if length < BLOCKS[-1][0]:
            block, num_warps = max(64, 1 << (length - 1).bit_length()), 1
        else:
            block, num_warps = min(BLOCKS, key=lambda choice: math.ceil(length / choice[0]) * choice[0])
        return cls(shape[0], length, block, num_warps, length % 16 == 0)

    @property
    def grid(self) -> tuple[int, int, int]:
        """
        Number of samples, of blocks per row, and of rows of blocks per sample. Most samples have one row.

        Raises:
            ValueError: If a grid cannot index that many.
        """
        # A sample that begins inside a Philox call overruns by up to three elements.
        blocks = math.ceil((self.length + (0 if self.aligned else 3)) / self.block)
        rows = min(blocks, MAX_GRID_YZ)
        grid = (self.batch, rows, math.ceil(blocks / rows))
        if grid[0] > MAX_GRID_X or grid[2] > MAX_GRID_YZ:
            raise ValueError(
                f"`x_0` must fit a kernel's grid, got {self.batch} samples of {self.length} elements. Split the batch."
            )
        return grid


def noise(x_0, signal_coefs, noise_coefs, timesteps, noise, seeds, flip, dtype):
    """Launches `noise_kernel`."""
    layout = _Layout(x_0, dtype)
    (out,) = outputs = layout.empty(1)
    _launch(
        kernels.noise_kernel,
        layout,
        (layout.arrange(x_0), layout.arrange(noise), *_dense(seeds, flip, signal_coefs, noise_coefs), timesteps, out),
        (signal_coefs.numel(), timesteps.stride(0)),
        **_constants(layout, noise, seeds, flip),
        WIDTH=_width(x_0, flip),
    )
    return layout.deliver(outputs)[0]


def noise_pair(
    x_0,
    signal_coefs,
    noise_coefs,
    step_signal_coefs,
    step_noise_coefs,
    timesteps,
    noise_t,
    noise_tp1,
    seeds,
    flip,
    dtype,
):
    """Launches `noise_pair_kernel`."""
    layout = _Layout(x_0, dtype)
    outputs = layout.empty(2)
    _launch(
        kernels.noise_pair_kernel,
        layout,
        (layout.arrange(x_0), layout.arrange(noise_t), layout.arrange(noise_tp1))
        + _dense(seeds, flip, signal_coefs, noise_coefs, step_signal_coefs, step_noise_coefs)
        + (timesteps, *outputs),
        (signal_coefs.numel(), timesteps.stride(0)),
        **_constants(layout, noise_t, seeds, flip),
        WIDTH=_width(x_0, flip),
    )
    return layout.deliver(outputs)


def noise_pair_adjoint(grad_t, grad_tp1, signal_coefs, step_signal_coefs, timesteps):
    """Launches `noise_pair_adjoint_kernel`."""
    layout = _Layout(grad_t, grad_t.dtype)
    (out,) = outputs = layout.empty(1)
    _launch(
        kernels.noise_pair_adjoint_kernel,
        layout,
        (layout.arrange(grad_t), layout.arrange(grad_tp1), *_dense(signal_coefs, step_signal_coefs), timesteps, out),
        (signal_coefs.numel(), timesteps.stride(0)),
        PER=_calls_per_thread(layout),
    )
    return layout.deliver(outputs)[0]


def posterior_step(x_0, x_tp1, coef_x_0, coef_x_tp1, std, timesteps, noise, seeds):
    """Launches `posterior_step_kernel`."""
    layout = _Layout(x_0, x_0.dtype)
    (out,) = outputs = layout.empty(1)
    _launch(
        kernels.posterior_step_kernel,
        layout,
        (layout.arrange(x_0), layout.arrange(x_tp1), layout.arrange(noise))
        + _dense(seeds, coef_x_0, coef_x_tp1, std)
        + (timesteps, out),
        (coef_x_0.numel(), timesteps.stride(0)),
        **_constants(layout, noise, seeds),
    )
    return layout.deliver(outputs)[0]


def posterior_step_adjoint(grad, coef_x_0, coef_x_tp1, timesteps):
    """Launches `posterior_step_adjoint_kernel`."""
    layout = _Layout(grad, grad.dtype)
    outputs = layout.empty(2)
    _launch(
        kernels.posterior_step_adjoint_kernel,
        layout,
        (layout.arrange(grad), *_dense(coef_x_0, coef_x_tp1), timesteps, *outputs),
        (coef_x_0.numel(), timesteps.stride(0)),
        PER=_calls_per_thread(layout),
    )
    return layout.deliver(outputs)


def straight_path(x_0, positions, signal_coef, noise_coef, noise, seeds, flip, dtype, return_terminal=False):
    """Launches `straight_path_kernel`."""
    layout = _Layout(x_0, dtype)
    outputs = layout.empty(1 + return_terminal)
    _launch(
        kernels.straight_path_kernel,
        layout,
        (layout.arrange(x_0), layout.arrange(noise), *_dense(seeds, flip), positions)
        + (outputs[0], outputs[1] if return_terminal else None, signal_coef, noise_coef),
        (positions.stride(0),),
        **_constants(layout, noise, seeds, flip),
        WIDTH=_width(x_0, flip),
    )
    return layout.deliver(outputs) if return_terminal else layout.deliver(outputs)[0]


def straight_path_adjoint(grad, grad_terminal, positions, signal_coef):
    """Launches `straight_path_adjoint_kernel`."""
    layout = _Layout(grad, grad.dtype)
    (out,) = outputs = layout.empty(1)
    _launch(
        kernels.straight_path_adjoint_kernel,
        layout,
        (layout.arrange(grad), layout.arrange(grad_terminal), positions, out, signal_coef),
        (positions.stride(0),),
        PER=_calls_per_thread(layout),
    )
    return layout.deliver(outputs)[0]


class _Layout:
    """The memory format an operation works in, and the way to it and back."""

    def __init__(self, sample: torch.Tensor, dtype: torch.dtype):
        self.sample = sample
        self.dtype = dtype
        self.channels = _channels(torch.empty_like(sample, device="meta"))
        self.is_callers = self.channels is not None
        self.channels = self.channels or 0

    def arrange(self, tensor: torch.Tensor | None) -> torch.Tensor | None:
        if tensor is None or self.channels == 0:
            return tensor if tensor is None else tensor.contiguous()
        return tensor.movedim(1, -1).contiguous().movedim(-1, 1)

    def empty(self, count: int) -> tuple[torch.Tensor, ...]:
        if self.is_callers:
            return tuple(torch.empty_like(self.sample, dtype=self.dtype) for _ in range(count))
        return tuple(torch.empty(self.sample.shape, dtype=self.dtype, device=self.sample.device) for _ in range(count))

    def deliver(self, outputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        if self.is_callers:
            return outputs
        return tuple(torch.empty_like(self.sample, dtype=self.dtype).copy_(out) for out in outputs)


def _channels(tensor):
    """
    0 for contiguous memory, the number of channels for channels-last memory, None for a layout that no kernel reads.

    Channels-last samples need a multiple of four pixels, since four share a Philox call, and 32-bit offsets.
    """
    if tensor.is_contiguous():
        return 0
    pixels = math.prod(tensor.shape[2:])
    if tensor.movedim(1, -1).is_contiguous() and pixels % 4 == 0 and tensor.shape[1] * pixels < 2**30:
        return tensor.shape[1]
    return None


def _dense(*vectors):
    """Tables, seeds and flags, which the kernels index without a stride."""
    return tuple(vector if vector is None else vector.contiguous() for vector in vectors)


def _constants(layout, noise, seeds, flip=None):
    mode = 1 if noise is not None else 2 if seeds is not None else 0
    # Where nothing depends on an element's index, memory is walked as it lies.
    channels = layout.channels if mode == 2 or flip is not None else 0
    return {
        "PER": _calls_per_thread(layout, channels),
        "NOISE": mode,
        "OWN_SEED": seeds is not None and seeds.numel() > 1,
        "CHANNELS": channels,
        "APPROX": layout.sample.device.type == "cuda" and torch.version.hip is None,
    }


def _width(x_0, flip):
    return 0 if flip is None else x_0.shape[-1]


def _calls_per_thread(layout, channels=0):
    """Philox calls on neighbours, so that a thread stores 128 bits at once; by channels the neighbours lie apart."""
    return 1 if layout.dtype.itemsize == 4 or channels else 2


def _launch(kernel, layout, tensors, sizes, **constants):
    sample = layout.sample
    plan = Plan.of(sample.shape)
    if sample.numel() == 0:
        return
    on_device = nullcontext()
    if sample.device.type != "cpu":
        on_device = torch.get_device_module(sample.device).device(sample.device)
    with on_device:
        kernel[plan.grid](
            *tensors,
            plan.length,
            *sizes,
            BLOCK=plan.block,
            ALIGNED=plan.aligned,
            num_warps=plan.num_warps,
            **constants,
        )
