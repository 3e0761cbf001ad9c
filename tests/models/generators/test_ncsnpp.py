# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import itertools

import pytest
import torch
from accelerate import init_empty_weights
from golden_utils import assert_matches, golden_state_dict, load_golden, load_golden_json, load_golden_metadata

from gan_diffusion.conversion import (
    convert_ddgan_generator,
    ddgan_generator_key_map,
    ddgan_generator_modules,
    export_ddgan_generator,
)
from gan_diffusion.models import NCSNppGenerator
from gan_diffusion.models.outputs import GeneratorOutput


SMALL = {
    "sample_size": 8,
    "base_channels": 16,
    "channel_multipliers": (1, 2),
    "layers_per_block": 1,
    "attention_resolutions": (4,),
    "latent_dim": 6,
    "latent_embed_dim": 12,
    "num_latent_layers": 1,
}
# The configurations of the two published models and of the three golden generators, in our words.
PUBLISHED = {
    "generator_cifar10": {},
    "generator_celebahq256_lsun256": {
        "sample_size": 256,
        "base_channels": 64,
        "channel_multipliers": (1, 1, 2, 2, 4, 4),
        "num_latent_layers": 3,
    },
}
GOLDEN = {
    "a": {
        "sample_size": 16,
        "base_channels": 32,
        "channel_multipliers": (1, 2),
        "layers_per_block": 1,
        "attention_resolutions": (8,),
        "num_latent_layers": 2,
        "latent_dim": 16,
        "latent_embed_dim": 32,
        "fir_taps": None,
        "progressive_input": "none",
    },
    "b": {
        "sample_size": 32,
        "base_channels": 32,
        "channel_multipliers": (1, 2, 2),
        "num_latent_layers": 3,
        "latent_embed_dim": 64,
    },
    "c": {
        "sample_size": 16,
        "in_channels": 1,
        "base_channels": 32,
        "channel_multipliers": (1, 2, 2),
        "layers_per_block": 1,
        "attention_resolutions": (8,),
        "num_latent_layers": 1,
        "latent_dim": 8,
        "latent_embed_dim": 24,
        "block_type": "biggan_oneadagn",
        "progressive_input": "input_skip",
        "progressive_output": "output_skip",
        "progressive_combine": "cat",
        "time_embedding_type": "fourier",
        "skip_rescale": False,
        "use_tanh": False,
    },
}


