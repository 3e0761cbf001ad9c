# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""Small real pipelines of every method."""

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin

from gan_diffusion import (
    DDGANPipeline,
    DDGANScheduler,
    DiffusionGANPipeline,
    DiffusionGANScheduler,
    LatentMLPGenerator,
    MLPGenerator,
    NCSNppGenerator,
    SPIGANGenerator,
    SPIGANPipeline,
    SPIGANScheduler,
    StyleGAN2Generator,
)
from gan_diffusion.models import GeneratorOutput, SPIGANOutput


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_ddgan(**overrides) -> DDGANPipeline:
    torch.manual_seed(0)
    config = {
        "sample_size": 8, "in_channels": 1, "base_channels": 16, "channel_multipliers": (1, 2), "layers_per_block": 1,
        "attention_resolutions": (), "latent_dim": 4, "latent_embed_dim": 8, "num_latent_layers": 1,
    }  # fmt: skip
    generator = NCSNppGenerator(**{**config, **overrides}).eval()
    # A fresh network's last layer is almost zero, so that every image would look the same.
    for parameter in generator.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return quiet(DDGANPipeline(generator, DDGANScheduler(4)))


def make_diffusion_gan(**overrides) -> DiffusionGANPipeline:
    torch.manual_seed(0)
    config = {"sample_size": 8, "out_channels": 1, "latent_dim": 6, "w_dim": 8, "channel_max": 8}
    generator = StyleGAN2Generator(**{**config, "num_mapping_layers": 2, **overrides})
    return quiet(DiffusionGANPipeline(with_layer_noise(generator), DiffusionGANScheduler()))


def make_spi_gan(**overrides) -> SPIGANPipeline:
    torch.manual_seed(0)
    config = {"sample_size": 8, "out_channels": 1, "w_dim": 8, "mapping_dim": 8, "channel_max": 8}
    generator = SPIGANGenerator(**{**config, **overrides})
    # A fresh mapping stands still: every position would give the same styles.
    torch.nn.init.normal_(generator.mapping.layers[-1].weight, std=100.0)
    return quiet(SPIGANPipeline(with_layer_noise(generator), SPIGANScheduler()))


def with_layer_noise(generator: ModelMixin) -> ModelMixin:
    """Layer noise has strength zero in a fresh network."""
    for name, parameter in generator.named_parameters():
        if name.endswith("noise_strength"):
            torch.nn.init.constant_(parameter, 0.3)
    return generator.eval()


def quiet(pipeline):
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


MAKERS = {"ddgan": make_ddgan, "diffusion-gan": make_diffusion_gan, "spi-gan": make_spi_gan}


def make_vectors(method: str):
    """A pipeline for vectors of two numbers."""
    torch.manual_seed(0)
    if method == "ddgan":
        return quiet(DDGANPipeline(MLPGenerator(hidden_dim=8), DDGANScheduler(4)))
    if method == "diffusion-gan":
        return quiet(DiffusionGANPipeline(LatentMLPGenerator(hidden_dim=8), DiffusionGANScheduler()))
    return quiet(SPIGANPipeline(SPIGANGenerator(data_dim=2, w_dim=8, mapping_dim=8), SPIGANScheduler()))


class OwnGenerator(ModelMixin, ConfigMixin):
    """A generator of the user's own: what all three need, and a learned shift per class."""

    @register_to_config
    def __init__(
        self, sample_shape: tuple[int, ...] = (3, 4, 6), latent_dim: int = 2, num_class_embeds: int | None = None
    ):
        super().__init__()
        self.shift = torch.nn.Embedding(num_class_embeds or 1, 1)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return tuple(self.config.sample_shape)

    def paint(self, values: torch.Tensor, class_labels: torch.Tensor | None) -> torch.Tensor:
        """(B, N) -> (B, *sample_shape), all of one value."""
        labels = values.new_zeros(len(values), dtype=torch.int64) if class_labels is None else class_labels
        level = values.mean(dim=1, keepdim=True) + self.shift(labels)
        return level.reshape(-1, *[1] * len(self.sample_shape)).expand(-1, *self.sample_shape)


class OwnDDGANGenerator(OwnGenerator):
    def forward(self, sample, timestep, latent, class_labels=None, return_dict=True):
        return GeneratorOutput(sample=self.paint(latent, class_labels))


class OwnDiffusionGANGenerator(OwnGenerator):
    def forward(self, latent, truncation_psi=1.0, noise_mode="random", generator=None, class_labels=None):
        return GeneratorOutput(sample=self.paint(latent * truncation_psi, class_labels))


class OwnSPIGANGenerator(OwnGenerator):
    noise_shape = (2,)

    def forward(self, noise=None, u=1.0, noise_mode="random", styles=None, generator=None, class_labels=None):
        if styles is None:
            styles = noise * torch.as_tensor(u, dtype=noise.dtype).reshape(-1, 1)
        return SPIGANOutput(sample=self.paint(styles, class_labels), styles=styles)


OWN = {
    "ddgan": (DDGANPipeline, OwnDDGANGenerator, DDGANScheduler),
    "diffusion-gan": (DiffusionGANPipeline, OwnDiffusionGANGenerator, DiffusionGANScheduler),
    "spi-gan": (SPIGANPipeline, OwnSPIGANGenerator, SPIGANScheduler),
}


def make_own(method: str, **config):
    """A pipeline around a network of the user's own."""
    pipeline_class, generator_class, scheduler_class = OWN[method]
    torch.manual_seed(0)
    return quiet(pipeline_class(generator_class(**config), scheduler_class()))
