# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
from unittest import mock

import pytest
import torch
from accelerate import init_empty_weights

from gan_diffusion.models.generators.spi_gan import SPIGANGenerator, SPIGANOutput
from gan_diffusion.models.generators.spi_gan_blocks import ODEMapping
from gan_diffusion.models.layers.positions import expand_positions, position_embedding
from gan_diffusion.models.outputs import GeneratorOutput


SMALL = {"sample_size": 16, "w_dim": 24, "mapping_dim": 20, "channel_base": 128, "channel_max": 16}
VECTORS = {"data_dim": 2, "w_dim": 12, "mapping_dim": 16, "hidden_dim": 16}
VARIANTS = [
    {},
    {"mapping_type": "mlp"},
    {"initial_embedding": "conv"},
    {"initial_embedding": "none"},
    {"ode_solver": "euler", "num_ode_steps": 3, "out_channels": 1},
    {"architecture": "resnet", "normalize_embedding": False},
    {"patch_size": 2},
    VECTORS,
    VECTORS | {"initial_embedding": "none", "mapping_type": "mlp"},
]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small_generator(**options):
    torch.manual_seed(0)
    return SPIGANGenerator(**(SMALL | options))


def stirred(generator):
    """Fresh networks do not depend on u or on layer noise: give what starts at zero a size at which mistakes show."""
    source = seeded(5)
    for parameter in generator.parameters():
        if not parameter.any():
            parameter.data = 0.3 * torch.randn(parameter.shape, generator=source)
    return generator


def noise_for(generator, batch: int = 5, seed: int = 1):
    return torch.randn(batch, *generator.noise_shape, generator=seeded(seed))


class TestParts:
    @pytest.mark.parametrize(
        "options, embedding, mapping, synthesis",
        [
            ({}, 1_573_376, 788_480, 19.4),
            ({"sample_size": 64}, 6_291_968, 788_480, 24.9),
            ({"sample_size": 256, "initial_embedding": "conv"}, 2_756_544, 788_480, 27.9),
            ({"data_dim": 2, "w_dim": 32, "mapping_dim": 64}, 96, 8_416, 0.0375),
        ],
    )
    def test_sizes(self, options, embedding, mapping, synthesis):
        if options.get("sample_size") == 64:
            options = options | {"channel_base": 32768}
        with init_empty_weights():
            generator = SPIGANGenerator(**options)

        def count(part):
            return sum(parameter.numel() for parameter in part.parameters())

        assert count(generator.embedding) == embedding
        assert count(generator.mapping) == mapping
        assert abs(count(generator.synthesis) / 1e6 / synthesis - 1) < 0.005

    @pytest.mark.parametrize(
        "size, num_convs, positions", [(8, 0, 64), (16, 1, 16), (64, 2, 16), (128, 2, 64), (256, 3, 16)]
    )
    def test_convolutional_embedding(self, size, num_convs, positions):
        with init_empty_weights():
            options = {"sample_size": size, "channel_base": 4096, "channel_max": 8}
            embedding = SPIGANGenerator(initial_embedding="conv", **options).embedding
        assert len(embedding.convs) == num_convs
        assert embedding.linear.weight.shape[1] == positions * (32 * 2**num_convs if num_convs else 3)

    @pytest.mark.parametrize("size, left", [((64, 32), (16, 8)), (48, (3, 3)), (56, (14, 14)), (28, (7, 7))])
    def test_convolutional_embedding_of_other_sizes(self, size, left):
        generator = small_generator(initial_embedding="conv", sample_size=size)
        noise = noise_for(generator, batch=2)
        assert generator.sample_shape == generator.noise_shape == noise.shape[1:]
        channels = 32 * 2 ** len(generator.embedding.convs)
        assert generator.embedding.linear.in_features == channels * left[0] * left[1]
        assert generator(noise).sample.shape == noise.shape

    def test_convolutions_are_4x4_of_stride_4(self):
        generator = small_generator(initial_embedding="conv")
        noise = noise_for(generator)
        (conv,) = generator.embedding.convs
        weight = conv.weight.reshape(64, 3, 4, 4) / 48**0.5
        hidden = torch.nn.functional.conv2d(noise, weight, stride=4)
        hidden = torch.nn.functional.leaky_relu(hidden, 0.2) * 2**0.5
        expected = generator.embedding.linear(hidden.flatten(1))
        expected = expected / expected.square().mean(dim=1, keepdim=True).sqrt()
        torch.testing.assert_close(generator.embed(noise), expected)

    @pytest.mark.parametrize("options", [{}, {"initial_embedding": "conv"}, {"normalize_embedding": False}, VECTORS])
    def test_embedding_does_not_collapse(self, options):
        generator = small_generator(**options)
        spread = generator.embed(noise_for(generator, batch=256)).std(dim=0)
        assert 0.4 < spread.mean() < 1.6

    @pytest.mark.parametrize(
        "options, normalized", [({}, True), (VECTORS, False), (VECTORS | {"normalize_embedding": True}, True)]
    )
    def test_normalisation(self, options, normalized):
        generator = small_generator(**options)
        size = generator.embed(noise_for(generator)).square().mean(dim=1)
        assert torch.allclose(size, torch.ones(5), atol=1e-5) == normalized

    def test_without_an_embedding_the_noise_is_the_state(self):
        generator = small_generator(initial_embedding="none")
        noise = noise_for(generator)
        assert noise.shape == (5, 24) and generator.embed(noise) is noise


