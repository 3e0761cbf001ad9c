# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""From files as the reference writes them, with the weights of the golden vectors, to pipelines with its numbers."""

import argparse
import json

import pytest
import torch
from golden_stylegan2 import stylegan2_state_dict
from golden_utils import assert_matches, golden_state_dict, load_golden, load_golden_metadata
from huggingface_hub import ModelCard
from reference_pickles import tiny_stylegan2, write_pickle
from test_reference_keys import SMALL, ReferenceShapes

from gan_diffusion import recipes
from gan_diffusion.cli import main
from gan_diffusion.conversion import (
    convert_checkpoint,
    export_ddgan_discriminator,
    export_stylegan2_discriminator,
    export_stylegan2_generator,
)
from gan_diffusion.models import (
    DDGANDiscriminator,
    NCSNppGenerator,
    StyleGAN2Discriminator,
    StyleGAN2Generator,
)
from gan_diffusion.pipelines import load_pipeline
from gan_diffusion.training import load_pretrained


WIDTHS = {"channel_base": 512, "channel_max": 16, "num_fp16_res": 4, "conv_clamp": 256}
TINY = SMALL | {"image_size": 16, "ch_mult": (1, 2), "attn_resolutions": (8,)}
PROCESS = {"num_timesteps": 2, "use_geometric": False, "beta_min": 0.1, "beta_max": 20.0}


def golden_networks(c_dim=0, architecture="orig", layers=8):
    """The networks of the golden vectors, as Diffusion-GAN's training loop would save them."""
    classes = c_dim or None
    layout = StyleGAN2Generator(
        latent_dim=32, w_dim=32, num_class_embeds=classes, num_mapping_layers=2, channel_base=512, channel_max=16
    )
    state_dict = stylegan2_state_dict({k: v.shape for k, v in export_stylegan2_generator(layout).items()})
    common = {"c_dim": c_dim, "img_resolution": 32, "img_channels": 3}
    options = common | {"z_dim": 32, "w_dim": 32, "mapping_kwargs": {"num_layers": 2}, "synthesis_kwargs": WIDTHS}
    layout = StyleGAN2Discriminator(
        channel_base=512, channel_max=16, architecture=architecture, timestep_embedding="official",
        num_mapping_layers=layers, num_class_embeds=classes,
    )  # fmt: skip
    discriminator = stylegan2_state_dict({k: v.shape for k, v in export_stylegan2_discriminator(layout).items()})
    mapping = {} if layers == 8 else {"num_layers": layers}
    discriminator_options = common | WIDTHS | {
        "architecture": architecture, "block_kwargs": {}, "mapping_kwargs": mapping,
        "epilogue_kwargs": {"mbstd_group_size": 32 if architecture == "orig" else 4}
    }  # fmt: skip
    return {
        "G": (
            {k: v + 1 if v.is_floating_point() and "filter" not in k else v for k, v in state_dict.items()},
            options,
        ),
        "D": (discriminator, discriminator_options),
        "G_ema": (state_dict, options),
    }


def tiny_ddgan(**changes):
    shapes = ReferenceShapes(**(TINY | changes)).shapes
    return {f"module.{key}": torch.randn(shape) * 0.1 for key, shape in shapes.items()}


def training_state(options, discriminator=None):
    """A `content.pth`."""
    state_dict = {f"module.{k}": v for k, v in golden_state_dict(ReferenceShapes(**options).shapes).items()}
    state = {i: {"step": 7, "ema": value} for i, value in enumerate(state_dict.values())}
    return {
        "epoch": 3, "global_step": 12, "args": argparse.Namespace(**options, batch_size=4, exp="run"),
        "netG_dict": {key: torch.zeros_like(value) for key, value in state_dict.items()}, "optimizerG": {"state": state},
        "netD_dict": discriminator or {},
    }  # fmt: skip


