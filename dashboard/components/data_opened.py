"""Shows one photo of a run, large, with the numbers that the run stored, and the way to the next photo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from dashboard import session
from dashboard.components.data_filters import Shown
from dashboard.components.data_gallery import open_photo
from dashboard.components.data_verdicts import TeamReview, offer_discussion, offer_verdict, statuses_of
from dashboard.components.failed import show_failed
from dashboard.components.messages import escape_markdown
from dashboard.components.panels import show_comparison
from dashboard.components.progress import run_comparison
from dashboard.components.request import Request
from dashboard.data_runs import ListedRun, Version
from dashboard.session import DataKey
from gradcam.model_spec import display_name
from gradcam.reviews import Subject
from gradcam.runs import Filter, Run, Unit
from gradcam.text import minus_sign, percent, unbroken


def opened_photo(run: Run) -> int | None:
    """Return the number of the open photo, from a click or the link; None while the gallery is shown."""
    text = st.query_params.get(DataKey.OPENED, "")
    if session.went_back() or DataKey.OPENED not in st.session_state:
        known = text.isascii() and text.isdigit() and len(text) < 10
        st.session_state[DataKey.OPENED] = int(text) if known else None
    photo = st.session_state[DataKey.OPENED]
    if photo is not None and not 0 <= photo < run.plan.photos:
        photo = st.session_state[DataKey.OPENED] = None
    if photo is None:
        st.query_params.pop(DataKey.OPENED, None)
    elif text != str(photo):
        st.query_params[DataKey.OPENED] = str(photo)
    return photo


def show_opened(listed: ListedRun, team: TeamReview, shown: Shown, photo: int) -> None:
    """Show the photo with its heatmaps, and what people say of it."""
    units = list(shown.run.units([photo]))
    _show_way(shown, photo)
    if not units:
        st.info("This photo is not computed yet.", icon=":material/hourglass_empty:")
        return
    subject = Subject("photo", units[0].path)
    status = statuses_of(team).get(subject.name)
    st.header(escape_markdown(subject.name) + (f" · {status}" if status else ""), anchor=False)
    offer_verdict(listed, team, subject)
    _show_numbers(units)
    plan = shown.run.plan
    layers = {model.requested_id: model.layer for model in plan.models if model.layer != "auto"}
    request = Request(tuple(shown.run.targets([units[0].label])), plan.settings.fit, layers, plan.methods)
    models = [model.requested_id for model in plan.models]
    comparison = run_comparison(models, [shown.run.photo(units[0].path)], request)
    mapped = show_failed(comparison)
    if mapped.heatmaps:
        show_comparison(mapped, session.look(), key="opened", titled=False)
    offer_discussion(team, subject)


def _show_way(shown: Shown, photo: int) -> None:
    """Offer to go back to the gallery, and to the photos before and after."""
    order = _order(shown.run.folder, shown.version, shown.by, shown.wanted)
    at = order.index(photo) if photo in order else None
    before = order[at - 1] if at else None
    after = order[at + 1] if at is not None and at + 1 < len(order) else None
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("All photos", on_click=open_photo, args=(None,), icon=":material/grid_view:", shortcut="Esc")
        for label, to, icon, shortcut in (
            ("Previous", before, ":material/arrow_back:", "P"),
            ("Next", after, ":material/arrow_forward:", "N"),
        ):
            st.button(label, on_click=open_photo, args=(to,), disabled=to is None, icon=icon, shortcut=shortcut)
        if at is not None:
            st.caption(f"{at + 1:,} of {len(order):,}", width="content")


@st.cache_data(max_entries=8, show_spinner=False)
def _order(folder: Path, version: Version, by: str, wanted: Filter) -> list[int]:
    """All photos of a ranking, asked once for all visitors. version: of the run."""
    return Run(folder).ranked(by, **wanted)


def _show_numbers(units: Sequence[Unit]) -> None:
    """Show what the run stored of each map."""
    first = units[0]
    known = [f"label **{escape_markdown(first.label)}**"] if first.label else []
    known += [escape_markdown(f"{name} {value}") for name, value in first.columns.items()]
    if known:
        st.caption(" · ".join(known))
    table = {"Model": [_name(unit) for unit in units]}
    if len({unit.method for unit in units}) > 1:
        table["Method"] = [escape_markdown(unit.method) for unit in units]
    table |= {title: [show(unit) for unit in units] for title, show in _NUMBERS.items()}
    filled = {title: [cell or "–" for cell in cells] for title, cells in table.items() if any(cells)}
    st.table(filled)


def _name(unit: Unit) -> str:
    return escape_markdown(display_name(unit.model))


def _share(value: float | None) -> str:
    return "" if value is None else unbroken(percent(value))


_NUMBERS = {
    "Explained": lambda unit: escape_markdown(unit.class_name or unit.reason or ""),
    "Predicted": lambda unit: escape_markdown(unit.predicted or ""),
    "Confidence": lambda unit: _share(unit.predicted_probability),
    "Heat outside the box": lambda unit: _share(unit.outside_box),
    "Heat on the border": lambda unit: _share(unit.on_border),
    "Like its class": lambda unit: "" if unit.likeness is None else minus_sign(f"{unit.likeness:z.2f}"),
}
