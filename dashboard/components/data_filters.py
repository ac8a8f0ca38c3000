"""Lets the visitor pick in the sidebar which photos of a run are shown, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Literal

import streamlit as st

from dashboard import session
from dashboard.data_runs import ListedRun, Version
from dashboard.session import DataKey
from gradcam import parse_target
from gradcam.draw import request_caption
from gradcam.model_spec import display_name
from gradcam.runs import LABEL, Filter, Pair, Run

RANKING_TITLES = {
    "disagreement": "Least agreement",
    "same-answer": "Same answer, different reasons",
    "same-place": "Same place, different answers",
    "confident-mistakes": "Wrong and sure of it",
    "doubt": "Least sure",
    "outside-box": "Heat outside the box",
    "border": "Heat on the border",
    "unlike": "Unlike its class",
    "like": "Like its class",
}
"""How the rows of `RANKINGS` read on the page and in the link."""
ALL = "All"
"""What stands for no filter, unless a label or column is called so."""
ANY = "Any two"
_ORDERS = {
    DataKey.MAPS,
    DataKey.RANKING,
    DataKey.PAIR,
    DataKey.LABEL,
    DataKey.PREDICTED,
    DataKey.COLUMN,
    DataKey.VALUE,
    DataKey.VERDICT,
}
"""Choices that may put other photos first."""
_PICKED = {*_ORDERS, DataKey.MEASURE, DataKey.OF_LABEL, DataKey.CANDIDATE}
"""What is picked in boxes that this file draws: Streamlit keeps the link of none of them."""
_DRAWN = "_drawn_choices"
WHOLE = (0, 100)
"""The confidences that a slider begins with, in percent."""


Options = Sequence[str] | Mapping[str, int]
"""What is picked from, perhaps with the number of photos of each."""


@dataclass(frozen=True)
class Shown:
    """Photos of a run in an order.

    version: of the run. by: a row of `RANKINGS`. method, target: of the maps that are shown.
    """

    run: Run
    version: Version
    by: str
    method: str
    target: str
    wanted: Filter = field(default_factory=lambda: Filter())

    @property
    def is_filtered(self) -> bool:
        return any(self.wanted.get(name) for name in ("where", "slices", "confidence", "among"))

    @property
    def models(self) -> list[str]:
        """The ids of the models whose maps are shown: all, or those of the pair whose agreement is asked for."""
        ids = [model.id for model in self.run.plan.models]
        pair = self.wanted.get("pair")
        return [ids[pair.a], ids[pair.b]] if pair else ids

    @property
    def labels(self) -> dict[str, int]:
        """The labels, and how many photos have each."""
        return choices_of(self.run.folder, self.version, "label")

    def how_many(self) -> int:
        return self.run.how_many(self.by, **self.wanted)

    def ranked(self, first: int = 0, most: int | None = None) -> list[int]:
        return self.run.ranked(self.by, first=first, most=most, **self.wanted)


def _pick_maps(run: Run) -> tuple[str, str]:
    """Let the visitor pick method and target of the shown maps, if the run has more than one."""
    plan = run.plan
    names = {
        _map_name(method, target, len(plan.methods)): (method, target)
        for method in plan.methods
        for target in plan.targets
    }
    return names[pick_from("Maps", list(names), DataKey.MAPS)] if len(names) > 1 else next(iter(names.values()))


def _map_name(method: str, target: str, methods: int) -> str:
    asked = "its label" if target == LABEL else request_caption(parse_target(target))
    return f"{method}, {asked}" if methods > 1 else asked[:1].upper() + asked[1:]


def turn_to_first_page(key: DataKey) -> None:
    """Show the first photos, as they are others now; other maps put others first where they are a pair's."""
    if key != DataKey.MAPS or st.session_state.get(DataKey.PAIR) not in (None, ANY):
        st.session_state[DataKey.PAGE] = 1


def pick_shown(listed: ListedRun, among: Callable[[], Filter]) -> Shown:
    """Let the visitor pick maps, ranking and filters. among: asks which verdicts are wanted."""
    run = listed.run
    method, target = _pick_maps(run)
    by = _pick_ranking(run)
    wanted = Filter(
        pair=_pick_pair(run, method, target),
        where=_pick_values(run, listed.version),
        slices=_pick_slice(run, listed.version),
    )
    low, high = st.slider(
        "Confidence",
        WHOLE[0],
        WHOLE[1],
        WHOLE,
        format="%d %%",
        help="Of the model that is least sure of its first prediction.",
        on_change=turn_to_first_page,
        args=(DataKey.CONFIDENCE,),
        **session.linked(DataKey.CONFIDENCE),
    )
    if (low, high) != WHOLE:
        wanted["confidence"] = low / 100, high / 100
    wanted.update(among())
    return Shown(run, listed.version, by, method, target, wanted)


