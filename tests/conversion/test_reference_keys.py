# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""Keys and shapes of the reference generator for each combination of options, listed from its construction rules."""

import itertools

import pytest
import torch
from golden_utils import load_golden_json

from gan_diffusion.conversion import convert_ddgan_generator, export_ddgan_generator


CIFAR10 = {
    "image_size": 32,
    "num_channels": 3,
    "num_channels_dae": 128,
    "ch_mult": (1, 2, 2, 2),
    "num_res_blocks": 2,
    "attn_resolutions": (16,),
    "nz": 100,
    "z_emb_dim": 256,
    "n_mlp": 4,
    "resblock_type": "biggan",
    "progressive": "none",
    "progressive_input": "residual",
    "progressive_combine": "sum",
    "embedding_type": "positional",
    "conditional": True,
    "fir": True,
    "resamp_with_conv": True,
}
LARGE = CIFAR10 | {"image_size": 256, "num_channels_dae": 64, "ch_mult": (1, 1, 2, 2, 4, 4), "n_mlp": 3}
SMALL = CIFAR10 | {
    "image_size": 16,
    "num_channels_dae": 16,
    "ch_mult": (1, 2, 2),
    "num_res_blocks": 1,
    "attn_resolutions": (8,),
    "nz": 6,
    "z_emb_dim": 12,
    "n_mlp": 2,
}


class ReferenceShapes:
    """Walks through the reference's list of modules and notes the parameters of each."""

    def __init__(self, **options):
        self.options = options
        self.shapes = {}
        self.index = 0
        self._walk()
        for i in range(options["n_mlp"] + 1):
            inputs = options["nz"] if i == 0 else options["z_emb_dim"]
            self._note(f"z_transform.{2 * i + 1}", (options["z_emb_dim"], inputs))

    def _note(self, name, weight, bias=True):
        self.shapes[f"{name}.weight"] = weight
        if bias:
            self.shapes[f"{name}.bias"] = weight[:1]

    def _nin(self, name, inputs, outputs):
        self.shapes[f"{name}.W"] = (inputs, outputs)
        self.shapes[f"{name}.b"] = (outputs,)

    def _module(self, weight):
        self._note(f"all_modules.{self.index}", weight)
        self.index += 1

    def _block(self, inputs, outputs, resamples=False):
        options, name = self.options, f"all_modules.{self.index}"
        self._note(f"{name}.GroupNorm_0.style", (2 * inputs, options["z_emb_dim"]))
        self._note(f"{name}.Conv_0", (outputs, inputs, 3, 3))
        self._note(f"{name}.Dense_0", (outputs, 4 * options["num_channels_dae"]))  # also where it is never used
        if options["resblock_type"] == "biggan_oneadagn":
            self._note(f"{name}.GroupNorm_1", (outputs,))
        else:
            self._note(f"{name}.GroupNorm_1.style", (2 * outputs, options["z_emb_dim"]))
        self._note(f"{name}.Conv_1", (outputs, outputs, 3, 3))
        if options["resblock_type"] == "ddpm":
            if inputs != outputs:
                self._nin(f"{name}.NIN_0", inputs, outputs)
        elif inputs != outputs or resamples:
            self._note(f"{name}.Conv_2", (outputs, inputs, 1, 1))
        self.index += 1

    def _attention(self, channels):
        name = f"all_modules.{self.index}"
        self._note(f"{name}.GroupNorm_0", (channels,))
        for i in range(4):
            self._nin(f"{name}.NIN_{i}", channels, channels)
        self.index += 1

    def _resampling(self, channels):
        if self.options["resblock_type"] == "ddpm":
            self.index += 1  # without parameters
        else:
            self._block(channels, channels, resamples=True)

    def _walk(self):
        options = self.options
        width, image = options["num_channels_dae"], options["num_channels"]
        embedding = width
        if options["embedding_type"] == "fourier":
            self.shapes["all_modules.0.W"] = (width,)
            self.index, embedding = 1, 2 * width
        if options["conditional"]:
            self._module((4 * width, embedding))
            self._module((4 * width, 4 * width))
        self._module((width, image, 3, 3))
        levels = len(options["ch_mult"])
        channels, pyramid, kept = width, image, [width]
        for level, multiplier in enumerate(options["ch_mult"]):
            for _ in range(options["num_res_blocks"]):
                self._block(channels, width * multiplier)
                channels = width * multiplier
                if options["image_size"] // 2**level in options["attn_resolutions"]:
                    self._attention(channels)
                kept.append(channels)
            if level < levels - 1:
                self._resampling(channels)
                if options["progressive_input"] == "input_skip":
                    self._note(f"all_modules.{self.index}.Conv_0", (channels, image, 1, 1))
                    self.index += 1
                    channels *= 2 if options["progressive_combine"] == "cat" else 1
                elif options["progressive_input"] == "residual":
                    name = "Conv2d_0" if options["fir"] else "Conv_0"
                    self._note(f"all_modules.{self.index}.{name}", (channels, pyramid, 3, 3))
                    self.index, pyramid = self.index + 1, channels
                kept.append(channels)
        self._block(channels, channels)
        self._attention(channels)
        self._block(channels, channels)
        for level, multiplier in reversed(list(enumerate(options["ch_mult"]))):
            for _ in range(options["num_res_blocks"] + 1):
                self._block(channels + kept.pop(), width * multiplier)
                channels = width * multiplier
            if options["image_size"] // 2**level in options["attn_resolutions"]:
                self._attention(channels)
            if options["progressive"] == "output_skip":
                self._module((channels,))
                self._module((image, channels, 3, 3))
            if level > 0:
                self._resampling(channels)
        if options["progressive"] != "output_skip":
            self._module((channels,))
            self._module((image, channels, 3, 3))


