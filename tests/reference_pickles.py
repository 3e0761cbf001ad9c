# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""
Makes pickles of the structure that Diffusion-GAN's trainings save, with networks of which only the state is real.

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
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.spectral_norm import SpectralNorm, SpectralNormLoadStateDictPreHook, SpectralNormStateDictHook


SOURCE = "# The source of a module, which nobody runs.\nraise SystemExit('executed')\n"


def _persistent(name: str) -> type:
    """A class whose objects are pickled together with a source."""

    def reduce(self):
        meta = {"type": "class", "version": 6, "module_src": SOURCE, "class_name": name, "state": self.__dict__}
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (meta,), None

    return type(name, (nn.Module,), {"__reduce__": reduce})


# Plain classes of ProjectedGAN, and of the frozen network in it.
_PLAIN = {
    "pg_modules.networks_fastgan": ("Generator", "FastganSynthesis"),
    "pg_modules.discriminator": ("ProjectedDiscriminator", "MultiScaleD", "SingleDisc"),
    "pg_modules.projector": ("F_RandomProj",),
    "pg_modules.blocks": ("UpBlock", "FeatureFusionBlock"),
    "timm.models.efficientnet_blocks": ("InvertedResidual",),
    "timm.models.layers.conv2d_same": ("Conv2dSame",),
}


@contextlib.contextmanager
def _reference_modules() -> Iterator[dict[str, types.ModuleType]]:
    names = ("torch_utils", "torch_utils.persistence", "dnnlib", "dnnlib.util", "training", "training.diffusion")
    names += ("pg_modules", "timm", "timm.models", "timm.models.layers", *_PLAIN)
    modules = {name: types.ModuleType(name) for name in names}
    for name in names:
        parent, _, child = name.rpartition(".")
        if parent:  # dill finds modules as attributes.
            setattr(modules[parent], child, modules[name])

    def reconstruct(meta):
        raise AssertionError("nobody calls this")

    def add(module: str, value: type | types.FunctionType, name: str) -> None:
        value.__module__, value.__qualname__, value.__name__ = module, name, name
        setattr(modules[module], name, value)

    add("torch_utils.persistence", reconstruct, "_reconstruct_persistent_obj")
    add("dnnlib.util", type("EasyDict", (dict,), {}), "EasyDict")
    add("training.diffusion", type("Identity", (nn.Module,), {}), "Identity")
    for module, kinds in _PLAIN.items():
        for kind in kinds:
            add(module, type(kind, (nn.Module,), {}), kind)
    before = {name: sys.modules[name] for name in names if name in sys.modules}
    sys.modules.update(modules)
    try:
        yield modules
    finally:
        for name in names:
            del sys.modules[name]
        sys.modules.update(before)


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


def _plain_network(
    modules: Mapping[str, types.ModuleType], kind: str, state_dict: Mapping[str, torch.Tensor], attributes: dict
) -> nn.Module:
    """Nested modules of plain classes that have a state dict. Layers have the hooks of spectral norm where they do."""
    place, _, name = kind.rpartition(".")
    root = getattr(modules[place], name)()
    for key, value in state_dict.items():
        *path, name = key.split(".")
        module = root
        for depth, part in enumerate(path):
            if part not in module._modules:
                module.add_module(part, _plain_layer(modules, path[: depth + 1]))
            module = getattr(module, part)
        if name in ("weight_u", "weight_v") or name.startswith(("running_", "stored_", "num_batches")):
            module.register_buffer(name, value.clone())
        else:
            module.register_parameter(name, nn.Parameter(value.clone(), requires_grad=False))
        if name == "weight_orig":
            module.weight = value / 2  # As the hook leaves it.
            hook = SpectralNorm("weight")
            module.register_forward_pre_hook(hook)
            module._register_state_dict_hook(SpectralNormStateDictHook(hook))
            module._register_load_state_dict_pre_hook(SpectralNormLoadStateDictPreHook(hook))
    for name, value in attributes.items():
        setattr(root, name, value)
    return root.eval()


def _plain_layer(modules: Mapping[str, types.ModuleType], path: list[str]) -> nn.Module:
    blocks = modules["pg_modules.blocks"]
    if "pretrained" in path:
        return (
            modules["timm.models.layers.conv2d_same"].Conv2dSame()
            if path[-1].startswith("conv")
            else modules["timm.models.efficientnet_blocks"].InvertedResidual()
        )
    if path[-1] == "feature_network":
        return modules["pg_modules.projector"].F_RandomProj()
    if path[-1].endswith("_csm"):
        layer = blocks.FeatureFusionBlock()
        layer.skip_add = torch.ao.nn.quantized.FloatFunctional()
        return layer
    return nn.ModuleDict() if path[-1] == "mini_discs" else blocks.UpBlock()


