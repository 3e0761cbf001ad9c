# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
"""
Opens recipes and pipelines that were made to do harm.

Each must be refused by one clear error that names a file or an argument, within 10 seconds and 2 GiB, and nothing in
it may be executed. Prints the counts, and what went wrong; ends with 1 if anything did.
"""

import argparse
import collections
import io
import json
import os
import pickle
import shutil
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from pathlib import Path

import isolation
import torch
from safetensors.torch import load_file, save_file


ROOT = Path(__file__).parents[2]
CONFIGS = ("generator/config.json", "discriminator/config.json", "scheduler/scheduler_config.json")
WEIGHTS = "generator/diffusion_pytorch_model.safetensors"
Change = Callable[[Path], object]

BAD_VALUES = {
    "huge": 10**8, "beyond 64 bits": 10**30, "negative": -3, "zero": 0, "text": "three", "list": [1, [2]], "object": {},
    "truth value": True, "float": 2.5, "null": None,
}  # fmt: skip
# Values that some keys may have.
FINE = {
    ("dropout", "zero"), ("beta_min", "text"), ("num_octaves", "zero"), ("timestep_scale", "float"),
    ("num_class_embeds", "null"), ("trained_betas", "null"),
}  # fmt: skip


class Canary:
    """Unpickling this makes a file."""

    def __init__(self, file: Path):
        self.file = str(file)

    def __reduce__(self):
        return os.mkdir, (self.file,)


def write(name: str, content: str | bytes) -> Change:
    content = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(content)


def edit(name: str, **values) -> Change:
    def change(folder: Path) -> None:
        content = json.loads((folder / name).read_text()) | values
        (folder / name).write_text(json.dumps(content))

    return change


def instead(name: str, make: Callable[[Path], object]) -> Change:
    """Puts something else in the place of a file."""

    def change(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return change


def sparse(file: Path) -> None:
    with open(file, "wb") as stream:
        stream.truncate(20 * 2**30)


def places(name: str) -> Iterator[tuple[str, Change]]:
    """What can stand where a file is expected."""
    yield "folder", instead(name, Path.mkdir)
    yield "pipe", instead(name, os.mkfifo)
    yield "link to itself", instead(name, lambda file: file.symlink_to(file))
    yield "link to /dev/zero", instead(name, lambda file: file.symlink_to("/dev/zero"))
    yield "20 GiB", instead(name, sparse)
    yield "missing", instead(name, lambda file: None)


def texts(name: str) -> Iterator[tuple[str, Change]]:
    """Contents that are no settings, whatever the format."""
    yield "empty", write(name, b"")
    yield "NUL bytes", write(name, b"\0" * 100)
    yield "NUL in a text", write(name, '{"_class_name": "NCSNpp\\u0000Generator"}')
    yield "not UTF-8", write(name, b'{"_class_name": "\xff\xfe"}')
    yield "UTF-16", write(name, '{"a": 1}'.encode("utf-16"))
    yield "half a surrogate", write(name, '{"_class_name": "\\ud800"}')
    yield "list", write(name, "[1, 2]")
    yield "number", write(name, "1")
    yield "nested lists", write(name, "[" * 50_000)
    yield "closed nested lists", write(name, '{"a": ' + "[" * 900 + "]" * 900 + "}")
    yield "nested objects", write(name, '{"a":' * 50_000)
    yield "many digits", write(name, '{"a": ' + "9" * 5000 + "}")
    yield "key twice", write(name, '{"_class_name": "MLPGenerator", "_class_name": "NCSNppGenerator"}')
    yield "10 MB", write(name, '{"a": "' + "x" * 10**7 + '"}')
    yield "many keys", write(name, json.dumps({f"k{i}": i for i in range(50_000)}))


def recipe_cases() -> Iterator[tuple[str, Change]]:
    for name in ("training.yaml", CONFIGS[0]):
        for what, change in [*places(name), *texts(name)]:
            yield f"{name}: {what}", change
    billion = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
    )
    yaml_texts = {
        "billion laughs": billion,
        "alias to itself": "a: &a [*a]\n",
        "merge keys": "a: &a {b: 1}\nc: {<<: *a}\n",
        "python tag": "a: !!python/object/apply:os.mkdir [canary]\n",
        "python name": "a: !!python/name:os.system\n",
        "unknown tag": "a: !thing 1\n",
        "binary": "dataset_name: !!binary aGFsbG8=\n",
        "set": "dataset_name: !!set {a, b}\n",
        "date": "dataset_name: 2026-01-01\n",
        "impossible date": "dataset_name: 2026-99-99\n",
        "not a number": "learning_rate_g: .nan\n",
        "infinite": "learning_rate_g: .inf\n",
        "bad bool": "random_flip: !!bool maybe\n",
        "bad int": "train_batch_size: !!int many\n",
        "empty float": "learning_rate_g: !!float ''\n",
        "two documents": "a: 1\n---\nb: 2\n",
        "tab": "a:\tb:\t- c\n",
        "unknown option": "no_such_option: 1\n",
        "number as name": "1: 2\n",
        "list as name": "? [a, b]\n: 1\n",
        "option as list": "train_batch_size: [1, 2]\n",
        "option as object": "train_batch_size: {a: 1}\n",
        "option as text": "train_batch_size: many\n",
        "negative option": "train_batch_size: -1\n",
        "long key": "? " + "k" * 5000 + "\n: 1\n",
        "flow nesting": "a: " + "[" * 30_000 + "\n",
        "block nesting": "\n".join(" " * i + "a:" for i in range(200)) + "\n",
        "option with an option inside": "dataset_name: '--output_dir=/'\n",
        "NUL escape": 'dataset_name: "a\\0b"\n',
    }
    for what, text in yaml_texts.items():
        fine = what == "option with an option inside"  # It is taken as a name.
        yield f"{'fine: ' * fine}training.yaml: {what}", write("training.yaml", text)
    for key, what in (
        [("base_channels", w) for w in BAD_VALUES] + [("channel_multipliers", w) for w in ("huge", "text", "object")]
        + [("layers_per_block", w) for w in BAD_VALUES] + [("sample_size", w) for w in ("huge", "negative", "text")]
        + [("latent_dim", w) for w in ("huge", "negative", "float")]
    ):  # fmt: skip
        yield f"generator {key}: {what}", edit(CONFIGS[0], **{key: BAD_VALUES[what]})
    for what in ("huge", "negative", "text", "beyond 64 bits"):
        yield f"scheduler steps: {what}", edit(CONFIGS[2], num_train_timesteps=BAD_VALUES[what])
        yield f"discriminator layers: {what}", edit(CONFIGS[1], num_layers=BAD_VALUES[what])
    for name in ("os.system", "DDGANPipeline", "DDGANScheduler", ["os", "system"], None, 3, "DiffusedDiscriminator"):
        yield f"generator class: {name}", edit(CONFIGS[0], _class_name=name)


