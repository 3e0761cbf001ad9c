# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
What the calls in a pickle make: the whole table of names that a checkpoint of the reference implementations needs.

The functions here are given nothing but plain values, and check them. None of them calls a function that the file
names, and none hands values to the functions of torch or NumPy that real unpickling would call.
"""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from .inert import Array, Instance, Name, NumberType, Refused, Storage, StoredTensor, is_count, is_key


_STORAGES = {
    "FloatStorage": torch.float32, "DoubleStorage": torch.float64, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8,
}  # fmt: skip
_PERSISTENT = ("torch_utils.persistence", "_reconstruct_persistent_obj")
# Classes whose objects are kept as their attributes. Those of torch are parts of contrastive heads and augmentations,
# and with those of timm (its older and its present places) of the networks of ProjectedGAN.
_INERT_CLASSES = (
    r"argparse\.Namespace|training\.diffusion\.Identity|torch\.nn\.modules\.\w+\.\w+|numpy\.random\._\w+\.\w+"
    r"|pg_modules\.\w+\.\w+|torch\.nn\.utils\.spectral_norm\.\w+"
    r"|torch\.(?:ao\.)?nn\.quantized\.modules\.functional_modules\.FloatFunctional"
    r"|timm\.(?:models\.)?(?:layers\.\w+|_?efficientnet_blocks)\.\w+"
)
_DICTS = {("collections", "OrderedDict"), ("dnnlib.util", "EasyDict")}
# What is handed to functions, and never called.
_WORDS = {
    ("torch.storage", "_load_from_bytes"), ("numpy", "ndarray"), ("builtins", "object"), ("builtins", "dict"),
    *(("torch", kind) for kind in _STORAGES), *(("torch.cuda", kind) for kind in _STORAGES),
}  # fmt: skip
# Modules that were renamed: by Python 3, and by NumPy 2.
_MODERN = {
    "__builtin__": "builtins", "copy_reg": "copyreg", "numpy._core.multiarray": "numpy.core.multiarray",
    "numpy._core.numeric": "numpy.core.numeric", "dnnlib": "dnnlib.util",
}  # fmt: skip


def known_name(module: str, name: str) -> Name:
    """
    A name, if it is one that a checkpoint needs.

    Args:
        module (`str`): Name of the module.
        name (`str`): Name in the module.

    Returns:
        [`Name`]: the name.

    Raises:
        Refused: If it is in none of the tables.
    """
    word = Name(module, name)
    place = _place(word)
    if (
        place in _MAKERS
        or place in _DICTS
        or place in _WORDS
        or re.fullmatch(_INERT_CLASSES, ".".join(place), re.ASCII)
    ):
        return word
    raise _not_in_table(word)


def make(function: Name, arguments: tuple, load_blob: Callable[[Any], Any] | None) -> Any:
    """
    The value that stands for a call.

    Args:
        function ([`Name`]): What the pickle calls.
        arguments (`tuple`): With what.
        load_blob (`Callable`, *optional*): Reads a storage out of bytes; `None` inside of such bytes.

    Returns:
        A plain value, or one of inert.py.

    Raises:
        Refused: If the function is not in the table, or its arguments are not as they should be.
    """
    place = _place(function)
    if place == ("torch.storage", "_load_from_bytes") and load_blob is not None:
        (data,) = _arguments(function, arguments, 1)
        return load_blob(data)
    if place in _DICTS:
        return _make_dict(function, arguments)
    if place not in _MAKERS:
        raise _not_in_table(function)
    return _MAKERS[place](function, arguments)


def make_object(kind: Name, arguments: tuple) -> Any:
    """
    The value that stands for a new object, before its attributes are known.

    Args:
        kind ([`Name`]): Its class.
        arguments (`tuple`): Arguments of `__new__`, of which there must be none.

    Returns:
        A dict, or an [`Instance`].

    Raises:
        Refused: If the class is not in the table.
    """
    if arguments:
        raise Refused(f"it makes an object of {kind} with arguments")
    place = _place(kind)
    if place in _DICTS:
        return {}
    if re.fullmatch(_INERT_CLASSES, ".".join(place), re.ASCII):
        return Instance(kind.name)
    raise _not_in_table(kind)


def make_storage(key: Any, file_size: int) -> tuple[str, Storage]:
    """
    A storage of torch, without its numbers.

    Args:
        key (`Any`): The persistent id: "storage", class, key, device, number of numbers, and perhaps `None`.
        file_size (`int`): Size of the file that must hold it.

    Returns:
        `tuple[str, Storage]`: its key in the file, and the storage.

    Raises:
        Refused: If it is not such an id, or the file is too small for it.
    """
    if not isinstance(key, tuple) or len(key) not in (5, 6) or key[0] != "storage" or key[5:] not in ((), (None,)):
        raise Refused("it has a persistent id that is no storage")
    _, kind, name, device, count, *_ = key
    if not isinstance(kind, Name) or _place(kind)[0] not in ("torch", "torch.cuda") or kind.name not in _STORAGES:
        raise Refused(f"it has a storage of the kind {kind if isinstance(kind, Name) else 'of no name'}")
    if not isinstance(name, str) or not isinstance(device, str) or not is_count(count):
        raise Refused("it has a storage without a name, a device or a size")
    storage = Storage(_STORAGES[kind.name], count)
    if count * storage.dtype.itemsize > file_size:
        raise Refused(f"it claims {count} numbers in a file of {file_size} bytes")
    return name, storage


def fill_array(array: Array, state: Any) -> None:
    """
    Gives an array its content.

    Args:
        array ([`Array`]): The array.
        state (`Any`): As NumPy writes it: version, shape, type, whether in Fortran's order, bytes.

    Raises:
        Refused: If it is anything else.
    """
    if not isinstance(state, tuple) or len(state) != 5:
        raise Refused("it has an array without content")
    _, shape, number_type, fortran, data = state
    array.value = _array(data, number_type, shape, bool(fortran is True or fortran == 1))


def fill_number_type(number_type: NumberType, state: Any) -> None:
    """
    Completes a type of numbers.

    Args:
        number_type ([`NumberType`]): The type.
        state (`Any`): As NumPy writes it: version, byte order, and nothing that only other types have.

    Raises:
        Refused: If it is anything else.
    """
    if (
        not isinstance(state, tuple)
        or len(state) < 8
        or not isinstance(state[1], str)
        or state[1] not in tuple("<>=|")
    ):
        raise Refused("it has a type of numbers without a byte order")
    if any(entry is not None for entry in state[2:5]):
        raise Refused("it has a type of records")
    number_type.order = state[1]


def _place(name: Name) -> tuple[str, str]:
    return _MODERN.get(name.module, name.module), name.name


def _not_in_table(name: Name) -> Refused:
    return Refused(f"it asks for {name}, which no checkpoint needs")


def _arguments(function: Name, arguments: tuple, least: int, most: int | None = None) -> tuple:
    if not least <= len(arguments) <= (least if most is None else most):
        raise Refused(f"it calls {function} with {len(arguments)} arguments")
    return arguments


def _make_dict(function: Name, arguments: tuple) -> dict:
    pairs = _arguments(function, arguments, 0, 1)[0] if arguments else []
    if isinstance(pairs, dict):
        return dict(pairs)
    if not isinstance(pairs, list) or not all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in pairs):
        raise Refused(f"it calls {function} with something else than pairs")
    if not all(is_key(key) for key, _ in pairs):
        raise Refused("it has a key that is neither a text nor a whole number")
    return dict(pairs)


def _make_set(function: Name, arguments: tuple) -> set | frozenset:
    items = _arguments(function, arguments, 0, 1)[0] if arguments else []
    if not isinstance(items, (list, tuple)) or not all(map(is_key, items)):
        raise Refused(f"it calls {function} with something else than texts and numbers")
    return set(items) if function.name == "set" else frozenset(items)


def _make_bytes(function: Name, arguments: tuple) -> bytes:
    """Bytes as the older protocols write them."""
    if function.name == "bytes":
        _arguments(function, arguments, 0)
        return b""
    text, encoding = _arguments(function, arguments, 2)
    if not isinstance(text, str) or encoding != "latin1":
        raise Refused(f"it calls {function} with something else than latin1")
    return text.encode("latin1", errors="strict")


def _make_reconstructed(function: Name, arguments: tuple) -> Any:
    """An object as the older protocols write it: class, built-in base, value of the base."""
    kind, base, value = _arguments(function, arguments, 3)
    if not isinstance(kind, Name) or not isinstance(base, Name):
        raise Refused("it makes an object of what is no class")
    made = make_object(kind, ())
    if isinstance(made, dict) and _place(base) == ("builtins", "dict") and isinstance(value, dict):
        return dict(value)
    if isinstance(made, dict) or _place(base) != ("builtins", "object") or value is not None:
        raise Refused(f"it makes an object of {kind} from {base}")
    return made


def _make_persistent(function: Name, arguments: tuple) -> Instance:
    """An object that StyleGAN2 keeps together with the source of its class. The source is not looked at."""
    (meta,) = _arguments(function, arguments, 1)
    state, kind = (meta.get("state"), meta.get("class_name")) if isinstance(meta, dict) else (None, None)
    if not isinstance(state, dict) or not isinstance(kind, str) or meta.get("type") != "class":
        raise Refused("it has an object without a class or attributes")
    return Instance(kind, state)


def _make_tensor(function: Name, arguments: tuple) -> StoredTensor:
    storage, offset, shape, stride, *_ = _arguments(function, arguments, 4, 7)
    if not isinstance(storage, Storage) or not isinstance(shape, tuple) or not isinstance(stride, tuple):
        raise Refused("it has a tensor without a storage or a shape")
    return StoredTensor(storage, offset, shape, stride)


def _make_parameter(function: Name, arguments: tuple) -> StoredTensor:
    tensor, *_ = _arguments(function, arguments, 3, 4)
    if not isinstance(tensor, StoredTensor):
        raise Refused("it has a parameter that is no tensor")
    return tensor


def _make_number_type(function: Name, arguments: tuple) -> NumberType:
    code, *_ = _arguments(function, arguments, 3)
    if not isinstance(code, str) or not re.fullmatch("f[248]|[iu][1248]|b1", code, re.ASCII):
        raise Refused("it has an array or number of a type that is none of numbers")
    return NumberType(code)


def _make_scalar(function: Name, arguments: tuple) -> Any:
    number_type, data = _arguments(function, arguments, 2)
    return _array(data, number_type, (), False).item()


def _make_empty_array(function: Name, arguments: tuple) -> Array:
    kind, _, _ = _arguments(function, arguments, 3)
    if not isinstance(kind, Name) or kind != Name("numpy", "ndarray"):
        raise Refused("it has an array that is none of NumPy's")
    return Array()


def _make_array_of_dill(function: Name, arguments: tuple) -> Array:
    """An array as dill writes it: what NumPy would call, the arguments, the content, and attributes of subclasses."""
    maker, shape_and_kind, state, *_ = _arguments(function, arguments, 3, 4)
    if not isinstance(maker, Name) or _place(maker) != ("numpy.core.multiarray", "_reconstruct"):
        raise Refused("it has an array that is none of NumPy's")
    if not isinstance(shape_and_kind, tuple):
        raise Refused(f"it calls {maker} without a tuple of arguments")
    array = _make_empty_array(maker, shape_and_kind)
    fill_array(array, state)
    return array


def _make_array(function: Name, arguments: tuple) -> Array:
    """An array as protocol 5 writes it."""
    data, number_type, shape, order = _arguments(function, arguments, 4)
    if order not in ("C", "F"):
        raise Refused("it has an array without an order")
    return Array(_array(data, number_type, shape, order == "F"))


def _array(data: Any, number_type: Any, shape: Any, fortran: bool) -> np.ndarray:
    if not isinstance(data, bytes) or not isinstance(number_type, NumberType):
        raise Refused("it has an array without bytes or a type")
    if not isinstance(shape, tuple) or len(shape) > 8 or not all(map(is_count, shape)):
        raise Refused("it has an array whose shape cannot be")
    dtype = number_type.numpy()
    if math.prod(shape) * dtype.itemsize != len(data):
        raise Refused(f"it has an array of {math.prod(shape)} numbers in {len(data)} bytes")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _make_random_state(function: Name, arguments: tuple) -> Instance:
    return Instance(function.name)


_MAKERS: dict[tuple[str, str], Callable[[Name, tuple], Any]] = {
    _PERSISTENT: _make_persistent,
    ("copyreg", "_reconstructor"): _make_reconstructed,
    ("builtins", "set"): _make_set, ("builtins", "frozenset"): _make_set,
    ("builtins", "bytes"): _make_bytes, ("_codecs", "encode"): _make_bytes,
    ("torch._utils", "_rebuild_tensor_v2"): _make_tensor, ("torch._utils", "_rebuild_tensor"): _make_tensor,
    ("torch._utils", "_rebuild_parameter"): _make_parameter,
    ("numpy", "dtype"): _make_number_type,
    ("numpy.core.multiarray", "scalar"): _make_scalar,
    ("numpy.core.multiarray", "_reconstruct"): _make_empty_array,
    ("numpy.core.numeric", "_frombuffer"): _make_array,
    ("dill._dill", "_create_array"): _make_array_of_dill,
    ("numpy.random._pickle", "__randomstate_ctor"): _make_random_state,
    ("numpy.random._pickle", "__bit_generator_ctor"): _make_random_state,
    ("numpy.random._pickle", "__generator_ctor"): _make_random_state,
}  # fmt: skip
