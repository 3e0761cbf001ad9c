# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Sequence

import torch
from diffusers.models.modeling_utils import ModelMixin
from diffusers.pipelines.pipeline_utils import DiffusionPipeline, ImagePipelineOutput
from diffusers.utils.torch_utils import randn_tensor

from ..schedulers.scheduling_spi_gan import SPIGANScheduler
from .common import GANPipelineMixin


class SPIGANPipeline(GANPipelineMixin, DiffusionPipeline):
    r"""
    Images (or vectors) from an SPI-GAN (arXiv 2206.14464) in one evaluation of the synthesis network.

    Args:
        generator ([`SPIGANGenerator`]):
            Embedding, mapping and synthesis. (The random-number argument of `__call__` has the same name, as everywhere in
            diffusers.)
        scheduler ([`SPIGANScheduler`]):
            The straight path that the generator was trained on; sampling takes its end, u = 1.

    Examples:

    ```py
    >>> import torch
    >>> from gan_diffusion import SPIGANPipeline

    >>> pipeline = SPIGANPipeline.from_pretrained("runs/spi-gan-digits")
    >>> image = pipeline(generator=torch.Generator().manual_seed(0)).images[0]
    >>> image.save("digit.png")
    ```
    """

    def __init__(self, generator: ModelMixin, scheduler: SPIGANScheduler):
        super().__init__()
        self.register_modules(generator=generator, scheduler=scheduler)

    def _noise(self, batch_size: int, generator, latents: torch.Tensor | None) -> torch.Tensor:
        """Noise for the generator, or the `latents` that were given, on the right device."""
        device, dtype = self._execution_device, self.generator.dtype
        if latents is None:
            shape = (batch_size, *self.generator.noise_shape)
            return randn_tensor(shape, generator=generator, device=device, dtype=dtype)
        return latents.to(device=device, dtype=dtype)

    @torch.no_grad()
    def __call__(
        self,
        batch_size: int = 1,
        u: float | torch.Tensor = 1.0,
        noise_mode: str = "random",
        num_inference_steps: int | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: torch.Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callable[["SPIGANPipeline", int, torch.Tensor, dict], dict] | None = None,
        callback_on_step_end_tensor_inputs: list[str] = ["latents"],  # noqa: B006 (diffusers' signature)
    ) -> ImagePipelineOutput | tuple:
        r"""
        Draws samples.

        Args:
            batch_size (`int`, defaults to 1):
                Number of samples.
            u (`float` or `torch.Tensor` of shape (B,), defaults to 1.0):
                Position on the path in [0, 1]: 1 gives images, less gives images mixed with noise.
            noise_mode (`str`, defaults to `"random"`):
                Noise of the synthesis layers: `"random"`, `"const"` (the same for every image) or `"none"`.
            num_inference_steps (`int`, *optional*):
                1, which is also the default; no other number is possible.
            generator (`torch.Generator` or a list with one per sample, *optional*):
                Makes the result reproducible, layer noise included.
            latents (`torch.Tensor` of shape (B, *noise_shape), *optional*):
                Standard normal noise, instead of drawing it: of the shape of the samples, unless the generator has no initial
                embedding.
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
        self.check_inputs(
            batch_size, None, latents, self.generator.noise_shape, output_type, callback_on_step_end_tensor_inputs
        )
        self.scheduler.set_timesteps(num_inference_steps, device=self._execution_device)
        self._num_timesteps = len(self.scheduler.timesteps)
        latents = self._noise(batch_size, generator, latents)

        for i, t in enumerate(self.progress_bar(self.scheduler.timesteps)):
            latents = self.generator(latents, u, noise_mode=noise_mode, generator=generator).sample
            latents = self._call_back(callback_on_step_end, callback_on_step_end_tensor_inputs, i, t, latents)

        return self._output(latents, output_type, return_dict)

    @torch.no_grad()
    def interpolate(
        self,
        latents_a: torch.Tensor | None = None,
        latents_b: torch.Tensor | None = None,
        num: int = 8,
        generator: torch.Generator | None = None,
        output_type: str = "pil",
    ):
        """
        A strip of samples between two, along the straight line between their styles h(1).

        Args:
            latents_a, latents_b (`torch.Tensor` of shape (1, *noise_shape), *optional*): Noise of the two ends, drawn if `None`.
            num (`int`, defaults to 8): Number of samples, both ends included, at least 2.
            generator (`torch.Generator`, *optional*): Source of the noise that is drawn.
            output_type (`str`, defaults to `"pil"`): See `__call__`.

        Returns:
            `num` samples, in the form that `output_type` asks for. The layer noise is the same for all of them.

        Raises:
            ValueError: if `num` is below 2 or a shape does not fit the model.
        """
        if num < 2:
            raise ValueError(f"`num` must be at least 2, got {num}.")
        styles = []
        for latents in (latents_a, latents_b):
            self.check_inputs(1, None, latents, self.generator.noise_shape, output_type, [])
            state = self.generator.embed(self._noise(1, generator, latents))
            styles.append(self.generator.mapping(state, state.new_ones(1)))
        weights = torch.linspace(0, 1, num, device=styles[0].device, dtype=styles[0].dtype)[:, None]
        samples = self.generator.synthesize(torch.lerp(*styles, weights), noise_mode="const")
        return self._postprocess(samples, output_type)

    @torch.no_grad()
    def path(
        self,
        latents: torch.Tensor | None = None,
        us: Sequence[float] = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0),
        generator: torch.Generator | None = None,
        output_type: str = "pil",
    ):
        """
        A strip of samples that one noise gives at several positions.

        They are samples of the noisier and cleaner points of the path; nothing ties them to be noisy versions of one image.

        Args:
            latents (`torch.Tensor` of shape (1, *noise_shape), *optional*): The noise, drawn if `None`.
            us (`Sequence[float]`): Positions in [0, 1].
            generator (`torch.Generator`, *optional*): Source of the noise that is drawn.
            output_type (`str`, defaults to `"pil"`): See `__call__`.

        Returns:
            One sample per position, in the form that `output_type` asks for. The layer noise is the same for all of them.

        Raises:
            ValueError: if there is no position, one is out of range, or the shape does not fit the model.
        """
        if len(us) == 0:
            raise ValueError("`us` must name at least one position.")
        self.check_inputs(1, None, latents, self.generator.noise_shape, output_type, [])
        noise = self._noise(1, generator, latents)
        noise = noise.expand(len(us), *noise.shape[1:])
        samples = self.generator(noise, torch.tensor(us), noise_mode="const").sample
        return self._postprocess(samples, output_type)
