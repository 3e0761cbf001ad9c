#!/usr/bin/env python
# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""
Makes files that pretend to be checkpoints of the reference implementations, and converts each in a process of its own.

Each must be refused by one clear error within 10 seconds and 2 GB, and nothing of it may be executed. Damage in the
numbers of a file without checksums cannot be noticed, and may give other weights. Linux only.

Usage: `python tests/reliability/hostile_pickles.py`
"""

import argparse
import collections
import hashlib
import io
import itertools
import os
import pickle
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import isolation
import torch


ROOT = Path(__file__).parents[2]
COMMAND = "touch canary"
MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
SYSTEM = pickle.dumps({"little_endian": True, "protocol_version": 1001, "type_sizes": {}}, 2)
OPTIONS = {"image_size": 8, "num_timesteps": 2}
# Good files that have checksums.
ARCHIVES = ("netG.pth", "fastgan.pth")

# Functions that do harm with these arguments, or are a step on the way to one that does.
NAMES: list[tuple[str, tuple]] = [
    ("os.system", (COMMAND,)), ("posix.system", (COMMAND,)), ("nt.system", (COMMAND,)), ("os.popen", (COMMAND,)),
    ("os.execvp", ("touch", ["touch", "canary"])), ("os.putenv", ("CANARY", "1")), ("os._exit", (0,)),
    ("subprocess.Popen", (["touch", "canary"],)), ("subprocess.check_output", (["touch", "canary"],)),
    ("subprocess.getoutput", (COMMAND,)), ("pty.spawn", (["touch", "canary"],)), ("sys.exit", (0,)),
    ("builtins.eval", ("open('canary', 'w')",)), ("__builtin__.eval", ("open('canary', 'w')",)),
    ("builtins.exec", ("open('canary', 'w')",)), ("builtins.compile", ("1", "x", "eval")),
    ("builtins.open", ("canary", "w")), ("io.open", ("canary", "w")), ("builtins.__import__", ("canary_module",)),
    ("builtins.getattr", (1, "real")), ("builtins.setattr", ({}, "a", 1)), ("builtins.globals", ()),
    ("builtins.print", ("x",)), ("builtins.type", ("X", (), {})), ("builtins.map", ()), ("builtins.list", ((1,),)),
    ("importlib.import_module", ("canary_module",)), ("importlib.reload", (1,)), ("runpy.run_module", ("canary_module",)),
    ("operator.attrgetter", ("system",)), ("operator.methodcaller", ("system", COMMAND)), ("operator.call", (1,)),
    ("functools.partial", (1,)), ("functools.reduce", (1, [1, 2])), ("copyreg.__newobj__", (1,)),
    ("copyreg._reconstructor", (1, 2, 3)), ("copyreg.add_extension", ("os", "system", 1)),
    ("pickle.loads", (b"cos\nsystem\n(S'touch canary'\ntR.",)), ("_pickle.loads", (b"N.",)), ("marshal.loads", (b"N",)),
    ("dill._dill._create_code", (1,)), ("dill._dill._load_type", ("CodeType",)), ("cloudpickle.loads", (b"N.",)),
    ("types.FunctionType", (1, {})), ("types.CodeType", (0,)), ("ctypes.CDLL", ("libc.so.6",)),
    ("pathlib.Path.touch", ("canary",)), ("shutil.rmtree", (".",)), ("shutil.copy", ("file", "canary")),
    ("timeit.timeit", ("open('canary', 'w')",)), ("cProfile.run", ("open('canary', 'w')",)), ("pdb.run", ("1",)),
    ("code.InteractiveInterpreter", ()), ("webbrowser.open", ("file:///",)), ("socket.create_connection", (("a", 1),)),
    ("urllib.request.urlopen", ("file:///etc/passwd",)), ("logging.config.listen", ()), ("pip.main", (["--version"],)),
    ("torch.load", ("file",)), ("torch.hub.load", ("a", "b")), ("torch.jit.load", ("file",)), ("torch.set_num_threads", (9,)),
    ("torch._utils._rebuild_tensor_v3", ()), ("torch._utils._rebuild_device_tensor_from_numpy", ()),
    ("torch.storage.UntypedStorage", (2**40,)), ("torch.FloatStorage", (2**40,)), ("torch.zeros", (2**40,)),
    ("numpy.load", ("file",)), ("numpy.zeros", (2**40,)), ("numpy.memmap", ("canary",)), ("numpy.ndarray", ((2**40,),)),
    ("numpy.testing._private.utils.runstring", ("open('canary', 'w')", {})), ("numpy.f2py.compile", ("",)),
    ("dnnlib.util.get_obj_by_name", ("os.system",)), ("dnnlib.util.call_func_by_name", ()), ("dnnlib.util.open_url", ("x",)),
    ("torch_utils.persistence.import_hook", (1,)), ("torch_utils.persistence._src_to_module", ("open('canary', 'w')",)),
    ("training.diffusion.Diffusion", ()), ("argparse.FileType", ("w",)), ("collections.namedtuple", ("a", "b")),
    ("canary_module.anything", ()), ("pg_modules.networks_fastgan.Generator", ()), ("timm.create_model", ("x",)),
    ("pg_modules.blocks.conv2d", (3, 3, 1)), ("pg_modules.os.system", (COMMAND,)), ("pg_modules.diffusion.Diffusion", ()),
    ("timm.models.layers.helpers.to_ntuple", (2,)), ("timm.models.efficientnet_blocks.eval", ("open('canary', 'w')",)),
    ("torch.nn.utils.spectral_norm.remove_spectral_norm", (1,)), ("torch.nn.utils.spectral_norm.SpectralNorm", ("x", 10**9)),
    ("torch.ao.nn.quantized.modules.functional_modules.FloatFunctional", ()), ("torch.nn.functional.interpolate", (1,)),
    ("dill._dill._create_type", (1, "X", (), {})), ("dill._dill._create_function", (1, {})), ("dill._dill._eval_repr", ("1",)),
    ("dill._dill._import_module", ("canary_module",)), ("dill._dill._create_array", (1, (), (), None)), ("dill.loads", (b"N.",)),
]  # fmt: skip


def text(word: str) -> bytes:
    return b"X" + struct.pack("<I", len(word.encode("utf-8", "surrogatepass"))) + word.encode("utf-8", "surrogatepass")


def value(thing) -> bytes:
    """Instructions that push a plain value."""
    return pickle.dumps(thing, 2)[2:-1]


def calls(module: str, name: str, arguments: tuple) -> dict[str, bytes]:
    """Instructions that have a function called, in every way that there is."""
    pushed, words = b"".join(map(value, arguments)), f"{module}\n{name}\n".encode()
    return {
        "REDUCE": b"c" + words + b"(" + pushed + b"tR",
        "REDUCE of STACK_GLOBAL": text(module) + text(name) + b"\x93(" + pushed + b"tR",
        "INST": b"(" + pushed + b"i" + words,
        "OBJ": b"(c" + words + pushed + b"o",
        "NEWOBJ": b"c" + words + b"(" + pushed + b"t\x81",
        "NEWOBJ_EX": b"c" + words + b"(" + pushed + b"t}\x92",
        "BUILD": b"c" + words + value({"__setstate__": 1, "x": arguments}) + b"b",
        "REDUCE of a REDUCE": b"cbuiltins\ngetattr\n(" + b"c" + words + text("__call__") + b"tR(" + pushed + b"tR",
    }


def archive(structure: bytes, entries: dict[str, bytes] | None = None, **options) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as target:
        for name, data in {"archive/data.pkl": structure, "archive/version": b"3\n", **(entries or {})}.items():
            target.writestr(name, data)
    return file.getvalue()


def older_file(structure: bytes, names: bytes = b"]", numbers: bytes = b"") -> bytes:
    return MAGIC + pickle.dumps(1001, 2) + SYSTEM + b"\x80\x02" + structure + b".\x80\x02" + names + b"." + numbers


def blob(data: bytes) -> bytes:
    """Instructions that have torch read a storage out of bytes."""
    return b"ctorch.storage\n_load_from_bytes\n(B" + struct.pack("<I", len(data)) + data + b"tR"


def containers(harm: bytes) -> list[bytes]:
    """Files that have instructions at different places."""
    whole = b"\x80\x04" + harm + b"."
    state = b"(" + text("_parameters") + b"}" + text("x") + harm + b"sd"
    meta = b"(" + b"".join(map(text, ("type", "class", "class_name", "Generator", "state"))) + state + b"d"
    return [
        whole,
        b"\x80\x04}" + text("G_ema") + harm + b"s.",
        b"}" + text("G_ema") + b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n(" + meta + b"tRs.",
        archive(whole),
        older_file(harm),
        MAGIC + whole + SYSTEM + b"}.].",
        older_file(b"N", harm),
        b"\x80\x04" + blob(older_file(harm)) + b".",
        b"\x80\x04" + blob(whole) + b".",
        archive(b"\x80\x02" + text("a") + b"ccollections\nOrderedDict\n(]" + harm + b"atR0."),
    ]


def executables() -> Iterator[tuple[str, bytes]]:
    number = 0
    for place, arguments in NAMES:
        module, _, name = place.rpartition(".")
        for way, harm in calls(module, name, arguments).items():
            found = containers(harm)
            yield f"{place} by {way}", found[number % len(found)]
            number += 1

    class Reduces:
        def __reduce_ex__(self, protocol):
            return os.system, (COMMAND,)

    class Sets:
        def __reduce__(self):
            return collections.OrderedDict, (), None, None, iter([("G_ema", Reduces())])

    for protocol in range(6):
        for thing in (Reduces(), Sets(), {"G_ema": [Reduces()]}, subprocess.Popen, (os.system, COMMAND), Path):
            try:
                yield f"protocol {protocol}", pickle.dumps(thing, protocol)
            except Exception:  # Not everything can be pickled by the old protocols.
                continue
    for zipped in (True, False):
        file = io.BytesIO()
        torch.save({"netG_dict": Reduces()}, file, _use_new_zipfile_serialization=zipped)
        yield "torch.save", file.getvalue()


def names_with_tricks() -> Iterator[tuple[str, bytes]]:
    for module, name in (
        ("\uff4fs", "system"), ("os\0", "system"), ("os", "system\0"), ("os.path", "os.system"), ("torch", "os.system"),
        ("collections", "OrderedDict.__class__"), ("collections", "abc.sys.modules"), ("", "eval"), ("builtins", ""),
        ("torch_utils.persistence", "sys.modules"), ("torch.nn.modules.container", "Sequential.__init__"),
        ("torch.nn.modules.container", "Sequential\n"), ("os system", "x"), ("\u202eso", "metsys"), ("os\ud800", "system"),
        ("Collections", "OrderedDict"), ("collections", "Ordere\u0064Dict\u200b"), ("numpy", "dtype.__class__"),
        ("pg_modules.blocks", "os.system"), ("pg_modules", "GLU"), ("pg_modules.blocks\0", "GLU"), ("timm.models.layers", "os"),
        ("torch.nn.utils.spectral_norm", "torch.load"), ("dill._dill", "_create_array.__globals__"),
        ("numpy.random._pickle", "os.system"), ("training.diffusion", "np.load"), ("argparse", "_os.system"), ("\x1b[2J", "x"),
    ):  # fmt: skip
        yield f"name {module!a} {name!a}", text(module) + text(name) + b"\x93(" + text(COMMAND) + b"tR."
    for pushed in (b"N", value(1), b"]", b"}", value(b"os")):
        yield "name of no text", pushed + text("system") + b"\x93."
    for extension in (b"\x82\x01", b"\x83\x01\x00", b"\x84\x01\x00\x00\x00"):
        yield "extension", extension + b"(tR."
    for key in (b"Pstorage\n", text("x") + b"Q", value(("storage", "FloatStorage", "0", "cpu", 4)) + b"Q"):
        yield "persistent id", key + b"."


def sizes() -> Iterator[tuple[str, bytes]]:
    for code, form in ((b"T", "<i"), (b"B", "<I"), (b"X", "<I"), (b"\x8b", "<i"), (b"\x8d", "<Q"), (b"\x8e", "<Q"),
                       (b"\x96", "<Q"), (b"\x95", "<Q")):  # fmt: skip
        for size in (100, 2**24, 2**31 - 1, 2**40, 2**63, 2**64 - 1):
            if size < 2 ** (8 * struct.calcsize(form) - (form == "<i")):
                yield f"size {size} of {code!r}", b"\x80\x04" + code + struct.pack(form, size) + b"abc."
        if form == "<i":
            yield "negative size", code + struct.pack(form, -5) + b"abc."
    yield "long number", b"\x8b" + struct.pack("<i", 2**20) + b"\x7f" * 2**20 + b"."
    yield "long decimal number", b"L" + b"9" * 10**6 + b"L\n."
    yield "long line", b"V" + b"a" * 2**22 + b"\n."
    for count, size in ((2**40, 0), (2**62, 0), (-1, 0), (2**31, 0), (10, 4)):
        structure = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + value(count) + b"tQ"
        yield f"storage of {count}", archive(b"\x80\x02" + structure + b".", {"archive/data/0": b"\0" * size})
        yield f"storage of {count}", older_file(structure, value(["0"]), struct.pack("<q", count))
        yield f"storage of {count} in bytes", b"\x80\x04" + blob(older_file(structure, value(["0"]), b"\0" * 8)) + b"."
    yield from tensors()


def tensors() -> Iterator[tuple[str, bytes]]:
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + value(4) + b"tQ"
    for offset, shape, stride in (
        (0, (2**40,), (1,)), (0, (2**20, 2**20), (0, 0)), (0, (4,), (0,)), (5, (1,), (1,)), (-1, (1,), (1,)), (0, (5,), (1,)),
        (0, (2, 2), (1, 1)), (0, (-1,), (1,)), (0, (2,), (-1,)), (0, (2,), (2**62,)), (0, (2**62, 2**62), (1, 1)), (0, (1,), ()),
        (0, (1,) * 65, (1,) * 65), (0, (2.5,), (1,)), (0, (True,), (1,)), (0, "4", "1"), (None, (1,), (1,)), (0, ((1,),), (1,)),
        (2**70, (1,), (1,)),
    ):  # fmt: skip
        arguments = storage + value(offset) + value(shape) + value(stride) + b"\x89ccollections\nOrderedDict\n)R"
        structure = b"}" + text("x") + b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tRs."
        yield f"tensor {offset} {shape!r:.30} {stride!r:.30}", archive(structure, {"archive/data/0": b"\0" * 16})
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + value((0,)) + value(b"b") + b"tR"
    double = b"cnumpy\ndtype\n(" + value("f8") + b"\x89\x88tR" + value((3, "<", None, None, None, -1, -1, 0)) + b"b"
    for shape, kind, data in (
        ((2**40,), double, b""), ((3,), double, b"\0" * 16), ((-1,), double, b""), ((2**32, 2**32), double, b""),
        ((1,), b"cnumpy\ndtype\n(" + value("O8") + b"\x89\x88tR", b"\0" * 8),
        ((1,), b"cnumpy\ndtype\n(" + value("V8") + b"\x89\x88tR", b"\0" * 8),
        ((1,), b"cnumpy\ndtype\n(" + value([("a", "O")]) + b"\x89\x88tR", b"\0" * 8),
        ((1,), double, None), ((1,) * 100, double, b"\0" * 8), ((1,), b"N", b"\0" * 8),
    ):  # fmt: skip
        state = b"(" + value(1) + value(shape) + kind + b"\x89" + value(data) + b"tb."
        yield f"array {shape!r:.30}", array + state
        yield "number", b"cnumpy.core.multiarray\nscalar\n(" + kind + value(data) + b"tR."
    made = b"(cnumpy\nndarray\n" + value((0,)) + value(b"b") + b"t"
    for function, arguments, state in (
        (b"cos\nsystem\n", value((COMMAND,)), b"N"), (b"cpg_modules.blocks\nGLU\n", made, b"N"),
        (b"cnumpy.core.multiarray\n_reconstruct\n", b"N", b"N"), (b"cnumpy.core.multiarray\n_reconstruct\n", made, b"N"),
        (b"cnumpy.core.multiarray\n_reconstruct\n", made, b"(" + value(1) + value((2**40,)) + double + b"\x89" + value(b"") + b"t"),
    ):  # fmt: skip
        yield "array of dill", b"cdill._dill\n_create_array\n(" + function + arguments + state + b"NtR."
    yield "array of another class", array.replace(b"cnumpy\nndarray", b"cos\nsystem") + b"."
    yield "array without content", b"}" + text("G_ema") + array + b"s."


def bombs() -> Iterator[tuple[str, bytes]]:
    for count in (10**6 + 1, 5 * 10**6):
        yield f"{count} instructions", b"N" + b"2" * count + b"."
        yield f"{count} marks", b"(" * count + b"."
        yield f"{count} kept values", b"N" + b"\x94" * count + b"."
    yield "far memo", b"Nr\xff\xff\xff\xff."
    yield "negative memo", b"Np-5\n."
    yield "list in lists", b"]" * 900_000 + b"a" * 899_999 + b"."
    yield "tuple in tuples", b"N" + b"\x85" * 900_000 + b"."
    laughs = b"]" + b"".join(b"2\x86" for _ in range(400))
    yield "billion laughs", laughs + b"."
    yield "billion laughs as a network", b"}" + text("G_ema") + laughs + b"s."
    yield "billion laughs as a key", b"}" + b"N" + b"2\x86" * 400 + b"Ns."
    yield "billion laughs in a set", b"\x8f(" + b"N" + b"2\x86" * 400 + b"\x90."
    yield "billion laughs as arguments", b"ccollections\nOrderedDict\n" + laughs + b"R."
    yield "billion laughs as a state", b"cargparse\nNamespace\n)\x81" + laughs + b"b."
    yield "keys of one hash", b"}(" + b"".join(value(n * (2**61 - 1)) + b"N" for n in range(60_000)) + b"u."
    yield "list of itself", b"]q\x00h\x00a."
    yield "dictionary of itself", b"}q\x00" + text("G_ema") + b"h\x00s."
    for count in (1, 40):
        module = b"ctorch.nn.modules.container\nSequential\n)\x81q\x01"
        entries = b"".join(text(f"m{n}") + b"h\x01" for n in range(count))
        state = b"}" + text("_modules") + b"}(" + entries + b"usb"
        yield f"module with itself {count} times", b"}" + text("G_ema") + module + state + b"s."
    doubled = b"ctorch.nn.modules.container\nSequential\n)\x81"
    for _ in range(60):
        doubled = (
            b"ctorch.nn.modules.container\nSequential\n)\x81" + b"}" + text("_modules") + b"}(" + text("a") + doubled
        )
        doubled += b"q\x01" + text("b") + b"h\x01usb"
    yield "doubled modules", b"}" + text("G_ema") + doubled + b"s."


def networks(source: Path) -> Iterator[tuple[str, bytes]]:
    """Whole files whose weights have names and shapes that call for something else."""
    good = torch.load(source / "netG.pth", weights_only=True)
    changes: dict[str, dict] = {
        "many layers": {f"z_transform.{n}.weight": torch.zeros(1) for n in range(10**5)},
        "4900 layers": {f"z_transform.{n}.weight": torch.zeros(1) for n in range(4900)},
        "many modules": {f"all_modules.{n}.Conv_1.weight": torch.zeros(1, 1, 3, 3) for n in range(4000)},
        "far module": {"all_modules.9999.Conv_1.weight": torch.zeros(1, 1, 3, 3)},
        "wide latent": {"z_transform.1.weight": torch.zeros(10**7, 1)},
        "wide first layer": {"all_modules.2.weight": torch.zeros(10**6, 1, 1, 1)},
        "no latent": {"z_transform.1.weight": torch.zeros(0, 0)},
        "no channels": {"all_modules.2.weight": torch.zeros(0, 0, 3, 3)},
        "scalars": {key.removeprefix("module."): torch.tensor(1.0) for key in good},
        "whole numbers": {key.removeprefix("module."): tensor.long() for key, tensor in good.items()},
        "double numbers": {key.removeprefix("module."): tensor.double() for key, tensor in good.items()},
        "no numbers": {"all_modules.2.bias": torch.full((16,), float("nan"))},
    }
    for case, change in changes.items():
        file = io.BytesIO()
        torch.save({key.removeprefix("module."): tensor for key, tensor in good.items()} | change, file)
        yield f"network: {case}", file.getvalue()
    shared = torch.zeros(2**20)
    for count in (100, 3000):
        file = io.BytesIO()
        torch.save({f"all_modules.{n}.weight": shared for n in range(count)}, file)
        yield f"network: one storage {count} times", file.getvalue()
    for resolution in (4, 12, 2**10, 2**15, 99999):
        level = f"synthesis.b{resolution}"
        file = io.BytesIO()
        torch.save(
            {f"{level}.conv1.weight": torch.zeros(4, 4, 3, 3), f"{level}.torgb.weight": torch.zeros(3, 4, 1, 1),
             "mapping.w_avg": torch.zeros(4), "mapping.fc0.weight": torch.zeros(4, 4)},
            file,
        )  # fmt: skip
        yield f"network: resolution {resolution}", file.getvalue()


def projected_networks(source: Path) -> Iterator[tuple[str, bytes]]:
    """The same for ProjectedGAN. Empty tensors may have any shape."""
    good = torch.load(source / "fastgan.pth", weights_only=True)
    start, last = "synthesis.init.init.0.weight_orig", "synthesis.to_big.weight_orig"
    for case, change in {
        "wide start": {start: torch.zeros(0, 2**40, 1, 1), last: torch.zeros(0, 2**36, 1, 1)},
        "no start": {start: torch.zeros(0, 0, 0, 0)},
        "flat start": {start: torch.zeros(3)},
        "scalars": {key: torch.tensor(1.0) for key in good},
        "many channels": {last: torch.zeros(2**22, 1, 1, 1)},
        "classes of nothing": {"synthesis.embed.weight": torch.tensor(1.0)},
        "larger levels": {f"synthesis.feat_{size}.1.weight_orig": torch.zeros(1) for size in (512, 1024)},
        "whole numbers": {key: tensor.long() for key, tensor in good.items()},
        "counters that are none": {"synthesis.num_batches_tracked.weight": torch.tensor(1)},
        "a discriminator": {"discriminator.mini_discs.0.main.0.weight": torch.zeros(1)},
    }.items():
        file = io.BytesIO()
        torch.save(good | change, file)
        yield f"network: FastGAN, {case}", file.getvalue()
    scratch, heads = "feature_network.scratch.layer", "discriminator.mini_discs."
    projections = {f"{scratch}{level}_ccm.weight": torch.zeros(4 << level, 1, 1, 1) for level in range(4)}
    path = source.parent / "projected.pkl"
    for case, state_dict in {
        "no heads": projections,
        "no projections": {f"{heads}0.main.0.weight_orig": torch.zeros(1)},
        "wide projections": {f"{scratch}{level}_ccm.weight": torch.zeros(2**40, 0) for level in (0, 1)},
        "many heads": projections | {f"{heads}{n}.main.weight_orig": torch.zeros(1) for n in range(999)},
        "classes of nothing": projections | {f"{heads}{n}.embed.weight": torch.tensor(1.0) for n in range(4)},
        "only a frozen network": {"feature_network.pretrained.layer0.0.weight": torch.zeros(32, 3, 3, 3)},
    }.items():
        networks = {"G_ema": (good, {"img_resolution": 32}), "D": (state_dict, {"interp224": True})}
        write_projected(path, networks)
        yield f"network: projected, {case}", path.read_bytes()
    for name, attribute in (("img_resolution", 2**40), ("img_resolution", "32"), ("z_dim", -1), ("img_channels", 1.5)):
        write_projected(path, {"G_ema": (good, {"img_resolution": 32, name: attribute})})
        yield f"network: FastGAN, {name} of {attribute}", path.read_bytes()
    path.unlink()


def write_projected(path: Path, networks: dict) -> None:
    """A file of ProjectedGAN. A discriminator without features gets some."""
    from reference_pickles import write_projected_pickle

    if "D" in networks:
        state_dict, attributes = networks["D"]
        named = {"feature_network.pretrained.layer0.1.bias": torch.zeros(1)} | state_dict
        networks = networks | {"D": (named, attributes)}
    write_projected_pickle(path, networks)


def structures() -> Iterator[tuple[str, bytes]]:
    for data in (
        b"", b".", b"0.", b"1.", b"R.", b"b.", b"N", b"NN.", b"(N.", b"a.", b"]a.", b"Na.", b"}Ns.", b"}(Nu.", b"(t", b"h\x00.",
        b"g9\n.", b"Nq", b"\x80\xff.", b"\x80\x04\x95\0\0\0\0\0\0\0\0.", b"\xff.", b"I\n.", b"Ix\n.", b"Fx\n.", b"S'a\n.", b"Va",
        b"X\x05\0\0\0a.", b"\x8c\x02\xff\xff.", b"cos\nsystem", b"cos", b"N.N.", b"\x97.", b"\x96\0\0\0\0\0\0\0\0\x98.", b"NNs.",
        b"\x8f(]\x90.", b"(]\x91.", b"NN\x81.", b"N)R.", b"cos\nsystem\nNR.", b"N}b.", b"}Nb.", b"PK\3\4", b"PK\5\6" + b"\0" * 18,
        b"PK\3\4" + b"\0" * 100, MAGIC, MAGIC * 5, MAGIC + b"N." * 4, older_file(b"N"), b"{}", b"\x89PNG\r\n", b"\x00" * 1000,
        b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n(NtR.", b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n)R.",
        b"\x93NUMPY\x01\x00", b"ctorch._utils\n_rebuild_parameter\n(N\x88NtR.", b"c_codecs\nencode\n(" + text("x") + text("rot13") + b"tR.",
    ):  # fmt: skip
        yield f"structure {data[:20]!r}", data


def archives(source: Path) -> Iterator[tuple[str, bytes]]:
    good = (source / "netG.pth").read_bytes()
    with zipfile.ZipFile(io.BytesIO(good)) as file:
        entries = {name: file.read(name) for name in file.namelist()}
    folder = next(iter(entries)).partition("/")[0]

    def rewritten(changes: dict[str, bytes] | None = None, **options) -> bytes:
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w", **options) as file:
            for name, data in (entries | (changes or {})).items():
                file.writestr(name, data)
        return target.getvalue()

    storage = next(name for name in entries if "/data/" in name)
    yield "fine: written anew", rewritten()
    yield "compressed", rewritten(compression=zipfile.ZIP_DEFLATED)
    yield "compressed", rewritten(compression=zipfile.ZIP_LZMA)
    yield "zip bomb", rewritten({storage: b"\0" * 2**28}, compression=zipfile.ZIP_DEFLATED)
    yield "zip bomb as structure", archive(b"\0" * 2**28, compression=zipfile.ZIP_DEFLATED)
    yield "shorter storage", rewritten({storage: entries[storage][:-4]})
    yield "longer storage", rewritten({storage: entries[storage] + b"\0" * 4})
    yield "two structures", rewritten({"other/data.pkl": b"N."})
    yield "another order of bytes", rewritten({f"{folder}/byteorder": b"big"})
    yield "code", rewritten({f"{folder}/data.pkl": b"cos\nsystem\n(S'touch canary'\ntR."})
    yield "fine: name that leads out", rewritten({"../../canary": b"x", "/etc/canary": b"x"})
    yield "many files", archive(b"N.", {f"archive/{n}": b"" for n in range(10**5)})
    double = io.BytesIO()
    with zipfile.ZipFile(double, "w") as file:
        for _ in range(2):
            file.writestr("archive/data.pkl", b"N.")
    yield "two files of one name", double.getvalue()
    table = good.rindex(b"PK\5\6")
    for place, form in ((8, "<H"), (10, "<H"), (12, "<I"), (16, "<I")):
        for number in (0, 1, 2**16 - 1 if form == "<H" else 2**32 - 2):
            data = bytearray(good)
            struct.pack_into(form, data, table + place, number)
            yield f"table {place} {number}", bytes(data)
    entry = good.index(b"PK\1\2")
    for place, form in ((8, "<H"), (10, "<H"), (16, "<I"), (20, "<I"), (24, "<I"), (28, "<H"), (42, "<I")):
        for number in (1, 2**15 - 1 if form == "<H" else 2**31 - 1):
            data = bytearray(good)
            struct.pack_into(form, data, entry + place, number)
            yield f"table entry {place} {number}", bytes(data)


def damages(source: Path) -> Iterator[tuple[str, bytes]]:
    draw = random.Random(0)
    for file in sorted(source.iterdir()):
        data = file.read_bytes()
        for part in range(12):
            yield f"{file.name} cut at {part}/12", data[: len(data) * part // 12]
        yield f"{file.name} without its last byte", data[:-1]
        if file.name not in ARCHIVES:
            yield f"{file.name} with more behind it", data + b"N."
        for _ in range(25):
            changed = bytearray(data)
            changed[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
            yield f"flip: {file.name}", bytes(changed)
        for _ in range(8):
            place = draw.randrange(len(data))
            yield f"flip: {file.name}, 64 bytes", data[:place] + draw.randbytes(64) + data[place + 64 :]


def make_sources(folder: Path) -> None:
    """A good file of each form."""
    sys.path.insert(0, str(ROOT / "tests"))
    from reference_pickles import tiny_projected, tiny_stylegan2, write_pickle, write_projected_pickle

    from gan_diffusion.conversion import export_ddgan_generator
    from gan_diffusion.models import NCSNppGenerator

    folder.mkdir()
    torch.manual_seed(0)
    generator = NCSNppGenerator(
        sample_size=8, base_channels=16, channel_multipliers=(1, 2), layers_per_block=1, attention_resolutions=(4,),
        latent_dim=6, latent_embed_dim=12, num_latent_layers=1,
    )  # fmt: skip
    state_dict = {f"module.{key}": tensor for key, tensor in export_ddgan_generator(generator).items()}
    torch.save(state_dict, folder / "netG.pth")
    torch.save(state_dict, folder / "netG_older.pth", _use_new_zipfile_serialization=False)
    write_pickle(folder / "network.pkl", tiny_stylegan2())
    generator, attributes = tiny_projected(128, lite=True)["G_ema"]  # A size that the weights decide.
    torch.save(generator, folder / "fastgan.pth")
    write_projected_pickle(folder / "fastgan.pkl", {"G_ema": (generator, attributes)})


def convert(file: Path) -> str:
    """Converts in the current folder. Returns a checksum of the weights."""
    from gan_diffusion.conversion import convert_checkpoint, load_official_checkpoint

    os.system = subprocess.Popen = lambda *_, **__: Path("canary").touch()
    sys.path.insert(0, os.getcwd())
    options = OPTIONS if load_official_checkpoint(file).method == "ddgan" else None
    convert_checkpoint(file, "output", options=options)
    return hashlib.sha256(Path("output/generator/diffusion_pytorch_model.safetensors").read_bytes()).hexdigest()


def judge(case: str, outcome: tuple[str, str], place: Path, expected: set[str]) -> str | None:
    """What is wrong with the outcome of a case, if anything."""
    kind, message = outcome
    if (place / "canary").exists():
        return "something was executed"
    if kind == "returned":
        # The numbers in an archive have checksums.
        in_archive = any(name in case for name in ARCHIVES)
        is_same = message in expected or (case.startswith("flip: ") and not in_archive)
        return None if is_same and case.startswith(("fine: ", "flip: ", "table ")) else "accepted"
    if case.startswith("fine: "):
        return f"{kind}: {message}"
    if kind != "refused":
        return f"{kind}: {message}"
    if (place / "output").exists():
        return "left a folder behind"
    return None if "`" in message and "\x1b" not in message else f"unclear: {message}"


def check(step: int = 1) -> tuple[collections.Counter, dict[str, str]]:
    """Converts every `step`-th case. Returns the counts of outcomes, and what went wrong by case."""
    counts, wrong = collections.Counter(), {}
    with tempfile.TemporaryDirectory() as temporary:
        source, place = Path(temporary) / "source", Path(temporary) / "case"
        make_sources(source)
        expected = expected_weights(source, place)
        groups = (
            executables(), names_with_tricks(), sizes(), bombs(), structures(), archives(source), networks(source),
            projected_networks(source), damages(source),
            ((f"fine: {file.name}", file.read_bytes()) for file in sorted(source.iterdir())),
        )  # fmt: skip
        for number, (case, data) in enumerate(itertools.chain(*groups)):
            if number % step:
                continue
            place.mkdir()
            for module in ("canary_module", "pg_modules"):
                (place / f"{module}.py").write_text("open('canary', 'w')\n")
            (place / "file").write_bytes(data)
            os.chdir(place)
            outcome = isolation.run(lambda: convert(Path("file")))
            os.chdir("/")
            problem = judge(case, outcome, place, expected)
            kind = outcome[0]
            if kind == "returned":
                kind = "the same weights" if outcome[1] in expected else "other numbers, without a checksum"
            counts["wrong" if problem else kind] += 1
            if problem:
                wrong[f"{number}, {case}"] = problem
            shutil.rmtree(place)
    return counts, wrong


def expected_weights(source: Path, place: Path) -> set[str]:
    """Checksums of the weights of the good files."""
    found = set()
    for file in sorted(source.iterdir()):
        place.mkdir()
        os.chdir(place)
        kind, digest = isolation.run(lambda file=file: convert(file), seconds=60, memory=None)
        assert kind == "returned", digest
        found.add(digest)
        os.chdir("/")
        shutil.rmtree(place)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--step", type=int, default=1, help="Convert every so-manieth file only.")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    counts, wrong = check(arguments.step)
    for case, problem in wrong.items():
        print(f"{case}: {problem}", file=sys.stderr)
    print(f"{sum(counts.values())} hostile files: {dict(sorted(counts.items()))}", flush=True)
    sys.exit(int(bool(wrong)))


if __name__ == "__main__":
    main()
