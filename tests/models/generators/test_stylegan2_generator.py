# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import itertools

import pytest
import torch
from golden_stylegan2 import golden_generator
from golden_utils import assert_matches, load_golden

from gan_diffusion.conversion import export_stylegan2_generator
from gan_diffusion.models import StyleGAN2Generator
from gan_diffusion.models.generators import StyleGAN2Output
from gan_diffusion.models.generators.stylegan2_blocks import StyleGAN2Synthesis


SMALL = {
    "sample_size": 8,
    "latent_dim": 6,
    "w_dim": 10,
    "num_mapping_layers": 2,
    "channel_base": 64,
    "channel_max": 12,
}
TIGHT = {"rtol": 1e-9, "atol": 1e-12}

# Published configurations: options, parameters, parameters of the mapping, buffers of the reference.
PUBLISHED = {
    "cifar": ({"num_mapping_layers": 2}, 19_947_539, 525_312, 3_392),
    "cifar, 10 classes": ({"num_mapping_layers": 2, "num_class_embeds": 10}, 20_215_315, 793_088, 3_392),
    "stl10": ({"sample_size": 64, "num_mapping_layers": 2}, 25_456_664, 525_312, 11_632),
    "auto 32": ({"num_mapping_layers": 2, "channel_base": 16384}, 19_947_539, 525_312, 3_392),
    "auto 64": (
        {"sample_size": 64, "num_mapping_layers": 2, "channel_base": 16384},
        22_243_608,
        525_312,
        11_632,
    ),
    "auto 256": (
        {"sample_size": 256, "num_mapping_layers": 2, "channel_base": 16384},
        23_191_522,
        525_312,
        175_568,
    ),
    "paper 32": ({"channel_base": 16384}, 21_523_475, 2_101_248, 3_392),
    "paper 64": ({"sample_size": 64, "channel_base": 16384}, 23_819_544, 2_101_248, 11_632),
    "paper256": ({"sample_size": 256, "channel_base": 16384}, 24_767_458, 2_101_248, 175_568),
    "paper512": ({"sample_size": 512}, 30_276_583, 2_101_248, 699_904),
    "stylegan2 1024": ({"sample_size": 1024}, 30_370_060, 2_101_248, 2_797_104),
}


def small_generator(**options):
    """Every weight at a size at which mistakes show: fresh layers add no noise at all."""
    generator = StyleGAN2Generator(**(SMALL | options))
    source = torch.Generator().manual_seed(0)
    for name, parameter in generator.named_parameters():
        scale = 100.0 if "mapping.layers" in name else 1.0
        parameter.data = scale * torch.randn(parameter.shape, generator=source)
    for _, buffer in generator.named_buffers():
        if buffer.shape != (4, 4) or buffer.std() > 0.5:  # all but the filters
            buffer.copy_(torch.randn(buffer.shape, generator=source))
    return generator.eval()


def latents(batch=3, latent_dim=6, seed=1):
    return torch.randn(batch, latent_dim, generator=torch.Generator().manual_seed(seed))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def golden():
    return load_golden("diffusion_gan/stylegan2_generator_32")


