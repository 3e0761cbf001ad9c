# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from gan_diffusion import LatentMLPGenerator, MLPDiscriminator, MLPGenerator
from gan_diffusion.models.layers.embeddings import fourier_features
from gan_diffusion.models.layers.mlp import ConditionalMLP
from gan_diffusion.models.outputs import GeneratorOutput


def inputs(batch_size: int = 6, dim: int = 2, latent_dim: int = 2):
    generator = torch.Generator().manual_seed(0)
    sample, noisier = torch.randn(2, batch_size, dim, generator=generator)
    return sample, torch.arange(batch_size) % 4, torch.randn(batch_size, latent_dim, generator=generator), noisier


def test_fourier_features():
    sample = torch.tensor([[0.5, -1.0]])
    angles = torch.tensor([[0.5, 1.0, 2.0, -1.0, -2.0, -4.0]])
    torch.testing.assert_close(fourier_features(sample, 3), torch.cat([sample, angles.sin(), angles.cos()], dim=1))
    assert fourier_features(sample, 0) is sample


@pytest.mark.parametrize("dim, octaves, latent_dim", [(2, 5, 7), (3, 0, 7), (1, 1, 0)])
def test_shapes(dim, octaves, latent_dim):
    sample, timestep, latent, noisier = inputs(dim=dim, latent_dim=latent_dim)
    generator = MLPGenerator(data_dim=dim, latent_dim=latent_dim, hidden_dim=16, num_layers=2, num_octaves=octaves)
    output = generator(noisier, timestep, latent)
    assert isinstance(output, GeneratorOutput) and output.sample.shape == sample.shape
    assert torch.equal(generator(noisier, timestep, latent, return_dict=False)[0], output.sample)
    discriminator = MLPDiscriminator(data_dim=dim, hidden_dim=16, num_layers=1, num_octaves=octaves)
    assert discriminator(sample, timestep, noisier).logits.shape == (6, 1)


def test_every_input_matters():
    sample, timestep, latent, noisier = inputs()
    torch.manual_seed(0)
    generator, discriminator = MLPGenerator(), MLPDiscriminator()
    x_0 = generator(noisier, timestep, latent).sample
    for other in [(sample, timestep, latent), (noisier, timestep + 1, latent), (noisier, timestep, -latent)]:
        assert not torch.isclose(generator(*other).sample, x_0).all(dim=1).any()
    logits = discriminator(sample, timestep, noisier).logits
    for other in [(noisier, timestep, noisier), (sample, timestep + 1, noisier), (sample, timestep, sample)]:
        assert not torch.isclose(discriminator(*other).logits, logits).any()


def test_residual_generator_adds_its_input():
    sample, timestep, latent, noisier = inputs()
    torch.manual_seed(0)
    generator = MLPGenerator(residual=True)
    plain = MLPGenerator(residual=False)
    plain.load_state_dict(generator.state_dict())
    difference = generator(noisier, timestep, latent).sample - plain(noisier, timestep, latent).sample
    torch.testing.assert_close(difference, noisier)


def test_variance_is_preserved_through_many_layers():
    def output_std(**options):
        torch.manual_seed(0)
        mlp = ConditionalMLP(32, 256, 12, 64, time_conditioning=False, **options)
        return mlp(torch.randn(512, 32)).std().item()

    assert output_std(preserve_variance=True) == pytest.approx(1.0, rel=0.25)
    assert output_std() < 0.1


@pytest.mark.parametrize("timestep", [2, torch.tensor(2), torch.tensor([2])])
def test_one_timestep_for_the_batch(timestep):
    sample, _, latent, noisier = inputs()
    generator, discriminator = MLPGenerator(), MLPDiscriminator()
    full = torch.full((6,), 2)
    assert torch.equal(generator(noisier, timestep, latent).sample, generator(noisier, full, latent).sample)
    assert torch.equal(discriminator(sample, timestep, noisier).logits, discriminator(sample, full, noisier).logits)


def test_gradients_reach_every_parameter_and_r1_is_differentiable():
    sample, timestep, latent, noisier = inputs()
    generator, discriminator = MLPGenerator(num_class_embeds=3), MLPDiscriminator(num_class_embeds=3)
    labels = torch.arange(6) % 3
    fake = generator(noisier, timestep, latent, class_labels=labels).sample
    logits = discriminator(fake, timestep, noisier, class_labels=labels).logits
    (gradient,) = torch.autograd.grad(logits.sum(), fake, create_graph=True)
    (logits.sum() + gradient.square().sum()).backward()
    for network in (generator, discriminator):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name


