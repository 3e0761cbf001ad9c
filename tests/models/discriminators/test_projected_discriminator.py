# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import sys

import pytest
import torch
from accelerate import init_empty_weights
from golden_projected import fill, golden_head
from golden_utils import assert_matches, load_golden, load_golden_json
from tiny_features import TINY, TWO, TinyFeatures
from torch import nn

from gan_diffusion.conversion.projected import (
    feature_mixing_key_map,
    projected_discriminator_key_map,
    projected_head_key_map,
)
from gan_diffusion.models import ProjectedDiscriminator
from gan_diffusion.models.discriminators.projected_blocks import FeatureMixing
from gan_diffusion.models.features import digest_of, register_feature_network


TIGHT = {"rtol": 1e-9, "atol": 1e-12}


@pytest.fixture(scope="module")
def golden():
    return load_golden("diffusion_gan/projected_heads")


class TestGolden:
    @pytest.mark.parametrize("name", ["disc", "disc_sep", "disc_patch", "disc_cond"])
    def test_heads(self, golden, name):
        head, features = golden_head(name), golden["feat32"].requires_grad_()
        labels = golden["c_onehot"].argmax(dim=1) if name == "disc_cond" else None
        logits, _ = head(features, labels)
        assert_matches(logits, golden[f"{name}.logits"], **TIGHT, name="logits")
        (gradient,) = torch.autograd.grad(logits.sum(), features)
        assert_matches(gradient, golden[f"{name}.grad"], **TIGHT, name="gradient")

    def test_training_mode(self, golden):
        head = golden_head("disc").train()
        assert_matches(head(golden["feat32"])[0], golden["disc.logits_train"], **TIGHT)

    @pytest.mark.parametrize("name", ["disc", "disc_sep", "disc_cond"])
    def test_keys(self, name):
        head = golden_head(name)
        shapes = {
            f"{name}.{key}": list(head.state_dict()[ours].shape) for key, ours in projected_head_key_map(head).items()
        }
        expected = load_golden_json(f"diffusion_gan/keys_projected_{name}")
        assert shapes == {key: shape for key, shape in expected.items() if not key.endswith("num_batches_tracked")}

    def test_random_projections(self, golden):
        mixing = FeatureMixing((3, 4, 5, 6), 4)
        keys = feature_mixing_key_map(mixing)
        assert {f"scratch.{key}" for key in keys} == load_golden_json("diffusion_gan/keys_projected_scratch").keys()
        mixing = fill(mixing, keys, "scratch.")
        maps = [golden[f"backbone{level}"] for level in range(4)]
        for level, (layer, features) in enumerate(zip(mixing.across_channels, maps, strict=True)):
            assert_matches(layer(features), golden[f"ccm{level}"], **TIGHT, name=f"channels, level {level}")
        for level, mixed in enumerate(mixing(maps)):
            assert_matches(mixed, golden[f"csm{level}"], **TIGHT, name=f"scales, level {level}")


def small_discriminator(**options):
    torch.manual_seed(0)
    return ProjectedDiscriminator(**(TINY | options))


