"""Opens a report that somebody wrote, checks it, and shows it as it was reviewed."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import streamlit as st

from dashboard.components.findings import show_findings
from dashboard.components.messages import ask_again, escape_markdown, say_error, show_errors
from dashboard.session import Key, ReportKey
from gradcam import GradcamError
from gradcam.report import (
    Report,
    State,
    Verification,
    conclusion,
    extent,
    note_html,
    opening_row,
    opening_title,
    render_report,
    target_title,
    verify_report,
)
from gradcam.text import first_few

HEIGHT = 680
"""Pixels of the preview."""
MOST_MAPS = 4
"""Maps that are shown before the preview is opened."""
LARGE = 100
"""Panels of a report above which its files are rendered again only when that is asked for."""

_PAGE, _REFUSED, _TURN, _CHECKED = "_page", "_refused", "_turn", "_checked"


class HasReport(Protocol):
    """Whatever a report is at hand in, built or opened."""

    @property
    def report(self) -> Report: ...


@dataclass(frozen=True)
class Opened:
    """A report that this visitor opened, and the name of its file.

    verified: what its hashes and signatures say.
    """

    name: str
    data: bytes
    report: Report
    verified: Verification

    @property
    def id(self) -> str:
        """What tells it from other reports in a session."""
        return hashlib.sha256(self.data).hexdigest()[:16]


def open_report(key: ReportKey, label: str) -> Opened | None:
    """Open a report from a file and keep it until another is opened; say in a sentence what is wrong."""
    widget_key = f"{key}-{st.session_state.setdefault(key + _TURN, 0)}"
    opened: Opened | None = st.session_state.get(key)
    with st.container():
        st.file_uploader(
            label,
            key=widget_key,
            on_change=_take,
            args=(key, widget_key),
            help="A ZIP or JSON that was written here or by `python -m gradcam report`. Nothing in it is run or "
            "unpacked; its schema and hashes are checked.",
        )
        if opened:
            st.caption(f"Open: {escape_markdown(opened.name)}")
        if sentence := st.session_state.get(key + _REFUSED):
            say_error(sentence)
        elif opened is None:
            ask_again(st.query_params.get_all(key.in_link)[:1])
    _write_link(key, opened.name if opened else None if sentence else st.query_params.get(key.in_link))
    return opened


def _write_link(key: ReportKey, name: str | None) -> None:
    """Put a report's name into the link, which cannot carry the report."""
    if not name:
        st.query_params.pop(key.in_link, None)
    elif st.query_params.get(key.in_link) != name:
        st.query_params[key.in_link] = name


def _take(key: ReportKey, widget_key: str) -> None:
    """Open the file and keep it; the uploader is emptied, for the page then shows what it took."""
    file = st.session_state[widget_key]
    if file is None:
        return
    st.session_state[key + _TURN] += 1
    st.session_state[key + _REFUSED] = None
    try:
        _keep(key, file.name, file.getvalue())
    except GradcamError as error:
        st.session_state.pop(key, None)
        st.session_state[key + _REFUSED] = f"{file.name}: {error}"


def _keep(key: ReportKey, name: str, data: bytes) -> None:
    """Show this file as the opened one. Raises: ReportError for what is no report."""
    found = verify_report(data, render=False)
    st.session_state[key] = Opened(name, data, found.report, found)


def offer_to_reopen(name: str, data: bytes) -> None:
    """Lead from a ZIP that was just written to where it is checked and signed."""
    st.button(
        "Check or sign the ZIP",
        on_click=_reopen,
        args=(name, data),
        icon=":material/signature:",
        help="Opens it in *Reopen*, as somebody would whom you hand it to",
    )


def _reopen(name: str, data: bytes) -> None:
    _keep(ReportKey.REOPENED, name, data)
    st.session_state[ReportKey.REOPENED + _REFUSED] = None
    st.session_state[Key.TASK] = "Reopen"


