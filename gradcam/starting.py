"""While a command starts, Ctrl-C ends it in silence: PyTorch takes seconds to import, and there is nothing to undo.

Nor is anything garbage yet, and what is imported stays: to look for garbage in it takes a third of an import.
Imported before everything else; by itself it acts only if this process is `gradcam`, `python -m gradcam` or the
process of a visitor's run.
"""

from __future__ import annotations

import gc
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath

_DEFAULT = signal.default_int_handler


def _is_own_program() -> bool:
    """Whether this process is the command or computes a visitor's run.

    While the package is imported by `python -m`, `-m` stands for the program's path.
    """
    script = sys.argv[0] if sys.argv else ""
    if script == "-m":
        return not {"gradcam", "gradcam.runs.job_process"}.isdisjoint(sys.orig_argv)
    return PurePath(script).stem.removesuffix("-script") == "gradcam"


def done() -> None:
    """From here on Ctrl-C is a `KeyboardInterrupt` again, and garbage is looked for."""
    if _paused_collecting:
        gc.enable()
    if _silenced and _in_main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, _DEFAULT)


@contextmanager
def uncollected() -> Iterator[None]:
    """Look for no garbage meanwhile, as while heavy libraries are imported or many nested values are read."""
    collects = gc.isenabled()  # somebody may have turned it off for good
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _in_main_thread() -> bool:
    """Whether this thread may ask for signals."""
    return threading.current_thread() is threading.main_thread()


_silenced = _is_own_program() and _in_main_thread() and signal.getsignal(signal.SIGINT) is _DEFAULT
if _silenced:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

_paused_collecting = _is_own_program() and gc.isenabled()
if _paused_collecting:
    gc.disable()
