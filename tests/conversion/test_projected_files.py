# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""From files as ProjectedGAN's training writes them to pipelines with the same networks."""

import json
import pickle
import sys

import dill
import pytest
import torch
from golden_projected import projected_state_dict
from golden_utils import assert_matches, load_golden, load_golden_json
from huggingface_hub import ModelCard
from reference_pickles import FEATURE_PROCESS, tiny_projected, tiny_stylegan2, write_projected_pickle

from gan_diffusion import recipes
from gan_diffusion.conversion import (
    convert_checkpoint,
    convert_projected_discriminator,
    export_fastgan_generator,
    load_official_checkpoint,
)
from gan_diffusion.conversion.projected_files import frozen_key_map
from gan_diffusion.models import FastGANGenerator, ProjectedDiscriminator
from gan_diffusion.models.features import EfficientNetLite0, digest_of
from gan_diffusion.pipelines import load_pipeline


FROZEN = "feature_network.pretrained."


@pytest.fixture(scope="module")
def networks():
    """With small heads, which take less time."""
    return tiny_projected(separable=True)


@pytest.fixture
def generator_only(networks):
    return {"G_ema": (dict(networks["G_ema"][0]), dict(networks["G_ema"][1]))}


def converted(tmp_path, networks, *arguments, process=FEATURE_PROCESS, **options):
    """The lines, and the scheduler's and the discriminator's configs as far as there are such."""
    write_projected_pickle(tmp_path / "network.pkl", networks, process)
    return "\n".join(convert_checkpoint(tmp_path / "network.pkl", tmp_path / "out", *arguments, **options))


class TestReading:
    @pytest.mark.parametrize(
        ("dumps", "weights"), [(pickle.dumps, "raw"), (dill.dumps, "ema")], ids=["pickle", "dill"]
    )
    def test_weights_and_attributes(self, tmp_path, networks, dumps, weights):
        write_projected_pickle(tmp_path / "network.pkl", networks, dumps=dumps)
        before = {*sys.modules}
        found = load_official_checkpoint(tmp_path / "network.pkl", weights)
        assert not {"pg_modules", "timm", "torch_utils"} & ({*sys.modules} - before)
        name = "G_ema" if weights == "ema" else "G"
        torch.testing.assert_close(found.generator, networks[name][0], rtol=0, atol=0)
        torch.testing.assert_close(found.discriminator, networks["D"][0], rtol=0, atol=0)
        assert found.generator_options == {"z_dim": 6, "c_dim": 0, "img_resolution": 32, "img_channels": 3}
        assert found.discriminator_options == {
            "interp224": True, "cout": 4, "expand": True, "proj_type": 2, "d_pos": "first"
        }  # fmt: skip
        assert found.process_options == {
            "beta_start": 1e-4, "beta_end": 1e-2, "t_min": 5, "t_max": 500, "p": 0.0625, "noise_std": 0.5
        }  # fmt: skip
        assert found.unused == sorted(["training_set_kwargs", "G" if weights == "ema" else "G_ema"])