class TestMapping:
    def test_starts_as_the_identity(self):
        generator = small_generator()
        state = generator.embed(noise_for(generator))
        for u in (0.0, 0.3, 1.0):
            assert torch.equal(generator(noise_for(generator), u).styles, state)

    def test_leaves_the_identity_at_once(self):
        """A last layer under the learning-rate multiplier would move h(1) ten times less."""
        generator = small_generator()
        optimizer = torch.optim.Adam(generator.mapping.parameters(), 2.5e-3)
        noise = noise_for(generator)
        generator(noise).sample.square().sum().backward()
        optimizer.step()
        distance = (generator(noise, 1.0).styles - generator(noise, 0.0).styles).square().mean().sqrt()
        assert 2e-4 < distance < 0.1

    @pytest.mark.parametrize("solver", ["euler", "midpoint", "rk4"])
    def test_zero_position_returns_the_embedding(self, solver):
        generator = stirred(small_generator(ode_solver=solver))
        noise = noise_for(generator)
        state = generator.embed(noise)
        styles = generator(noise, torch.tensor([0.0, 1.0, 0.0, 0.5, 0.0])).styles
        assert torch.equal(styles[::2], state[::2])
        assert not torch.isclose(styles[1::2], state[1::2], atol=1e-3).all(dim=1).any()

    def test_follows_its_slope(self):
        """Between two near positions h moves by r(h, u) times their distance."""
        generator = stirred(small_generator(num_ode_steps=32)).double()
        state = generator.embed(noise_for(generator).double())
        u, eps = torch.full((5,), 0.6, dtype=torch.float64), 1e-5
        before, middle, after = (generator.mapping(state, u + shift) for shift in (-eps, 0.0, eps))
        torch.testing.assert_close(
            (after - before) / (2 * eps), generator.mapping.slope(middle, u), rtol=1e-3, atol=1e-3
        )

    def test_slope_depends_on_state_and_time(self):
        mapping = stirred(ODEMapping(4, 8, 3, 0.01, "rk4", 4))
        state, time = torch.randn(3, 4, generator=seeded()), torch.rand(3, generator=seeded())
        slope = mapping.slope(state, time)
        assert slope.shape == (3, 4)
        assert not torch.isclose(slope, mapping.slope(state, time + 0.5)).all(dim=1).any()
        assert not torch.isclose(slope, mapping.slope(-state, time)).all(dim=1).any()

    @pytest.mark.parametrize("mapping_type", ["ode", "mlp"])
    def test_continuous(self, mapping_type):
        generator = stirred(small_generator(mapping_type=mapping_type)).double()
        noise = noise_for(generator).double()
        u = torch.linspace(0.1, 0.9, 5, dtype=torch.float64)
        base = generator(noise, u).styles
        moved = [(generator(noise, u + eps).styles - base).norm(dim=1) for eps in (2e-5, 1e-5)]
        torch.testing.assert_close(moved[0] / moved[1], torch.full_like(u, 2.0), rtol=0.02, atol=0)

    @pytest.mark.parametrize("options", VARIANTS)
    def test_samples_do_not_meet(self, options):
        generator = stirred(small_generator(**options))
        noise, u = noise_for(generator), torch.tensor([0.1, 1.0, 0.4, 0.9, 0.6])
        together = generator(noise, u, noise_mode="none")
        order = torch.tensor([3, 0, 4, 1, 2])
        permuted = generator(noise[order], u[order], noise_mode="none")
        torch.testing.assert_close(permuted.styles, together.styles[order], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(permuted.sample, together.sample[order], rtol=1e-3, atol=1e-3)
        for i in range(5):
            alone = generator(noise[i : i + 1], u[i].item(), noise_mode="none")
            torch.testing.assert_close(alone.sample, together.sample[i : i + 1], rtol=1e-3, atol=1e-3)

    def test_position_embeddings_differ(self):
        near, far = position_embedding(torch.tensor([0.1, 0.9]), 128)
        assert torch.nn.functional.cosine_similarity(near, far, dim=0) < 0.9


class TestForward:
    @pytest.mark.parametrize("options", VARIANTS)
    def test_output(self, options):
        generator = small_generator(**options)
        noise = noise_for(generator)
        output = generator(noise, noise_mode="const")
        shape = (2,) if "data_dim" in options else (options.get("out_channels", 3), 16, 16)
        assert isinstance(output, SPIGANOutput) and isinstance(output, GeneratorOutput)
        assert output.sample.shape == (5, *shape) and output.sample.isfinite().all()
        assert output.styles.shape == (5, generator.config.w_dim)
        sample, styles = generator(noise, 1.0, noise_mode="const", return_dict=False)
        assert torch.equal(sample, output.sample) and torch.equal(styles, output.styles)

    @pytest.mark.parametrize("u", [0.25, torch.tensor(0.25), torch.tensor([0.25]), torch.full((5,), 0.25)])
    def test_forms_of_the_position(self, u):
        generator = stirred(small_generator())
        noise = noise_for(generator)
        expected = generator(noise, torch.full((5,), 0.25, dtype=torch.float64), noise_mode="none").sample
        torch.testing.assert_close(generator(noise, u, noise_mode="none").sample, expected)

    def test_one_is_the_default_position(self):
        generator = stirred(small_generator())
        noise = noise_for(generator)
        assert torch.equal(generator(noise, noise_mode="none").sample, generator(noise, 1, noise_mode="none").sample)

    @pytest.mark.parametrize("options", [{}, {"mapping_type": "mlp"}, VECTORS])
    def test_position_reaches_the_image_only_through_the_style(self, options):
        generator = stirred(small_generator(**options))
        noise = noise_for(generator)
        output = generator(noise, 0.7, noise_mode="none")
        ws = output.styles[:, None].repeat(1, generator.synthesis.num_ws, 1)
        assert torch.equal(generator.synthesis(ws, "none"), output.sample)
        assert (
            not torch.isclose(generator(noise, 0.2, noise_mode="none").sample, output.sample).flatten(1).all(1).any()
        )

    def test_one_synthesis_call(self):
        generator = small_generator(num_ode_steps=3)
        with (
            mock.patch.object(generator.synthesis, "forward", wraps=generator.synthesis.forward) as synthesis,
            mock.patch.object(generator.mapping, "slope", wraps=generator.mapping.slope) as slope,
        ):
            generator(noise_for(generator), torch.rand(5))
        assert synthesis.call_count == 1 and slope.call_count == 4 * 3

    def test_layer_noise(self):
        generator = stirred(small_generator())
        noise = noise_for(generator)
        first, second, other = (generator(noise, generator=seeded(s)).sample for s in (2, 2, 3))
        assert torch.equal(first, second) and not torch.allclose(first, other)
        assert torch.equal(generator(noise, noise_mode="const").sample, generator(noise, noise_mode="const").sample)
        listed = generator(noise[:2], generator=[seeded(2), seeded(3)]).sample
        alone = [generator(noise[i : i + 1], generator=seeded(s)).sample for i, s in enumerate((2, 3))]
        torch.testing.assert_close(listed, torch.cat(alone), rtol=1e-3, atol=1e-3)

    @pytest.mark.parametrize("options", VARIANTS)
    def test_gradients_reach_every_parameter(self, options):
        generator = stirred(small_generator(**options))
        generator(noise_for(generator), torch.rand(5, generator=seeded())).sample.square().sum().backward()
        for name, parameter in generator.named_parameters():
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), name

    def test_gradient_checkpointing_changes_nothing(self):
        generator = stirred(small_generator())
        noise = noise_for(generator)
        gradients = []
        for checkpointing in (False, True):
            if checkpointing:
                generator.enable_gradient_checkpointing()
            generator.zero_grad()
            generator(noise, 0.5, generator=seeded()).sample.square().mean().backward()
            gradients.append([parameter.grad.clone() for parameter in generator.parameters()])
        for expected, actual in zip(*gradients, strict=True):
            torch.testing.assert_close(actual, expected)

    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
    def test_other_float_types(self, dtype):
        generator = small_generator().to(dtype)
        output = generator(noise_for(generator).to(dtype), torch.rand(5))
        assert output.sample.dtype == dtype and output.sample.isfinite().all()
        assert output.styles.dtype == (dtype if dtype == torch.float64 else torch.float32)

    def test_compiles_without_graph_breaks(self):
        generator = stirred(small_generator())
        compiled = torch.compile(generator, fullgraph=True, backend="aot_eager")
        args = (noise_for(generator), torch.rand(5, generator=seeded()), None, "const")
        torch.testing.assert_close(compiled(*args).sample, generator(*args).sample, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("options", VARIANTS)
def test_round_trip_is_exact(options, tmp_path):
    generator = stirred(small_generator(**options))
    generator.save_pretrained(tmp_path)
    loaded = SPIGANGenerator.from_pretrained(tmp_path)
    noise, u = noise_for(generator), torch.rand(5, generator=seeded())
    assert torch.equal(loaded(noise, u, noise_mode="const").sample, generator(noise, u, noise_mode="const").sample)
    names = [name for name in generator.config if not name.startswith("_")]
    assert all(
        loaded.config[name] == generator.config[name] or list(generator.config[name]) == loaded.config[name]
        for name in names
    )


class TestErrors:
    @pytest.mark.parametrize(
        "options, message",
        [
            ({"initial_embedding": "pool"}, r"`initial_embedding` must be one of .* got 'pool'"),
            ({"mapping_type": "node"}, r"`mapping_type` must be one of .* got 'node'"),
            (
                {"initial_embedding": "conv"} | VECTORS,
                '`initial_embedding` must be "linear" or "none" with `data_dim`',
            ),
            ({"num_mapping_layers": 0}, "`num_mapping_layers` must be at least 1, got 0"),
            ({"mapping_dim": 0}, "`mapping_dim` must be at least 1, got 0"),
            ({"w_dim": 0}, "`w_dim` must be at least 1, got 0"),
            ({"mapping_lr_multiplier": 0.0}, "`mapping_lr_multiplier` must be a positive number, got 0.0"),
            ({"ode_solver": "heun"}, "`solver` must be one of"),
            ({"num_ode_steps": 0}, "`num_ode_steps` must be at least 1, got 0"),
            ({"sample_size": 36}, "`sample_size` must be reached by doubling"),
            (VECTORS | {"hidden_dim": 2}, "`hidden_dim` must be at least 4, got 2"),
        ],
    )
    def test_constructor(self, options, message):
        with pytest.raises(ValueError, match=message):
            SPIGANGenerator(**(SMALL | options))

    @pytest.mark.parametrize("shape", [(2, 3, 8, 8), (2, 1, 16, 16), (2, 24), (3, 16, 16)])
    def test_noise(self, shape):
        with pytest.raises(ValueError, match=r"`noise` must have shape \(batch, 3, 16, 16\), got"):
            small_generator()(torch.zeros(shape))

    @pytest.mark.parametrize("u", [-0.1, 1.5, float("nan"), torch.tensor([0.5, 1.1])])
    def test_positions(self, u):
        with pytest.raises(ValueError, match=r"`u` must be in \[0, 1\], got"):
            expand_positions(u, 2, torch.device("cpu"))
        with pytest.raises(ValueError, match=r"`u` must be a number or have shape \(2,\), got shape \(3,\)"):
            expand_positions(torch.ones(3), 2, torch.device("cpu"))

    def test_vectors_and_bare_states(self):
        with pytest.raises(ValueError, match=r"`noise` must have shape \(batch, 2\), got \(5, 3\)"):
            small_generator(**VECTORS)(torch.zeros(5, 3))
        with pytest.raises(ValueError, match=r"`noise` must have shape \(batch, 24\), got \(5, 3\)"):
            small_generator(initial_embedding="none")(torch.zeros(5, 3))

    def test_noise_mode(self):
        generator = small_generator()
        with pytest.raises(ValueError, match="`noise_mode` must be one of"):
            generator(noise_for(generator), noise_mode="fixed")
