# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""What a pickle is read into: values that do nothing, whatever the file says that they are."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch


class Refused(Exception):
    """The reason why a file is not read, as the end of a sentence."""


@dataclass(frozen=True)
class Name:
    """
    A class or function as the file names it. It is never looked up.

    Args:
        module (`str`): Name of the module.
        name (`str`): Name in the module.
    """

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"[:120]


@dataclass(eq=False)
class Instance:
    """
    An object of a class that is not made: the name of the class, and the attributes.

    Args:
        kind (`str`): Name of the class, without its module.
        state (`dict`, defaults to `{}`): The attributes.
    """

    kind: str
    state: dict = field(default_factory=dict)


@dataclass(eq=False)
class NumberType:
    """
    A NumPy type of numbers, complete once its byte order is known.

    Args:
        code (`str`): Kind and size, such as "f8".
        order (`str`, defaults to `"="`): "<", ">", "=" or "|".
    """

    code: str
    order: str = "="

    def numpy(self) -> np.dtype:
        """The type itself."""
        return np.dtype(self.order + self.code)


@dataclass(eq=False)
class Array:
    """
    A NumPy array, empty until its content is known.

    Args:
        value (`np.ndarray`, *optional*): The array.
    """

    value: np.ndarray | None = None


@dataclass(eq=False)
class Storage:
    """
    Numbers of one type somewhere in the file.

    Args:
        dtype (`torch.dtype`): Their type.
        count (`int`): How many the file says there are.
        read (`Callable`, *optional*):
            (first byte, number of bytes) -> the bytes. Given once the file is known to have them all.
    """

    dtype: torch.dtype
    count: int
    read: Callable[[int, int], bytes] | None = None


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """
    A tensor of the file that has not been read yet.

    Args:
        storage ([`Storage`]): Where its numbers are.
        offset (`int`): Its first number.
        shape (`tuple[int, ...]`): Its shape.
        stride (`tuple[int, ...]`): Distance of neighbours in each dimension.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def __post_init__(self):
        numbers = (self.offset, *self.shape, *self.stride)
        if len(self.shape) != len(self.stride) or len(self.shape) > 8 or not all(map(is_count, numbers)):
            raise Refused("it has a tensor whose shape cannot be")
        # Without gaps and overlaps, in whatever order of the dimensions: a tensor is as large as its part of the file.
        expected = 1
        for stride, size in sorted(zip(self.stride, self.shape, strict=True)):
            if size > 1 and stride != expected:
                raise Refused("it has a tensor with gaps or overlaps")
            expected *= size if size > 1 else 1
        if self.offset + self.count > self.storage.count:
            raise Refused(f"it has a tensor of {self.count} numbers in a place with {self.storage.count}")

    @property
    def count(self) -> int:
        """Number of its numbers."""
        return math.prod(self.shape)

    @property
    def num_bytes(self) -> int:
        """Its size in the file."""
        return self.count * self.storage.dtype.itemsize

    def tensor(self) -> torch.Tensor:
        """
        Reads it.

        Returns:
            `torch.Tensor`: the tensor, in memory of its own.

        Raises:
            Refused: If the file ends before it does.
        """
        if self.storage.read is None:
            raise Refused("it has a tensor without numbers")
        if not self.count:
            return torch.empty(self.shape, dtype=self.storage.dtype)
        data = bytearray(self.storage.read(self.offset * self.storage.dtype.itemsize, self.num_bytes))
        if len(data) != self.num_bytes:
            raise Refused("it ends in the middle of a tensor")
        return torch.frombuffer(data, dtype=self.storage.dtype).as_strided(self.shape, self.stride)


def is_count(value: Any) -> bool:
    """Whether a value is an int from 0 to 2**48."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 2**48


def is_key(value: Any) -> bool:
    """Whether a value may be a key: nested tuples, and numbers chosen to have the same hash, can take forever."""
    return isinstance(value, str) or (isinstance(value, int) and abs(value) < 2**60)
