# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""
Makes pickles of the structure that Diffusion-GAN's training saves, with networks of which only the state is real.

Modules under the names that such a pickle holds exist only while one is written, so a test that reads it has none of
them. Objects of a persistent class reduce to a function and a dict of the class's source and the object's attributes.
"""

import contextlib
import io
import pickle
import sys
import types
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn


SOURCE = "# The source of a module, which nobody runs.\nraise SystemExit('executed')\n"


def _persistent(name: str) -> type:
    """A class whose objects are pickled together with a source."""

    def reduce(self):
        meta = {"type": "class", "version": 6, "module_src": SOURCE, "class_name": name, "state": self.__dict__}
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (meta,), None

    return type(name, (nn.Module,), {"__reduce__": reduce})


@contextlib.contextmanager
def _reference_modules() -> Iterator[dict[str, types.ModuleType]]:
    names = ("torch_utils", "torch_utils.persistence", "dnnlib", "dnnlib.util", "training", "training.diffusion")
    modules = {name: types.ModuleType(name) for name in names}

    def reconstruct(meta):
        raise AssertionError("nobody calls this")

    def add(module: str, value: type | types.FunctionType, name: str) -> None:
        value.__module__, value.__qualname__, value.__name__ = module, name, name
        setattr(modules[module], name, value)

    add("torch_utils.persistence", reconstruct, "_reconstruct_persistent_obj")
    add("dnnlib.util", type("EasyDict", (dict,), {}), "EasyDict")
    add("training.diffusion", type("Identity", (nn.Module,), {}), "Identity")
    sys.modules.update(modules)
    try:
        yield modules
    finally:
        for name in names:
            del sys.modules[name]


def _easy(modules: Mapping[str, types.ModuleType], value):
    """Dicts as the dicts that the reference makes of options."""
    if isinstance(value, dict):
        return modules["dnnlib.util"].EasyDict({key: _easy(modules, entry) for key, entry in value.items()})
    return value


def _network(
    kind: str, state_dict: Mapping[str, torch.Tensor], options: dict | None, parameters: set[str]
) -> nn.Module:
    """Nested modules that have a state dict, and attributes such as the reference's."""
    root = _persistent(kind)()
    for key, value in state_dict.items():
        *path, name = key.split(".")
        module = root
        for part in path:
            if not hasattr(module, part):
                setattr(module, part, _persistent("Layer")())
            module = getattr(module, part)
        if name in parameters:
            setattr(module, name, nn.Parameter(value.clone(), requires_grad=False))
        else:
            module.register_buffer(name, value.clone())
        module.weight_gain = np.float64(0.25)  # as 1 / np.sqrt(fan_in)
        module.activation = "lrelu"
    if options is not None:
        root._init_args, root._init_kwargs = (), options
        root.img_resolution = options.get("img_resolution")
    return root


def _diffusion(modules: Mapping[str, types.ModuleType], process: dict) -> nn.Module:
    diffusion = _persistent("Diffusion")()
    diffusion.aug = modules["training.diffusion"].Identity()
    diffusion.p = np.float64(0.0625)
    diffusion.aug_type, diffusion.ada_maxp, diffusion.noise_type = "no", None, "gauss"
    for name, value in process.items():
        setattr(diffusion, name, value)
    diffusion.t_add = process["t_max"] - process["t_min"]
    diffusion.num_timesteps = 72
    diffusion.t_epl = np.arange(64)
    diffusion.random = np.random.RandomState(0)
    diffusion.alphas_bar_sqrt = torch.linspace(1, 0, 73)
    return diffusion


PROCESS = {
    "beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 2e-2, "t_min": 10, "t_max": 1000, "noise_std": 0.05,
    "ts_dist": "priority",
}  # fmt: skip
_PARAMETERS = {"weight", "bias", "const", "noise_strength"}


def write_pickle(
    path: Path,
    networks: Mapping[str, tuple[Mapping[str, torch.Tensor], dict | None]],
    process: dict | None = PROCESS,
    protocol: int = 4,
    head: Mapping[str, torch.Tensor] | None = None,
) -> None:
    """
    Writes a pickle.

    Args:
        path: The file.
        networks: By their names ("G", "D", "G_ema"): reference state dict, and the arguments that the network was
            made with.
        process: Attributes of the diffusion; `None` for a file without one.
        protocol: Of the pickle.
        head: State dict of InsGen's contrastive heads; `None` for a file of StyleGAN2 alone. In a file of InsGen the
            diffusion is called `augment_pipe`.
    """
    with _reference_modules() as modules, torch.no_grad():
        content: dict = {"training_set_kwargs": {"class_name": "training.dataset.ImageFolderDataset", "path": "x.zip"}}
        for name, (state_dict, options) in networks.items():
            kind = "Discriminator" if name.startswith("D") else "Generator"
            content[name] = _network(kind, state_dict, _easy(modules, options), _PARAMETERS)
        if process is not None:
            content["diffusion" if head is None else "augment_pipe"] = _diffusion(modules, process)
        if head is not None:
            mlp = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 8))
            content["DHead"] = _network("CLHead", head, {"inplanes": 4}, set())
            content["DHead"].mlp = mlp
        content["progress"] = {
            "cur_nimg": torch.LongTensor([640]), "cur_tick": torch.LongTensor([3]),
            "cur_p": torch.FloatTensor([0.0625]), "batch_idx": torch.LongTensor([10]), "best_fid": 9999,
        }  # fmt: skip
        file = io.BytesIO()
        pickle.dump(content, file, protocol)
    path.write_bytes(file.getvalue())


def tiny_stylegan2(classes: int = 0, layers: int = 2) -> dict[str, tuple[dict[str, torch.Tensor], dict]]:
    """
    Networks of 8x8 grey images for [`write_pickle`], with random weights.

    Args:
        classes: Number of classes.
        layers: Layers of the discriminator's mapping, 0 in InsGen.
    """
    from gan_diffusion.conversion import export_stylegan2_discriminator, export_stylegan2_generator
    from gan_diffusion.models import StyleGAN2Discriminator, StyleGAN2Generator

    size = {"sample_size": 8, "channel_base": 64, "channel_max": 12, "num_class_embeds": classes or None}
    common = {"c_dim": classes, "img_resolution": 8, "img_channels": 1}
    widths = {"channel_base": 64, "channel_max": 12, "num_fp16_res": 4, "conv_clamp": 256}
    generator_options = common | {
        "z_dim": 6, "w_dim": 10, "mapping_kwargs": {"num_layers": 2}, "synthesis_kwargs": widths
    }  # fmt: skip
    discriminator_options = common | widths | {
        "architecture": "resnet", "block_kwargs": {"freeze_layers": 0}, "mapping_kwargs": {"num_layers": layers},
        "epilogue_kwargs": {"mbstd_group_size": 32},
    }  # fmt: skip
    networks = {}
    for name in ("G", "G_ema"):
        model = StyleGAN2Generator(**size, out_channels=1, latent_dim=6, w_dim=10, num_mapping_layers=2)
        networks[name] = export_stylegan2_generator(model), generator_options
    model = StyleGAN2Discriminator(**size, in_channels=1, timestep_embedding="official", num_mapping_layers=layers)
    networks["D"] = export_stylegan2_discriminator(model), discriminator_options
    return networks
