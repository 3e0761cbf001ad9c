#!/usr/bin/env python
# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""A plain DCGAN on handwritten digits, with Diffusion-GAN's noise or without. Only lines (1) to (3) differ."""

import argparse

import torch
import torch.nn.functional as F
from diffusers.utils import make_image_grid
from torch import nn

from gan_diffusion import DiffusedDiscriminator, DiffusionGANPipeline, DiffusionGANScheduler
from gan_diffusion.data.sources import load_digits


class Discriminator(nn.Module):
    """A DCGAN discriminator of 8x8 images. If it is told a timestep, its embedding is added to the first features."""

    def __init__(self, width: int = 64):
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 4, stride=2, padding=1)
        self.conv2 = nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)
        self.linear = nn.Linear(2 * width * 2 * 2, 1)
        self.time = nn.Sequential(nn.Linear(1, width), nn.LeakyReLU(0.2), nn.Linear(width, width))

    def forward(self, image: torch.Tensor, timestep: torch.Tensor | None = None) -> torch.Tensor:
        hidden = self.conv1(image)
        if timestep is not None:
            hidden = hidden + self.time(timestep[:, None] / 1000)[:, :, None, None]
        hidden = self.conv2(F.leaky_relu(hidden, 0.2))
        return self.linear(F.leaky_relu(hidden, 0.2).flatten(1))


def make_generator(width: int = 64) -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (32, 1, 1)),
        nn.ConvTranspose2d(32, 2 * width, 2, bias=False), nn.BatchNorm2d(2 * width), nn.ReLU(),
        nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
        nn.ConvTranspose2d(width, 1, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip


def train(steps: int, diffusion: bool, seed: int = 0, batch_size: int = 64) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(seed)
    images = load_digits().samples
    generator, discriminator = make_generator(), Discriminator()
    if diffusion:
        scheduler = DiffusionGANScheduler(max_timesteps=500, timestep_distribution="uniform")  # (1)
        discriminator = DiffusedDiscriminator(discriminator, scheduler)  # (2)
    optimizer_g = torch.optim.Adam(generator.parameters(), 2e-4, (0.5, 0.999))
    optimizer_d = torch.optim.Adam(discriminator.parameters(), 2e-4, (0.5, 0.999))

    for step in range(steps):
        real = images[torch.randint(len(images), (batch_size,))]
        fake = generator(torch.randn(batch_size, 32))
        real_logits, fake_logits = discriminator(real), discriminator(fake.detach())
        loss_d = F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()
        optimizer_d.zero_grad()
        loss_d.backward()
        optimizer_d.step()

        loss_g = F.softplus(-discriminator(fake)).mean()
        optimizer_g.zero_grad()
        loss_g.backward()
        optimizer_g.step()

        if diffusion:
            discriminator.adapt(real_logits)  # (3)
        if step % 100 == 0:
            length = f", T {len(scheduler)}" if diffusion else ""
            print(f"step {step}: loss_d {loss_d.item():.3f}, loss_g {loss_g.item():.3f}{length}")
    return generator.eval(), discriminator


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--no_diffusion", action="store_true", help="the DCGAN alone")
    parser.add_argument("--output_image", default="dcgan.png")
    options = parser.parse_args()
    generator, _ = train(options.steps, not options.no_diffusion)
    with torch.no_grad():
        samples = generator(torch.randn(64, 32)) / 2 + 0.5
    pictures = DiffusionGANPipeline.numpy_to_pil(samples.permute(0, 2, 3, 1).numpy())
    make_image_grid([picture.resize((40, 40)) for picture in pictures], 8, 8).save(options.output_image)
