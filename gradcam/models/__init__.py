"""Models by id, with their weights, labels and preprocessing, or from a checkpoint of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradcam.lazy import imported_when_used

if TYPE_CHECKING:  # what type checkers see; the table below says the same to Python
    from gradcam.models.catalogue import CatalogueEntry, search_models
    from gradcam.models.checkpoint import (
        CROPS,
        INPUT,
        INTERPOLATIONS,
        LABEL_SETS,
        load_checkpoint,
        preprocessing_for,
    )
    from gradcam.models.classifier import Classifier, check_seed, load_classifier
    from gradcam.models.guess import Guess, guess_architecture
    from gradcam.models.ids import CHECKPOINT, check_offered, class_names, is_listed, parse_model_id
    from gradcam.models.label_files import read_labels
    from gradcam.models.pool import ModelPool, shared_pool

__all__ = [
    "CHECKPOINT",
    "CROPS",
    "INPUT",
    "INTERPOLATIONS",
    "LABEL_SETS",
    "CatalogueEntry",
    "Classifier",
    "Guess",
    "ModelPool",
    "check_offered",
    "check_seed",
    "class_names",
    "guess_architecture",
    "is_listed",
    "load_checkpoint",
    "load_classifier",
    "parse_model_id",
    "preprocessing_for",
    "read_labels",
    "search_models",
    "shared_pool",
]

__getattr__ = imported_when_used(
    __name__,
    {
        "catalogue": (
            "CatalogueEntry",
            "search_models",
        ),
        "checkpoint": (
            "CROPS",
            "INPUT",
            "INTERPOLATIONS",
            "LABEL_SETS",
            "load_checkpoint",
            "preprocessing_for",
        ),
        "classifier": (
            "Classifier",
            "check_seed",
            "load_classifier",
        ),
        "guess": (
            "Guess",
            "guess_architecture",
        ),
        "ids": (
            "CHECKPOINT",
            "check_offered",
            "class_names",
            "is_listed",
            "parse_model_id",
        ),
        "label_files": ("read_labels",),
        "pool": (
            "ModelPool",
            "shared_pool",
        ),
    },
)
