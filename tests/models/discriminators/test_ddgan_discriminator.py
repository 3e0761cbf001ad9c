# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from accelerate import init_empty_weights
from golden_utils import assert_matches, golden_state_dict, load_golden, load_golden_json, load_golden_metadata

from gan_diffusion.conversion import (
    convert_ddgan_discriminator,
    ddgan_discriminator_key_map,
    export_ddgan_discriminator,
)
from gan_diffusion.models import DDGANDiscriminator


LARGE = {
    "channel_multipliers": (2, 4, 8, 8, 8, 8, 8),
    "downsample": (True,) * 6,
    "zero_init_final_conv": False,
}
SMALL = {"base_channels": 4, "channel_multipliers": (2, 2, 4), "downsample": (False, True), "time_embed_dim": 8}


def randomised(model):
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator)
    return model


def small_discriminator(**options):
    return randomised(DDGANDiscriminator(**(SMALL | options)))


def inputs(batch=4, channels=3, size=8):
    generator = torch.Generator().manual_seed(1)
    sample, noisier = torch.randn(2, batch, channels, size, size, generator=generator)
    return sample, torch.arange(batch), noisier


@pytest.mark.parametrize("name", ["small", "small_b3", "small_b8", "large"])
def test_golden(name):
    """Logits, gradients, and the gradient penalty with its own gradients (second order)."""
    golden = load_golden(f"ddgan/discriminator_{name}")
    metadata = load_golden_metadata(f"ddgan/discriminator_{name}")
    variant = metadata["class"].removeprefix("Discriminator_")
    options = {"nc": metadata["nc_argument"], "ngf": metadata["ngf"], "t_emb_dim": metadata["t_emb_dim"]}
    with init_empty_weights():
        layout = DDGANDiscriminator(
            in_channels=options["nc"] // 2,
            base_channels=options["ngf"],
            time_embed_dim=options["t_emb_dim"],
            **(LARGE if variant == "large" else {}),
        )
    shapes = {key: value.shape for key, value in export_ddgan_discriminator(layout).items()}
    discriminator = convert_ddgan_discriminator(golden_state_dict(shapes), variant, **options).double()
    assert sum(parameter.numel() for parameter in discriminator.parameters()) == metadata["param_count"]

    key_map, parameters = ddgan_discriminator_key_map(discriminator), dict(discriminator.named_parameters())
    keys = [key.removeprefix("grad.param.") for key in golden if key.startswith("grad.param.")]
    assert keys
    discriminator.requires_grad_(False)
    chosen = [parameters[key_map[key]].requires_grad_() for key in keys]
    x, x_t = golden["x"].double().requires_grad_(), golden["x_t"].double().requires_grad_()

    out = discriminator(x, golden["t"], x_t).logits
    assert_matches(out, golden["out"], name="out")
    grad_x, grad_x_t, *gradients = torch.autograd.grad(out.sum(), [x, x_t, *chosen], create_graph=True)
    assert_matches(grad_x, golden["grad.x"], name="grad.x")
    assert_matches(grad_x_t, golden["grad.x_t"], name="grad.x_t")
    for key, gradient in zip(keys, gradients, strict=True):
        assert_matches(gradient, golden[f"grad.param.{key}"], name=f"gradient of {key}")

    penalty = grad_x.square().sum(dim=(1, 2, 3)).mean()
    assert_matches(penalty[None], golden["r1_unscaled"], name="r1_unscaled")
    # Biases may have no part in the penalty; the reference stores zeros for them.
    gradients = torch.autograd.grad(penalty, chosen, materialize_grads=True)
    for key, gradient in zip(keys, gradients, strict=True):
        assert_matches(gradient, golden[f"r1_grad.param.{key}"], name=f"gradient of R1 by {key}")


@pytest.mark.parametrize(
    "name, options, count",
    [("discriminator_small_cifar10", {}, 12_741_633), ("discriminator_large_256", LARGE, 27_737_217)],
)
def test_published_layout(name, options, count):
    expected = {key: tuple(shape) for key, shape in load_golden_json("ddgan/state_dict_shapes")[name].items()}
    with init_empty_weights():
        discriminator = DDGANDiscriminator(**options)
    actual = {key: tuple(value.shape) for key, value in export_ddgan_discriminator(discriminator).items()}
    assert actual == expected
    assert sum(parameter.numel() for parameter in discriminator.parameters()) == count