class TestGoldenNumbers:
    @pytest.mark.parametrize("c_dim, prefix", [(0, ""), (10, "cond.")])
    def test_stylegan2(self, tmp_path, c_dim, prefix):
        write_pickle(tmp_path / "network.pkl", golden_networks(c_dim))
        convert_checkpoint(tmp_path / "network.pkl", tmp_path / "out")
        pipeline = load_pipeline(tmp_path / "out")
        golden = load_golden("diffusion_gan/stylegan2_generator_32")
        labels = golden["c_onehot"].argmax(dim=1) if c_dim else None
        images = pipeline.generator.double()(golden["z"].double(), labels, noise_mode="const").sample
        assert_matches(images, golden[f"{prefix}image_const"], rtol=1e-9, atol=1e-9)
        assert pipeline.scheduler.config.timestep_distribution == "priority_official"
        assert pipeline.scheduler.config.initial_p == 0.0625

    @pytest.mark.parametrize(
        "c_dim, architecture, layers, name",
        [(0, "orig", 8, "orig_c0_mb32"), (10, "resnet", 8, "resnet_c10_mb4"), (0, "resnet", 0, "maplayers0")],
    )
    def test_discriminators_of_stylegan2_and_insgen(self, tmp_path, c_dim, architecture, layers, name):
        head = {"queue": torch.randn(8, 5)} if layers == 0 else None
        write_pickle(tmp_path / "network.pkl", golden_networks(c_dim, architecture, layers), head=head)
        lines = convert_checkpoint(tmp_path / "network.pkl", tmp_path / "out")
        assert ("not converted: DHead, G, " in "".join(lines)) == (head is not None)
        golden = load_golden("diffusion_gan/stylegan2_discriminator_32")
        discriminator = StyleGAN2Discriminator.from_pretrained(tmp_path / "out" / "discriminator").double()
        labels = golden["c_onehot"].argmax(dim=1) if c_dim else None
        logits = discriminator(golden["x"].double(), golden["t"].flatten(), labels).logits
        assert_matches(logits, golden[f"{name}.logits"], rtol=1e-9, atol=1e-9)

    def test_ddgan(self, tmp_path):
        golden, options = load_golden("ddgan/generator_a"), load_golden_metadata("ddgan/generator_a")["config"]
        small = DDGANDiscriminator(base_channels=8, time_embed_dim=16)
        discriminator = {f"module.{key}": value for key, value in export_ddgan_discriminator(small).items()}
        torch.save(training_state(options, discriminator), tmp_path / "content.pth")
        lines = convert_checkpoint(tmp_path / "content.pth", tmp_path / "out")
        assert "not converted: optimizerG" in lines[-1]
        pipeline = load_pipeline(tmp_path / "out")
        out = pipeline.generator.double()(golden["x"].double(), golden["t"], golden["z"].double()).sample
        assert_matches(out, golden["out"])
        assert pipeline.scheduler.config.num_train_timesteps == options["num_timesteps"]
        loaded = DDGANDiscriminator.from_pretrained(tmp_path / "out" / "discriminator")
        torch.testing.assert_close(loaded.state_dict(), small.state_dict(), rtol=0, atol=0)

    def test_raw_weights_are_the_other_ones(self, tmp_path):
        networks = tiny_stylegan2()
        write_pickle(tmp_path / "network.pkl", networks)
        convert_checkpoint(tmp_path / "network.pkl", tmp_path / "out", weights="raw")
        exported = export_stylegan2_generator(load_pipeline(tmp_path / "out").generator)
        torch.testing.assert_close(exported, networks["G"][0], rtol=0, atol=0)


