# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""From a read checkpoint to networks and scheduler, with every option and where it comes from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from diffusers import ModelMixin

from ..models import FastGANGenerator, NCSNppGenerator, ProjectedDiscriminator, StyleGAN2Generator
from ..recipes import Recipe, list_recipes
from ..schedulers import DDGANScheduler, DiffusionGANScheduler
from .checkpoint import OfficialCheckpoint
from .choices import FILE, TYPED, Choice, check_names, choose, with_defaults
from .ddgan import (
    GENERATOR_DEFAULTS,
    convert_ddgan_discriminator,
    convert_ddgan_generator,
    ddgan_generator_options,
)
from .inference import (
    infer_ddgan_discriminator,
    infer_ddgan_generator,
    infer_stylegan2_discriminator,
    infer_stylegan2_generator,
    same_widths,
)
from .projected_files import (
    FASTGAN_OPTIONS,
    PROJECTED_OPTIONS,
    build_fastgan,
    build_projected,
    fastgan_options,
    is_fastgan,
    is_projected,
    projected_options,
)
from .stylegan2 import (
    convert_stylegan2_discriminator,
    convert_stylegan2_generator,
    stylegan2_discriminator_options,
    stylegan2_generator_options,
)


_REFERENCE = "default of the reference"
# Reference option of Diffusion-GAN's noise -> ours.
_DIFFUSION = {
    "beta_schedule": "beta_schedule", "beta_start": "beta_start", "beta_end": "beta_end", "t_min": "min_timesteps",
    "t_max": "max_timesteps", "noise_std": "noise_std", "ts_dist": "timestep_distribution", "p": "initial_p",
}  # fmt: skip
_DISTRIBUTIONS = {"priority": "priority_official", "uniform": "uniform"}
_DIFFUSION_DEFAULTS = {
    "beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02, "t_min": 10, "t_max": 1000, "noise_std": 0.05,
    "ts_dist": "priority", "p": 0.0,
}  # fmt: skip
# Where the noise is on the features of a projected discriminator.
_FEATURE_DIFFUSION_DEFAULTS = _DIFFUSION_DEFAULTS | {"beta_end": 0.01, "t_min": 5, "t_max": 500, "noise_std": 0.5}
_WIDTHS = {"channel_base": 32768, "channel_max": 512}
_PROCESS_DEFAULTS = {"beta_min": 0.1, "beta_max": 20.0, "use_geometric": False}


@dataclass
class Components:
    """
    The parts of a converted model.

    Args:
        generator (`ModelMixin`): The generator, in evaluation mode.
        scheduler (`Any`): The scheduler.
        discriminator (`ModelMixin`, *optional*): The discriminator; `None` if the file has none.
        choices (`dict[str, Choice]`, defaults to `{}`): Every option, under the names of the reference.
        notes (`list[str]`, defaults to `[]`): What else is to say, in sentences.
    """

    generator: ModelMixin
    scheduler: Any
    discriminator: ModelMixin | None = None
    choices: dict[str, Choice] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def build_components(
    checkpoint: OfficialCheckpoint, preset: str | None = None, options: Mapping[str, Any] | None = None
) -> Components:
    """
    Makes networks and scheduler of a checkpoint.

    What the shapes of the weights decide is taken from them, and what anything else says must agree. Other options are
    those typed, then those that the file records, then those of the preset, then the defaults of the reference.

    Args:
        checkpoint ([`OfficialCheckpoint`]): The checkpoint.
        preset (`str`, *optional*): Name of the recipe of a published model.
        options (`Mapping[str, Any]`, *optional*): Typed options, under the names of the reference.

    Returns:
        [`Components`]: the parts.

    Raises:
        TypeError: If an option is of a wrong type.
        ValueError: If weights and options do not fit together, or an option is missing or unknown.
    """
    is_ddgan = checkpoint.method == "ddgan"
    kind = (
        NCSNppGenerator if is_ddgan else FastGANGenerator if is_fastgan(checkpoint.generator) else StyleGAN2Generator
    )
    recipe = None if preset is None else _preset(preset, kind)
    return (_ddgan if is_ddgan else _diffusion_gan)(checkpoint, recipe, options or {})


