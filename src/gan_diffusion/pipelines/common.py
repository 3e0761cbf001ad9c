# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""What the pipelines of all methods share."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import PIL.Image
import torch
from diffusers.image_processor import VaeImageProcessor
from diffusers.models.modeling_utils import ModelMixin
from diffusers.pipelines.pipeline_utils import ImagePipelineOutput
from diffusers.utils.torch_utils import is_compiled_module, randn_tensor

from .loading import CheckedPipeline


OUTPUT_TYPES = ("pil", "np", "pt", "latent")

Samples = list[PIL.Image.Image] | np.ndarray | torch.Tensor


class GANPipeline(CheckedPipeline):
    """
    Base of the pipelines: checks, starting noise, callback and postprocessing.

    A subclass says in `_generator_parameters` what its generator's forward must take, and in `_generator_attributes`
    what else the generator must have; a name such as `config.latent_dim` is looked up in its config. A generator that
    has `config.num_class_embeds` is class-conditional, and its forward takes `class_labels`.
    """

    generator: Any
    scheduler: Any
    model_cpu_offload_seq = "generator"
    _callback_tensor_inputs = ["latents"]
    _generator_parameters: tuple[str, ...]
    _generator_attributes: tuple[str, ...]
    _num_timesteps = 0
    _interrupt = False
    _labels: dict[str, int] = {}

    @property
    def num_timesteps(self) -> int:
        """Number of network evaluations of the latest call."""
        return self._num_timesteps

    @property
    def interrupt(self) -> bool:
        """Whether the rest of the call is skipped. A callback asks for that by `pipeline._interrupt = True`."""
        return self._interrupt

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample: (C, H, W) for images, (D,) for vectors."""
        return self.generator.sample_shape

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of the noise that one sample starts from."""
        return self.sample_shape

    @property
    def labels(self) -> dict[str, int]:
        """Numbers of the classes by their names; empty for a model without names."""
        return self._labels

    def get_label_ids(self, label: str | list[str]) -> list[int]:
        """
        Numbers of classes.

        Args:
            label (`str` or `list[str]`): Names of classes.

        Returns:
            `list[int]`: their numbers, for `class_labels`.

        Raises:
            ValueError: If the model has no class of a name.
        """
        names = [label] if isinstance(label, str) else list(label)
        unknown = [name for name in names if name not in self.labels]
        if unknown:
            raise ValueError(f"`label` must be among the classes {list(self.labels)}, got {unknown}.")
        return [self.labels[name] for name in names]

    def prepare_latents(
        self,
        batch_size: int,
        dtype: torch.dtype,
        device: torch.device,
        generator: torch.Generator | list[torch.Generator] | None,
        latents: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """
        Makes the noise that samples start from.

        Args:
            batch_size (`int`): Number of samples.
            dtype (`torch.dtype`): Type of the result.
            device (`torch.device`): Device of the result.
            generator (`torch.Generator` or `list[torch.Generator]`, *optional*): One, or one per sample.
            latents (`torch.Tensor` of shape (B, *latent_shape), *optional*): Used instead of drawing.

        Returns:
            `torch.Tensor` of shape (B, *latent_shape): standard normal noise, or `latents`.
        """
        if latents is not None:
            return latents.to(device=device, dtype=dtype)
        latents = randn_tensor((batch_size, *self.latent_shape), generator=generator, device=device, dtype=dtype)
        return latents * self.scheduler.init_noise_sigma

    def check_inputs(
        self,
        batch_size: int,
        class_labels: list[int | str] | torch.Tensor | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: torch.Tensor | None = None,
        output_type: str = "pil",
        callback_on_step_end: Callable | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = (),
    ) -> None:
        """
        Checks the arguments of a call, before anything is computed. Network and scheduler check the rest.

        Args:
            batch_size (`int`): See `__call__`, like the others.
            class_labels (`list[int | str]` or `torch.Tensor` of shape (B,), *optional*): Labels.
            generator (`torch.Generator` or `list[torch.Generator]`, *optional*): Source of random numbers.
            latents (`torch.Tensor` of shape (B, *latent_shape), *optional*): Starting noise.
            output_type (`str`, defaults to `"pil"`): Form of the samples.
            callback_on_step_end (`Callable`, *optional*): Callback.
            callback_on_step_end_tensor_inputs (`Sequence[str]`, defaults to `()`): What it wants to see.

        Raises:
            TypeError: If an argument is not of the type described.
            ValueError: If an argument is out of range or does not fit the model.
        """
        if not isinstance(batch_size, Integral) or isinstance(batch_size, bool):
            raise TypeError(f"`batch_size` must be an int, got {batch_size!r}.")
        if batch_size < 1:
            raise ValueError(f"`batch_size` must be at least 1, got {batch_size}.")
        if output_type not in OUTPUT_TYPES:
            raise ValueError(f"`output_type` must be one of {OUTPUT_TYPES}, got {output_type!r}.")
        if output_type == "pil" and (len(self.sample_shape) != 3 or self.sample_shape[0] > 4):
            raise ValueError(
                f"`output_type` must be 'np', 'pt' or 'latent' for samples of shape {self.sample_shape}, got 'pil'."
            )
        if callback_on_step_end is not None and not callable(callback_on_step_end):
            raise TypeError(f"`callback_on_step_end` must be a function or None, got {callback_on_step_end!r}.")
        unknown = set(callback_on_step_end_tensor_inputs) - set(self._callback_tensor_inputs)
        if unknown:
            raise ValueError(
                f"`callback_on_step_end_tensor_inputs` must be among {self._callback_tensor_inputs}, "
                f"got {sorted(unknown)}."
            )
        _check_generators(generator, batch_size)
        check_latents("latents", latents, (batch_size, *self.latent_shape))
        _check_class_labels(
            self._label_numbers(class_labels), batch_size, self.generator.config.get("num_class_embeds")
        )

    def _register(self, generator: Any, scheduler: Any, id2label: Mapping[Any, str] | None) -> None:
        """Takes checked components and the names of the classes, which are saved in model_index.json."""
        self.register_modules(generator=generator, scheduler=scheduler)
        if id2label is None:
            return
        num_classes = generator.config.get("num_class_embeds")
        if num_classes is None:
            raise ValueError(f"`id2label` must be None, since this model is unconditional, got {id2label!r}.")
        # JSON makes strings of the numbers.
        names = {int(number): name for number, name in id2label.items() if str(number).isdecimal()}
        are_strings = all(isinstance(name, str) for name in names.values())
        if sorted(names) != list(range(num_classes)) or not are_strings or len(set(names.values())) < num_classes:
            raise ValueError(
                f"`id2label` must have a name of its own for each of the {num_classes} classes, 0 to {num_classes - 1}, "
                f"got {id2label!r}."
            )
        self._labels = {names[number]: number for number in sorted(names)}
        self.register_to_config(id2label={str(number): name for name, number in self._labels.items()})

    def _check_components(self, generator: Any, scheduler: Any, scheduler_class: type) -> None:
        """Refuses components that the pipeline cannot work with."""
        model = generator._orig_mod if is_compiled_module(generator) else generator
        parameters = inspect.signature(type(model).forward).parameters if isinstance(model, ModelMixin) else ()
        has_all = all(_has(model, name) for name in self._generator_attributes)
        if not has_all or not set(self._generator_parameters) <= set(parameters):
            attributes = ", ".join(f"`{name}`" for name in self._generator_attributes)
            raise TypeError(
                f"`generator` must be a diffusers ModelMixin with {attributes} and "
                f"forward({', '.join(self._generator_parameters)}), got {type(model).__name__}."
            )
        if not isinstance(scheduler, scheduler_class):
            raise TypeError(f"`scheduler` must be a {scheduler_class.__name__}, got {type(scheduler).__name__}.")

    def _label_numbers(self, class_labels: Any) -> Any:
        """Labels with numbers in the place of names."""
        if not isinstance(class_labels, list) or not self.labels:
            return class_labels
        unknown = [label for label in class_labels if isinstance(label, str) and label not in self.labels]
        if unknown:
            raise ValueError(f"`class_labels` must be numbers or names out of {list(self.labels)}, got {unknown}.")
        return [self.labels[label] if isinstance(label, str) else label for label in class_labels]

    def _condition(self, class_labels: list[int | str] | torch.Tensor | None) -> dict[str, torch.Tensor]:
        """The keyword arguments that condition the generator, on its device."""
        if class_labels is None:
            return {}
        labels = self._label_numbers(class_labels)
        return {"class_labels": torch.as_tensor(labels, dtype=torch.int64, device=self._execution_device)}

    def _steps(self) -> Iterator[tuple[int, torch.Tensor]]:
        """Numbers and timesteps of the network evaluations; draws the progress bar."""
        return enumerate(self.progress_bar(self.scheduler.timesteps))  # pyright: ignore

    def _call_back(
        self,
        callback: Callable[[Any, int, torch.Tensor, dict], dict] | None,
        names: Sequence[str],
        step: int,
        timestep: torch.Tensor,
        latents: Any,
    ) -> torch.Tensor:
        """Shows the state after a step to the user's callback, and returns what it makes of it."""
        if callback is None:
            return latents
        callback_outputs = callback(self, step, timestep, dict.fromkeys(names, latents))
        if not isinstance(callback_outputs, dict):
            raise TypeError(f"`callback_on_step_end` must return a dict, got {callback_outputs!r}.")
        return callback_outputs.pop("latents", latents)

    def _output(self, latents: torch.Tensor, output_type: str, return_dict: bool) -> ImagePipelineOutput | tuple:
        """What a call returns."""
        images = self._postprocess(latents, output_type)
        self.maybe_free_model_hooks()
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    def _postprocess(self, latents: torch.Tensor, output_type: str) -> Any:
        if output_type == "latent":
            return latents
        if latents.ndim == 4:
            # numpy knows no bfloat16.
            return VaeImageProcessor(vae_scale_factor=1).postprocess(latents.float(), output_type=output_type)
        return latents.float().cpu().numpy() if output_type == "np" else latents


def _has(model: Any, name: str) -> bool:
    if name.startswith("config."):
        return name.removeprefix("config.") in getattr(model, "config", ())
    return hasattr(model, name)


def _check_generators(generator: Any, batch_size: int) -> None:
    generators = generator if isinstance(generator, list) else [generator]
    if generator is not None and not all(isinstance(entry, torch.Generator) for entry in generators):
        raise TypeError(f"`generator` must be a torch.Generator or a list of them, got {generator!r}.")
    if isinstance(generator, list) and len(generator) != batch_size:
        raise ValueError(f"`generator` must be one, or a list of {batch_size}, one per sample, got {len(generator)}.")


def check_latents(name: str, latents: Any, shape: tuple[int, ...]) -> None:
    """
    Checks noise that the user gave.

    Args:
        name (`str`): Name of the argument.
        latents (`torch.Tensor`, *optional*): The noise.
        shape (`tuple[int, ...]`): Shape that it must have.

    Raises:
        TypeError: If it is not a tensor of floating-point numbers.
        ValueError: If it has another shape or is not finite.
    """
    if latents is None:
        return
    if not isinstance(latents, torch.Tensor) or not latents.is_floating_point():
        kind = latents.dtype if isinstance(latents, torch.Tensor) else type(latents).__name__
        raise TypeError(f"`{name}` must be a torch.Tensor of floating-point numbers, got {kind}.")
    if tuple(latents.shape) != shape:
        raise ValueError(f"`{name}` must have shape {shape}, got {tuple(latents.shape)}.")
    if not latents.isfinite().all():
        raise ValueError(f"`{name}` must be finite numbers, got infinite ones or NaN.")


def default_batch_size(*per_sample: Any) -> int:
    """The length of the first argument that has one value per sample, or 1."""
    for values in per_sample:
        if isinstance(values, list) or (isinstance(values, torch.Tensor) and values.ndim > 0):
            return max(len(values), 1)  # of an empty one, the check says what it should be
    return 1


def _check_class_labels(class_labels: Any, batch_size: int, num_classes: int | None) -> None:
    if class_labels is None:
        if num_classes is not None:
            raise ValueError(
                f"`class_labels` must hold one label per sample for this class-conditional model, 0 to {num_classes - 1}, "
                "got None."
            )
        return
    if num_classes is None:
        raise ValueError(f"`class_labels` must be None, since this model is unconditional, got {class_labels!r}.")
    if isinstance(class_labels, torch.Tensor):
        is_integer = class_labels.dtype in (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
    else:
        is_integer = isinstance(class_labels, list) and all(
            isinstance(label, Integral) and not isinstance(label, bool) for label in class_labels
        )
    if not is_integer:
        raise TypeError(f"`class_labels` must be a list of ints or a torch.Tensor of integers, got {class_labels!r}.")
    labels = torch.as_tensor(class_labels)
    if labels.shape != (batch_size,):
        raise ValueError(f"`class_labels` must have shape ({batch_size},), one per sample, got {tuple(labels.shape)}.")
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(f"`class_labels` must be between 0 and {num_classes - 1}, got {labels.tolist()}.")