def open_recipe(folder: Path) -> str:
    """Does what the start of a training does, without data."""
    from gan_diffusion.recipes import Recipe
    from gan_diffusion.training import METHODS, parse_arguments

    recipe = Recipe.load(folder)
    message = io.StringIO()
    try:
        with redirect_stderr(message):
            parse_arguments(METHODS["ddgan"].arguments, argv=["--recipe", str(folder), "--output_dir", "unused"])
    except SystemExit:
        raise ValueError(message.getvalue()) from None
    for part in ("generator", "discriminator", "scheduler"):
        recipe.build(part)
    return "built"


def header(content: dict | bytes, data: bytes = b"") -> bytes:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return struct.pack("<Q", len(text)) + text + data


def damaged_weights() -> Iterator[tuple[str, Change]]:
    def tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Change:
        def apply(folder: Path) -> None:
            state = load_file(folder / WEIGHTS)
            change(state)
            save_file(state, folder / WEIGHTS)

        return apply

    def name_of(state: dict[str, torch.Tensor]) -> str:
        return max(state, key=lambda name: state[name].numel())

    def put(make: Callable[[torch.Tensor], torch.Tensor]) -> Change:
        return tensors(lambda state: state.__setitem__(name_of(state), make(state[name_of(state)]).contiguous()))

    one = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    yield "overlapping tensors", write(WEIGHTS, header({"a": one, "b": one}, b"\0" * 4))
    yield "huge shape", write(WEIGHTS, header({"a": {**one, "shape": [2**40]}}, b"\0" * 4))
    yield "negative shape", write(WEIGHTS, header({"a": {**one, "shape": [-1]}}, b"\0" * 4))
    yield "offsets past the end", write(WEIGHTS, header({"a": {**one, "data_offsets": [0, 2**60]}}))
    yield "huge header", write(WEIGHTS, struct.pack("<Q", 2**62) + b"{}")
    yield "header of 50 MB", write(WEIGHTS, header(b'{"a":' + b" " * (5 * 10**7) + b"1}"))
    yield "nested header", write(WEIGHTS, header(b'{"a":' * 20_000))
    yield "unknown dtype", write(WEIGHTS, header({"a": {**one, "dtype": "X9"}}, b"\0" * 4))
    yield "no tensors", write(WEIGHTS, header({}))
    yield "other tensors", write(WEIGHTS, header({"a": one}, b"\0" * 4))
    yield "empty file", write(WEIGHTS, b"")
    yield "text", write(WEIGHTS, b"weights")
    yield "pickle", lambda folder: (folder / WEIGHTS).write_bytes(pickle.dumps(Canary(folder.parent / "canary")))
    yield "a tensor missing", tensors(lambda state: state.pop(name_of(state)))
    yield "a tensor more", tensors(lambda state: state.update(extra=torch.zeros(2)))
    yield "another shape", put(lambda tensor: tensor.flatten()[:-1])
    yield "a transposed shape", put(lambda tensor: tensor[None])
    yield "int64", put(lambda tensor: tensor.long())
    yield "uint8", put(lambda tensor: tensor.byte())
    yield "bool", put(lambda tensor: tensor.bool())
    yield "complex", put(lambda tensor: tensor.to(torch.complex64))
    yield "NaN", put(lambda tensor: tensor * float("nan"))
    yield (
        "one infinity",
        put(lambda tensor: tensor.flatten().index_fill(0, torch.tensor([0]), float("inf")).view_as(tensor)),
    )


