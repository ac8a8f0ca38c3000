"""The report of a comparison: one frozen value, written in many formats, reopened, replayed and compared."""

import lazy_loader

from gradcam.moved import refuse_moved

_public, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    """A public name, imported when somebody first asks for it."""
    if name not in __all__:
        refuse_moved(__name__, name)
    return _public(name)
