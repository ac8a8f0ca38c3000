"""Shows one class at every depth of a model, and why the last depth is usual."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from dashboard import results, session
from dashboard.components.class_box import replace_typed, say_replaced
from dashboard.components.competing_classes import is_pair
from dashboard.components.messages import escape_markdown
from dashboard.components.names import name_markdown
from dashboard.components.request import HELP, class_options, read_targets
from dashboard.components.viewer import view_panels, view_tools
from dashboard.session import Key
from gradcam import Heatmap, Panel, Photo, Progress, Style, Target, Top
from gradcam.draw import Caption
from gradcam.geometry import fit_within, project_to_photo
from gradcam.measures import agreement
from gradcam.text import dimensions, minus_sign, percent, unbroken
from gradcam.types import Fit

IN_A_ROW, LEAST = 6, 9.5
"""Panels of the strip beside each other at most, and the width in rem below which they wrap."""

CLOSE = 0.25
"""A map accounts for a score where its sum is at most this share of the score away from it."""


def pick_class(models: Sequence[str]) -> Target:
    """Let the visitor pick one class."""
    text = st.selectbox(
        "Class",
        class_options(models),
        accept_new_options=True,
        help=HELP,
        on_change=replace_typed,
        args=(Key.CLASS, models),
        **session.linked(Key.CLASS),
    )
    say_replaced(Key.CLASS)
    return next(iter(read_targets([text] if text else [], models)), Top(1))


def run_depths(model: str, photo: Photo, target: Target, fit: Fit) -> tuple[Panel, ...]:
    """Explain at every depth, with a bar if anything is left to compute."""
    slot = st.empty()

    def show(progress: Progress) -> None:
        slot.progress(
            progress.done / progress.total,
            f"Explaining with **{name_markdown(model)}** · depth {progress.done + 1} of {progress.total}",
        )

    with st.spinner(f"Finding the layers of {name_markdown(model)}"):
        results.depths(model)
    panels = results.at_every_depth(model, photo, target, fit=fit, on_progress=show)
    slot.empty()
    return panels


def show_depths(panels: Sequence[Heatmap], style: Style, key: str = "depths") -> Style:
    """Show a slider through the depths of one map, all depths as a strip, and why the last one is usual.

    panels: of one photo, model and class, from early to late, each with an explanation.
    Returns: the style as set in the toolbar.
    """
    base = session.settled_look(style, (key, panels[0].photo.sha256, panels[0].model))
    chosen = view_tools(panels, base, f"{key}-tools")
    captions = _captions(panels)
    depth = _pick_depth([caption.title for caption in captions])
    large, words = st.columns(2, gap="medium")
    with large:
        view_panels([panels[depth]], base, f"{key}-one", captions=[captions[depth]])
    with words:
        st.markdown(unbroken(_depth_statement(panels, depth)))
        _offer_pin(panels, depth)
        st.header("Why the last one is the usual choice", anchor=False)
        st.markdown(unbroken(why_last_depth(panels)))
        st.caption(
            "Measured on this photo, class and model. *Like the last*: rank correlation with the last map. Heat "
            "adds up to the score where only averaging and one linear layer follow, as in most CNNs, and but for "
            "the negative part, which Grad-CAM cuts off."
        )
    st.header("From early to last", anchor=False)
    view_panels(panels, base, f"{key}-all", captions=captions, columns=min(len(panels), IN_A_ROW), least=LEAST)
    session.keep_look(chosen)
    return chosen


def _pick_depth(names: Sequence[str]) -> int:
    if len(names) == 1:
        return 0
    if st.session_state.get(Key.DEPTH) not in (None, *names):
        del st.session_state[Key.DEPTH]
    name = st.select_slider(
        f"Depth: {len(names)} layers from early to last", names, value=names[-1], **session.linked(Key.DEPTH)
    )
    return names.index(name)


def _captions(panels: Sequence[Heatmap]) -> list[Caption]:
    """Write module and grid above each depth, and its numbers below."""
    agreements = agreement(panels)[-1]
    captions = []
    for panel, alike in zip(panels, agreements, strict=True):
        layer, view = panel.explanation.target_layer, panel.explanation.view
        left, top, right, bottom = view.box
        cell = f"{(right - left) / layer.grid[1]:.0f}×{(bottom - top) / layer.grid[0]:.0f}"
        facts = f"heat in all {_heat(panel):.2f} · like the last {_number(alike)}"
        captions.append(Caption(layer.name, f"{dimensions(*layer.grid)} grid, cells of {cell} px", facts))
    return captions


def _number(value: float) -> str:
    return "–" if np.isnan(value) else minus_sign(f"{value:.2f}")


def _heat(panel: Heatmap) -> float:
    """Return all heat of a map: the sum over its cells, in the units of the score."""
    return float(panel.map.sum())


def _share_on_left(panel: Heatmap) -> float:
    """Return the share of a map's heat that lies on the left half of the photo; NaN without heat."""
    laid = np.nan_to_num(
        project_to_photo(panel.map, panel.explanation.view, fit_within(panel.photo.size, 400, 400))
    )
    return float(laid[:, : laid.shape[1] // 2].sum() / laid.sum()) if laid.sum() > 0 else float("nan")


def _depth_statement(panels: Sequence[Heatmap], depth: int) -> str:
    """Describe the shown depth in words."""
    panel, last = panels[depth], depth == len(panels) - 1
    layer = panel.explanation.target_layer
    what = "the last, the model's own target layer" if last else f"number {depth + 1} of {len(panels)}"
    return (
        f"**{escape_markdown(str(panel.scored))}** has {percent(panel.scored.probability)}, rank "
        f"{panel.scored.rank}, score "
        f"{panel.scored.score:.2f}, at whatever depth it is read. `{layer.name}` is {what}: {layer.channels:,} "
        f"feature maps of {_grid(panel)} cells."
    )


def _offer_pin(panels: Sequence[Heatmap], depth: int) -> None:
    """Offer to draw this model on this layer on every page."""
    model = panels[depth].model
    names = [panel.explanation.target_layer.name for panel in panels]
    here, there = names[depth], session.pinned().get(model)
    if there == here:
        st.success(f"`{here}` is pinned: every page draws this model on it.", icon=":material/keep:")
    elif there is None and depth == len(names) - 1:
        st.caption(
            "Every page draws this model on this layer. Move the slider to an earlier one to pin that instead."
        )
    elif depth < len(names) - 1:
        st.button(
            f"Pin {here} for the other pages",
            on_click=session.pin,
            args=(model, here),
            icon=":material/keep:",
            help="Every page then draws this model on this layer, and says so",
        )
    if there is not None:
        st.button(
            f"Unpin {there}: draw on {names[-1]} again",
            on_click=session.unpin,
            args=(model,),
            icon=":material/keep_off:",
        )


def why_last_depth(panels: Sequence[Heatmap]) -> str:
    """Say what speaks for the last depth and what for earlier ones, measured on them, as Markdown."""
    target = panels[-1].scored
    pair, alike = is_pair(panels[0].photo), agreement(panels)[-1]
    columns = {
        "Layer": [f"`{_name(panel)}`" for panel in panels],
        f"Heat, of a score of {target.score:.2f}": [f"{_heat(panel):.2f}" for panel in panels],
        "On the left photo": [_share(_share_on_left(panel)) for panel in panels] if pair else [],
        "Like the last": [*map(_number, alike)],
    }
    told = {name: cells for name, cells in columns.items() if cells}
    rows = [list(told), ["---"] * len(told), *zip(*told.values(), strict=True)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    reasons = [
        _meaning(panels),
        *([_placement(panels)] if pair else []),
        *([_detail(panels, alike[-2])] if len(panels) > 1 else []),
    ]
    return "\n\n".join([table, *reasons])


def _placement(panels: Sequence[Heatmap]) -> str:
    """Say where both classes of a sample of two photos are, and where each of the last depths puts the heat."""
    left, right = panels[0].photo.name.split(" and ")
    last, *before = (f"`{_name(panel)}` puts {_share(_share_on_left(panel))}" for panel in panels[:-3:-1])
    return (
        f"**Place.** This sample is two photos, so the heat should be on its own half: {left} left, {right} right. "
        f"{last} on the left one" + "".join(f"; {words}" for words in before) + "."
    )


def _meaning(panels: Sequence[Heatmap]) -> str:
    """Say whether the last map accounts for the class's score."""
    target = panels[-1].scored
    if target.score <= 0:
        return "**Meaning.** The score is not positive: there is little to account for. Ask for another class."
    fits = abs(_heat(panels[-1]) / target.score - 1) <= CLOSE
    return (
        f"**Meaning.** The heat of `{_name(panels[-1])}` adds up to {_heat(panels[-1]):.2f}"
        + (", so the map accounts for the score. " if fits else ". ")
        + "Grad-CAM weighs a feature map with one number for the whole photo: fair for a late feature, which means "
        "the same wherever it fires, as an ear does; too crude for an edge."
    )


def _detail(panels: Sequence[Heatmap], alike: float) -> str:
    """Say how much coarser the last map is, and whether the one before agrees with it. alike: how far they do."""
    last, before = panels[-1], panels[-2]
    return (
        f"**Detail.** Earlier layers are finer: `{_name(before)}` has {_grid(before)} cells, `{_name(last)}` "
        f"{_grid(last)}. That serves where the maps agree; here their rank correlation is "
        f"{_number(alike)}."
    )


def _name(panel: Heatmap) -> str:
    return panel.explanation.target_layer.name


def _share(value: float) -> str:
    return "no heat" if np.isnan(value) else percent(value, 0)


def _grid(panel: Heatmap) -> str:
    return dimensions(*panel.explanation.grid)
