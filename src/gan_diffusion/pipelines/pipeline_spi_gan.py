# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The pipeline of SPI-GAN."""

from collections.abc import Callable, Sequence

import torch
from diffusers.models.modeling_utils import ModelMixin
from diffusers.pipelines.pipeline_utils import ImagePipelineOutput

from ..models.generators.spi_gan import SPIGANGenerator
from ..schedulers.scheduling_spi_gan import SPIGANScheduler
from .common import GANPipeline, Samples, check_latents, default_batch_size


class SPIGANPipeline(GANPipeline):
    r"""
    Images (or vectors) from an SPI-GAN (arXiv 2206.14464) in one evaluation of the synthesis network.

    Args:
        generator ([`SPIGANGenerator`] or another `ModelMixin`):
            Embedding, mapping and synthesis. One of your own needs `sample_shape`, `noise_shape` and
            `forward(noise, u, noise_mode, styles, generator)`, which returns `.sample` and `.styles`. (The
            random-number argument of `__call__` has the same name as this component, as everywhere in diffusers.)
        scheduler ([`SPIGANScheduler`]):
            The straight path that the generator was trained on; sampling takes its end, u = 1.
        id2label (`dict[int, str]` or, as in JSON, `dict[str, str]`, *optional*):
            Names of the classes of a class-conditional model, by their numbers. `class_labels` may then be names.

    Raises:
        TypeError: If a component is not as described.
        ValueError: If `id2label` does not name each class.

    Examples:
    ```py
    >>> import torch
    >>> from gan_diffusion import SPIGANPipeline

    >>> pipeline = SPIGANPipeline.from_pretrained("runs/spi-gan-digits")
    >>> image = pipeline(generator=torch.Generator().manual_seed(0)).images[0]
    >>> image.save("digit.png")
    ```
    """

    _generator_attributes = ("sample_shape", "noise_shape")
    _generator_parameters = ("noise", "u", "noise_mode", "styles", "generator")

    def __init__(
        self,
        generator: SPIGANGenerator | ModelMixin,
        scheduler: SPIGANScheduler,
        id2label: dict[int, str] | dict[str, str] | None = None,
    ):
        super().__init__()
        self._check_components(generator, scheduler, SPIGANScheduler)
        self._register(generator, scheduler, id2label)

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of the noise for one sample: that of the sample, unless the generator has no initial embedding."""
        return self.generator.noise_shape

    @torch.no_grad()
    def __call__(
        self,
        batch_size: int | None = None,
        class_labels: list[int | str] | torch.Tensor | None = None,
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
            batch_size (`int`, *optional*):
                Number of samples; by default that of the labels, the latents, the generators or `u`, or else 1.
            class_labels (`list[int | str]` or `torch.Tensor` of shape (B,), *optional*):
                One label per sample, its number or its name. A class-conditional model needs them, another takes none.
            u (`float` or `torch.Tensor` of shape (B,), defaults to 1.0):
                Position on the path in [0, 1]: 1 gives images, less gives images mixed with noise.
            noise_mode (`str`, defaults to `"random"`):
                Noise of the synthesis layers: `"random"`, `"const"` (the same for every image) or `"none"`.
            num_inference_steps (`int`, *optional*):
                1, which is also the default; no other number is possible.
            generator (`torch.Generator` or `list[torch.Generator]`, *optional*):
                Makes the result reproducible, layer noise included; a list holds one per sample.
            latents (`torch.Tensor` of shape (B, *noise_shape), *optional*):
                Standard normal noise, instead of drawing it.
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
            batch_size = default_batch_size(class_labels, latents, generator, u)
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
        options = {"u": u, "noise_mode": noise_mode, "generator": generator, **self._condition(class_labels)}
        latents = self.prepare_latents(batch_size, dtype, device, generator, latents)

        for i, t in self._steps():
            latents = self.generator(latents, **options).sample
            latents = self._call_back(callback_on_step_end, callback_on_step_end_tensor_inputs, i, t, latents)

        return self._output(latents, output_type, return_dict)

    @torch.no_grad()
    def interpolate(
        self,
        latents_a: torch.Tensor | None = None,
        latents_b: torch.Tensor | None = None,
        num: int = 8,
        class_labels: list[int | str] | torch.Tensor | None = None,
        generator: torch.Generator | None = None,
        output_type: str = "pil",
    ) -> Samples:
        """
        Makes a strip of samples between two, along the straight line between their styles h(1).

        Args:
            latents_a (`torch.Tensor` of shape (1, *noise_shape), *optional*):
                Noise of the first end, instead of drawing it.
            latents_b (`torch.Tensor` of shape (1, *noise_shape), *optional*):
                Noise of the other end, instead of drawing it.
            num (`int`, defaults to 8):
                Number of samples, both ends included, at least 2.
            class_labels (`list[int | str]` or `torch.Tensor` of shape (2,), *optional*):
                Labels of the two ends, for a class-conditional model.
            generator (`torch.Generator`, *optional*):
                Makes the result reproducible.
            output_type (`str`, defaults to `"pil"`):
                See `__call__`.

        Returns:
            `num` samples, in the form that `output_type` asks for. All have the same layer noise.

        Raises:
            TypeError: If an argument is of a wrong type.
            ValueError: If `num` is below 2 or another argument does not fit the model.
        """
        if not isinstance(num, int) or num < 2:
            raise ValueError(f"`num` must be an int of at least 2, got {num!r}.")
        if isinstance(generator, list):
            raise TypeError("`generator` must be one torch.Generator, got a list.")
        self.check_inputs(2, class_labels, generator, output_type=output_type)
        shape = (1, *self.latent_shape)
        check_latents("latents_a", latents_a, shape)
        check_latents("latents_b", latents_b, shape)
        device, dtype = self._execution_device, self.generator.dtype
        ends = [self.prepare_latents(1, dtype, device, generator, latents) for latents in (latents_a, latents_b)]
        # Only through the network's forward, at which the hooks of offloading wait.
        styles = self.generator(torch.cat(ends), noise_mode="const", **self._condition(class_labels)).styles
        weights = torch.linspace(0, 1, num, device=styles.device, dtype=styles.dtype)[:, None]
        samples = self.generator(styles=torch.lerp(styles[0], styles[1], weights), noise_mode="const").sample
        return self._output(samples, output_type, return_dict=False)[0]

    @torch.no_grad()
    def path(
        self,
        latents: torch.Tensor | None = None,
        us: Sequence[float] | torch.Tensor = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0),
        class_labels: list[int | str] | torch.Tensor | None = None,
        generator: torch.Generator | None = None,
        output_type: str = "pil",
    ) -> Samples:
        """
        Makes a strip of the samples that one noise gives at several positions.

        They are samples of the noisier and cleaner points of the path, not noisy versions of one image.

        Args:
            latents (`torch.Tensor` of shape (1, *noise_shape), *optional*):
                The noise, instead of drawing it.
            us (`Sequence[float]` or `torch.Tensor` of shape (N,), defaults to `(0.1, 0.25, 0.5, 0.75, 0.9, 1.0)`):
                Positions in [0, 1].
            class_labels (`list[int | str]` or `torch.Tensor` of shape (1,), *optional*):
                The label, for a class-conditional model.
            generator (`torch.Generator`, *optional*):
                Makes the result reproducible.
            output_type (`str`, defaults to `"pil"`):
                See `__call__`.

        Returns:
            One sample per position, in the form that `output_type` asks for. All have the same layer noise.

        Raises:
            TypeError: If an argument is of a wrong type.
            ValueError: If there is no position, one is out of range, or another argument does not fit the model.
        """
        try:
            positions = torch.as_tensor(us, dtype=torch.float32)
        except (TypeError, ValueError):
            raise TypeError(f"`us` must be a list of numbers, got {us!r}.") from None
        if positions.ndim != 1 or len(positions) == 0:
            raise ValueError(f"`us` must be a list of at least one position, got {us!r}.")
        self.check_inputs(1, class_labels, generator, latents, output_type)
        noise = self.prepare_latents(1, self.generator.dtype, self._execution_device, generator, latents)
        condition = {name: value.expand(len(positions)) for name, value in self._condition(class_labels).items()}
        noise = noise.expand(len(positions), *noise.shape[1:])
        samples = self.generator(noise, positions, noise_mode="const", **condition).sample
        return self._output(samples, output_type, return_dict=False)[0]
