# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import itertools

import pytest
import torch
import torch.nn.functional as F
from golden_stylegan2 import golden_discriminator
from golden_utils import assert_matches, load_golden

from gan_diffusion.conversion import export_stylegan2_discriminator
from gan_diffusion.models import StyleGAN2Discriminator
from gan_diffusion.models.discriminators.stylegan2_blocks import (
    ConditionMapping,
    StyleGAN2DiscriminatorBlock,
    StyleGAN2Epilogue,
    StyleGAN2Trunk,
)


SMALL = {"sample_size": 8, "channel_base": 64, "channel_max": 12, "num_mapping_layers": 2, "timestep_embed_dim": 16}
TIGHT = {"rtol": 1e-9, "atol": 1e-12}

# Published configurations: options, parameters, buffers of the reference.
PUBLISHED = {
    "cifar": ({"architecture": "orig"}, 23_085_056, 176),
    "cifar, 10 classes": ({"architecture": "orig", "num_class_embeds": 10}, 23_090_176, 176),
    "stl10": ({"sample_size": 64}, 28_853_248, 288),
    "auto 32": ({"channel_base": 16384}, 23_871_488, 224),
    "auto 64": ({"sample_size": 64, "channel_base": 16384}, 25_771_776, 288),
    "paper256": ({"sample_size": 256, "channel_base": 16384}, 26_365_504, 416),
    "paper512": ({"sample_size": 512}, 31_347_264, 480),
    "paper512, no mapping layers": ({"sample_size": 512, "num_mapping_layers": 0}, 29_246_016, 480),
    "stylegan2 1024": ({"sample_size": 1024}, 31_376_928, 544),
}


def small_discriminator(**options):
    """Every weight at a size at which mistakes show: fresh biases are zero."""
    discriminator = StyleGAN2Discriminator(**(SMALL | options))
    source = torch.Generator().manual_seed(0)
    for name, parameter in discriminator.named_parameters():
        scale = 100.0 if "mapping.layers" in name else 1.0
        parameter.data = scale * torch.randn(parameter.shape, generator=source)
    return discriminator