class TestForward:
    @pytest.mark.parametrize("batch", [1, 2, 3, 4, 5, 6, 7, 8])
    def test_any_batch_size(self, batch):
        assert small_discriminator()(*inputs(batch)).logits.shape == (batch, 1)

    @pytest.mark.parametrize("timestep", [2, torch.tensor(2), torch.tensor([2, 2, 2, 2])])
    def test_timestep_forms(self, timestep):
        discriminator = small_discriminator()
        sample, _, noisier = inputs()
        expected = discriminator(sample, torch.full((4,), 2), noisier).logits
        assert torch.equal(discriminator(sample, timestep, noisier).logits, expected)

    def test_order_of_the_pair_and_time_matter(self):
        discriminator = small_discriminator()
        sample, timestep, noisier = inputs()
        logits = discriminator(sample, timestep, noisier).logits
        assert not torch.allclose(logits, discriminator(noisier, timestep, sample).logits)
        assert not torch.allclose(logits, discriminator(sample, timestep + 1, noisier).logits)

    def test_second_order_gradients(self):
        discriminator = small_discriminator().double()
        sample, timestep, noisier = inputs(batch=2)
        noisier = noisier.double()

        def penalty_of(weight, sample):
            logits = torch.func.functional_call(
                discriminator, {"conv_in.weight": weight}, (sample, timestep, noisier)
            ).logits
            (gradient,) = torch.autograd.grad(logits.sum(), sample, create_graph=True)
            return gradient.square().sum()

        weight = discriminator.conv_in.weight.detach().clone().requires_grad_()
        sample = sample.double().requires_grad_()
        (analytic,) = torch.autograd.grad(penalty_of(weight, sample), weight)
        direction = torch.randn(weight.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
        step = 1e-6
        numeric = (penalty_of(weight + step * direction, sample) - penalty_of(weight - step * direction, sample)) / (
            2 * step
        )
        torch.testing.assert_close((analytic * direction).sum(), numeric, rtol=1e-5, atol=1e-8)

    def test_patches_are_the_channels_of_a_smaller_image(self):
        patched, plain = small_discriminator(patch_size=2), small_discriminator(in_channels=12)
        sample, timestep, noisier = inputs(size=16)
        # The pair is cut together, so that the patches of one image follow those of the other.
        channels = [torch.nn.functional.pixel_unshuffle(image, 2) for image in (sample, noisier)]
        assert torch.equal(patched(sample, timestep, noisier).logits, plain(channels[0], timestep, channels[1]).logits)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_precision(self, dtype):
        discriminator = small_discriminator()
        sample, timestep, noisier = inputs()
        expected = discriminator(sample, timestep, noisier).logits
        actual = discriminator.to(dtype)(sample.to(dtype), timestep, noisier.to(dtype)).logits
        assert actual.dtype == dtype
        torch.testing.assert_close(actual.float(), expected, rtol=0.1, atol=0.1 * expected.abs().max().item())

    def test_compiles_without_graph_breaks(self):
        discriminator = small_discriminator(num_class_embeds=3)
        args = (*inputs(), torch.tensor([0, 1, 2, 0]))
        compiled = torch.compile(discriminator, fullgraph=True, backend="aot_eager")
        logits = compiled(*args).logits
        torch.testing.assert_close(logits, discriminator(*args).logits)
        logits.sum().backward()

    def test_class_labels_matter(self):
        discriminator = small_discriminator(num_class_embeds=3)
        args = inputs()
        first, second = (discriminator(*args, torch.full((4,), label)).logits for label in (0, 1))
        assert not torch.allclose(first, second)

    @pytest.mark.parametrize("zero_init", [True, False])
    def test_initialisation_of_the_last_convolution(self, zero_init):
        discriminator = DDGANDiscriminator(**SMALL, zero_init_final_conv=zero_init)
        assert (discriminator.conv_out.weight.abs().max().item() < 1e-4) == zero_init


def test_round_trip_is_exact(tmp_path):
    discriminator = small_discriminator(num_class_embeds=3)
    args = (*inputs(), torch.tensor([0, 1, 2, 0]))
    discriminator.save_pretrained(tmp_path)
    loaded = DDGANDiscriminator.from_pretrained(tmp_path)
    assert torch.equal(loaded(*args).logits, discriminator(*args).logits)


class TestErrors:
    @pytest.mark.parametrize(
        "options, message",
        [
            (
                {"downsample": (True,)},
                "`downsample` must have one value per block, 2 for 3 `channel_multipliers`, got 1",
            ),
            ({"stddev_group_size": 0}, "`stddev_group_size` must be at least 1"),
            ({"time_embed_dim": 2}, "`time_embed_dim` must be at least 4"),
            ({"patch_size": 0}, "`patch_size` must be at least 1, got 0"),
            ({"fir_taps": (1,)}, "`fir_taps` must be two or more numbers"),
        ],
    )
    def test_constructor(self, options, message):
        with pytest.raises(ValueError, match=message):
            DDGANDiscriminator(**(SMALL | options))

    @pytest.mark.parametrize(
        "sample, noisier, message",
        [
            (
                torch.zeros(2, 1, 8, 8),
                torch.zeros(2, 1, 8, 8),
                r"`sample` must have shape \(batch, 3, height, width\)",
            ),
            (torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 4, 4), "`noisier_sample` must have the shape of `sample`"),
            (torch.zeros(2, 3, 8, 8), torch.zeros(1, 3, 8, 8), "`noisier_sample` must have the shape of `sample`"),
            (torch.zeros(2, 3, 1, 8), torch.zeros(2, 3, 1, 8), "height and width of at least 2"),
        ],
    )
    def test_forward(self, sample, noisier, message):
        with pytest.raises(ValueError, match=message):
            small_discriminator()(sample, 0, noisier)

    def test_sides_that_do_not_divide_into_patches(self):
        image = torch.zeros(2, 3, 8, 9)
        with pytest.raises(ValueError, match="height and width that are multiples of `patch_size` 2"):
            small_discriminator(patch_size=2)(image, 0, image)

    @pytest.mark.parametrize("options, smallest", [({}, 8), ({"patch_size": 2}, 16), (LARGE, 64)])
    def test_smallest_image(self, options, smallest):
        discriminator = DDGANDiscriminator(**(options | {"base_channels": 4, "time_embed_dim": 8}))
        image = torch.zeros(1, 3, smallest, smallest)
        assert discriminator(image, 0, image).logits.shape == (1, 1)
        step = options.get("patch_size", 1)
        image = image[..., step:, step:]
        with pytest.raises(ValueError, match=f"height and width of at least {smallest}"):
            discriminator(image, 0, image)

    def test_labels(self):
        with pytest.raises(ValueError, match="`class_labels` must be None for a model without classes"):
            small_discriminator()(*inputs(), torch.zeros(4, dtype=torch.long))
        with pytest.raises(ValueError, match="`class_labels` must be given for a model of 3 classes"):
            small_discriminator(num_class_embeds=3)(*inputs())
