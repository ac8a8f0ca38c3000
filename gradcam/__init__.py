"""What do these image classifiers look at, and do they agree?

    from gradcam import compare, load_classifier, open_photo

    comparison = compare(["torchvision/vgg16", "timm/resnet50.a1_in1k"], [open_photo("dog.jpg")], ["bull mastiff"])

Load a `Classifier`, open a `Photo`, `explain` it into an `Explanation` (`explain_many` for a
whole folder), `compare` many into a `Comparison`.
"""

from __future__ import annotations

from gradcam import starting  # noqa: F401 - first, for it silences Ctrl-C while the rest is imported
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
from gradcam.models.checkpoint import load_checkpoint
from gradcam.models.classifier import Classifier, load_classifier
from gradcam.models.labels import Labels
from gradcam.photo import open_photo, sample_photo
from gradcam.photo_file import open_photos
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

__version__ = "0.1.0"

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
    "candidate_layers",
    "compare",
    "explain",
    "explain_many",
    "heatmaps",
    "load_checkpoint",
    "load_classifier",
    "open_photo",
    "open_photos",
    "parse_target",
    "resolve_target_layer",
    "sample_photo",
]
