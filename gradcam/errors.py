"""Every error a caller can meet, in one tree.

    GradcamError
    ├── PhotoError          a photo that cannot be opened
    ├── ModelError          a model id, checkpoint or module that cannot be used
    │   ├── WeightsError    weights that cannot be had here and now
    │   └── MethodError     a method that cannot explain a model
    ├── LayerError          a target layer that cannot be found or has no layout in space
    ├── ClassError          a class that a model does not have
    ├── MapError            a heatmap that is not finite
    ├── OptionError         a style, fit or other option outside its choices
    ├── ReportError         a report that cannot be written or reopened
    ├── SigningError        a key or signature that cannot be used
    ├── ReviewError         what people say of a review, where it cannot be kept or read
    └── RunError            a data set that cannot be read, or a run that cannot go on
        ├── RunBusyError    a run that another process computes
        └── TooFewError     a run with too few photos to say what is asked

Each message is one sentence a user can act on: *expected X, got Y; do Z*, naming the nearest valid choice.
"""

from __future__ import annotations

import difflib
import errno
import re
import reprlib
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from types import UnionType


class GradcamError(Exception):
    """Base of every error raised on purpose; its text is meant for the user."""


class PhotoError(GradcamError):
    """A photo that cannot be opened."""


class ModelError(GradcamError):
    """A model id, checkpoint or module that cannot be used."""


class WeightsError(ModelError):
    """Weights that cannot be had here and now."""


class MethodError(ModelError):
    """A method that cannot explain a model."""


class LayerError(GradcamError):
    """A target layer that cannot be found or has no layout in space."""


class ClassError(GradcamError):
    """A class that a model does not have."""


class MapError(GradcamError):
    """A heatmap that is not finite."""


class OptionError(GradcamError):
    """A style, fit or other option outside its choices."""


class ReportError(GradcamError):
    """A report that cannot be written or reopened."""


class SigningError(GradcamError):
    """A key or signature that cannot be used."""


class ReviewError(GradcamError):
    """What people say of a review, where it cannot be kept or read."""


class RunError(GradcamError):
    """A data set that cannot be read, or a run that cannot go on."""


class RunBusyError(RunError):
    """A run that another process computes at this time."""


class TooFewError(RunError):
    """A run with too few photos to say what is asked of it."""


def check_kind(
    value: object,
    kinds: type | UnionType | tuple[type, ...],
    expected: str,
    advice: str,
    error: type[GradcamError] = OptionError,
) -> None:
    """Raises: `error` for a value of none of these kinds: expected `expected`, got this kind; `advice`."""
    if not isinstance(value, kinds):
        got = quoted(value) if isinstance(value, str) else type(value).__name__
        raise error(f"expected {expected}, got {got}; {advice}")


QUOTED = 200
"""Characters of somebody's text that a sentence quotes at most."""

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = QUOTED


def quoted(text: object, limit: int = QUOTED) -> str:
    """Somebody's text as a sentence quotes it: on one line, in quotes, and in at most `limit` characters.

    What is longer is cut in its middle. Line breaks, control characters and lone surrogates are written as escapes.
    Values that are no text are written as Python writes them.
    """
    if isinstance(text, PurePath):
        text = str(text)
    if isinstance(text, int) and text.bit_length() > 4 * limit:
        return f"a number of about {text.bit_length() * 3 // 10} digits"  # Python writes none of above 4,300
    if isinstance(text, str):
        written = repr(text if len(text) <= 2 * limit else text[:limit] + text[-limit:])
    else:
        written = " ".join(_SHORT.repr(text).split())
    if len(written) <= limit:
        return written
    head = limit // 2
    return f"{written[:head]}…{written[head + 1 - limit :]}"


def without_path(sentence: str, path: PurePath, shown: str | None = None) -> str:
    """A sentence for a visitor, who is not told where on the server a file or folder lies, only its name.

    shown: what is said instead of the name. The path is found as `quoted` writes it, too: with escapes, and cut in
    its middle.
    """
    written, name = (repr(text)[1:-1] for text in (str(path), path.name if shown is None else shown))
    half = QUOTED // 2
    cut = f"{re.escape(written[: half - 1])}….{{{half - 2}}}"  # less the two quotes and the ellipsis
    whole = "|".join(map(re.escape, dict.fromkeys((str(path), written))))
    sentence = re.sub(cut, lambda _: name, sentence)
    return re.sub(rf"(?<![\w./-])(?:{whole})(?![\w-])", lambda _: name, sentence)  # and no part of an address


_MACHINE = {
    "ENOSPC": "the disk is full; free some space or choose another folder",
    "EDQUOT": "your share of the disk is used up; free some space or choose another folder",
    "EFBIG": "the file is larger than the disk takes; choose another folder",
    "EROFS": "the disk can only be read; choose another folder",
    "EIO": "the disk does not answer as it should; choose another one",
    "EACCES": "permission is denied; change the permissions or choose another place",
    "EPERM": "permission is denied; change the permissions or choose another place",
    "ENAMETOOLONG": "the name is too long; choose a shorter one",
    "ENOENT": "there is no such file or folder; check the path",
    "ENOTDIR": "a part of the path is no folder; check the path",
    "EISDIR": "it is a folder; name a file in it",
    "ELOOP": "its links lead in a circle; check the path",
    "EMFILE": "too many files are open; close some or raise the limit",
    "ENFILE": "too many files are open; close some or raise the limit",
    "ENOMEM": "the machine has too little memory left; close other programs",
    "ESTALE": "the folder is gone from the network; connect it again",
}
"""What the machine's refusals mean, and what to do."""


def machine_trouble(error: OSError | ValueError) -> str:
    """Why the machine refused a path: `the disk is full; free some space or choose another folder`."""
    if isinstance(error, UnicodeError):
        return "the name has letters that the disk cannot hold; choose another"
    if not isinstance(error, OSError):
        return "the name holds a zero byte; choose another"
    known = _MACHINE.get(errno.errorcode.get(error.errno or 0, ""))
    return known or f"the machine says {quoted(error.strerror or str(error))}; try again or choose another place"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a machine or a device had too little memory; PyTorch then raises a `RuntimeError` or a subclass."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    message = str(error).lower()
    full = ("out of memory", "allocate memory", "not enough memory")
    return isinstance(error, RuntimeError) and any(phrase in message for phrase in full)


def nearest(text: str, choices: Iterable[str], count: int = 3) -> str:
    """The choices closest to `text` as a phrase for an error message, such as `'a', 'b' or 'c'`.

    If none is close, the first few choices are named.
    """
    choices = list(choices)
    return any_of(close_to(text, choices, count) or choices[:count])


def any_of(choices: Sequence[str]) -> str:
    """The choices as a phrase, such as `'a', 'b' or 'c'`."""
    names = [quoted(name) for name in choices]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}" if names else "nothing"


def close_to(text: str, choices: Sequence[str], count: int = 3) -> list[str]:
    """The choices that are spelt like `text`, then those that contain it: `count` at most, or none."""
    text = str(text)[:QUOTED]
    close = difflib.get_close_matches(text, choices, n=count, cutoff=0.5)
    close += [choice for choice in choices if text.lower() in choice.lower() and choice not in close]
    return close[:count]
