# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""
Reads a pickle without unpickling it.

A pickle is a program, and `pickle.Unpickler` runs it. A subclass that only filters which names it looks up still calls
what passes, with arguments, states and keys of the file's making. Here is another machine for the same instructions,
on top of the standard library's parser. It has no instruction that looks up a name, calls what it finds or sets an
attribute of an object: names stay words, and where a pickle calls one, the table in makers.py says which plain value
this package makes in its place. Whatever is not in the table ends the reading.
"""

import pickletools
from collections.abc import Callable
from typing import Any, BinaryIO

from .inert import Array, Instance, Name, NumberType, Refused, is_key
from .makers import fill_array, fill_number_type, known_name, make, make_object


# Files of the published structures have about a hundred thousand instructions at most. Those of ProjectedGAN must have
# up to 1.8 GB, because they hold most weights twice, as trained and normalised. A pickle is held in memory.
MAX_INSTRUCTIONS = 400_000
MAX_PICKLE_BYTES = 2**31
_MAX_READ = 2**28
_MAX_LINE = 2**20
_MAX_INT_BITS = 128


class Stream:
    """
    A file that does not hand out more than it has.

    Args:
        file (`BinaryIO`): The file, at its beginning.

    Attributes:
        size: Its size.
        place: Where in the file it is.
    """

    def __init__(self, file: BinaryIO):
        self.file, self.place = file, 0
        self.size = file.seek(0, 2)
        file.seek(0)

    def read(self, count: int) -> bytes:
        """
        Reads so many bytes.

        Args:
            count (`int`): How many.

        Returns:
            `bytes`: as many as asked for.

        Raises:
            Refused: If there are fewer, or more are asked for than any tensor has.
        """
        if count > self.size - self.place:
            raise Refused(f"it ends {count - self.size + self.place} bytes too early")
        if count > _MAX_READ:
            raise Refused(f"it has a value of {count} bytes")
        self.place += count
        return self.file.read(count)

    def readline(self) -> bytes:
        """
        Reads up to the end of a line.

        Returns:
            `bytes`: the line.

        Raises:
            Refused: If the line is too long.
        """
        line = self.file.readline(_MAX_LINE)
        if len(line) == _MAX_LINE:
            raise Refused("it has an endless line")
        self.place += len(line)
        return line

    def seek(self, place: int) -> None:
        """Goes to a place in the file."""
        self.place = self.file.seek(place)


class Budget:
    """How many instructions, and bytes in their arguments, may still be read, over all pickles of one file."""

    def __init__(self):
        self._instructions, self._bytes = MAX_INSTRUCTIONS, MAX_PICKLE_BYTES

    def spend(self, argument: Any) -> None:
        """
        Counts one instruction.

        Args:
            argument (`Any`): Its argument.

        Raises:
            Refused: If there were too many, or too large ones.
        """
        self._instructions -= 1
        if self._instructions < 0:
            raise Refused(f"it has more than {MAX_INSTRUCTIONS} instructions")
        if isinstance(argument, (bytes, bytearray, str)):
            self._bytes -= len(argument)
            if self._bytes < 0:
                raise Refused(f"it has more than {MAX_PICKLE_BYTES} bytes of values")


class Machine:
    """
    Reads one pickle.

    Args:
        stream ([`Stream`]): Where the pickle begins. Afterwards it stands behind it.
        budget ([`Budget`]): How many instructions may be read.
        persistent (`Callable`, *optional*): What stands for a persistent id. Without it there must be none.
        load_blob (`Callable`, *optional*):
            The storage in bytes inside of a pickle, as torch writes it there. Without it there must be none.
    """

    def __init__(
        self,
        stream: Stream,
        budget: Budget,
        persistent: Callable[[Any], Any] | None = None,
        load_blob: Callable[[Any], Any] | None = None,
    ):
        self._stream, self._budget = stream, budget
        self._persistent, self._load_blob = persistent, load_blob
        self._stack: list[Any] = []
        self._marks: list[int] = []  # Heights of the stack.
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        """
        Reads the pickle.

        Returns:
            What it describes, of plain values and those of inert.py.

        Raises:
            Refused: If it asks for anything else, or is too large or damaged.
            ValueError: From the parser, if it is damaged.
        """
        for instruction, argument, _ in pickletools.genops(self._stream):  # pyright: ignore[reportArgumentType]
            self._budget.spend(argument)
            name = instruction.name
            if name in _CONSTANTS:
                self._stack.append(_CONSTANTS[name])
            elif name in _VALUES:
                self._stack.append(_checked(argument))
            elif name in _STEPS:
                _STEPS[name](self, argument)
            elif name == "STOP":
                break
            elif name not in ("PROTO", "FRAME"):
                raise Refused(f"it has the instruction {name}, which no checkpoint needs")
        result = self._pop()
        if self._stack or self._marks:
            raise Refused("it leaves values over")
        return result

    def _pop(self) -> Any:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise Refused("it takes a value where there is none")
        return self._stack.pop()

    def _top(self, kind: type | tuple[type, ...]) -> Any:
        """The value that the next ones belong to."""
        value = self._pop()
        self._stack.append(value)
        if not isinstance(value, kind):
            raise Refused("it fills what is no container")
        return value

    def _since_mark(self) -> list[Any]:
        if not self._marks:
            raise Refused("it goes back to a mark where there is none")
        height = self._marks.pop()
        items = self._stack[height:]
        del self._stack[height:]
        return items

    def _mark(self, _: None) -> None:
        self._marks.append(len(self._stack))

    def _forget(self, _: None) -> None:
        if self._marks and self._marks[-1] == len(self._stack):
            self._marks.pop()
        else:
            self._pop()

    def _double(self, _: None) -> None:
        value = self._pop()
        self._stack += [value, value]

    def _list(self, _: None) -> None:
        self._stack.append(self._since_mark())

    def _append(self, _: None) -> None:
        value = self._pop()
        self._top(list).append(value)

    def _append_all(self, _: None) -> None:
        items = self._since_mark()
        self._top(list).extend(items)

    def _tuple(self, length: int | None) -> None:
        if length is None:
            self._stack.append(tuple(self._since_mark()))
        else:
            self._stack.append(tuple([self._pop() for _ in range(length)][::-1]))

    def _dict(self, _: None) -> None:
        self._stack.append(_pairs(self._since_mark()))

    def _set_item(self, _: None) -> None:
        items = [self._pop(), self._pop()][::-1]
        self._top(dict).update(_pairs(items))

    def _set_items(self, _: None) -> None:
        items = self._since_mark()
        self._top(dict).update(_pairs(items))

    def _empty_set(self, _: None) -> None:
        self._stack.append(set())

    def _add_items(self, _: None) -> None:
        items = self._since_mark()
        self._top(set).update(_keys(items))

    def _frozen_set(self, _: None) -> None:
        self._stack.append(frozenset(_keys(self._since_mark())))

    def _get(self, number: Any) -> None:
        if int(number) not in self._memo:
            raise Refused("it recalls what it has not kept")
        self._stack.append(self._memo[int(number)])

    def _put(self, number: Any) -> None:
        self._memo[len(self._memo) if number is None else int(number)] = self._top(object)

    def _global(self, words: str) -> None:
        module, _, name = words.partition(" ")
        self._stack.append(known_name(module, name))

    def _stack_global(self, _: None) -> None:
        name, module = self._pop(), self._pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise Refused("it names something by what is no text")
        self._stack.append(known_name(module, name))

    def _reduce(self, _: None) -> None:
        arguments, function = self._pop(), self._pop()
        self._stack.append(make(*_call(function, arguments), self._load_blob))

    def _new_object(self, _: None) -> None:
        arguments, kind = self._pop(), self._pop()
        self._stack.append(make_object(*_call(kind, arguments)))

    def _build(self, _: None) -> None:
        state = self._pop()
        target = self._top(object)
        if isinstance(target, Array):
            fill_array(target, state)
        elif isinstance(target, NumberType):
            fill_number_type(target, state)
        elif isinstance(target, Instance) and isinstance(state, (dict, tuple)):
            target.state = state if isinstance(state, dict) else {}  # Random states have tuples, which nobody needs.
        elif not (isinstance(target, dict) and isinstance(state, dict)):  # The attributes of a dict, which do nothing.
            raise Refused("it sets the state of what has none")

    def _persistent_id(self, text: str | None) -> None:
        key = self._pop() if text is None else text
        if self._persistent is None:
            raise Refused("it has a persistent id")
        self._stack.append(self._persistent(key))


def _call(function: Any, arguments: Any) -> tuple[Name, tuple]:
    if not isinstance(function, Name):
        raise Refused("it calls what is no name")
    if not isinstance(arguments, tuple):
        raise Refused(f"it calls {function} without a tuple of arguments")
    return function, arguments


def _checked(value: Any) -> Any:
    if isinstance(value, int) and value.bit_length() > _MAX_INT_BITS:
        raise Refused(f"it has a number of {value.bit_length()} bits")
    return bytes(value) if isinstance(value, bytearray) else value


def _keys(items: list[Any]) -> list[Any]:
    if not all(map(is_key, items)):
        raise Refused("it has a key that is neither a text nor a whole number")
    return items


def _pairs(items: list[Any]) -> dict[Any, Any]:
    if len(items) % 2:
        raise Refused("it has a key without a value")
    return dict(zip(_keys(items[::2]), items[1::2], strict=True))


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_VALUES = set(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE "
    "SHORT_BINUNICODE BINUNICODE BINUNICODE8 SHORT_BINBYTES BINBYTES BINBYTES8 BYTEARRAY8".split()
)
_STEPS: dict[str, Callable[[Machine, Any], Any]] = {
    "MARK": Machine._mark, "POP": Machine._forget, "DUP": Machine._double,
    "POP_MARK": lambda machine, _: machine._since_mark() and None,
    "EMPTY_LIST": lambda machine, _: machine._stack.append([]), "LIST": Machine._list, "APPEND": Machine._append,
    "APPENDS": Machine._append_all, "TUPLE": Machine._tuple,
    "TUPLE1": lambda machine, _: machine._tuple(1), "TUPLE2": lambda machine, _: machine._tuple(2),
    "TUPLE3": lambda machine, _: machine._tuple(3),
    "EMPTY_DICT": lambda machine, _: machine._stack.append({}), "DICT": Machine._dict,
    "SETITEM": Machine._set_item, "SETITEMS": Machine._set_items, "EMPTY_SET": Machine._empty_set,
    "ADDITEMS": Machine._add_items, "FROZENSET": Machine._frozen_set,
    "GET": Machine._get, "BINGET": Machine._get, "LONG_BINGET": Machine._get,
    "PUT": Machine._put, "BINPUT": Machine._put, "LONG_BINPUT": Machine._put, "MEMOIZE": Machine._put,
    "GLOBAL": Machine._global, "STACK_GLOBAL": Machine._stack_global, "REDUCE": Machine._reduce,
    "NEWOBJ": Machine._new_object, "BUILD": Machine._build,
    "PERSID": Machine._persistent_id, "BINPERSID": Machine._persistent_id,
}  # fmt: skip
