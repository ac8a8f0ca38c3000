"""`report.json`: the canonical form of a report, and the schema that says what may be in it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache
from importlib import resources
from itertools import product
from typing import Any

import jsonschema
import jsonschema.exceptions
import msgspec
import numpy as np

from gradcam.errors import ClassError, ReportError, quoted
from gradcam.report.limits import check_extent, read_json
from gradcam.report.model import Content, Finding, Pixels, Report
from gradcam.report.target_entries import target_of
from gradcam.report.upgrade import upgraded
from gradcam.targets import parse_target
from gradcam.text import clean, dimensions

SCHEMA_ID = "https://json-schema.org/draft/2020-12/schema"


def encode(report: Report) -> bytes:
    """The report's content as UTF-8 JSON: fields in the model's order, a row of numbers on one line.

    Raises: ReportError where a number is not finite.
    """
    return _dumps(_builtins(report))


def decode(data: bytes) -> Report:
    """The report in `report.json`, without pixels. `encode(decode(data)) == data` for what `encode` wrote.

    Raises: ReportError where it is no JSON, breaks the schema, or contradicts itself.
    """
    found = read_json(data)
    broken = jsonschema.exceptions.best_match(_validator().iter_errors(_without_maps(found)))
    if broken is not None:
        raise ReportError(
            f"expected a report by the published schema, got at {clean(broken.json_path)[:80]}: "
            f"{clean(broken.message)[:200]}; export it again"
        )
    try:
        report = _report(found, (None,) * len(found["photos"]))
    except (msgspec.ValidationError, OverflowError) as error:
        raise ReportError(
            f"expected a report by the published schema, got {quoted(str(error))}; export it again"
        ) from error
    check_extent(report)
    _check(report)
    return upgraded(report)


def _without_maps(found: Any) -> Any:
    """The same data for the schema; maps are many numbers, whose types are checked where they are taken in."""
    findings = found.get("findings") if isinstance(found, dict) else None
    if not isinstance(findings, list):
        return found
    return {
        **found,
        "findings": [{**one, "map": None} if isinstance(one, dict) and "map" in one else one for one in findings],
    }


def canonical(report: Report) -> Report:
    """The report as it comes back from its JSON: `1` is `1.0` where a fraction is meant, all text can be UTF-8."""
    return _report(_encodable(_builtins(report)), report.pixels)


def _builtins(report: Report) -> Any:
    return msgspec.to_builtins({name: getattr(report, name) for name in Content.__dataclass_fields__})


def _report(content: Any, pixels: Sequence[Pixels | None]) -> Report:
    whole = msgspec.convert(content, Content, strict=False)
    return Report(**{name: getattr(whole, name) for name in Content.__dataclass_fields__}, pixels=pixels)


def _encodable(value: Any) -> Any:
    """The same data, undecodable bytes of a file name written as `⟨U+DCE9⟩`."""
    if isinstance(value, str):
        return "".join(f"⟨U+{ord(c):04X}⟩" if "\ud800" <= c <= "\udfff" else c for c in value)
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    return [_encodable(item) for item in value] if isinstance(value, list | tuple) else value


def published_schema() -> bytes:
    """The JSON Schema (2020-12) of `report.json`, as it travels with every ZIP."""
    return resources.files("gradcam.report").joinpath("schema.json").read_bytes()


def schema_of_model() -> bytes:
    """The schema made from the data model; `schema.json` is this, and a test holds them together."""
    made = msgspec.json.schema(Content)
    for definition in made["$defs"].values():
        if "properties" in definition:
            definition["additionalProperties"] = False
    return _dumps({"$schema": SCHEMA_ID, "title": "A gradcam report", **made})


def _dumps(value: Any) -> bytes:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1)
    except ValueError as error:
        raise ReportError(f"expected finite numbers in a report, got NaN or infinity ({error})") from error
    # A raw line break is never inside a JSON string, so this joins rows of numbers and nothing else.
    rows = re.sub(r"\[\n\s+(-?[\d.e+-]+(?:,\n\s+-?[\d.e+-]+)*)\n\s+\]", _joined, text)
    return (rows + "\n").encode()


def _joined(match: re.Match[str]) -> str:
    return "[" + ", ".join(match[1].replace(",", " ").split()) + "]"


@cache
def _validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(published_schema()))


def _check(content: Content) -> None:
    """What a schema cannot say: every place exists, every panel is there once, every map fits its layer."""
    counts = len(content.photos), len(content.models), len(content.questions)
    places = [(finding.photo, finding.model, finding.question) for finding in content.findings]
    if places != list(product(*map(range, counts))):
        raise ReportError(
            f"expected a panel for each of {counts[0]} photos × {counts[1]} models × {counts[2]} questions in "
            f"order, got {len(places)} others; export the report again"
        )
    pairs = [(answer.photo, answer.model) for answer in content.answers]
    if not set(pairs) <= set(product(*map(range, counts[:2]))) or len(set(pairs)) != len(pairs):
        raise ReportError("expected at most one answer of each model on each photo, got others; export it again")
    _check_targets(content)
    for agreement in content.agreements:
        if (
            agreement.photo >= counts[0]
            or agreement.question >= counts[2]
            or not agreement.models[0] < agreement.models[1] < counts[1]
        ):
            raise ReportError("expected agreements between models of the report, got others; export it again")
    for answer in content.answers:
        left, top, right, bottom = answer.view.box
        sane = right > left and bottom > top and answer.view.photo_size == content.photos[answer.photo].size
        if not sane or min(answer.view.photo_size + answer.view.input_size) < 1:
            raise ReportError("expected views that lie on their photos, got others; export the report again")
    for finding in content.findings:
        _check_finding(content, finding)


def _check_targets(content: Content) -> None:
    """Every target is one, and reads as its question does; gradcam 0.1.0 wrote questions alone."""
    try:
        read = [target_of(entry) for entry in content.targets]
        said = [parse_target(question) for question in content.questions] if read else []
    except (ValueError, ClassError) as error:
        raise ReportError(f"expected targets in a report, got: {error}; export it again") from error
    if said != read:
        raise ReportError("expected a report's questions to say what its targets are, got others; export it again")


def _check_finding(content: Content, finding: Finding) -> None:
    where = f"panel {finding.photo + 1}/{finding.model + 1}/{finding.question + 1}"
    parts = (finding.map, finding.target, finding.numbers)
    if finding.reason is not None:
        if parts != (None, None, None):
            raise ReportError(f"expected {where} to have a map or a reason, got both; export the report again")
        return
    if None in parts:
        raise ReportError(f"expected {where} to have a map with its numbers or a reason; export the report again")
    grid = content.answer(finding).layer.grid
    rows = finding.map or ()
    if (len(rows), *{len(row) for row in rows}) != tuple(grid):
        raise ReportError(f"expected a map of {dimensions(*grid)} in {where}, got another; export the report again")
    if not np.isfinite(finding.values).all():
        raise ReportError(f"expected finite numbers in {where}, got larger ones; export the report again")