def _preset(name: str, kind: type) -> Recipe:
    scheduler = DDGANScheduler if kind is NCSNppGenerator else DiffusionGANScheduler
    fitting = [
        recipe
        for recipe in map(Recipe.load, list_recipes())
        if recipe.component_class("generator") is kind and recipe.component_class("scheduler") is scheduler
    ]
    found = [recipe for recipe in fitting if recipe.name == name]
    if not found:
        names = [recipe.name for recipe in fitting]
        raise ValueError(f"`--preset` must be one of {names} for a file with a {kind.__name__}, got {name!r}.")
    return found[0]


def _sources(
    typed: Mapping, recorded: Mapping | None, recipe: Recipe | None, preset: Callable[[Recipe], dict]
) -> dict:
    """The sources of options that are there, the first one first."""
    sources = {TYPED: typed, FILE: recorded or {}}
    return sources if recipe is None else sources | {f"the preset {recipe.name}": preset(recipe)}


def _ddgan(checkpoint: OfficialCheckpoint, recipe: Recipe | None, typed: Mapping[str, Any]) -> Components:
    names = [*GENERATOR_DEFAULTS, "num_timesteps", *_PROCESS_DEFAULTS]
    check_names(typed, names)
    decided = infer_ddgan_generator(checkpoint.generator)
    recorded = {**(checkpoint.generator_options or {}), **(checkpoint.process_options or {})}
    sources = _sources(typed, recorded, recipe, _ddgan_preset)
    _require(("image_size", "num_timesteps"), sources)
    decided |= _attention(decided.pop("attn_levels"), len(decided["ch_mult"]), sources)
    defaults = GENERATOR_DEFAULTS | _PROCESS_DEFAULTS
    choices = with_defaults(choose(names, sources, decided), defaults, _REFERENCE)
    values = {name: choice.value for name, choice in choices.items()}
    generator = convert_ddgan_generator(checkpoint.generator, **{name: values[name] for name in GENERATOR_DEFAULTS})
    scheduler = DDGANScheduler(
        num_train_timesteps=values["num_timesteps"],
        beta_schedule="geometric" if values["use_geometric"] else "vp",
        beta_min=values["beta_min"],
        beta_max=values["beta_max"],
    )
    discriminator = None
    if checkpoint.discriminator is not None:
        discriminator_options = infer_ddgan_discriminator(checkpoint.discriminator)
        discriminator = convert_ddgan_discriminator(checkpoint.discriminator, **discriminator_options)
        choices |= {
            f"D.{name}": choice for name, choice in choose(discriminator_options, {}, discriminator_options).items()
        }
    return Components(generator.eval(), scheduler, discriminator, choices)


def _ddgan_preset(recipe: Recipe) -> dict[str, Any]:
    process = recipe.config("scheduler")
    return ddgan_generator_options(recipe.config("generator")) | {
        "num_timesteps": process["num_train_timesteps"], "use_geometric": process["beta_schedule"] == "geometric",
        "beta_min": process["beta_min"], "beta_max": process["beta_max"],
    }  # fmt: skip


def _require(names: tuple[str, ...], sources: Mapping[str, Mapping[str, Any]]) -> None:
    missing = [name for name in names if not any(name in source for source in sources.values())]
    if missing:
        raise ValueError(
            f"`--options` must say {' and '.join(f'{name}=...' for name in missing)}, which weights do not show, got no such "
            "option. image_size is the height of the images, num_timesteps the number of denoising steps (4 for CIFAR-10 and "
            "LSUN, 2 for CelebA-HQ). Or name a published model by --preset: ddgan-cifar10, ddgan-celebahq-256, ..."
        )


