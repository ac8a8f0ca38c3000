"""JSON in which no name is given twice: Python's reader would keep the last value and drop the others unseen."""

from __future__ import annotations

import json
from typing import Any

from gradcam.errors import quoted


def loads(data: str | bytes, **options: Any) -> Any:
    """`json.loads`, with its options. Raises: ValueError for what is no JSON, and for a name given twice."""
    return json.loads(data, object_pairs_hook=_without_doubles, **options)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise ValueError(f"the name {quoted(twice, 40)} is given twice")
    return found