def code_cases() -> Iterator[tuple[str, Change]]:
    canary = "import os\nos.mkdir({!r})\n"

    def code(*names: str, after: Change = lambda folder: None) -> Change:
        def change(folder: Path) -> None:
            for name in names:
                (folder / name).write_text(canary.format(str(folder.parent / "canary")))
            after(folder)

        return change

    def pickled(name: str) -> Change:
        def change(folder: Path) -> None:
            (folder / WEIGHTS).unlink()
            torch.save({"weight": Canary(folder.parent / "canary")}, folder / name)

        return change

    index = "model_index.json"
    yield (
        "fine: code that nobody asked for",
        code("pipeline.py", "generator/gan_diffusion.txt", "setup.py", "conftest.py"),
    )
    yield "code named as the library", code("generator/gan_diffusion.py")
    yield "class in the folder", code("generator/net.py", after=edit(index, generator=["net", "Net"]))
    yield "pipeline in the folder", code("pipeline.py", after=edit(index, _class_name=["pipeline", "DDGANPipeline"]))
    yield "pickle instead", pickled("generator/diffusion_pytorch_model.bin")
    yield (
        "old pickle",
        lambda folder: (
            (folder / WEIGHTS).unlink(),
            (folder / "generator/diffusion_pytorch_model.bin").write_bytes(
                pickle.dumps(Canary(folder.parent / "canary"))
            ),
        ),
    )
    yield (
        "index of shards elsewhere",
        write(f"{WEIGHTS}.index.json", json.dumps({"metadata": {}, "weight_map": {"a": "../../../etc/passwd"}})),
    )
    for what, content in {"empty": "{}", "list": "[]", "numbers": '{"weight_map": {"a": 1}}', "null": '{"weight_map": null}',
                          "missing": '{"metadata": {}, "weight_map": {"a": "no.safetensors"}}', "nested": "[" * 9999}.items():  # fmt: skip
        yield f"index of shards: {what}", write(f"{WEIGHTS}.index.json", content)


def pipeline_cases() -> Iterator[tuple[str, str, Change]]:
    index = "model_index.json"
    for name in (index, CONFIGS[0], CONFIGS[2]):
        for what, change in [*places(name), *texts(name)]:
            yield "ddgan", f"{name}: {what}", change
    for what, change in places(WEIGHTS):
        yield "ddgan", f"weights: {what}", change
    for name, content in {"checksums.json": "{", "checksums.json ": '{"files": {}, "sha256": ""}'}.items():
        yield "ddgan", f"checksums: {content}", write(name.strip(), content)
    yield "ddgan", "checksums: pipe", lambda folder: os.mkfifo(folder / "checksums.json")
    for entry in (["os", "system"], ["subprocess", "Popen"], ["antigravity", "x"], ["diffusers", "DiffusionPipeline"],
                  ["transformers", "CLIPTextModel"], ["torch.nn", "Linear"], ["diffusers", "no_such"], ["", ""], [], "MLPGenerator",
                  None, 3, {}, [None, None], ["gan_diffusion", "load_class"], ["gan_diffusion", "DDGANPipeline"], ["../x", "y"],
                  ["gan_diffusion", "MLPDiscriminator"], [["a"], ["b"]], ["gan_diffusion"], ["a", "b", "c"]):  # fmt: skip
        yield "ddgan", f"index, generator: {entry}", edit(index, generator=entry)
        yield "ddgan", f"index, one more: {entry}", edit(index, safety=entry)
    for entry in (["diffusers", "AutoencoderKL"], ["gan_diffusion", "NCSNppGenerator"], ["os", "system"]):
        yield "ddgan", f"index, scheduler: {entry}", edit(index, scheduler=entry)
    for name in (
        "os.system",
        "StableDiffusionPipeline",
        "SPIGANPipeline",
        ["a", "b"],
        None,
        3,
        {"a": 1},
        "NCSNppGenerator",
    ):
        yield "ddgan", f"index, class: {name}", edit(index, _class_name=name)
    for key in (
        "base_channels",
        "layers_per_block",
        "latent_dim",
        "sample_size",
        "channel_multipliers",
        "dropout",
        "fir_taps",
    ):
        for what, value in BAD_VALUES.items():
            fine = (key, what) in FINE or (key == "fir_taps" and what == "null")
            yield "ddgan", f"{'fine: ' * fine}{key}: {what}", edit(CONFIGS[0], **{key: value})
    for method, keys in {"diffusion-gan": ("max_timesteps", "list_length"), "spi-gan": ("beta_max",)}.items():
        for key in keys:
            for what in ("huge", "beyond 64 bits", "negative", "text", "list", "null"):
                fine = key == "beta_max" and what == "huge"
                yield method, f"{'fine: ' * fine}{key}: {what}", edit(CONFIGS[2], **{key: BAD_VALUES[what]})
    for method in ("diffusion-gan", "spi-gan"):
        for what in BAD_VALUES:
            yield method, f"w_dim: {what}", edit(CONFIGS[0], w_dim=BAD_VALUES[what])
    for method in ("ddgan", "spi-gan"):
        for what, change in damaged_weights():
            yield method, f"weights: {what}", change
    for what, change in code_cases():
        yield "ddgan", what, change


