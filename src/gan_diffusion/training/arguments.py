# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Options of the training scripts, one dataclass for each part that takes them."""

from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

from ..data.arguments import DataArguments, is_place
from ..metrics.features import FEATURES
from ..options import check_at_least, default_of, option
from .hub_options import HUB_OPTIONS, check_hub_options


# Options that exclude each other; the last one that is set counts. If the command line gives one, the recipe's others
# are dropped.
EXCLUSIVE_OPTIONS = (
    ("dataset_name", "train_data_dir"),
    ("num_train_epochs", "max_train_steps"),
    ("ema_decay", "ema_kimg"),
)
# Options that name places on one machine, or say nothing about the model.
LOCAL_OPTIONS = (
    "recipe",
    "output_dir",
    "train_data_dir",
    "cache_dir",
    "dataloader_num_workers",
    "resume_from_checkpoint",
    "change_on_resume",
    "logging_dir",
    "report_to",
    "preview",
    "distributed_timeout",
    *HUB_OPTIONS,
)
# Options of one start of a run, which say nothing about a repetition of it.
OPTIONS_OF_A_START = ("recipe", "output_dir", "resume_from_checkpoint", "change_on_resume", *HUB_OPTIONS)
# Options that hold a name on the Hub or a place on this machine.
_NAMES_OR_PATHS = ("dataset_name", "pretrained", "evaluation_feature_weights")
_BUILT_IN_DATA = ("digits", "gaussians-25")
# Options that mean nothing without another one.
REQUIRED_OPTIONS = {"ema_rampup": "ema_kimg"}
# Options that describe the data set of a recipe. Where the command line names other data, the recipe's values are
# dropped.
OPTIONS_OF_THE_DATA_SET = (
    "dataset_config_name",
    "dataset_split",
    "image_column",
    "label_column",
    "stack_channels",
    "resize_mode",
    "pixel_range",
    "max_train_samples",
)


@dataclass
class OptimizationArguments:
    """
    The options that decide how the networks learn. The help texts are the documentation.

    Raises:
        ValueError: If a value is out of its range.
    """

    seed: int = option(1024, "Seed of everything that is drawn.")
    train_batch_size: int = option(32, "Batch size, per process and accumulation step.", free=True)
    gradient_accumulation_steps: int = option(1, "Batches per training step.", free=True)
    num_train_epochs: int = option(100, "Passes over the data.", free=True)
    max_train_steps: int | None = option(None, "Training steps in all. Excludes num_train_epochs.", free=True)

    learning_rate_g: float = option(1.6e-4, "Learning rate of the generator.")
    learning_rate_d: float = option(1.0e-4, "Learning rate of the discriminator.")
    lr_scheduler: Literal["cosine", "constant"] = option(
        "cosine", "'cosine' lowers the learning rates along a cosine until the end of the training."
    )
    lr_eta_min: float = option(1e-5, "Learning rate at the end of the cosine.")
    adam_beta1: float = option(0.5, "Adam's beta1, for both networks.")
    adam_beta2: float = option(0.9, "Adam's beta2, for both networks.")
    adam_epsilon: float = option(1e-8, "Adam's epsilon, for both networks.")
    max_grad_norm: float | None = option(None, "Clip the gradient norm of each network. Default: no clipping.")
    ema_decay: float = option(
        0.9999, "Decay per step of the generator's moving average. With 0 there is none: the raw weights are saved."
    )
    ema_kimg: float | None = option(
        None, "Half-life of the moving average in thousands of images. Excludes ema_decay."
    )
    ema_rampup: float | None = option(None, "Limit that half-life to this share of the images seen so far.")
    mixed_precision: Literal["no", "fp16", "bf16"] | None = option(None, "Default: what accelerate is set to.")

    def __post_init__(self):
        check_at_least(self, 1, "train_batch_size", "gradient_accumulation_steps", "num_train_epochs")
        check_at_least(self, 1, "max_train_steps")
        check_at_least(self, 0, "learning_rate_g", "learning_rate_d", "lr_eta_min", "adam_beta1", "adam_beta2")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"`--ema_decay` must be in [0, 1), got {self.ema_decay}.")
        for name in ("ema_kimg", "ema_rampup", "max_grad_norm"):
            if getattr(self, name) is not None and not getattr(self, name) > 0:
                raise ValueError(f"`--{name}` must be positive, got {getattr(self, name)}.")
        for name, needed in REQUIRED_OPTIONS.items():
            if getattr(self, name) is not None and getattr(self, needed) is None:
                raise ValueError(f"`--{name}` must be given with `--{needed}`; alone it has no effect.")


