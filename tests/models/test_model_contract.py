# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""What diffusers' users expect of every network: outputs, saving, precision, memory, compilation."""

import copy
import inspect
import pickle

import pytest
import torch
from accelerate import cpu_offload, disk_offload, dispatch_model
from accelerate.utils import convert_outputs_to_fp32
from diffusers.training_utils import EMAModel
from tiny_features import TINY, TWO

from gan_diffusion import (
    DDGANDiscriminator,
    FastGANGenerator,
    LatentMLPGenerator,
    MLPDiscriminator,
    MLPGenerator,
    NCSNppGenerator,
    ProjectedDiscriminator,
    SPIGANDiscriminator,
    SPIGANGenerator,
    StyleGAN2Discriminator,
    StyleGAN2Generator,
)


PYRAMID = {"sample_size": (12, 24), "channel_base": 96, "channel_max": 16, "num_class_embeds": 3}
NCSNPP = {
    "sample_size": (12, 8),
    "base_channels": 16,
    "channel_multipliers": (1, 2),
    "layers_per_block": 1,
    "attention_resolutions": (6,),
    "latent_dim": 6,
    "latent_embed_dim": 12,
    "num_latent_layers": 1,
    "num_class_embeds": 3,
}
DDGAN = {"base_channels": 8, "channel_multipliers": (1, 2, 2), "downsample": (True, False), "num_class_embeds": 3}
VECTORS = {"hidden_dim": 16, "num_class_embeds": 3}
SAN = {"last_layer": "san"}


