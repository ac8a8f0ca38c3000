"""What single fields of a report can hold, as its schema says it."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta

Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Time = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
Share = Annotated[float, Meta(ge=0, le=1)]
Correlation = Annotated[float, Meta(ge=-1, le=1)]
Count = Annotated[int, Meta(ge=0)]
Index = Annotated[int, Meta(ge=0)]
"""Which of the report's photos, models, methods or targets, or which of a model's classes; from 0."""
Map: TypeAlias = tuple[tuple[float, ...], ...]
