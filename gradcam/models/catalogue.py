"""Every model with weights, listed and searched; nothing is built and nothing is asked of a network."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from gradcam.errors import check_kind
from gradcam.kinds import expect_each
from gradcam.models.sources import SOURCES, Source
from gradcam.models.weights import Location, find
from gradcam.types import ModelSpec


@dataclass(frozen=True)
class CatalogueEntry:
    """One model that can be loaded, as a page lists it.

    input_size: height and width in pixels. parameters: None where nobody measured them.
    label_set: what its classes are, such as `imagenet-1k` or `19 dog breeds`.
    weights: `bundled`, `cached`, `download 553 MB` or `download`.
    """

    id: str
    source: str
    architecture: str
    parameters: int | None
    input_size: tuple[int, int]
    classes: int
    label_set: str
    weights: str


def catalogue_entries() -> list[CatalogueEntry]:
    """Every model with weights, nothing built: bundled first, then torchvision, then timm."""
    return [replace(entry, weights=_availability(location)) for entry, location in _listed()]


def search_models(text: str = "", entries: Sequence[CatalogueEntry] | None = None) -> list[CatalogueEntry]:
    """The entries whose id has every word of `text`, closest first; similar names where none has.

    entries: those to search, by default the catalogue.
    Raises: OptionError for what is no text.
    """
    check_kind(text, str, "words of a model's id", "pass a text")
    words = text.lower().split()
    entries = catalogue_entries() if entries is None else expect_each(CatalogueEntry, entries)
    found = [entry for entry in entries if all(word in entry.id.lower() for word in words)]
    if not found:
        close = difflib.get_close_matches(text.lower(), {entry.architecture for entry in entries}, n=5)
        found = [entry for name in close for entry in entries if entry.architecture == name]
    return sorted(found, key=lambda entry: _distance(words, entry))


def _distance(words: list[str], entry: CatalogueEntry) -> tuple[bool, bool, int]:
    """Exact architectures before those that begin with a word before the rest; then the shorter name."""
    names = (entry.architecture.lower(), entry.id.lower())
    exact = any(word in names for word in words)
    begins = any(name.startswith(word) for word in words for name in names)
    return not exact, not begins, len(entry.architecture) if words else 0


def _specs() -> Iterator[ModelSpec]:
    for source, row in SOURCES.items():
        for name in row.names():
            for weights in row.weights(name):
                spec = ModelSpec(source, name, weights)
                if row.classes(spec):
                    yield spec


@lru_cache
def _listed() -> tuple[tuple[CatalogueEntry, Location], ...]:
    """Every entry without its `weights`, and where to look for these; fixed while the program runs."""
    return tuple((_entry(spec, SOURCES[spec.source]), SOURCES[spec.source].location(spec)) for spec in _specs())


def _entry(spec: ModelSpec, row: Source) -> CatalogueEntry:
    return CatalogueEntry(
        id=str(spec),
        source=spec.source,
        architecture=spec.name,
        parameters=row.parameters(spec),
        input_size=row.preprocessing(spec).size,
        classes=row.classes(spec),
        label_set=row.label_set(spec) or _set_of(row.classes(spec)),
        weights="",
    )


def _set_of(classes: int) -> str:
    from timm.data.imagenet_info import infer_imagenet_subset

    return infer_imagenet_subset({"num_classes": classes}) or f"{classes} classes"


def _availability(location: Location) -> str:
    found = find(location)
    if found is not None:
        return "bundled" if found == location.bundled else "cached"
    return f"download {location.size / 1e6:.0f} MB" if location.size else "download"