class TestGenerator:
    @pytest.mark.parametrize(
        ("name", "size", "lite", "classes"),
        [
            ("g32_big_uncond", 32, False, 0),
            ("g32_big_cond", 32, False, 10),
            ("g32_lite_cond", 32, True, 10),
            ("g64_big_uncond", 64, False, 0),
            ("g128_lite_uncond", 128, True, 0),
        ],
    )
    def test_images_are_those_of_the_reference(self, tmp_path, name, size, lite, classes):
        """The vectors of spectral norm are stored in float32, so the numbers are as exact as these."""
        if name in ("g32_big_uncond", "g32_lite_cond"):
            shapes = load_golden_json(f"diffusion_gan/keys_fastgan_{name}")
        else:
            options = {"latent_dim": 16, "base_channels": 8, "lite": lite, "num_class_embeds": classes or None}
            built = export_fastgan_generator(FastGANGenerator(256, **options))
            built |= export_fastgan_generator(FastGANGenerator(size, **options))
            shapes = {key: value.shape for key, value in built.items()}
        state_dict = {
            key: value.float() if value.is_floating_point() else value
            for key, value in projected_state_dict(shapes).items()
        }
        attributes = {"z_dim": 16, "c_dim": classes, "img_resolution": size, "img_channels": 3}
        converted(tmp_path, {"G_ema": (state_dict, attributes)})
        pipeline = load_pipeline(tmp_path / "out")
        assert pipeline.generator.config.num_class_embeds == (classes or None)
        golden = load_golden("diffusion_gan/fastgan_generator")
        expected = golden[f"{name}.image"]
        labels = golden["c_onehot"].argmax(dim=1) if classes else None
        images = pipeline.generator.double()(golden["z"].double()[: len(expected)], labels, noise_mode="none").sample
        assert_matches(images, expected, rtol=1e-6, atol=1e-6)

    def test_noise_is_that_of_the_features(self, tmp_path, networks):
        process = FEATURE_PROCESS | {"beta_end": 0.02, "t_min": 6, "t_max": 400, "noise_sd": 0.75}
        converted(tmp_path, {"G_ema": networks["G_ema"], "D": networks["D"]}, process=process)
        config = load_pipeline(tmp_path / "out").scheduler.config
        expected = {
            "beta_schedule": "linear", "beta_end": 0.02, "min_timesteps": 6, "max_timesteps": 400, "noise_std": 0.75,
            "initial_p": 0.0625, "clean_share": None, "timestep_distribution": "priority_official",
        }  # fmt: skip
        assert {name: config[name] for name in expected} == expected

    def test_a_file_without_a_discriminator_has_the_reference_s_noise(self, tmp_path, generator_only):
        lines = converted(tmp_path, generator_only)
        config = load_pipeline(tmp_path / "out").scheduler.config
        expected = {"beta_end": 0.01, "min_timesteps": 5, "max_timesteps": 500, "noise_std": 0.5, "clean_share": None}
        assert {name: config[name] for name in expected} == expected
        assert "no discriminator in it" in lines
        assert "default of the reference: beta_schedule=linear, beta_start=0.0001, beta_end=0.01, t_min=5" in lines

    def test_raw_weights_are_the_other_ones(self, tmp_path, networks):
        converted(tmp_path, {"G": networks["G"], "G_ema": networks["G_ema"]}, weights="raw")
        exported = export_fastgan_generator(load_pipeline(tmp_path / "out").generator)
        for key, value in exported.items():
            assert torch.equal(value, networks["G"][0][key]), key

    def test_samples_are_verified(self, tmp_path):
        lines = converted(tmp_path, {"G_ema": tiny_projected(64, classes=3, lite=True)["G_ema"]}, verify=True)
        assert "Verified: 4 samples have values" in lines and "the saved folder gives back every weight" in lines