def open_pipeline(folder: Path) -> str:
    from gan_diffusion.pipelines.auto import load_pipeline

    pipeline = load_pipeline(folder)
    pipeline.set_progress_bar_config(disable=True)
    pipeline(1, output_type="pt")
    return "sampled"


def make_bases(folder: Path) -> None:
    """A good recipe, and a good pipeline of each method without checksums: whoever does harm can renew them."""
    sys.path.insert(0, str(ROOT / "tests"))
    sys.path.insert(0, str(ROOT / "tests" / "pipelines"))
    from tiny_pipelines import MAKERS

    shutil.copytree(ROOT / "pipelines" / "ddgan-digits", folder / "recipe")
    for method, make in MAKERS.items():
        make().save_pretrained(folder / method)
        (folder / method / "checksums.json").unlink()


def judge(case: str, outcome: tuple[str, str], folder: Path, executed: bool) -> str | None:
    """What is wrong with the outcome of a case, if anything."""
    kind, message = outcome
    if executed:
        return "something was executed"
    if kind == "returned":
        return None if case.startswith("fine: ") else "accepted"
    if case.startswith("fine: "):
        return f"{kind}: {message}"
    if kind != "refused":
        return f"{kind}: {message}"
    return None if "`" in message or str(folder) in message or folder.name in message else f"unclear: {message}"


def check(kinds: list[str], step: int = 1) -> tuple[collections.Counter, dict[str, str]]:
    """Opens every `step`-th case. Returns the counts of outcomes, and what went wrong by case."""
    counts, wrong = collections.Counter(), {}
    with tempfile.TemporaryDirectory() as temporary:
        bases = Path(temporary) / "bases"
        make_bases(bases)
        cases = [("recipe", *case) for case in recipe_cases()] if "recipes" in kinds else []
        cases += pipeline_cases() if "pipelines" in kinds else []
        for number, (base, case, change) in enumerate(cases[::step]):
            place = Path(temporary) / f"case-{number}"
            folder = place / "folder"
            shutil.copytree(bases / base, folder)
            change(folder)
            os.chdir(place)
            use = open_recipe if base == "recipe" else open_pipeline
            outcome = isolation.run(lambda use=use, folder=folder: use(folder))
            problem = judge(case, outcome, folder, (place / "canary").exists())
            kind = "recipes" if base == "recipe" else "pipelines"
            counts[f"{kind} {'wrong' if problem else outcome[0]}"] += 1
            if problem:
                wrong[f"{base}, {case}"] = problem
            os.chdir("/")
            shutil.rmtree(place)
    return counts, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=("recipes", "pipelines"), default=["recipes", "pipelines"])
    parser.add_argument("--step", type=int, default=1, help="Open every so-manieth case only.")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    counts, wrong = check(arguments.kinds, arguments.step)
    for case, problem in wrong.items():
        print(f"{case}: {problem}", file=sys.stderr)
    print(f"{sum(counts.values())} hostile folders: {dict(sorted(counts.items()))}", flush=True)
    sys.exit(int(bool(wrong)))


if __name__ == "__main__":
    main()
