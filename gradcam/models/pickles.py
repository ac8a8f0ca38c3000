"""What a pickle describes, read without running anything in it: no class is imported, no function called.

A pickle is a program for a stack machine. This reader knows its instructions, but in place of every object it puts
an `Instance` that only remembers the name of the class and the items put into it. The exceptions are the few
functions that the caller brings for what it wants. Time and memory are bounded by the number of instructions and
by the pickle's own bytes: text and numbers that no weight file needs are stepped over, nothing but text is hashed,
and nothing is ever walked that could share itself without end.

Source: the instructions are those of Python's `pickletools`, protocols 2 to 5.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gradcam.starting import uncollected

MAX_STEPS = 1_000_000
"""Instructions of one pickle; the state of a network with 1,000 tensors and of its optimiser takes 100,000."""

MAX_TEXT = 1_000
"""Bytes of a text or number that is kept; a longer one is no name of a tensor."""


class PickleError(ValueError):
    """Why a pickle cannot be read: the second half of a sentence."""

    def __init__(self, reason: str = "a file that is damaged or of another kind") -> None:
        super().__init__(reason)


@dataclass(frozen=True)
class Global:
    """The name of a class or function, such as `torch.FloatStorage`; it is never imported."""

    path: str


class Instance(dict[str, Any]):
    """A stand-in for an object: the name of its class, and the items and attributes that were put into it."""

    __slots__ = ("attributes", "name")

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name, self.attributes = name, None


Calls = Mapping[str, Callable[..., Any]]
"""What to call in place of a function in a pickle, by its path; it may raise, and must check what it is given."""


def read_pickle(data: bytes, calls: Calls, persistent: Callable[[Any], Any], start: int = 0) -> tuple[Any, int]:
    """What the pickle at `start` describes, and where it ends.

    Lists, tuples, dictionaries (only their items with text as key) and plain values are read as they are. Objects
    that `calls` or `persistent` know become the results of these; everything else is an `Instance`.
    Raises: PickleError if this is no pickle, is too long, or would run code that nobody saves with a model.
    """
    machine = _Machine(data, calls, persistent, start)
    try:
        with uncollected():  # else half of the time goes into walking over nested tuples again and again
            return machine.run(), machine.at
    except PickleError:
        raise
    except (IndexError, KeyError, TypeError, ValueError, AttributeError, struct.error) as error:
        raise PickleError from error


_ACTING = frozenset(
    [
        "os",
        "posix",
        "nt",
        "subprocess",
        "sys",
        "shutil",
        "socket",
        "importlib",
        "runpy",
        "pty",
        "ctypes",
        "webbrowser",
        "code",
        "codeop",
        "commands",
    ]
)
_ACTING_BUILTINS = frozenset(
    ["eval", "exec", "execfile", "compile", "open", "__import__", "input", "breakpoint", "apply"]
)
"""Modules and functions of Python whose call in a pickle is meant to do harm, not to bring an object back."""


def _check_harmless(path: str) -> None:
    """Nothing would be run here; but whoever brings such a file should know what it holds."""
    module, _, name = path.partition(".")
    if module in _ACTING or (module in ("builtins", "__builtin__") and name in _ACTING_BUILTINS):
        raise PickleError(
            f"a pickled call of {path} beside or instead of tensors, which could run code when opened"
        )


class _Machine:
    """The stack machine. Every instruction is a method that a row of `_ACTIONS` names."""

    def __init__(self, data: bytes, calls: Calls, persistent: Callable[[Any], Any], start: int) -> None:
        self.data, self.calls, self.persistent, self.at = data, calls, persistent, start
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.steps = MAX_STEPS

    def run(self) -> Any:
        data, end = self.data, pickle.STOP[0]
        if data[self.at : self.at + 1] != pickle.PROTO:
            raise PickleError
        while True:
            code = data[self.at]
            self.at += 1
            if code == end:
                return self.stack.pop()
            action, *given = _ACTIONS[code]
            action(self, *given)
            self.spend(1)

    def spend(self, steps: int) -> None:
        self.steps -= steps
        if self.steps < 0:
            raise PickleError(f"more than {MAX_STEPS:,} pickled instructions")

    # Bytes --------------------------------------------------------------------------------------------------

    def take(self, count: int) -> bytes:
        """The next bytes of the pickle."""
        if not 0 <= count <= len(self.data) - self.at:
            raise PickleError
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, form: str) -> int:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def skipped(self, length: str) -> None:
        """Step over bytes that nobody needs."""
        count = self.number(length)
        if not 0 <= count <= len(self.data) - self.at:
            raise PickleError
        self.at += count
        self.stack.append(_UNREAD)

    def text(self, length: str) -> None:
        before = self.at
        count = self.number(length)
        if count > MAX_TEXT:
            self.at = before
            self.skipped(length)
        else:
            data = self.take(count)
            try:
                self.stack.append(data.decode("utf-8", "surrogatepass"))
            except UnicodeDecodeError:
                self.stack.append(_UNREAD)  # Python 2 wrote the bytes of an array as text

    def integer(self, length: str) -> None:
        before = self.at
        count = self.number(length)
        if count > 16:
            self.at = before
            self.skipped(length)
        else:
            self.stack.append(int.from_bytes(self.take(count), "little", signed=True))

    def line(self) -> str:
        end = self.data.index(b"\n", self.at, self.at + MAX_TEXT)
        return self.take(end + 1 - self.at)[:-1].decode()

    # Values -------------------------------------------------------------------------------------------------

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def push_new(self, make: Callable[..., Any], *given: Any) -> None:
        self.stack.append(make(*given))

    def push_number(self, form: str) -> None:
        self.stack.append(self.number(form))

    def mark(self) -> None:
        self.outer.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        values, self.stack = self.stack, self.outer.pop()
        return values

    def pop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.since_mark()

    def duplicate(self) -> None:
        self.stack.append(self.stack[-1])

    def tuple_of(self, count: int) -> None:
        if len(self.stack) < count:
            raise PickleError
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def tuple_since_mark(self) -> None:
        values = self.since_mark()
        self.stack.append(tuple(values))

    def frozen_set(self) -> None:
        self.since_mark()
        self.stack.append(Instance("builtins.frozenset"))

    # Memo ---------------------------------------------------------------------------------------------------

    def remember(self, form: str) -> None:
        self.memo[self.number(form)] = self.stack[-1]

    def remember_next(self) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def recall(self, form: str) -> None:
        self.stack.append(self.memo[self.number(form)])

    # Containers ---------------------------------------------------------------------------------------------

    def add(self, many: bool) -> None:
        """Put values into a list; other objects keep none."""
        values = self.since_mark() if many else [self.stack.pop()]
        if type(self.stack[-1]) is list:
            self.stack[-1].extend(values)
        elif not isinstance(self.stack[-1], Instance):
            raise PickleError

    def set_items(self, many: bool) -> None:
        """Put items into a dictionary or object, without those whose key is no text: they cannot be tensors."""
        values = self.since_mark() if many else [self.stack.pop(-2), self.stack.pop()]
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise PickleError
        for key, value in zip(values[::2], values[1::2], strict=True):
            if type(key) is str:
                target[key] = value

    # Objects ------------------------------------------------------------------------------------------------

    def name(self) -> None:
        self.stack.append(Global(f"{self.line()}.{self.line()}"))

    def name_from_stack(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if type(name) is not str or type(module) is not str:
            raise PickleError
        self.stack.append(Global(f"{module}.{name}"))

    def call(self, extra: int = 0) -> None:
        """Push the object that a function makes of arguments, or a class, with `extra` more arguments by name."""
        if extra:
            self.stack.pop()
        arguments, function = self.stack.pop(), self.stack.pop()
        self.stack.append(self.make(function, arguments))

    def make(self, function: Any, arguments: Any) -> Any:
        if isinstance(function, Instance):
            return Instance(function.name)
        if type(function) is not Global or type(arguments) is not tuple:
            raise PickleError
        _check_harmless(function.path)
        if function.path in self.calls:
            return self.calls[function.path](*arguments)
        made = Instance(function.path)
        if function.path == "collections.OrderedDict" and arguments and type(arguments[0]) is list:
            self.spend(len(arguments[0]))  # Python 2 gives the items as pairs
            made.update({pair[0]: pair[1] for pair in arguments[0] if type(pair[0]) is str})
        return made

    def build(self) -> None:
        attributes = self.stack.pop()
        if isinstance(self.stack[-1], Instance):
            self.stack[-1].attributes = attributes

    def persist(self) -> None:
        self.stack.append(self.persistent(self.stack.pop()))


_UNREAD = object()
"""What stands for text, bytes and numbers that were stepped over."""

_ACTIONS: dict[int, tuple[Any, ...]] = {
    pickle.PROTO[0]: (_Machine.number, "<B"),
    pickle.FRAME[0]: (_Machine.number, "<Q"),
    pickle.NONE[0]: (_Machine.push, None),
    pickle.NEWTRUE[0]: (_Machine.push, True),
    pickle.NEWFALSE[0]: (_Machine.push, False),
    pickle.EMPTY_TUPLE[0]: (_Machine.push, ()),
    pickle.EMPTY_LIST[0]: (_Machine.push_new, list),
    pickle.EMPTY_DICT[0]: (_Machine.push_new, dict),
    pickle.EMPTY_SET[0]: (_Machine.push_new, Instance, "builtins.set"),
    pickle.BININT[0]: (_Machine.push_number, "<i"),
    pickle.BININT1[0]: (_Machine.push_number, "<B"),
    pickle.BININT2[0]: (_Machine.push_number, "<H"),
    pickle.BINFLOAT[0]: (_Machine.push_number, ">d"),
    pickle.LONG1[0]: (_Machine.integer, "<B"),
    pickle.LONG4[0]: (_Machine.integer, "<I"),
    pickle.BINSTRING[0]: (_Machine.text, "<I"),
    pickle.SHORT_BINSTRING[0]: (_Machine.text, "<B"),
    pickle.BINUNICODE[0]: (_Machine.text, "<I"),
    pickle.SHORT_BINUNICODE[0]: (_Machine.text, "<B"),
    pickle.BINUNICODE8[0]: (_Machine.text, "<Q"),
    pickle.BINBYTES[0]: (_Machine.skipped, "<I"),
    pickle.SHORT_BINBYTES[0]: (_Machine.skipped, "<B"),
    pickle.BINBYTES8[0]: (_Machine.skipped, "<Q"),
    pickle.BYTEARRAY8[0]: (_Machine.skipped, "<Q"),
    pickle.MARK[0]: (_Machine.mark,),
    pickle.POP[0]: (_Machine.pop,),
    pickle.POP_MARK[0]: (_Machine.since_mark,),
    pickle.DUP[0]: (_Machine.duplicate,),
    pickle.TUPLE[0]: (_Machine.tuple_since_mark,),
    pickle.TUPLE1[0]: (_Machine.tuple_of, 1),
    pickle.TUPLE2[0]: (_Machine.tuple_of, 2),
    pickle.TUPLE3[0]: (_Machine.tuple_of, 3),
    pickle.FROZENSET[0]: (_Machine.frozen_set,),
    pickle.BINPUT[0]: (_Machine.remember, "<B"),
    pickle.LONG_BINPUT[0]: (_Machine.remember, "<I"),
    pickle.MEMOIZE[0]: (_Machine.remember_next,),
    pickle.BINGET[0]: (_Machine.recall, "<B"),
    pickle.LONG_BINGET[0]: (_Machine.recall, "<I"),
    pickle.APPEND[0]: (_Machine.add, False),
    pickle.APPENDS[0]: (_Machine.add, True),
    pickle.ADDITEMS[0]: (_Machine.add, True),
    pickle.SETITEM[0]: (_Machine.set_items, False),
    pickle.SETITEMS[0]: (_Machine.set_items, True),
    pickle.GLOBAL[0]: (_Machine.name,),
    pickle.STACK_GLOBAL[0]: (_Machine.name_from_stack,),
    pickle.REDUCE[0]: (_Machine.call,),
    pickle.NEWOBJ[0]: (_Machine.call,),
    pickle.NEWOBJ_EX[0]: (_Machine.call, 1),
    pickle.BUILD[0]: (_Machine.build,),
    pickle.BINPERSID[0]: (_Machine.persist,),
}
"""The method for each instruction and what it is given."""
