"""Shows a page of a run's photos, small: each photo, the models' maps over it, and what they say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from dashboard import session
from dashboard.components.data_filters import Shown
from dashboard.components.messages import escape_markdown
from dashboard.data_runs import Version
from dashboard.session import DataKey
from gradcam.model_spec import display_name
from gradcam.runs import RANKINGS, Run, Unit, strips
from gradcam.text import count, minus_sign, percent

PER_PAGE = 48
TILE = 120
"""Pixels below which a cell's tiles are not squeezed, times the tiles of a cell."""

_CHOSEN = "_chosen_photos"


def show_gallery(shown: Shown) -> None:
    """Show the current page of photos, each with a button that opens it and a box that chooses it."""
    total = shown.how_many()
    if not total:
        st.info("No photo fits all that is chosen in the sidebar.", icon=":material/filter_alt_off:")
        return
    first = _turn_pages(total)
    photos = shown.ranked(first, PER_PAGE)
    models = [model.id for model in shown.run.plan.models]
    st.caption(
        f"{count(total, 'photo')}; first come those where {RANKINGS[shown.by].says}. Photo, then "
        f"{', '.join(escape_markdown(display_name(model)) for model in models)}."
    )
    pictures = strips_of(shown, photos, models)
    units = _units_of(shown, photos)
    with st.grid(min_column_width=TILE * (len(models) + 1), gap="small"):
        for photo in photos:
            if photo in pictures:
                _show_cell(shown, photo, units[photo], pictures[photo])


def chosen_photos(run: Run) -> list[int]:
    """Return the photos of a run that the visitor has chosen, in the order of choosing."""
    return st.session_state.setdefault(f"{_CHOSEN}-{run.folder}", [])


def forget_chosen(run: Run) -> None:
    """Choose no photo of a run any more, and untick the boxes on the page."""
    for photo in chosen_photos(run):
        if (box := _box_key(run, photo)) in st.session_state:
            st.session_state[box] = False
    chosen_photos(run).clear()


def _box_key(run: Run, photo: int) -> str:
    """Return the key of the box that chooses a photo; another run has another photo of this number."""
    return f"_choose-{photo}-{run.folder}"


def open_photo(photo: int | None) -> None:
    """Open one photo of the gallery; None goes back to all."""
    st.session_state[DataKey.OPENED] = photo


def _turn_pages(total: int) -> int:
    """Let the visitor turn pages; return where the current page begins."""
    pages = -(-total // PER_PAGE)
    if pages < 2:
        return 0
    if st.session_state.get(DataKey.PAGE, 1) > pages:
        st.session_state[DataKey.PAGE] = pages
    return PER_PAGE * (st.pagination(pages, **session.linked(DataKey.PAGE)) - 1)


def strips_of(shown: Shown, photos: Sequence[int], models: Sequence[str]) -> dict[int, bytes]:
    """Draw each finished photo and these models' maps over it side by side, as JPEG. models: ids."""
    return _strips(shown.run.folder, tuple(photos), tuple(models), shown.method, shown.target, shown.version)


@st.cache_data(max_entries=32, show_spinner="Drawing the photos of this page")
def _strips(
    folder: Path, photos: Sequence[int], models: Sequence[str], method: str, target: str, version: Version
) -> dict[int, bytes]:
    """Draw `strips` once for all visitors. version: of the run."""
    return strips(Run(folder), photos, models, method, target)


def _units_of(shown: Shown, photos: Sequence[int]) -> dict[int, list[Unit]]:
    found: dict[int, list[Unit]] = {photo: [] for photo in photos}
    for unit in shown.run.units(photos):
        if (unit.method, unit.target) == (shown.method, shown.target):
            found[unit.photo].append(unit)
    return found


def _show_cell(shown: Shown, photo: int, units: Sequence[Unit], picture: bytes) -> None:
    with st.container(border=True, gap="xsmall"):
        st.image(picture, width="stretch", alt=f"{units[0].path} and the heatmaps of {len(units)} models")
        st.caption(_words(units))
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button(
                "Open",
                key=f"_open-{photo}",
                on_click=open_photo,
                args=(photo,),
                type="tertiary",
                icon=":material/open_in_full:",
                help=f"Open {escape_markdown(units[0].path)}",
            )
            st.checkbox(
                "Choose",
                photo in chosen_photos(shown.run),
                key=_box_key(shown.run, photo),
                on_change=_choose,
                args=(shown.run, photo),
            )


def _choose(run: Run, photo: int) -> None:
    """Choose a photo or not, as its box says."""
    others = [one for one in chosen_photos(run) if one != photo]
    chosen_photos(run)[:] = [*others, photo] if st.session_state[_box_key(run, photo)] else others


def _words(units: Sequence[Unit]) -> str:
    """Write name, label, first predictions and agreement of a photo."""
    first = units[0]
    name = f"**{escape_markdown(first.path.rpartition('/')[2])}**"
    label = f" · {escape_markdown(first.label)}" if first.label else ""
    said = " · ".join(_prediction(unit) for unit in units)
    agreement = "" if first.agreement is None else minus_sign(f" · agreement {first.agreement:.2f}")
    return f"{name}{label}  \n{said}{agreement}"


def _prediction(unit: Unit) -> str:
    if unit.reason is not None or unit.predicted is None:
        return "no map"
    mark = {True: "✓ ", False: "✗ ", None: ""}[unit.right]
    return f"{mark}{escape_markdown(unit.predicted)} {percent(unit.predicted_probability or 0.0)}"
