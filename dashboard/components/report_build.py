"""Builds a report of what is on the page, frozen with its time, and every format from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

import streamlit as st

from dashboard import library, results
from dashboard.components.messages import escape_markdown
from dashboard.components.report_limits import pick_thresholds, show_failing
from dashboard.components.report_read import offer_to_reopen, preview
from dashboard.components.request import Request
from dashboard.session import Draft, ReportKey, drafted
from gradcam import Comparison, Heatmap, Style, compare
from gradcam.report import (
    EMBEDDED,
    FORMATS,
    TITLE,
    Embedded,
    Note,
    Report,
    Thresholds,
    Verdict,
    build_report,
    command,
    extent,
    render_report,
    required_files,
    revised,
)
from gradcam.targets import write_target

STEM = "review"
EMBEDDED_LABELS: dict[Embedded, str] = {
    "full": "every pixel, so that anybody can replay the report",
    "small": "at most 512 pixels a side; a replay then needs the originals",
    "none": "the heat lies on plain grey",
}
FORMAT_LABELS = {
    "zip": "ZIP",
    "html": "HTML",
    "pdf": "PDF",
    "csv": "CSV",
    "json": "JSON",
    "junit": "JUnit XML",
}


@dataclass(frozen=True)
class Choices:
    """All that decides a report but for its time."""

    comparison: tuple[object, ...]
    style: Style
    verdict: Verdict
    notes: tuple[Note, ...]
    title: str
    embedded: Embedded
    formats: tuple[str, ...]
    thresholds: Thresholds | None


@dataclass(frozen=True)
class Built:
    """A report that was built, what it was built of, and its files by format."""

    choices: Choices
    report: Report
    files: Mapping[str, bytes]


def offer_report(
    comparison: Comparison, request: Request, style: Style, verdict: Verdict, notes: Sequence[Note]
) -> None:
    """Let the visitor choose what goes along, build the report, and take it."""
    title, embedded, formats = _pick_export()
    thresholds = pick_thresholds(comparison.photos) if "junit" in formats else None
    photos = tuple((photo.name, photo.sha256, photo.region) for photo in comparison.photos)
    layers = tuple(results.pinned_of(comparison.models, request.layers).items())
    targets = tuple(map(write_target, comparison.targets))
    what = (photos, comparison.models, comparison.methods, targets, request.fit, layers)
    choices = Choices(what, style, verdict, tuple(notes), title, embedded, formats, thresholds)
    built: Built | None = st.session_state.get(ReportKey.BUILT)
    if st.button("Build the report", icon=":material/draft:", disabled=not formats):
        report = build_report(
            _in_one_forward(comparison, request),
            style=style,
            verdict=verdict,
            notes=notes,
            title=title,
            layer=dict(layers),
            fit=request.fit,
            embedded=embedded,
            now=datetime.now(UTC),
        )
        built = Built(choices, report, _made(report, formats, thresholds))
        st.session_state[ReportKey.BUILT] = built
    if built:
        _show_built(built, is_current=built.choices == choices)


def offer_continued(report: Report, verdict: Verdict, notes: Sequence[Note], id: str) -> None:
    """Offer the same report with another verdict and other notes; its maps, photos and time stay as they are.

    id: what tells the report from others in a session.
    """
    formats = _pick_formats(of=id)
    choices = Choices((id,), report.style, verdict, tuple(notes), report.title, report.embedded, formats, None)
    built: Built | None = st.session_state.get(ReportKey.CONTINUED)
    if st.button("Write it with these words", icon=":material/draft:", disabled=not formats):
        again = revised(report, verdict, notes)
        built = Built(choices, again, _made(again, formats, None))
        st.session_state[ReportKey.CONTINUED] = built
    if built and built.choices.comparison == (id,):
        _show_built(built, is_current=built.choices == choices)


def _pick_export() -> tuple[str, Embedded, tuple[str, ...]]:
    title = st.text_input("Title", TITLE, max_chars=200, **drafted(Draft.TITLE))
    embedded = st.segmented_control(
        "Photos that go along",
        EMBEDDED,
        default="full",
        required=True,
        wrap=True,
        help="; ".join(f"*{name}*: {words}" for name, words in EMBEDDED_LABELS.items())
        + ". Never with EXIF or a place.",
        **drafted(Draft.EMBEDDED),
    )
    formats = _pick_formats()
    kept = cast(Embedded, embedded or "full")
    return (title or "").strip() or TITLE, kept, formats


def _pick_formats(*, of: str = "") -> tuple[str, ...]:
    picked = st.pills(
        "Formats",
        list(FORMATS),
        selection_mode="multi",
        default=["zip", "html", "pdf"],
        format_func=_name,
        help="; ".join(f"*{_name(name)}*: {row.description}" for name, row in FORMATS.items()) + ".",
        **drafted(Draft.FORMATS, of=of),
    )
    return tuple(name for name in FORMATS if name in picked)


def _name(format: str) -> str:
    return FORMAT_LABELS.get(format, format.capitalize())


def _in_one_forward(comparison: Comparison, request: Request) -> Comparison:
    """Return the comparison as the command line computes it: all classes of a photo together.

    Classes that were asked for one after the other may differ from that in the last digit.
    """
    count = len(comparison.targets)
    if all(
        isinstance(panel, Heatmap) and len(panel.explanation.targets) == count and panel.position == index % count
        for index, panel in enumerate(comparison.panels)
    ):
        return comparison
    with st.spinner("Computing all classes together"):
        return compare(
            comparison.models,
            comparison.photos,
            comparison.targets,
            methods=comparison.methods,
            fit=request.fit,
            layer=results.pinned_of(comparison.models, request.layers),
            use=library.use,
            explainer=results.forward_cache().explain_each,
        )


def _made(report: Report, formats: Sequence[str], thresholds: Thresholds | None) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    bar = st.progress(0.0)
    try:
        for index, name in enumerate(formats):
            bar.progress(index / len(formats), f"Writing {_name(name)}")
            files[name] = render_report(report, name, thresholds)
    finally:
        bar.empty()
    return files


def _show_built(built: Built, is_current: bool) -> None:
    report = built.report
    made = report.created.replace("T", " ").replace("Z", " UTC")
    with st.container(border=True):
        st.markdown(f"**{escape_markdown(report.title)}** · built {made}  \n{extent(report)}")
        if not is_current:
            st.warning("You have changed something since; build again to take that in.", icon=":material/update:")
        with st.container(horizontal=True):
            for name, data in built.files.items():
                row = FORMATS[name]
                st.download_button(
                    f"{_name(name)} · {size_label(len(data))}",
                    lambda data=data: data,
                    f"{STEM}{row.suffix}",
                    row.media_type,
                    key=f"_take-{name}",
                    on_click="ignore",
                    icon=":material/download:",
                    help=row.description,
                )
            if archive := built.files.get("zip"):
                offer_to_reopen(f"{STEM}{FORMATS['zip'].suffix}", archive)
        if "junit" in built.files:
            show_failing(report, built.choices.thresholds)
        preview(built, "Preview")
        with st.expander("The command that makes the same file", icon=":material/terminal:"):
            st.caption(
                f"In a folder that holds {escape_markdown(required_files(report))}; samples need no file. The "
                "fixed time makes the "
                "same bytes."
            )
            st.code(command(report, built.choices.thresholds), language="bash", wrap_lines=True)


def size_label(size: int) -> str:
    """`11.4 MB`, `52 kB`."""
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{max(1, round(size / 1e3))} kB"
