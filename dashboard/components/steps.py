"""Shows Grad-CAM step by step: words and formulas on one side, the visitor's own numbers on the other."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from streamlit.delta_generator import DeltaGenerator

from dashboard import session
from dashboard.components.downloads import Figure
from dashboard.components.messages import escape_markdown
from dashboard.components.panels import theme
from dashboard.session import Key
from gradcam import Heatmap, Style
from gradcam.draw import (
    CLASSIC,
    COLORMAP_ENDS,
    PLOTLY_CONFIG,
    PictureRow,
    draw_grid,
    draw_panel,
    location_caption,
    picture_slide,
    three_panels,
    weight_bars,
    weights_slide,
)
from gradcam.geometry import fit_within, project_to_photo
from gradcam.methods import GRADCAM
from gradcam.photo import SAMPLES
from gradcam.scaling import is_signed
from gradcam.teaching import LINES, GradcamSteps, to_script
from gradcam.text import minus_sign, percent
from gradcam.types import ScoredTarget

SHOWN = 5
"""Feature maps shown of those with the largest and of those with the smallest weights."""
SMALL, LARGE, SLIDE = 168, 420, 900
"""Pixels of a feature map, of a sum and of a photo for a slide; a page shows them smaller."""
NARROWEST = {SMALL: 84, LARGE: 200}
"""Pixels below which pictures of a strip wrap."""
HOPELESS = 0.1
"""A class is hopeless where the model gives it less than this share of what guessing would."""


@contextmanager
def _step(title: str, words: str, *formulas: str) -> Iterator[DeltaGenerator]:
    """Write words and formulas on the left; what is drawn in the block stands on the right."""
    st.header(title, anchor=False)
    left, right = st.columns([2, 3], gap="large")
    with left:
        st.markdown(words)
        for formula in formulas:
            st.latex(formula)
    with right:
        yield left


def show_question(of: GradcamSteps) -> list[Figure]:
    """Show what the model says of the photo, and the number that is to be explained."""
    explanation = of.explanation
    (target,) = explanation.targets
    photo = explanation.photo
    label, share = explanation.top(1)[0]
    words = (
        f"Of the part of the photo inside the frame the model says **{escape_markdown(label)}**, "
        f"{percent(share)} sure. The "
        f"question: which places speak for **{escape_markdown(str(target))}**? The number to explain is the "
        "score of the "
        "class, before all scores are turned into percentages:"
    )
    name = "y_a - y_b" if target.against is not None else "y"
    with _step("The question", words, f"{name} = {target.score:.2f}") as left:
        with left:
            _show_chance(target, len(explanation.labels))
        bare = Style(opacity=0.0)
        picture = draw_panel(panel_of(of), bare, size=fit_within(photo.size, 460, LARGE))
        st.image(picture, alt=f"{photo.name}, with a frame around what the model saw.")
        large = draw_panel(panel_of(of), bare)
    return [("The question", partial(picture_slide, [PictureRow([large])]))]


def _show_chance(target: ScoredTarget, classes: int) -> None:
    """Show rank and probability of the class, and warn if a heatmap of it says next to nothing."""
    rank = "Rank" if target.against is None else f"**{escape_markdown(target.label)}**: rank"
    share = percent(target.probability)
    st.markdown(f"{rank} **{target.rank:,}** of {classes:,} classes, probability **{share}**")
    if target.probability < HOPELESS / classes:
        st.warning(
            f"The model all but rules this class out: guessing would give it {percent(1 / classes)}. The heatmap "
            "still shows a hottest place, but it is the least unlikely one, not evidence.",
            icon=":material/do_not_disturb_on:",
        )


def show_maps(of: GradcamSteps) -> list[Figure]:
    """Show step 1: the feature maps with the largest and the smallest weights."""
    layer = of.explanation.target_layer
    height, width = layer.grid
    words = (
        f"On its way through the network the photo becomes {of.channels:,} small pictures of {height}×{width} "
        f"cells: the **feature maps** of the layer `{layer.name}`. Each answers to something of its own, such as "
        "an edge, fur or an ear, and lights up where it finds it: cells still lie where they lay in the photo."
    )
    formula = rf"A^k \in \mathbb{{R}}^{{{height} \times {width}}}, \quad k = 1 \dots {of.channels}"
    with _step("1 · Feature maps", words, formula):
        rows = [
            PictureRow(
                [draw_grid(of.activation[k], SMALL, style=_cells()) for k in channels],
                [f"map {k}\nup to {of.activation[k].max():.2g}" for k in channels],
                f"The {len(channels)} with the {kind} weights (step 2)",
            )
            for kind, channels in _extremes(of)
        ]
        figure = _show_rows(rows, "Feature maps")
        silent = of.channels - len(_active_channels(of))
        none, full = COLORMAP_ENDS[session.look().colormap]
        st.caption(
            f"Each on its own scale: {full} is its strongest cell, {none} is none; where a map goes below 0, red "
            f"is above and blue below. {silent:,} of {of.channels:,} maps are silent here: they find nothing in "
            "this photo."
        )
    return [figure]


def show_weights(of: GradcamSteps) -> list[Figure]:
    """Show step 2: the gradients of the same maps, and every channel's weight."""
    words = (
        "How much would the score rise if one cell of one map became a little brighter? That is the **gradient**, "
        "and the network itself can tell it. Its mean over all cells is the **weight** α of the map: above 0 the "
        "map speaks for the class, below 0 against it."
    )
    if _is_flat(of):
        words += (
            "\n\nHere all cells of a map have one gradient, because this network averages every map before it "
            "decides. A weight is then what the last layer multiplies that average by, shared among the cells."
        )
    formula = r"\alpha_k = \frac{1}{Z} \sum_{i,j} \frac{\partial y}{\partial A^k_{ij}}"
    with _step("2 · Gradients and weights", words, formula):
        largest = float(np.abs(of.gradients).max())
        rows = [
            PictureRow(
                [draw_grid(of.gradients[k], SMALL, largest, signed=True) for k in channels],
                [minus_sign(f"map {k}\nα = {of.alpha[k]:+.2g}") for k in channels],
                f"Gradients of the maps with the {kind} weights",
            )
            for kind, channels in _extremes(of)
        ]
        figure = _show_rows(rows, "Gradients")
        st.markdown(f"The weights of all {of.channels:,} maps, sorted")
        st.plotly_chart(
            weight_bars(of.alpha, theme=theme()),
            key="weights",
            config={**PLOTLY_CONFIG, "displayModeBar": False},
            alt=f"Of {of.channels:,} weights {int((of.alpha > 0).sum()):,} are above 0; they go from "
            f"{of.alpha.max():+.2g} to {of.alpha.min():+.2g}.",
        )
    return [figure, ("Weights", partial(weights_slide, of.alpha))]