def images(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def published(**options):
    with init_empty_weights():
        return ProjectedDiscriminator(**options)


@pytest.mark.parametrize(
    ("options", "parameters"),
    [({}, 10_331_328), ({"separable": True}, 696_512), ({"num_class_embeds": 1000}, 12_940_736)],
)
def test_published_sizes(options, parameters):
    discriminator = published(**options)
    trained = [each.numel() for each in discriminator.parameters() if each.requires_grad]
    assert sum(trained) == parameters
    assert sum(each.numel() for each in discriminator.mixing.parameters()) == 376_768


class TestFeatures:
    def test_the_frozen_network_is_no_part_of_the_weights(self, tmp_path):
        discriminator = small_discriminator()
        names = set(discriminator.state_dict())
        logits = discriminator.eval()(images(2, 3, 16, 16)).logits
        assert set(discriminator.state_dict()) == names
        assert {name.split(".")[0] for name in names} == {"mixing", "heads"}
        discriminator.save_pretrained(tmp_path)
        loaded = ProjectedDiscriminator.from_pretrained(tmp_path)
        assert loaded.config.feature_digest == digest_of(TinyFeatures())
        torch.testing.assert_close(loaded(images(2, 3, 16, 16)).logits, logits)

    def test_another_frozen_network_is_refused(self, tmp_path):
        discriminator = small_discriminator()
        discriminator.load_features()
        discriminator.save_pretrained(tmp_path)
        register_feature_network("tiny", lambda: TinyFeatures(seed=1))
        try:
            with pytest.raises(ValueError, match="`feature_network` 'tiny' must have the weights of the training"):
                ProjectedDiscriminator.from_pretrained(tmp_path).load_features()
        finally:
            register_feature_network("tiny", TinyFeatures)

    def test_loading_it_draws_no_random_number_of_the_caller(self):
        discriminator, sample = small_discriminator().eval(), images(2, 3, 16, 16)
        register_feature_network("drawing", lambda: TinyFeatures(seed=int(torch.randint(5, ()) * 0)))
        drawing = small_discriminator(feature_network="drawing").eval()
        torch.manual_seed(3)
        with torch.inference_mode():
            expected, actual = discriminator(sample).logits, drawing(sample).logits
        drawn = torch.rand(3)
        torch.manual_seed(3)
        assert torch.equal(torch.rand(3), drawn) and torch.equal(actual, expected)
        drawing(sample.requires_grad_()).logits.sum().backward()
        assert (sample.grad != 0).any()

    def test_it_stays_frozen_and_lets_gradients_through(self):
        discriminator = small_discriminator().train().requires_grad_(True)
        sample = images(2, 3, 16, 16).requires_grad_()
        discriminator(sample).logits.sum().backward()
        (network,) = discriminator.load_features()
        assert not network.training and not any(each.requires_grad for each in network.parameters())
        assert (sample.grad != 0).any()

    def test_the_random_projections_are_not_trained(self):
        discriminator = small_discriminator()
        discriminator(images(2, 3, 16, 16)).logits.sum().backward()
        for name, parameter in discriminator.named_parameters():
            assert parameter.requires_grad is (parameter.grad is not None) is not name.startswith("mixing"), name

    def test_it_works_in_its_own_precision(self):
        discriminator = small_discriminator().eval()
        expected = discriminator(images(2, 3, 16, 16)).logits
        logits = discriminator.double()(images(2, 3, 16, 16).double()).logits
        assert logits.dtype == torch.float64 and discriminator.load_features()[0].fine.weight.dtype == torch.float32
        torch.testing.assert_close(logits.float(), expected, rtol=1e-4, atol=1e-5)


class TestImages:
    def test_small_images_are_enlarged_and_large_ones_are_not(self):
        discriminator = small_discriminator(input_size=16).eval()
        small, wide = images(2, 3, 8, 8), images(2, 3, 10, 20)
        enlarged = torch.nn.functional.interpolate(small, (16, 16), mode="bilinear", align_corners=False)
        assert torch.equal(discriminator(small).logits, discriminator(enlarged).logits)
        wider = torch.nn.functional.interpolate(wide, (16, 32), mode="bilinear", align_corners=False)
        assert torch.equal(discriminator(wide).logits, discriminator(wider).logits)
        assert discriminator(images(1, 3, 24, 24)).logits.shape[1] > discriminator(small).logits.shape[1]

    def test_grey_images_are_repeated(self):
        discriminator, grey = small_discriminator(in_channels=1).eval(), images(2, 1, 16, 16)
        colour = small_discriminator().eval()
        assert torch.equal(discriminator(grey).logits, colour(grey.expand(-1, 3, -1, -1)).logits)

    @pytest.mark.parametrize("options", [{}, {"separable": True}, {"patch": True}, {"num_downsamples": 0}])
    def test_logits_of_all_heads(self, options):
        logits = small_discriminator(**options)(images(2, 3, 20, 16)).logits
        assert logits.ndim == 2 and len(logits) == 2 and logits.isfinite().all()

    def test_each_map_is_noised_where_that_is_asked_for(self):
        discriminator, seen = small_discriminator().eval(), []

        def doubled(features):
            seen.append(tuple(features.shape))
            return 2 * features

        plain = discriminator(images(2, 3, 16, 16)).logits
        discriminator.feature_noise = doubled
        noised = discriminator(images(2, 3, 16, 16)).logits
        assert seen == [(2, 4, 8, 8), (2, 6, 4, 4)] and not torch.equal(noised, plain)

    def test_the_timestep_matters_where_it_is_told(self):
        sample, timed = images(2, 3, 16, 16), small_discriminator(timestep_embedding="sinusoidal").eval()
        assert not torch.allclose(timed(sample, 3).logits, timed(sample, 300).logits)
        plain = small_discriminator().eval()
        assert torch.equal(plain(sample, 3).logits, plain(sample).logits)
        with pytest.raises(ValueError, match="`timestep` must be given"):
            timed(sample)


def half(both, place):
    """A discriminator of one frozen network of the two, with the same weights."""
    names = ("feature_network", "feature_channels")
    options = {name: value for name, value in both.config.items() if name[0] != "_" and name != "feature_digest"}
    alone = ProjectedDiscriminator(**options | {name: both.config[name][place] for name in names})
    prefix, first = ("mixing.", "second_mixing.")[place], 2 * place
    weights = {}
    for name, value in both.state_dict().items():
        if name.startswith(prefix):
            weights["mixing." + name.removeprefix(prefix)] = value
        for number in (first, first + 1):
            if name.startswith(f"heads.{number}."):
                weights[name.replace(f"heads.{number}.", f"heads.{number - first}.")] = value
    alone.load_state_dict(weights)
    return alone.eval()


class TestTwoNetworks:
    @pytest.mark.parametrize("options", [{}, {"num_class_embeds": 3}, {"last_layer": "san"}, {"patch": True}])
    def test_it_is_two_discriminators_side_by_side(self, options):
        both = small_discriminator(**TWO | options).eval()
        inputs = {"sample": images(2, 3, 16, 16)}
        if "num_class_embeds" in options:
            inputs["class_labels"] = torch.tensor([0, 2])
        output, alone = both(**inputs), [half(both, place)(**inputs) for place in (0, 1)]
        assert torch.equal(output.logits, torch.cat([each.logits for each in alone], dim=1))
        assert torch.equal(output.mean_logits, torch.stack([each.logits.mean(dim=1) for each in alone], dim=1))
        assert all(each.mean_logits is None for each in alone)
        if "last_layer" in options:
            directions = torch.cat([each.direction_logits for each in alone], dim=1)
            assert torch.equal(output.direction_logits, directions)

    def test_the_maps_of_both_are_noised(self):
        discriminator, seen = small_discriminator(**TWO), []
        discriminator.feature_noise = lambda features: seen.append(features.shape[1]) or features
        discriminator(images(2, 3, 16, 16))
        assert seen == [4, 6, 3, 5]

    def test_neither_is_stored_and_both_must_be_those_of_the_training(self, tmp_path):
        discriminator = small_discriminator(**TWO).eval()
        logits = discriminator(images(2, 3, 16, 16)).logits
        discriminator.save_pretrained(tmp_path)
        loaded = ProjectedDiscriminator.from_pretrained(tmp_path)
        assert {name.split(".")[0] for name in loaded.state_dict()} == {"mixing", "second_mixing", "heads"}
        assert list(loaded.config.feature_digest) == [digest_of(each) for each in discriminator.load_features()]
        torch.testing.assert_close(loaded(images(2, 3, 16, 16)).logits, logits)
        register_feature_network("tiny-other", lambda: TinyFeatures(2, (3, 5)))
        try:
            with pytest.raises(
                ValueError, match="`feature_network` 'tiny-other' must have the weights of the training"
            ):
                ProjectedDiscriminator.from_pretrained(tmp_path).load_features()
        finally:
            register_feature_network("tiny-other", lambda: TinyFeatures(1, (3, 5)))

    def test_networks_of_other_depths(self):
        options = {"feature_network": ("efficientnet-lite0", "tiny"), "feature_channels": ((24, 40, 112, 320), (4, 6))}
        sample = images(2, 3, 32, 32).requires_grad_()
        output = small_discriminator(**options, input_size=64, num_downsamples=3)(sample)
        assert output.logits.shape[1] == 4 * 1 + 2 * 25
        for place in range(2):
            (gradient,) = torch.autograd.grad(output.mean_logits[:, place].sum(), sample, retain_graph=True)
            assert (gradient != 0).any()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"feature_network": ("tiny", "tiny")}, "`feature_network` must name two different networks"),
            ({"feature_channels": (4, 6)}, "`feature_channels` must be a pair of values for the two networks"),
            ({"feature_channels": ((4, 6), ())}, "`feature_channels` must have one number for each map"),
            ({"feature_channels": ((4, 6), (3, 0))}, "`feature_channels` must be at least 1"),
            ({"feature_digest": "0"}, "`feature_digest` must be a pair of values for the two networks"),
            ({"feature_network": "tiny"}, "`feature_channels` must be one value for the one network"),
        ],
    )
    def test_options_that_are_not_for_two(self, options, message):
        with pytest.raises(ValueError, match=message):
            small_discriminator(**TWO | options)

    def test_three_are_too_many(self):
        with pytest.raises(TypeError, match="`feature_network` must be of type"):
            small_discriminator(feature_network=("tiny", "tiny-other", "efficientnet-lite0"))

    def test_it_has_no_reference_keys(self):
        with pytest.raises(ValueError, match="`feature_network` must be one network for reference keys"):
            projected_discriminator_key_map(small_discriminator(**TWO))