def _attention(levels: tuple[int, ...], num_levels: int, sources: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The heights that have attention. Heights that no level has are without effect: they stay as a source says."""
    size = next(source["image_size"] for source in sources.values() if "image_size" in source)
    step = 2 ** (num_levels - 1)
    if not isinstance(size, int) or isinstance(size, bool) or size < step or size % step:
        raise ValueError(f"`image_size` must be a multiple of {step} for {num_levels} levels, got {size!r:.80}.")
    heights, found = [size >> level for level in range(num_levels)], tuple(size >> level for level in levels)
    for said in (source.get("attn_resolutions") for source in sources.values()):
        if isinstance(said, (list, tuple)) and {*filter(heights.__contains__, said)} == {*found}:
            return {"attn_resolutions": tuple(said)}
    return {"attn_resolutions": found}


def _diffusion_gan(checkpoint: OfficialCheckpoint, recipe: Recipe | None, typed: Mapping[str, Any]) -> Components:
    fastgan, projected = is_fastgan(checkpoint.generator), is_projected(checkpoint.discriminator)
    # The two trees have different values for StyleGAN2's average of w.
    published = {"conv_clamp": 256.0, "lr_multiplier": 0.01, "w_avg_beta": 0.998 if projected else 0.995}
    of_discriminator = {"conv_clamp": 256.0, "lr_multiplier": 0.01, "mbstd_group_size": 4}
    own = PROJECTED_OPTIONS if fastgan or projected else of_discriminator
    check_names(typed, {*(FASTGAN_OPTIONS if fastgan else published), *_DIFFUSION, *(f"D.{name}" for name in own)})
    if fastgan:
        sources = _sources(
            typed, checkpoint.generator_options, recipe, lambda recipe: fastgan_options(recipe.config("generator"))
        )
        generator, choices = build_fastgan(checkpoint.generator, sources, _REFERENCE)
    else:
        generator, choices = _stylegan2(
            checkpoint.generator, checkpoint.generator_options, infer_stylegan2_generator(checkpoint.generator),
            _sources(typed, None, recipe, lambda recipe: stylegan2_generator_options(recipe.config("generator"))),
            published, _generator_of,
        )  # fmt: skip
    discriminator, more, notes = None, {}, []
    typed_here = {name[2:]: value for name, value in typed.items() if name.startswith("D.")}
    if checkpoint.discriminator is not None and projected:
        sources = _sources(typed_here, checkpoint.discriminator_options, recipe, _projected_preset)
        discriminator, more, note = build_projected(checkpoint.discriminator, choices, sources, _REFERENCE)
        notes = [note]
    elif checkpoint.discriminator is not None:
        decided = infer_stylegan2_discriminator(checkpoint.discriminator, choices["c_dim"].value)
        discriminator, more = _stylegan2(
            checkpoint.discriminator, checkpoint.discriminator_options, decided,
            _sources(typed_here, None, recipe, lambda recipe: stylegan2_discriminator_options(recipe.config("discriminator"))),
            of_discriminator, _discriminator_of, "D.",
        )  # fmt: skip
    choices |= {f"D.{name}": choice for name, choice in more.items()}
    scheduler, process = _diffusion(checkpoint, recipe, typed, fastgan or projected)
    return Components(generator.eval(), scheduler, discriminator, choices | process, notes)


def _diffusion(
    checkpoint: OfficialCheckpoint, recipe: Recipe | None, typed: Mapping[str, Any], on_features: bool
) -> tuple[DiffusionGANScheduler, dict[str, Choice]]:
    """The scheduler, and its options."""
    process = choose(_DIFFUSION, _sources(typed, checkpoint.process_options, recipe, _diffusion_preset), {})
    process = with_defaults(process, _FEATURE_DIFFUSION_DEFAULTS if on_features else _DIFFUSION_DEFAULTS, _REFERENCE)
    config: dict[str, Any] = {"clean_share": None} if on_features else {}
    if recipe is not None:
        config = {k: v for k, v in recipe.config("scheduler").items() if not k.startswith("_")}
    return DiffusionGANScheduler(**(config | _diffusion_config(process))), process


def _stylegan2(
    state_dict: Mapping[str, Any],
    recorded: dict[str, Any] | None,
    decided: dict[str, Any],
    sources: dict[str, Mapping[str, Any]],
    published: Mapping[str, Any],
    convert: Callable[[Mapping[str, Any], dict[str, Any], dict[str, Any]], ModelMixin],
    prefix: str = "",
) -> tuple[ModelMixin, dict[str, Choice]]:
    """A network of StyleGAN2, and its options."""
    groups = {name: group for name, group in (recorded or {}).items() if isinstance(group, dict)}
    flat = {name: value for name, value in (recorded or {}).items() if name not in groups}
    for group in groups.values():
        flat |= group
    sources = {TYPED: sources.pop(TYPED), FILE: flat} | {
        name: values for name, values in sources.items() if name != FILE
    }
    for source in (*(source for source in sources.values() if {*source} & {*_WIDTHS}), {}):
        said = _WIDTHS | {name: source[name] for name in _WIDTHS if name in source}
        if same_widths(said, decided):
            decided |= said  # Other numbers give the same widths.
            break
    choices = choose([*decided, *published], sources, decided, prefix)
    if recorded is None:
        choices = with_defaults(choices, published, "value of all published models")
    else:
        choices = with_defaults(choices, {**published, "conv_clamp": None}, _REFERENCE)
    values = {name: choice.value for name, choice in choices.items()}
    others = {name: value for name, value in flat.items() if name not in values}
    return convert(state_dict, values, others), choices


def _generator_of(state_dict: Mapping[str, Any], values: dict[str, Any], others: dict[str, Any]) -> ModelMixin:
    mapping = {name: values.pop(name) for name in ("num_layers", "lr_multiplier", "w_avg_beta")}
    synthesis = {name: values.pop(name) for name in ("channel_base", "channel_max", "architecture", "conv_clamp")}
    mapping |= {name: others.pop(name) for name in ("embed_features", "layer_features") if name in others}
    return convert_stylegan2_generator(
        state_dict, **values, mapping_kwargs=mapping, synthesis_kwargs=synthesis | others
    )  # fmt: skip


def _discriminator_of(state_dict: Mapping[str, Any], values: dict[str, Any], others: dict[str, Any]) -> ModelMixin:
    mapping = {name: values.pop(name) for name in ("num_layers", "lr_multiplier")}
    epilogue = {name: values.pop(name) for name in ("mbstd_group_size", "mbstd_num_channels")}
    embedding = "official" if values.pop("t_dim") else None
    mapping |= {name: others.pop(name) for name in ("embed_features", "layer_features") if name in others}
    own = {name: others.pop(name) for name in ("cmap_dim", "num_fp16_res") if name in others}
    return convert_stylegan2_discriminator(
        state_dict, **values, **own, mapping_kwargs=mapping, epilogue_kwargs=epilogue, block_kwargs=others,
        timestep_embedding=embedding,
    )  # fmt: skip


def _projected_preset(recipe: Recipe) -> dict[str, Any]:
    is_projected_too = recipe.component_class("discriminator") is ProjectedDiscriminator
    return projected_options(recipe.config("discriminator")) if is_projected_too else {}


def _diffusion_preset(recipe: Recipe) -> dict[str, Any]:
    config = recipe.config("scheduler")
    words = {ours: theirs for theirs, ours in _DISTRIBUTIONS.items()}
    found = {theirs: config[ours] for theirs, ours in _DIFFUSION.items() if ours in config}
    return found | {"ts_dist": words.get(str(found.get("ts_dist")), found.get("ts_dist"))}


def _diffusion_config(process: Mapping[str, Choice]) -> dict[str, Any]:
    distribution = process["ts_dist"].value
    if distribution not in _DISTRIBUTIONS:
        raise ValueError(
            f"`ts_dist` must be one of {tuple(_DISTRIBUTIONS)}, got {distribution!r:.80} from {process['ts_dist'].origin}. Say "
            "which one by `--options ts_dist=...`."
        )
    config = {ours: process[theirs].value for theirs, ours in _DIFFUSION.items()}
    return config | {"timestep_distribution": _DISTRIBUTIONS[distribution]}
