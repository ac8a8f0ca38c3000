"""Runs over a data set: planned, computed batch by batch, stored in a folder, and resumable at any time."""

from typing import Any

import lazy_loader

from gradcam.extras import packages_of

_public, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    """A public name, imported when somebody first asks for it. Raises: OptionError where the extra is missing."""
    with packages_of("runs"):
        return _public(name)
