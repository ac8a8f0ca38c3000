"""Where panels are kept: `compare` looks here before it computes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import replace
from typing import Protocol

import numpy as np

from gradcam.models.ids import FileState, files_of
from gradcam.panel_key import ModelKey, PanelKey
from gradcam.types import Failure, Panel, Photo


class PanelStore(Protocol):
    """A store in which `compare` finds panels that were computed before, and leaves new ones.

    Stored panels have no photo: `compare` removes a panel's photo, and later puts the current one in its place.
    """

    def model(self, id: str) -> ModelKey | None:
        """The key of this id's model when it was last loaded; None if that is not known."""
        ...

    def learn(self, id: str, model: ModelKey) -> None:
        """Remember the key of this id's model, so that kept panels are found without loading it."""
        ...

    def get(self, key: PanelKey) -> Panel | None: ...

    def put(self, key: PanelKey, panel: Panel) -> None: ...


class PanelMemory:
    """A `PanelStore` in memory, for any number of threads. What it learnt of an id holds until its files change.

    most: how many panels to keep; the least recently used one leaves first.
    """

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._models: dict[str, tuple[ModelKey, tuple[FileState, ...]]] = {}
        self._panels: OrderedDict[PanelKey, Panel] = OrderedDict()
        self._guard = threading.Lock()

    def model(self, id: str) -> ModelKey | None:
        if id not in self._models:
            return None
        (known, files), now = self._models[id], files_of(id)
        return None if now and now != files else known

    def learn(self, id: str, model: ModelKey) -> None:
        self._models[id] = model, files_of(id)

    def get(self, key: PanelKey) -> Panel | None:
        with self._guard:
            if key in self._panels:
                self._panels.move_to_end(key)
            return self._panels.get(key)

    def put(self, key: PanelKey, panel: Panel) -> None:
        with self._guard:
            self._panels[key] = panel
            while len(self._panels) > self._most:
                self._panels.popitem(last=False)


class _Nowhere:
    def model(self, id: str) -> None: ...

    def learn(self, id: str, model: ModelKey) -> None: ...

    def get(self, key: PanelKey) -> None: ...

    def put(self, key: PanelKey, panel: Panel) -> None: ...


NOTHING_KEPT: PanelStore = _Nowhere()

_NO_PHOTO = Photo(np.zeros((1, 1, 3), np.uint8), "", "")


def without_photo(panel: Panel) -> Panel:
    """The panel as the store keeps it."""
    return with_photo(panel, _NO_PHOTO)


def with_photo(panel: Panel, photo: Photo) -> Panel:
    """A kept panel with a photo of the same content, whatever the photo's name is now."""
    if isinstance(panel, Failure):
        return replace(panel, photo=photo)
    return replace(panel, photo=photo, explanation=replace(panel.explanation, photo=photo))
