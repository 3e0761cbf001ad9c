# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch
import torch.nn.functional as F
from accelerate.utils import convert_outputs_to_fp32
from golden_stylegan2 import draw, golden_discriminator
from golden_utils import assert_matches, load_golden, load_golden_json

from gan_diffusion.conversion import convert_contrastive_head, export_contrastive_head
from gan_diffusion.models import ContrastiveHead


@pytest.fixture(scope="module")
def golden():
    return load_golden("diffusion_gan/insgen")


def reference_weights() -> dict[str, torch.Tensor]:
    """The head of the golden file, by the rule of its README."""
    weights = {}
    for key, shape in load_golden_json("diffusion_gan/keys_insgen_head").items():
        name, value = key.rpartition(".")[2], draw(key, shape)
        if name == "queue_ptr":
            value = torch.zeros(shape, dtype=torch.int64)
        elif name == "queue":
            value = F.normalize(value, dim=0)
        else:
            value = 0.1 * value if name == "bias" else value * value[0].numel() ** -0.5
        weights[key.removeprefix("head.")] = value
    return weights


def loss_of(output) -> torch.Tensor:
    return F.cross_entropy(output.logits, torch.zeros(len(output.logits), dtype=torch.int64))


def test_four_calls_equal_the_reference(golden):
    """Losses, gradients, momentum copy and queue. The reference writes into a ring that begins at its pointer."""
    head = convert_contrastive_head(reference_weights()).double()
    for step, (call, enqueued) in enumerate(
        [(0, None), (1, "momentum_keys"), (2, "momentum_queries"), (0, "momentum_keys")]
    ):
        query, key = golden[f"call{call}.im_q"].clone().requires_grad_(), golden[f"call{call}.im_k"]
        head.update_momentum()
        output = head(query, key)
        loss = loss_of(output)
        if enqueued is not None:
            head.enqueue(output[enqueued])
        loss.backward()
        assert_matches(loss, golden[f"step{step}.loss"], rtol=1e-9)
        assert_matches(query.grad.sum((2, 3)), golden[f"step{step}.grad_im_q_sum"], rtol=1e-9, atol=1e-12)
        expected = golden[f"step{step}.momentum_mlp.0.weight"]
        assert_matches(head.momentum_mlp[0].weight, expected, rtol=1e-9, atol=1e-12)
        pointer = golden[f"step{step}.queue_ptr"].item()
        assert_matches(head.queue.t(), golden[f"step{step}.queue"].roll(-pointer, 1), rtol=1e-9, atol=1e-12)


def test_features_and_logits_of_the_discriminator_equal_the_reference(golden):
    discriminator = golden_discriminator(num_layers=0)
    output = discriminator(golden["D.x"], golden["D.t"][:, 0], return_features=True)
    assert_matches(output.features, golden["D.feats"], rtol=1e-9, atol=1e-9)
    assert_matches(output.logits, golden["D.logits"], rtol=1e-9, atol=1e-9)
    assert discriminator.feature_channels == output.features.shape[1]
    plain = discriminator(golden["D.x"], golden["D.t"][:, 0])
    assert torch.equal(plain.logits, output.logits) and plain.features is None
    logits, features = discriminator(golden["D.x"], golden["D.t"][:, 0], return_dict=False, return_features=True)
    assert torch.equal(logits, output.logits) and torch.equal(features, output.features)


def features(batch: int = 3) -> torch.Tensor:
    return torch.randn(batch, 8, 2, 3, generator=torch.Generator().manual_seed(batch))


OPTIONS = {"in_channels": 8, "out_features": 4, "queue_size": 5}


def make_head(**options) -> ContrastiveHead:
    torch.manual_seed(0)
    return ContrastiveHead(**(OPTIONS | options))