class TestGolden:
    @pytest.fixture
    def generator(self):
        return golden_generator()

    def test_styles_and_images(self, golden, generator):
        assert generator.synthesis.num_ws == golden["num_ws"].item()
        for mode in ("const", "none"):
            out = generator(golden["z"], noise_mode=mode)
            assert_matches(out.ws, golden["ws"][:, None].expand(-1, 8, -1), **TIGHT, name="ws")
            assert_matches(out.sample, golden[f"image_{mode}"], **TIGHT, name=mode)

    def test_every_block(self, golden, generator):
        outputs = []
        handles = [
            block.register_forward_hook(lambda module, args, output: outputs.append(output))
            for block in generator.synthesis.blocks
        ]
        generator(golden["z"], noise_mode="const")
        for handle in handles:
            handle.remove()
        for resolution, (hidden, image) in zip((4, 8, 16, 32), outputs, strict=True):
            assert_matches(hidden[:1], golden[f"b{resolution}.x"], **TIGHT, name=f"features at {resolution}")
            assert_matches(image[:1], golden[f"b{resolution}.img"], **TIGHT, name=f"image at {resolution}")

    def test_style_mixing(self, golden, generator):
        other = golden["z"][1:2].expand(4, -1)
        out = generator(golden["z"], noise_mode="const", style_mixing=(other, 3))
        assert_matches(out.sample, golden["image_const_mixed_cut3_from1"], **TIGHT)

    def test_truncation(self, golden, generator):
        generator.mapping.w_avg.copy_(golden["w_avg"])
        ws = generator.mapping(golden["z"], truncation_psi=0.7)
        assert_matches(ws, golden["ws_trunc0.7"], **TIGHT)
        ws = generator.mapping(golden["z"], truncation_psi=0.5, truncation_cutoff=4)
        assert_matches(ws, golden["ws_trunc0.5_cut4"], **TIGHT)

    def test_average_style(self, golden, generator):
        generator.train().mapping(golden["z"])
        assert_matches(generator.mapping.w_avg, golden["w_avg_after_one_train_call"], **TIGHT)

    def test_conditional(self, golden):
        out = golden_generator(c_dim=10)(golden["z"], golden["c_onehot"].argmax(dim=1), noise_mode="const")
        assert_matches(out.ws[:, 0], golden["cond.ws"], **TIGHT)
        assert_matches(out.sample, golden["cond.image_const"], **TIGHT)

    @pytest.mark.parametrize("grad", [True, False])
    def test_float32(self, golden, generator, grad):
        with torch.set_grad_enabled(grad):
            image = generator.float()(golden["z"].float(), noise_mode="const").sample
        torch.testing.assert_close(image, golden["image_const_f32"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes(name):
    options, parameters, mapping_parameters, buffers = PUBLISHED[name]
    with torch.device("meta"):
        generator = StyleGAN2Generator(**options)
    assert sum(parameter.numel() for parameter in generator.parameters()) == parameters
    assert sum(parameter.numel() for parameter in generator.mapping.parameters()) == mapping_parameters
    entries = sum(value.numel() for value in export_stylegan2_generator(generator).values())
    assert entries - parameters == buffers


OPTIONS = [
    {"architecture": architecture, "sample_size": size, "activation_clamp": clamp}
    for architecture, size, clamp in itertools.product(("orig", "skip", "resnet"), (4, 8, 16), (256.0, None))
] + [
    {"out_channels": 1},
    {"num_class_embeds": 3},
    {"fir_taps": (1, 1)},
    {"fir_taps": (1, 2, 1), "architecture": "resnet"},
    {"num_mapping_layers": 1},
    {"patch_size": 2, "sample_size": 16},
    {"patch_size": 4, "sample_size": 16, "out_channels": 1, "architecture": "resnet"},
]


class TestOptions:
    @pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(map(str, options.values())))
    def test_every_option_runs_and_trains(self, options):
        generator = small_generator(**options)
        labels = torch.tensor([0, 2, 1]) if "num_class_embeds" in options else None
        out = generator(latents(), labels)
        size = options.get("sample_size", 8)
        assert out.sample.shape == (3, options.get("out_channels", 3), size, size)
        assert out.ws.shape == (3, generator.synthesis.num_ws, 10)
        out.sample.square().sum().backward()
        for name, parameter in generator.named_parameters():
            assert parameter.grad is not None, f"{name} is not used"
            assert parameter.grad.isfinite().all() and parameter.grad.any(), name

    def test_patches_are_the_channels_of_a_smaller_image(self):
        patched, plain = small_generator(patch_size=2, sample_size=16), small_generator(out_channels=12)
        assert patched.sample_shape == (3, 16, 16)
        image = torch.nn.functional.pixel_shuffle(plain(latents(), noise_mode="const").sample, 2)
        assert torch.equal(patched(latents(), noise_mode="const").sample, image)

    @pytest.mark.parametrize("size, num_ws", [(4, 2), (8, 4), (32, 8), (256, 14)])
    def test_number_of_styles(self, size, num_ws):
        for architecture in ("orig", "skip", "resnet"):
            assert StyleGAN2Synthesis(size, channel_base=256, architecture=architecture).num_ws == num_ws

    def test_clamp_bounds_the_output(self):
        latent = latents()
        free = small_generator(activation_clamp=None, architecture="orig")(latent, noise_mode="none").sample
        assert free.abs().max() > 0.5
        bounded = small_generator(activation_clamp=0.1, architecture="orig")(latent, noise_mode="none").sample
        assert bounded.abs().max() <= 0.1

    def test_fresh_generator_has_images_of_moderate_size(self):
        sample = StyleGAN2Generator(**SMALL)(latents(64)).sample
        assert 0.1 < sample.std() < 10

    def test_class_labels_matter(self):
        generator = small_generator(num_class_embeds=3)
        first, second = (generator(latents(2), torch.tensor([0, c]), noise_mode="none").sample for c in (1, 2))
        torch.testing.assert_close(first[0], second[0])
        assert not torch.allclose(first[1], second[1])


class TestNoise:
    def test_modes(self):
        generator, latent = small_generator(), latents()
        random, random_again = (generator(latent).sample for _ in range(2))
        const, const_again = (generator(latent, noise_mode="const").sample for _ in range(2))
        none = generator(latent, noise_mode="none").sample
        assert torch.equal(const, const_again)
        for first, second in itertools.combinations((random, random_again, const, none), 2):
            assert not torch.allclose(first, second)

    def test_strength_starts_at_zero(self):
        generator, latent = StyleGAN2Generator(**SMALL), latents()
        images = [generator(latent, noise_mode=mode).sample for mode in ("random", "const", "none")]
        torch.testing.assert_close(images[0], images[2])
        torch.testing.assert_close(images[1], images[2])

    def test_one_generator(self):
        network, latent = small_generator(), latents()
        first, again, other = (network(latent, generator=seeded(seed)).sample for seed in (0, 0, 1))
        assert torch.equal(first, again)
        assert not torch.allclose(first, other)

    def test_one_generator_per_sample(self):
        """A sample depends on its own generator alone, whatever batch it is in."""
        network, latent = small_generator(), latents()
        together = network(latent, generator=[seeded(seed) for seed in (5, 6, 7)]).sample
        for b in range(3):
            alone = network(latent[b : b + 1], generator=[seeded(5 + b)]).sample
            torch.testing.assert_close(alone[0], together[b])

    @pytest.mark.parametrize("count", [1, 2, 4])
    def test_wrong_number_of_generators(self, count):
        with pytest.raises(
            ValueError, match=f"`generator` must be one generator, or a list of 3 .* a list of {count}"
        ):
            small_generator()(latents(), generator=[seeded() for _ in range(count)])

    def test_unknown_mode(self):
        with pytest.raises(ValueError, match="`noise_mode` must be one of .*, got 'constant'"):
            small_generator()(latents(), noise_mode="constant")


class TestMapping:
    def test_only_training_updates_the_average(self):
        generator = small_generator()
        before = generator.mapping.w_avg.clone()
        generator(latents())
        assert torch.equal(generator.mapping.w_avg, before)
        generator.train()
        ws = generator(latents()).ws
        torch.testing.assert_close(generator.mapping.w_avg, 0.995 * before + 0.005 * ws[:, 0].detach().mean(dim=0))

    def test_style_mixing_does_not_update_it_twice(self):
        averages = []
        for mixing in (None, (latents(seed=2), 2)):
            generator = small_generator().train()
            generator(latents(), style_mixing=mixing)
            averages.append(generator.mapping.w_avg)
        assert torch.equal(*averages)

    def test_style_mixing(self):
        generator, latent, other = small_generator(), latents(), latents(seed=2)
        ws = generator(latent, style_mixing=(other, 3)).ws
        assert torch.equal(ws[:, :3], generator.mapping(latent)[:, :3])
        assert torch.equal(ws[:, 3:], generator.mapping(other)[:, 3:])

    def test_truncation_runs_from_the_average_to_the_style(self):
        generator, latent = small_generator(), latents()
        out = generator(latent, truncation_psi=0.0, noise_mode="none")
        torch.testing.assert_close(out.ws, generator.mapping.w_avg.expand(3, 4, -1))
        torch.testing.assert_close(out.sample, out.sample[:1].expand(3, -1, -1, -1))
        whole, half = (generator(latent, truncation_psi=psi).ws for psi in (1.0, 0.5))
        torch.testing.assert_close(half, (whole + generator.mapping.w_avg) / 2)
        for cutoff in (0, 1, 4):
            ws = generator(latent, truncation_psi=0.5, truncation_cutoff=cutoff).ws
            torch.testing.assert_close(ws, torch.cat([half[:, :cutoff], whole[:, cutoff:]], dim=1))

    def test_length_of_the_latent_does_not_matter(self):
        generator, latent = small_generator(), latents()
        torch.testing.assert_close(generator.mapping(latent), generator.mapping(3 * latent))


class TestForward:
    def test_tuple_and_output(self):
        generator, latent = small_generator(), latents()
        out = generator(latent, noise_mode="const")
        assert isinstance(out, StyleGAN2Output)
        sample, ws = generator(latent, noise_mode="const", return_dict=False)
        assert torch.equal(sample, out.sample) and torch.equal(ws, out.ws)
        assert torch.equal(generator.synthesis(ws, "const"), sample)

    def test_styles_are_those_the_images_depend_on(self):
        """Path-length regularisation differentiates the images by `ws`, twice."""
        generator = small_generator().double()
        out = generator(latents().double(), noise_mode="const")
        (gradient,) = torch.autograd.grad(out.sample.square().sum(), out.ws, create_graph=True)
        assert all(gradient[:, slot].abs().max() > 0 for slot in range(4))
        gradient.square().sum().backward()
        weight = generator.synthesis.blocks[1].conv0.conv.weight
        analytic, direction = weight.grad, torch.randn(weight.shape, dtype=torch.float64, generator=seeded())

        def penalty(step):
            weight.data += step * direction
            out = generator(latents().double(), noise_mode="const")
            (gradient,) = torch.autograd.grad(out.sample.square().sum(), out.ws)
            weight.data -= step * direction
            return gradient.square().sum()

        step = 1e-6
        numeric = (penalty(step) - penalty(-step)) / (2 * step)
        torch.testing.assert_close((analytic * direction).sum(), numeric, rtol=1e-5, atol=1e-8)

    def test_samples_are_independent(self):
        generator, latent = small_generator(), latents()
        together = generator(latent, noise_mode="const").sample
        for b in range(3):
            torch.testing.assert_close(generator(latent[b : b + 1], noise_mode="const").sample[0], together[b])

    def test_channels_last(self):
        generator, latent = small_generator(), latents()
        expected = generator(latent, noise_mode="const").sample
        assert expected.is_contiguous(memory_format=torch.channels_last)
        generator.to(memory_format=torch.channels_last)
        torch.testing.assert_close(generator(latent, noise_mode="const").sample, expected)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_precision(self, dtype):
        generator, latent = small_generator(), latents()
        expected = generator(latent, noise_mode="const").sample
        actual = generator.to(dtype)(latent.to(dtype), noise_mode="const").sample
        assert actual.dtype == dtype
        torch.testing.assert_close(actual.float(), expected, rtol=0.1, atol=0.05 * expected.abs().max().item())

    @pytest.mark.parametrize("grad", [True, False])
    def test_autocast(self, grad):
        generator, latent = small_generator().train(), latents()
        expected = generator(latent, noise_mode="const").sample
        with torch.autocast("cpu", torch.bfloat16), torch.set_grad_enabled(grad):
            actual = generator(latent, noise_mode="const").sample
        torch.testing.assert_close(actual.float(), expected, rtol=0.1, atol=0.05 * expected.abs().max().item())
        if grad:
            actual.float().sum().backward()
            gradients = [p.grad for name, p in generator.named_parameters()]
            assert all(gradient.isfinite().all() for gradient in gradients)

    def test_compiles_without_graph_breaks(self):
        generator = small_generator(num_class_embeds=3).train()
        args = (latents(), torch.tensor([0, 2, 1]))
        options = {"noise_mode": "const", "truncation_psi": 0.5}
        average = generator.mapping.w_avg.clone()
        expected = generator(*args, **options).sample
        generator.mapping.w_avg.copy_(average)
        compiled = torch.compile(generator, fullgraph=True, backend="aot_eager")
        actual = compiled(*args, **options).sample
        torch.testing.assert_close(actual, expected)
        assert not torch.equal(generator.mapping.w_avg, average)
        actual.sum().backward()
        assert compiled(*args).sample.isfinite().all()

    @pytest.mark.parametrize("architecture", ["skip", "resnet"])
    def test_gradient_checkpointing_changes_memory_only(self, architecture):
        """Images, gradients and second derivatives stay, and so does the noise of the recomputation."""
        results = []
        for checkpointing in (False, True):
            generator = small_generator(architecture=architecture)
            if checkpointing:
                generator.enable_gradient_checkpointing()
            calls = []
            handle = generator.synthesis.blocks[1].conv1.register_forward_pre_hook(
                lambda *_, calls=calls: calls.append(1)
            )
            out = generator(latents(), generator=seeded())
            out.sample.square().sum().backward()
            handle.remove()
            gradients = [parameter.grad.clone() for parameter in generator.parameters()]
            generator.zero_grad()
            out = generator(latents(), generator=seeded())
            (gradient,) = torch.autograd.grad(out.sample.sum(), out.ws, create_graph=True)
            gradient.square().sum().backward()
            gradients += [parameter.grad for parameter in generator.parameters() if parameter.grad is not None]
            results.append((out.sample, gradients, len(calls)))
        (plain, plain_gradients, once), (checkpointed, checkpointed_gradients, twice) = results
        assert (once, twice) == (1, 2)
        assert torch.equal(plain, checkpointed)
        for expected, actual in zip(plain_gradients, checkpointed_gradients, strict=True):
            assert torch.equal(expected, actual)


@pytest.mark.parametrize("options", [{}, {"architecture": "resnet", "num_class_embeds": 3, "activation_clamp": None}])
def test_round_trip_is_exact(tmp_path, options):
    generator = small_generator(**options)
    args = (latents(), torch.tensor([0, 2, 1]) if options else None)
    generator.save_pretrained(tmp_path)
    loaded = StyleGAN2Generator.from_pretrained(tmp_path)
    for name, value in generator.config.items():
        if not name.startswith("_"):
            assert loaded.config[name] == (list(value) if isinstance(value, tuple) else value), name
    for key, value in generator.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key
    expected = generator(*args, truncation_psi=0.5, noise_mode="const").sample
    assert torch.equal(loaded(*args, truncation_psi=0.5, noise_mode="const").sample, expected)


class TestErrors:
    @pytest.mark.parametrize(
        "options, message",
        [
            ({"sample_size": 18}, "`sample_size` must be reached by doubling .*, got 18"),
            ({"sample_size": 2}, "`sample_size` must be at least 4, got 2"),
            ({"architecture": "plain"}, "`architecture` must be one of"),
            ({"channel_base": 4}, "`channel_base` and `channel_max` must leave at least one channel"),
            ({"num_mapping_layers": 0}, "`num_mapping_layers` must be at least 1"),
            ({"fir_taps": (1,)}, "`fir_taps` must be two or more numbers"),
        ],
    )
    def test_constructor(self, options, message):
        with pytest.raises(ValueError, match=message):
            StyleGAN2Generator(**(SMALL | options))

    @pytest.mark.parametrize(
        "changes, message",
        [
            ({"latent": torch.zeros(3, 5)}, r"`latent` must have shape \(batch, 6\), got \(3, 5\)"),
            ({"latent": torch.zeros(6)}, r"`latent` must have shape \(batch, 6\), got \(6,\)"),
            ({"truncation_psi": float("nan")}, "`truncation_psi` must be a finite number, got nan"),
            ({"truncation_psi": "0.7"}, "`truncation_psi` must be a finite number, got '0.7'"),
            ({"truncation_psi": None}, "`truncation_psi` must be a finite number, got None"),
            ({"truncation_cutoff": 5}, r"`truncation_cutoff` must be None or in 0\.\.4, got 5"),
            ({"truncation_cutoff": -1}, r"`truncation_cutoff` must be None or in 0\.\.4, got -1"),
            ({"style_mixing": (torch.zeros(2, 6), 1)}, r"`style_mixing` must have a latent of shape \(3, 6\)"),
            ({"style_mixing": (torch.zeros(3, 6), 0)}, r"`style_mixing` must have a slot in 1\.\.3, got 0"),
            ({"style_mixing": (torch.zeros(3, 6), 4)}, r"`style_mixing` must have a slot in 1\.\.3, got 4"),
            (
                {"class_labels": torch.zeros(3, dtype=torch.long)},
                "`class_labels` must be None for a model without classes",
            ),
        ],
    )
    def test_forward(self, changes, message):
        with pytest.raises(ValueError, match=message):
            small_generator()(**({"latent": latents()} | changes))

    @pytest.mark.parametrize("shape", [(3, 10), (3, 5, 10), (3, 4, 9)])
    def test_styles(self, shape):
        with pytest.raises(ValueError, match=r"`ws` must have shape \(batch, 4, 10\)"):
            small_generator().synthesis(torch.zeros(shape))

    @pytest.mark.parametrize(
        "labels, error, message",
        [
            (None, ValueError, "`class_labels` must be given for a model of 3 classes"),
            (torch.tensor([0, 1, 3]), ValueError, r"`class_labels` must be in 0..2, got 0..3"),
            (torch.tensor([0]), ValueError, r"`class_labels` must have shape \(3,\), got \(1,\)"),
            (torch.tensor([0.0, 1.0, 2.0]), TypeError, "`class_labels` must be int64 or int32"),
        ],
    )
    def test_class_labels(self, labels, error, message):
        generator = small_generator(num_class_embeds=3)
        for function in (generator, generator.mapping):
            with pytest.raises(error, match=message):
                function(latents(), labels)