def show_sum(of: GradcamSteps) -> list[Figure]:
    """Show step 3: the weighted sum growing map by map, before and after ReLU."""
    words = (
        "Every map times its weight, all added up. A cell ends above 0 where more speaks for the class than "
        "against it. **ReLU** cuts off what is below 0, for that belongs to other classes. Add the maps one by "
        "one, those first that move the sum most:"
    )
    with _step("3 · Weighted sum and ReLU", words, r"L = \mathrm{ReLU}\Big(\sum_k \alpha_k A^k\Big)") as left:
        with left:
            count = _pick_count(of)
        grown, whole = of.weighted_sum(count), of.weighted_sum()
        full = float(np.abs(whole).max()) or 1.0
        row = PictureRow(
            [
                draw_grid(grown, LARGE, full, signed=True),
                draw_grid(np.maximum(grown, 0), LARGE, full, _cells(), signed=False),
            ],
            [f"{count:,} of {of.channels:,} maps, before ReLU", "After ReLU"],
        )
        figure = _show_rows([row], "The weighted sum")
        none, most = COLORMAP_ENDS[session.look().colormap]
        reach = minus_sign(f"{grown.min():.2g} to {grown.max():.2g}")
        st.caption(
            f"{_likeness(grown, whole)} Cells go from {reach}; before ReLU red is above and blue below 0, after it "
            f"{most} is {full:.2g} and {none} is 0."
        )
    return [figure]


def show_photo(of: GradcamSteps) -> list[Figure]:
    """Show step 4: the grid back on the photo, as it is and smooth."""
    explanation = of.explanation
    photo = explanation.photo
    height, width = explanation.grid
    words = (
        f"The heatmap has {height}×{width} cells, no more. It is laid over what the model saw of the photo: as it "
        "is, or **smoothly**, each pixel between the middles of the four nearest cells. Smooth is easier on the "
        "eye, but adds no knowledge: edges finer than a cell are not the model's."
    )
    with _step("4 · Back on the photo", words):
        if not explanation.maps[0].max() > 0:
            st.info(
                "Nothing in this photo speaks for the class: the heatmap is empty.", icon=":material/hide_image:"
            )
        size = fit_within(photo.size, SLIDE, SLIDE)
        looks = [replace(session.look(), interpolation=way) for way in ("nearest", "bilinear")]
        row = PictureRow(
            [draw_panel(panel_of(of), look, size=size) for look in looks], ["The grid itself", "Smooth"]
        )
        figure = _show_rows([row], f"The heatmap over {photo.name}, hottest at {_hottest(of)}")
    return [figure]


