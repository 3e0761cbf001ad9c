# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features
from datasets import Image as HFImage
from PIL import Image

from gan_diffusion.data import DataArguments, load_samples
from gan_diffusion.data.sources import TensorSamples, load_digits


def arguments(**options) -> DataArguments:
    return DataArguments(**options)


def gradient_image(mode: str, size: tuple[int, int] = (12, 8)) -> Image.Image:
    """An image whose grey value grows from left to right."""
    ramp = np.tile(np.linspace(0, 255, size[0]).astype(np.uint8), (size[1], 1))
    if mode == "I;16":
        return Image.fromarray(ramp.astype(np.uint16) * 257)
    return Image.fromarray(ramp).convert(mode)


@pytest.fixture
def image_folder(tmp_path):
    """Two classes of images in many modes and sizes."""
    for number, (kind, mode) in enumerate(
        [("cat", "RGB"), ("cat", "L"), ("dog", "RGBA"), ("dog", "P"), ("dog", "LA")]
    ):
        folder = tmp_path / "images" / kind
        folder.mkdir(parents=True, exist_ok=True)
        gradient_image(mode, (12 + number, 8 + number)).save(folder / f"{number}.png")
    return tmp_path / "images"


def test_image_folder_with_classes(image_folder):
    dataset = load_samples(arguments(train_data_dir=str(image_folder)), (3, 8, 8))
    assert len(dataset) == 5 and dataset.num_classes == 2
    batch = dataset.__getitems__([0, 4])
    assert batch["samples"].shape == (2, 3, 8, 8) and batch["samples"].dtype == torch.uint8
    assert batch["class_labels"].tolist() == [0, 1]


def test_parquet(tmp_path):
    features = Features({"picture": HFImage(), "kind": ClassLabel(names=["a", "b", "c"])})
    rows = {"picture": [gradient_image("RGB") for _ in range(4)], "kind": [0, 2, 1, 0]}
    Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "train.parquet")
    dataset = load_samples(
        arguments(train_data_dir=str(tmp_path), image_column="picture", label_column="kind", max_train_samples=3),
        (1, 8, 8),
    )
    batch = dataset.__getitems__([0, 1, 2])
    assert batch["samples"].shape == (3, 1, 8, 8) and batch["class_labels"].tolist() == [0, 2, 1]
    assert dataset.num_classes == 3
    with pytest.raises(ValueError, match="image_column.*picture.*'image'"):
        load_samples(arguments(train_data_dir=str(tmp_path)), (1, 8, 8))


def test_broken_images_are_named(image_folder):
    (image_folder / "cat" / "bad.png").write_bytes(b"not an image")
    (image_folder / "dog" / "short.png").write_bytes((image_folder / "dog" / "2.png").read_bytes()[:60])
    with pytest.raises(ValueError, match="2 unreadable images.*bad.png.*short.png"):
        load_samples(arguments(train_data_dir=str(image_folder)), (3, 8, 8))


def test_an_image_that_breaks_later_is_named(image_folder):
    dataset = load_samples(arguments(train_data_dir=str(image_folder)), (3, 8, 8))
    (image_folder / "cat" / "0.png").write_bytes(b"gone")
    with pytest.raises(ValueError, match="0.png"):
        dataset.__getitems__([0])


def test_missing_and_empty_folders_are_refused(tmp_path):
    with pytest.raises(ValueError, match="must be a folder"):
        load_samples(arguments(train_data_dir=str(tmp_path / "nowhere")), (3, 8, 8))
    with pytest.raises(ValueError, match="must hold images"):
        load_samples(arguments(train_data_dir=str(tmp_path)), (3, 8, 8))


def test_data_that_does_not_fit_the_model_is_refused():
    with pytest.raises(ValueError, match=r"\(1, 8, 8\).*\(3, 32, 32\)"):
        load_samples(arguments(dataset_name="digits"), (3, 32, 32))
    with pytest.raises(ValueError, match="vectors of 2 values"):
        load_samples(arguments(train_data_dir="anywhere"), (2,))


def test_labels_are_asked_for_when_needed(tmp_path):
    gradient_image("L").save(tmp_path / "0.png")
    with pytest.raises(ValueError, match="class_conditional"):
        load_samples(arguments(train_data_dir=str(tmp_path), class_conditional=True), (1, 8, 8))


def test_stacked_channels_are_fixed_random_triples(tmp_path):
    for value in range(6):
        Image.new("L", (4, 4), 40 * value).save(tmp_path / f"{value}.png")
    options = arguments(train_data_dir=str(tmp_path), stack_channels=True, resize_mode="pad")
    first, again = (load_samples(options, (3, 8, 8)) for _ in range(2))
    assert len(first) == 12
    images = first.__getitems__(range(12))["samples"]
    assert images.shape == (12, 3, 8, 8) and torch.equal(images, again.__getitems__(range(12))["samples"])
    for channel in range(3):
        for half in (slice(6), slice(6, 12)):
            assert sorted(images[half, channel, 4, 4].tolist()) == [0, 40, 80, 120, 160, 200]
    assert not torch.equal(images[:, 0], images[:, 1])


def test_digits():
    digits = load_digits()
    assert digits.samples.shape == (1797, 1, 8, 8) and digits.num_classes == 10
    assert digits.samples.min() == -1 and digits.samples.max() == 1


def test_embedded_data_gives_an_account_of_itself():
    digits = load_samples(arguments(dataset_name="digits"), (1, 8, 8))
    report = digits.report
    assert (report.num_samples, report.sizes, sum(report.classes.values())) == (1797, "8x8 pixels", 1797)
    assert digits.class_names == list(report.classes) == list("0123456789")
    assert report.identity == load_samples(arguments(dataset_name="digits"), (1, 8, 8), seed=1).report.identity
    points = [load_samples(arguments(dataset_name="gaussians-25"), (2,), seed=seed).report for seed in (0, 0, 1)]
    assert points[0].identity == points[1].identity != points[2].identity and len(points[0].classes) == 25


def test_a_subset_of_embedded_data_is_drawn_by_the_seed():
    options = arguments(dataset_name="digits", max_train_samples=20)
    first, again, other = (load_samples(options, (1, 8, 8), seed=seed) for seed in (0, 0, 1))
    assert (
        len(first) == 20
        and torch.equal(first.samples, again.samples)
        and not torch.equal(first.samples, other.samples)
    )
    assert first.report.identity == again.report.identity != other.report.identity
    assert first.num_classes == 10 and sum(first.report.classes.values()) == 20
    place = int(first.name(7).removeprefix("sample "))
    assert torch.equal(load_digits().samples[place], first.samples[7])


def test_samples_without_a_name_are_known_by_their_content():
    samples, labels = torch.zeros(4, 1, 2, 2), torch.tensor([0, 1, 0, 1])
    identity = TensorSamples(samples, labels).report.identity
    assert identity == TensorSamples(samples.clone(), labels.clone()).report.identity
    assert identity != TensorSamples(samples + 1, labels).report.identity
    assert identity != TensorSamples(samples, 1 - labels).report.identity
    assert identity != TensorSamples(samples[:3], labels[:3]).report.identity
