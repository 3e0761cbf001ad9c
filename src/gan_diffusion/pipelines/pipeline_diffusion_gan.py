# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The pipeline of Diffusion-GAN."""

from collections.abc import Callable

import torch
from diffusers.models.modeling_utils import ModelMixin
from diffusers.pipelines.pipeline_utils import ImagePipelineOutput

from ..models.generators.latent_mlp import LatentMLPGenerator
from ..models.generators.stylegan2 import StyleGAN2Generator
from ..schedulers.scheduling_diffusion_gan import DiffusionGANScheduler
from .common import GANPipeline, default_batch_size


class DiffusionGANPipeline(GANPipeline):
    r"""
    Images (or vectors) from a Diffusion-GAN (arXiv 2206.02262) in one network evaluation.

    Args:
        generator ([`StyleGAN2Generator`], [`FastGANGenerator`], [`LatentMLPGenerator`] or another `ModelMixin`):
            The network G(z) -> x. One of your own needs `sample_shape`, `config.latent_dim` (the width of z) and
            `forward(latent, truncation_psi, noise_mode, generator)`. (The random-number argument of `__call__` has the
            same name as this component, as everywhere in diffusers.)
        scheduler ([`DiffusionGANScheduler`]):
            The noise that the generator was trained through; sampling does not use it.
        id2label (`dict[int, str]` or, as in JSON, `dict[str, str]`, *optional*):
            Names of the classes of a class-conditional model, by their numbers. `class_labels` may then be names.

    Raises:
        TypeError: If a component is not as described.
        ValueError: If `id2label` does not name each class.

    Examples:
    ```py
    >>> import torch
    >>> from gan_diffusion import DiffusionGANPipeline

    >>> pipeline = DiffusionGANPipeline.from_pretrained("runs/diffusion-gan-digits")
    >>> image = pipeline(truncation_psi=0.8, generator=torch.Generator().manual_seed(0)).images[0]
    >>> image.save("digit.png")
    ```
    """

    _generator_attributes = ("sample_shape", "config.latent_dim")
    _generator_parameters = ("latent", "truncation_psi", "noise_mode", "generator")

    def __init__(
        self,
        generator: StyleGAN2Generator | LatentMLPGenerator | ModelMixin,
        scheduler: DiffusionGANScheduler,
        id2label: dict[int, str] | dict[str, str] | None = None,
    ):
        super().__init__()
        self._check_components(generator, scheduler, DiffusionGANScheduler)
        self._register(generator, scheduler, id2label)

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of z for one sample, (latent_dim,)."""
        return (self.generator.config.latent_dim,)

    @torch.no_grad()
    def __call__(
        self,
        batch_size: int | None = None,
        class_labels: list[int | str] | torch.Tensor | None = None,
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
            batch_size (`int`, *optional*):
                Number of samples; by default that of the labels, the latents or the generators, or else 1.
            class_labels (`list[int | str]` or `torch.Tensor` of shape (B,), *optional*):
                One label per sample, its number or its name. A class-conditional model needs them, another takes none.
            truncation_psi (`float`, defaults to 1.0):
                Below 1 styles are drawn towards their mean: more typical samples, less variety.
            noise_mode (`str`, defaults to `"random"`):
                Noise of the synthesis layers: `"random"`, `"const"` (the same for every image) or `"none"`.
            num_inference_steps (`int`, *optional*):
                1, which is also the default; no other number is possible.
            generator (`torch.Generator` or `list[torch.Generator]`, *optional*):
                Makes the result reproducible, layer noise included; a list holds one per sample.
            latents (`torch.Tensor` of shape (B, latent_dim), *optional*):
                z, standard normal, instead of drawing it.
            output_type (`str`, defaults to `"pil"`):
                `"pil"`; `"np"` (B, H, W, C) or `"pt"` (B, C, H, W) with values in [0, 1]; or `"latent"`, the raw
                samples, mostly in [-1, 1]. Vectors are returned as they are by `"pt"`, `"np"` and `"latent"`.
            return_dict (`bool`, defaults to `True`):
                Whether to return an [`~diffusers.ImagePipelineOutput`] instead of a tuple.
            callback_on_step_end (`Callable`, *optional*):
                Called after every evaluation with the pipeline, the number of the step, the timestep and a dict of the
                tensors named in `callback_on_step_end_tensor_inputs`. It returns a dict, whose tensors replace them.
            callback_on_step_end_tensor_inputs (`list[str]`, defaults to `["latents"]`):
                Tensors that the callback gets; only `"latents"` is possible.

        Returns:
            [`~diffusers.ImagePipelineOutput`] or `tuple`: The samples, as `.images` or as the first element.

        Raises:
            TypeError: If an argument is of a wrong type.
            ValueError: If an argument is out of range or does not fit the model.
        """
        if batch_size is None:
            batch_size = default_batch_size(class_labels, latents, generator)
        self.check_inputs(
            batch_size,
            class_labels,
            generator,
            latents,
            output_type,
            callback_on_step_end,
            callback_on_step_end_tensor_inputs,
        )
        device, dtype = self._execution_device, self.generator.dtype
        self.scheduler.set_timesteps(num_inference_steps, device=device)
        self._num_timesteps = len(self.scheduler.timesteps)
        self._interrupt = False
        options = {"truncation_psi": truncation_psi, "noise_mode": noise_mode, "generator": generator}
        options |= self._condition(class_labels)
        latents = self.prepare_latents(batch_size, dtype, device, generator, latents)

        for i, t in self._steps():
            latents = self.generator(latents, **options).sample
            latents = self._call_back(callback_on_step_end, callback_on_step_end_tensor_inputs, i, t, latents)

        return self._output(latents, output_type, return_dict)
