# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from accelerate import init_empty_weights

from gan_diffusion import SPIGANDiscriminator, StyleGAN2Discriminator


SMALL = {"sample_size": 16, "channel_base": 128, "channel_max": 16, "position_embed_dim": 12}
VARIANTS = [
    {},
    {"projection": True},
    {"architecture": "orig", "in_channels": 1},
    {"architecture": "skip", "num_stddev_channels": 0},
    {"patch_size": 2},
]


def small_discriminator(**options):
    torch.manual_seed(0)
    return SPIGANDiscriminator(**(SMALL | options))


def inputs(batch: int = 4, channels: int = 3, size: int = 16, **kwargs):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, channels, size, size, generator=generator, **kwargs), torch.linspace(0.1, 1, batch)


def inputs_for(discriminator, batch: int = 4):
    return inputs(batch, discriminator.config.in_channels)


@pytest.mark.parametrize("size, channel_base, millions", [(32, 32768, 21.5), (64, 32768, 26.5), (256, 32768, 28.9)])
@pytest.mark.parametrize("projection", [False, True])
def test_sizes(size, channel_base, millions, projection):
    """StyleGAN2's discriminator, two layers for the embedding of u and one for each level; the projection's layers."""
    options = {"sample_size": size, "channel_base": channel_base}
    with init_empty_weights():
        discriminator = SPIGANDiscriminator(**options, projection=projection)
        plain = StyleGAN2Discriminator(**options, timestep_embedding=None)
    count = sum(parameter.numel() for parameter in discriminator.parameters())
    base = sum(parameter.numel() for parameter in plain.parameters())
    assert abs(base / 1e6 - millions) < 0.06
    levels = sum(
        129 * min(channel_base // resolution, 512) for resolution in (8, 16, 32, 64, 128, 256) if resolution <= size
    )
    extra = 2 * 129 * 128 + levels
    if projection:
        extra += 129 * 512 + 513 * 512
    assert count == base + extra


class TestPosition:
    def test_logits_depend_on_it(self):
        for options in VARIANTS:
            discriminator = small_discriminator(**options)
            sample, _ = inputs_for(discriminator)
            logits = torch.cat([discriminator(sample, u).logits for u in (0.1, 0.5, 0.9)], dim=1)
            assert (logits.std(dim=1) > 0.02 * logits.abs().mean()).all(), options

    def test_reaches_every_level(self):
        discriminator = small_discriminator()
        sample, u = inputs()
        base = discriminator(sample, u).logits
        for block in discriminator.trunk.blocks:
            weight = block.embed_proj.weight.detach().clone()
            with torch.no_grad():
                block.embed_proj.weight.zero_()
                assert not torch.allclose(discriminator(sample, u).logits, base)
                block.embed_proj.weight.copy_(weight)

    def test_without_it_the_network_is_that_of_stylegan2(self):
        torch.manual_seed(0)
        options = {"sample_size": 16, "channel_base": 128, "channel_max": 16}
        plain = StyleGAN2Discriminator(**options, timestep_embedding=None)
        discriminator = small_discriminator()
        discriminator.load_state_dict(plain.state_dict(), strict=False)
        for block in discriminator.trunk.blocks:
            torch.nn.init.zeros_(block.embed_proj.weight)
        sample, u = inputs()
        torch.testing.assert_close(discriminator(sample, u).logits, plain(sample, None).logits)

    def test_projection(self):
        """The projection adds a product of features of the image and of the position to the logit."""
        discriminator = small_discriminator(projection=True)
        sample, u = inputs()
        with torch.no_grad():
            for block in discriminator.trunk.blocks:
                block.embed_proj.weight.zero_()
            difference = discriminator(sample, u).logits - discriminator(sample, 0.0).logits
            discriminator.project.weight.mul_(2)
            torch.testing.assert_close(
                discriminator(sample, u).logits - discriminator(sample, 0.0).logits, 2 * difference
            )
            discriminator.project.weight.zero_()
            assert torch.equal(discriminator(sample, u).logits, discriminator(sample, 0.0).logits)
        assert difference.abs().min() > 1e-4

    @pytest.mark.parametrize("u", [0.25, torch.tensor(0.25), torch.tensor([0.25]), torch.full((4,), 0.25).double()])
    def test_forms(self, u):
        discriminator = small_discriminator()
        sample, _ = inputs()
        assert torch.equal(discriminator(sample, u).logits, discriminator(sample, torch.full((4,), 0.25)).logits)


@pytest.mark.parametrize("options", VARIANTS)
def test_gradients_reach_every_parameter(options):
    discriminator = small_discriminator(**options)
    discriminator(*inputs_for(discriminator)).logits.square().sum().backward()
    for name, parameter in discriminator.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any(), name


@pytest.mark.parametrize("options", [{}, {"projection": True}])
def test_gradient_penalty(options):
    """The gradient with respect to the image, and its derivative by a weight against finite differences."""
    discriminator = small_discriminator(**options).double()
    sample, u = inputs(dtype=torch.float64)
    sample.requires_grad_()
    name = "trunk.from_rgb.0.weight"

    def penalty_of(weight):
        logits = torch.func.functional_call(discriminator, {name: weight}, (sample, u)).logits
        (gradient,) = torch.autograd.grad(logits.sum(), sample, create_graph=True)
        return gradient.square().sum()

    weight = discriminator.get_parameter(name).detach().clone().requires_grad_()
    (analytic,) = torch.autograd.grad(penalty_of(weight), weight)
    direction = torch.randn(weight.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    step = 1e-7
    numeric = (penalty_of(weight + step * direction) - penalty_of(weight - step * direction)) / (2 * step)
    torch.testing.assert_close((analytic * direction).sum(), numeric, rtol=1e-4, atol=1e-8)


def test_batch_is_compared_in_groups():
    discriminator = small_discriminator(stddev_group_size=2)
    sample, u = inputs(4)
    together = discriminator(sample, u).logits
    pairs = [discriminator(sample[i::2], u[i::2]).logits for i in range(2)]
    torch.testing.assert_close(together[0::2], pairs[0])
    torch.testing.assert_close(together[1::2], pairs[1])


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_float_types(dtype):
    sample, u = inputs()
    expected = small_discriminator()(sample, u).logits
    logits = small_discriminator().to(dtype)(sample.to(dtype), u).logits
    assert logits.dtype == dtype
    torch.testing.assert_close(logits.float(), expected, rtol=0.1, atol=0.1 * expected.abs().max().item())


def test_compiles_without_graph_breaks():
    discriminator = small_discriminator(projection=True)
    compiled = torch.compile(discriminator, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*inputs()).logits, discriminator(*inputs()).logits)


@pytest.mark.parametrize("options", VARIANTS)
def test_round_trip_is_exact(options, tmp_path):
    discriminator = small_discriminator(**options)
    discriminator.save_pretrained(tmp_path)
    loaded = SPIGANDiscriminator.from_pretrained(tmp_path)
    assert torch.equal(loaded(*inputs_for(discriminator)).logits, discriminator(*inputs_for(discriminator)).logits)


class TestErrors:
    @pytest.mark.parametrize(
        "options, message",
        [
            ({"position_embed_dim": 2}, "`position_embed_dim` must be at least 4, got 2"),
            ({"sample_size": 36}, "`sample_size` must be reached by doubling"),
            ({"architecture": "unet"}, "`architecture` must be one of"),
            ({"stddev_group_size": 0}, "`stddev_group_size` must be at least 1"),
        ],
    )
    def test_constructor(self, options, message):
        with pytest.raises(ValueError, match=message):
            SPIGANDiscriminator(**(SMALL | options))

    def test_forward(self):
        discriminator = small_discriminator()
        sample, u = inputs()
        with pytest.raises(ValueError, match=r"`sample` must have shape \(batch, 3, 16, 16\), got \(4, 3, 8, 8\)"):
            discriminator(sample[:, :, :8, :8], u)
        with pytest.raises(ValueError, match=r"`u` must be a number or have shape \(4,\), got shape \(3,\)"):
            discriminator(sample, u[:3])
        with pytest.raises(ValueError, match=r"`u` must be in \[0, 1\]"):
            discriminator(sample, 1000 * u)
