# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch
import torch.nn.functional as F

from gan_diffusion import (
    DDGANDiscriminator,
    DiffusionGANScheduler,
    MLPDiscriminator,
    ProjectedDiscriminator,
    StyleGAN2Discriminator,
    StyleGAN2Generator,
)
from gan_diffusion.data import Batch
from gan_diffusion.training import DiffusionGANObjective, InsGenObjective


TINY = {"channel_max": 8, "num_mapping_layers": 1}


def make_objective(kind=InsGenObjective, conditional: bool = False, **options) -> DiffusionGANObjective:
    torch.manual_seed(0)
    classes = {"num_class_embeds": 3} if conditional else {}
    generator = StyleGAN2Generator(8, 1, latent_dim=8, w_dim=8, **TINY, **classes)
    discriminator = StyleGAN2Discriminator(8, 1, **TINY, **classes)
    options = {"r1_interval": 2} | options | ({"queue_size": 6} if kind is InsGenObjective else {})
    return kind(generator, discriminator, DiffusionGANScheduler(), 8, **options)


def batch(conditional: bool = False) -> Batch:
    samples = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return Batch(samples, {"class_labels": torch.arange(4) % 3} if conditional else {})


def gradients(network) -> dict[str, torch.Tensor | None]:
    return {name: parameter.grad for name, parameter in network.named_parameters()}


@pytest.mark.parametrize("conditional", [False, True])
def test_its_terms_come_on_top_of_those_of_diffusion_gan(conditional):
    plain, objective = make_objective(DiffusionGANObjective, conditional), make_objective(conditional=conditional)
    for name, extra in (
        ("discriminator_loss", {"contrast_real", "contrast_fake"}),
        ("gradient_penalty_loss", set()),
        ("generator_loss", {"contrast_g"}),
    ):
        torch.manual_seed(1)
        expected = getattr(plain, name)(batch(conditional))
        torch.manual_seed(1)
        output = getattr(objective, name)(batch(conditional))
        assert output.logs.keys() == expected.logs.keys() | extra
        for term, value in expected.logs.items():
            assert torch.equal(output.logs[term], value), term
        total = expected.loss + sum(output.logs[term] for term in extra)
        torch.testing.assert_close(output.loss, total)
    # Right after the start, keys of a queue of random vectors are told apart by chance.
    assert 0 < output.logs["contrast_g"] / 0.1 < 3 * math.log(7)


def test_each_half_step_teaches_its_players_alone():
    objective = make_objective()
    taught = {
        "discriminator_loss": {"discriminator", "real_head", "fake_head"},
        "gradient_penalty_loss": {"discriminator"},
        "generator_loss": {"generator"},
    }
    for name, networks in taught.items():
        getattr(objective, name)(batch()).loss.backward()
        for network_name, network in objective.networks.items():
            given = [gradient is not None for gradient in gradients(network).values()]
            assert all(given) if network_name in networks else not any(given), f"{name}, {network_name}"
            network.zero_grad()
    player = objective.players["discriminator"]
    assert player.networks == ("discriminator", "real_head") and player.lazy_interval == 2
    assert [(p.networks, p.learning_rate, p.lazy_interval) for p in player.partners] == [
        (("fake_head",), "generator", 4)
    ]
    assert all(not parameter.requires_grad for parameter in objective.networks["discriminator_average"].parameters())


def test_the_contrastive_terms_alone_teach_the_generator():
    """Without the adversarial gradient there is still one, through the features of the query."""
    objective, without = make_objective(), make_objective(generator_weight=0.0)
    results = []
    for each in (objective, without):
        torch.manual_seed(1)
        each.generator_loss(batch()).loss.backward()
        results.append(gradients(each.generator))
    assert any(not torch.allclose(results[0][name], results[1][name]) for name in results[0])


def test_views_are_clean_and_those_of_real_images_of_one_image():
    """Without transformations and with the average equal to the discriminator, query and key are the same."""
    objective = make_objective(view_p=0.0)
    seen = {}
    for name in ("discriminator", "discriminator_average"):
        calls = seen[name] = []
        objective.networks[name].register_forward_hook(
            lambda module, arguments, options, output, calls=calls: calls.append((*arguments, options)),
            with_kwargs=True,
        )
    objective.discriminator_loss(batch())
    (_, _, *queries), keys = seen["discriminator"], seen["discriminator_average"]
    assert len(queries) == len(keys) == 2
    for _, timesteps, options in (*queries, *keys):
        assert torch.equal(timesteps, torch.zeros(4, dtype=torch.int64)) and options["return_features"]
    assert torch.equal(queries[0][0], batch().samples) and torch.equal(keys[0][0], batch().samples)
    # The key of a generated image is of a latent nearby, so it is similar and another.
    query, key = queries[1][0], keys[1][0]
    assert not torch.equal(query, key)
    objective.networks["discriminator"].zero_grad()
    seen["discriminator"].clear(), keys.clear()
    objective.generator_loss(batch())
    (_, query), (key,) = seen["discriminator"], keys
    assert torch.equal(query[0], key[0])


