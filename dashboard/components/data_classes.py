"""Shows a run class by class: which classes are confused, where each is seen, how models differ in numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from html import escape
from itertools import combinations
from pathlib import Path
from statistics import fmean

import streamlit as st

from dashboard import session
from dashboard.components.data_filters import Shown, pick_from, pick_some
from dashboard.components.messages import escape_markdown
from dashboard.components.names import name_html
from dashboard.components.panels import theme
from dashboard.components.single_choice import pick_one
from dashboard.data_runs import Version
from dashboard.session import DataKey
from gradcam.draw import PLOTLY_CONFIG, draw_map, even_columns, measure_boxes
from gradcam.model_spec import display_name, short_name
from gradcam.runs import MEASURES, Confused, Interval, Run, bootstrap
from gradcam.text import count, minus_sign, percent, unbroken

MOST_CLASSES = 20
"""Labels, and predictions, of a table of what is taken for what; those of most photos."""
MOST_MAPS, SIDE, IN_A_ROW = 12, 224, 6
"""Classes whose mean maps are shown, pixels of one, and the models that a row has room for."""
MOST_PAIRS = 3
"""Pairs of models whose difference is in sight."""

KNOWN_BY = {
    "outside_box": "outside-box",
    "on_border": "border",
    "likeness": "like",
    "predicted_probability": "doubt",
    "positive": "border",
}
"""The ranking that can say something where a measure is known."""


def show_classes(shown: Shown) -> None:
    """Show confusion, mean maps and measures; each part says what it needs if the run lacks it."""
    names = {position: display_name(model.id) for position, model in enumerate(shown.run.plan.models)}
    st.header("What is taken for what", anchor=False)
    _show_confusion(shown, names)
    st.header("Where each class is seen", anchor=False)
    _show_mean_maps(shown, names)
    st.header("How the models differ in numbers", anchor=False)
    _show_measure(shown, names)


# ------------------------------------------------------------------------------- confusion


def _show_confusion(shown: Shown, names: Mapping[int, str]) -> None:
    if not shown.labels:
        st.info(
            "These photos have no labels. Put each class into a folder of its own, or add a column *label* to the "
            "manifest, to see what is taken for what.",
            icon=":material/label:",
        )
        return
    model = pick_one("Model", list(names.values()), DataKey.MODEL)
    found = _confusion(shown.run.folder, shown.version, model, shown.method, shown.target)
    st.html(_confusion_html(found))
    st.caption(
        "How many photos of a label (row) the model predicts as what (column); below, how far the two models that "
        "agree least do agree on them, from −1 to 1. A label that the model predicts by its own name is outlined."
    )
    left = len({row.label for row in found}) - MOST_CLASSES
    if left > 0:
        st.caption(f"Shown: the {MOST_CLASSES} labels of most photos; {count(left, 'more label')} in the exports.")


@st.cache_data(max_entries=32, show_spinner=False)
def _confusion(folder: Path, version: Version, model: int, method: str, target: str) -> list[Confused]:
    """Count `Run.confusion` once for all visitors. version: of the run."""
    return Run(folder).confusion(model, method, target)


def _confusion_html(found: Sequence[Confused]) -> str:
    labels, predictions = _largest(found, "label"), _largest(found, "predicted")
    cells = {(row.label, row.predicted): row for row in found}
    most = max((row.photos for row in found), default=1)
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in predictions)
    body = "".join(
        f'<tr><th scope="row">{escape(label)}</th>'
        + "".join(_cell(cells.get((label, name)), most, label == name) for name in predictions)
        + "</tr>"
        for label in labels
    )
    return (
        '<div class="sideways" tabindex="0"><table class="agreement confusion" '
        f'style="--columns: {len(predictions)}"><caption>Photos by label and first prediction</caption>'
        f'<thead><tr><th scope="col">Label</th>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _largest(found: Sequence[Confused], name: str) -> list[str]:
    totals: dict[str, int] = {}
    for row in found:
        totals[getattr(row, name)] = totals.get(getattr(row, name), 0) + row.photos
    return sorted(sorted(totals, key=lambda one: (-totals[one], one))[:MOST_CLASSES])


def _cell(row: Confused | None, most: int, is_right: bool) -> str:
    if row is None:
        return "<td></td>"
    agreement = "" if row.agreement is None else f"<br><small>{minus_sign(f'{row.agreement:.2f}')}</small>"
    mark = ' class="right"' if is_right else ""
    tint = 0.08 + 0.37 * row.photos / most
    return f'<td{mark} style="background: rgba(58, 123, 240, {tint:.2f})">{row.photos:,}{agreement}</td>'


# ------------------------------------------------------------------------------- mean maps


def _show_mean_maps(shown: Shown, names: Mapping[int, str]) -> None:
    maps = {
        position: {one.class_name: one for one in shown.run.mean_maps(position, shown.method, shown.target)}
        for position in names
    }
    classes = list(dict.fromkeys(name for found in maps.values() for name in found))
    if not classes:
        st.info("Mean heatmaps are worked out when the run has ended.", icon=":material/hourglass_empty:")
        return
    st.caption(
        "The mean of all heatmaps of a class, as the model meets the photo; full colour is each mean's own "
        "maximum. Heat that stays at one place, such as a corner, in every photo of a class is worth a look."
    )
    for name in classes[:MOST_MAPS]:
        photos = max(found[name].photos for found in maps.values() if name in found)
        st.subheader(f"{escape_markdown(name)} · {count(photos, 'photo')}", anchor=False)
        with st.grid(even_columns(len(names), IN_A_ROW), min_column_width=140, gap="small"):
            for position, model in names.items():
                with st.container(gap="xxsmall", height="stretch", vertical_alignment="bottom"):
                    st.html(name_html(short_name(model), model))
                    if one := maps[position].get(name):
                        full = float(one.map.max()) or 1.0
                        picture = draw_map(one.map / full, session.look().colormap, SIDE)
                        st.image(picture, alt=f"Mean heatmap of {model} over {one.photos} photos of {name}")
    if len(classes) > MOST_MAPS:
        st.caption(f"Shown: the {MOST_MAPS} classes of most photos, of {len(classes)}.")
    if len(classes) == 1:
        st.caption("One class has nothing to be compared with; a set of several classes says more.")


# ------------------------------------------------------------------------------- measures


def _show_measure(shown: Shown, names: Mapping[int, str]) -> None:
    rankings = shown.run.rankings()
    known = {title: one for one, title in MEASURES.items() if KNOWN_BY[one] in rankings}
    if not known:
        st.info("No heatmap has been measured yet.", icon=":material/hourglass_empty:")
        return
    with st.container(horizontal=True):
        title = pick_from("Measure", list(known), DataKey.MEASURE)
        label = pick_some("Of label", shown.labels, DataKey.OF_LABEL)
    found = _measured(shown.run.folder, shown.version, known[title], shown.method, shown.target, label)
    by_model = {
        name: [values[position] for values in found.values() if position in values]
        for position, name in names.items()
    }
    by_model = {name: values for name, values in by_model.items() if values}
    means = {name: bootstrap(values) for name, values in by_model.items()}
    if not means:
        st.info("No photo of this label has been measured.", icon=":material/filter_alt_off:")
        return
    figure = measure_boxes(by_model, {name: one[:3] for name, one in means.items()}, title, theme=theme())
    summary = "; ".join(f"{name} {one.mean:.3f}" for name, one in means.items())
    st.plotly_chart(
        figure, key="measure-boxes", config={**PLOTLY_CONFIG, "displayModeBar": False}, alt=f"{title}: {summary}."
    )
    st.caption(
        unbroken(
            "Diamond: the mean, with the interval that holds 95 % of the means of photos drawn anew (bootstrap)."
        )
    )
    _show_pairs(found, names, known[title])
    if "outside_box" not in known.values():
        st.caption("With boxes or masks in the manifest, this page also says which model looks at the object more.")


@st.cache_data(max_entries=32, show_spinner=False)
def _measured(
    folder: Path, version: Version, measure: str, method: str, target: str, label: str | None
) -> dict[int, dict[int, float]]:
    """Read `Run.measured` once for all visitors. version: of the run."""
    return Run(folder).measured(measure, method, target, label)


def _show_pairs(found: Mapping[int, Mapping[int, float]], names: Mapping[int, str], measure: str) -> None:
    """Show how far every two models differ over the photos that both have, with an interval; the greatest first.

    Eight models make 28 pairs: all but the first few are folded away.
    """
    if len(names) < 2:
        st.caption("Run a second model over the set to see on how many photos it looks at the object more.")
        return
    sentences: list[tuple[float, str]] = []
    for a, b in combinations(names, 2):
        both = [(values[a], values[b]) for values in found.values() if a in values and b in values]
        if both:
            apart = abs(fmean(one - other for one, other in both))
            sentences.append((apart, f"- {_pair_sentence(both, names[a], names[b], measure)}"))
    lines = [line for _, line in sorted(sentences, key=lambda one: -one[0])]
    st.markdown("\n".join(lines[:MOST_PAIRS]))
    if others := lines[MOST_PAIRS:]:
        with st.expander(f"{count(len(others), 'other pair')} of models"):
            st.markdown("\n".join(others))


def _pair_sentence(both: Sequence[tuple[float, float]], a: str, b: str, measure: str) -> str:
    a, b = (f"**{escape_markdown(name)}**" for name in (a, b))
    difference = bootstrap([one - other for one, other in both])
    apart = f"{_interval(difference, '{:+.3f}'.format)} over {count(len(both), 'photo')}, photo by photo."
    if measure != "outside_box":
        return f"{a} minus {b}: {apart}"
    more = _interval(bootstrap([float(one < other) for one, other in both]), partial(percent, digits=0))
    return unbroken(
        f"{a} looks at the object more than {b} on {more} of the photos; its share minus the other's: {apart}"
    )


def _interval(found: Interval, write: Callable[[float], str]) -> str:
    return minus_sign(f"{write(found.mean)} ({write(found.low)} to {write(found.high)})")