def test_class_labels_change_the_output():
    sample, timestep, latent, noisier = inputs()
    generator, discriminator = MLPGenerator(num_class_embeds=2), MLPDiscriminator(num_class_embeds=2)
    zeros, ones = torch.zeros(6, dtype=torch.long), torch.ones(6, dtype=torch.long)
    assert not torch.equal(
        generator(noisier, timestep, latent, zeros).sample, generator(noisier, timestep, latent, ones).sample
    )
    assert not torch.equal(
        discriminator(sample, timestep, noisier, zeros).logits, discriminator(sample, timestep, noisier, ones).logits
    )


@pytest.mark.parametrize("network", [MLPGenerator(latent_dim=3, num_octaves=2), MLPDiscriminator(num_layers=1)])
def test_saved_and_loaded(network, tmp_path):
    network.save_pretrained(tmp_path)
    loaded = type(network).from_pretrained(tmp_path)
    options = [name for name in network.config if not name.startswith("_")]
    assert [loaded.config[name] for name in options] == [network.config[name] for name in options]
    weights, loaded_weights = network.state_dict(), loaded.state_dict()
    assert list(weights) == list(loaded_weights)
    assert all(torch.equal(weights[name], loaded_weights[name]) for name in weights)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_float_types(dtype):
    sample, timestep, latent, noisier = inputs()
    generator, discriminator = MLPGenerator().to(dtype), MLPDiscriminator().to(dtype)
    assert generator(noisier.to(dtype), timestep, latent.to(dtype)).sample.dtype == dtype
    assert discriminator(sample.to(dtype), timestep, noisier.to(dtype)).logits.dtype == dtype


def test_bad_input_is_refused():
    sample, timestep, latent, noisier = inputs()
    generator, discriminator = MLPGenerator(), MLPDiscriminator()
    with pytest.raises(ValueError, match=r"`sample` must have shape \(batch, 2\), got \(6, 3\)"):
        generator(torch.zeros(6, 3), timestep, latent)
    with pytest.raises(ValueError, match=r"`latent` must have shape \(6, 2\), got \(6, 5\)"):
        generator(noisier, timestep, torch.zeros(6, 5))
    with pytest.raises(ValueError, match="timestep"):
        generator(noisier, torch.zeros(4), latent)
    with pytest.raises(ValueError, match="class_labels"):
        generator(noisier, timestep, latent, class_labels=timestep)
    for wrong in (torch.zeros(2), torch.zeros(6, 1, 3, 1)):
        with pytest.raises(ValueError, match=r"`sample` must have shape \(batch, \.\.\.\) with 2 values each, got"):
            discriminator(wrong, timestep, noisier)
    with pytest.raises(ValueError, match="noisier_sample"):
        discriminator(sample, timestep, noisier[:4])


def test_discriminator_flattens_small_images():
    discriminator = MLPDiscriminator(data_dim=12, hidden_dim=8)
    pair = torch.randn(2, 5, 3, 2, 2)
    flat = discriminator(pair[0].flatten(1), 1, pair[1].flatten(1)).logits
    torch.testing.assert_close(discriminator(pair[0], 1, pair[1]).logits, flat, rtol=0, atol=0)


@pytest.mark.parametrize("network_class", [MLPGenerator, MLPDiscriminator])
@pytest.mark.parametrize("option, value", [("num_octaves", -1), ("hidden_dim", 2), ("num_layers", 0)])
def test_bad_configuration_is_refused(network_class, option, value):
    with pytest.raises(ValueError, match=f"{option}.*{value}"):
        network_class(**{option: value})


def test_discriminator_of_single_samples():
    sample, timestep, _, noisier = inputs()
    torch.manual_seed(0)
    discriminator = MLPDiscriminator(pairs=False)
    logits = discriminator(sample, timestep).logits
    assert logits.shape == (6, 1)
    assert not torch.isclose(discriminator(sample, timestep + 1).logits, logits).any()
    with pytest.raises(ValueError, match="noisier_sample"):
        discriminator(sample, timestep, noisier)
    with pytest.raises(ValueError, match="noisier_sample"):
        MLPDiscriminator()(sample, timestep)


def test_latent_generator():
    torch.manual_seed(0)
    generator = LatentMLPGenerator(data_dim=3, latent_dim=5, hidden_dim=16, num_class_embeds=4)
    latent, labels = torch.randn(6, 5), torch.arange(6) % 4
    sample = generator(latent, labels).sample
    assert sample.shape == (6, 3)
    assert torch.equal(generator(latent, labels, return_dict=False)[0], sample)
    assert not torch.isclose(generator(latent, (labels + 1) % 4).sample, sample).all(dim=1).any()
    with pytest.raises(ValueError, match="latent"):
        generator(latent[:, :4], labels)
    with pytest.raises(ValueError, match="truncation_psi"):
        generator(latent, labels, truncation_psi=0.7)
    with pytest.raises(ValueError, match="class_labels"):
        generator(latent)