def trainable():
    return TinyFeatures().requires_grad_(True)


def training():
    return TinyFeatures().train()


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"in_channels": 4}, "`in_channels` must be 1 or 3"),
            ({"head_channels": 12}, "`head_channels` must be a multiple of 8"),
            ({"timestep_embedding": "official"}, "`timestep_embedding` must be one of"),
            ({"feature_channels": ()}, "`feature_channels` must have one number"),
            ({"feature_channels": (4, 0)}, "`feature_channels` must be at least 1"),
        ],
    )
    def test_options(self, options, message):
        with pytest.raises(ValueError, match=message):
            small_discriminator(**options)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"feature_network": "none"}, "`feature_network` must be one of .*register_feature_network"),
            ({"feature_network": "timm:resnet18"}, "`feature_layers` must name layers of the timm network"),
            ({"feature_network": "timm:resnet18", "feature_layers": (1, 2)}, "needs the package timm"),
            ({"feature_layers": (1,)}, "`feature_revision` and `feature_layers` must be None for 'tiny'"),
            ({"feature_revision": "main"}, "`feature_revision` and `feature_layers` must be None for 'tiny'"),
            ({"feature_channels": (4, 7)}, r"`feature_channels` must be those of the maps of the network, \[4, 6\]"),
            ({"feature_channels": (4,)}, r"`feature_channels` must be those of the maps of the network, \[4, 6\]"),
            ({"num_downsamples": 3}, "`sample` must be so large .* sides of at least 32 .* fewer `num_downsamples`"),
            ({"in_channels": 1}, r"`sample` must have shape \(batch, 1, height, width\)"),
        ],
    )
    def test_what_shows_at_the_first_images(self, monkeypatch, options, message):
        monkeypatch.setitem(sys.modules, "timm", None)  # as where it is not installed
        with pytest.raises(ValueError, match=message):
            small_discriminator(**options)(images(2, 3, 16, 16))

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (trainable, "must be frozen, got trainable weights"),
            (training, "must be frozen, got one in training mode"),
            (nn.Identity, "must be an nn.Module with `maps`, got Identity"),
        ],
    )
    def test_networks_of_ones_own(self, make, message):
        register_feature_network("mine", make)
        with pytest.raises(ValueError, match=f"`feature_network` 'mine' {message}"):
            small_discriminator(feature_network="mine").load_features()

    @pytest.mark.parametrize("name", ["efficientnet-lite0", "timm:mine", "transformers:mine"])
    def test_names_that_are_taken(self, name):
        with pytest.raises(ValueError, match="`name` must not be that of a built-in network"):
            register_feature_network(name, TinyFeatures)

    def test_labels(self):
        with pytest.raises(ValueError, match="`class_labels` must be None"):
            small_discriminator()(images(2, 3, 16, 16), class_labels=torch.tensor([0, 1]))