@dataclass
class RunArguments:
    """
    The options of a run that no number in a checkpoint depends on. The help texts are the documentation.

    Raises:
        ValueError: If a required option is missing or a value is out of its range.
    """

    recipe: str = option(
        "",
        "Name of a recipe in pipelines/, path of a folder with the same layout (a saved model is one), or the run.yaml of "
        "a run, which is then repeated. Required.",
        free=True,
    )
    output_dir: str = option("", "Folder for the pipeline, checkpoints, samples and logs. Required.", free=True)
    pretrained: str | None = option(
        None, "Start from the networks of this saved model, a folder or a name on the Hub.", free=True
    )
    gradient_checkpointing: bool = option(False, "Takes less memory and more time, in the generator.", free=True)
    allow_tf32: bool = option(False, "Use TF32 matrix products, on Ampere and later GPUs.", free=True)
    checkpointing_steps: int = option(500, "Save a checkpoint every this many steps.", free=True)
    checkpoints_total_limit: int | None = option(
        2, "Keep only this many checkpoints, the newest; 'none' keeps all.", free=True
    )
    save_model_steps: int = option(
        0, "Save a pipeline in output_dir/model-STEP every this many steps; 0 saves one at the end alone.", free=True
    )
    resume_from_checkpoint: str = option(
        "latest",
        "'latest': go on from the newest checkpoint in output_dir, if any; 'no': start anew; or a checkpoint, by its path or "
        "its name in output_dir.",
        free=True,
    )
    change_on_resume: list[str] = option(
        [],
        "Names of options that may differ from the checkpoint's, such as learning_rate_g; 'data' for other images.",
        free=True,
    )
    distributed_timeout: int = option(
        1800, "In several processes, seconds to wait for one that does not answer before the run ends.", free=True
    )
    validation_steps: int = option(500, "Draw a grid of samples every this many steps; 0 draws none.", free=True)
    num_validation_images: int = option(64, "Images in the grid, always from the same noise.", free=True)
    evaluation_steps: int = option(
        0, "Measure the averaged generator against the training images every this many steps; 0 never does.", free=True
    )
    evaluation_features: str | None = option(
        None, f"Network whose features are compared: {', '.join(FEATURES)}. Required for that.", free=True
    )
    evaluation_feature_weights: str | None = option(
        None, "File of Inception's weights; Hub name or folder of DINOv2 or CLIP.", free=True
    )
    evaluation_samples: int = option(1000, "Images to draw for it, always from the same noise.", free=True)
    best_metric: Literal[
        "frechet_distance", "kernel_distance", "reverse_kl", "precision", "recall", "density", "coverage"
    ] = option(
        "frechet_distance",
        "The model that is best by this metric is kept in output_dir/best; 'reverse_kl' is of 'stacked-mnist' alone.",
        free=True,
    )
    logging_steps: int = option(10, "Report losses every this many steps.", free=True)
    logging_dir: str = option("logs", "Folder of the tracker's logs, inside output_dir.", free=True)
    report_to: str = option(
        "tensorboard", "Tracker: 'tensorboard', 'wandb', another one of accelerate's, or 'none'.", free=True
    )
    push_to_hub: bool = option(
        False, "Push the pipeline to the Hub at the end, and each one of save_model_steps. The run waits.", free=True
    )
    hub_model_id: str | None = option(None, "Name of that repository. Default: that of output_dir.", free=True)
    hub_token: str | None = option(None, "Default: HF_TOKEN, or the token of `hf auth login`.", free=True)
    hub_private_repo: bool = option(False, "Make a private repository.", free=True)

    def __post_init__(self):
        for name in ("recipe", "output_dir"):
            if not getattr(self, name):
                raise ValueError(f"`--{name}` is required.")
        check_at_least(self, 1, "checkpointing_steps", "checkpoints_total_limit", "num_validation_images")
        check_at_least(self, 1, "logging_steps", "distributed_timeout")
        check_at_least(self, 0, "validation_steps", "save_model_steps", "evaluation_steps")
        check_at_least(self, 10, "evaluation_samples")
        check_hub_options(self)
        if self.evaluation_features is not None and self.evaluation_features not in FEATURES:
            raise ValueError(f"`--evaluation_features` must be one of {FEATURES}, got {self.evaluation_features!r}.")
        if self.evaluation_steps and self.evaluation_features is None:
            raise ValueError(
                "`--evaluation_features` must name a network for `--evaluation_steps`, got none. Take 'efficientnet-lite0' "
                "for photographs and drawings, 'mnist' for digits, or 'fashion-mnist'."
            )
        if self.best_metric == "reverse_kl" and self.evaluation_features != "stacked-mnist":
            raise ValueError(
                "`--evaluation_features` must be 'stacked-mnist' for `--best_metric reverse_kl`, got "
                f"{self.evaluation_features!r}."
            )


