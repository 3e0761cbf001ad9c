# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from golden_utils import assert_matches, golden_weight, load_golden

from gan_diffusion.models.discriminators.ddgan import DiscriminatorBlock
from gan_diffusion.models.generators.ncsnpp_blocks import ResidualBlock
from gan_diffusion.models.layers import (
    AdaptiveGroupNorm,
    AttentionBlock,
    ConvDownsample,
    Downsample,
    FourierEmbedding,
    GroupNorm,
    TimestepMLP,
    Upsample,
    conv,
    fir_blur,
    fir_downsample,
    fir_kernel,
    fir_upsample,
    initialization,
    minibatch_stddev,
    pixel_norm,
    sinusoidal_embedding,
    variance_scaling_,
)


TAPS = (1, 3, 3, 1)

RESIDUAL_KEYS = {
    "norm1.style": "GroupNorm_0.style",
    "conv1": "Conv_0",
    "time_proj": "Dense_0",
    "norm2": "GroupNorm_1",
    "norm2.style": "GroupNorm_1.style",
    "conv2": "Conv_1",
    "shortcut": "Conv_2",
}
ATTENTION_KEYS = {"norm": "GroupNorm_0", "to_q": "NIN_0", "to_k": "NIN_1", "to_v": "NIN_2", "to_out": "NIN_3"}
DISCRIMINATOR_BLOCK_KEYS = {"conv1": "conv1.0", "time_proj": "dense_t1", "conv2": "conv2.0", "shortcut": "skip.0"}


@pytest.fixture(scope="module")
def golden():
    return load_golden("ddgan/layers")


def with_golden_weights(module, keys):
    """Fills a block by the golden rule, reading reference keys from `keys`, and casts it to float64."""
    state_dict = {}
    for key, value in module.state_dict().items():
        path, _, suffix = key.rpartition(".")
        reference = keys[path]
        if reference.startswith("NIN"):
            suffix = {"weight": "W", "bias": "b"}[suffix]
        shape = value.shape[:2][::-1] if suffix == "W" else value.shape
        weight = golden_weight(f"{reference}.{suffix}", shape)
        state_dict[key] = weight.t().reshape(value.shape) if suffix == "W" else weight
    module.load_state_dict(state_dict)
    return module.double()


