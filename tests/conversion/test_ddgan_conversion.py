# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from gan_diffusion.conversion import (
    convert_ddgan_discriminator,
    convert_ddgan_generator,
    export_ddgan_discriminator,
    export_ddgan_generator,
)
from gan_diffusion.models import DDGANDiscriminator, NCSNppGenerator


OURS = {
    "sample_size": 8,
    "base_channels": 16,
    "channel_multipliers": (1, 2),
    "layers_per_block": 1,
    "attention_resolutions": (4,),
    "latent_dim": 6,
    "latent_embed_dim": 12,
    "num_latent_layers": 1,
}
THEIRS = {
    "image_size": 8,
    "num_channels_dae": 16,
    "ch_mult": [1, 2],
    "num_res_blocks": 1,
    "attn_resolutions": [4],
    "nz": 6,
    "z_emb_dim": 12,
    "n_mlp": 1,
}
ARGS = (torch.randn(2, 3, 8, 8), torch.tensor([1, 2]), torch.randn(2, 6))


def generator(**options):
    model = NCSNppGenerator(**(OURS | options))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model


class TestGenerator:
    @pytest.mark.parametrize(
        "ours, theirs",
        [
            ({}, {}),
            ({"block_type": "ddpm"}, {"resblock_type": "DDPM", "resamp_with_conv": False}),
            ({"fir_taps": None}, {"fir": False}),
            ({"fir_taps": (1, 2, 1)}, {"fir_kernel": [1, 2, 1]}),
            (
                {"block_type": "biggan_oneadagn", "use_tanh": False},
                {"resblock_type": "biggan_oneadagn", "not_use_tanh": True},
            ),
            ({"progressive_output": "output_skip"}, {"progressive": "output_skip"}),
            (
                {"progressive_input": "input_skip", "progressive_combine": "cat", "centered": False},
                {"progressive_input": "input_skip", "progressive_combine": "cat", "centered": False},
            ),
            (
                {"time_embedding_type": "fourier", "skip_rescale": False},
                {"embedding_type": "fourier", "fourier_scale": 8.0, "skip_rescale": False},
            ),
            ({"time_conditioning": False, "dropout": 0.1}, {"conditional": False, "dropout": 0.1}),
        ],
    )
    def test_round_trip(self, ours, theirs):
        model = generator(**ours).eval()
        converted = convert_ddgan_generator(export_ddgan_generator(model), **THEIRS, **theirs).eval()
        expected_config = {key: model.config[key] for key in (*OURS, *ours)}
        config = {key: converted.config[key] for key in expected_config}
        assert {k: list(v) if isinstance(v, tuple) else v for k, v in config.items()} == {
            k: list(v) if isinstance(v, tuple) else v for k, v in expected_config.items()
        }
        assert torch.equal(converted(*ARGS).sample, model(*ARGS).sample)

    def test_prefix_is_taken_off(self):
        model = generator()
        state_dict = {f"module.{key}": value for key, value in export_ddgan_generator(model).items()}
        assert torch.equal(convert_ddgan_generator(state_dict, **THEIRS)(*ARGS).sample, model(*ARGS).sample)

    def test_options_of_the_process_are_accepted(self):
        state_dict = export_ddgan_generator(generator())
        convert_ddgan_generator(
            state_dict, **THEIRS, num_timesteps=4, beta_min=0.1, beta_max=20.0, use_geometric=False, t_emb_dim=256
        )

    @pytest.mark.parametrize(
        "options, message",
        [
            ({"progressive": "residual"}, '`progressive` must be "none" or "output_skip", got "residual"'),
            ({"resblock_type": "ddpm"}, "fir=True and resamp_with_conv=True: the reference network runs with"),
            (
                {"resblock_type": "ddpm", "fir": False, "resamp_with_conv": False},
                "fir=False and resamp_with_conv=False",
            ),
        ],
    )
    def test_options_that_the_reference_cannot_run_with(self, options, message):
        with pytest.raises(ValueError, match=message):
            convert_ddgan_generator({}, **THEIRS, **options)

    def test_weights_are_copied(self):
        state_dict = export_ddgan_generator(generator())
        converted = convert_ddgan_generator(state_dict, **THEIRS)
        expected = converted(*ARGS).sample
        for value in state_dict.values():
            value.zero_()
        assert torch.equal(converted(*ARGS).sample, expected)

    def test_unknown_option(self):
        with pytest.raises(ValueError, match="`options` must be some of .*, got 'num_chanels'"):
            convert_ddgan_generator({}, **THEIRS, num_chanels=3)

    def test_missing_multipliers(self):
        with pytest.raises(ValueError, match="`ch_mult` must be the widths per level, .* it has no default"):
            convert_ddgan_generator({}, image_size=32)

    def test_misfit_is_one_error_that_lists_keys(self):
        state_dict = export_ddgan_generator(generator())
        del state_dict["all_modules.2.bias"]
        state_dict["all_modules.99.weight"] = torch.zeros(1)
        state_dict["z_transform.1.weight"] = torch.zeros(12, 7)
        with pytest.raises(ValueError) as error:
            convert_ddgan_generator(state_dict, **THEIRS)
        message = str(error.value)
        assert "1 missing: all_modules.2.bias" in message
        assert "1 unexpected: all_modules.99.weight" in message
        assert "1 of another shape: z_transform.1.weight ((12, 7), expected (12, 6))" in message

    def test_long_lists_are_cut(self):
        with pytest.raises(ValueError, match=r"\d\d missing: .*, \.\.\."):
            convert_ddgan_generator({}, **THEIRS)


class TestDiscriminator:
    @pytest.mark.parametrize("variant, size", [("small", 8), ("large", 64)])
    def test_round_trip(self, variant, size):
        options = {"variant": variant, "nc": 2, "ngf": 2, "t_emb_dim": 8}
        layout = (
            {} if variant == "small" else {"channel_multipliers": (2, 4, 8, 8, 8, 8, 8), "downsample": (True,) * 6}
        )
        model = DDGANDiscriminator(in_channels=1, base_channels=2, time_embed_dim=8, **layout)
        state_dict = {f"module.{key}": value for key, value in export_ddgan_discriminator(model).items()}
        converted = convert_ddgan_discriminator(state_dict, **options)
        x, x_t = torch.randn(2, 3, 1, size, size)
        assert torch.equal(converted(x, 1, x_t).logits, model(x, 1, x_t).logits)

    def test_errors(self):
        with pytest.raises(ValueError, match="`variant` must be one of .*, got 'medium'"):
            convert_ddgan_discriminator({}, variant="medium")
        with pytest.raises(ValueError, match="`nc` must be the even number of channels"):
            convert_ddgan_discriminator({}, nc=3)
        with pytest.raises(ValueError, match="38 missing"):
            convert_ddgan_discriminator({}, ngf=2)