@dataclass
class AdversarialArguments:
    """The options that the methods share, beside the weight and interval of R1, whose defaults are the methods'."""

    adversarial_loss: Literal["logistic", "hinge", "least_squares", "relativistic"] = option(
        "logistic",
        "'logistic' is non-saturating; 'least_squares' has the targets 1 and -1; 'relativistic' compares pairs of a real "
        "and a generated sample, and is meant for r1_gamma and r2_gamma together. In all of them an output above 0 says "
        "'real', and what adapts to the discriminator counts from there: 'relativistic' has it count differences of "
        "pairs.",
    )
    r2_gamma: float = option(
        0.0, "Weight of the R2 penalty, which is R1 on generated samples, at the interval of R1; 0 turns it off."
    )
    augmentation: Literal["none", "adaptive", "diff"] = option(
        "none",
        "Augment the images that the discriminator sees. 'adaptive': geometry and colour, the more the surer it is of real "
        "images (arXiv 2006.06676); 'diff': colour, translation and cutout, always (arXiv 2006.10738).",
    )
    augmentation_cutout: float = option(
        0.5, "For 'diff', sides of the square that is cut out, as a share of the image's; 0 cuts out nothing."
    )


@dataclass
class SteeredAugmentationArguments(AdversarialArguments):
    """The options of an adaptive augmentation that follows the discriminator's outputs for clean real images."""

    augmentation_target: float = option(
        0.6,
        "For 'adaptive', the mean sign of the discriminator's outputs on clean real images that the augmentation keeps to.",
    )
    augmentation_kimg: float = option(
        500.0, "For 'adaptive', thousands of clean real images that raise the augmentation from 0 to 1."
    )


@dataclass
class DDGANArguments(SteeredAugmentationArguments):
    """The options of denoising diffusion GANs."""

    name: ClassVar[str] = "ddgan"
    pipeline: ClassVar[str] = "DDGANPipeline"

    r1_gamma: float = option(0.05, "Weight of the R1 penalty on the less noisy image; 0 turns it off.")
    r1_interval: int = option(1, "Add R1 to the loss in every k-th step, with the same weight whatever k is.")


@dataclass
class DiffusionGANArguments(AdversarialArguments):
    """The options of Diffusion-GAN. The noise has its own in the recipe's scheduler config."""

    name: ClassVar[str] = "diffusion-gan"
    pipeline: ClassVar[str] = "DiffusionGANPipeline"

    r1_gamma: float = option(0.01, "Weight of the R1 penalty on the clean image; 0 turns it off.")
    r1_interval: int = option(
        16, "Every k-th step, R1 has an optimiser step of its own, with its weight multiplied by k."
    )
    path_length_weight: float = option(0.0, "Weight of the path-length regularisation; 0 turns it off.")
    path_length_interval: int = option(
        4,
        "Every k-th step, path lengths have an optimiser step of their own, with their weight multiplied by k. Adam is "
        "adapted to this interval also where the weight is 0, as in the published CIFAR-10 model; 0 prevents that.",
    )
    style_mixing_probability: float = option(0.0, "Share of the steps that mix the styles of two latents.")
    noise_on: Literal["samples", "features"] = option(
        "samples",
        "Where the noise is: 'features' puts it on the feature maps of a projected discriminator, each channel at a "
        "timestep of its own.",
    )
    consistency_weight: float = option(
        0.0,
        "For a projected discriminator with two frozen networks, the weight of the distance between their mean outputs in "
        "the losses of both networks, as in HP-GAN (arXiv 2602.03039); 0 turns it off.",
    )
    augmentation_max_p: float = option(
        0.25, "For 'adaptive', whose probability is the p of the noise, its largest value in [0, 1]."
    )
    instance_discrimination: bool = option(
        False, "Have the discriminator tell single images apart as well, as in InsGen (arXiv 2106.04566)."
    )
    queue_size: int | None = option(
        None,
        "For instance_discrimination, the number of images that an image is compared with. Default: 5 %% of the training "
        "images, twice that with random_flip.",
    )


