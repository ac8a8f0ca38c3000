"""What do these image classifiers look at, and do they agree?

    from gradcam import compare, load_classifier, open_photo

    comparison = compare(["torchvision/vgg16", "timm/resnet50.a1_in1k"], [open_photo("dog.jpg")], ["bull mastiff"])

Load a `Classifier`, open a `Photo`, `explain` it into an `Explanation` (`explain_many` for a
whole folder), `compare` many into a `Comparison`. Every name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from gradcam import starting  # noqa: F401 - first, for it silences Ctrl-C while the rest is imported
from gradcam.lazy import imported_when_used
from gradcam.moved import MOVED, put_up_signpost, sentence

if TYPE_CHECKING:  # what type checkers and editors see; `_MODULES` says the same to Python
    from gradcam._compare import Progress, compare
    from gradcam._explain import explain, explain_many
    from gradcam._heatmaps import heatmaps
    from gradcam.comparison import Comparison, Row
    from gradcam.errors import (
        ClassError,
        GradcamError,
        LayerError,
        MapError,
        ModelError,
        OptionError,
        PhotoError,
        ReportError,
        WeightsError,
    )
    from gradcam.layers import candidate_layers, resolve_target_layer
    from gradcam.measures import agreement, measure
    from gradcam.models.catalogue import search_models
    from gradcam.models.checkpoint import load_checkpoint
    from gradcam.models.classifier import Classifier, load_classifier
    from gradcam.models.labels import Labels
    from gradcam.photo import open_photo, sample_photo
    from gradcam.photo_file import open_photos
    from gradcam.report import build_report, diff, read_report, replay, write_report
    from gradcam.targets import parse_target
    from gradcam.types import (
        Contrast,
        Explanation,
        Failure,
        Heatmap,
        ModelSpec,
        Panel,
        Photo,
        PhotoFailure,
        Preprocessing,
        ScoredTarget,
        Style,
        Target,
        TargetLayer,
        Top,
        UnreadablePhoto,
        View,
    )

__version__ = "0.2.0.dev0"

_MODULES = {
    "_compare": ("Progress", "compare"),
    "_explain": ("explain", "explain_many"),
    "_heatmaps": ("heatmaps",),
    "comparison": ("Comparison", "Row"),
    "errors": (
        "ClassError",
        "GradcamError",
        "LayerError",
        "MapError",
        "ModelError",
        "OptionError",
        "PhotoError",
        "ReportError",
        "WeightsError",
    ),
    "layers": ("candidate_layers", "resolve_target_layer"),
    "measures": ("agreement", "measure"),
    "models.catalogue": ("search_models",),
    "models.checkpoint": ("load_checkpoint",),
    "models.classifier": ("Classifier", "load_classifier"),
    "models.labels": ("Labels",),
    "photo": ("open_photo", "sample_photo"),
    "photo_file": ("open_photos",),
    "report": ("build_report", "diff", "read_report", "replay", "write_report"),
    "targets": ("parse_target",),
    "types": (
        "Contrast",
        "Explanation",
        "Failure",
        "Heatmap",
        "ModelSpec",
        "Panel",
        "Photo",
        "PhotoFailure",
        "Preprocessing",
        "ScoredTarget",
        "Style",
        "Target",
        "TargetLayer",
        "Top",
        "UnreadablePhoto",
        "View",
    ),
}
"""The public names of each module."""

__all__ = [
    "ClassError",
    "Classifier",
    "Comparison",
    "Contrast",
    "Explanation",
    "Failure",
    "GradcamError",
    "Heatmap",
    "Labels",
    "LayerError",
    "MapError",
    "ModelError",
    "ModelSpec",
    "OptionError",
    "Panel",
    "Photo",
    "PhotoError",
    "PhotoFailure",
    "Preprocessing",
    "Progress",
    "ReportError",
    "Row",
    "ScoredTarget",
    "Style",
    "Target",
    "TargetLayer",
    "Top",
    "UnreadablePhoto",
    "View",
    "WeightsError",
    "agreement",
    "build_report",
    "candidate_layers",
    "compare",
    "diff",
    "explain",
    "explain_many",
    "heatmaps",
    "load_checkpoint",
    "load_classifier",
    "measure",
    "open_photo",
    "open_photos",
    "parse_target",
    "read_report",
    "replay",
    "resolve_target_layer",
    "sample_photo",
    "search_models",
    "write_report",
]

_public = imported_when_used(__name__, _MODULES)


def __getattr__(name: str) -> object:
    """A public name or a module of the package, imported when somebody first asks for it."""
    if name in __all__:
        return _public(name)
    module = f"{__name__}.{name}"
    if module in MOVED:
        raise AttributeError(sentence(module))
    if not name.startswith("_") and find_spec(module):
        return import_module(module)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})


put_up_signpost()
