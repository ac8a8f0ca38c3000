"""What is signed of a report: its evidence and its verdict, each by a hash."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from gradcam.report.limits import read_json
from gradcam.signatures import (
    CheckedSignature as CheckedSignature,
    Signed,
    State as State,
    Statement as Statement,
    sha256_of,
)

NO_EVIDENCE = frozenset({"format", "title", "created", "verdict", "embedded", "procedure", "limits"})
"""What a report says beside its evidence: words, times, and how its photos travel. The environment is evidence: its
version of gradcam tells whether the pages in the ZIP can be rendered again and compared."""

NO_EVIDENCE_OF_PHOTOS = frozenset({"note", "embedded_sha256"})
NO_EVIDENCE_OF_CANDIDATES = frozenset({"status", "notes"})


def signed_of(report_json: bytes) -> Signed:
    """What can be signed of a `report.json` that has been read as a report before.

    Its evidence is photos, models, methods, targets, settings, answers, maps, numbers and environment; its verdict
    what the reviewer says of the whole, and the status of each photo and of each candidate for a shortcut. A note
    on either is a comment and changes neither. The hashes are over the file's own fields, so that a later version
    reads the same ones.
    """
    content: dict[str, Any] = read_json(report_json)
    evidence = {name: value for name, value in content.items() if name not in NO_EVIDENCE}
    evidence["photos"] = _without(NO_EVIDENCE_OF_PHOTOS, content["photos"])
    verdict = content["verdict"]
    said = [verdict, [photo.get("note", {}).get("status") for photo in content["photos"]]]
    if data_set := content.get("data_set"):
        candidates = data_set["candidates"]
        evidence["data_set"] = {**data_set, "candidates": _without(NO_EVIDENCE_OF_CANDIDATES, candidates)}
        said.append([one["status"] for one in candidates])
    return Signed(sha256_of(evidence), sha256_of(said), verdict.get("status", "needs review"))


def _without(names: Collection[str], entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in entry.items() if name not in names} for entry in entries]
