"""Write the layers of the bundled models that come along: `.venv/bin/python -m tests.layers.shipped`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest import mock

from gradcam.layers import candidate_layers, find
from gradcam.layers.disk_cache import SHIPPED
from gradcam.models.bundled_source import BUNDLED
from gradcam.models.classifier import load_classifier


def searched(names: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """What a search finds in bundled models, by request: the target layer, and all candidates."""
    answers: dict[str, list[dict[str, Any]]] = {}
    requests: list[str] = []
    with (
        mock.patch.object(find, "read_shipped", lambda request, model: requests.append(request)),
        mock.patch.object(find, "kept_at", return_value=None),
    ):
        for name in names:
            classifier = load_classifier(f"bundled/{name}")
            found = [classifier.target_layer], candidate_layers(classifier.module, classifier.preprocessing.size)
            answers |= {
                request: [asdict(layer) for layer in layers]
                for request, layers in zip(requests[-2:], found, strict=True)
            }
    return json.loads(json.dumps(answers))


if __name__ == "__main__":
    Path(str(SHIPPED)).write_text(json.dumps(searched(BUNDLED), indent=1) + "\n", "utf-8")
