# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""Diffusion-ProjectedGAN as a training: FastGAN against a projected discriminator, with noise on features."""

import json
import shutil
from pathlib import Path

import forked_scripts
import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image
from safetensors.torch import load_file
from tiny_features import TINY, TWO, TinyFeatures
from training_runs import assert_equal_runs, last_state

from gan_diffusion import (
    DiffusionGANScheduler,
    FastGANGenerator,
    LatentMLPGenerator,
    MLPDiscriminator,
    ProjectedDiscriminator,
)
from gan_diffusion.data import Batch
from gan_diffusion.models.discriminators.diffused import ChannelNoise
from gan_diffusion.models.features import digest_of, register_feature_network
from gan_diffusion.training import DiffusionGANObjective, export_checkpoint, train
from gan_diffusion.training.checkpoints import list_checkpoints


CLASSES = {"num_class_embeds": None}
GENERATOR = CLASSES | {"sample_size": 32, "out_channels": 1, "latent_dim": 4, "base_channels": 2, "lite": True}
DISCRIMINATOR = CLASSES | TINY | {"in_channels": 1}
CONSISTENT = ("--consistency_weight", "0.5")
R1 = ("--r1_gamma", "0.1", "--r1_interval", "2")
OPTIONS = """\
adversarial_loss: hinge
noise_on: features
r1_gamma: 0.0
path_length_interval: 0
train_batch_size: 4
max_train_steps: 4
learning_rate_g: 0.002
learning_rate_d: 0.002
lr_scheduler: constant
adam_beta1: 0.0
adam_beta2: 0.99
ema_decay: 0.9
checkpointing_steps: 2
validation_steps: 0
report_to: none
"""


def write_config(folder: Path, part: str, class_name: str, values: dict) -> None:
    (folder / part).mkdir(parents=True)
    name = "scheduler_config.json" if part == "scheduler" else "config.json"
    (folder / part / name).write_text(json.dumps({"_class_name": class_name} | values))


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("recipes") / "projected"
    write_config(folder, "generator", "FastGANGenerator", GENERATOR)
    write_config(folder, "discriminator", "ProjectedDiscriminator", DISCRIMINATOR)
    # 16 images move p by all of its range.
    adaptive = {"clean_share": None, "min_timesteps": 5, "max_timesteps": 50, "noise_std": 0.5, "beta_end": 0.01}
    adaptive |= {"update_interval": 2, "adaptation_kimg": 0.064, "discriminator_target": -0.9}
    write_config(folder, "scheduler", "DiffusionGANScheduler", adaptive)
    images = folder / "images"
    images.mkdir()
    random = np.random.default_rng(0)
    for number in range(8):
        Image.fromarray(random.integers(0, 256, (32, 32), dtype=np.uint8)).save(images / f"{number}.png")
    (folder / "training.yaml").write_text(OPTIONS + f"train_data_dir: {images}\n")
    return folder


def variant(recipe: Path, folder: Path, discriminator: dict) -> Path:
    for part in ("generator", "scheduler"):
        shutil.copytree(recipe / part, folder / part)
    write_config(folder, "discriminator", "ProjectedDiscriminator", DISCRIMINATOR | discriminator)
    shutil.copy(recipe / "training.yaml", folder)
    return folder


@pytest.fixture(scope="module")
def san_recipe(recipe, tmp_path_factory) -> Path:
    return variant(recipe, tmp_path_factory.mktemp("recipes") / "san", {"last_layer": "san"})


@pytest.fixture(scope="module")
def two_recipe(recipe, tmp_path_factory) -> Path:
    """Two frozen networks, and images of two classes."""
    folder = variant(recipe, tmp_path_factory.mktemp("recipes") / "two", TWO | {"in_channels": 1, "last_layer": "san"})
    for number, image in enumerate(sorted((recipe / "images").glob("*.png"))):
        place = folder / "images" / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(image, place)
    return folder


pytestmark = pytest.mark.usefixtures("fresh_accelerate")


def go(recipe: Path, folder: Path, *options: str) -> Path:
    AcceleratorState._reset_state(True)
    train("diffusion-gan", ["--recipe", str(recipe), "--output_dir", str(folder), *options])
    return folder


