# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
The alternative that the methods are compared with: a diffusion model of diffusers, a UNet trained to predict noise.

    python benchmarks/evidence/unet.py train FOLDER --train_data_dir DATA --max_train_steps 20000
    python benchmarks/evidence/unet.py evaluate FOLDER --train_data_dir DATA --scheduler ddim --steps 50

The UNet has a quarter more weights than the generator of `ddgan-fashion-mnist`. As that one, it works on patches of
2x2 pixels as channels, and is told the class. Its samples are measured as those of the library's own pipelines.
"""

import argparse
import json
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel
from diffusers.optimization import get_cosine_schedule_with_warmup
from diffusers.training_utils import EMAModel
from tqdm.auto import tqdm

from gan_diffusion.data.arguments import DataArguments
from gan_diffusion.data.batch import Samples
from gan_diffusion.data.loader import EndlessBatches
from gan_diffusion.data.sources import load_samples
from gan_diffusion.evaluation import evaluate
from gan_diffusion.evaluation.pictures import show_images
from gan_diffusion.metrics.features import load_features


SHAPE = (1, 32, 32)
PATCH_SIZE, NUM_CLASSES = 2, 10


class UNetPipeline:
    """Samples of the UNet, called as the library's pipelines are."""

    sample_shape = SHAPE
    device = torch.device("cpu")

    def __init__(self, unet: UNet2DModel, scheduler, steps: int):
        self.generator = self.unet = unet
        self.scheduler = scheduler
        self.num_timesteps = steps

    def set_progress_bar_config(self, **options) -> None:
        """Nothing: there is no progress bar."""

    @torch.no_grad()
    def __call__(self, count: int, class_labels: torch.Tensor, generator: torch.Generator, output_type: str):
        """`count` images in [0, 1] as `.images`."""
        self.scheduler.set_timesteps(self.num_timesteps)
        sample = F.pixel_unshuffle(torch.randn(count, *SHAPE, generator=generator), PATCH_SIZE)
        with torch.autocast("cpu", torch.bfloat16):
            for t in self.scheduler.timesteps:
                noise = self.unet(sample, t, class_labels).sample.float()
                sample = self.scheduler.step(noise, t, sample, generator=generator).prev_sample
        return argparse.Namespace(images=(F.pixel_shuffle(sample, PATCH_SIZE).clamp(-1, 1) + 1) / 2)


def make_unet() -> UNet2DModel:
    """The network."""
    return UNet2DModel(
        sample_size=32 // PATCH_SIZE,
        num_class_embeds=NUM_CLASSES,
        in_channels=PATCH_SIZE**2,
        out_channels=PATCH_SIZE**2,
        block_out_channels=(64, 64),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=16,
        attention_head_dim=16,
    )


def load_labelled(data: str) -> Samples:
    """The images with their classes."""
    return load_samples(DataArguments(train_data_dir=data, resize_mode="pad", class_conditional=True), SHAPE)


def train(folder: Path, data: str, max_train_steps: int, batch_size: int = 64) -> None:
    """Trains with the loss of DDPM (arXiv 2006.11239, equation 14), and saves the averaged weights."""
    torch.manual_seed(0)
    samples = load_labelled(data)
    batches = EndlessBatches(samples, batch_size, seed=0, class_conditional=True)
    unet, scheduler = make_unet(), DDPMScheduler()
    optimizer = torch.optim.Adam(unet.parameters(), 5e-4, fused=True)
    rate = get_cosine_schedule_with_warmup(optimizer, 500, max_train_steps)
    ema, begin = EMAModel(unet.parameters(), decay=0.999), time.perf_counter()
    for _, (batch,) in zip(tqdm(range(max_train_steps)), batches.steps(0), strict=False):
        real = F.pixel_unshuffle(batch.samples.float() / 127.5 - 1, PATCH_SIZE)
        noise, t = torch.randn_like(real), torch.randint(scheduler.config.num_train_timesteps, (len(real),))
        with torch.autocast("cpu", torch.bfloat16):
            predicted = unet(scheduler.add_noise(real, noise, t), t, batch.condition["class_labels"]).sample
        F.mse_loss(predicted.float(), noise).backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimizer.step()
        rate.step()
        optimizer.zero_grad()
        ema.step(unet.parameters())
    ema.copy_to(unet.parameters())
    unet.save_pretrained(folder / "unet")
    minutes = (time.perf_counter() - begin) / 60
    facts = {
        "training steps": max_train_steps,
        "real images seen": max_train_steps * batch_size,
        "training time (minutes, without sampling and saving)": round(minutes, 1),
        "trained on": f"1 x {torch.get_num_threads()} CPU threads",
        "seed": 0,
    }
    (folder / "measurements.json").write_text(json.dumps(facts, indent=2) + "\n")


def measure(folder: Path, data: str, features: str, num_samples: int, scheduler: str, steps: int) -> None:
    """Writes evaluation.json and samples.png as `gan-diffusion evaluate` does."""
    samples = load_labelled(data)
    # DDIM clips the predicted image and keeps the predicted noise, which then no longer belong together.
    samplers = {"ddpm": DDPMScheduler(), "ddim": DDIMScheduler(clip_sample=False)}
    unet = UNet2DModel.from_pretrained(folder / "unet").eval()
    result = evaluate(UNetPipeline(unet, samplers[scheduler], steps), samples, load_features(features), num_samples)
    target = folder / "evaluation"
    target.mkdir(exist_ok=True)
    (target / "evaluation.json").write_text(json.dumps(result.to_dict(), indent=2) + "\n")
    real = samples.__getitems__(list(range(len(result.images))))["samples"]
    show_images(result.images, real, target / "samples.png")


def main() -> None:
    """Trains or evaluates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("train", "evaluate"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train_data_dir", required=True)
    parser.add_argument("--max_train_steps", type=int, default=20_000)
    parser.add_argument("--features", default="fashion-mnist")
    parser.add_argument("--num_samples", type=int, default=10_000)
    parser.add_argument("--scheduler", choices=("ddpm", "ddim"), default="ddim")
    parser.add_argument("--steps", type=int, default=50)
    given = parser.parse_args()
    if given.action == "train":
        train(given.folder, given.train_data_dir, given.max_train_steps)
    else:
        measure(given.folder, given.train_data_dir, given.features, given.num_samples, given.scheduler, given.steps)


if __name__ == "__main__":
    main()
