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

NO_EVIDENCE = frozenset({"format", "title", "created", "verdict", "embedded"})
"""What a report says beside its evidence: its name and time, the verdict, and how its photos travel.
The environment is evidence: its version of gradcam tells whether the pages in the ZIP can be rendered again."""

NO_EVIDENCE_OF_CANDIDATES = frozenset({"status", "notes"})


def signed_of(report_json: bytes) -> Signed:
    """What can be signed of a `report.json` that has been read as a report before.

    Its evidence is photos, models, methods, targets, settings, answers, maps, numbers, how they were made and what
    they cannot show, and environment; its verdict what the reviewer says of the whole, and the status of each photo
    and of each candidate for a shortcut. A note on either is a comment and changes neither. The hashes are over the
    file's own fields, so that a later version reads the same ones.
    """
    content: dict[str, Any] = read_json(report_json)
    evidence = {name: value for name, value in content.items() if name not in NO_EVIDENCE}
    evidence["photos"] = [_photo_evidence(photo) for photo in content["photos"]]
    verdict = content["verdict"]
    statuses = [verdict, [photo.get("note", {}).get("status") for photo in content["photos"]]]
    if data_set := content.get("data_set"):
        candidates = data_set["candidates"]
        evidence["data_set"] = {**data_set, "candidates": _without(NO_EVIDENCE_OF_CANDIDATES, candidates)}
        statuses.append([one["status"] for one in candidates])
    return Signed(sha256_of(evidence), sha256_of(statuses), verdict.get("status", "needs review"))


def _photo_evidence(photo: dict[str, Any]) -> dict[str, Any]:
    """A photo without its note, and without the pixels that travel along if they are its own: whether they do is no
    evidence. Pixels that were scaled down are others, and nothing else says what they show.
    """
    own = photo.get("embedded_sha256") in (None, photo["pixels_sha256"])
    (found,) = _without({"note", *(["embedded_sha256"] if own else [])}, [photo])
    return found


def _without(names: Collection[str], entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in entry.items() if name not in names} for entry in entries]