class TestGolden:
    def test_fir_kernel(self, golden):
        assert_matches(fir_kernel(TAPS), golden["fir_kernel"])

    def test_resampling(self, golden):
        x = golden["x"].double()
        assert_matches(Upsample(TAPS)(x), golden["fir_upsample_2d"])
        assert_matches(Downsample(TAPS)(x), golden["fir_downsample_2d"])
        assert_matches(Upsample()(x), golden["naive_upsample_2d"])
        assert_matches(Downsample()(x), golden["naive_downsample_2d"])

    def test_conv_downsample(self, golden):
        layer = ConvDownsample(3, 5, TAPS).double()
        layer.conv.weight.data = golden["conv_down_weight"].double()
        assert_matches(layer(golden["x"].double()), golden["fir_conv_downsample_2d"])

    @pytest.mark.parametrize("dim", [32, 33, 128])
    def test_sinusoidal_embedding(self, golden, dim):
        embedding = sinusoidal_embedding(torch.tensor([0, 1, 2, 3, 7]), dim)
        assert embedding.dtype == torch.float32
        assert_matches(embedding, golden[f"timestep_embedding.{dim}"])

    def test_pixel_norm(self, golden):
        assert_matches(pixel_norm(golden["z"].double()), golden["pixelnorm"])

    def test_adaptive_group_norm(self, golden):
        layer = with_golden_weights(AdaptiveGroupNorm(16, 10), {"style": "style"})
        expected = golden["adagn.out"]
        h, z = golden["adagn.h"].double(), golden["z"].double()
        assert_matches(layer(h, z), expected)
        with torch.no_grad():
            assert_matches(layer(h, z), expected)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_group_norms_round_once_in_half_precision(self, dtype):
        """Statistics in float32: large means do not spoil the variance."""
        generator = torch.Generator().manual_seed(0)
        sample = (torch.randn(2, 16, 8, 8, generator=generator) + 20).to(dtype)
        layer = GroupNorm(16)
        expected = layer(sample.float())
        actual = layer.to(dtype)(sample)
        assert actual.dtype == dtype
        torch.testing.assert_close(actual, expected.to(dtype))

    @pytest.mark.parametrize("skip_rescale", [True, False])
    def test_attention(self, golden, skip_rescale):
        layer = with_golden_weights(AttentionBlock(16, skip_rescale), ATTENTION_KEYS)
        assert_matches(layer(golden["adagn.h"].double()), golden[f"attn.out.skip_rescale_{skip_rescale}"])

    @pytest.mark.parametrize(
        "name, out_channels, options",
        [
            ("biggan_same", 16, {}),
            ("biggan_chg", 24, {}),
            ("biggan_down_fir", 16, {"resample": "down", "fir_taps": TAPS}),
            ("biggan_down_naive", 16, {"resample": "down"}),
            ("biggan_up_fir", 16, {"resample": "up", "fir_taps": TAPS}),
            ("biggan_up_naive", 16, {"resample": "up"}),
            ("biggan_one", 24, {"second_norm_adaptive": False}),
            ("ddpm", 24, {}),
        ],
    )
    def test_residual_block(self, golden, name, out_channels, options):
        keys = RESIDUAL_KEYS | ({"shortcut": "NIN_0"} if name == "ddpm" else {})
        block = with_golden_weights(ResidualBlock(16, out_channels, style_dim=10, time_dim=24, **options), keys)
        # The reference block starts from the embedding before its activation.
        time = F.silu(golden["temb"].double())
        out = block(golden["adagn.h"].double(), time, golden["z"].double())
        assert_matches(out, golden[f"res.{name}"], name=name)

    @pytest.mark.parametrize("downsample", [True, False])
    def test_discriminator_block(self, golden, downsample):
        block = DiscriminatorBlock(16, 24, time_dim=24, fir_taps=TAPS if downsample else None)
        block = with_golden_weights(block, DISCRIMINATOR_BLOCK_KEYS)
        out = block(golden["adagn.h"].double(), golden["temb"].double())
        assert_matches(out, golden[f"dblock.downsample_{downsample}"])

    def test_discriminator_time_embedding(self, golden):
        mlp = TimestepMLP(24, 24, lambda x: F.leaky_relu(x, 0.2))
        mlp = with_golden_weights(mlp, {"linear_1": "main.0", "linear_2": "main.2"})
        embedding = sinusoidal_embedding(torch.arange(4), 24).double()
        assert_matches(mlp(embedding), golden["d_time_embedding"])


