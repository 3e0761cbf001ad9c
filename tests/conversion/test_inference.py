# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""Options that the shapes of weights decide are found from them, for every combination of options."""

import pytest
import torch
from golden_utils import load_golden_json
from test_reference_keys import CIFAR10, COMBINATIONS, LARGE, SMALL, ReferenceShapes

from gan_diffusion.conversion import (
    export_ddgan_discriminator,
    export_fastgan_generator,
    export_projected_discriminator,
    export_stylegan2_discriminator,
    export_stylegan2_generator,
)
from gan_diffusion.conversion.inference import (
    infer_ddgan_discriminator,
    infer_ddgan_generator,
    infer_fastgan_generator,
    infer_projected_discriminator,
    infer_stylegan2_discriminator,
    infer_stylegan2_generator,
    same_widths,
)
from gan_diffusion.models import (
    DDGANDiscriminator,
    FastGANGenerator,
    ProjectedDiscriminator,
    StyleGAN2Discriminator,
    StyleGAN2Generator,
)


SHAPES = {"channel_base": 64, "channel_max": 12, "sample_size": 16}
ALWAYS = {
    "num_channels", "num_channels_dae", "ch_mult", "num_res_blocks", "nz", "z_emb_dim", "n_mlp", "conditional",
    "resblock_type", "attn_levels",
}  # fmt: skip


def on_meta(shapes):
    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


@pytest.mark.parametrize(
    "base, combinations",
    [
        (SMALL, COMBINATIONS),
        (CIFAR10, COMBINATIONS[::9]),
        (LARGE, COMBINATIONS[4::9]),
        (SMALL | {"ch_mult": (2, 1, 3), "attn_resolutions": (16, 4), "num_res_blocks": 3}, COMBINATIONS[::3]),
        (SMALL | {"ch_mult": (1, 1), "attn_resolutions": (), "num_channels": 1, "n_mlp": 0}, COMBINATIONS[1::3]),
        (SMALL | {"ch_mult": (1,), "attn_resolutions": (16,)}, COMBINATIONS[2::3]),
    ],
)
def test_every_combination_of_options_of_ddgan(base, combinations):
    for changes in combinations:
        options = base | changes
        found = infer_ddgan_generator(on_meta(ReferenceShapes(**options).shapes))
        heights = [options["image_size"] >> level for level in found["attn_levels"]]
        assert sorted(heights) == sorted(options["attn_resolutions"]), changes
        assert {name: options[name] for name in found if name != "attn_levels"} == {
            name: value for name, value in found.items() if name != "attn_levels"
        }, changes
        decided = ALWAYS | ({"progressive", "progressive_input"} if len(options["ch_mult"]) > 1 else set())
        decided |= {"embedding_type"} if options["conditional"] else set()
        assert decided <= set(found), changes


@pytest.mark.parametrize("variant, size", [("small", 8), ("large", 64)])
def test_discriminators_of_ddgan(variant, size):
    layout = {} if variant == "small" else {"channel_multipliers": (2, 4, 8, 8, 8, 8, 8), "downsample": (True,) * 6}
    model = DDGANDiscriminator(in_channels=1, base_channels=2, time_embed_dim=8, **layout)
    found = infer_ddgan_discriminator(export_ddgan_discriminator(model))
    assert found == {"variant": variant, "nc": 2, "ngf": 2, "t_emb_dim": 8}


@pytest.mark.parametrize("name", ["discriminator_small", "discriminator_large"])
def test_published_discriminators_of_ddgan(name):
    shapes = load_golden_json("ddgan/state_dict_shapes")
    (key,) = [key for key in shapes if name.removeprefix("discriminator_") in key]
    found = infer_ddgan_discriminator(on_meta(shapes[key]))
    assert found == {"variant": name.removeprefix("discriminator_"), "nc": 6, "ngf": 64, "t_emb_dim": 256}


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
@pytest.mark.parametrize("classes", [None, 3])
def test_generators_of_stylegan2(architecture, classes):
    model = StyleGAN2Generator(
        **SHAPES, out_channels=1, latent_dim=6, w_dim=10, num_mapping_layers=2, architecture=architecture,
        num_class_embeds=classes,
    )  # fmt: skip
    assert infer_stylegan2_generator(export_stylegan2_generator(model)) == {
        "channel_base": 64, "channel_max": 12, "z_dim": 6, "c_dim": classes or 0, "w_dim": 10, "img_resolution": 16,
        "img_channels": 1, "num_layers": 2, "architecture": architecture,
    }  # fmt: skip


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
@pytest.mark.parametrize("classes", [None, 3])
@pytest.mark.parametrize("embedding, layers", [("official", 8), ("official", 0), (None, 2)])
def test_discriminators_of_stylegan2(architecture, classes, embedding, layers):
    model = StyleGAN2Discriminator(
        **SHAPES, in_channels=1, architecture=architecture, num_class_embeds=classes, timestep_embedding=embedding,
        num_mapping_layers=layers, num_stddev_channels=3,
    )  # fmt: skip
    found = infer_stylegan2_discriminator(export_stylegan2_discriminator(model), classes or 0)
    mapped = embedding is not None or classes is not None
    assert found == {
        "channel_base": 64, "channel_max": 12, "c_dim": classes or 0, "t_dim": int(embedding is not None),
        "img_resolution": 16, "img_channels": 1, "num_layers": layers if mapped else 0, "architecture": architecture,
        "mbstd_num_channels": 3,
    }  # fmt: skip