@pytest.fixture(scope="module")
def trained(recipe, tmp_path_factory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCELERATE_USE_CPU", "true")
        return go(recipe, tmp_path_factory.mktemp("runs") / "whole")


def saved(folder: Path, part: str) -> dict[str, torch.Tensor]:
    return load_file(folder / part / "diffusion_pytorch_model.safetensors")


class TestRuns:
    def test_it_resumes_to_the_bit(self, recipe, trained, tmp_path):
        go(recipe, tmp_path, "--max_train_steps", "2")
        go(recipe, tmp_path)
        assert_equal_runs(trained, tmp_path)

    def test_the_average_has_the_statistics_and_vectors_of_the_network(self, trained, tmp_path):
        """In the saved model, in an export, and so after a resumption, which is exact."""
        parts = last_state(trained)["parts"]
        raw, generator = parts["network.generator"], saved(trained, "generator")
        network = FastGANGenerator(**GENERATOR)
        shadow = dict(zip((n for n, _ in network.named_parameters()), parts["ema"]["shadow_params"], strict=True))
        buffers = dict(network.named_buffers())
        assert {name.rpartition(".")[2] for name in buffers} == {
            "weight_u", "weight_v", "running_mean", "running_var"
        }  # fmt: skip
        for name, value in generator.items():
            assert torch.equal(value, raw[name] if name in buffers else shadow[name]), name
        assert any(not torch.equal(shadow[name], raw[name]) for name in shadow)
        assert all((raw[name] != fresh).any() for name, fresh in buffers.items() if "running" in name)
        export_checkpoint(list_checkpoints(trained)[-1], tmp_path)
        exported = saved(tmp_path, "generator")
        assert all(torch.equal(exported[name], value) for name, value in generator.items())

    def test_the_frozen_network_is_named_and_not_stored(self, trained):
        config = json.loads((trained / "discriminator" / "config.json").read_text())
        assert config["feature_digest"] == digest_of(TinyFeatures())
        stored = last_state(trained)["parts"]["network.discriminator"]
        assert saved(trained, "discriminator").keys() == stored.keys()
        assert {name.split(".")[0] for name in stored} == {"mixing", "heads"}

    def test_another_frozen_network_is_refused_on_resumption(self, recipe, tmp_path):
        go(recipe, tmp_path, "--max_train_steps", "2")
        register_feature_network("tiny", lambda: TinyFeatures(seed=1))
        try:
            with pytest.raises(ValueError, match="made with another discriminator"):
                go(recipe, tmp_path)
        finally:
            register_feature_network("tiny", TinyFeatures)

    def test_another_run_starts_from_the_saved_model_and_its_record(self, recipe, trained, tmp_path, capsys):
        options = ("--pretrained", str(trained), "--learning_rate_g", "0", "--learning_rate_d", "0")
        start = go(trained / "run.yaml", tmp_path, *options, "--max_train_steps", "1")
        printed = capsys.readouterr().out
        assert "begin anew" not in printed and "config:" not in printed
        for part in ("generator", "discriminator"):
            before, after = saved(trained, part), saved(start, part)
            assert all(torch.equal(before[name], after[name]) for name in before if name.endswith("weight")), part

    def test_an_unknown_network_ends_the_run_before_it_begins(self, recipe, tmp_path):
        folder = tmp_path / "unknown"
        for file in recipe.rglob("*.[jy]*"):
            (folder / file.relative_to(recipe)).parent.mkdir(parents=True, exist_ok=True)
            (folder / file.relative_to(recipe)).write_text(file.read_text().replace('"tiny"', '"unknown"'))
        with pytest.raises(ValueError, match="`feature_network` must be one of .*, got 'unknown'"):
            go(folder, tmp_path / "run")

    def test_half_precision(self, recipe, tmp_path):
        go(recipe, tmp_path, "--max_train_steps", "2", "--mixed_precision", "bf16", "--augmentation", "diff")
        assert all(value.isfinite().all() for value in saved(tmp_path, "generator").values())

    @pytest.mark.parametrize("option", ["path_length_weight", "style_mixing_probability"])
    def test_options_of_styles_are_refused(self, recipe, tmp_path, option):
        interval = ("--path_length_interval", "2")
        with pytest.raises(ValueError, match=f"`--{option}` must be 0 for a FastGANGenerator"):
            go(recipe, tmp_path, f"--{option}", "0.5", *interval)

    def test_instance_discrimination_is_refused(self, recipe, tmp_path):
        with pytest.raises(ValueError, match="for `--instance_discrimination`, .*, got a ProjectedDiscriminator"):
            go(recipe, tmp_path, "--instance_discrimination", "--queue_size", "4")

    def test_san_in_bfloat16_resumes_to_the_bit(self, san_recipe, tmp_path):
        """With R1 in a half-step of its own."""
        options = ("--mixed_precision", "bf16", *R1)
        whole = go(san_recipe, tmp_path / "whole", *options)
        go(san_recipe, tmp_path / "parts", *options, "--max_train_steps", "2")
        go(san_recipe, tmp_path / "parts", *options)
        assert_equal_runs(whole, tmp_path / "parts")
        assert ProjectedDiscriminator.from_pretrained(whole / "discriminator").config.last_layer == "san"

    def test_two_networks_in_bfloat16_resume_to_the_bit(self, two_recipe, tmp_path):
        """With classes, each frozen network named and none stored."""
        options = ("--train_data_dir", str(two_recipe / "images"), "--class_conditional", *CONSISTENT)
        options += ("--mixed_precision", "bf16")
        whole = go(two_recipe, tmp_path / "whole", *options)
        go(two_recipe, tmp_path / "parts", *options, "--max_train_steps", "2")
        go(two_recipe, tmp_path / "parts", *options)
        assert_equal_runs(whole, tmp_path / "parts")
        network = ProjectedDiscriminator.from_pretrained(whole / "discriminator")
        assert list(network.config.feature_digest) == [digest_of(each) for each in network.load_features()]
        assert network.config.num_class_embeds == 2

    def test_consistency_needs_two_networks(self, recipe, tmp_path):
        with pytest.raises(ValueError, match="`consistency_weight` must be 0 for a discriminator without two frozen"):
            go(recipe, tmp_path, *CONSISTENT)

    def test_losses_that_san_has_not_are_refused(self, san_recipe, tmp_path):
        with pytest.raises(ValueError, match="`adversarial_loss` must be 'logistic' or 'hinge'"):
            go(san_recipe, tmp_path, "--adversarial_loss", "least_squares")

    def test_two_processes_agree(self, two_recipe, tmp_path):
        """
        Weights and spectral norms are equal in both, and the noise adapts to the images of both.

        All parameters of a SAN have gradients in each half-step, which the processes wait for. There are two frozen
        networks.
        """
        script = tmp_path / "train_agreeing.py"
        script.write_text(AGREEING.format(tests=str(Path(__file__).parents[1])))
        options = ["--recipe", str(two_recipe), "--output_dir", str(tmp_path / "run"), *R1, *CONSISTENT]
        result = forked_scripts.run_ranks([str(script), *options])
        assert result.returncode == 0, result.stderr
        assert result.stdout.count("agreed on 2 networks") == 2
        scheduler = last_state(tmp_path / "run")["parts"]["objective"]["scheduler"]
        # Two updates, each by the 16 images that both processes saw, of 64 that move p by 1.
        assert scheduler["p"] == pytest.approx(0.5)


AGREEING = """
import sys
sys.path.insert(0, {tests!r})
import torch
import tiny_features
from gan_diffusion.training import Trainer, train

leave = Trainer._leave_processes

def agree(trainer):
    for network in trainer.networks.values():
        for name, value in network.state_dict().items():
            if "running" not in name:
                first, second = trainer.accelerator.gather(value.detach().flatten()[None])
                assert torch.equal(first, second), name
    # In one piece, as the lines of the processes may mix.
    print("agreed on %d networks" % len(trainer.networks), flush=True)
    leave(trainer)

Trainer._leave_processes = agree
train("diffusion-gan")
"""


def make_objective(discriminator=None, **options):
    torch.manual_seed(0)
    scheduler = DiffusionGANScheduler(min_timesteps=20, max_timesteps=20, noise_std=0.5, clean_share=0.0)
    generator, discriminator = FastGANGenerator(**GENERATOR), discriminator or ProjectedDiscriminator(**DISCRIMINATOR)
    defaults = {"adversarial_loss": "hinge", "r1_gamma": 0.0, "path_length_interval": 0, "noise_on": "features"}
    return DiffusionGANObjective(generator, discriminator, scheduler, 4, **(defaults | options))


def real_batch():
    return Batch(torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1)


class TestObjective:
    def test_channels_are_diffused_each_to_its_own_timestep(self):
        scheduler = DiffusionGANScheduler(min_timesteps=50, max_timesteps=50, noise_std=0.0, clean_share=0.5)
        features = torch.rand(8, 6, 5, 4) + 1
        ratios = (ChannelNoise(scheduler)(features) / features).flatten(2)
        torch.testing.assert_close(ratios, ratios[:, :, :1].expand_as(ratios))
        factors = ratios[:, :, 0].flatten()
        nearest = (factors[:, None] - scheduler.signal_coefs[scheduler.timestep_list]).abs().min(1).values
        assert nearest.max() < 1e-6 and len(factors.unique()) > 10
        assert 0.2 < (factors > 0.99999).float().mean() < 0.8  # clean channels

    def test_samples_stay_clean_and_features_do_not(self):
        objective, batch, seen = make_objective(), real_batch(), []
        objective.discriminator.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
        network = objective.discriminator.eval()
        objective.discriminator_loss(batch)
        assert torch.equal(seen[1], batch.samples)
        noisy = [network(batch.samples).logits for _ in range(2)]
        assert not torch.equal(*noisy)
        objective = make_objective(noise_on="samples")
        objective.discriminator.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
        objective.discriminator_loss(batch)
        assert not torch.equal(seen[-1], batch.samples) and objective.discriminator.feature_noise is None

    def test_the_statistic_is_over_all_logits_and_counts_images_once(self):
        objective = make_objective()
        objective.discriminator_loss(real_batch())
        state = objective.scheduler.state_dict()["statistic"]
        num_logits = objective.discriminator(real_batch().samples).logits.shape[1]
        assert num_logits > 1 and state["signs"][1] == 3 * num_logits and state["images"] == 3

    def test_each_half_step_trains_its_own_network(self):
        objective, batch = make_objective(r1_gamma=0.1), real_batch()
        generator, discriminator = objective.generator, objective.discriminator
        objective.generator_loss(batch).loss.backward()
        assert all((each.grad != 0).any() for each in generator.parameters())
        assert all(each.grad is None for each in discriminator.parameters())
        generator.zero_grad(set_to_none=True)
        for loss in (objective.discriminator_loss, objective.gradient_penalty_loss):
            loss(batch).loss.backward()
            trained = [each for each in discriminator.parameters() if each.requires_grad]
            assert all(each.grad is not None and each.grad.isfinite().all() for each in trained)
        assert all(each.grad is None for each in (*generator.parameters(), *discriminator.mixing.parameters()))

    @pytest.mark.parametrize("adversarial_loss", ["hinge", "relativistic"])
    def test_consistency_is_the_squared_distance_of_the_mean_logits(self, adversarial_loss):
        options = {"adversarial_loss": adversarial_loss, "noise_on": "samples", "consistency_weight": 0.5}
        objective, batch, outputs = (
            make_objective(ProjectedDiscriminator(**TWO, in_channels=1), **options),
            real_batch(),
            [],
        )
        objective.discriminator.register_forward_hook(lambda *arguments: outputs.append(arguments[-1]))
        judged = objective.discriminator_loss(batch)
        made = objective.generator_loss(batch)
        fake, real, generated = outputs[:3]

        def distance(output):
            split = output.logits.shape[1] // 2
            return (output.logits[:, :split].mean(1) - output.logits[:, split:].mean(1)).square().mean()

        loss = objective.adversarial_loss
        torch.testing.assert_close(judged.logs["loss_d_consistency"], 0.5 * (distance(fake) + distance(real)))
        terms = sum(loss.discriminator_terms(real.logits, fake.logits).values())
        torch.testing.assert_close(judged.loss, terms + judged.logs["loss_d_consistency"])
        torch.testing.assert_close(made.logs["loss_g_consistency"], 0.5 * distance(generated))
        real_logits = outputs[3].logits if loss.is_relative else None
        expected = loss.generator_loss(generated.logits, real_logits) + made.logs["loss_g_consistency"]
        torch.testing.assert_close(made.loss, expected)

    def test_places_that_the_noise_cannot_have_are_refused(self):
        vectors = LatentMLPGenerator(latent_dim=2), MLPDiscriminator(pairs=False), DiffusionGANScheduler()
        with pytest.raises(ValueError, match="`noise_on` must be 'samples' for a MLPDiscriminator"):
            DiffusionGANObjective(*vectors, 2, noise_on="features")
        with pytest.raises(ValueError, match="`noise_on` must be one of"):
            make_objective(noise_on="latents")
        with pytest.raises(ValueError, match="`noise_on` must be 'samples' for a relative loss"):
            make_objective(adversarial_loss="relativistic")
        timed = ProjectedDiscriminator(**DISCRIMINATOR, timestep_embedding="sinusoidal")
        with pytest.raises(ValueError, match="`timestep_embedding` must be None where each channel"):
            DiffusionGANObjective(
                FastGANGenerator(**GENERATOR), timed, DiffusionGANScheduler(), 4, noise_on="features"
            )
