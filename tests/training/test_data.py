# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features
from datasets import Image as HFImage
from PIL import Image

from gan_diffusion.training import DDGANArguments, TrainingData, load_training_dataset
from gan_diffusion.training.data import TensorSamples, load_digits, to_array


def arguments(**overrides) -> DDGANArguments:
    return DDGANArguments(**{"recipe": "ddgan-digits", "output_dir": "unused", **overrides})


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


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA", "P", "1", "CMYK", "I;16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_becomes_the_same_picture(mode, channels):
    array = to_array(gradient_image(mode), channels, 8)
    assert array.shape == (channels, 8, 8) and array.dtype == np.uint8
    reference = to_array(gradient_image("L"), channels, 8).astype(int)
    if mode == "1":
        assert array.min() < 64 and array.max() > 192
    else:
        assert np.abs(array - reference).max() <= 2


def test_transparency_is_laid_on_white():
    assert to_array(Image.new("RGBA", (4, 4), (0, 0, 0, 0)), 3, 4).min() == 255


def test_resize_keeps_the_proportions_and_crops_the_centre():
    wide = Image.new("L", (64, 16))
    wide.paste(255, (24, 0, 40, 16))
    assert to_array(wide, 1, 16).min() == 255
    assert to_array(Image.new("L", (3, 5), 7), 1, 16).shape == (1, 16, 16)


def test_pad_sets_the_image_in_black():
    padded = to_array(Image.new("L", (28, 28), 9), 1, 32, "pad")[0]
    assert (padded[2:30, 2:30] == 9).all() and padded.sum() == 28 * 28 * 9
    with pytest.raises(ValueError, match="pad"):
        to_array(Image.new("L", (33, 33)), 1, 32, "pad")


def test_other_channel_counts_are_refused():
    with pytest.raises(ValueError, match="4"):
        to_array(Image.new("RGB", (4, 4)), 4, 4)


def test_image_folder_with_classes(image_folder):
    dataset = load_training_dataset(arguments(train_data_dir=str(image_folder)), (3, 8, 8))
    assert len(dataset) == 5 and dataset.num_classes == 2
    batch = dataset.__getitems__([0, 4])
    assert batch["images"].shape == (2, 3, 8, 8) and batch["images"].dtype == torch.uint8
    assert batch["class_labels"].tolist() == [0, 1]


def test_parquet(tmp_path):
    features = Features({"picture": HFImage(), "kind": ClassLabel(names=["a", "b", "c"])})
    rows = {"picture": [gradient_image("RGB") for _ in range(4)], "kind": [0, 2, 1, 0]}
    Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "train.parquet")
    dataset = load_training_dataset(
        arguments(train_data_dir=str(tmp_path), image_column="picture", label_column="kind", max_train_samples=3),
        (1, 8, 8),
    )
    batch = dataset.__getitems__([0, 1, 2])
    assert batch["images"].shape == (3, 1, 8, 8) and batch["class_labels"].tolist() == [0, 2, 1]
    assert dataset.num_classes == 3
    with pytest.raises(ValueError, match="image_column.*'image'.*picture"):
        load_training_dataset(arguments(train_data_dir=str(tmp_path)), (1, 8, 8))


def test_broken_images_are_named(image_folder):
    (image_folder / "cat" / "bad.png").write_bytes(b"not an image")
    (image_folder / "dog" / "short.png").write_bytes((image_folder / "dog" / "2.png").read_bytes()[:60])
    with pytest.raises(ValueError, match="2 unreadable images.*bad.png.*short.png"):
        load_training_dataset(arguments(train_data_dir=str(image_folder)), (3, 8, 8))


def test_an_image_that_breaks_later_is_named(image_folder):
    dataset = load_training_dataset(arguments(train_data_dir=str(image_folder)), (3, 8, 8))
    (image_folder / "cat" / "0.png").write_bytes(b"gone")
    with pytest.raises(ValueError, match="0.png"):
        dataset.__getitems__([0])


def test_missing_and_empty_folders_are_refused(tmp_path):
    with pytest.raises(ValueError, match="is not a folder"):
        load_training_dataset(arguments(train_data_dir=str(tmp_path / "nowhere")), (3, 8, 8))
    with pytest.raises(ValueError, match="holds no images"):
        load_training_dataset(arguments(train_data_dir=str(tmp_path)), (3, 8, 8))


