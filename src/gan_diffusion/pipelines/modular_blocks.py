# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
The pipelines as blocks of diffusers' Modular Diffusers.

A block makes the pipeline of its method from the components that were loaded, and calls it: there is one loop of
sampling. What is published names these blocks in its modular_config.json and modular_blocks.py.
"""

import inspect
import re
import typing
from typing import Any

import torch
from diffusers import AutoModel, ModularPipeline, ModularPipelineBlocks
from diffusers.modular_pipelines.modular_pipeline import PipelineState
from diffusers.modular_pipelines.modular_pipeline_utils import ComponentSpec, ConfigSpec, InputParam, OutputParam
from huggingface_hub import HfApi

from .common import GANPipeline
from .pipeline_ddgan import DDGANPipeline
from .pipeline_diffusion_gan import DiffusionGANPipeline
from .pipeline_spi_gan import SPIGANPipeline


# Arguments of the pipelines that are no values to be passed from block to block.
_NO_INPUTS = ("self", "return_dict", "callback_on_step_end", "callback_on_step_end_tensor_inputs")
# Where diffusers puts the code of a repository: its owner, its name, and the commit.
_FROM_THE_HUB = re.compile(r"diffusers_modules\.local\.(.+?)--(.+)\.([0-9a-f]{40})\.\w+")


class GANBlocks(ModularPipelineBlocks):
    """
    Base of the blocks: one block that draws samples with the pipeline in `pipeline_class`.

    Inputs are the arguments of the pipeline, with its defaults and checks, except callbacks and `return_dict`; the
    output is `images`. It draws no progress bar.

    Code that diffusers took from the Hub knows its commit. Modular Diffusers loads weights from the newest commit of
    the repository that modular_model_index.json names, whatever the commit of the code: if the two are not known to be
    the same, a call is refused.
    """

    pipeline_class: type[GANPipeline]

    def __init__(self):
        super().__init__()
        match = _FROM_THE_HUB.fullmatch(type(self).__module__)
        self._repository = f"{match[1]}/{match[2]}" if match else None
        self._is_newest = match is not None and _newest_commit(f"{match[1]}/{match[2]}") == match[3]

    @property
    def description(self) -> str:
        """What the pipeline does."""
        return " ".join(_doc(self.pipeline_class).partition("\n\n")[0].split())

    @property
    def expected_components(self) -> list[ComponentSpec]:
        """Generator and scheduler."""
        scheduler_class = typing.get_type_hints(self.pipeline_class.__init__)["scheduler"]
        return [
            ComponentSpec("generator", AutoModel, "The network.", subfolder="generator"),
            ComponentSpec("scheduler", scheduler_class, "The forward process.", subfolder="scheduler"),
        ]

    @property
    def expected_configs(self) -> list[ConfigSpec]:
        """Names of the classes, for `class_labels`."""
        return [ConfigSpec("id2label", None, "Names of the classes by their numbers.")]

    @property
    def inputs(self) -> list[InputParam]:
        """The arguments of the pipeline."""
        described = dict(re.findall(r"^    (\w+) \(.*\):\n((?: {8}.*\n)+)", _doc(self.pipeline_class.__call__), re.M))
        return [
            InputParam(name, parameter.annotation, parameter.default, description=" ".join(described[name].split()))
            for name, parameter in inspect.signature(self.pipeline_class.__call__).parameters.items()
            if name not in _NO_INPUTS
        ]

    @property
    def intermediate_outputs(self) -> list[OutputParam]:
        """The samples."""
        return [OutputParam("images", description="The samples, in the form that `output_type` asks for.")]

    @torch.no_grad()
    def __call__(self, components: ModularPipeline, state: PipelineState) -> tuple[ModularPipeline, PipelineState]:
        """
        Draws samples.

        Args:
            components (`ModularPipeline`): With generator and scheduler.
            state (`PipelineState`): With the inputs.

        Returns:
            `tuple[ModularPipeline, PipelineState]`: both, the state with `images`.

        Raises:
            TypeError: If a component or an input is of a wrong type.
            ValueError: If a component is missing or of another commit than this code, or an input does not fit.
        """
        for name in self.component_names:
            self._check_component(components, name)
        pipeline_class: Any = self.pipeline_class
        pipeline = pipeline_class(components.generator, components.scheduler, components.config.get("id2label"))
        pipeline.set_progress_bar_config(disable=True)
        block_state: Any = self.get_block_state(state)
        block_state.images = pipeline(**{name: block_state[name] for name in self.input_names}).images
        self.set_block_state(state, block_state)
        return components, state

    def _check_component(self, components: ModularPipeline, name: str) -> None:
        """Refuses what is not there, or was loaded from elsewhere than the code."""
        if getattr(components, name, None) is None:
            raise ValueError(
                f"`{name}` must be loaded before the pipeline is called, got None. Call `load_components()`, which prints "
                "what it could not load and why."
            )
        spec = components.get_component_spec(name)
        place = spec.pretrained_model_name_or_path
        if self._repository is None or place is None:  # It was not loaded by its name on the Hub.
            return
        if place != self._repository:
            raise ValueError(
                f"`{name}` must be from {self._repository!r}, like the code of this pipeline, got one from {place!r}, "
                "which modular_model_index.json names. Publish the model with `gan-diffusion push`, or load it with "
                "`gan_diffusion.pipelines.load_pipeline`."
            )
        if spec.revision is None and not self._is_newest:
            raise ValueError(
                f"`{name}` must be of the same commit as the code of this pipeline, got that of the newest commit of "
                f"{place!r}, which is not known to be the same. Begin again, and give the revision to "
                "`load_components(revision=...)` as well, or download it with `huggingface_hub.snapshot_download` and load "
                "the folder."
            )


class DDGANBlocks(GANBlocks):
    """[`DDGANPipeline`] as a block of Modular Diffusers."""

    pipeline_class = DDGANPipeline


class DiffusionGANBlocks(GANBlocks):
    """[`DiffusionGANPipeline`] as a block of Modular Diffusers."""

    pipeline_class = DiffusionGANPipeline


class SPIGANBlocks(GANBlocks):
    """[`SPIGANPipeline`] as a block of Modular Diffusers."""

    pipeline_class = SPIGANPipeline


def _newest_commit(repo_id: str) -> str | None:
    """The newest commit of a repository, or `None` if the Hub does not say."""
    try:
        return HfApi().model_info(repo_id).sha
    except Exception:  # Also those of its HTTP library. A call then asks for a revision.
        return None


def _doc(value: Any) -> str:
    return (inspect.getdoc(value) or "") + "\n"
