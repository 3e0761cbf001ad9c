# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from golden_stylegan2 import golden_discriminator, golden_generator, stylegan2_state_dict
from golden_utils import load_golden_json

from gan_diffusion.conversion import (
    convert_stylegan2_discriminator,
    convert_stylegan2_generator,
    export_stylegan2_discriminator,
    export_stylegan2_generator,
)
from gan_diffusion.models import StyleGAN2Discriminator, StyleGAN2Generator
from gan_diffusion.training import transfer_weights


# What we call it, and what the reference does.
GENERATOR = {
    "sample_size": 8,
    "out_channels": 1,
    "latent_dim": 6,
    "w_dim": 10,
    "num_mapping_layers": 2,
    "channel_base": 64,
    "channel_max": 12,
}
REFERENCE_GENERATOR = {
    "img_resolution": 8,
    "img_channels": 1,
    "z_dim": 6,
    "w_dim": 10,
    "c_dim": 0,
    "mapping_kwargs": {"num_layers": 2},
    "synthesis_kwargs": {"channel_base": 64, "channel_max": 12, "conv_clamp": 256.0},
}
DISCRIMINATOR = {
    "sample_size": 8,
    "in_channels": 1,
    "num_mapping_layers": 2,
    "channel_base": 64,
    "channel_max": 12,
    "timestep_embedding": "official",
}
REFERENCE_DISCRIMINATOR = {
    "img_resolution": 8,
    "img_channels": 1,
    "c_dim": 0,
    "channel_base": 64,
    "channel_max": 12,
    "conv_clamp": 256.0,
    "mapping_kwargs": {"num_layers": 2},
}


def randomised(model):
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    return model.eval()


def merged(options, changes):
    """Options with changes; dictionaries among them are merged too."""
    return options | {
        key: options[key] | value if isinstance(options.get(key), dict) else value for key, value in changes.items()
    }


def assert_same_config(converted, model):
    for name, value in model.config.items():
        if not name.startswith("_"):
            actual = converted.config[name]
            assert (tuple(actual) if name == "fir_taps" else actual) == value, name


class TestGenerator:
    def test_keys_and_shapes_are_those_of_the_reference(self):
        shapes = load_golden_json("diffusion_gan/keys_generator_32_small")
        exported = export_stylegan2_generator(golden_generator().float())
        assert {key: list(value.shape) for key, value in exported.items()} == shapes
        for key, value in stylegan2_state_dict(shapes).items():
            assert torch.equal(exported[key], value), key

    @pytest.mark.parametrize(
        "ours, theirs",
        [
            ({}, {}),
            ({"num_class_embeds": 3}, {"c_dim": 3}),
            (
                {"architecture": "resnet", "activation_clamp": None},
                {"synthesis_kwargs": {"architecture": "resnet", "conv_clamp": None}},
            ),
            (
                {"architecture": "orig", "fir_taps": (1, 2, 1)},
                {"synthesis_kwargs": {"architecture": "orig", "resample_filter": [1, 2, 1]}},
            ),
            ({"fir_taps": (1, 2, 4, 1)}, {"synthesis_kwargs": {"resample_filter": [1, 2, 4, 1]}}),
            (
                {"mapping_lr_multiplier": 0.1, "w_avg_decay": 0.9},
                {"mapping_kwargs": {"lr_multiplier": 0.1, "w_avg_beta": 0.9}},
            ),
        ],
    )
    def test_round_trip(self, ours, theirs):
        model = randomised(StyleGAN2Generator(**(GENERATOR | ours)))
        model.mapping.w_avg.normal_()
        converted = convert_stylegan2_generator(
            export_stylegan2_generator(model), **merged(REFERENCE_GENERATOR, theirs)
        ).eval()
        assert_same_config(converted, model)
        labels = torch.tensor([0, 2]) if "num_class_embeds" in ours else None
        args = (torch.randn(2, 6), labels, 0.5, "const")
        assert torch.equal(converted(*args).sample, model(*args).sample)

    def test_defaults_of_the_reference(self):
        with pytest.raises(ValueError, match="`state_dict` must have the keys that the options call for"):
            convert_stylegan2_generator({}, z_dim=512, c_dim=0, w_dim=512, img_resolution=32, img_channels=3)
        state_dict = export_stylegan2_generator(StyleGAN2Generator(**(GENERATOR | {"channel_base": 32768})))
        options = merged(REFERENCE_GENERATOR, {}) | {"synthesis_kwargs": {"channel_max": 12}}
        assert convert_stylegan2_generator(state_dict, **options).config.activation_clamp is None

    def test_prefix_is_taken_off(self):
        model = randomised(StyleGAN2Generator(**GENERATOR))
        state_dict = {f"module.{key}": value for key, value in export_stylegan2_generator(model).items()}
        converted = convert_stylegan2_generator(state_dict, **REFERENCE_GENERATOR)
        assert torch.equal(converted.synthesis.blocks[0].const, model.synthesis.blocks[0].const)

    def test_options_of_half_precision_have_no_effect(self):
        model = StyleGAN2Generator(**GENERATOR)
        options = merged(
            REFERENCE_GENERATOR,
            {
                "synthesis_kwargs": {"num_fp16_res": 4, "fp16_channels_last": True, "use_noise": True},
                "mapping_kwargs": {"activation": "lrelu", "embed_features": None, "layer_features": 10},
            },
        )
        converted = convert_stylegan2_generator(export_stylegan2_generator(model), **options)
        assert_same_config(converted, model)

    @pytest.mark.parametrize(
        "changes, message",
        [
            ({"mapping_kwargs": {"layers": 2}}, "`mapping_kwargs` must have some of .*, got 'layers'"),
            ({"synthesis_kwargs": {"channels": 2}}, "`synthesis_kwargs` must have some of .*, got 'channels'"),
            ({"synthesis_kwargs": {"num_layers": 2}}, "`synthesis_kwargs` must have some of .*, got 'num_layers'"),
            (
                {"mapping_kwargs": {"layer_features": 9}},
                "`mapping_kwargs` must have one of .* for 'layer_features', got 9",
            ),
            (
                {"mapping_kwargs": {"activation": "relu"}},
                "`mapping_kwargs` must have one of .* for 'activation', got 'relu'",
            ),
            ({"synthesis_kwargs": {"use_noise": False}}, "`synthesis_kwargs` must have one of .* for 'use_noise'"),
        ],
    )
    def test_options_without_equivalent(self, changes, message):
        with pytest.raises(ValueError, match=message):
            convert_stylegan2_generator({}, **merged(REFERENCE_GENERATOR, changes))

    def test_misfit_is_one_error_that_lists_keys(self):
        state_dict = export_stylegan2_generator(StyleGAN2Generator(**GENERATOR))
        del state_dict["synthesis.b8.conv0.bias"], state_dict["synthesis.b4.resample_filter"]
        state_dict["mapping.fc2.weight"] = torch.zeros(1)
        state_dict["synthesis.b4.const"] = torch.zeros(12, 8, 8)
        with pytest.raises(ValueError) as error:
            convert_stylegan2_generator(state_dict, **REFERENCE_GENERATOR)
        message = str(error.value)
        assert "2 missing: synthesis.b4.resample_filter, synthesis.b8.conv0.bias" in message
        assert "1 unexpected: mapping.fc2.weight" in message
        assert "1 of another shape: synthesis.b4.const ((12, 8, 8), expected (12, 4, 4))" in message

    def test_another_filter_than_the_options_say(self):
        model = StyleGAN2Generator(**(GENERATOR | {"fir_taps": (1, 2, 2, 1)}))
        with pytest.raises(ValueError, match="of another value: synthesis.b4.resample_filter"):
            convert_stylegan2_generator(export_stylegan2_generator(model), **REFERENCE_GENERATOR)


