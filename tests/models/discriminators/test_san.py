# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""Discriminators whose last layer has length 1 and outputs of its own (SAN)."""

import pytest
import torch
from accelerate.utils import convert_outputs_to_fp32
from tiny_features import TINY

from gan_diffusion import (
    DDGANDiscriminator,
    MLPDiscriminator,
    ProjectedDiscriminator,
    SPIGANDiscriminator,
    StyleGAN2Discriminator,
)
from gan_diffusion.conversion import export_stylegan2_discriminator
from gan_diffusion.models.layers.sliced import SlicedConv2d, SlicedLinear, project_on, unit_length


def normal(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


PYRAMID = {"sample_size": 8, "in_channels": 1, "channel_max": 8}
IMAGES = {"sample": normal(4, 1, 8, 8), "timestep": torch.arange(4)}
LABELS = {"class_labels": torch.arange(4) % 3}
CLASSES = {"num_class_embeds": 3}
PROJECTED = TINY | {"in_channels": 1}
MAPS = {"sample": normal(4, 1, 16, 16), "timestep": torch.arange(4)}
POSITIONS = {"sample": normal(4, 1, 8, 8), "u": torch.rand(4)}
DDGAN = {"in_channels": 1, "base_channels": 8, "channel_multipliers": (1, 2), "downsample": (True,)}
# Name -> class, options, inputs, names of the parameters that are, or make, the last layer.
NETWORKS = {
    "projected": (ProjectedDiscriminator, PROJECTED, MAPS, "conv_out.weight"),
    "projected_labels": (ProjectedDiscriminator, PROJECTED | CLASSES, MAPS | LABELS, ("condition.", "class_embed.")),
    "projected_times": (ProjectedDiscriminator, PROJECTED | {"timestep_embedding": "sinusoidal"}, MAPS, "condition."),
    "stylegan2": (StyleGAN2Discriminator, PYRAMID | {"timestep_embedding": None}, IMAGES, "epilogue.linear_out."),
    "stylegan2_times": (StyleGAN2Discriminator, PYRAMID | CLASSES, IMAGES | LABELS, "mapping."),
    "spi_gan": (SPIGANDiscriminator, PYRAMID, POSITIONS, "epilogue.linear_out."),
    "spi_gan_projection": (SPIGANDiscriminator, PYRAMID | {"projection": True}, POSITIONS, "project."),
    "ddgan": (DDGANDiscriminator, DDGAN, IMAGES | {"noisier_sample": normal(4, 1, 8, 8)}, "linear_out."),
    "mlp": (
        MLPDiscriminator,
        {"hidden_dim": 8, "pairs": False},
        {"sample": normal(4, 2), "timestep": torch.arange(4)},
        "mlp.linear_out.",
    ),
}


def make_network(name, **options):
    torch.manual_seed(0)
    network_class, defaults, _, _ = NETWORKS[name]
    network = network_class(**defaults, **{"last_layer": "san"} | options)
    for parameter in network.parameters():  # DDGAN's starts with features of 0
        if parameter.requires_grad and parameter.abs().max() < 1e-3:
            torch.nn.init.normal_(parameter, std=0.1)
    return network


def is_last(name, parameter):
    _, _, _, last = NETWORKS[name]
    # A head has a number in its name.
    short = parameter.partition(".")[2].partition(".")[2] if parameter.startswith("heads.") else parameter
    return short.startswith(last)


@pytest.mark.parametrize("name", NETWORKS)
class TestDiscriminators:
    def test_logits_teach_the_features_and_direction_logits_the_last_layer(self, name):
        network, inputs = make_network(name), dict(NETWORKS[name][2])
        inputs["sample"] = inputs["sample"].clone().requires_grad_()
        output = network(**inputs)
        assert torch.equal(output.logits, output.direction_logits)
        named = {key: value for key, value in network.named_parameters() if value.requires_grad}
        wanted = [*named.values(), inputs["sample"]]
        for logits, of_last in ((output.logits, False), (output.direction_logits, True)):
            value = (logits * normal(*logits.shape)).sum()
            gradients = torch.autograd.grad(value, wanted, retain_graph=True, allow_unused=True)
            *gradients, of_sample = gradients
            assert (of_sample is None) is of_last
            for key, gradient in zip(named, gradients, strict=True):
                assert (gradient is not None) is (is_last(name, key) is of_last), key

    def test_mixed_precision_as_accelerate_wraps_it(self, name):
        network, inputs = make_network(name), NETWORKS[name][2]
        expected = network.eval()(**inputs).logits
        forward = convert_outputs_to_fp32(torch.autocast("cpu", dtype=torch.bfloat16)(network.forward))
        output = forward(**inputs)
        assert output.logits.dtype == output.direction_logits.dtype == torch.float32
        torch.testing.assert_close(output.logits, expected, rtol=0.1, atol=0.1 * expected.abs().max().item())
        (output.logits.square().mean() + output.direction_logits.mean()).backward()
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        assert all(each.grad is not None and each.grad.isfinite().all() for each in trained)

    def test_round_trip(self, name, tmp_path):
        network, inputs = make_network(name).eval(), NETWORKS[name][2]
        network.save_pretrained(tmp_path)
        loaded = type(network).from_pretrained(tmp_path)
        assert loaded.config.last_layer == "san"
        outputs = [each(**inputs, return_dict=False) for each in (network, loaded)]
        assert len(outputs[0]) == 2
        torch.testing.assert_close(*outputs)

    def test_another_layer_is_refused(self, name):
        with pytest.raises(ValueError, match=r"`last_layer` must be one of \('linear', 'san'\), got 'sliced'"):
            make_network(name, last_layer="sliced")


def test_a_timestep_without_a_direction_is_refused():
    """The vector of t = 0 is 0 at the start; with classes it is that of the label."""
    official = {"timestep_embedding": "official", "last_layer": "san"}
    with pytest.raises(ValueError, match="`timestep_embedding` must be 'sinusoidal' or None for `last_layer` 'san'"):
        StyleGAN2Discriminator(**PYRAMID, **official)
    network = StyleGAN2Discriminator(**PYRAMID, **official, **CLASSES)
    network(IMAGES["sample"], 0, **LABELS).direction_logits.sum().backward()
    assert all(each.grad.abs().max() < 100 for each in network.mapping.parameters())


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-6), (torch.bfloat16, 1e-2)])
class TestLayers:
    def test_vectors_get_the_length_one(self, dtype, tolerance):
        vectors = (100 * normal(5, 3, 4, 4)).to(dtype)
        unit = unit_length(vectors)
        assert unit.dtype == dtype
        torch.testing.assert_close(unit.float().flatten(1).norm(dim=1), torch.ones(5), rtol=0, atol=tolerance)
        cosines = (unit.float() * vectors.float()).flatten(1).sum(1) / vectors.float().flatten(1).norm(dim=1)
        torch.testing.assert_close(cosines, torch.ones(5), rtol=0, atol=tolerance)

    def test_layers_are_products_with_a_direction(self, dtype, tolerance):
        maps, features = normal(2, 3, 5, 6).to(dtype), normal(2, 8).to(dtype)
        conv, linear = SlicedConv2d(3, 1, 4).to(dtype), SlicedLinear(8).to(dtype)
        directions = [layer.weight.float() / layer.weight.float().norm() for layer in (conv, linear)]
        expected = torch.nn.functional.conv2d(maps.float(), directions[0]), features.float() @ directions[1].T
        for outputs, value in zip((conv(maps), linear(features)), expected, strict=True):
            for output in outputs:
                torch.testing.assert_close(output.float(), value, rtol=tolerance, atol=3 * tolerance)

    def test_a_condition_gives_each_sample_a_direction(self, dtype, tolerance):
        maps, vectors = normal(2, 8, 5, 6).to(dtype), 9 * normal(2, 8).to(dtype)
        cosine = torch.cosine_similarity(maps.float(), vectors.float()[:, :, None, None], dim=1)
        expected = (cosine * maps.float().norm(dim=1))[:, None]
        for output in project_on(maps, vectors):
            torch.testing.assert_close(output.float(), expected, rtol=tolerance, atol=3 * tolerance)


def test_it_is_no_model_of_the_reference():
    """Whose keys it may have, but not the last layer."""
    with pytest.raises(ValueError, match="`last_layer` must be 'linear' for reference keys"):
        export_stylegan2_discriminator(make_network("stylegan2_times", timestep_embedding="official"))


def test_a_head_is_the_published_one_where_nothing_is_told():
    """The spectral norm of a convolution with one output is its length."""
    sliced, linear = make_network("projected"), make_network("projected", last_layer="linear")
    missing = linear.load_state_dict(sliced.state_dict(), strict=False).missing_keys
    assert {key.rpartition(".")[2] for key in missing} == {"weight_u", "weight_v"}
    inputs = NETWORKS["projected"][2]
    torch.testing.assert_close(sliced(**inputs).logits, linear(**inputs).logits)
