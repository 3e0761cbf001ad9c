# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The pipeline of denoising diffusion GANs."""

from collections.abc import Callable

import torch
from diffusers.models.modeling_utils import ModelMixin
from diffusers.pipelines.pipeline_utils import ImagePipelineOutput
from diffusers.utils.torch_utils import randn_tensor

from ..models.generators.mlp import MLPGenerator
from ..models.generators.ncsnpp import NCSNppGenerator
from ..schedulers.scheduling_ddgan import DDGANScheduler
from .common import GANPipeline, default_batch_size


class DDGANPipeline(GANPipeline):
    r"""
    Images (or vectors) from a denoising diffusion GAN (arXiv 2112.07804).

    A sample takes as many network evaluations as the model was trained with, 1 to 8.

    Args:
        generator ([`NCSNppGenerator`], [`MLPGenerator`] or another `ModelMixin`):
            The network G(x_{t+1}, t, z) -> x_0. One of your own needs `sample_shape`, `config.latent_dim` (the width
            of z) and `forward(sample, timestep, latent)`. (The random-number argument of `__call__` has the same
            name as this component, as everywhere in diffusers.)
        scheduler ([`DDGANScheduler`]):
            Forward process and posterior.
        id2label (`dict[int, str]` or, as in JSON, `dict[str, str]`, *optional*):
            Names of the classes of a class-conditional model, by their numbers. `class_labels` may then be names.

    Raises:
        TypeError: If a component is not as described.
        ValueError: If `id2label` does not name each class.

    Examples:
    ```py
    >>> import torch
    >>> from gan_diffusion import DDGANPipeline

    >>> pipeline = DDGANPipeline.from_pretrained("runs/ddgan-digits")
    >>> image = pipeline(generator=torch.Generator().manual_seed(0)).images[0]
    >>> image.save("digit.png")
    ```
    """

    _generator_attributes = ("sample_shape", "config.latent_dim")
    _generator_parameters = ("sample", "timestep", "latent")

    def __init__(
        self,
        generator: NCSNppGenerator | MLPGenerator | ModelMixin,
        scheduler: DDGANScheduler,
        id2label: dict[int, str] | dict[str, str] | None = None,
    ):
        super().__init__()
        self._check_components(generator, scheduler, DDGANScheduler)
        self._register(generator, scheduler, id2label)

    @torch.no_grad()
    def __call__(
        self,
        batch_size: int | None = None,
        class_labels: list[int | str] | torch.Tensor | None = None,
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
            batch_size (`int`, *optional*):
                Number of samples; by default that of the labels, the latents or the generators, or else 1.
            class_labels (`list[int | str]` or `torch.Tensor` of shape (B,), *optional*):
                One label per sample, its number or its name. A class-conditional model needs them, another takes none.
            num_inference_steps (`int`, *optional*):
                The number of steps that the model was trained for, which is the default; no other number is possible.
            generator (`torch.Generator` or `list[torch.Generator]`, *optional*):
                Makes the result reproducible; a list holds one per sample.
            latents (`torch.Tensor` of shape (B, C, H, W) or (B, D), *optional*):
                x_T, standard normal, instead of drawing it.
            output_type (`str`, defaults to `"pil"`):
                `"pil"`; `"np"` (B, H, W, C) or `"pt"` (B, C, H, W) with values in [0, 1]; or `"latent"`, the raw
                x_0 in [-1, 1]. Vectors are returned as they are by `"pt"`, `"np"` and `"latent"`.
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
        condition = self._condition(class_labels)
        latents = self.prepare_latents(batch_size, dtype, device, generator, latents)

        z_shape = (batch_size, self.generator.config.latent_dim)
        for i, t in self._steps():
            if self.interrupt:
                continue
            # A fresh z at every step: it is what makes each denoising distribution multimodal.
            z = randn_tensor(z_shape, generator=generator, device=device, dtype=dtype)
            model_input = self.scheduler.scale_model_input(latents, t)
            pred_original_sample = self.generator(model_input, t, z, **condition).sample
            latents = self.scheduler.step(pred_original_sample, t, latents, generator=generator).prev_sample

            latents = self._call_back(callback_on_step_end, callback_on_step_end_tensor_inputs, i, t, latents)

        return self._output(latents, output_type, return_dict)