def test_data_that_does_not_fit_the_model_is_refused():
    with pytest.raises(ValueError, match=r"\(1, 8, 8\).*\(3, 32, 32\)"):
        load_training_dataset(arguments(dataset_name="digits"), (3, 32, 32))
    with pytest.raises(ValueError, match="vectors of 2 values"):
        load_training_dataset(arguments(train_data_dir="anywhere"), (2,))


def test_labels_are_asked_for_when_needed(tmp_path):
    gradient_image("L").save(tmp_path / "0.png")
    with pytest.raises(ValueError, match="class_conditional"):
        load_training_dataset(arguments(train_data_dir=str(tmp_path), class_conditional=True), (1, 8, 8))


def test_stacked_channels_are_fixed_random_triples(tmp_path):
    for value in range(6):
        Image.new("L", (4, 4), 40 * value).save(tmp_path / f"{value}.png")
    options = arguments(train_data_dir=str(tmp_path), stack_channels=True, resize_mode="pad")
    first, again = (load_training_dataset(options, (3, 8, 8)) for _ in range(2))
    assert len(first) == 12
    images = first.__getitems__(range(12))["images"]
    assert images.shape == (12, 3, 8, 8) and torch.equal(images, again.__getitems__(range(12))["images"])
    for channel in range(3):
        for half in (slice(6), slice(6, 12)):
            assert sorted(images[half, channel, 4, 4].tolist()) == [0, 40, 80, 120, 160, 200]
    assert not torch.equal(images[:, 0], images[:, 1])


def test_digits():
    digits = load_digits()
    assert digits.images.shape == (1797, 1, 8, 8) and digits.num_classes == 10
    assert digits.images.min() == -1 and digits.images.max() == 1


def numbered(count: int) -> TensorSamples:
    return TensorSamples(torch.arange(count).float()[:, None])


def test_an_epoch_sees_every_sample_once_in_a_new_order():
    data = TrainingData(numbered(12), batch_size=3)
    epochs = [torch.cat([batch["images"] for batch in data.epoch(e)]).flatten().tolist() for e in (0, 1, 0)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(12))
    assert epochs[0] == epochs[2] != epochs[1]
    other_seed = TrainingData(numbered(12), batch_size=3, seed=1)
    assert torch.cat([batch["images"] for batch in other_seed.epoch(0)]).flatten().tolist() != epochs[0]


def test_processes_share_an_epoch_without_overlap():
    shares = [
        torch.cat([b["images"] for b in TrainingData(numbered(12), 2, rank=r, num_processes=3).epoch(0)]).flatten()
        for r in range(3)
    ]
    assert sorted(torch.cat(shares).tolist()) == list(range(12))


def test_an_epoch_can_begin_in_the_middle_and_leaves_the_random_state_alone():
    images = torch.arange(10 * 4).view(10, 1, 2, 2).to(torch.uint8)
    data = TrainingData(TensorSamples(images, torch.arange(10)), batch_size=2, random_flip=True)
    whole = list(data.epoch(3))
    torch.manual_seed(0)
    before = torch.get_rng_state()
    rest = list(data.epoch(3, first_batch=2))
    assert torch.equal(before, torch.get_rng_state())
    assert len(whole) == 5 and len(rest) == 3
    for expected, batch in zip(whole[2:], rest, strict=True):
        assert torch.equal(expected["images"], batch["images"])
        assert torch.equal(expected["class_labels"], batch["class_labels"])


def test_pixels_become_floats_and_half_are_mirrored():
    pixels = torch.tensor([[0, 255]], dtype=torch.uint8).expand(400, 1, 1, 2).contiguous()
    data = TrainingData(TensorSamples(pixels), batch_size=400, random_flip=True)
    (batch,) = data.epoch(0)
    assert batch["images"].dtype == torch.float32 and set(batch["images"].unique().tolist()) == {-1.0, 1.0}
    assert 150 < (batch["images"][:, 0, 0, 0] == 1).sum() < 250


def test_worker_processes_give_the_same_batches():
    plain, workers = (TrainingData(load_digits(), 64, num_workers=n) for n in (0, 2))
    for expected, batch in zip(plain.epoch(0), workers.epoch(0), strict=True):
        assert torch.equal(expected["images"], batch["images"])


def test_too_few_samples_are_refused():
    with pytest.raises(ValueError, match="at least 8 samples; the dataset has 5"):
        TrainingData(numbered(5), batch_size=4, num_processes=2)