FEATURE_PROCESS = {"beta_start": 1e-4, "beta_end": 1e-2, "t_min": 5, "t_max": 500, "noise_sd": 0.5, "d_pos": "first"}


def write_projected_pickle(
    path: Path,
    networks: Mapping[str, tuple[Mapping[str, torch.Tensor], dict]],
    process: dict = FEATURE_PROCESS,
    dumps: Any = pickle.dumps,
) -> None:
    """
    Writes a pickle of ProjectedGAN.

    Args:
        path: The file.
        networks: By their names ("G", "D", "G_ema"): reference state dict, and attributes. A generator of StyleGAN2
            has the arguments that it was made with instead.
        process: Attributes of the noise, and of the features that it is on.
        dumps: Of pickle, or of dill, which the reference takes for its best model.
    """
    with _reference_modules() as modules, torch.no_grad():
        content: dict = {"training_set_kwargs": {"class_name": "training.dataset.ImageFolderDataset", "path": "x.zip"}}
        for name, (state_dict, attributes) in networks.items():
            if "mapping.w_avg" in state_dict:
                content[name] = _network("Generator", state_dict, _easy(modules, attributes), _PARAMETERS)
                continue
            kind = "discriminator.ProjectedDiscriminator" if name == "D" else "networks_fastgan.Generator"
            network: Any = _plain_network(modules, f"pg_modules.{kind}", state_dict, attributes)
            if name == "D":
                features = network.feature_network
                features.noise_sd, features.d_pos = process["noise_sd"], process["d_pos"]
                features.CHANNELS, features.cout, features.expand, features.proj_type = [4, 4, 8, 16], 4, True, 2
                diffusion = _persistent("Diffusion")()
                for option in ("beta_start", "beta_end", "t_min", "t_max"):
                    setattr(diffusion, option, process[option])
                # The standard deviation and the schedule that it has are not those that it uses.
                diffusion.noise_std, diffusion.base_schedule, diffusion.p = 0.25, "quad", np.float64(0.0625)
                diffusion.t_epl, diffusion.betas = np.arange(64), torch.linspace(1, 0, 7)
                features.diffusion = diffusion
            content[name] = network
        data = dumps(content)
    path.write_bytes(data)


def tiny_projected(
    size: int = 32, classes: int = 0, lite: bool = False, frozen: bool = True, **heads: bool
) -> dict[str, tuple[dict[str, torch.Tensor], dict]]:
    """
    Networks for [`write_projected_pickle`], with random weights and few channels, except for the heads.

    Args:
        size: Height of the images.
        classes: Number of classes; the reference has 1000 embeddings for any.
        lite: Whether the generator is the lite one.
        frozen: Whether the discriminator has the weights of EfficientNet-Lite0, rather than random ones.
        heads: Options of the heads: `separable`, `patch`.
    """
    from gan_diffusion.conversion import export_fastgan_generator, export_projected_discriminator
    from gan_diffusion.conversion.projected_files import frozen_key_map
    from gan_diffusion.models import FastGANGenerator, ProjectedDiscriminator
    from gan_diffusion.models.features import EfficientNetLite0

    embeddings = 1000 if classes else None
    attributes = {"z_dim": 6, "c_dim": classes, "w_dim": 0, "img_resolution": size, "img_channels": 3}
    networks = {}
    for name in ("G", "G_ema"):
        # The reference builds the levels up to 256 pixels, with the last layer of its own size.
        options = {"latent_dim": 6, "base_channels": 2, "lite": lite, "num_class_embeds": embeddings}
        state_dict = export_fastgan_generator(FastGANGenerator(max(size, 256), **options))
        used = export_fastgan_generator(FastGANGenerator(size, **options))
        networks[name] = state_dict | used, attributes
    discriminator = ProjectedDiscriminator(projection_channels=4, num_class_embeds=embeddings, **heads)
    network = EfficientNetLite0.from_package() if frozen else EfficientNetLite0()
    weights = {
        f"feature_network.pretrained.{place}.{key.removeprefix(ours + '.')}": value
        for place, ours in frozen_key_map().items()
        for key, value in network.state_dict().items()
        if key.startswith(f"{ours}.")
    }
    exported = export_projected_discriminator(discriminator)
    counters = {
        key.replace("running_mean", "num_batches_tracked"): torch.tensor(7) for key in exported if "mean" in key
    }
    networks["D"] = weights | exported | counters, {"interp224": size < 224, "diffaug": True}
    return networks


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
