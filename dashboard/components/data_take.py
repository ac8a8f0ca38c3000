"""Offers what can be taken from a run: tables, pictures, a report, or photos for the page *Compare models*."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

import streamlit as st

from dashboard import library, session, uploads
from dashboard.components.data_filters import Shown
from dashboard.components.data_gallery import chosen_photos, forget_chosen
from dashboard.components.data_shortcuts import noted_of
from dashboard.components.data_verdicts import TeamReview
from dashboard.components.messages import show_errors
from dashboard.components.report_build import size_label
from dashboard.data_runs import ListedRun
from dashboard.session import DataKey, Key
from gradcam.files import temporary_folder
from gradcam.model_spec import display_name
from gradcam.report import FORMATS, first_by, render_report, report_of_run
from gradcam.runs import RANKINGS, Run, export
from gradcam.text import count

MOST_REPORTED, MOST_COMPARED, MOST_DRAWN = 12, 6, 500
"""Photos of one report, of a hand-over to *Compare models*, and of the pictures in one ZIP."""

EXPORTS = {
    "CSV": (".csv", "text/csv", "A row for each map"),
    "Parquet": (".parquet", "application/vnd.apache.parquet", "A row for each map"),
    "Overlays": (".zip", "application/zip", f"Each map over its photo as JPEG, of at most {MOST_DRAWN} photos"),
}
TAKEN = ("zip", "html", "pdf")
"""Formats of a report that are offered."""
_REPORT = "_set_report"


def offer_to_take(listed: ListedRun, team: TeamReview, shown: Shown) -> None:
    """Offer files of the chosen photos, or else of all that fit the filters."""
    chosen = chosen_photos(shown.run)
    what = count(len(chosen), "chosen photo") if chosen else "all photos that fit" if shown.is_filtered else "all"
    with st.container(horizontal=True, vertical_alignment="center", width="content"):
        with st.popover(f"Export {what}", icon=":material/download:"):
            for label, (suffix, kind, words) in EXPORTS.items():
                st.download_button(
                    label,
                    partial(_exported, shown, tuple(chosen), suffix),
                    f"gradcam-run{suffix}",
                    kind,
                    on_click="ignore",
                    icon=":material/download:",
                    help=words,
                )
        with st.popover("Report", icon=":material/draft:"), show_errors():
            _offer_report(listed, team, shown, chosen)
        if chosen:
            if st.button("Open in Compare models", icon=":material/compare:"):
                _open_in_compare_models(shown.run, chosen[:MOST_COMPARED])
            st.button("Choose none", on_click=forget_chosen, args=(shown.run,), type="tertiary")


def _exported(shown: Shown, chosen: Sequence[int], suffix: str) -> bytes:
    """Write a file as `gradcam run export` does, of the chosen photos or else of all that fit."""
    photos = list(chosen) or (shown.ranked() if shown.is_filtered or suffix == ".zip" else None)
    with temporary_folder() as folder:
        photos = photos[:MOST_DRAWN] if suffix == ".zip" and photos else photos
        return export(shown.run, folder / f"run{suffix}", photos=photos).read_bytes()


def _offer_report(listed: ListedRun, team: TeamReview, shown: Shown, chosen: Sequence[int]) -> None:
    """Build a report of the chosen photos, or of the first ones, computed anew; then offer it."""
    photos = list(chosen[:MOST_REPORTED]) or shown.ranked(most=MOST_REPORTED)
    which = "chosen" if chosen else "first"
    st.caption(
        f"What the whole data set came to, with the candidates that people noted, and the {which} "
        f"{count(len(photos), 'photo')} with their heatmaps computed anew."
    )
    how = f"chosen by hand: {len(photos)}" if chosen else _first(shown, len(photos))
    key = (
        shown.run.folder,
        shown.version,
        tuple(photos),
        how,
        session.look(),
        tuple(one.id for one in team.verdicts),
    )
    if st.button("Build the report", icon=":material/draft:", disabled=not photos):
        with st.spinner("Computing the heatmaps"):
            report = report_of_run(
                listed.run,
                photos,
                listed.title,
                chosen=how,
                candidates=noted_of(listed, team.verdicts),
                verdicts=team.verdicts,
                style=session.look(),
                now=datetime.now(UTC),
                use=library.use,
            )
            st.session_state[_REPORT] = key, {name: render_report(report, name) for name in TAKEN}
    built, files = st.session_state.get(_REPORT, (None, {}))
    if built == key:
        for name, data in files.items():
            row = FORMATS[name]
            st.download_button(
                f"{name.upper()} · {size_label(len(data))}",
                data,
                f"review{row.suffix}",
                row.media_type,
                on_click="ignore",
                icon=":material/download:",
                help=row.description,
            )


def _first(shown: Shown, photos: int) -> str:
    """How the first photos of a ranking were chosen, in words."""
    wanted = shown.wanted
    kept = [f"{name} {value}" for name, value in (wanted.get("where") or {}).items()]
    kept += [f"column {name} {value}" for name, value in (wanted.get("slices") or {}).items()]
    if confidence := wanted.get("confidence"):
        low, high = (round(100 * end) for end in confidence)
        kept.append(f"confidence {low} to {high} %")
    if wanted.get("among"):
        kept.append(f"verdict {st.session_state[DataKey.VERDICT]}")
    return first_by(photos, shown.by, kept, of=_whose(shown))


def _whose(shown: Shown) -> str:
    """The two models whose agreement ranks the photos; empty where it is that of any two."""
    pair = shown.wanted.get("pair")
    if not pair or RANKINGS[shown.by].column != "agreement":
        return ""
    models = [display_name(shown.run.plan.models[number].id) for number in (pair.a, pair.b)]
    return f"{' and '.join(models)} by {pair.method}, target {pair.target}"


def _open_in_compare_models(run: Run, photos: Sequence[int]) -> None:
    """Open photos of a run on the page *Compare models*, with the run's models."""
    paths = {unit.photo: unit.path for unit in run.units(photos)}
    found = [uploads.Upload.of(paths[photo].rpartition("/")[2], run.read(paths[photo])) for photo in photos]
    st.session_state[Key.PHOTOS] = list(dict.fromkeys(map(uploads.keep, found)))
    st.session_state[Key.MODELS] = [model.requested_id for model in run.plan.models]
    session.open_page("compare_models")
