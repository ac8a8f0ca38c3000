"""What a class may stand on: groups of its photos that share something the model uses, ranked, never a verdict."""

from typing import Any

import lazy_loader

from gradcam.extras import packages_of

_public, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    """A public name, imported when somebody first asks for it. Raises: OptionError where the extra is missing."""
    with packages_of("shortcuts"):
        return _public(name)
