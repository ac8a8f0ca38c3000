"""What a report says, section by section, as tables of words: every format writes these and adds nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from msgspec import UNSET

from gradcam.draw import captions
from gradcam.draw.captions import (
    ONLY_AGAINST,
    SIGNED_LABEL,
    inside_caption,
    opacity_caption,
    scale_label,
)
from gradcam.report.model import (
    UNREADABLE,
    Agreement,
    Answer,
    Content,
    FailureEntry,
    Finding,
    HeatmapEntry,
    PhotoEntry,
    Row,
)
from gradcam.report.statements import (
    FIT_LABELS,
    layer_statement,
    request_text,
    request_title,
)
from gradcam.scaling import FLOOR, NO_EVIDENCE
from gradcam.text import dimensions, listed, minus_sign, percent, shorten

UNKNOWN = "–"
NAME_ROOM = 32
"""Characters of a photo's name in a table with many rows."""
LIKELY = 0.01
"""The least probability of a class that a report would rather begin with than with another."""


@dataclass(frozen=True)
class Plot:
    """A small plot beside a row: an SVG without words, and what it shows in words."""

    svg: str
    alt: str


@dataclass(frozen=True)
class Table:
    """Rows of cells under a head. `marked` rows differ within themselves; `numbers` are right-aligned columns.

    plots: one for each row, in a column of their own at the end, for writers that can show them; or none.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    marked: tuple[int, ...] = ()
    numbers: tuple[int, ...] = ()
    plots: tuple[Plot, ...] = ()


def settings_table(report: Content) -> Table:
    """What was the same for every panel."""
    style = report.style
    rows = (
        ("Photos", {"full": "travel along in full", "small": "travel along scaled down", "none": "left out"}),
        ("Fit", f"{report.fit}: {FIT_LABELS[report.fit]}"),
        ("Target layer", layer_statement(report.models)),
        ("Scale", f"{style.scale}: {scale_label(style.scale, [method.name for method in report.methods])}"),
        ("Colour map", f"{style.colormap}, {opacity_caption(style)}, {style.interpolation}"),
    )
    return Table(("", ""), tuple((name, _at(text, report.embedded)) for name, text in rows))


def photos_table(report: Content) -> Table:
    """A row for each photo; where the object was marked, a column says so."""
    marks = [region_text(photo) for photo in report.photos]
    rows = [
        (str(number), photo.name, _pixels(photo), photo.note.status, *([mark or UNKNOWN] if any(marks) else []))
        for number, (photo, mark) in enumerate(zip(report.photos, marks, strict=True), start=1)
    ]
    head = ("No.", "Photo", "Pixels", "Status", *(["Object marked"] if any(marks) else []))
    return Table(head, tuple(rows), numbers=(0, 2))


def region_text(photo: PhotoEntry) -> str:
    """Where the object was marked: `a box from 10, 20 to 200, 180, 14 % of the photo`; empty where it was not."""
    if photo.region is UNSET:
        return ""
    corners = [f"{x:.0f}, {y:.0f}" for x, y in photo.region]
    shape = (
        f"a box from {corners[0]} to {corners[1]}" if len(corners) == 2 else f"an outline of {len(corners)} corners"
    )
    return f"{shape}, {100 * photo.region_share:.0f} % of the photo"


def _pixels(photo: PhotoEntry) -> str:
    return "could not be opened" if photo.size == UNREADABLE else dimensions(*reversed(photo.size))


def predictions_table(report: Content, photo: int) -> Table:
    """A column for each model that answered, its five most probable classes below one another."""
    columns = [_predictions(report.answer_of(photo, model)) for model in range(len(report.models))]
    marked = (0,) if len({column[0].rpartition(" · ")[0] for column in columns} - {""}) > 1 else ()
    rows = [(str(rank + 1), *(column[rank] for column in columns)) for rank in range(5)]
    return without_empty_columns(Table(("", *report.model_names), tuple(rows), marked))


def without_empty_columns(table: Table) -> Table:
    """The table without the columns of models of which nothing is known, for they failed and are named elsewhere;
    the same table where that is said of all.
    """
    told = [index for index, cells in enumerate(zip(*table.rows, strict=True)) if {*cells} != {UNKNOWN}]
    if len(told) < 2:  # the first column is of headings
        return table
    head, *rows = (tuple(row[index] for index in told) for row in (table.head, *table.rows))
    return replace(table, head=head, rows=tuple(rows))


def agreement_table(report: Content) -> Table:
    """A row for each pair of models, and for each method if there are several: means over every photo and target
    that both answered.
    """
    pairs: dict[tuple[int, tuple[int, int]], list[Agreement]] = {}
    for agreement in report.agreements:
        pairs.setdefault((agreement.method, agreement.models), []).append(agreement)
    rows = [_agreement_row(report, *pair, pairs[pair]) for pair in sorted(pairs)]
    return Table(
        ("Models", "Rank correlation, mean", "IoU of hottest fifths, mean", "Same class explained"),
        tuple(rows),
        numbers=(1, 2, 3),
    )


def _agreement_row(
    report: Content, method: int, models: tuple[int, int], found: Sequence[Agreement]
) -> tuple[str, ...]:
    one, other = (report.model_names[model] for model in models)
    by_method = f" · {report.methods[method].name}" if len(report.methods) > 1 else ""
    same = sum(agreement.same_class for agreement in found)
    return (
        f"{one} and {other}{by_method}",
        _mean([agreement.rank_correlation for agreement in found]),
        _mean([agreement.iou for agreement in found]),
        f"{same} of {len(found)}",
    )


def numbers_table(report: Content) -> Table:
    """A row for each map: every number of it."""
    head = ("Photo", "Model", "Question", "Class", "Probability", "Rank", "Score", "Peak", "Mean", "Cells > 0")
    head += ("Hottest at", *(["Heat inside"] if is_marked(report) else []))
    names = short_photo_names(report)
    rows = tuple(_number_row(report, panel, names[panel.photo]) for panel in report.heatmaps)
    return Table(head, rows, numbers=tuple(range(4, len(head))))


def short_photo_names(report: Content) -> tuple[str, ...]:
    """The photos' names for tables with many rows: without the middle of long ones, unless two would read alike."""
    names = [photo.name for photo in report.photos]
    short = [shorten(name, NAME_ROOM) for name in names]
    return tuple(
        name if short.count(cut) > names.count(name) else cut for name, cut in zip(names, short, strict=True)
    )