def randomised(model):
    """Fresh networks output almost nothing: give every weight a size at which mistakes show."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
    return model


def small_generator(**options):
    return randomised(NCSNppGenerator(**(SMALL | options)))


def inputs(batch=2, channels=3, size=8, latent_dim=6):
    generator = torch.Generator().manual_seed(1)
    sample = torch.randn(batch, channels, size, size, generator=generator)
    return sample, torch.arange(batch), torch.randn(batch, latent_dim, generator=generator)


def golden_generator(name):
    layout = NCSNppGenerator(**GOLDEN[name])
    shapes = {key: value.shape for key, value in export_ddgan_generator(layout).items()}
    metadata = load_golden_metadata(f"ddgan/generator_{name}")
    assert len(shapes) == metadata["num_state_dict_keys"]
    assert sum(parameter.numel() for parameter in layout.parameters()) == metadata["param_count"]
    return convert_ddgan_generator(golden_state_dict(shapes), **metadata["config"])


@pytest.mark.parametrize("name", ["a", "b", "c"])
class TestGolden:
    def test_float64(self, name):
        golden = load_golden(f"ddgan/generator_{name}")
        generator = golden_generator(name).double()
        outputs = {}

        def record(i):
            def hook(module, args, output):
                outputs[i] = (output[0] if isinstance(output, tuple) else output).clone()

            return hook

        module_names = ddgan_generator_modules(generator)
        for i, module_name in enumerate(module_names):
            generator.get_submodule(module_name).register_forward_hook(record(i))
        x, z = golden["x"].double().requires_grad_(), golden["z"].double().requires_grad_()

        assert_matches(generator.latent_mapping(z), golden["zemb"])
        out = generator(x, golden["t"], z).sample
        for i, (mean, std) in zip(golden["trace.index"].tolist(), golden["trace.mean_std"], strict=True):
            expected = torch.stack([mean, std])
            actual = torch.stack([outputs[i].mean(), outputs[i].std(correction=0)])
            assert_matches(actual, expected, name=f"module {i}, {module_names[i]}")
        assert_matches(out, golden["out"], name="out")

        (out * golden["fixed"].double()).sum().backward()
        assert_matches(x.grad, golden["grad.x"], name="grad.x")
        assert_matches(z.grad, golden["grad.z"], name="grad.z")
        key_map, parameters = ddgan_generator_key_map(generator), dict(generator.named_parameters())
        keys = [key.removeprefix("grad.param.") for key in golden if key.startswith("grad.param.")]
        assert keys
        for key in keys:
            assert_matches(parameters[key_map[key]].grad, golden[f"grad.param.{key}"], name=f"gradient of {key}")

    def test_float32(self, name):
        golden = load_golden(f"ddgan/generator_{name}")
        generator = golden_generator(name)
        recorded = generator(golden["x"], golden["t"], golden["z"]).sample
        with torch.no_grad():
            unrecorded = generator(golden["x"], golden["t"], golden["z"]).sample
        for out in (recorded, unrecorded):
            assert_matches(out, golden["out_f32"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_layout(name):
    """Every reference key and shape of the published configurations, and nothing else."""
    expected = {key: tuple(shape) for key, shape in load_golden_json("ddgan/state_dict_shapes")[name].items()}
    with init_empty_weights():
        generator = NCSNppGenerator(**PUBLISHED[name])
    actual = {key: tuple(value.shape) for key, value in export_ddgan_generator(generator).items()}
    assert actual == expected
    count = {"generator_cifar10": 48_432_515, "generator_celebahq256_lsun256": 39_726_979}[name]
    assert sum(parameter.numel() for parameter in generator.parameters()) == count


TAPS = (1, 3, 3, 1)
OPTIONS = [
    {"block_type": block_type, "fir_taps": fir_taps}
    for block_type, fir_taps in itertools.product(("biggan_oneadagn", "ddpm"), (TAPS, None))
] + [
    {"progressive_input": progressive_input, "progressive_output": progressive_output, "fir_taps": fir_taps}
    for progressive_input, progressive_output, fir_taps in itertools.product(
        ("none", "input_skip", "residual"), ("none", "output_skip"), (TAPS, None)
    )
]
OPTIONS += [
    {"progressive_input": "input_skip", "progressive_combine": "cat"},
    {"time_embedding_type": "fourier"},
    {"time_embedding_type": "fourier", "time_conditioning": False},
    {"time_conditioning": False},
    {"centered": False},
    {"skip_rescale": False},
    {"use_tanh": False},
    {"dropout": 0.5},
    {"fir_taps": (1, 2, 1)},
    {"attention_resolutions": ()},
    {"attention_resolutions": (8, 4)},
    {"channel_multipliers": (1,)},
    {"num_class_embeds": 3},
    {"patch_size": 2},
    {"patch_size": 2, "progressive_output": "output_skip"},
    {"patch_size": 4, "progressive_input": "input_skip"},
    {"latent_dim": 0},
]


class TestOptions:
    @pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(map(str, options.values())))
    def test_every_option_runs_and_trains(self, options):
        generator = small_generator(**options)
        sample, timestep, latent = inputs(latent_dim=generator.config.latent_dim)
        labels = torch.tensor([0, 2]) if "num_class_embeds" in options else None
        out = generator(sample, timestep, latent, labels).sample
        assert out.shape == sample.shape
        out.square().sum().backward()
        for name, parameter in generator.named_parameters():
            if parameter.requires_grad:
                assert parameter.grad is not None, f"{name} is not used"
                assert parameter.grad.isfinite().all(), name

    def test_time_changes_the_output_only_with_time_conditioning(self):
        sample, _, latent = inputs()
        for conditioning in (True, False):
            generator = small_generator(time_conditioning=conditioning)
            same = torch.equal(generator(sample, 0, latent).sample, generator(sample, 1, latent).sample)
            assert same is not conditioning

    def test_uncentered_input_is_mapped(self):
        sample, timestep, latent = inputs()
        centered, uncentered = small_generator(), small_generator(centered=False)
        expected = centered(2 * sample - 1, timestep, latent).sample
        torch.testing.assert_close(uncentered(sample, timestep, latent).sample, expected)

    def test_fresh_generator_outputs_next_to_nothing(self):
        sample, timestep, latent = inputs()
        out = NCSNppGenerator(**SMALL)(sample, timestep, latent).sample
        assert 0 < out.abs().max() < 1e-3

    @pytest.mark.parametrize("time_conditioning", [True, False])
    def test_class_labels_matter(self, time_conditioning):
        generator = small_generator(num_class_embeds=3, time_conditioning=time_conditioning)
        sample, timestep, latent = inputs()
        first, second = (generator(sample, timestep, latent, torch.tensor([0, label])).sample for label in (1, 2))
        assert torch.equal(first[0], second[0])
        assert not torch.equal(first[1], second[1])


class TestSizes:
    def test_pair_is_height_and_width(self):
        generator = small_generator(sample_size=(12, 20), attention_resolutions=(12,))
        assert generator.sample_shape == (3, 12, 20)
        assert len(generator.down_blocks[0].attentions) == 1 and not generator.down_blocks[1].attentions
        assert generator(torch.randn(2, 3, 12, 20), 0, torch.randn(2, 6)).sample.shape == (2, 3, 12, 20)

    @pytest.mark.parametrize("size", [9, (8, 9), (9, 8)])
    def test_sides_that_do_not_divide(self, size):
        with pytest.raises(ValueError, match="`sample_size` must be a multiple of 2 for 2 levels"):
            small_generator(sample_size=size)


class TestPatches:
    def test_patches_are_the_channels_of_a_smaller_image(self):
        """A network on patches does what one on their pixels as channels does."""
        patched, plain = small_generator(patch_size=2), small_generator(sample_size=4, in_channels=12)
        sample, timestep, latent = inputs()
        channels = torch.nn.functional.pixel_unshuffle(sample, 2)
        expected = torch.nn.functional.pixel_shuffle(plain(channels, timestep, latent).sample, 2)
        assert torch.equal(patched(sample, timestep, latent).sample, expected)
        assert patched.sample_shape == (3, 8, 8)

    def test_attention_is_placed_by_the_height_of_the_features(self):
        blocks = small_generator(patch_size=2, attention_resolutions=(4,)).down_blocks
        assert len(blocks[0].attentions) == 1 and not blocks[1].attentions

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"patch_size": 0}, "`patch_size` must be at least 1, got 0"),
            ({"patch_size": 3}, "`sample_size` must be a multiple of 6 for 2 levels and `patch_size` 3, got 8"),
        ],
    )
    def test_sizes_that_do_not_divide(self, options, message):
        with pytest.raises(ValueError, match=message):
            small_generator(**options)

    def test_sample_that_does_not_divide(self):
        with pytest.raises(ValueError, match="`sample` must have a height and width that are multiples of 4"):
            small_generator(patch_size=2)(torch.randn(2, 3, 6, 8), 0, torch.randn(2, 6))


class TestForward:
    def test_tuple_and_output(self):
        generator, args = small_generator(), inputs()
        output = generator(*args)
        assert isinstance(output, GeneratorOutput)
        (sample,) = generator(*args, return_dict=False)
        assert torch.equal(sample, output.sample)

    @pytest.mark.parametrize("timestep", [1, torch.tensor(1), torch.tensor([1]), torch.tensor([1, 1]), 1.0])
    def test_timestep_forms(self, timestep):
        generator = small_generator()
        sample, _, latent = inputs()
        expected = generator(sample, torch.tensor([1, 1]), latent).sample
        assert torch.equal(generator(sample, timestep, latent).sample, expected)

    def test_samples_are_independent(self):
        generator = small_generator()
        sample, timestep, latent = inputs(batch=3)
        together = generator(sample, timestep, latent).sample
        for b in range(3):
            alone = generator(sample[b : b + 1], timestep[b : b + 1], latent[b : b + 1]).sample
            torch.testing.assert_close(alone[0], together[b], atol=1e-5, rtol=1e-5)

    def test_memory_format_of_the_input_does_not_matter(self):
        generator = small_generator()
        sample, timestep, latent = inputs()
        expected = generator(sample, timestep, latent).sample
        actual = generator(sample.contiguous(memory_format=torch.channels_last), timestep, latent).sample
        assert torch.equal(actual, expected)
        actual = generator.to(memory_format=torch.channels_last)(sample, timestep, latent).sample
        torch.testing.assert_close(actual, expected)

    def test_other_sizes_than_configured(self):
        generator = small_generator()
        latent = torch.randn(2, 6)
        for size in ((16, 16), (4, 10)):
            assert generator(torch.randn(2, 3, *size), 0, latent).sample.shape == (2, 3, *size)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_precision(self, dtype):
        generator = small_generator()
        sample, timestep, latent = inputs()
        expected = generator(sample, timestep, latent).sample
        actual = generator.to(dtype)(sample.to(dtype), timestep, latent.to(dtype)).sample
        assert actual.dtype == dtype
        torch.testing.assert_close(actual.float(), expected, atol=0.1, rtol=0.1)

    @pytest.mark.parametrize("no_grad", [True, False])
    def test_autocast(self, no_grad):
        generator = small_generator()
        sample, timestep, latent = inputs()
        expected = generator(sample, timestep, latent).sample
        with torch.autocast("cpu", torch.bfloat16), torch.set_grad_enabled(not no_grad):
            actual = generator(sample, timestep, latent).sample
        torch.testing.assert_close(actual.float(), expected, atol=0.1, rtol=0.1)
        if not no_grad:
            actual.float().sum().backward()
            assert all(parameter.grad.isfinite().all() for parameter in generator.parameters())

    def test_compiles_without_graph_breaks(self):
        generator = small_generator(num_class_embeds=3)
        args = (*inputs(), torch.tensor([0, 2]))
        expected = generator(*args).sample
        expected.sum().backward()
        gradients = [parameter.grad.clone() for parameter in generator.parameters()]
        generator.zero_grad()

        compiled = torch.compile(generator, fullgraph=True, backend="aot_eager")
        actual = compiled(*args).sample
        torch.testing.assert_close(actual, expected)
        actual.sum().backward()
        for parameter, gradient in zip(generator.parameters(), gradients, strict=True):
            torch.testing.assert_close(parameter.grad, gradient, atol=1e-4, rtol=1e-4)
        with torch.no_grad():
            torch.testing.assert_close(compiled(*args).sample, expected)

    def test_repeated_blocks_compile(self):
        generator, args = small_generator(), inputs()
        expected = generator(*args).sample
        generator.compile_repeated_blocks(fullgraph=True, backend="eager")
        torch.testing.assert_close(generator(*args).sample, expected)

    def test_layerwise_casting(self):
        generator, args = small_generator(), inputs()
        with torch.no_grad():
            expected = generator(*args).sample
            generator.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32)
            assert generator.conv_in.weight.dtype == torch.float8_e4m3fn
            torch.testing.assert_close(generator(*args).sample, expected, atol=0.2, rtol=0.2)

    def test_gradient_checkpointing_changes_memory_only(self):
        args = inputs()
        results = []
        for checkpointing in (False, True):
            generator = small_generator(progressive_output="output_skip")
            if checkpointing:
                generator.enable_gradient_checkpointing()
            calls = []
            handle = (
                generator.down_blocks[0].resnets[0].register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
            )
            out = generator(*args).sample
            out.square().sum().backward()
            handle.remove()
            results.append((out, [parameter.grad for parameter in generator.parameters()], len(calls)))
        (plain, plain_grads, once), (checkpointed, checkpointed_grads, twice) = results
        assert (once, twice) == (1, 2)
        assert torch.equal(plain, checkpointed)
        for expected, actual in zip(plain_grads, checkpointed_grads, strict=True):
            assert torch.equal(expected, actual)


class TestSaving:
    @pytest.mark.parametrize("options", [{}, {"time_embedding_type": "fourier", "num_class_embeds": 3}])
    def test_round_trip_is_exact(self, tmp_path, options):
        generator = small_generator(**options).to(memory_format=torch.channels_last)
        args = (*inputs(), torch.tensor([0, 2]) if options else None)
        generator.save_pretrained(tmp_path)
        loaded = NCSNppGenerator.from_pretrained(tmp_path)
        for name, value in generator.config.items():
            if not name.startswith("_"):
                assert loaded.config[name] == (list(value) if isinstance(value, tuple) else value), name
        for key, value in generator.state_dict().items():
            assert torch.equal(loaded.state_dict()[key], value), key
        with torch.no_grad():
            expected = generator(*args).sample
            torch.testing.assert_close(loaded(*args).sample, expected)
            assert torch.equal(loaded.to(memory_format=torch.channels_last)(*args).sample, expected)

    @pytest.mark.parametrize("keep", [0.5, 0.001])
    def test_truncated_weights_are_refused(self, tmp_path, keep):
        small_generator().save_pretrained(tmp_path)
        (path,) = tmp_path.glob("*.safetensors")
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * keep)])
        with pytest.raises(Exception, match="safetensors|header|incomplete"):
            NCSNppGenerator.from_pretrained(tmp_path)


class TestErrors:
    @pytest.mark.parametrize(
        "options, message",
        [
            ({"block_type": "stylegan"}, "`block_type` must be one of"),
            ({"progressive_input": "skip"}, "`progressive_input` must be one of"),
            ({"progressive_output": "sum"}, "`progressive_output` must be one of"),
            ({"progressive_combine": "add"}, "`progressive_combine` must be one of"),
            ({"time_embedding_type": "sine"}, "`time_embedding_type` must be one of"),
            ({"channel_multipliers": ()}, "`channel_multipliers` must have at least one level"),
            ({"base_channels": 2}, "`base_channels` must be at least 4"),
            ({"layers_per_block": 0}, "`layers_per_block` must be at least 1"),
            ({"progressive_output": "residual"}, "`progressive_output` must be one of .*, got 'residual'"),
            ({"sample_size": 9}, "`sample_size` must be a multiple of 2 for 2 levels and `patch_size` 1, got 9"),
            ({"base_channels": 18}, "got a width of 18 for 4 groups"),
            ({"base_channels": 48, "channel_multipliers": (1, 2)}, "got a width of 144 for 32 groups"),
        ],
    )
    def test_constructor(self, options, message):
        with pytest.raises(ValueError, match=message):
            NCSNppGenerator(**(SMALL | options))

    @pytest.mark.parametrize(
        "changes, message",
        [
            ({"sample": torch.zeros(2, 1, 8, 8)}, r"`sample` must have shape \(batch, 3, height, width\)"),
            ({"sample": torch.zeros(2, 3, 8)}, r"`sample` must have shape \(batch, 3, height, width\)"),
            ({"sample": torch.zeros(2, 3, 8, 7)}, "multiples of 2"),
            ({"latent": torch.zeros(2, 5)}, r"`latent` must have shape \(2, 6\), got \(2, 5\)"),
            ({"latent": torch.zeros(3, 6)}, r"`latent` must have shape \(2, 6\), got \(3, 6\)"),
            ({"timestep": torch.zeros(3)}, r"`timestep` must be a number or have shape \(2,\), got shape \(3,\)"),
            ({"timestep": torch.zeros(2, 1)}, "`timestep` must be a number"),
            (
                {"class_labels": torch.zeros(2, dtype=torch.long)},
                "`class_labels` must be None for a model without classes",
            ),
        ],
    )
    def test_forward(self, changes, message):
        sample, timestep, latent = inputs()
        arguments = {"sample": sample, "timestep": timestep, "latent": latent} | changes
        with pytest.raises(ValueError, match=message):
            small_generator()(**arguments)

    @pytest.mark.parametrize(
        "labels, error, message",
        [
            (None, ValueError, "`class_labels` must be given for a model of 3 classes"),
            (torch.tensor([0, 3]), ValueError, r"`class_labels` must be in 0..2, got 0..3"),
            (torch.tensor([-1, 0]), ValueError, r"`class_labels` must be in 0..2, got -1..0"),
            (torch.tensor([0]), ValueError, r"`class_labels` must have shape \(2,\), got \(1,\)"),
            (torch.tensor([0.0, 1.0]), TypeError, "`class_labels` must be int64 or int32"),
        ],
    )
    def test_class_labels(self, labels, error, message):
        with pytest.raises(error, match=message):
            small_generator(num_class_embeds=3)(*inputs(), labels)