def test_the_right_key_is_the_nearest_of_all():
    """A query whose key is itself has the similarity 1, the largest there is."""
    head = make_head(temperature=0.5)
    output = head(features(), features())
    torch.testing.assert_close(output.logits[:, 0], torch.full((3,), 2.0))
    assert (output.logits <= 2 + 1e-6).all() and output.logits.shape == (3, 6)
    torch.testing.assert_close(output.momentum_keys.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(head.queue.norm(dim=1), torch.ones(5))
    assert torch.equal(output.momentum_keys, output.momentum_queries)


def test_gradients_reach_the_query_and_the_layers_alone():
    head = make_head()
    query, key = features().requires_grad_(), features(4)[:3].clone().requires_grad_()
    output = head(query, key)
    loss = loss_of(output)
    head.enqueue(output.momentum_keys)  # before the backward pass, as in a training
    loss.backward()
    assert query.grad.abs().sum() > 0 and key.grad is None
    assert all(parameter.grad is not None for parameter in head.parameters())
    assert len(list(head.parameters())) == 4 and len(list(head.buffers())) == 5


def test_the_momentum_copy_follows_the_layers():
    head = make_head(momentum=0.75)
    with torch.no_grad():
        head.mlp[2].bias += 1.0
    before = head.momentum_mlp[2].bias.clone()
    for share in (0.25, 0.4375):
        head.update_momentum()
        torch.testing.assert_close(head.momentum_mlp[2].bias, before + share)


@pytest.mark.parametrize("counts", [(2, 2, 2), (5,), (4, 3), (12,)])
def test_the_queue_keeps_the_newest_keys(counts):
    head = make_head()
    seen = list(head.queue.clone())
    for count in counts:
        keys = F.normalize(torch.randn(count, 4), dim=1)
        head.enqueue(keys)
        seen += list(keys)
    assert torch.equal(head.queue, torch.stack(seen[-5:]))


def test_comparisons_are_exact_under_autocast():
    head = make_head()
    wrapped = convert_outputs_to_fp32(torch.autocast("cpu", dtype=torch.bfloat16)(head.forward))  # as accelerate does
    output = wrapped(features(), features())
    assert output.logits.dtype == torch.float32
    torch.testing.assert_close(output.logits[:, 0], torch.full((3,), 5.0))


def test_weights_go_to_the_reference_and_back(tmp_path):
    head = make_head()
    exported = export_contrastive_head(head)
    assert {key: list(value.shape) for key, value in exported.items()} == {
        "queue": [4, 5], "queue_ptr": [1], "mlp.0.weight": [8, 8], "mlp.0.bias": [8], "mlp.2.weight": [4, 8],
        "mlp.2.bias": [4], "momentum_mlp.0.weight": [8, 8], "momentum_mlp.0.bias": [8],
        "momentum_mlp.2.weight": [4, 8], "momentum_mlp.2.bias": [4],
    }  # fmt: skip
    back = convert_contrastive_head({f"module.{key}": value for key, value in exported.items()})
    assert {name: back.config[name] for name in OPTIONS} == OPTIONS
    assert all(torch.equal(value, back.state_dict()[key]) for key, value in head.state_dict().items())
    # The oldest key of the reference's ring is the one at its pointer.
    moved = convert_contrastive_head(exported | {"queue_ptr": torch.tensor([3])})
    assert torch.equal(moved.queue, head.queue.roll(-3, 0))
    head.save_pretrained(tmp_path)
    loaded = ContrastiveHead.from_pretrained(tmp_path)
    assert all(torch.equal(value, loaded.state_dict()[key]) for key, value in head.state_dict().items())


def test_published_size():
    """A head of the published models has 328,320 weights, and its copy as many."""
    with torch.device("meta"):
        head = ContrastiveHead(queue_size=514)
    assert sum(parameter.numel() for parameter in head.parameters()) == 328_320
    assert sum(buffer.numel() for buffer in head.momentum_mlp.buffers()) == 328_320


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "`temperature` must be positive"),
        ({"momentum": 1.1}, "`momentum` must lie in"),
        ({"momentum": math.nan}, "`momentum` must be finite"),
        ({"queue_size": 0}, "`queue_size` must be at least 1"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_head(**options)


def test_bad_input_is_refused():
    head, good = make_head(), features()
    for bad in (good[:, :7], good[:, :, 0]):
        with pytest.raises(ValueError, match=r"`key_features` must have shape \(batch, 8"):
            head(good, bad)
    weights = export_contrastive_head(head)
    for changes, message in (
        ({"queue_ptr": torch.tensor([5])}, "`queue_ptr` must be a place in the queue of 5, got 5"),
        ({"mlp.0.bias": torch.zeros(7)}, "of another shape: mlp.0.bias"),
        ({"queue": torch.zeros(4)}, "`state_dict` must hold the queue"),
    ):
        with pytest.raises(ValueError, match=message):
            convert_contrastive_head(weights | changes)
    del weights["queue"]
    with pytest.raises(ValueError, match="`state_dict` must hold the queue"):
        convert_contrastive_head(weights)