def show_other_line(of: GradcamSteps) -> list[Figure]:
    """Show another method's line over the same feature maps and gradients, and the map that it makes."""
    words = (
        "Most other methods differ from Grad-CAM in **one line**: what they make of the same feature maps and the "
        "same gradients. Choose another line and see the map change."
    )
    with _step("Another line", words) as left:
        with left:
            names = [method.name for method in LINES]
            chosen = st.selectbox("Method", names, **session.linked(Key.LINE))
            other = LINES[names.index(chosen)] if chosen in names else LINES[0]
            st.markdown(f"[{other.name}]({other.link}), {other.citation}. {other.says} {other.caveats}".strip())
        maps = {GRADCAM.name: of.explanation.maps[0], other.name: of.map_by(other)}
        pictures = [
            draw_grid(heat, LARGE, style=_cells(), signed=is_signed(name, heat)) for name, heat in maps.items()
        ]
        figure = _show_rows([PictureRow(pictures, list(maps))], "The map of another line")
        st.code(inspect.getsource(other.compute), wrap_lines=True)
    return [figure]


def show_classic(of: GradcamSteps) -> list[Figure]:
    """Show photo, heatmap and overlay as one picture, the way that most papers do."""
    photo = of.explanation.photo
    words = (
        "**Photo, heatmap, overlay** beside each other, in JET at half opacity: the picture of most papers and "
        "tutorials, to recognise what you have seen there. JET draws bright edges where the heat has none, and "
        "veils the photo where there is no heat; the pictures above do neither."
    )
    with _step("The classic picture", words):
        picture = three_panels(panel_of(of), CLASSIC, size=fit_within(photo.size, LARGE, LARGE))
        st.image(picture, width="stretch", alt=f"{photo.name}, its heatmap in JET, and the one over the other.")
    return []  # `offer_figures` has it, as wide as one likes


def show_code(of: GradcamSteps) -> list[Figure]:
    """Show the same computation as a script."""
    st.header("The same in Python", anchor=False)
    st.markdown("Four steps of plain PyTorch. Copy it and run it: `heat` then holds the numbers above.")
    name = of.explanation.photo.name
    st.code(to_script(of.explanation, f"{'sample_photo' if name in SAMPLES else 'open_photo'}({name!r})"))
    return []


def panel_of(of: GradcamSteps) -> Heatmap:
    """Return the heatmap that the steps lead to."""
    return Heatmap(of.explanation.photo, str(of.explanation.model), of.explanation.method, 0, of.explanation)


def _active_channels(of: GradcamSteps) -> Sequence[int]:
    """Return the channels that are not silent on this photo, from the largest weight to the smallest."""
    return [int(k) for k in of.by_weight if of.activation[k].any()]


def _extremes(of: GradcamSteps) -> list[tuple[str, Sequence[int]]]:
    """Return the active channels with the largest and those with the smallest weights."""
    awake = _active_channels(of)
    few = min(SHOWN, -(-len(awake) // 2))
    return [("largest", awake[:few]), ("smallest", awake[::-1][:few])]


def _cells() -> Style:
    """Draw cells with hard edges, in the colours that the visitor has chosen."""
    return Style(colormap=session.look().colormap, interpolation="nearest")


def _show_rows(rows: Sequence[PictureRow], alt: str) -> Figure:
    """Show rows of pictures as far as there is room; return all of them as one figure."""
    for row in rows:
        if row.title:
            st.markdown(row.title)
        size = LARGE if len(row.pictures) == 2 else SMALL
        with st.grid(max(len(row.pictures), 1), min_column_width=NARROWEST[size], gap="small"):
            for picture, caption in zip(row.pictures, row.captions, strict=True):
                with st.container(gap="xsmall"):
                    st.image(picture, width="stretch", alt=f"{alt}: {caption}.".replace("\n", ", "))
                    st.caption(caption.replace("\n", "  \n"))
    return alt.partition(" over ")[0], partial(picture_slide, rows)


def _is_flat(of: GradcamSteps) -> bool:
    spread = np.ptp(of.gradients, axis=(1, 2))
    return bool((spread <= 1e-3 * np.abs(of.gradients).max()).all())


def _pick_count(of: GradcamSteps) -> int:
    """Let the visitor pick how many maps are added up, all of them at first."""
    if st.session_state.get(Key.STEP, 1) > of.channels:
        st.session_state[Key.STEP] = of.channels
    return st.slider("Maps in the sum", 1, of.channels, of.channels, **session.linked(Key.STEP))


def _likeness(grown: NDArray[np.float32], whole: NDArray[np.float32]) -> str:
    if np.array_equal(grown, whole):
        return "This is the whole sum."
    if not (grown.std() and whole.std()):
        return "There is no pattern to compare yet."
    likeness = np.corrcoef(grown.ravel(), whole.ravel())[0, 1]
    return f"Correlation with the whole sum: {likeness:+.2f}."


def _hottest(of: GradcamSteps) -> str:
    photo = of.explanation.photo
    return location_caption(
        project_to_photo(of.explanation.maps[0], of.explanation.view, fit_within(photo.size, 90, 90))
    )
