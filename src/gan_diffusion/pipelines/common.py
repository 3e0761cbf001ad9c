# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""What the pipelines of all methods share. Not itself a pipeline: a Hub repository's pipeline.py may name only one."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from diffusers.image_processor import VaeImageProcessor
from diffusers.pipelines.pipeline_utils import ImagePipelineOutput


class GANPipelineMixin:
    """Input checks, callback and postprocessing for a pipeline with a component `generator`."""

    model_cpu_offload_seq = "generator"
    _callback_tensor_inputs = ["latents"]
    _num_timesteps = 0

    @property
    def num_timesteps(self) -> int:
        """Number of network evaluations of the latest call."""
        return self._num_timesteps

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample: (C, H, W) for images, (D,) for vectors."""
        return self.generator.sample_shape

    def check_inputs(
        self,
        batch_size: int,
        class_labels: list[int] | torch.Tensor | None,
        latents: torch.Tensor | None,
        latent_shape: tuple[int, ...],
        output_type: str,
        callback_on_step_end_tensor_inputs: Sequence[str],
    ) -> None:
        """
        Checks what only the pipeline can check; networks and scheduler check the rest.

        Raises:
            ValueError: naming the argument.
        """
        if batch_size < 1:
            raise ValueError(f"`batch_size` must be at least 1, got {batch_size}.")
        if output_type not in ("pil", "np", "pt", "latent"):
            raise ValueError(f"`output_type` must be 'pil', 'np', 'pt' or 'latent', got {output_type!r}.")
        if output_type == "pil" and len(self.sample_shape) != 3:
            raise ValueError("`output_type` 'pil' needs an image model; this one makes vectors: use 'pt' or 'np'.")
        unknown = set(callback_on_step_end_tensor_inputs) - set(self._callback_tensor_inputs)
        if unknown:
            raise ValueError(
                f"`callback_on_step_end_tensor_inputs` may name {self._callback_tensor_inputs}, got {sorted(unknown)}."
            )
        shape = (batch_size, *latent_shape)
        if latents is not None and tuple(latents.shape) != shape:
            raise ValueError(f"`latents` must have shape {shape}, got {tuple(latents.shape)}.")
        if class_labels is not None and len(class_labels) != batch_size:
            raise ValueError(f"`class_labels` must hold {batch_size} labels, one per image, got {len(class_labels)}.")

    def _call_back(
        self,
        callback: Callable[[Any, int, torch.Tensor, dict], dict] | None,
        names: Sequence[str],
        step: int,
        timestep: torch.Tensor,
        latents: torch.Tensor,
    ) -> torch.Tensor:
        """Shows the state after a step to the user's callback, and returns what it makes of it."""
        if callback is None:
            return latents
        return callback(self, step, timestep, dict.fromkeys(names, latents)).pop("latents", latents)

    def _output(self, latents: torch.Tensor, output_type: str, return_dict: bool) -> ImagePipelineOutput | tuple:
        """What a call returns."""
        images = self._postprocess(latents, output_type)
        self.maybe_free_model_hooks()
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    def _postprocess(self, latents: torch.Tensor, output_type: str):
        if output_type == "latent":
            return latents
        if latents.ndim == 4:
            # numpy knows no bfloat16.
            return VaeImageProcessor(vae_scale_factor=1).postprocess(latents.float(), output_type=output_type)
        return latents.float().cpu().numpy() if output_type == "np" else latents