@pytest.mark.parametrize("size", [32, 64, 128, 256, 512, 1024])
@pytest.mark.parametrize("lite", [False, True])
@pytest.mark.parametrize("classes", [None, 3])
def test_generators_of_fastgan(size, lite, classes):
    options = {"out_channels": 1, "latent_dim": 6, "base_channels": 8, "lite": lite, "num_class_embeds": classes}
    with torch.device("meta"):
        built = export_fastgan_generator(FastGANGenerator(max(size, 256), **options))
        built |= export_fastgan_generator(FastGANGenerator(size, **options))
    assert infer_fastgan_generator(built) == {
        "z_dim": 6, "img_channels": 1, "ngf": 8, "cond": classes is not None, "lite": lite,
        "img_resolutions": (32, 64) if size < 128 else (size,),
    }  # fmt: skip


@pytest.mark.parametrize("name, lite, cond", [("g32_big_uncond", False, False), ("g32_lite_cond", True, True)])
def test_keys_of_the_reference_of_fastgan(name, lite, cond):
    found = infer_fastgan_generator(on_meta(load_golden_json(f"diffusion_gan/keys_fastgan_{name}")))
    assert found == {
        "z_dim": 16, "img_channels": 3, "ngf": 8, "cond": cond, "lite": lite, "img_resolutions": (32, 64)
    }  # fmt: skip


@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize("patch", [False, True])
@pytest.mark.parametrize("classes", [None, 3])
def test_projected_discriminators(separable, patch, classes):
    with torch.device("meta"):
        model = ProjectedDiscriminator(
            projection_channels=4, separable=separable, patch=patch, num_class_embeds=classes
        )
        state_dict = export_projected_discriminator(model)
    assert infer_projected_discriminator(state_dict) == {
        "cout": 4, "expand": True, "proj_type": 2, "num_discs": 4, "cond": classes is not None, "separable": separable,
        "patch": patch,
    }  # fmt: skip


def test_numbers_that_give_the_same_widths():
    inferred = {"channel_base": 512 * 32, "channel_max": 512, "img_resolution": 32}
    assert same_widths({"channel_base": 32768, "channel_max": 512}, inferred)
    assert not same_widths({"channel_base": 8192, "channel_max": 512}, inferred)
    assert not same_widths({"channel_base": 32768, "channel_max": 256}, inferred)
    assert not same_widths({"channel_base": "32768", "channel_max": 512}, inferred)


@pytest.mark.parametrize(
    "infer",
    [
        infer_ddgan_generator,
        infer_ddgan_discriminator,
        infer_stylegan2_generator,
        infer_fastgan_generator,
        infer_projected_discriminator,
        lambda state_dict: infer_stylegan2_discriminator(state_dict, 0),
    ],
)
def test_other_networks_are_named_by_their_keys(infer):
    for keys in (
        {},
        {"conv.weight": (3, 3)},
        {"all_modules.9999.Conv_1.weight": (1, 1, 3, 3)},
        {"b8.conv0.weight": (4,)},
        {"synthesis.init.init.0.weight_orig": (0, 2**40, 1, 1), "synthesis.to_big.weight_orig": (3, 2**36, 3, 3)},
        {f"feature_network.scratch.layer{level}_ccm.weight": (2**40, 0) for level in (0, 1)},
    ):
        with pytest.raises(
            ValueError, match="`state_dict` must be of .* keys begin with " + (next(iter(keys), "none"))
        ):
            infer(on_meta(keys))


def test_a_discriminator_for_another_number_of_classes():
    model = StyleGAN2Discriminator(**SHAPES, num_class_embeds=5, timestep_embedding="official")
    with pytest.raises(ValueError, match="for 3 classes"):
        infer_stylegan2_discriminator(export_stylegan2_discriminator(model), 3)
