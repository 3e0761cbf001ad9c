# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""Frozen networks of feature maps: the built-in one, and vision transformers with random weights of their own."""

import json

import pytest
import torch
import torch.nn.functional as F
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPModel,
    DeiTConfig,
    DeiTModel,
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    SiglipConfig,
    SiglipModel,
)

from gan_diffusion.models import ProjectedDiscriminator
from gan_diffusion.models.features import EfficientNetLite0, digest_of, load_feature_network


VISION = {
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "image_size": 16,
    "patch_size": 4,
}
TEXT = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8, "vocab_size": 20}
MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]
# Name -> model, and how its vision part is found.
TRANSFORMERS = {
    "dinov2": lambda: Dinov2Model(Dinov2Config(**VISION)),
    "dinov2 with registers": lambda: Dinov2WithRegistersModel(Dinov2WithRegistersConfig(**VISION)),
    "clip": lambda: CLIPModel(CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=8)),
    "siglip": lambda: SiglipModel(SiglipConfig(text_config=TEXT, vision_config=VISION)),
    "deit": lambda: DeiTModel(DeiTConfig(**VISION)),
}


@pytest.fixture(params=TRANSFORMERS)
def folder(request, tmp_path):
    torch.manual_seed(0)
    TRANSFORMERS[request.param]().save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_mean": MEAN, "image_std": STD}))
    return tmp_path


def pictures(size=16):
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


class TestTransformers:
    def test_patches_become_a_pyramid(self, folder):
        network = load_feature_network(f"transformers:{folder}", layers=(1, 2, 3, 4))
        images = pictures().requires_grad_()
        maps = network.maps(images)
        assert [tuple(each.shape) for each in maps] == [(2, 16, side, side) for side in (16, 8, 4, 2)]
        sum(each.sum() for each in maps).backward()
        assert (images.grad != 0).all(dim=1).any()
        assert not network.training and not any(each.requires_grad for each in network.parameters())

    def test_values_are_those_of_the_patch_tokens(self, folder):
        network = load_feature_network(f"transformers:{folder}", layers=(1, 3, 4))
        images = pictures()
        middle = network.maps(images)[1]
        # The tokens of a patch follow its image, so changing one patch changes its own place most.
        changed = images.clone()
        changed[:, :, 4:8, 8:12] *= -1
        difference = (network.maps(changed)[1] - middle).norm(dim=1)[0]
        assert middle.shape == (2, 16, 4, 4) and difference.argmax() == 1 * 4 + 2
        scale, shift = (torch.tensor(values).view(3, 1, 1) for values in (STD, MEAN))
        hidden = network.network((((images + 1) / 2) - shift) / scale, output_hidden_states=True).hidden_states[3]
        torch.testing.assert_close(middle.flatten(2).transpose(1, 2), hidden[:, -16:])

    def test_images_of_other_sizes(self, folder):
        network = load_feature_network(f"transformers:{folder}", layers=(2, 4))
        assert [tuple(each.shape[2:]) for each in network.maps(pictures(24))] == [(6, 6), (3, 3)]
        for size in (18, 4):
            with pytest.raises(ValueError, match="`input_size` must be a multiple of the patches of 4 pixels"):
                network.maps(pictures(size))

    def test_a_discriminator_on_one(self, folder):
        discriminator = ProjectedDiscriminator(
            feature_network=f"transformers:{folder}",
            feature_layers=(1, 2, 4),
            feature_channels=(16, 16, 16),
            input_size=16,
            projection_channels=4,
            num_downsamples=1,
            head_channels=16,
        )
        assert discriminator(pictures(8)).logits.shape == (2, 25 + 25 + 1)

    @pytest.mark.parametrize("layers", [(0, 1), (2, 5), (3, 1), (2, 2)])
    def test_unknown_layers_are_refused(self, folder, layers):
        with pytest.raises(ValueError, match=r"`feature_layers` must be ascending numbers in 1..4"):
            load_feature_network(f"transformers:{folder}", layers=layers)

    def test_the_same_weights_have_the_same_digest(self, folder):
        networks = [load_feature_network(f"transformers:{folder}", layers=(1, 2)) for _ in range(2)]
        first, second = (digest_of(network) for network in networks)
        assert first == second
        networks[1].network.get_parameter(next(name for name, _ in networks[1].network.named_parameters())).add_(1)
        assert digest_of(networks[1]) != first

    def test_without_mean_and_deviation_of_its_images_it_is_refused(self, folder):
        (folder / "preprocessor_config.json").write_text("{}")
        with pytest.raises(ValueError, match="`feature_network` must name a vision transformer .*image_mean"):
            load_feature_network(f"transformers:{folder}", layers=(1,))


def test_models_of_other_kinds_are_refused(tmp_path):
    BertModel(BertConfig(**TEXT)).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_mean": MEAN, "image_std": STD}))
    with pytest.raises(ValueError, match="`feature_network` must name a vision transformer with patches, .*'bert'"):
        load_feature_network(f"transformers:{tmp_path}", layers=(1,))
    with pytest.raises(ValueError, match="`feature_network` must name a vision transformer that can be loaded"):
        load_feature_network(f"transformers:{tmp_path / 'nothing'}", layers=(1,))


class TestEfficientNet:
    @pytest.fixture(scope="class")
    def network(self):
        return load_feature_network("efficientnet-lite0")

    def test_its_maps_are_those_that_projected_gan_takes(self, network):
        images = pictures(64).requires_grad_()
        maps = network.maps(images)
        assert [tuple(each.shape[1:]) for each in maps] == [(24, 16, 16), (40, 8, 8), (112, 4, 4), (320, 2, 2)]
        maps[-1].sum().backward()
        assert images.grad.abs().max() > 0
        # The stem sees the images as they are: TensorFlow's padding of even sides is one-sided.
        stem = F.conv2d(F.pad(images, (0, 1, 0, 1)), network._conv_stem.weight, stride=2)
        torch.testing.assert_close(network._conv_stem(images), stem)

    def test_it_cannot_be_made_to_train(self, network):
        assert isinstance(network, EfficientNetLite0) and not network.train().training

    def test_a_discriminator_of_small_images_on_it(self):
        discriminator = ProjectedDiscriminator(in_channels=1, input_size=64, num_downsamples=3, head_channels=16)
        assert discriminator(pictures(28)[:, :1]).logits.shape == (2, 4)