@pytest.mark.parametrize("name, options", [("generator_cifar10", CIFAR10), ("generator_celebahq256_lsun256", LARGE)])
def test_the_list_is_right_for_the_published_models(name, options):
    expected = {key: tuple(shape) for key, shape in load_golden_json("ddgan/state_dict_shapes")[name].items()}
    assert ReferenceShapes(**options).shapes == expected


PATHS = [(block, True) for block in ("biggan", "biggan_oneadagn", "ddpm")] + [
    (block, False) for block in ("biggan", "biggan_oneadagn")
]
COMBINATIONS = [
    {
        "resblock_type": block,
        "fir": fir,
        "resamp_with_conv": block != "ddpm",
        "progressive": progressive,
        "progressive_input": progressive_input,
        "progressive_combine": combine,
        "embedding_type": embedding,
        "conditional": conditional,
    }
    for (block, fir), progressive, (progressive_input, combine), embedding, conditional in itertools.product(
        PATHS,
        ("none", "output_skip"),
        (("none", "sum"), ("residual", "sum"), ("input_skip", "sum"), ("input_skip", "cat")),
        ("positional", "fourier"),
        (True, False),
    )
]


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("conditional", [True, False])
def test_every_combination_of_options_converts(prefix, conditional):
    combinations = [options for options in COMBINATIONS if options["conditional"] == conditional]
    assert len(combinations) == 80
    for changes in combinations:
        options = SMALL | changes
        state_dict = {f"{prefix}{key}": torch.rand(shape) for key, shape in ReferenceShapes(**options).shapes.items()}
        generator = convert_ddgan_generator(state_dict, **options)
        exported = export_ddgan_generator(generator)
        dropped = {key.removeprefix(prefix) for key in state_dict} - exported.keys()
        assert all(".Dense_0." in key for key in dropped) and bool(dropped) is not conditional, changes
        for key, value in exported.items():
            assert torch.equal(state_dict[f"{prefix}{key}"], value), (changes, key)


@pytest.mark.parametrize("key", ["all_modules.0.Dense_0.weight", "all_modules.1.Dense_1.weight", "sigmas"])
def test_keys_that_the_reference_does_not_have_are_refused_without_time_conditioning(key):
    options = SMALL | {"conditional": False}
    state_dict = {name: torch.rand(shape) for name, shape in ReferenceShapes(**options).shapes.items()}
    with pytest.raises(ValueError, match=f"1 unexpected: {key}"):
        convert_ddgan_generator(state_dict | {key: torch.zeros(1)}, **options)