def normal(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


def states(batch, *shape):
    return {"sample": normal(batch, *shape), "timestep": torch.arange(batch) % 4}


# Name -> class, options, inputs of a batch.
NETWORKS = {
    "ncsnpp": (NCSNppGenerator, NCSNPP, lambda b: states(b, 3, 12, 8) | {"latent": normal(b, 6)}),
    "stylegan2": (
        StyleGAN2Generator,
        PYRAMID | {"latent_dim": 6, "w_dim": 10, "num_mapping_layers": 2},
        lambda b: {"latent": normal(b, 6), "noise_mode": "const"},
    ),
    "fastgan": (
        FastGANGenerator,
        {"sample_size": 64, "latent_dim": 6, "base_channels": 4, "lite": True, "num_class_embeds": 3},
        lambda b: {"latent": normal(b, 6)},
    ),
    "spi_gan": (
        SPIGANGenerator,
        PYRAMID | {"w_dim": 10, "mapping_dim": 12, "architecture": "resnet"},
        lambda b: {"noise": normal(b, 3, 12, 24), "u": torch.rand(b), "noise_mode": "const"},
    ),
    "spi_gan_vectors": (
        SPIGANGenerator,
        VECTORS | {"data_dim": 2, "w_dim": 10, "mapping_dim": 12, "mapping_type": "mlp"},
        lambda b: {"noise": normal(b, 2), "u": torch.rand(b)},
    ),
    "mlp": (MLPGenerator, VECTORS, lambda b: states(b, 2) | {"latent": normal(b, 2)}),
    "latent_mlp": (LatentMLPGenerator, VECTORS, lambda b: {"latent": normal(b, 2)}),
    "ddgan_d": (DDGANDiscriminator, DDGAN, lambda b: states(b, 3, 12, 8) | {"noisier_sample": normal(b, 3, 12, 8)}),
    "stylegan2_d": (StyleGAN2Discriminator, PYRAMID | {"num_mapping_layers": 2}, lambda b: states(b, 3, 12, 24)),
    "spi_gan_d": (
        SPIGANDiscriminator,
        PYRAMID | {"position_embed_dim": 8, "projection": True},
        lambda b: {"sample": normal(b, 3, 12, 24), "u": torch.rand(b)},
    ),
    "projected_d": (
        ProjectedDiscriminator,
        TINY | {"num_class_embeds": 3, "timestep_embedding": "sinusoidal"},
        lambda b: states(b, 3, 12, 24),
    ),
    "projected_two_d": (ProjectedDiscriminator, TWO | {"num_class_embeds": 3}, lambda b: states(b, 3, 12, 24)),
    "mlp_d": (MLPDiscriminator, VECTORS, lambda b: states(b, 2) | {"noisier_sample": normal(b, 2)}),
}
# The last layer of a SAN is a layer, or made of the condition.
for _name in ("ddgan", "stylegan2", "projected"):
    _class, _options, _inputs = NETWORKS[f"{_name}_d"]
    NETWORKS[f"{_name}_san_d"] = (_class, _options | SAN, _inputs)
CHECKPOINTED = ("ncsnpp", "stylegan2", "spi_gan", "spi_gan_vectors")


def make_network(name):
    torch.manual_seed(0)
    network_class, options, _ = NETWORKS[name]
    network = network_class(**options)
    for parameter in network.parameters():  # fresh networks output almost nothing, or do not see some inputs
        if parameter.abs().max() < 1e-3:
            torch.nn.init.normal_(parameter, std=0.1)
    if isinstance(network, ProjectedDiscriminator):
        network.load_features()  # not inside a compiled network
    return network.eval()


def make_inputs(name, batch=4):
    torch.manual_seed(1)
    return NETWORKS[name][2](batch) | {"class_labels": torch.arange(batch) % 3}


def first(output):
    return next(iter(output.values()))


def parts_of(module, no_split, prefix=""):
    """Names of the smallest parts that may lie on devices of their own."""
    if type(module).__name__ in no_split or not any(True for _ in module.children()):
        return [prefix]
    children = [(name, child) for name, child in module.named_children() if any(True for _ in child.parameters())]
    return [part for name, child in children for part in parts_of(child, no_split, f"{prefix}.{name}".lstrip("."))]


def run(network, name, **options):
    with torch.no_grad():
        return first(network(**make_inputs(name), **options))


@pytest.fixture(params=NETWORKS)
def name(request):
    return request.param


@pytest.fixture
def network(name):
    return make_network(name)


class TestOutputs:
    def test_output_and_tuple_are_the_same(self, network, name):
        with torch.no_grad():
            output = network(**make_inputs(name))
            values = network(**make_inputs(name), return_dict=False)
        assert isinstance(values, tuple) and len(values) == len(output)
        for expected, actual in zip(output.values(), values, strict=True):
            assert torch.equal(expected, actual)
        parameters = list(inspect.signature(network.forward).parameters)
        assert "return_dict" in parameters and "class_labels" in parameters

    def test_output_can_be_rebuilt_from_a_dict(self, network, name):
        output = network(**make_inputs(name))
        rebuilt = type(output)(dict(output))
        assert list(rebuilt) == list(output)
        assert all(torch.equal(rebuilt[key], output[key]) and getattr(rebuilt, key) is rebuilt[key] for key in output)

    def test_shape(self, network, name):
        value = run(network, name)
        logits = 2 * 3 * 9 if name.startswith("projected") else 1  # of two heads
        logits *= 2 if name == "projected_two_d" else 1
        shape = (logits,) if name.endswith("_d") else network.sample_shape
        assert value.shape == (4, *shape) and value.isfinite().all()

    def test_deterministic(self, network, name):
        assert torch.equal(run(network, name), run(network, name))

    def test_class_labels_matter(self, network, name):
        inputs = make_inputs(name)
        other = inputs | {"class_labels": (inputs["class_labels"] + 1) % 3}
        with torch.no_grad():
            values, changed = first(network(**inputs)), first(network(**other))
        assert not torch.isclose(values, changed).flatten(1).all(dim=1).any()

    @pytest.mark.parametrize(
        "labels, error", [(None, ValueError), (torch.tensor([0, 1, 2, 3]), ValueError), (torch.rand(4), TypeError)]
    )
    def test_bad_class_labels_are_named(self, network, name, labels, error):
        with pytest.raises(error, match="`class_labels` must be"):
            network(**make_inputs(name) | {"class_labels": labels})

    @pytest.mark.parametrize("batch", [1, 2, 3, 5, 6, 7])
    def test_any_batch(self, network, name, batch):
        assert len(first(network(**make_inputs(name, batch)))) == batch


class TestSaving:
    def test_round_trip_is_exact(self, network, name, tmp_path):
        network.save_pretrained(tmp_path)
        for options in ({}, {"low_cpu_mem_usage": False}):
            loaded = type(network).from_pretrained(tmp_path, **options)
            assert not loaded.training
            # A weight that is loaded lies elsewhere in memory, on which the last digit of a matrix product may depend.
            torch.testing.assert_close(run(loaded, name), run(network, name), rtol=1e-6, atol=1e-6)
            for key, value in network.state_dict().items():
                assert torch.equal(loaded.state_dict()[key], value), key

    def test_variant_and_shards(self, network, name, tmp_path):
        size = sum(value.numel() * value.element_size() for value in network.state_dict().values())
        network.save_pretrained(tmp_path, variant="ema", max_shard_size=size // 2)
        assert len(list(tmp_path.glob("*ema*.safetensors"))) > 1
        loaded = type(network).from_pretrained(tmp_path, variant="ema")
        assert all(torch.equal(loaded.state_dict()[key], value) for key, value in network.state_dict().items())
        with pytest.raises(OSError):
            type(network).from_pretrained(tmp_path)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_precision_round_trip(self, network, name, tmp_path, dtype):
        expected = run(network, name)
        network.to(dtype).save_pretrained(tmp_path)
        loaded = type(network).from_pretrained(tmp_path, dtype=dtype)
        assert loaded.dtype == dtype
        inputs = {
            key: value.to(dtype)
            if isinstance(value, torch.Tensor) and value.is_floating_point() and key != "u"
            else value
            for key, value in make_inputs(name).items()
        }
        with torch.no_grad():
            value = first(loaded(**inputs))
        assert value.dtype == dtype
        torch.testing.assert_close(value.float(), expected, rtol=0.1, atol=0.1 * expected.abs().max().item())

    def test_copies_are_equal(self, network, name):
        for duplicate in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
            assert torch.equal(run(duplicate, name), run(network, name))

    def test_from_config(self, network, name):
        rebuilt = type(network).from_config(network.config)
        configs = [dict(each.config) for each in (rebuilt, network)]
        # diffusers makes this list of a set.
        defaults = [set(config.pop("_use_default_values", [])) for config in configs]
        assert configs[0] == configs[1] and defaults[0] == defaults[1]
        assert {key: value.shape for key, value in rebuilt.state_dict().items()} == {
            key: value.shape for key, value in network.state_dict().items()
        }


class TestTraining:
    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_mixed_precision_as_accelerate_wraps_it(self, network, name, dtype):
        network.train()
        expected = run(copy.deepcopy(network), name)  # a copy, as batch norm changes in training mode
        forward = convert_outputs_to_fp32(torch.autocast("cpu", dtype=dtype)(network.forward))
        output = forward(**make_inputs(name))
        assert all(value.dtype == torch.float32 for value in output.values())
        torch.testing.assert_close(first(output), expected, rtol=0.1, atol=0.1 * expected.abs().max().item())
        sum(value.square().mean() for value in output.values()).backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters() if p.requires_grad)

    @pytest.mark.parametrize("dtype, tolerance", [(torch.bfloat16, 0.1), (torch.float16, 0.01)])
    @pytest.mark.parametrize("name", ["stylegan2", "spi_gan", "spi_gan_vectors"])
    def test_path_lengths_in_mixed_precision(self, name, dtype, tolerance):
        """The styles that are returned are those that the sample depends on, also after accelerate's conversion."""

        def path_lengths(forward):
            sample, styles = forward(**make_inputs(name)).to_tuple()
            noise = normal(*sample.shape) / sample[0, 0].numel() ** 0.5
            (gradient,) = torch.autograd.grad((sample * noise).sum(), styles, create_graph=True)
            return gradient.square().flatten(1).sum(dim=1).sqrt()

        network = make_network(name)
        expected = path_lengths(network.forward)
        assert (expected > 0).all()
        lengths = path_lengths(convert_outputs_to_fp32(torch.autocast("cpu", dtype=dtype)(network.forward)))
        torch.testing.assert_close(lengths, expected, rtol=tolerance, atol=0)
        (lengths - lengths.mean()).square().sum().backward()
        for key, parameter in network.synthesis.named_parameters():
            assert parameter.grad is None or parameter.grad.isfinite().all(), key

    def test_moving_average(self, network, name):
        ema = EMAModel(network.parameters(), decay=0.5)
        before = run(network, name)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(1.5)
        ema.step(network.parameters())
        ema.copy_to(network.parameters())
        assert not torch.equal(run(network, name), before)

    @pytest.mark.parametrize("name", CHECKPOINTED)
    def test_gradient_checkpointing_changes_memory_only(self, name):
        results = []
        for checkpointing in (False, True):
            network = make_network(name).train()
            if checkpointing:
                network.enable_gradient_checkpointing()
            calls = []
            inner = {"ncsnpp": "mid_block.resnets.0", "spi_gan_vectors": "synthesis.mlp"}
            block = network.get_submodule(inner.get(name, "synthesis.blocks.1"))
            block.register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
            first(network(**make_inputs(name))).square().mean().backward()
            results.append((len(calls), [parameter.grad for parameter in network.parameters()]))
        (once, plain), (twice, checkpointed) = results
        assert (once, twice) == (1, 2)
        for expected, actual in zip(plain, checkpointed, strict=True):
            torch.testing.assert_close(actual, expected)


class TestMemory:
    @pytest.mark.parametrize("offload_buffers", [True, False])
    def test_cpu_offload(self, network, name, offload_buffers):
        expected = run(network, name)
        cpu_offload(network, execution_device="cpu", offload_buffers=offload_buffers)
        assert all(parameter.device.type == "meta" for parameter in network.parameters())
        assert torch.equal(run(network, name), expected)

    def test_disk_offload(self, network, name, tmp_path):
        expected = run(network, name)
        disk_offload(network, tmp_path, execution_device="cpu", offload_buffers=True)
        assert all(parameter.device.type == "meta" for parameter in network.parameters())
        assert torch.equal(run(network, name), expected)

    @pytest.mark.parametrize("devices", [("cpu", "disk"), ("disk", "cpu")])
    def test_split_between_memory_and_disk(self, network, name, tmp_path, devices):
        """As finely as `_no_split_modules` allows, every second part on the disk."""
        expected = run(network, name)
        device_map = {part: devices[i % 2] for i, part in enumerate(parts_of(network, network._no_split_modules))}
        if len(device_map) == 1:
            device_map = dict.fromkeys(device_map, "disk")
        dispatch_model(network, device_map, main_device="cpu", offload_dir=tmp_path, force_hooks=True)
        assert torch.equal(run(network, name), expected)

    @pytest.mark.parametrize("offload_type", ["block_level", "leaf_level"])
    @pytest.mark.parametrize("to_disk", [True, False])
    def test_group_offload(self, network, name, tmp_path, offload_type, to_disk):
        expected = run(network, name)
        network.enable_group_offload(
            onload_device=torch.device("cpu"),
            offload_type=offload_type,
            num_blocks_per_group=1 if offload_type == "block_level" else None,
            offload_to_disk_path=str(tmp_path) if to_disk else None,
        )
        for _ in range(2):
            assert torch.equal(run(network, name), expected)

    def test_layerwise_casting(self, network, name):
        expected = run(network, name)
        network.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32)
        sizes = dict.fromkeys((torch.float8_e4m3fn, torch.float32), 0)
        for parameter in network.parameters():
            sizes[parameter.dtype] += parameter.numel()
        assert sizes[torch.float8_e4m3fn] > 0.7 * sum(sizes.values())
        for _ in range(2):
            error = run(network, name) - expected
            assert 0 < error.norm() < 0.3 * expected.norm()


class TestCompilation:
    def test_whole(self, network, name):
        torch._dynamo.reset()
        compiled = torch.compile(network, fullgraph=True, backend="eager")
        torch.testing.assert_close(run(compiled, name), run(network, name))

    def test_repeated_blocks(self, network, name):
        torch._dynamo.reset()
        expected, graphs = run(network, name), []

        def backend(graph, inputs):
            graphs.append(graph)
            return graph.forward

        network.compile_repeated_blocks(fullgraph=True, backend=backend)
        torch.testing.assert_close(run(network, name), expected)
        assert graphs
        count = len(graphs)
        run(network, name)
        assert len(graphs) == count
