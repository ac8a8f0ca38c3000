"""Shows a page of a run's photos, small: each photo, the models' maps over it, and what they say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import streamlit as st

from dashboard import session
from dashboard.components.data_filters import Shown
from dashboard.components.data_verdicts import TeamReview, statuses_of
from dashboard.components.messages import escape_markdown
from dashboard.components.verdicts import NEXT, PREVIOUS, WORDS
from dashboard.data_runs import Version
from dashboard.session import DataKey
from gradcam.model_spec import display_name
from gradcam.runs import RANKINGS, Run, Unit, strip_columns, strips
from gradcam.text import count, minus_sign, percent, unbroken

PER_PAGE = 48
TILE = 104
"""Pixels below which a cell's tiles are not squeezed, times those that stand beside each other in it."""

_CHOSEN = "_chosen_photos"


def show_gallery(team: TeamReview, shown: Shown) -> None:
    """Show the current page of photos, each with a button that opens it and a box that chooses it."""
    total = shown.how_many()
    if not total:
        st.info("No photo fits all that is chosen in the sidebar.", icon=":material/filter_alt_off:")
        return
    pages = -(-total // PER_PAGE)
    first = _turn_pages(pages)
    photos = shown.ranked(first, PER_PAGE)
    models = shown.models
    names = ", ".join(escape_markdown(display_name(model)) for model in models)
    keys = f" Keys: {PREVIOUS.key} and {NEXT.key} turn the pages." if pages > 1 else ""
    all_maps = " The order is by all maps of a photo, also those that are not shown." if _hides_maps(shown) else ""
    order = f"first come those where {RANKINGS[shown.by].says}.{all_maps}"
    st.caption(f"{count(total, 'photo')}; {order} Photo, then {names}.{keys}")
    pictures = strips_of(shown, photos, models)
    units, statuses = _units_of(shown, photos), statuses_of(team)
    numbers = _numbers(shown, units)
    with st.grid(min_column_width=TILE * strip_columns(len(models)), gap="small"):
        for photo in photos:
            if photo in pictures:
                path = units[photo][0].path
                caption = _cell_caption(units[photo], numbers[photo], statuses.get(path))
                _show_cell(shown, photo, path, caption, pictures[photo])
    if pages > 1:
        _offer_neighbours(pages)


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


def _turn_pages(pages: int) -> int:
    """Let the visitor turn pages; return the position of the first photo of the current page."""
    if pages < 2:
        return 0
    if st.session_state.get(DataKey.PAGE, 1) > pages:
        st.session_state[DataKey.PAGE] = pages
    return PER_PAGE * (st.pagination(pages, **session.linked(DataKey.PAGE)) - 1)


def _offer_neighbours(pages: int) -> None:
    """Offer the pages before and after below the photos, and by key."""
    page = st.session_state[DataKey.PAGE]
    with st.container(horizontal=True, vertical_alignment="center"):
        for word, to in ((PREVIOUS, page - 1), (NEXT, page + 1)):
            st.button(
                word.label,
                key=f"_page-{word.label}",
                icon=word.icon,
                shortcut=word.key,
                on_click=_turn_to,
                args=(to,),
                disabled=not 1 <= to <= pages,
            )
        st.caption(f"Page {page:,} of {pages:,}", width="content")


def _turn_to(page: int) -> None:
    st.session_state[DataKey.PAGE] = page


def strips_of(shown: Shown, photos: Sequence[int], models: Sequence[str]) -> dict[int, bytes]:
    """Draw each finished photo and these models' maps over it, as JPEG. models: ids."""
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
        if (unit.method, unit.target) == (shown.method, shown.target) and unit.model in shown.models:
            found[unit.photo].append(unit)
    return found


def _hides_maps(shown: Shown) -> bool:
    """Whether a ranking goes by maps that the gallery does not show."""
    plan, of_pair = shown.run.plan, shown.wanted.get("pair") is not None
    if of_pair and RANKINGS[shown.by].column == "agreement":
        return False
    return of_pair or len(plan.methods) * len(plan.targets) > 1


def _numbers(shown: Shown, units: Mapping[int, Sequence[Unit]]) -> dict[int, list[str]]:
    """How far the maps of each photo agree, and what it is ranked by, in words: the numbers of the rankings.

    A probability that stands beside a prediction is not said again. units: those shown of each photo.
    """
    found: dict[int, list[str]] = {photo: [] for photo in units}
    for column, by in {RANKINGS[by].column: by for by in ("disagreement", shown.by)}.items():
        for photo, value in shown.run.ranked_by(by, list(units), shown.wanted.get("pair")).items():
            predicted = [unit.predicted_probability for unit in units[photo]] if column in _PROBABILITIES else []
            if value not in predicted:
                found[photo].append(_NUMBERS[column](value))
    return found


def _show_cell(shown: Shown, photo: int, path: str, caption: str, picture: bytes) -> None:
    with st.container(border=True, gap="xsmall", height="stretch"):
        heatmaps = count(len(shown.models), "model")
        st.image(picture, width="stretch", alt=f"{path} and the heatmaps of {heatmaps}")
        st.caption(caption)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button(
                "Open",
                key=f"_open-{photo}",
                on_click=open_photo,
                args=(photo,),
                type="tertiary",
                icon=":material/open_in_full:",
                help=f"Open {escape_markdown(path)}",
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


def _cell_caption(units: Sequence[Unit], numbers: Sequence[str], status: str | None) -> str:
    """Write name, label and first predictions of a photo, what it is ranked by, and what people say of it."""
    first = units[0]
    name = f"**{escape_markdown(first.path.rpartition('/')[2])}**"
    label = f" · {escape_markdown(first.label)}" if first.label else ""
    predicted = list(map(_prediction, units))
    lines = predicted if len(predicted) <= MOST_LINES else [" · ".join(predicted)]
    verdict = f"{WORDS[status].icon if status in WORDS else DISPUTED} {status}" if status else ""
    return unbroken("  \n".join(filter(None, [f"{name}{label}", *lines, " · ".join(numbers), verdict])))


MOST_LINES = 4
"""Models whose predictions have a line each in a cell, so that cells beside each other are equally high."""
DISPUTED = ":material/forum:"
_NUMBERS: dict[str, Callable[[float], str]] = {
    "agreement": lambda value: minus_sign(f"agreement\N{NO-BREAK SPACE}{value:z.2f}"),
    "wrong_confidence": lambda value: f"wrong\N{NO-BREAK SPACE}at\N{NO-BREAK SPACE}{percent(value)}",
    "confidence": lambda value: f"least\N{NO-BREAK SPACE}sure\N{NO-BREAK SPACE}{percent(value)}",
    "outside_box": lambda value: f"{percent(value, 0)} of the heat outside the box",
    "on_border": lambda value: f"{percent(value, 0)} of the heat on the border",
    "likeness": lambda value: minus_sign(f"like its class\N{NO-BREAK SPACE}{value:z.2f}"),
}
"""How a cell writes the number of each column that photos are ranked by."""
_PROBABILITIES = ("wrong_confidence", "confidence")
"""The columns that hold the probability of some model's first prediction."""


ONE_LINE = 20
"""Letters of a class that stay on one line: with its mark and its probability, they fit the narrowest cell."""


def _prediction(unit: Unit) -> str:
    if unit.reason is not None or unit.predicted is None:
        return "no map"
    mark = {True: "✓\N{NO-BREAK SPACE}", False: "✗\N{NO-BREAK SPACE}", None: ""}[unit.right]
    name = escape_markdown(unit.predicted)
    if len(unit.predicted) <= ONE_LINE:
        name = name.replace(" ", "\N{NO-BREAK SPACE}")
    return f"{mark}{name}\N{NO-BREAK SPACE}{percent(unit.predicted_probability or 0.0)}"