def is_marked(report: Content) -> bool:
    """Whether the object was marked on any photo."""
    return any(photo.region is not UNSET for photo in report.photos)


def disagreements_table(report: Content) -> Table:
    """Pairs of models on one photo, method and target, the least agreeing first."""
    names = short_photo_names(report)
    rows = [
        (
            str(number),
            names[agreement.photo],
            request_text(report, agreement),
            " and ".join(report.model_names[model] for model in agreement.models),
            figure(agreement.rank_correlation),
            figure(agreement.iou),
            "yes" if agreement.same_class else "no",
        )
        for number, agreement in enumerate(report.disagreements, start=1)
    ]
    head = ("", "Photo", "Question", "Models", "Rank correlation", "IoU", "Same class")
    return Table(head, tuple(rows), numbers=(0, 4, 5))


def failures_table(report: Content) -> Table:
    """A row for each reason, with the models, the photos and the requests that failed for it."""
    photos: dict[tuple[int, str, str], list[int]] = {}
    for failure in report.failures:
        key = failure.model, failure.reason, request_text(report, failure)
        photos.setdefault(key, []).append(failure.photo)
    requests: dict[tuple[int, str, tuple[int, ...]], list[str]] = {}
    for (model, reason, request), found in photos.items():
        requests.setdefault((model, reason, tuple(found)), []).append(request)
    models: dict[tuple[str, tuple[int, ...], tuple[str, ...]], list[int]] = {}
    for (model, reason, found), requested in requests.items():
        models.setdefault((reason, found, tuple(requested)), []).append(model)
    names, combinations = short_photo_names(report), len(report.methods) * len(report.targets)
    rows = [
        (
            listed([report.model_names[model] for model in failed]),
            _all_or_listed([names[photo] for photo in found], len(report.photos)),
            _all_or_listed(requested, combinations),
            reason,
        )
        for (reason, found, requested), failed in models.items()
    ]
    return Table(("Models", "Photos", "Questions", "Reason"), tuple(rows))


def _all_or_listed(names: Sequence[str], total: int) -> str:
    return f"all {total}" if len(names) == total > 1 else ", ".join(names)


def hashes_table(report: Content) -> Table:
    """SHA-256 of every photo's file, of every model's weights and of every file that somebody brought."""
    photos = tuple(("Photo", photo.name, photo.sha256) for photo in report.photos)
    models = tuple(
        ("Weights", name, model.weights_sha256 or UNKNOWN)
        for name, model in zip(report.model_names, report.models, strict=True)
    )
    files = tuple(("Weight file", model.file.name, model.file.sha256) for model in report.models if model.file)
    return Table(("", "", "SHA-256"), photos + models + files)


