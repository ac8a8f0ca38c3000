"""Shows the classes that compete for one photo, and what speaks for each."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace

import numpy as np
import streamlit as st

from dashboard import session
from dashboard.components.class_box import replace_typed, say_replaced
from dashboard.components.messages import escape_markdown
from dashboard.components.panel_dialog import offer_large
from dashboard.components.panels import GAP, show_facts
from dashboard.components.request import HELP, class_options, known_classes, read_targets
from dashboard.components.viewer import view_panels, view_tools
from dashboard.session import Key
from gradcam import (
    Comparison,
    Contrast,
    Failure,
    Heatmap,
    Panel,
    Photo,
    Style,
    Target,
    Top,
    parse_target,
    sample_photo,
)
from gradcam.draw import Caption, layer_caption, model_caption, panel_width, request_caption, scale_caption
from gradcam.measures import agreement, iou_of_hottest
from gradcam.photo import SAMPLES
from gradcam.targets import write_target
from gradcam.text import minus_sign, percent
from gradcam.types import ScaledMap

MOST = 6
PREDICTIONS = 5

_A, _B = "_rather_a", "_rather_b"


def is_pair(photo: Photo) -> bool:
    """Return whether a photo is a sample made of two photos."""
    return photo.sha256 in {sample_photo(name).sha256 for name, files in SAMPLES.items() if len(files) == 2}


def default_competing_classes(photos: Sequence[Photo]) -> tuple[Target, ...]:
    """Return what is asked of photos at first: two classes, and what tells them apart."""
    pair = bool(photos) and all(map(is_pair, photos))
    a, b = ("Egyptian cat", "espresso") if pair else (Top(1), Top(2))
    return a, b, Contrast(a, b)


def pick_competing_classes(models: Sequence[str], photos: Sequence[Photo]) -> tuple[Target, ...]:
    """Let the visitor pick the classes to compare: predictions, classes by name, and *A rather than B*."""
    usual = default_competing_classes(photos)
    known = known_classes(models)
    default = [write_target(target, known) for target in usual]
    session.open_link(Key.COMPETING, default, MOST)
    options = class_options(models, PREDICTIONS)
    typed = st.multiselect(
        "Classes",
        list(dict.fromkeys([*options, *st.session_state[Key.COMPETING]])),
        key=Key.COMPETING,
        persist_state="session",
        max_selections=MOST,
        select_all=False,
        accept_new_options=True,
        placeholder="Type a part of a name",
        help=HELP,
        on_change=replace_typed,
        args=(Key.COMPETING, models),
    )
    say_replaced(Key.COMPETING)
    with st.container(horizontal=True, gap="xsmall"):
        for count in (3, PREDICTIONS):
            top = [write_target(Top(rank + 1), known) for rank in range(count)]
            st.button(f"Top {count}", on_click=_ask, args=(top,), help="Ask for the model's own first predictions")
        with st.popover("A rather than B", help="Ask what speaks for one class and against another"):
            _pick_contrast(options, known)
    session.write_link(Key.COMPETING, default)
    return read_targets(typed, models) or usual


def _pick_contrast(options: Sequence[str], known: frozenset[str]) -> None:
    a = st.selectbox("What speaks for", options, index=0, key=_A)
    b = st.selectbox("rather than for", options, index=1, key=_B)
    text = write_contrast(a, b, known)
    full = len(st.session_state[Key.COMPETING]) == MOST
    st.button("Ask", on_click=_ask_more, args=(text,), disabled=a == b or full)


def write_contrast(a: str, b: str, known: frozenset[str]) -> str:
    """Write *A rather than B* of two options, which may have those words in their own names."""
    of, rather_than = parse_target(a, known), parse_target(b, known)
    assert isinstance(of, int | str | Top)
    assert isinstance(rather_than, int | str | Top)
    return write_target(Contrast(of, rather_than), known)


def _ask(texts: list[str]) -> None:
    st.session_state[Key.COMPETING] = texts


def _ask_more(text: str) -> None:
    _ask(list(dict.fromkeys([*st.session_state[Key.COMPETING], text])))


def show_competing_classes(comparison: Comparison, style: Style, key: str = "rivals") -> Style:
    """Show every photo's classes side by side, each model's facts and who leads; return the toolbar's style."""
    base = session.settled_look(style, (key, [photo.sha256 for photo in comparison.photos]))
    scaled = comparison.scaled(base)
    chosen = view_tools(comparison.heatmaps, base, f"{key}-tools", scaled, markable=True)
    several = len(comparison.models) > 1
    for index, photo in enumerate(comparison.photos):
        st.header(escape_markdown(photo.name), anchor=False)
        panels = [panel for row in comparison.rows() if row.photo is photo for panel in row.panels]
        view_panels(
            panels,
            base,
            f"{key}-{index}",
            scaled=scaled,
            columns=len(comparison.models) if several else min(len(panels), 4),
            captions=[_caption(panel, scaled, several) for panel in panels],
            markable=True,
        )
        with st.grid(len(comparison.models), min_column_width=panel_width(len(comparison.models)), gap=GAP):
            for number, model in enumerate(comparison.models):
                with st.container(gap="xsmall"):
                    classes = comparison.of(photo=photo, model=model)
                    show_facts(_in_one_explanation(classes), comparison_sentence(classes))
                    offer_large(classes, scaled, chosen, f"{key}-{index}-{number}")
    session.keep_look(chosen)
    return chosen


