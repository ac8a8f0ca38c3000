"""The terminal: what a command says, the bar that shows its progress, and how it ends.

Whatever goes wrong is one sentence and an exit code; a user never sees a traceback.
"""

from __future__ import annotations

import argparse
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from tqdm import tqdm

from gradcam.errors import GradcamError, OptionError, is_out_of_memory, machine_trouble, nearest, quoted
from gradcam.files import remove_leftovers
from gradcam.text import clean, shorten
from gradcam.types import Photo

if TYPE_CHECKING:
    from gradcam._compare import OnProgress, Progress

DIFFERENT = 1
"""Exit code where a panel failed, a check did not hold, or something differs."""
REFUSED = 2
"""Exit code for bad input and for a machine that does not do its part."""
STOPPED, UNREAD, TERMINATED = 130, 141, 143
"""Exit codes as a shell has them: 128 + the number of the signal for Ctrl-C, a closed pipe, or termination."""

NO_MEMORY = (
    "expected enough memory, but the machine has none left; use fewer or smaller photos and models, "
    "or close other programs"
)


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage of every option before it."""

    def parse_known_args(self, *args: Any, **named: Any) -> Any:
        """A command itself refuses what it does not know; argparse leaves that to `gradcam`, whose help does not
        list a command's options."""
        options, unknown = super().parse_known_args(*args, **named)
        if not unknown:
            return options, unknown
        name = unknown[0].partition("=")[0]
        if not name.startswith("-"):
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        near = nearest(name, [known for known in self._option_string_actions if known.startswith("--")])
        raise OptionError(f"expected an option of `{self.prog}`, got {quoted(name)}; try {near}")

    def error(self, message: str) -> NoReturn:
        raise OptionError(f"expected options as `{self.prog} --help` lists them; {shorten(clean(message), 200)}")


def add_verbs(
    parser: argparse.ArgumentParser, verbs: Mapping[str, tuple[Callable[[argparse.ArgumentParser], None], Any, str]]
) -> None:
    """Give a command its verbs: what adds each one's options, what `options.verb` becomes, and its help."""
    commands = parser.add_subparsers(required=True, metavar="VERB")
    for name, (add_options, verb, text) in verbs.items():
        sub = commands.add_parser(name, help=text, description=text)
        add_options(sub)
        sub.set_defaults(verb=verb)


def run(command: Callable[[], int]) -> int:
    """Run a command to its exit code; every error in the tree of `errors`, and every trouble of the machine, is one
    sentence on stderr."""
    try:
        with _terminating():
            _write_every_letter()
            _leave_interrupts_to_us()
            remove_leftovers()
            try:
                code = command()
            except SystemExit as ended:  # --help
                code = int(ended.code or 0)
            if sys.stdout is not None:
                sys.stdout.flush()
            return code
    except GradcamError as error:
        return _refuse(str(error))
    except BrokenPipeError:
        _forget(sys.stdout, sys.stderr)
        return UNREAD
    except OSError as error:
        _forget(sys.stdout)
        what = f"use {quoted(error.filename)}" if error.filename else "read and write"
        return _refuse(f"expected to {what}, but {machine_trouble(error)}")
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return _refuse(NO_MEMORY)
    except KeyboardInterrupt as error:
        say("stopped")
        return TERMINATED if isinstance(error, _Terminated) else STOPPED


def _leave_interrupts_to_us() -> None:
    """SQLAlchemy logs a traceback for Ctrl-C while it closes a connection, and raises: `run` says all."""
    logging.getLogger("sqlalchemy.pool").addHandler(logging.NullHandler())


def tell(line: str, stream: TextIO | None = None) -> None:
    """One line on stdout, or on another stream, whatever characters a name in it has."""
    print(clean(line), file=stream)


def path(text: str) -> Path:
    """The type of an option that names a file or a folder."""
    if not text.strip():
        raise argparse.ArgumentTypeError("expected a name, got nothing")
    return Path(text)


def say(sentence: str) -> None:
    """One line on stderr, if anybody is there to read it."""
    if sys.stderr is not None:
        with suppress(OSError):
            print(f"gradcam: {sentence}", file=sys.stderr, flush=True)


@contextmanager
def progress(total: int, unit: str = "step", done: int = 0) -> Iterator[Callable[[int, str], None]]:
    """A bar while stderr is a terminal; its function takes the number of steps done and the name of the next one.

    done: steps that were done before; the bar's rate does not count them.
    """
    silent = True if sys.stderr is None else None
    with closing(tqdm(total=total, unit=unit, initial=done, leave=False, disable=silent)) as bar:

        def show(done: int, doing: str) -> None:
            bar.n = done
            bar.set_description(doing)

        yield show


@contextmanager
def comparing(models: int, photos: int) -> Iterator[OnProgress]:
    """The bar of a comparison."""
    with progress(models * (photos + 1)) as show:
        yield lambda now: show(now.done, f"{now.model}: {now.photo or 'loading'}{_forwards(now)}")


def _forwards(now: Progress) -> str:
    """`, 320 of 1,000 forwards`, while a method does many."""
    return f", {now.forwards[0]:,} of {now.forwards[1]:,} forwards" if now.forwards else ""


class _Terminated(KeyboardInterrupt):
    """SIGTERM ends a command as Ctrl-C does: whatever is half-written goes."""


@contextmanager
def _terminating() -> Iterator[None]:
    """Raise an exception for SIGTERM while the block runs, if this thread may set signal handlers."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise _Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _refuse(sentence: str) -> int:
    say(sentence)
    return REFUSED


def _write_every_letter() -> None:
    """Letters that the terminal's encoding lacks are written as escapes, never refused."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _forget(*streams: TextIO | None) -> None:
    """Discard what is still to be written, because Python would try again as it ends, and complain."""
    for stream in filter(None, streams):
        with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())


def say_notes(photos: Iterable[Photo]) -> None:
    """Say of each photo what its file makes doubtful."""
    for photo in photos:
        if photo.note:
            print(f"{shorten(clean(photo.name), 200)}: {photo.note}", file=sys.stderr)