@dataclass
class SPIGANArguments(SteeredAugmentationArguments):
    """The options of SPI-GAN. The path has its own in the recipe's scheduler config."""

    name: ClassVar[str] = "spi-gan"
    pipeline: ClassVar[str] = "SPIGANPipeline"

    r1_gamma: float = option(0.01, "Weight of the R1 penalty on points of the path; 0 turns it off.")
    r1_interval: int = option(
        16, "Every k-th step, R1 has an optimiser step of its own, with its weight multiplied by k."
    )


@dataclass
class TrainingArguments:
    """
    All options of a training run. Each part of the library takes the one it needs.

    Args:
        run ([`RunArguments`]): Files, reports and resources.
        data ([`~data.DataArguments`]): Which samples.
        optimization ([`OptimizationArguments`]): How the networks learn.
        method (`Any`): The options of the method, such as [`DDGANArguments`].
        notes (`list[str]`, defaults to `[]`): What was decided on the way, to be shown when the training begins.
        origins (`dict[str, str]`, defaults to `{}`):
            Where values come from, by the names of options: "typed" or "recipe". The others are defaults.
        instead_of (`dict[str, Any]`, defaults to `{}`): What was replaced by a typed value, by the names of options.
        command (`str`, defaults to `""`): What was typed.

    Raises:
        ValueError: If an option to change on resume is unknown.
    """

    run: RunArguments
    data: DataArguments
    optimization: OptimizationArguments
    method: Any
    notes: list[str] = field(default_factory=list)
    origins: dict[str, str] = field(default_factory=dict)
    instead_of: dict[str, Any] = field(default_factory=dict)
    command: str = ""

    def __post_init__(self):
        changeable = {*self.settings(free=False), "train_batch_size", "data"}
        unknown = sorted(set(self.run.change_on_resume) - changeable)
        if unknown:
            raise ValueError(f"`--change_on_resume` must name options out of {sorted(changeable)}, got {unknown}.")

    @property
    def groups(self) -> tuple:
        """The four dataclasses."""
        return (self.run, self.data, self.optimization, self.method)

    def settings(self, free: bool | None = None) -> dict[str, Any]:
        """
        Names and values of the options.

        Args:
            free (`bool`, *optional*): Only those that may change when a run goes on (`True`), or only the others
                (`False`).

        Returns:
            `dict[str, Any]`: their values.
        """
        return {
            each.name: getattr(group, each.name)
            for group in self.groups
            for each in fields(group)
            if free is None or each.metadata["free"] is free
        }

    def effective_settings(self) -> dict[str, Any]:
        """The options that count, and that a repetition of the run needs: no empty ones, one of those that exclude."""
        defaults = {each.name: default_of(each) for group in self.groups for each in fields(group)}
        settings = {
            name: value
            for name, value in self.settings().items()
            if name not in OPTIONS_OF_A_START and (value is not None or defaults[name] is not None)
        }
        for group in EXCLUSIVE_OPTIONS:
            for name in [name for name in group if name in settings][:-1]:
                del settings[name]
        return settings

    def recipe_settings(self) -> dict[str, Any]:
        """The options of this run as those of a recipe: what is set, what counts, and nothing of this machine."""
        return {name: value for name, value in self.effective_settings().items() if not is_local(name, value)}


def is_local(name: str, value: Any) -> bool:
    """
    Whether an option says something about this machine, which is not to be published.

    Args:
        name (`str`): Name of the option.
        value (`Any`): Its value.

    Returns:
        `bool`: `True` for places on this machine and for how it is used.
    """
    if name not in _NAMES_OR_PATHS or value is None or value in _BUILT_IN_DATA:
        return name in LOCAL_OPTIONS
    return is_place(value)