class TestOptions:
    def test_sizes_that_the_weights_do_not_tell_apart(self, tmp_path, generator_only):
        torch.save(generator_only["G_ema"][0], tmp_path / "G.pth")
        with pytest.raises(ValueError, match=r"`--options` must say img_resolution=.* one of \(32, 64\) here"):
            convert_checkpoint(tmp_path / "G.pth", tmp_path / "out")
        lines = convert_checkpoint(tmp_path / "G.pth", tmp_path / "out", options={"img_resolution": 64})
        assert any("the options given: img_resolution=64" in line for line in lines)
        assert load_pipeline(tmp_path / "out").sample_shape == (3, 64, 64)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (
                {"img_resolution": 128},
                r"`img_resolution` must be one of \(32, 64\), .* got 128 from the options given",
            ),
            ({"c_dim": -1}, "`c_dim` must be a number of classes, got -1"),
            ({"conv_clamp": 256}, "`--options` must be some of .*, got 'conv_clamp'"),
            ({"noise_std": -1.0}, "`noise_std` must"),
        ],
    )
    def test_what_does_not_go_together_with_the_weights(self, tmp_path, generator_only, options, message):
        with pytest.raises(ValueError, match=message):
            converted(tmp_path, generator_only, options=options)
        assert not (tmp_path / "out").exists()

    def test_the_number_of_classes(self, tmp_path):
        state_dict, attributes = tiny_projected(classes=3)["G_ema"]
        del attributes["c_dim"]
        with pytest.raises(ValueError, match=r"`--options` must say c_dim=\.\.\., which weights do not show"):
            converted(tmp_path, {"G_ema": (state_dict, attributes)})
        with pytest.raises(ValueError, match=r"synthesis.embed.weight \(\(1000, 6\), expected \(1001, 6\)\)"):
            converted(tmp_path, {"G_ema": (state_dict, attributes)}, options={"c_dim": 1001})
        state_dict["synthesis.embed.weight"] = torch.tensor(1.0)
        with pytest.raises(ValueError, match="synthesis.embed.weight .* expected"):
            converted(tmp_path, {"G_ema": (state_dict, attributes)}, options={"c_dim": 3})

    def test_attributes_that_contradict_the_weights(self, tmp_path, generator_only):
        generator_only["G_ema"][1]["z_dim"] = 64
        with pytest.raises(ValueError, match="`z_dim` must be 6, .* got 64 from the file"):
            converted(tmp_path, generator_only)

    def test_presets_of_published_models(self, tmp_path, generator_only):
        with pytest.raises(
            ValueError, match="`z_dim` must be 6, .* got 256 from the preset diffusion-projected-cifar10"
        ):
            converted(tmp_path, generator_only, "diffusion-projected-cifar10")
        with pytest.raises(
            ValueError, match="must be one of .*'diffusion-projected-lsun-church-256'.*FastGANGenerator"
        ):
            converted(tmp_path, generator_only, "diffusion-stylegan2-cifar10")

    def test_a_preset_says_what_the_file_does_not(self, tmp_path, networks, monkeypatch):
        folder = tmp_path / "recipes" / "tiny"
        configs = {
            part: json.loads((recipes.Recipe.load("diffusion-projected-cifar10").path / path).read_text())
            for part, path in {
                "generator": "generator/config.json", "discriminator": "discriminator/config.json",
                "scheduler": "scheduler/scheduler_config.json",
            }.items()
        }  # fmt: skip
        configs["generator"] |= {"base_channels": 2, "latent_dim": 6}
        configs["discriminator"] |= {"projection_channels": 4}
        for part, config in configs.items():
            (folder / part).mkdir(parents=True)
            name = "scheduler_config.json" if part == "scheduler" else "config.json"
            (folder / part / name).write_text(json.dumps(config))
        (folder / "training.yaml").write_text("seed: 1\n")
        monkeypatch.setattr(recipes, "_recipes_folder", lambda: tmp_path / "recipes")
        torch.save(networks["G_ema"][0], tmp_path / "G.pth")
        lines = convert_checkpoint(tmp_path / "G.pth", tmp_path / "out", "tiny")
        assert any(line.startswith("  the preset tiny: img_resolution=32") for line in lines)
        assert load_pipeline(tmp_path / "out").scheduler.config.discriminator_target == 0.45


