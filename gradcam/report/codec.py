"""`report.json`: the canonical form of a report, and the schema that says what may be in it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from importlib import resources
from itertools import product
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET

from gradcam.errors import OptionError, ReportError, quoted
from gradcam.regions import check_region
from gradcam.report import format_1
from gradcam.report.limits import check_extent, read_json
from gradcam.report.model import FORMAT, Content, HeatmapEntry, Pixels, Region, Report
from gradcam.text import clean

SCHEMA_ID = "https://json-schema.org/draft/2020-12/schema"


def encode(report: Report) -> bytes:
    """The report's content as UTF-8 JSON: fields in the model's order, a row of numbers on one line.

    Raises: ReportError where a number is not finite.
    """
    return b"".join(encode_in_pieces(report))


def encode_in_pieces(report: Report) -> Iterator[bytes]:
    """The bytes of `encode`, a field of the report or an item of its lists at a time.

    Raises: ReportError where a number is not finite.
    """
    for index, (name, value) in enumerate(_fields_of(report).items()):
        yield (b",\n " if index else b"{\n ") + _dumps(name) + b": "
        if isinstance(value, tuple) and value:
            yield from _items(value)
        else:
            yield _dumps(msgspec.to_builtins(value), indent=1)
    yield b"\n}\n"


def _fields_of(content: Content) -> dict[str, Any]:
    """The fields of a report's content by name, in order, without those that are unset."""
    found = {name: getattr(content, name) for name in Content.__dataclass_fields__}
    return {name: value for name, value in found.items() if value is not UNSET}


def _items(values: Sequence[Any]) -> Iterator[bytes]:
    """A list that a field of the report holds, an item at a time."""
    for index, value in enumerate(values):
        yield (b",\n  " if index else b"[\n  ") + _dumps(msgspec.to_builtins(value), indent=2)
    yield b"\n ]"


def decode(data: bytes) -> Report:
    """The report in `report.json`, without pixels. `encode(decode(data)) == data` for what `encode` wrote.

    A report of format 1 is read as one of today.
    Raises: ReportError where it is no JSON, is of a later format, breaks the schema, or contradicts itself.
    """
    found = read_json(data)
    try:
        if format_1.is_format_1(found):
            found = format_1.upgraded(found)
        _check_format(found)
        content = msgspec.convert(found, Content)
    except msgspec.ValidationError as error:
        what, at, where = str(error).rpartition(" - at ")
        raise _broken(where.strip("`") if at else "$", what if at else where) from error
    _check_nothing_is_lost(found, msgspec.json.decode(msgspec.json.encode(content)))
    report = _report(content, (None,) * len(content.photos))
    check_extent(report)
    _check(report)
    return report


def _check_format(found: Any) -> None:
    """Refuse a report of a later format, which is not broken. Raises: ReportError."""
    name = found.get("format") if isinstance(found, dict) else None
    if isinstance(name, str) and name.startswith("gradcam-report-") and name != FORMAT:
        raise ReportError(
            f"expected a report up to {FORMAT}, got {quoted(name, 80)}; open it with the version of gradcam that "
            "wrote it, or a later one"
        )


def _broken(where: str, what: str) -> ReportError:
    """where: of the JSON, such as `$.verdict.status`."""
    return ReportError(
        f"expected a report by the published schema, got at {clean(where)[:80]}: {clean(what)[:200]}; "
        "export it again"
    )


def _check_nothing_is_lost(found: Any, read: Any, where: str = "$") -> None:
    """Refuse a JSON with content that was not read: its canonical form says the same, and adds only defaults.

    Bytes are not compared, because the published schema allows more than what `encode` writes: fields in another
    order, `1` for `1.0`, and no field where there is a default.
    Raises: ReportError.
    """
    if found == read:
        return
    if isinstance(found, dict) and isinstance(read, dict):
        for name, value in found.items():
            if name not in read:
                raise _broken(where, f"the unknown field {quoted(name, 80)}")
            _check_nothing_is_lost(value, read[name], f"{where}.{name}")
    elif isinstance(found, list) and isinstance(read, list) and len(found) == len(read):
        for index, (value, kept) in enumerate(zip(found, read, strict=True)):
            _check_nothing_is_lost(value, kept, f"{where}[{index}]")
    else:
        raise _broken(where, f"{quoted(found, 80)}, which no report can hold")


def canonical(report: Report) -> Report:
    """The report as it comes back from its JSON: `1` is `1.0` where a fraction is meant, all text can be UTF-8."""
    content = _encodable(msgspec.to_builtins(_fields_of(report)))
    return _report(msgspec.convert(content, Content, strict=False), report.pixels)


