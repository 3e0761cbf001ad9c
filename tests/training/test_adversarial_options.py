# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""Options of loss, augmentation and instance discrimination, from the command line to the objective."""

import copy

import pytest
import torch
from test_trainer import start, trainer  # noqa: F401

from gan_diffusion.training import METHODS, AdaptiveAugmentation, Augmentation, DiffAugmentation, InsGenObjective
from gan_diffusion.training.losses import ADVERSARIAL_LOSSES


pytestmark = pytest.mark.usefixtures("fresh_accelerate")


def objective_of(run, method: str):
    return METHODS[method].objective(run)


@pytest.mark.parametrize("method", METHODS)
def test_options_reach_the_objective(start, method):  # noqa: F811
    options = ("--adversarial_loss", "hinge", "--r2_gamma", "0.5", "--augmentation", "diff")
    objective = objective_of(start(method, *options, "--augmentation_cutout", "0.25"), method)
    assert objective.adversarial_loss is ADVERSARIAL_LOSSES["hinge"] and objective.r2_gamma == 0.5
    assert isinstance(objective.augmentation, DiffAugmentation) and objective.augmentation.cutout == 0.25
    limit = ("--augmentation_max_p", "0.1") if method == "diffusion-gan" else ("--augmentation_target", "0.1")
    augmentation = objective_of(start(method, "--augmentation", "adaptive", *limit), method).augmentation
    assert isinstance(augmentation, AdaptiveAugmentation)
    assert (augmentation.max_p if method == "diffusion-gan" else augmentation.target) == 0.1
    assert type(objective_of(start(method, "--augmentation", "none"), method).augmentation) is Augmentation


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["adaptive", "diff"])
def test_augmentation_is_refused_for_vectors(start, tmp_path, method, kind):  # noqa: F811
    run = start(method, "--recipe", f"{method}-gaussians-25", "--augmentation", kind)
    with pytest.raises(ValueError, match=f"`--augmentation` must be none for vectors, got {kind}"):
        objective_of(run, method)


def test_instance_discrimination_needs_features(start):  # noqa: F811
    run = start("diffusion-gan", "--recipe", "diffusion-gan-gaussians-25", "--instance_discrimination")
    with pytest.raises(ValueError, match="`discriminator` must give features .*got a MLPDiscriminator"):
        objective_of(run, "diffusion-gan")


@pytest.mark.parametrize(
    ("options", "size"),
    [
        (("none",), 89),
        (("none", "--random_flip"), 178),
        (("7",), 7),
        (("1797",), 1797),
        (("3594", "--random_flip"), 3594),
    ],
)
def test_queues_are_a_share_of_the_images(start, options, size):  # noqa: F811
    """5 % of the 1797 digits; an image and its mirror image are two."""
    objective = objective_of(start("diffusion-gan", "--queue_size", *options), "diffusion-gan")
    assert isinstance(objective, InsGenObjective)
    assert {objective.networks[f"{name}_head"].queue.shape for name in ("real", "fake")} == {(size, 128)}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("1798",), r"\[1, 1797\].*got 1798"),
        (("0",), "got 0"),
        (("none", "--max_train_samples", "19"), r"\[1, 19\].*got 0"),
    ],
)
def test_queues_that_the_images_do_not_fill_are_refused(start, options, text):  # noqa: F811
    run = start("diffusion-gan", "--queue_size", *options)
    with pytest.raises(ValueError, match=f"`--queue_size` must lie in {text}" if "[" in text else text):
        objective_of(run, "diffusion-gan")


def test_the_heads_have_learning_rates_of_their_own(start):  # noqa: F811
    """As in the reference implementation: that of real images the discriminator's, the other one the generator's."""
    rates = ("--learning_rate_g", "0.003", "--learning_rate_d", "0.0017", "--r1_interval", "16")
    training = trainer(start("diffusion-gan", *rates, "--path_length_interval", "4"), "diffusion-gan")
    player = training.players["discriminator"]
    networks = training.objective.networks
    groups = {
        name: next(group for group in player.optimizer.param_groups if any(p is q for q in group["params"]))
        for name, network in networks.items()
        for p in [next(network.parameters())]
        if name in player.networks
    }
    assert set(groups) == {"discriminator", "real_head", "fake_head"}
    for step, floor in ((0, None), (5, 1e-5)):
        player.set_learning_rate(step, 5)
        for name, rate, k in (("discriminator", 0.0017, 16), ("real_head", 0.0017, 16), ("fake_head", 0.003, 4)):
            assert groups[name]["lr"] == pytest.approx(floor or rate * k / (k + 1))
            assert groups[name]["betas"] == pytest.approx((0.5 ** (k / (k + 1)), 0.9 ** (k / (k + 1))))


@pytest.mark.parametrize("method", METHODS)
def test_bfloat16_trains_with_all_of_it(start, method):  # noqa: F811
    """A relative loss, R1 and R2, an augmentation and, in Diffusion-GAN, heads whose comparisons stay in float32."""
    options = (
        "--adversarial_loss",
        "relativistic",
        "--r1_gamma",
        "0.1",
        "--r2_gamma",
        "0.1",
        "--augmentation",
        "diff",
    )
    run = start(method, *options, "--mixed_precision", "bf16", "--max_train_steps", "2")
    training = trainer(run, method)
    before = {name: copy.deepcopy(network.state_dict()) for name, network in training.networks.items()}
    assert training.train()
    for name, network in training.networks.items():
        after = network.state_dict()
        assert all(value.isfinite().all() and value.dtype == torch.float32 for value in after.values())
        assert any(not torch.equal(value, before[name][key]) for key, value in after.items()), name
    assert set(training.networks) == {"generator", "discriminator"} | (
        {"real_head", "fake_head", "discriminator_average"} if method == "diffusion-gan" else set()
    )