class TestOptions:
    @pytest.fixture
    def file(self, tmp_path):
        torch.save(tiny_ddgan(), tmp_path / "netG_300.pth")
        return tmp_path / "netG_300.pth"

    def test_what_weights_do_not_show_is_asked_for_at_once(self, file, tmp_path):
        with pytest.raises(ValueError, match="`--options` must say image_size=... and num_timesteps=..., .* --preset"):
            convert_checkpoint(file, tmp_path / "out")
        with pytest.raises(ValueError, match="must say num_timesteps=..., which"):
            convert_checkpoint(file, tmp_path / "out", options={"image_size": 16})
        assert not (tmp_path / "out").exists()

    def test_everything_that_is_decided_is_said(self, file, tmp_path):
        text = "\n".join(convert_checkpoint(file, tmp_path / "out", options={"image_size": 16, "num_timesteps": 2}))
        assert "the options given: image_size=16, num_timesteps=2" in text
        assert "shapes of the weights: num_channels=3" in text and "ch_mult=(1, 2)" in text and "n_mlp=2" in text
        assert "default of the reference: " in text and "skip_rescale=True" in text and "beta_min=0.1" in text
        assert "no discriminator in it" in text

    @pytest.mark.parametrize(
        "options, message",
        [
            ({"n_mlp": 3}, "`n_mlp` must be 2, as the shapes of the weights say, got 3 from the options given"),
            ({"ch_mult": [1, 2, 2]}, r"`ch_mult` must be \(1, 2\), .* got \(1, 2, 2\) from the options given"),
            ({"attn_resolutions": [16]}, r"`attn_resolutions` must be \(8,\)"),
            ({"progressive_input": "none"}, "`progressive_input` must be 'residual'"),
            ({"fir": False}, "`fir` must be True"),
            ({"conditional": False}, "`conditional` must be True"),
            ({"nchannels": 3}, "`--options` must be some of .*, got 'nchannels'"),
            ({"image_size": 15}, "`image_size` must be a multiple of 2 for 2 levels, got 15"),
            ({"image_size": "large"}, "`image_size` must be a multiple of 2 for 2 levels, got 'large'"),
            ({"num_timesteps": 0}, "`num_train_timesteps` must"),
        ],
    )
    def test_options_that_do_not_go_together_with_the_weights(self, file, tmp_path, options, message):
        with pytest.raises(ValueError, match=message):
            convert_checkpoint(file, tmp_path / "out", options={"image_size": 16, "num_timesteps": 2} | options)
        assert not (tmp_path / "out").exists()

    def test_heights_that_no_level_has_are_without_effect(self, file, tmp_path):
        options = {"image_size": 16, "num_timesteps": 2, "attn_resolutions": (8, 64)}
        convert_checkpoint(file, tmp_path / "out", options=options)
        assert load_pipeline(tmp_path / "out").generator.config.attention_resolutions == [8, 64]

    def test_keys_of_another_network_are_named(self, tmp_path):
        torch.save(tiny_ddgan() | {"module.sigmas": torch.zeros(4)}, tmp_path / "netG.pth")
        with pytest.raises(ValueError, match="1 unexpected: sigmas"):
            convert_checkpoint(tmp_path / "netG.pth", tmp_path / "out", options={"image_size": 16, "num_timesteps": 2})
        torch.save({"conv.weight": torch.zeros(3, 3)}, tmp_path / "other.pth")
        with pytest.raises(ValueError, match="must be of DDGAN's generator, got .* keys begin with conv.weight"):
            convert_checkpoint(tmp_path / "other.pth", tmp_path / "out")

    def test_time_layers_that_are_never_used_are_dropped(self, tmp_path):
        torch.save(tiny_ddgan(conditional=False), tmp_path / "netG.pth")
        convert_checkpoint(tmp_path / "netG.pth", tmp_path / "out", options={"image_size": 16, "num_timesteps": 2})
        assert load_pipeline(tmp_path / "out").generator.config.time_conditioning is False

    def test_what_a_file_records_of_the_noise_counts(self, tmp_path):
        process = {"beta_schedule": "cosine", "beta_start": 1e-3, "beta_end": 0.1, "t_min": 5, "t_max": 500,
                   "noise_std": 0.1, "ts_dist": "uniform"}  # fmt: skip
        write_pickle(tmp_path / "network.pkl", tiny_stylegan2(), process)
        convert_checkpoint(tmp_path / "network.pkl", tmp_path / "out", options={"t_max": 400})
        config = load_pipeline(tmp_path / "out").scheduler.config
        expected = {"beta_schedule": "cosine", "min_timesteps": 5, "max_timesteps": 400, "noise_std": 0.1,
                    "timestep_distribution": "uniform"}  # fmt: skip
        assert {name: config[name] for name in expected} == expected

    def test_noise_that_we_do_not_have(self, tmp_path):
        write_pickle(tmp_path / "network.pkl", tiny_stylegan2(), {"t_min": 1, "t_max": 9, "ts_dist": "other"})
        with pytest.raises(ValueError, match="`ts_dist` must be one of .*, got 'other' from the file"):
            convert_checkpoint(tmp_path / "network.pkl", tmp_path / "out")

    def test_a_state_dict_of_stylegan2_alone(self, tmp_path):
        torch.save(tiny_stylegan2()["G"][0], tmp_path / "G_ema.pth")
        lines = convert_checkpoint(tmp_path / "G_ema.pth", tmp_path / "out", options={"conv_clamp": None})
        assert load_pipeline(tmp_path / "out").generator.config.activation_clamp is None
        assert "value of all published models: lr_multiplier=0.01" in "\n".join(lines)

    def test_a_file_of_plain_stylegan2(self, tmp_path):
        networks = tiny_stylegan2()
        plain = StyleGAN2Discriminator(
            sample_size=8, channel_base=64, channel_max=12, in_channels=1, timestep_embedding=None
        )
        networks["D"] = export_stylegan2_discriminator(plain), networks["D"][1] | {"mapping_kwargs": {}}
        write_pickle(tmp_path / "network.pkl", networks, process=None)
        text = "\n".join(convert_checkpoint(tmp_path / "network.pkl", tmp_path / "out"))
        assert "D.t_dim=0" in text and "default of the reference: " in text and "t_max=1000" in text
        loaded = StyleGAN2Discriminator.from_pretrained(tmp_path / "out" / "discriminator")
        torch.testing.assert_close(loaded.state_dict(), plain.state_dict(), rtol=0, atol=0)

    def test_records_that_contradict_the_weights(self, tmp_path):
        networks = tiny_stylegan2()
        networks["D"][1]["mapping_kwargs"]["num_layers"] = 5
        write_pickle(tmp_path / "network.pkl", networks)
        with pytest.raises(
            ValueError, match="`D.num_layers` must be 2, as the shapes of the weights say, got 5 from the file"
        ):
            convert_checkpoint(tmp_path / "network.pkl", tmp_path / "out")