def _pick_ranking(run: Run) -> str:
    """Let the visitor pick a row of `RANKINGS` that can say something of this run."""
    titles = {RANKING_TITLES[name]: name for name in run.rankings()}
    return titles[pick_from("First", list(titles), DataKey.RANKING)] if titles else "doubt"


def _pick_pair(run: Run, method: str, target: str) -> Pair | None:
    names = [display_name(model.id) for model in run.plan.models]
    pairs = {
        f"{names[a]} and {names[b]}": Pair(a, b, method, target) for a, b in combinations(range(len(names)), 2)
    }
    return pairs.get(pick_from("Agreement of", [ANY, *pairs], DataKey.PAIR)) if len(pairs) > 1 else None


def _pick_values(run: Run, version: Version) -> dict[str, str]:
    """Let the visitor pick labels and predictions."""
    found: dict[str, str | None] = {}
    if len(labels := choices_of(run.folder, version, "label")) > 1:
        found["label"] = pick_some("Label", labels, DataKey.LABEL)
    if len(predicted := choices_of(run.folder, version, "predicted")) > 1:
        found["predicted"] = pick_some("Prediction", predicted, DataKey.PREDICTED)
    return {name: value for name, value in found.items() if value is not None}


@st.cache_data(max_entries=64, show_spinner=False)
def choices_of(folder: Path, version: Version, name: Literal["label", "predicted"]) -> dict[str, int]:
    """Count `Run.choices` once for all visitors. version: of the run."""
    return Run(folder).choices(name)


def _pick_slice(run: Run, version: Version) -> dict[str, str]:
    """Let the visitor pick a value of one further column of the manifest."""
    if not (columns := run.slices()):
        return {}
    column = pick_some("Column", columns, DataKey.COLUMN)
    if column is None:
        return {}
    value = pick_some(column, _slice_choices(run.folder, version, column), DataKey.VALUE)
    return {} if value is None else {column: value}


@st.cache_data(max_entries=64, show_spinner=False)
def _slice_choices(folder: Path, version: Version, column: str) -> dict[str, int]:
    """Count `Run.slice_choices` once for all visitors. version: of the run."""
    return Run(folder).slice_choices(column)


def pick_some(label: str, options: Options, key: DataKey) -> str | None:
    """One of some options; None for all of them, which come first, under a name that none of them has."""
    everything = ALL
    while everything in options:
        everything += " of them"
    photos = options if isinstance(options, Mapping) else {}
    found = _pick_name(label, [everything, *options], photos, key)
    return None if found == everything else found


def pick_from(label: str, options: Options, key: DataKey) -> str:
    """Let the visitor pick one option; the first one if the picked one is gone, as with another run."""
    return _pick_name(label, list(options), options if isinstance(options, Mapping) else {}, key)


@contextmanager
def forget_undrawn() -> Iterator[None]:
    """Forget what could be picked in this block and was not drawn, in the link too: there it would say nothing."""
    drawn: set[DataKey] = set()
    st.session_state[_DRAWN] = drawn
    yield
    for key in _PICKED - drawn:
        st.session_state.pop(key, None)
        st.query_params.pop(key, None)


def _pick_name(label: str, names: Sequence[str], photos: Mapping[str, int], key: DataKey) -> str:
    """Let the visitor pick a name. photos: how many a name has, which the page says and the link does not."""
    st.session_state.setdefault(_DRAWN, set()).add(key)
    if session.went_back() or key not in st.session_state:
        st.session_state[key] = st.query_params.get(key)
    if st.session_state[key] not in names:
        st.session_state[key] = names[0]

    def write(name: str) -> str:
        return f"{name} · {photos[name]:,}" if name in photos else name

    turn = partial(turn_to_first_page, key) if key in _ORDERS else None
    found = st.selectbox(label, names, format_func=write, key=key, persist_state="session", on_change=turn)
    found = found or names[0]
    if found == names[0]:
        st.query_params.pop(key, None)
    elif st.query_params.get(key) != found:
        st.query_params[key] = found
    return found