class TestDiscriminator:
    @pytest.mark.parametrize(
        "heads", [{}, {"separable": True, "patch": True, "classes": 3}], ids=["plain", "separable, patch, classes"]
    )
    def test_logits_are_those_of_the_weights_in_the_file(self, tmp_path, heads):
        networks = tiny_projected(**heads)
        del networks["G"]
        lines = converted(tmp_path, networks)
        assert "The frozen network in the file has the weights of the one" in lines and ", D." in lines
        loaded = ProjectedDiscriminator.from_pretrained(tmp_path / "out" / "discriminator")
        assert loaded.config.feature_digest == digest_of(EfficientNetLite0.from_package())
        kinds = {"separable": "separable" in heads, "patch": "patch" in heads, "cond": "classes" in heads}
        expected = convert_projected_discriminator(
            networks["D"][0], c_dim=heads.get("classes", 0), backbone_kwargs={"cout": 4, **kinds}
        )
        images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        labels = torch.tensor([0, 2]) if "classes" in heads else None
        with torch.no_grad():
            assert torch.equal(
                loaded.eval()(images, class_labels=labels).logits, expected.eval()(images, class_labels=labels).logits
            )

    @pytest.fixture
    def changed(self, networks):
        return {name: tuple(map(dict, networks[name])) for name in ("G_ema", "D")}

    def test_another_frozen_network_is_not_passed_over(self, tmp_path, changed):
        changed["D"][0][f"{FROZEN}layer2.1.2.bn3.running_mean"] = torch.full((112,), 1e6)
        lines = converted(tmp_path, changed)
        message = (
            r"The discriminator is left out: its frozen network has other weights .*\(1 of 245 tensors differ, by up"
        )
        assert message.replace("\\", "").partition(" .*")[0] in lines and "(1 of " in lines
        assert "not converted: D, training_set_kwargs" in lines and "D.cout" not in lines
        assert not (tmp_path / "out" / "discriminator").exists() and load_pipeline(tmp_path / "out")
        card = ModelCard.load(tmp_path / "out" / "README.md").text
        assert "- Discriminator: left out" in card and "- The discriminator is left out: its frozen network" in card

    @pytest.mark.parametrize("change", ["missing", "more"])
    def test_a_network_of_another_kind(self, tmp_path, changed, change):
        if change == "missing":
            del changed["D"][0][f"{FROZEN}layer0.0.weight"]
        else:
            changed["D"][0][f"{FROZEN}layer3.2.0.conv_pw.weight"] = torch.zeros(1)
        assert "left out: its frozen network is not EfficientNet-Lite0." in converted(tmp_path, changed)

    def test_without_the_package_nothing_is_compared(self, tmp_path, changed, monkeypatch):
        def missing():
            raise ValueError("`efficientnet-lite0` needs the package. Install it.")

        monkeypatch.setattr("gan_diffusion.models.features.maps._NETWORKS", {"efficientnet-lite0": missing})
        lines = converted(tmp_path, changed)
        assert (
            "was not compared with the one that the discriminator will load by name: `efficientnet-lite0` needs"
            in lines
        )
        config = json.loads((tmp_path / "out" / "discriminator" / "config.json").read_text())
        assert config["feature_digest"] is None

    def test_noise_elsewhere(self, tmp_path, changed):
        lines = converted(tmp_path, changed, process=FEATURE_PROCESS | {"d_pos": "last"})
        assert "left out: its noise comes after the random projections (d_pos='last')" in lines

    def test_images_that_the_reference_would_shrink(self, tmp_path, changed):
        changed["G_ema"] = tiny_projected(256, lite=True)["G_ema"]
        assert "left out: it shrinks images of 256 pixels to 224" in converted(tmp_path, changed)

    def test_images_of_their_own_size(self, tmp_path, changed):
        changed["D"][1]["interp224"] = False
        assert "D.interp224=False" in converted(tmp_path, changed)
        assert ProjectedDiscriminator.load_config(tmp_path / "out" / "discriminator")["input_size"] is None

    def test_with_a_generator_of_stylegan2(self, tmp_path, changed):
        changed["G_ema"] = tiny_stylegan2()["G"]
        changed["G_ema"][1]["mapping_kwargs"] = {"num_layers": 2}
        lines = converted(tmp_path, changed)
        assert "w_avg_beta=0.998" in lines and "D.separable=True" in lines
        assert (tmp_path / "out" / "discriminator" / "config.json").exists()

    def test_options_without_an_equivalent(self, tmp_path, changed):
        state_dict = changed["D"][0]
        for key in [key for key in state_dict if ".mini_discs.3." in key]:
            del state_dict[key]
        with pytest.raises(ValueError, match="`backbone_kwargs` must have 4 for 'num_discs', got 3"):
            converted(tmp_path, changed)


def test_names_of_the_frozen_network():
    """Every layer up to the last map, under the names that timm gives them."""
    key_map = frozen_key_map()
    layers = {key.rpartition(".")[0] for key in EfficientNetLite0().state_dict()}
    assert {*key_map.values()} == layers - {"_conv_head", "_bn1", "_fc"} and len(key_map) == len({*key_map.values()})
    timm = {
        "layer0.0": "_conv_stem", "layer0.3.0.conv_dw": "_blocks.0._depthwise_conv", "layer0.3.0.bn2": "_blocks.0._bn2",
        "layer0.4.1.conv_pwl": "_blocks.2._project_conv", "layer1.0.0.bn1": "_blocks.3._bn0",
        "layer2.1.2.bn3": "_blocks.10._bn2", "layer3.0.3.conv_pw": "_blocks.14._expand_conv",
        "layer3.1.0.conv_dw": "_blocks.15._depthwise_conv",
    }  # fmt: skip
    assert {name: key_map[name] for name in timm} == timm