class TestPresets:
    @pytest.fixture
    def preset(self, tmp_path, monkeypatch):
        """A recipe of the tiny network of DDGAN, and of nothing else."""
        parts = {
            "generator/config.json": {
                "_class_name": "NCSNppGenerator", "sample_size": 16, "base_channels": 16, "channel_multipliers": [1, 2],
                "layers_per_block": 1, "attention_resolutions": [8], "latent_dim": 6, "latent_embed_dim": 12,
                "num_latent_layers": 2,
            },
            "scheduler/scheduler_config.json": {"_class_name": "DDGANScheduler", "num_train_timesteps": 2},
        }  # fmt: skip
        full = {**NCSNppGenerator(**{k: v for k, v in parts["generator/config.json"].items() if k[0] != "_"}).config}
        parts["generator/config.json"] |= {k: v for k, v in full.items() if k[0] != "_"}
        parts["scheduler/scheduler_config.json"] |= {"beta_schedule": "vp", "beta_min": 0.1, "beta_max": 19.0}
        for name, value in parts.items():
            (tmp_path / "recipes" / "tiny" / name).parent.mkdir(parents=True)
            (tmp_path / "recipes" / "tiny" / name).write_text(json.dumps(value))
        (tmp_path / "recipes" / "tiny" / "training.yaml").write_text("seed: 1\n")
        monkeypatch.setattr(recipes, "_recipes_folder", lambda: tmp_path / "recipes")
        return "tiny"

    def test_a_preset_says_what_the_file_does_not(self, tmp_path, preset):
        torch.save(tiny_ddgan(), tmp_path / "netG.pth")
        lines = convert_checkpoint(tmp_path / "netG.pth", tmp_path / "out", preset)
        config = load_pipeline(tmp_path / "out").scheduler.config
        assert config.num_train_timesteps == 2 and config.beta_max == 19.0
        assert any(line.startswith("  the preset tiny: image_size=16") for line in lines)

    def test_a_preset_of_another_network(self, tmp_path, preset):
        torch.save(tiny_ddgan(n_mlp=1), tmp_path / "netG.pth")
        with pytest.raises(ValueError, match="`n_mlp` must be 1, .* got 2 from the preset tiny"):
            convert_checkpoint(tmp_path / "netG.pth", tmp_path / "out", preset)

    def test_no_such_preset(self, tmp_path, preset):
        torch.save(tiny_ddgan(), tmp_path / "netG.pth")
        with pytest.raises(ValueError, match=r"`--preset` must be one of \['tiny'\] .*NCSNppGenerator, got 'huge'"):
            convert_checkpoint(tmp_path / "netG.pth", tmp_path / "out", "huge")

    def test_presets_of_published_models(self, tmp_path):
        write_pickle(tmp_path / "network.pkl", tiny_stylegan2())
        with pytest.raises(
            ValueError, match="must be one of .*'diffusion-stylegan2-cifar10', .*, got 'ddgan-cifar10'"
        ):
            convert_checkpoint(tmp_path / "network.pkl", tmp_path / "out", "ddgan-cifar10")
        with pytest.raises(ValueError, match="`channel_base` must be 64, .* got 32768 from the preset diffusion"):
            convert_checkpoint(tmp_path / "network.pkl", tmp_path / "out", "diffusion-stylegan2-cifar10")