def test_views_are_drawn_apart():
    objective = make_objective(view_p=1.0)
    images = batch().samples
    views = []
    objective.networks["discriminator"].register_forward_pre_hook(lambda module, inputs: views.append(inputs[0]))
    torch.manual_seed(0)
    for _ in range(2):
        objective._features(objective.discriminator, images, {})
    assert not torch.equal(*views) and not torch.equal(views[0], images)


def test_queues_hold_keys_of_real_and_queries_of_generated_images():
    objective = make_objective(view_p=0.0, latent_noise_std=0.0)
    real_head, fake_head = (objective.networks[f"{name}_head"] for name in ("real", "fake"))
    before = {head: head.queue.clone() for head in (real_head, fake_head)}
    images = []
    objective.networks["discriminator"].register_forward_pre_hook(
        lambda module, inputs: images.append(inputs[0].detach())
    )
    objective.discriminator_loss(batch())
    for head, shown in zip((real_head, fake_head), images[2:4], strict=True):
        with torch.no_grad():
            features = objective.discriminator(shown, 0, return_features=True).features
            expected = F.normalize(head.momentum_mlp(features.mean((2, 3))), dim=1)
        torch.testing.assert_close(head.queue[-4:], expected)
        assert torch.equal(head.queue[:2], before[head][4:])
    queues = [head.queue.clone() for head in (real_head, fake_head)]
    objective.generator_loss(batch())
    assert torch.equal(queues[0], real_head.queue) and torch.equal(queues[1], fake_head.queue)


def test_copies_move_when_they_should():
    """The head's copy before each comparison, the discriminator's average once in a step."""
    objective = make_objective(average_momentum=0.75)
    head, average = objective.networks["fake_head"], objective.networks["discriminator_average"]
    with torch.no_grad():
        head.mlp[2].bias += 1000.0
        objective.discriminator.epilogue.linear_out.bias += 1.0
    bias, own = head.momentum_mlp[2].bias.clone(), average.epilogue.linear_out.bias.clone()
    objective.discriminator_loss(batch())
    torch.testing.assert_close(head.momentum_mlp[2].bias, bias + 1)
    objective.generator_loss(batch())
    torch.testing.assert_close(head.momentum_mlp[2].bias, bias + 1.999)
    assert torch.equal(average.epilogue.linear_out.bias, own)
    objective.finish_step(0)
    torch.testing.assert_close(average.epilogue.linear_out.bias, own + 0.25)


def test_other_discriminators_are_refused():
    for discriminator in (MLPDiscriminator(pairs=False), DDGANDiscriminator(), torch.nn.Linear(2, 1)):
        with pytest.raises(
            ValueError, match=f"`discriminator` must give features .*got a {type(discriminator).__name__}"
        ):
            InsGenObjective(torch.nn.Identity(), discriminator, DiffusionGANScheduler(), 8, queue_size=6)


@pytest.mark.parametrize("noise_on", ["features", "samples"])
def test_a_projected_discriminator_is_refused(noise_on, recwarn):
    """It has features of another network, which the contrastive heads are not for."""
    networks = torch.nn.Identity(), ProjectedDiscriminator()
    with pytest.raises(ValueError, match="for `--instance_discrimination`, .*, got a ProjectedDiscriminator"):
        InsGenObjective(*networks, DiffusionGANScheduler(), 8, queue_size=6, noise_on=noise_on)
    assert not recwarn.list


def test_noise_on_features_is_refused():
    with pytest.raises(ValueError, match="`noise_on` must be 'samples' for a StyleGAN2Discriminator"):
        make_objective(noise_on="features")


@pytest.mark.parametrize(
    "options",
    [
        {"view_p": 1.5},
        {"latent_noise_std": -1.0},
        {"generator_weight": math.nan},
        {"average_momentum": 1.1},
        {"r1_gamma": -1.0},
    ],
)
def test_bad_options_are_refused(options):
    with pytest.raises(ValueError, match=f"`{next(iter(options))}` must lie in"):
        make_objective(**options)
