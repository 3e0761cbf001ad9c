# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable

import torch
from diffusers.models.modeling_utils import ModelMixin
from diffusers.pipelines.pipeline_utils import DiffusionPipeline, ImagePipelineOutput
from diffusers.utils.torch_utils import randn_tensor

from ..schedulers.scheduling_diffusion_gan import DiffusionGANScheduler
from .common import GANPipelineMixin


class DiffusionGANPipeline(GANPipelineMixin, DiffusionPipeline):
    r"""
    Images (or vectors) from a Diffusion-GAN (arXiv 2206.02262) in one network evaluation.

    Args:
        generator ([`StyleGAN2Generator`] or [`LatentMLPGenerator`]):
            The network G(z) -> x. (The random-number argument of `__call__` has the same name, as everywhere in diffusers.)
        scheduler ([`DiffusionGANScheduler`]):
            The noise that the generator was trained through; sampling does not use it.

    Examples:

    ```py
    >>> import torch
    >>> from gan_diffusion import DiffusionGANPipeline

    >>> pipeline = DiffusionGANPipeline.from_pretrained("runs/diffusion-gan-digits")
    >>> image = pipeline(truncation_psi=0.8, generator=torch.Generator().manual_seed(0)).images[0]
    >>> image.save("digit.png")
    ```
    """

    def __init__(self, generator: ModelMixin, scheduler: DiffusionGANScheduler):
        super().__init__()
        self.register_modules(generator=generator, scheduler=scheduler)

    @torch.no_grad()
    def __call__(
        self,
        batch_size: int = 1,
        class_labels: list[int] | torch.Tensor | None = None,
        truncation_psi: float = 1.0,
        noise_mode: str = "random",
        num_inference_steps: int | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: torch.Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callable[["DiffusionGANPipeline", int, torch.Tensor, dict], dict] | None = None,
        callback_on_step_end_tensor_inputs: list[str] = ["latents"],  # noqa: B006 (diffusers' signature)
    ) -> ImagePipelineOutput | tuple:
        r"""
        Draws samples.

        Args:
            batch_size (`int`, defaults to 1):
                Number of samples.
            class_labels (`list[int]` or `torch.Tensor` of shape (B,), *optional*):
                One label per image, for class-conditional models.
            truncation_psi (`float`, defaults to 1.0):
                Below 1 styles are drawn towards their mean: more typical samples, less variety.
            noise_mode (`str`, defaults to `"random"`):
                Layer noise of a StyleGAN2 generator: `"random"`, `"const"` (the same for every image) or `"none"`.
            num_inference_steps (`int`, *optional*):
                1, which is also the default; no other number is possible.
            generator (`torch.Generator` or a list with one per sample, *optional*):
                Makes the result reproducible, layer noise included.
            latents (`torch.Tensor` of shape (B, latent_dim), *optional*):
                z, standard normal, instead of drawing it.
            output_type (`str`, defaults to `"pil"`):
                `"pil"`; `"np"` (B, H, W, C) or `"pt"` (B, C, H, W) with values in [0, 1]; or `"latent"`, the raw output, mostly
                in [-1, 1]. Vectors are returned as they are by `"pt"`, `"np"` and `"latent"`.
            return_dict (`bool`, defaults to `True`):
                Whether to return an [`~diffusers.ImagePipelineOutput`] instead of a tuple.
            callback_on_step_end (`Callable`, *optional*):
                Called after the evaluation with the pipeline, the step's index, the timestep and a dict with the output under
                `"latents"`; what it returns replaces it.
            callback_on_step_end_tensor_inputs (`list[str]`, defaults to `["latents"]`):
                Tensors to hand to the callback; must be in `_callback_tensor_inputs`.

        Returns:
            [`~diffusers.ImagePipelineOutput`] or `tuple`: the samples, as `.images` or as the first element.

        Raises:
            ValueError: if an argument is out of range or does not fit the model.
        """
        latent_shape = (self.generator.config.latent_dim,)
        self.check_inputs(
            batch_size, class_labels, latents, latent_shape, output_type, callback_on_step_end_tensor_inputs
        )
        device = self._execution_device
        dtype = self.generator.dtype

        self.scheduler.set_timesteps(num_inference_steps, device=device)
        self._num_timesteps = len(self.scheduler.timesteps)
        if class_labels is not None:
            class_labels = torch.as_tensor(class_labels, device=device)
        if latents is None:
            latents = randn_tensor((batch_size, *latent_shape), generator=generator, device=device, dtype=dtype)
        latents = latents.to(device=device, dtype=dtype)

        for i, t in enumerate(self.progress_bar(self.scheduler.timesteps)):
            latents = self.generator(
                latents, class_labels, truncation_psi=truncation_psi, noise_mode=noise_mode, generator=generator
            ).sample
            latents = self._call_back(callback_on_step_end, callback_on_step_end_tensor_inputs, i, t, latents)

        return self._output(latents, output_type, return_dict)