def environment_table(report: Content) -> Table:
    found = report.environment
    rows = (
        ("Made (UTC)", report.created),
        ("gradcam", found.gradcam),
        ("Python", found.python),
        ("torch", found.torch),
        ("torchvision", found.torchvision),
        ("timm", found.timm),
        ("NumPy", found.numpy),
        ("OpenCV", found.opencv),
        ("Pillow", found.pillow),
        ("CUDA", found.cuda or "not used"),
        ("System", found.os),
        ("Threads", str(found.threads)),
        ("Seed", listed(sorted({model.origin for model in report.models if model.untrained})) or UNKNOWN),
    )
    return Table(("", ""), rows[:-1] + ((rows[-1],) if any(model.untrained for model in report.models) else ()))


def opening_row(report: Content) -> Row | None:
    """The panels to begin with; None where none holds a map.

    A class that some model finds likely goes before one that none does; then what agrees least, then what is first.
    """
    rows = [row for photo in range(len(report.photos)) for row in report.rows_of(photo) if _heatmaps_of(row)]
    ranks = {_place(one): rank for rank, one in reversed([*enumerate(report.disagreements)])}
    return min(rows, key=lambda row: (not _is_likely(row), ranks.get(_place(row), len(ranks))), default=None)


def opening_title(report: Content, row: Row) -> str:
    """What the panels to begin with are: photo and request, why they do, and whether their class is unlikely."""
    ranked, lead = [_place(one) for one in report.disagreements], ""
    several = len(report.photos) * len(report.methods) * len(report.targets) > 1
    if several and _place(row) in ranked:
        of_what = "" if ranked[0] == _place(row) else " on a likely class"
        lead = f"Where the models agree least{of_what}: "
    doubt = "" if _is_likely(row) else f" · no model gives this class even {percent(LIKELY, 0)}"
    return f"{lead}{report.photos[row.photo].name} · {request_title(report, row)}{doubt}"


def _place(one: Row | Agreement) -> tuple[int, int, int]:
    return one.photo, one.method, one.target


def _heatmaps_of(row: Row) -> list[HeatmapEntry]:
    return [finding for finding in row.findings if isinstance(finding, HeatmapEntry)]


def _is_likely(row: Row) -> bool:
    """Whether some model gives the class of a row at least `LIKELY`; also true of a contrast and of no class."""
    scored = [panel.scored for panel in _heatmaps_of(row)]
    return any(one.against is not None or not one.is_class or one.probability >= LIKELY for one in scored)


@dataclass(frozen=True)
class FailureLine:
    """Panels of one group about which the same is said. labels: what tells each from the others of its group."""

    failures: tuple[FailureEntry, ...]
    labels: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class PanelGroup:
    """Panels that stand beside one another under a title, and below them a line for each reason that others failed
    for. labels: what tells each heatmap from the others.
    """

    title: str
    heatmaps: tuple[HeatmapEntry, ...]
    labels: tuple[str, ...]
    failures: tuple[FailureLine, ...]


def panel_groups(report: Content, photo: int) -> list[PanelGroup]:
    """A photo's panels: a group for each request; of one model all together, for there is one panel a request."""
    rows = list(report.rows_of(photo))
    if len(report.models) == 1 < len(rows):
        return [_group(report, "", [finding for row in rows for finding in row.findings])]
    return [_group(report, request_title(report, row), row.findings) for row in rows]


def _group(report: Content, title: str, findings: Sequence[Finding]) -> PanelGroup:
    """A panel is told by its model, or by its request where no title says it."""

    def labels(some: Sequence[Finding]) -> tuple[str, ...]:
        return tuple(report.model_names[one.model] if title else request_text(report, one) for one in some)

    heatmaps = tuple(finding for finding in findings if isinstance(finding, HeatmapEntry))
    by_reason: dict[str, list[FailureEntry]] = {}
    for finding in findings:
        if isinstance(finding, FailureEntry):
            by_reason.setdefault(finding.reason, []).append(finding)
    by_words: dict[str, list[FailureEntry]] = {}
    for failed in by_reason.values():
        by_words.setdefault(_no_map(report, failed), []).extend(failed)
    lines = (FailureLine(tuple(failed), labels(failed), words) for words, failed in by_words.items())
    return PanelGroup(title, heatmaps, labels(heatmaps), tuple(lines))


def _no_map(report: Content, failures: Sequence[FailureEntry]) -> str:
    """Why there is no map of panels that failed for one reason; in full unless it was said of all their models."""
    is_repeated = all(map(report.reason_said_before, failures))
    return "No map, for the reason given above" if is_repeated else f"No map: {failures[0].reason}"


def panel_key(report: Content, finding: Finding) -> str:
    """The key of a panel in names of files and links: `0-1-0`, its photo, model and target; if there are several
    methods, the method comes before the target."""
    method = (finding.method,) if len(report.methods) > 1 else ()
    return "-".join(map(str, (finding.photo, finding.model, *method, finding.target)))