def images(batch=4, channels=3, size=8):
    return torch.randn(batch, channels, size, size, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def golden():
    return load_golden("diffusion_gan/stylegan2_discriminator_32")


class TestGolden:
    @pytest.mark.parametrize(
        "name, architecture, c_dim, group_size",
        [
            ("orig_c0_mb32", "orig", 0, 32),
            ("orig_c10_mb32", "orig", 10, 32),
            ("resnet_c0_mb4", "resnet", 0, 4),
            ("resnet_c10_mb4", "resnet", 10, 4),
            ("skip_c0_mb4", "skip", 0, 4),
        ],
    )
    def test_logits_condition_and_gradient(self, golden, name, architecture, c_dim, group_size):
        discriminator = golden_discriminator(architecture, c_dim, group_size)
        x, t = golden["x"].clone().requires_grad_(), golden["t"][:, 0]
        labels = golden["c_onehot"].argmax(dim=1) if c_dim else None
        assert_matches(discriminator.mapping(t, labels, torch.float64), golden[f"{name}.cmap"], **TIGHT, name="cmap")
        logits = discriminator(x, t, labels).logits
        assert_matches(logits, golden[f"{name}.logits"], **TIGHT, name="logits")
        (gradient,) = torch.autograd.grad(logits.sum(), x)
        expected = golden[f"{name}.grad_x"]
        if expected.ndim == 1:
            gradient = gradient.square().sum(dim=(1, 2, 3))
        assert_matches(gradient, expected, **TIGHT, name="grad_x")

    def test_zero_bias_of_the_embedding(self, golden):
        """The state at initialisation: one condition for all noisy images, none for clean ones."""
        discriminator = golden_discriminator(changes={"mapping.embed.bias": torch.zeros(16)})
        t = golden["t"][:, 0]
        condition = discriminator.mapping(t, None, torch.float64)
        assert_matches(condition, golden["zero_embed_bias.cmap"], **TIGHT)
        torch.testing.assert_close(condition[t > 0], condition[1:2].expand(6, -1))
        assert_matches(discriminator(golden["x"], t).logits, golden["zero_embed_bias.logits"], **TIGHT)

    def test_without_mapping_layers(self, golden):
        discriminator = golden_discriminator(num_layers=0)
        t = golden["t"][:, 0]
        assert_matches(discriminator.mapping(t, None, torch.float64), golden["maplayers0.cmap"], **TIGHT)
        assert_matches(discriminator(golden["x"], t).logits, golden["maplayers0.logits"], **TIGHT)

    @pytest.mark.parametrize("grad", [True, False])
    def test_float32(self, golden, grad):
        discriminator = golden_discriminator("orig", group_size=32).float()
        with torch.set_grad_enabled(grad):
            logits = discriminator(golden["x"].float(), golden["t"][:, 0]).logits
        torch.testing.assert_close(logits, golden["orig_c0_mb32.logits_f32"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes(name):
    options, parameters, buffers = PUBLISHED[name]
    with torch.device("meta"):
        discriminator = StyleGAN2Discriminator(timestep_embedding="official", **options)
    assert sum(parameter.numel() for parameter in discriminator.parameters()) == parameters
    entries = sum(value.numel() for value in export_stylegan2_discriminator(discriminator).values())
    assert entries - parameters == buffers


OPTIONS = [
    {"architecture": architecture, "sample_size": size, "activation_clamp": clamp}
    for architecture, size, clamp in itertools.product(("orig", "skip", "resnet"), (4, 8, 16), (256.0, None))
] + [
    {"timestep_embedding": embedding, "num_class_embeds": classes, "num_mapping_layers": layers}
    for embedding, classes, layers in itertools.product(("sinusoidal", "official", None), (None, 3), (0, 2))
]
OPTIONS += [
    {"in_channels": 1},
    {"fir_taps": (1, 1)},
    {"fir_taps": (1, 2, 1), "architecture": "skip"},
    {"num_stddev_channels": 0},
    {"num_stddev_channels": 3},
    {"stddev_group_size": 1},
]


class TestOptions:
    @pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(map(str, options.values())))
    def test_every_option_runs_and_trains(self, options):
        discriminator = small_discriminator(**options)
        labels = torch.tensor([0, 2, 1, 0]) if options.get("num_class_embeds") else None
        x = images(channels=options.get("in_channels", 3), size=options.get("sample_size", 8)).requires_grad_()
        logits = discriminator(x, torch.arange(4), labels).logits
        assert logits.shape == (4, 1)
        (gradient,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
        (F.softplus(logits).mean() + gradient.square().mean()).backward()
        for name, parameter in discriminator.named_parameters():
            assert parameter.grad is not None, f"{name} is not used"
            assert parameter.grad.isfinite().all() and parameter.grad.any(), name

    def test_fresh_discriminator_has_logits_of_moderate_size(self):
        logits = StyleGAN2Discriminator(**SMALL)(images(64), torch.arange(64)).logits
        assert 0.01 < logits.std() < 10


class TestCondition:
    TIMESTEPS = torch.tensor([0, 1, 2, 10, 100, 500, 999, 1000])

    def similarity(self, embedding, num_layers=8, classes=None, labels=None, timesteps=None):
        """Cosines between the fresh conditions of all timesteps, or of all labels."""
        torch.manual_seed(0)
        mapping = ConditionMapping(512, embedding, 256, classes, num_layers)
        timesteps = self.TIMESTEPS if timesteps is None else timesteps
        condition = F.normalize(mapping(timesteps, labels, torch.float32), dim=1)
        return condition @ condition.T

    @pytest.mark.parametrize("num_layers", [0, 8])
    def test_sinusoidal_tells_timesteps_apart(self, num_layers):
        similarity = self.similarity("sinusoidal", num_layers)
        torch.testing.assert_close(similarity.diagonal(), torch.ones(8))  # t = 0 has a direction too
        far_apart = torch.tensor([1, 3, 4, 5, 7])
        between = similarity[far_apart][:, far_apart][~torch.eye(5, dtype=torch.bool)]
        assert between.max() < 0.95
        assert similarity[~torch.eye(8, dtype=torch.bool)].max() < 0.9999

    @pytest.mark.parametrize("num_layers", [0, 8])
    def test_official_tells_clean_from_noisy_only(self, num_layers):
        similarity = self.similarity("official", num_layers)
        torch.testing.assert_close(similarity[1:, 1:], torch.ones(7, 7))
        assert not similarity[0].any()

    @pytest.mark.parametrize("num_layers", [0, 8])
    def test_labels_count_beside_large_timesteps(self, num_layers):
        labels, timesteps = torch.arange(10), torch.full((10,), 900)
        others = ~torch.eye(10, dtype=torch.bool)
        options = {"num_layers": num_layers, "classes": 10, "labels": labels, "timesteps": timesteps}
        assert self.similarity("sinusoidal", **options)[others].max() < 0.95
        assert self.similarity("official", **options)[others].min() > 0.999

    def test_official_is_a_projection_on_labels_and_number(self):
        mapping = ConditionMapping(12, "official", num_class_embeds=3, num_layers=0)
        mapping.embeds[0].bias.data.normal_()
        condition = mapping(torch.tensor([7]), torch.tensor([2]), torch.float32)
        embedding = mapping.embeds[0](torch.tensor([[0.0, 0.0, 1.0, 7.0]]))
        torch.testing.assert_close(condition, embedding / embedding.square().mean().sqrt())

    @pytest.mark.parametrize("embedding", ["sinusoidal", "official"])
    @pytest.mark.parametrize("timestep", [2, torch.tensor(2), torch.tensor([2]), torch.tensor([2, 2, 2, 2])])
    def test_timestep_forms(self, embedding, timestep):
        discriminator = small_discriminator(timestep_embedding=embedding)
        expected = discriminator(images(), torch.full((4,), 2)).logits
        assert torch.equal(discriminator(images(), timestep).logits, expected)
        assert not torch.allclose(discriminator(images(), 0).logits, expected)

    @pytest.mark.parametrize("classes", [None, 3])
    def test_without_timestep(self, classes):
        discriminator = small_discriminator(timestep_embedding=None, num_class_embeds=classes)
        labels = None if classes is None else torch.tensor([0, 1, 2, 0])
        assert (discriminator.mapping is None) == (classes is None)
        assert torch.equal(discriminator(images(), None, labels).logits, discriminator(images(), 5, labels).logits)

    @pytest.mark.parametrize("embedding", ["sinusoidal", "official", None])
    def test_class_labels_matter(self, embedding):
        discriminator = small_discriminator(timestep_embedding=embedding, num_class_embeds=3)
        first, second = (discriminator(images(), 1, torch.full((4,), label)).logits for label in (0, 1))
        assert not torch.allclose(first, second)


class TestParts:
    """The parts from which other discriminators are built."""

    @pytest.mark.parametrize("residual", [True, False])
    def test_block_adds_the_embedding_before_the_first_activation(self, residual):
        block = StyleGAN2DiscriminatorBlock(4, 6, residual, embed_dim=5)
        x, embedding = images(channels=4), torch.randn(4, 5)
        recorded = []
        block.conv1.register_forward_pre_hook(lambda module, args: recorded.append(args[0]))
        out = block(x, embedding)
        assert out.shape == (4, 6, 4, 4)
        hidden = F.conv2d(x, block.conv0.weight / 6, block.conv0.bias, padding=1)  # fan-in 4 * 9
        hidden = hidden + block.embed_proj(embedding)[:, :, None, None]
        torch.testing.assert_close(recorded[0], 2**0.5 * F.leaky_relu(hidden, 0.2))
        assert not torch.allclose(out, block(x, torch.zeros(4, 5)))

    def test_trunk_and_epilogue_make_the_discriminator(self):
        discriminator = small_discriminator(timestep_embedding=None)
        features = discriminator.trunk(images())
        assert features.shape == (4, discriminator.trunk.out_channels, 4, 4)
        assert features.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(discriminator.epilogue(features), discriminator(images(), None).logits)

    @pytest.mark.parametrize("architecture", ["orig", "skip", "resnet"])
    def test_embedding_reaches_every_block_of_the_trunk(self, architecture):
        trunk = StyleGAN2Trunk(16, channel_base=64, channel_max=8, architecture=architecture, embed_dim=5)
        embedding = torch.randn(2, 5, requires_grad=True)
        trunk(images(2, size=16), embedding).square().sum().backward()
        assert embedding.grad.any()
        for block in trunk.blocks:
            assert block.embed_proj.weight.grad.any()

    @pytest.mark.parametrize("architecture", ["orig", "skip", "resnet"])
    def test_patches_are_the_channels_of_a_smaller_image(self, architecture):
        patched = small_discriminator(patch_size=2, sample_size=16, architecture=architecture)
        plain = small_discriminator(in_channels=12, architecture=architecture)
        channels = F.pixel_unshuffle(images(size=16), 2)
        assert torch.equal(patched(images(size=16), 3).logits, plain(channels, 3).logits)

    def test_epilogue_width(self):
        assert StyleGAN2Epilogue(8, (3, 4), 5)(torch.randn(4, 8, 3, 4)).shape == (4, 5)


class TestForward:
    @pytest.mark.parametrize("batch, group, largest", [(3, 4, 3), (6, 4, 3), (5, 4, 1), (9, 8, 3), (12, 4, 4)])
    def test_batches_that_the_group_does_not_divide_use_a_smaller_one(self, batch, group, largest):
        logits = small_discriminator(stddev_group_size=group)(images(batch), 0).logits
        expected = small_discriminator(stddev_group_size=largest)(images(batch), 0).logits
        assert torch.equal(logits, expected)

    def test_any_batch_without_the_statistic(self):
        discriminator = small_discriminator(num_stddev_channels=0)
        together = discriminator(images(5), 3).logits
        for b in range(5):
            torch.testing.assert_close(discriminator(images(5)[b : b + 1], 3).logits[0], together[b])

    def test_statistic_couples_a_group(self):
        discriminator, x = small_discriminator(stddev_group_size=2), images(4)
        changed = torch.cat([x[:2], -x[2:3], x[3:]])  # samples 0 and 2 are one group, 1 and 3 the other
        before, after = discriminator(x, 3).logits, discriminator(changed, 3).logits
        assert not torch.allclose(before[0], after[0])
        torch.testing.assert_close(before[1::2], after[1::2])

    def test_second_order_gradients(self):
        discriminator = small_discriminator().double()
        x = images().double().requires_grad_()

        def penalty_of(weight, x):
            parameters = {"trunk.blocks.0.conv1.weight": weight}
            logits = torch.func.functional_call(discriminator, parameters, (x, torch.arange(4))).logits
            (gradient,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
            return gradient.square().sum()

        weight = discriminator.trunk.blocks[0].conv1.weight.detach().clone().requires_grad_()
        (analytic,) = torch.autograd.grad(penalty_of(weight, x), weight)
        direction = torch.randn(weight.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
        step = 1e-6
        numeric = (penalty_of(weight + step * direction, x) - penalty_of(weight - step * direction, x)) / (2 * step)
        torch.testing.assert_close((analytic * direction).sum(), numeric, rtol=1e-5, atol=1e-8)

    def test_memory_format_does_not_matter(self):
        discriminator = small_discriminator()
        expected = discriminator(images(), 3).logits
        assert torch.equal(discriminator(images().contiguous(memory_format=torch.channels_last), 3).logits, expected)
        discriminator.to(memory_format=torch.channels_last)
        torch.testing.assert_close(discriminator(images(), 3).logits, expected)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_precision(self, dtype):
        discriminator = small_discriminator()
        expected = discriminator(images(), 3).logits
        actual = discriminator.to(dtype)(images().to(dtype), 3).logits
        assert actual.dtype == dtype
        torch.testing.assert_close(actual.float(), expected, rtol=0.1, atol=0.1 * expected.abs().max().item())

    def test_autocast(self):
        discriminator = small_discriminator()
        expected = discriminator(images(), 3).logits
        with torch.autocast("cpu", torch.bfloat16):
            actual = discriminator(images(), 3).logits
        torch.testing.assert_close(actual.float(), expected, rtol=0.1, atol=0.1 * expected.abs().max().item())
        actual.float().sum().backward()
        assert all(parameter.grad.isfinite().all() for parameter in discriminator.parameters())

    @pytest.mark.parametrize("embedding", ["sinusoidal", "official"])
    def test_compiles_without_graph_breaks(self, embedding):
        discriminator = small_discriminator(timestep_embedding=embedding, num_class_embeds=3)
        args = (images(), torch.arange(4), torch.tensor([0, 1, 2, 0]))
        logits = torch.compile(discriminator, fullgraph=True, backend="aot_eager")(*args).logits
        torch.testing.assert_close(logits, discriminator(*args).logits)
        logits.sum().backward()


@pytest.mark.parametrize("options", [{}, {"timestep_embedding": None, "architecture": "skip"}])
def test_round_trip_is_exact(tmp_path, options):
    discriminator = small_discriminator(num_class_embeds=3, **options)
    args = (images(), 3, torch.tensor([0, 1, 2, 0]))
    discriminator.save_pretrained(tmp_path)
    loaded = StyleGAN2Discriminator.from_pretrained(tmp_path)
    for name, value in discriminator.config.items():
        if not name.startswith("_"):
            assert loaded.config[name] == (list(value) if isinstance(value, tuple) else value), name
    assert torch.equal(loaded(*args).logits, discriminator(*args).logits)


class TestErrors:
    @pytest.mark.parametrize(
        "options, message",
        [
            ({"sample_size": 18}, "`sample_size` must be reached by doubling .*, got 18"),
            ({"architecture": "plain"}, "`architecture` must be one of"),
            ({"timestep_embedding": "fourier"}, "`timestep_embedding` must be one of .*, got 'fourier'"),
            ({"timestep_embed_dim": 3}, "`timestep_embed_dim` must be at least 4, got 3"),
            ({"num_mapping_layers": -1}, "`num_mapping_layers` must be at least 0, got -1"),
            ({"stddev_group_size": 0}, "`stddev_group_size` must be at least 1, got 0"),
            ({"num_stddev_channels": 5}, "`num_stddev_channels` must be 0 or a divisor of 12 channels, got 5"),
            ({"num_stddev_channels": -1}, "`num_stddev_channels` must be at least 0, got -1"),
            ({"fir_taps": (1,)}, "`fir_taps` must be two or more numbers"),
        ],
    )
    def test_constructor(self, options, message):
        with pytest.raises(ValueError, match=message):
            StyleGAN2Discriminator(**(SMALL | options))

    @pytest.mark.parametrize(
        "changes, message",
        [
            ({"sample": torch.zeros(4, 1, 8, 8)}, r"`sample` must have shape \(batch, 3, 8, 8\), got \(4, 1, 8, 8\)"),
            ({"sample": torch.zeros(4, 3, 16, 16)}, r"`sample` must have shape \(batch, 3, 8, 8\)"),
            ({"sample": torch.zeros(4, 3, 8)}, r"`sample` must have shape \(batch, 3, 8, 8\)"),
            ({"timestep": torch.zeros(3)}, r"`timestep` must be a number or have shape \(4,\), got shape \(3,\)"),
            ({"timestep": torch.zeros(4, 1)}, "`timestep` must be a number"),
            ({"timestep": None}, "`timestep` must be a number or a tensor .*, got None"),
            (
                {"class_labels": torch.zeros(4, dtype=torch.long)},
                "`class_labels` must be None for a model without classes",
            ),
        ],
    )
    def test_forward(self, changes, message):
        with pytest.raises(ValueError, match=message):
            small_discriminator()(**({"sample": images(), "timestep": 0} | changes))

    @pytest.mark.parametrize(
        "labels, error, message",
        [
            (None, ValueError, "`class_labels` must be given for a model of 3 classes"),
            (torch.tensor([0, 1, 2, 3]), ValueError, r"`class_labels` must be in 0..2, got 0..3"),
            (torch.zeros(4), TypeError, "`class_labels` must be int64 or int32"),
        ],
    )
    def test_class_labels(self, labels, error, message):
        with pytest.raises(error, match=message):
            small_discriminator(num_class_embeds=3)(images(), 0, labels)