class TestFolder:
    def test_card_and_files(self, tmp_path):
        write_pickle(tmp_path / "network.pkl", tiny_stylegan2())
        convert_checkpoint(tmp_path / "network.pkl", tmp_path / "out")
        names = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
        weights = "diffusion_pytorch_model.safetensors"
        assert names == {
            "README.md", "checksums.json", "discriminator/config.json", f"discriminator/{weights}", "generator/config.json",
            f"generator/{weights}", "measurements.json", "model_index.json", "modular_blocks.py", "modular_config.json",
            "modular_model_index.json", "pipeline.py", "scheduler/scheduler_config.json",
        }  # fmt: skip
        card = ModelCard.load(tmp_path / "out" / "README.md")
        assert (card.data.license, card.data.license_name) == ("other", "nvidia-source-code-license")
        assert "non-commercial use only" in card.text and "`network.pkl`, SHA-256 `" in card.text
        assert "| conv_clamp | 256 | the file |" in card.text and str(tmp_path) not in card.content

    def test_card_of_ddgan(self, tmp_path):
        torch.save(tiny_ddgan(), tmp_path / "netG `x`\n.pth")
        convert_checkpoint(
            tmp_path / "netG `x`\n.pth", tmp_path / "out", options={"image_size": 16, "num_timesteps": 2}
        )
        card = ModelCard.load(tmp_path / "out" / "README.md")
        assert card.data.license_link.endswith("denoising-diffusion-gan/blob/main/LICENSE")
        assert "A sample takes 2 network evaluations." in card.text and "none in the file" in card.text
        assert "# DDGAN, converted from `netG??x??.pth`" in card.text

    @pytest.mark.parametrize("occupied", ["file", "folder"])
    def test_nothing_is_written_over(self, tmp_path, occupied):
        write_pickle(tmp_path / "network.pkl", tiny_stylegan2())
        out = tmp_path / "out"
        if occupied == "folder":
            out.mkdir()
            out = out / "x"
        out.write_text("mine")
        with pytest.raises(ValueError, match="`output_dir` must be a new or empty folder"):
            convert_checkpoint(tmp_path / "network.pkl", tmp_path / "out")
        assert out.read_text() == "mine"

    def test_numbers_that_would_lose_digits(self, tmp_path):
        torch.save({key: value.double() for key, value in tiny_ddgan().items()}, tmp_path / "netG.pth")
        with pytest.raises(ValueError, match="`path` must hold weights in float32 or less, got .* in torch.float64"):
            convert_checkpoint(tmp_path / "netG.pth", tmp_path / "out", options={"image_size": 16, "num_timesteps": 2})

    def test_weights_that_are_no_numbers(self, tmp_path):
        networks = tiny_stylegan2()
        networks["G_ema"][0]["synthesis.b4.const"][0, 0, 0] = float("nan")
        write_pickle(tmp_path / "network.pkl", networks)
        with pytest.raises(ValueError, match="`synthesis.blocks.0.const` must hold finite numbers"):
            convert_checkpoint(tmp_path / "network.pkl", tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_a_training_starts_from_it(self, tmp_path):
        write_pickle(tmp_path / "network.pkl", tiny_stylegan2())
        convert_checkpoint(tmp_path / "network.pkl", tmp_path / "out")
        saved = load_pipeline(tmp_path / "out").generator
        network = StyleGAN2Generator.from_config(saved.config)
        discriminator = StyleGAN2Discriminator.from_config(
            StyleGAN2Discriminator.load_config(tmp_path / "out", subfolder="discriminator")
        )
        load_pretrained(str(tmp_path / "out"), {"generator": network, "discriminator": discriminator})
        torch.testing.assert_close(network.state_dict(), saved.state_dict(), rtol=0, atol=0)


class TestVerify:
    def test_what_was_seen_and_what_was_not(self, tmp_path):
        torch.save(tiny_ddgan(), tmp_path / "netG.pth")
        options = {"image_size": 16, "num_timesteps": 2}
        lines = convert_checkpoint(tmp_path / "netG.pth", tmp_path / "out", options=options, verify=True)
        assert lines[-3].startswith("Verified: 4 samples have values from") and "every weight" in lines[-2]
        assert lines[-1].startswith("Not verified: equality with samples of the authors' code")

    def test_labels_of_a_class_conditional_model(self, tmp_path):
        networks = tiny_stylegan2(classes=3)
        for name in ("synthesis.b4.torgb.weight", "synthesis.b8.torgb.weight"):
            networks["G_ema"][0][name] *= 0.1
        write_pickle(tmp_path / "network.pkl", networks)
        assert "Verified" in convert_checkpoint(tmp_path / "network.pkl", tmp_path / "out", verify=True)[-2]

    @pytest.mark.parametrize("factor", [0.0, 100.0])
    def test_samples_that_are_no_images(self, tmp_path, factor):
        networks = tiny_stylegan2()
        for name in ("synthesis.b4.torgb.weight", "synthesis.b8.torgb.weight"):
            networks["G_ema"][0][name] *= factor
        write_pickle(tmp_path / "network.pkl", networks)
        with pytest.raises(
            ValueError, match="`path` must hold weights whose samples are images, .* standard deviation"
        ):
            convert_checkpoint(tmp_path / "network.pkl", tmp_path / "out", verify=True)
        assert not (tmp_path / "out").exists()


class TestCommand:
    def test_converts(self, tmp_path, capsys):
        torch.save(tiny_ddgan(), tmp_path / "netG.pth")
        words = ["--options", "image_size=16", "num_timesteps=2", "ch_mult=1,2", "fir=true", "dropout=0.0"]
        main(["convert", str(tmp_path / "netG.pth"), "--output_dir", str(tmp_path / "out"), *words])
        assert f"Saved the pipeline in {tmp_path / 'out'}" in capsys.readouterr().out
        assert load_pipeline(tmp_path / "out").sample_shape == (3, 16, 16)

    @pytest.mark.parametrize(
        "words, message",
        [
            ([], "`--options` must say image_size"),
            (["--options", "image_size"], "`--options` must be name=value, each name once, got 'image_size'"),
            (["--options", "a=1", "a=2"], "each name once, got 'a=2'"),
            (["--options", "image_size=16", "num_timesteps=x"], "`num_train_timesteps` must be"),
            (["--options", "image_size=16", "num_timesteps=2", "dropout=none"], "`dropout` must be of type float"),
            (["--weights", "raw"], '`weights` must be "ema"'),
            (["--preset", "nothing"], "`--preset` must be one of"),
        ],
    )
    def test_mistakes_end_in_a_short_message(self, tmp_path, capsys, words, message):
        torch.save(tiny_ddgan(), tmp_path / "netG.pth")
        with pytest.raises(SystemExit) as end:
            main(["convert", str(tmp_path / "netG.pth"), "--output_dir", str(tmp_path / "out"), *words])
        errors = capsys.readouterr().err.strip().splitlines()
        assert end.value.code == 2 and len(errors) == 2 and message in errors[1]
