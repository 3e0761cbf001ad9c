# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable

import torch
from diffusers.models.modeling_utils import ModelMixin
from diffusers.pipelines.pipeline_utils import DiffusionPipeline, ImagePipelineOutput
from diffusers.utils.torch_utils import randn_tensor

from ..schedulers.scheduling_ddgan import DDGANScheduler
from .common import GANPipelineMixin


class DDGANPipeline(GANPipelineMixin, DiffusionPipeline):
    r"""
    Images (or vectors) from a denoising diffusion GAN (arXiv 2112.07804) in as many network evaluations as the model was
    trained with, 1 to 8.

    Args:
        generator ([`NCSNppGenerator`] or [`MLPGenerator`]):
            The network G(x_{t+1}, t, z) -> x_0. (The random-number argument of `__call__` has the same name, as everywhere
            in diffusers.)
        scheduler ([`DDGANScheduler`]):
            Forward process and posterior.

    Examples:

    ```py
    >>> import torch
    >>> from gan_diffusion import DDGANPipeline

    >>> pipeline = DDGANPipeline.from_pretrained("runs/ddgan-digits")
    >>> image = pipeline(generator=torch.Generator().manual_seed(0)).images[0]
    >>> image.save("digit.png")
    ```
    """

    def __init__(self, generator: ModelMixin, scheduler: DDGANScheduler):
        super().__init__()
        self.register_modules(generator=generator, scheduler=scheduler)

    def prepare_latents(
        self,
        batch_size: int,
        dtype: torch.dtype,
        device: torch.device,
        generator: torch.Generator | list[torch.Generator] | None,
        latents: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """x_T: pure noise of shape (B, *sample_shape), or the `latents` that were given, on the right device."""
        if latents is not None:
            return latents.to(device=device, dtype=dtype)
        latents = randn_tensor((batch_size, *self.sample_shape), generator=generator, device=device, dtype=dtype)
        return latents * self.scheduler.init_noise_sigma

    @torch.no_grad()
    def __call__(
        self,
        batch_size: int = 1,
        class_labels: list[int] | torch.Tensor | None = None,
        num_inference_steps: int | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: torch.Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callable[["DDGANPipeline", int, torch.Tensor, dict], dict] | None = None,
        callback_on_step_end_tensor_inputs: list[str] = ["latents"],  # noqa: B006 (diffusers' signature)
    ) -> ImagePipelineOutput | tuple:
        r"""
        Draws samples.

        Args:
            batch_size (`int`, defaults to 1):
                Number of samples.
            class_labels (`list[int]` or `torch.Tensor` of shape (B,), *optional*):
                One label per image, for class-conditional models.
            num_inference_steps (`int`, *optional*):
                The number of steps the model was trained for, which is the default; no other number is possible.
            generator (`torch.Generator` or a list with one per sample, *optional*):
                Makes the result reproducible.
            latents (`torch.Tensor` of shape (B, C, H, W) or (B, D), *optional*):
                x_T, standard normal, instead of drawing it.
            output_type (`str`, defaults to `"pil"`):
                `"pil"`; `"np"` (B, H, W, C) or `"pt"` (B, C, H, W) with values in [0, 1]; or `"latent"`, the raw x_0 in
                [-1, 1]. Vectors are returned as they are by `"pt"`, `"np"` and `"latent"`.
            return_dict (`bool`, defaults to `True`):
                Whether to return an [`~diffusers.ImagePipelineOutput`] instead of a tuple.
            callback_on_step_end (`Callable`, *optional*):
                Called after every step with the pipeline, the step's index, the timestep and a dict of the tensors named in
                `callback_on_step_end_tensor_inputs`; what it returns replaces them.
            callback_on_step_end_tensor_inputs (`list[str]`, defaults to `["latents"]`):
                Tensors to hand to the callback; must be in `_callback_tensor_inputs`.

        Returns:
            [`~diffusers.ImagePipelineOutput`] or `tuple`: the samples, as `.images` or as the first element.

        Raises:
            ValueError: if an argument is out of range or does not fit the model.
        """
        self.check_inputs(
            batch_size, class_labels, latents, self.sample_shape, output_type, callback_on_step_end_tensor_inputs
        )
        device = self._execution_device
        dtype = self.generator.dtype

        self.scheduler.set_timesteps(num_inference_steps, device=device)
        self._num_timesteps = len(self.scheduler.timesteps)
        if class_labels is not None:
            class_labels = torch.as_tensor(class_labels, device=device)
        latents = self.prepare_latents(batch_size, dtype, device, generator, latents)

        latent_shape = (batch_size, self.generator.config.latent_dim)
        for i, t in enumerate(self.progress_bar(self.scheduler.timesteps)):
            # A fresh z at every step: it is what makes each denoising distribution multimodal.
            z = randn_tensor(latent_shape, generator=generator, device=device, dtype=dtype)
            model_input = self.scheduler.scale_model_input(latents, t)
            pred_original_sample = self.generator(model_input, t, z, class_labels=class_labels).sample
            latents = self.scheduler.step(pred_original_sample, t, latents, generator=generator).prev_sample

            latents = self._call_back(callback_on_step_end, callback_on_step_end_tensor_inputs, i, t, latents)

        return self._output(latents, output_type, return_dict)