def panel_title(finding: Finding) -> str:
    """`Egyptian cat · 43.1 %`, or that there is no map."""
    if isinstance(finding, FailureEntry):
        return "No map"
    return f"{finding.scored} · {finding.scored.result}"


def panel_facts(report: Content, panel: HeatmapEntry) -> tuple[str, ...]:
    """The numbers and the layer of a panel, a phrase each."""
    layer, numbers = report.layer_of(panel), panel.numbers
    facts = (
        f"Prediction {panel.scored.rank}, score {_number(panel.scored.score)}"
        if panel.scored.is_class
        else panel.scored.result.capitalize(),
        f"{f'Layer {layer.name}' if layer else 'No layer'}, {dimensions(*panel.grid)} cells",
        f"Peak {_number(numbers.peak)}, mean {_number(numbers.mean)} (raw); "
        f"{percent(numbers.positive, 0)} of cells above\N{NO-BREAK SPACE}0",
    )
    if numbers.inside is UNSET:
        return facts
    inside = inside_caption(numbers.inside, report.photos[panel.photo].region_share)
    return (*facts, inside[:1].upper() + inside[1:])


def bar_numbers(report: Content, panel: HeatmapEntry) -> tuple[str, ...]:
    """What none, half and full colour stand for, in raw units."""
    return captions.bar_numbers(panel.numbers.vmax, report.is_signed(panel))


def scale_line(report: Content, signed: bool) -> str:
    """Whose maximum full colour is, and what red and blue are where maps are drawn around zero."""
    several = len(report.methods) > 1
    of_all = "this method's" if several else "all"
    whose = {
        "each": "this map's own maximum",
        "model": f"the maximum of this model's maps{' by this method' if several else ''}",
        "shared": f"the maximum of {of_all} maps",
    }
    colours = f". {SIGNED_LABEL.removesuffix('.')}" if signed else ""
    return f"Raw units; full colour is {whose[report.style.scale]}{colours}"


def picture_caption(report: Content, panel: HeatmapEntry, kind: str) -> str:
    """Alternative text for one picture of a panel."""
    photo, model = report.photos[panel.photo].name, report.model_names[panel.model]
    by_method = f" by {report.methods[panel.method].name}" if len(report.methods) > 1 else ""
    location = where(report, panel)
    nothing = ONLY_AGAINST if panel.values.min() <= -FLOOR else NO_EVIDENCE
    hottest = f"hottest {location}" if location else nothing
    return f"{kind} of {model}{by_method} for {panel_title(panel)} on {photo}; {hottest}"


def where(report: Content, panel: HeatmapEntry) -> str:
    """The hottest place in words, such as `at the upper left`; empty for a map without positive evidence."""
    if panel.numbers.hottest is None:
        return ""
    height, width = report.photos[panel.photo].size
    across = ("left", "centre", "right")[_third(panel.numbers.hottest[0] / width)]
    down = ("upper", "middle", "lower")[_third(panel.numbers.hottest[1] / height)]
    return "in the centre" if (down, across) == ("middle", "centre") else f"at the {down} {across}"


def figure(value: float | None) -> str:
    """A number from −1 to 1 with two decimals, or a dash for what could not be measured."""
    return UNKNOWN if value is None else minus_sign(f"{value:.2f}")


def _third(share: float) -> int:
    return min(max(int(share * 3), 0), 2)


def _at(text: str | dict[str, str], choice: str) -> str:
    return text if isinstance(text, str) else text[choice]


def _number(value: float) -> str:
    return minus_sign(f"{value:.3g}")


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return figure(float(np.mean(known))) if known else UNKNOWN


def _predictions(answer: Answer | None) -> list[str]:
    found = answer.predictions if answer else ()
    shown = [f"{one.label} · {percent(one.probability)}" for one in found]
    return shown + [UNKNOWN] * (5 - len(shown))


def _number_row(report: Content, panel: HeatmapEntry, photo: str) -> tuple[str, ...]:
    start = photo, report.model_names[panel.model], request_text(report, panel)
    scored, numbers = panel.scored, panel.numbers
    hottest = UNKNOWN if numbers.hottest is None else f"{numbers.hottest[0]:.0f}, {numbers.hottest[1]:.0f}"
    raw = scored.score, numbers.peak, numbers.mean
    measured = (*map(_number, raw), percent(numbers.positive, 0))
    inside = UNKNOWN if numbers.inside is UNSET else percent(numbers.inside, 0)
    last = (hottest, inside) if is_marked(report) else (hottest,)
    answer = (percent(scored.probability), str(scored.rank)) if scored.is_class else (UNKNOWN, UNKNOWN)
    return (*start, str(scored), *answer, *measured, *last)