class TestDiscriminator:
    def test_keys_and_shapes_are_those_of_the_reference(self):
        shapes = load_golden_json("diffusion_gan/keys_discriminator_32_small_orig")
        exported = export_stylegan2_discriminator(golden_discriminator("orig").float())
        assert {key: list(value.shape) for key, value in exported.items()} == shapes
        for key, value in stylegan2_state_dict(shapes).items():
            assert torch.equal(exported[key], value), key

    @pytest.mark.parametrize(
        "ours, theirs",
        [
            ({}, {}),
            ({"num_class_embeds": 3}, {"c_dim": 3}),
            ({"architecture": "orig", "activation_clamp": None}, {"architecture": "orig", "conv_clamp": None}),
            (
                {"architecture": "skip", "fir_taps": (1, 2, 4, 1)},
                {"architecture": "skip", "block_kwargs": {"resample_filter": [1, 2, 4, 1]}},
            ),
            (
                {"num_mapping_layers": 0, "mapping_lr_multiplier": 0.1},
                {"mapping_kwargs": {"num_layers": 0, "lr_multiplier": 0.1}},
            ),
            (
                {"stddev_group_size": 2, "num_stddev_channels": 3},
                {"epilogue_kwargs": {"mbstd_group_size": 2, "mbstd_num_channels": 3}},
            ),
            ({}, {"num_fp16_res": 4, "cmap_dim": 12, "block_kwargs": {"freeze_layers": 2}}),
        ],
    )
    def test_round_trip(self, ours, theirs):
        model = randomised(StyleGAN2Discriminator(**(DISCRIMINATOR | ours)))
        converted = convert_stylegan2_discriminator(
            export_stylegan2_discriminator(model), **merged(REFERENCE_DISCRIMINATOR, theirs)
        )
        assert_same_config(converted, model)
        labels = torch.tensor([0, 2, 1, 1]) if "num_class_embeds" in ours else None
        args = (torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 5, 1000]), labels)
        assert torch.equal(converted(*args).logits, model(*args).logits)

    def test_plain_discriminator_is_exported_without_condition(self):
        model = StyleGAN2Discriminator(**(DISCRIMINATOR | {"timestep_embedding": None}))
        exported = export_stylegan2_discriminator(model)
        assert exported["b4.out.weight"].shape == (1, 12)
        assert not any(key.startswith("mapping") for key in exported)

    @pytest.mark.parametrize("classes", [None, 3])
    @pytest.mark.parametrize("architecture", ["orig", "skip", "resnet"])
    def test_plain_discriminator_comes_back_and_is_a_start(self, classes, architecture):
        changes = {"timestep_embedding": None, "num_class_embeds": classes, "architecture": architecture}
        model = randomised(StyleGAN2Discriminator(**(DISCRIMINATOR | changes)))
        options = {"c_dim": classes or 0, "architecture": architecture, "timestep_embedding": None}
        state_dict = export_stylegan2_discriminator(model)
        converted = convert_stylegan2_discriminator(state_dict, **merged(REFERENCE_DISCRIMINATOR, options))
        labels = None if classes is None else torch.tensor([0, 2])
        images = torch.randn(2, 1, 8, 8)
        assert torch.equal(converted(images, None, labels).logits, model(images, None, labels).logits)
        told = StyleGAN2Discriminator(**(DISCRIMINATOR | changes | {"timestep_embedding": "sinusoidal"}))
        result = transfer_weights(converted, told)
        assert not [name for name in result.new if name.startswith("trunk")]
        assert torch.equal(told.trunk.blocks[0].conv1.weight, model.trunk.blocks[0].conv1.weight)

    def test_a_plain_state_dict_is_not_taken_for_one_that_is_told_the_timestep(self):
        state_dict = export_stylegan2_discriminator(
            StyleGAN2Discriminator(**(DISCRIMINATOR | {"timestep_embedding": None}))
        )
        with pytest.raises(ValueError, match="missing: mapping.embed.bias"):
            convert_stylegan2_discriminator(state_dict, **REFERENCE_DISCRIMINATOR)
        with pytest.raises(ValueError, match='`timestep_embedding` must be "official" or None'):
            convert_stylegan2_discriminator(state_dict, **REFERENCE_DISCRIMINATOR, timestep_embedding="sinusoidal")

    def test_sinusoidal_embedding_has_no_equivalent(self):
        model = StyleGAN2Discriminator(**(DISCRIMINATOR | {"timestep_embedding": "sinusoidal"}))
        with pytest.raises(ValueError, match='`timestep_embedding` must be "official" or None .* got "sinusoidal"'):
            export_stylegan2_discriminator(model)

    @pytest.mark.parametrize(
        "changes, message",
        [
            ({"cmap_dim": 5}, "`cmap_dim` must be None or the width of the 4x4 level, 12, got 5"),
            ({"block_kwargs": {"taps": 2}}, "`block_kwargs` must have some of .*, got 'taps'"),
            ({"epilogue_kwargs": {"group": 2}}, "`epilogue_kwargs` must have some of .*, got 'group'"),
            ({"mapping_kwargs": {"w_avg_beta": 0.9}}, "`mapping_kwargs` must have some of .*, got 'w_avg_beta'"),
            ({"epilogue_kwargs": {"activation": "relu"}}, "`epilogue_kwargs` must have one of .* for 'activation'"),
            ({"architecture": "plain"}, "`architecture` must be one of"),
        ],
    )
    def test_options_without_equivalent(self, changes, message):
        with pytest.raises(ValueError, match=message):
            convert_stylegan2_discriminator({}, **merged(REFERENCE_DISCRIMINATOR, changes))

    def test_wrong_number_of_classes(self):
        state_dict = export_stylegan2_discriminator(
            StyleGAN2Discriminator(**(DISCRIMINATOR | {"num_class_embeds": 3}))
        )
        with pytest.raises(ValueError, match=r"mapping.embed.weight \(\(12, 4\), expected \(12, 1\)\)"):
            convert_stylegan2_discriminator(state_dict, **REFERENCE_DISCRIMINATOR)

    def test_misfit_is_one_error_that_lists_keys(self):
        state_dict = export_stylegan2_discriminator(StyleGAN2Discriminator(**DISCRIMINATOR))
        state_dict["b4.fromrgb.weight"] = state_dict.pop("b8.skip.weight")
        with pytest.raises(ValueError, match="1 missing: b8.skip.weight; 1 unexpected: b4.fromrgb.weight"):
            convert_stylegan2_discriminator(state_dict, **REFERENCE_DISCRIMINATOR)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ({"sample_size": 12}, "`sample_size` must be one power of two for reference keys"),
        ({"sample_size": (8, 16)}, "`sample_size` must be one power of two for reference keys"),
        ({"sample_size": 16, "patch_size": 2}, "`patch_size` must be 1 for reference keys, got 2"),
    ],
)
def test_sizes_that_the_reference_does_not_know(size, message):
    options = {**size, "channel_base": 64, "channel_max": 8}
    with pytest.raises(ValueError, match=message):
        export_stylegan2_generator(StyleGAN2Generator(**options, latent_dim=4, w_dim=4))
    with pytest.raises(ValueError, match=message):
        export_stylegan2_discriminator(StyleGAN2Discriminator(**options, timestep_embedding="official"))
