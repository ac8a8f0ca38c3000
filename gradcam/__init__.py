"""What do these image classifiers look at, and do they agree?

    from gradcam import compare, load_classifier, open_photo

    comparison = compare(["torchvision/vgg16", "timm/resnet50.a1_in1k"], [open_photo("dog.jpg")], ["bull mastiff"])

Load a `Classifier`, open a `Photo`, `explain` it into an `Explanation` (`explain_many` for a
whole folder), `compare` many into a `Comparison`. Every name is imported when it is first used.
"""

from importlib import import_module
from importlib.util import find_spec

import lazy_loader

from gradcam import starting  # noqa: F401 - first, for it silences Ctrl-C while the rest is imported
from gradcam.moved import put_up_signpost, refuse_moved

__version__ = "0.2.0.dev0"

_public, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    """A public name or a module of the package, imported when somebody first asks for it."""
    if name in __all__:
        return _public(name)
    refuse_moved(__name__, name)
    module = f"{__name__}.{name}"
    if not name.startswith("_") and find_spec(module):
        return import_module(module)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


put_up_signpost()