def _report(content: Content, pixels: Sequence[Pixels | None]) -> Report:
    return Report(**_fields_of(content), pixels=pixels)


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
    return _dumps({"$schema": SCHEMA_ID, "title": "A gradcam report", **made}) + b"\n"


def _dumps(value: Any, indent: int = 0) -> bytes:
    """Plain data as JSON, a row of numbers on one line. indent: of the lines after the first, in spaces."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1)
    except ValueError as error:
        raise ReportError(f"expected finite numbers in a report, got NaN or infinity ({error})") from error
    # A raw line break is never inside a JSON string, so what follows sees the layout and nothing else.
    rows = re.sub(r"\[\n\s+(-?[\d.e+-]+(?:,\n\s+-?[\d.e+-]+)*)\n\s+\]", _on_one_line, text)
    return rows.replace("\n", "\n" + " " * indent).encode()


def _on_one_line(match: re.Match[str]) -> str:
    return "[" + ", ".join(match[1].replace(",", " ").split()) + "]"


def _check(content: Content) -> None:
    """What a schema cannot say: every index exists, every panel is there once, every map is a grid."""
    axes = {name: len(getattr(content, name)) for name in ("photos", "models", "methods", "targets")}
    panels = [(panel.photo, panel.model, panel.method, panel.target) for panel in content.findings]
    if len(panels) != math.prod(axes.values()) or panels != list(product(*map(range, axes.values()))):
        counted = " × ".join(f"{length} {name}" for name, length in axes.items())
        raise ReportError(
            f"expected a panel for each of {counted} in order, got {len(panels)} others; export the report again"
        )
    pairs = {(answer.photo, answer.model) for answer in content.answers}
    is_known = all(photo < axes["photos"] and model < axes["models"] for photo, model in pairs)
    if not is_known or len(pairs) != len(content.answers):
        raise ReportError("expected at most one answer of each model on each photo, got others; export it again")
    _check_targets(content)
    _check_agreements(content, axes)
    _check_data_set(content)
    for answer in content.answers:
        left, top, right, bottom = answer.view.box
        sane = right > left and bottom > top and answer.view.photo_size == content.photos[answer.photo].size
        if not sane or min(answer.view.photo_size + answer.view.input_size) < 1:
            raise ReportError("expected views that lie on their photos, got others; export the report again")
    for photo in content.photos:
        if photo.region is not UNSET:
            _check_region(photo.region)
    for panel in content.heatmaps:
        _check_map(content, panel)


def _check_targets(content: Content) -> None:
    """Every target entry must give a target."""
    try:
        _ = [entry.target for entry in content.targets]
    except ValueError as error:
        raise ReportError(f"expected targets in a report, got: {error}; export it again") from error


def _check_region(region: Region) -> None:
    """A region must enclose something."""
    try:
        check_region(region)
    except OptionError as error:
        raise ReportError(f"{error}; export the report again") from error


def _check_agreements(content: Content, axes: dict[str, int]) -> None:
    """Every agreement is one of two models of the report, the first before the second."""
    for agreement in content.agreements:
        first, second = agreement.models
        if not (
            agreement.photo < axes["photos"]
            and agreement.method < axes["methods"]
            and agreement.target < axes["targets"]
            and first < second < axes["models"]
        ):
            raise ReportError("expected agreements between models of the report, got others; export it again")


def _check_data_set(content: Content) -> None:
    """What a data set came to is told of the report's models, of each one where a row tells of all."""
    if not (found := content.data_set):
        return
    models = len(content.models)
    named = [one.model for one in (*found.confusions, *found.measures, *found.candidates)]
    named += [model for one in found.differences for model in one.models]
    of_all = {len(one.right) for one in (*found.labels, *found.candidates)}
    if any(model >= models for model in named) or of_all - {models}:
        raise ReportError("expected a data set seen by the report's models, got others; export the report again")
    for heat in (map for one in found.candidates for map in (one.member_heat, one.other_heat) if map):
        if len({len(row) for row in heat}) != 1 or not heat[0] or not np.isfinite(np.array(heat, np.float32)).all():
            raise ReportError("expected mean maps of a candidate as rows of numbers, got others; export it again")


def _check_map(content: Content, panel: HeatmapEntry) -> None:
    where = f"panel {panel.photo + 1}/{panel.model + 1}/{panel.method + 1}/{panel.target + 1}"
    if len({len(row) for row in panel.map}) != 1:
        raise ReportError(f"expected a map with rows of one length in {where}, got others; export the report again")
    layer = content.answer(panel).layer
    if layer is None and content.methods[panel.method].reads_layer:
        raise ReportError(f"expected the layer that {where} was read at, got none; export the report again")
    if not np.isfinite(panel.values).all():
        raise ReportError(f"expected finite numbers in {where}, got larger ones; export the report again")
