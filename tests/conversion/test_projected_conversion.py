# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from golden_utils import load_golden_json

from gan_diffusion.conversion import (
    convert_fastgan_generator,
    convert_projected_discriminator,
    export_fastgan_generator,
    export_projected_discriminator,
    projected_discriminator_key_map,
)
from gan_diffusion.models import FastGANGenerator, ProjectedDiscriminator


GENERATOR = {"z_dim": 16, "ngf": 8, "img_resolution": 32}
# Small heads are no option of the reference, so these are its own but for few channels of the projections.
DISCRIMINATOR = {"backbone_kwargs": {"cout": 4}}


def reference(name: str) -> dict[str, torch.Tensor]:
    """A state dict with the keys of the reference."""
    shapes = load_golden_json(f"diffusion_gan/keys_fastgan_{name}")
    return {
        key: torch.tensor(7) if key.endswith("num_batches_tracked") else torch.rand(shape)
        for key, shape in shapes.items()
    }


def randomised(state_dict: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key: torch.rand(value.shape) for key, value in state_dict.items()}


@pytest.fixture(scope="module")
def discriminator_state() -> dict[str, torch.Tensor]:
    """A state dict of the reference's discriminator, with its frozen network."""
    state = randomised(export_projected_discriminator(ProjectedDiscriminator(projection_channels=4)))
    counters = {key.replace("running_mean", "num_batches_tracked"): torch.tensor(7) for key in state if "mean" in key}
    return state | counters | {"feature_network.pretrained.layer0.0.weight": torch.rand(32, 3, 3, 3)}


class TestGenerator:
    @pytest.mark.parametrize(
        ("name", "options"),
        [
            ("g32_big_uncond", {}),
            ("g32_lite_cond", {"c_dim": 10, "cond": 1, "synthesis_kwargs": {"lite": True}}),
        ],
    )
    @pytest.mark.parametrize("prefix", ["", "module."])
    def test_keys_of_the_reference(self, name, options, prefix):
        state_dict = reference(name)
        generator = convert_fastgan_generator(
            {prefix + key: value for key, value in state_dict.items()}, **GENERATOR, **options
        )
        exported = export_fastgan_generator(generator)
        assert all(torch.equal(state_dict[key], value) for key, value in exported.items())
        dropped = state_dict.keys() - exported.keys()
        assert {key.split(".")[1] for key in dropped if not key.endswith("num_batches_tracked")} == {
            "feat_64", "feat_128", "feat_256", "se_64", "se_128", "se_256"
        }  # fmt: skip

    @pytest.mark.parametrize("cond", [False, True])
    @pytest.mark.parametrize("lite", [False, True])
    def test_every_tensor_comes_back(self, lite, cond):
        generator = FastGANGenerator(
            64, latent_dim=6, base_channels=2, lite=lite, num_class_embeds=3 if cond else None
        )
        state_dict = randomised(export_fastgan_generator(generator))
        options = {"z_dim": 6, "ngf": 2, "img_resolution": 64, "c_dim": 3, "cond": cond}
        converted = convert_fastgan_generator(state_dict, **options, synthesis_kwargs={"lite": lite})
        assert converted.config.num_class_embeds == (3 if cond else None)
        exported = export_fastgan_generator(converted)
        assert exported.keys() == state_dict.keys()
        assert all(torch.equal(state_dict[key], value) for key, value in exported.items())

    def test_embeddings_without_a_class_are_left_out(self):
        generator = FastGANGenerator(32, latent_dim=6, base_channels=2, num_class_embeds=1000)
        state_dict = randomised(export_fastgan_generator(generator))
        options = {"z_dim": 6, "ngf": 2, "img_resolution": 32, "cond": True}
        converted = convert_fastgan_generator(state_dict, **options, c_dim=10)
        assert torch.equal(converted.class_embed.weight, state_dict["synthesis.embed.weight"][:10])

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"synthesis_kwargs": {"lite": True}}, "`state_dict` must have the keys .* missing"),
            ({"cond": True}, "`c_dim` must be the number of classes"),
            ({"synthesis_kwargs": {"ngf": 3}}, r"`synthesis_kwargs` must have some of \['lite'\], got \['ngf'\]"),
            ({"ngf": 16}, "of another shape"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, options, message):
        with pytest.raises(ValueError, match=message):
            convert_fastgan_generator(reference("g32_big_uncond"), **(GENERATOR | options))

    def test_unknown_keys_are_refused(self):
        with pytest.raises(ValueError, match="1 unexpected: synthesis.feat_512.1.weight_orig"):
            convert_fastgan_generator(
                reference("g32_big_uncond") | {"synthesis.feat_512.1.weight_orig": torch.zeros(1)}, **GENERATOR
            )


class TestDiscriminator:
    def test_all_but_the_frozen_network_is_taken(self, discriminator_state):
        discriminator = convert_projected_discriminator(discriminator_state, **DISCRIMINATOR)
        assert discriminator.config.input_size == 224 and discriminator.config.feature_network == "efficientnet-lite0"
        exported = export_projected_discriminator(discriminator)
        assert all(torch.equal(discriminator_state[key], value) for key, value in exported.items())
        dropped = discriminator_state.keys() - exported.keys()
        assert all("pretrained" in key or key.endswith("num_batches_tracked") for key in dropped)

    def test_names_of_the_heads(self, discriminator_state):
        """Four heads of four to one blocks, over projections of four maps."""
        last = [f"discriminator.mini_discs.{level}.main.{4 - level}.weight_orig" for level in range(4)]
        assert {*last, "feature_network.scratch.layer3_csm.out_conv.bias"} <= discriminator_state.keys()
        assert discriminator_state[last[0]].shape == (1, 512, 4, 4)

    @pytest.mark.parametrize("options", [{"separable": True}, {"patch": True}, {"separable": True, "patch": True}])
    def test_other_heads(self, options):
        discriminator = ProjectedDiscriminator(projection_channels=4, **options)
        state_dict = randomised(export_projected_discriminator(discriminator))
        converted = convert_projected_discriminator(state_dict, backbone_kwargs={"cout": 4, **options})
        exported = export_projected_discriminator(converted)
        assert all(torch.equal(state_dict[key], value) for key, value in exported.items())

    def test_classes(self):
        discriminator = ProjectedDiscriminator(projection_channels=4, num_class_embeds=1000)
        state_dict = randomised(export_projected_discriminator(discriminator))
        converted = convert_projected_discriminator(state_dict, c_dim=10, backbone_kwargs={"cout": 4, "cond": 1})
        for level, head in enumerate(converted.heads):
            embeddings = state_dict[f"discriminator.mini_discs.{level}.embed.weight"]
            assert torch.equal(head.class_embed.weight, embeddings[:10])

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"backbone_kwargs": {"cout": 4, "expand": False}}, "`backbone_kwargs` must have True for 'expand'"),
            ({"backbone_kwargs": {"cout": 4, "depth": 3}}, r"`backbone_kwargs` must have options .*\['depth'\]"),
            ({"backbone_kwargs": {"cout": 4, "cond": 1}}, "`c_dim` must be the number of classes"),
            ({"backbone_kwargs": {"cout": 4, "separable": True}}, "`state_dict` must have the keys"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, discriminator_state, options, message):
        with pytest.raises(ValueError, match=message):
            convert_projected_discriminator(discriminator_state, **options)

    def test_a_discriminator_that_is_told_the_timestep_has_no_keys(self):
        with pytest.raises(ValueError, match="`timestep_embedding` must be None for reference keys"):
            projected_discriminator_key_map(ProjectedDiscriminator(timestep_embedding="sinusoidal"))