def show_report(opened: Opened) -> None:
    """Show what the hashes say, then what was reviewed: verdict, notes, models, questions, and the whole report."""
    _show_seal(opened)
    report = opened.report
    made = report.created.replace("T", " ").replace("Z", " UTC")
    with st.container(border=True):
        st.header(escape_markdown(report.title), anchor=False)
        st.markdown(f"**{escape_markdown(conclusion(report.verdict))}**  \n{extent(report)} · built {made}")
        if report.verdict.summary:
            st.html(note_html(report.verdict.summary))
        if report.verdict.questions:
            st.markdown(
                "Open questions\n" + "\n".join(f"- {escape_markdown(one)}" for one in report.verdict.questions)
            )
        if row := opening_row(report):
            st.caption(escape_markdown(opening_title(report, row)))
            with show_errors():  # a photo that goes along is first opened here
                show_findings(report, row.findings[:MOST_MAPS])
        for photo in report.photos:
            st.markdown(f"**{escape_markdown(photo.name)}** · {photo.note.status}")
            if photo.note.text:
                st.html(note_html(photo.note.text))
        models = ", ".join(escape_markdown(model.id) for model in report.models)
        questions = ", ".join(escape_markdown(target_title(entry.target)) for entry in report.targets)
        st.caption(f"Models: {models}  \nQuestions: {questions}")
    preview(opened, "The whole report, as it reads")


def check_files(opened: Opened) -> None:
    """Render every page and picture in a reopened ZIP again, and say at the top of the page what came of it.

    Called last on a page, so that all else can be read meanwhile. A large report is checked on demand.
    """
    if opened.verified.has_manifest and len(opened.report.findings) <= LARGE and _checked(opened) is None:
        _render_again(opened)


def _checked(opened: Opened) -> Verification | str | None:
    """What rendering all files of this report again came to, or why it cannot be done; None if it was not tried."""
    checked, found = st.session_state.get(_CHECKED, (None, None))
    return found if checked == opened.id else None


def _render_again(opened: Opened) -> None:
    with st.spinner("Rendering every file in the ZIP again"):
        try:
            found = verify_report(opened.data)
        except GradcamError as error:  # a photo in it may be another than it says
            found = str(error)
    st.session_state[_CHECKED] = opened.id, found
    st.rerun()


def _show_seal(opened: Opened) -> None:
    """Say what is known of the file, and no more."""
    rendered = _checked(opened)
    verified = rendered if isinstance(rendered, Verification) else opened.verified
    sentences = [f"**{escape_markdown(opened.name)}**: {escape_markdown(verified.statement)}."]
    say, icon = _tone(verified)
    if isinstance(rendered, str):
        sentences.append(f"What is in it cannot be rendered again: {escape_markdown(rendered)}.")
        say, icon = st.warning, ":material/gpp_maybe:"
    elif rendered and not rendered.changed:
        sentences.append(_rendered(rendered))
    signatures = "".join(f"\n- {escape_markdown(str(one))}" for one in verified.signatures)
    say(" ".join(sentences) + signatures, icon=icon)
    is_large = opened.verified.has_manifest and len(opened.report.findings) > LARGE
    if (
        is_large
        and rendered is None
        and st.button(
            "Check every file in it",
            icon=":material/plagiarism:",
            help="Renders each page and picture in the ZIP again from `report.json` and compares their bytes; "
            "this takes as long as building the report",
        )
    ):
        _render_again(opened)


def _tone(verified: Verification) -> tuple[Callable[..., object], str]:
    if verified.changed or any(one.state is not State.VALID for one in verified.signatures):
        return st.warning, ":material/gpp_maybe:"
    return (st.success, ":material/verified:") if verified.holds else (st.info, ":material/lock_open:")


def _rendered(verified: Verification) -> str:
    """Say what rendering every file again came to, if none was found to be changed."""
    if verified.unknown:
        files = escape_markdown(first_few(list(verified.unknown)))
        return f"Another version of gradcam made {files}; whether they show what report.json says is not known."
    return "Every page and picture in it shows what report.json says."


def preview(holder: HasReport, label: str) -> None:
    """Show the HTML report, made when it is opened, in a frame that reaches neither this page nor other hosts."""
    box = st.expander(label, icon=":material/preview:", on_change="rerun", key=f"{_PAGE}-{label}")
    if box.open:
        with box, st.spinner("Typesetting"):
            try:
                page = _page_of(holder.report)
            except GradcamError as error:
                say_error(str(error))
                return
            frame = f"data:text/html;charset=utf-8;base64,{base64.b64encode(page).decode()}"
            st.iframe(frame, height=HEIGHT, alt=f"The report {holder.report.title}")


def _page_of(report: Report) -> bytes:
    """Return the report's HTML, and keep it for the report that was shown last."""
    shown, page = st.session_state.get(_PAGE, (None, b""))
    if shown is not report:
        page = render_report(report, "html")
        st.session_state[_PAGE] = report, page
    return page