class TestResampling:
    @pytest.mark.parametrize("taps", [TAPS, (1, 1), (1, 2, 1), (1, 4, 6, 4, 1), (1, 2, 3)])
    def test_fir_against_definition(self, taps):
        """Zero insertion, padding, filtering and decimation, written out one after the other."""
        x, kernel = torch.randn(2, 3, 6, 8, dtype=torch.float64), torch.tensor(taps, dtype=torch.float64)
        flipped = (torch.outer(kernel, kernel) / kernel.sum() ** 2).flip(0, 1)[None, None].expand(3, 1, -1, -1)
        surplus = len(taps) - 2

        def filtered(image, before, after):
            return F.conv2d(F.pad(image, (before, after, before, after)), flipped, groups=3)

        taps = fir_kernel(taps).double()
        down = filtered(x, (surplus + 1) // 2, surplus // 2)[..., ::2, ::2]
        torch.testing.assert_close(fir_downsample(x, taps), down, atol=1e-6, rtol=0)

        spread = torch.zeros(2, 3, 12, 16, dtype=torch.float64)
        spread[..., ::2, ::2] = x
        up = 4 * filtered(spread, (surplus + 1) // 2 + 1, surplus // 2)
        torch.testing.assert_close(fir_upsample(x, taps), up, atol=1e-6, rtol=0)

        blurred = filtered(x, (surplus + 3) // 2, (surplus + 2) // 2)
        torch.testing.assert_close(fir_blur(x, taps)[..., :7, :9], blurred[..., :7, :9], atol=1e-6, rtol=0)

    @pytest.mark.parametrize("size", [(4, 4), (5, 7), (2, 3)])
    @pytest.mark.parametrize("operation", [fir_downsample, fir_upsample, fir_blur])
    def test_fir_is_differentiable_twice(self, operation, size):
        x = torch.randn(1, 2, *size, dtype=torch.float64, requires_grad=True)
        kernel = fir_kernel(TAPS).double()
        assert torch.autograd.gradcheck(lambda x: operation(x, kernel), x)
        assert torch.autograd.gradgradcheck(lambda x: operation(x, kernel), x)

    @pytest.mark.parametrize("operation", [fir_downsample, fir_upsample, fir_blur])
    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_fir_in_16_bits(self, operation, dtype):
        """Values and gradients are those of float32, rounded."""
        kernel = fir_kernel(TAPS)
        low = torch.randn(2, 3, 6, 8).to(dtype).requires_grad_()
        high = low.detach().float().requires_grad_()
        results = [operation(low, kernel), operation(high, kernel)]
        direction = torch.randn_like(results[1]).to(dtype)
        for result in results:
            result.backward(direction.to(result.dtype))
        rounding = torch.finfo(dtype).eps
        torch.testing.assert_close(results[0].float(), results[1], atol=2 * rounding, rtol=2 * rounding)
        torch.testing.assert_close(low.grad.float(), high.grad, atol=2 * rounding, rtol=2 * rounding)
        assert results[0].dtype == low.grad.dtype == dtype

    def test_conv_downsample_without_fir(self):
        x = torch.randn(2, 3, 8, 8)
        assert ConvDownsample(3, 5)(x).shape == (2, 5, 4, 4)

    @pytest.mark.parametrize("taps", [(1,), (1, -1), ()])
    def test_refuses_bad_taps(self, taps):
        with pytest.raises(ValueError, match="`fir_taps` must be two or more numbers"):
            fir_kernel(taps)


class TestConv:
    @pytest.mark.parametrize("channels, own", [((256, 256), 1), ((512, 256), 1), ((256, 128), 0), ((3, 256), 0)])
    def test_wide_layers_use_our_own_kernel(self, channels, own):
        layer, x = conv(*channels, 3), torch.randn(2, channels[0], 4, 6)
        with mock.patch.object(initialization, "conv2d", wraps=initialization.conv2d) as kernel:
            out = layer(x)
        assert kernel.call_count == own
        torch.testing.assert_close(out, F.conv2d(x, layer.weight, layer.bias, padding=1), rtol=1e-4, atol=1e-5)


class TestMinibatchStddev:
    @pytest.mark.parametrize("batch, group", [(1, 1), (2, 2), (3, 3), (4, 4), (5, 1), (6, 3), (8, 4), (9, 3), (12, 4)])
    def test_groups(self, batch, group):
        x = torch.randn(batch, 3, 2, 2, dtype=torch.float64)
        out = minibatch_stddev(x, group_size=4)
        assert out.shape == (batch, 4, 2, 2)
        assert torch.equal(out[:, :3], x)
        sets = batch // group
        for b in range(batch):
            members = x[b % sets :: sets]
            assert len(members) == group
            expected = (members.var(dim=0, correction=0) + 1e-8).sqrt().mean()
            torch.testing.assert_close(out[b, 3], expected.expand(2, 2))

    def test_keeps_half_precision(self):
        x = torch.randn(4, 3, 2, 2).bfloat16()
        assert minibatch_stddev(x).dtype == torch.bfloat16


class TestEmbeddings:
    def test_fourier_of_zero_is_finite_and_others_unchanged(self):
        layer = FourierEmbedding(8).double()
        t = torch.tensor([0, 1, 2, 7])
        out = layer(t)
        assert out.isfinite().all()
        angles = 2 * torch.pi * t[1:].double().log()[:, None] * layer.weight
        torch.testing.assert_close(out[1:], torch.cat([angles.sin(), angles.cos()], dim=1))
        assert not torch.equal(out[0], out[1])
        assert not layer.weight.requires_grad


class TestInitialization:
    @pytest.mark.parametrize("shape, fan_avg", [((64, 32, 3, 3), 48 * 9), ((128, 256), 192)])
    def test_variance(self, shape, fan_avg):
        weight = variance_scaling_(torch.empty(shape), scale=0.1)
        assert weight.var().item() == pytest.approx(0.1 / fan_avg, rel=0.05)

    def test_zero_scale_is_tiny_but_not_zero(self):
        weight = conv(64, 64, 3, scale=0.0).weight
        assert weight.std().item() == pytest.approx(1e-5 / (64 * 9) ** 0.5, rel=0.05)
