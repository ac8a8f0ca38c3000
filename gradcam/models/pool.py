"""Models kept in memory until others need the room, least recently used ones leaving first."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import chain

import psutil

from gradcam.config import settings
from gradcam.errors import GradcamError, OptionError, quoted
from gradcam.models.classifier import Classifier, load_classifier
from gradcam.models.ids import FileState, files_of
from gradcam.models.numerics import bytes_beside


def default_budget() -> int:
    """Bytes of weights kept at most: `$GRADCAM_MODEL_BYTES`, else as configured, else half of the memory.

    Raises: OptionError where the variable holds something else.
    """
    text = os.environ.get("GRADCAM_MODEL_BYTES", "").strip()
    if not text:
        return int(settings().limits.model_gigabytes * 1e9) or psutil.virtual_memory().total // 2
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise OptionError(
            f"expected a whole number of bytes in the variable GRADCAM_MODEL_BYTES, got {quoted(text)}; write one "
            "such as 4000000000, or leave it out for half of the machine's memory"
        )
    return int(text)


def size_of(classifier: Classifier) -> int:
    """Bytes of a classifier's parameters and buffers, and of the weights that faster copies of it hold."""
    module = classifier.module
    own = sum(tensor.numel() * tensor.element_size() for tensor in chain(module.parameters(), module.buffers()))
    return own + bytes_beside(module)


@dataclass
class _Slot:
    """One model: being loaded or there, and how many callers use it now.

    files: those that it was loaded from, as `files_of` tells them; empty while it is being loaded, or without any.
    """

    loading: Future[Classifier]
    users: int = 0
    files: tuple[FileState, ...] = ()

    def is_outdated(self, now: tuple[FileState, ...]) -> bool:
        """Whether other files are there now. A model whose files are gone is still the one of its id."""
        return bool(self.files and now) and self.files != now


class ModelPool:
    """Lends classifiers by id, loading each one once however many threads ask at the same time.

    A model whose files were replaced is loaded anew for the next caller.

    budget: bytes of weights to keep at most. The least recently used models leave first, but never one in use: the
        pool then holds more than its budget until somebody gives a model back.
    load: turns an id into a classifier.
    """

    def __init__(self, budget: int | None = None, load: Callable[[str], Classifier] = load_classifier) -> None:
        self.budget = default_budget() if budget is None else budget
        self._load = load
        self._slots: OrderedDict[str, _Slot] = OrderedDict()
        self._guard = threading.Lock()

    @contextmanager
    def use(self, model_id: str) -> Iterator[Classifier]:
        """The classifier of this id, kept in memory while the context lasts.

        Raises: what loading raises, for every caller who waited for it; the next caller tries again.
        """
        files = files_of(model_id)
        with self._guard:
            slot, mine = self._slots.get(model_id), False
            if slot is None or slot.is_outdated(files):
                self._slots.pop(model_id, None)
                slot, mine = self._slots.setdefault(model_id, _Slot(Future())), True
            self._slots.move_to_end(model_id)
            slot.users += 1
        try:
            if mine:
                self._fill(model_id, slot)
                slot.files = files or files_of(model_id)  # they may just have been downloaded
            yield slot.loading.result()
        finally:
            with self._guard:
                slot.users -= 1
                self._shrink()
            del slot  # else a raised error would keep itself alive by this frame, and all that its callers hold

    @property
    def loaded(self) -> tuple[str, ...]:
        """Ids of the models in memory, least recently used first."""
        with self._guard:
            return tuple(model_id for model_id, slot in self._slots.items() if slot.loading.done())

    def _fill(self, model_id: str, slot: _Slot) -> None:
        try:
            slot.loading.set_result(self._load(model_id))
        except BaseException as error:
            with self._guard:
                del self._slots[model_id]
            # A new error for the threads that wait, without the traceback of this thread.
            told = type(error)(*error.args) if isinstance(error, GradcamError) else error
            slot.loading.set_exception(told)
            raise

    def _shrink(self) -> None:
        """Let idle models go, oldest first, until the rest fits the budget."""
        sizes = {model_id: size_of(slot.loading.result()) for model_id, slot in self._ready()}
        excess = sum(sizes.values()) - self.budget
        for model_id, slot in self._ready():
            if excess > 0 and slot.users == 0:
                excess -= sizes[model_id]
                del self._slots[model_id]

    def _ready(self) -> list[tuple[str, _Slot]]:
        return [(model_id, slot) for model_id, slot in self._slots.items() if slot.loading.done()]


@cache
def shared_pool() -> ModelPool:
    """The pool that `compare` uses unless it is given another."""
    return ModelPool()