def _caption(panel: Panel, scaled: Mapping[Heatmap, ScaledMap], several: bool) -> Caption:
    """Write the class, its probability and rank, and the layer that it was found in."""
    parts = [model_caption(panel)] if several else []
    if isinstance(panel, Failure):
        return Caption(request_caption(panel.target), " · ".join(parts), "")
    target, shares = panel.scored, panel.explanation.probabilities
    if target.against is None:
        facts = [percent(target.probability), f"rank {target.rank}", minus_sign(f"score {target.score:z.2f}")]
    else:
        facts = [f"{percent(target.probability)} against {percent(float(shares[target.against]))}"]
        facts += [minus_sign(f"scores differ by {target.score:+z.2f}")]
    parts += [part.replace(" ", "\N{NO-BREAK SPACE}") for part in facts]  # a line breaks between them only
    pinned = "pinned layer " if panel.model in session.pinned() else ""
    return Caption(
        str(target), " · ".join(parts), f"{pinned}{layer_caption(panel)} · {scale_caption(scaled[panel])}"
    )


def _in_one_explanation(panels: Sequence[Panel]) -> list[Panel]:
    """Put all targets into each panel's explanation: they may have been asked for one after another."""
    targets = tuple(panel.scored for panel in panels if isinstance(panel, Heatmap))
    return [
        replace(panel, explanation=replace(panel.explanation, targets=targets))
        if isinstance(panel, Heatmap)
        else panel
        for panel in panels
    ]


def comparison_sentence(panels: Sequence[Panel]) -> str:
    """Say which of one model's classes leads, by how much, and whether two are seen in one place."""
    heatmaps = [panel for panel in panels if isinstance(panel, Heatmap)]
    classes = {panel.scored.index: panel for panel in heatmaps if panel.scored.against is None}
    ranked = sorted(classes.values(), key=lambda panel: panel.scored.rank)
    if not ranked:
        return ""
    own = [f"**{escape_markdown(label)}** ({percent(share)})" for label, share in ranked[0].explanation.top(2)]
    if len(ranked) == 1:
        return f"The model's first choice is {own[0]}, its second {own[1]}." if len(own) > 1 else ""
    first, second = ranked[:2]
    text = (
        f"Of the classes asked for, **{escape_markdown(first.scored.label)}** leads "
        f"**{escape_markdown(second.scored.label)}** by "
        f"{first.scored.score - second.scored.score:.2f} in score."
    )
    if first.scored.rank > 1:
        text += f" The model's own first choice is {own[0]}."
    text += _runner_up(first, classes.keys())
    common = agreement([first, second], iou_of_hottest)[0, 1]
    if common >= 0.01:
        text += f" The hottest fifths of their maps overlap by {percent(common, 0)} (intersection over union)."
    elif common >= 0:
        text += " The hottest fifths of their maps do not overlap."
    return text


def _runner_up(leader: Heatmap, requested: Container[int]) -> str:
    """Say which class that nobody asked for comes next, if it comes before some that were asked for."""
    logits = leader.explanation.logits
    best = next((int(index) for index in np.argsort(-logits, kind="stable") if index not in requested), None)
    if best is None or leader.scored.rank > 1:
        return ""
    label, share = leader.explanation.labels[best], float(leader.explanation.probabilities[best])
    behind = leader.scored.score - float(logits[best])
    return f" Of the others, **{escape_markdown(label)}** ({percent(share)}) comes closest, {behind:.2f} behind."
