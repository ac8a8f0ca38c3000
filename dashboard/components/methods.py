"""Lets the visitor pick methods, and shows several of them on one photo, model and class side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from dashboard import results, session
from dashboard.components.messages import escape_markdown, say_error
from dashboard.components.viewer import view_panels, view_tools
from dashboard.session import Key
from gradcam import Heatmap, OptionError, Panel, Style
from gradcam.config import settings
from gradcam.draw import Caption, even_columns
from gradcam.layers import count_layers
from gradcam.measures import rank_correlation
from gradcam.methods import GRADCAM, METHODS, WRAPPERS, Method, check_forwards, find_method
from gradcam.text import listed, minus_sign

BESIDE = ("Grad-CAM", "Grad-CAM++", "HiResCAM", "LayerCAM", "Finer-CAM", "Eigen-CAM")
"""What the page *Methods* shows at first."""

IN_A_ROW = 8
"""Panels beside each other at most; more stand in rows of about the same length."""


def pick_methods(key: Key, default: Sequence[str], models: Sequence[str], classes: int = 1) -> tuple[str, ...]:
    """Let the visitor pick methods; return them in that order, or the default if none is picked.

    A name in wrappers may be typed; a name that is none becomes a sentence on the page. models, classes: those of
    the page and how many are asked for, as forwards are counted.
    """
    papers = (f"[{method.name}]({method.link}): {method.says}" for method in METHODS.values())
    picked = st.multiselect(
        "Methods",
        list(METHODS),
        default=list(default),
        select_all=False,
        accept_new_options=True,
        help="How the heatmaps are made; several are shown below each other. A method in a wrapper is typed: "
        "SmoothGrad(LayerCAM). " + "  \n".join(papers),
        **session.linked(key),
    )
    known = {method.name: method for name in picked if (method := _read(name))}
    found = within_limit(tuple(known.values()), models, classes)
    if waits := long_methods(found):
        st.caption(waits)
    return tuple(method.name for method in found) or tuple(default)


def within_limit(methods: Sequence[Method], models: Sequence[str], classes: int = 1) -> list[Method]:
    """Those methods, from the first on, that a visitor may ask for together, for so many classes at the pinned
    layers of the models; say so of the others on the page."""
    found: list[Method] = []
    pins = (layer for model, layer in session.pinned().items() if model in models)
    layers = max(map(count_layers, pins), default=1)
    for method in methods:
        try:
            check_forwards([*found, method], settings().limits.forwards, classes, layers)
        except OptionError as error:
            say_error(str(error))
        else:
            found.append(method)
    return found


def _read(name: str) -> Method | None:
    try:
        return find_method(name)
    except OptionError as error:
        say_error(str(error))
        return None


def pick_wrapper(methods: Sequence[str], models: Sequence[str]) -> tuple[str, ...]:
    """The methods in the wrapper that was picked, if one was; those that it does not fit stay as they are.

    models: those of the page, as forwards are counted.
    """
    at_one_layer = {name: wrapper for name, wrapper in WRAPPERS.items() if not wrapper.fuse}
    wrapper = st.selectbox(
        "All of them in",
        list(at_one_layer),
        index=None,
        placeholder="no wrapper",
        help="A wrapper makes a method from each of these methods.  \n"
        + "  \n".join(f"{name}: {one.says.format(base='the method')}" for name, one in at_one_layer.items()),
        **session.linked(Key.WRAPPER),
    )
    if not wrapper:
        return tuple(methods)
    found, reasons = [], {}
    for name in methods:
        try:
            found.append(find_method(f"{wrapper}({name})").name)
        except OptionError as error:
            found.append(name)
            reasons[name] = escape_markdown(str(error))
    if left := [name for name in reasons if f"{wrapper}(" not in f"{name}("]:  # the others are in it already
        st.caption(
            f"Not in {wrapper}: {escape_markdown(listed(left))}.", help="  \n".join(map(reasons.__getitem__, left))
        )
    return tuple(method.name for method in within_limit([*map(find_method, found)], models))


def long_methods(methods: Sequence[Method]) -> str:
    """What to expect of methods that take long, in a sentence; empty if none does."""
    costs = [f"{method.name} {method.cost.partition(', ')[0]}" for method in methods if method.takes_long]
    if not costs:
        return ""
    each = ", and a layer has hundreds of channels" if any(method.part == "channel" for method in methods) else ""
    return f"This can take minutes: {listed(costs)} of each photo and model{each}. Cancel keeps what is finished."


def show_methods(panels: Sequence[Panel], style: Style, key: str = "methods") -> Style:
    """Show the panels of one photo, model and class by several methods, and what the methods are.

    panels: one of them by Grad-CAM. Returns: the style as set in the toolbar.
    """
    alike = _like_gradcam(panels)
    base = session.settled_look(style, (key, panels[0].photo.sha256, len(panels)))
    heatmaps = [panel for panel in panels if isinstance(panel, Heatmap)]
    chosen = view_tools(heatmaps, base, f"{key}-tools")
    captions = [_caption(panel, number) for panel, number in zip(panels, alike, strict=True)]
    view_panels(panels, base, f"{key}-all", captions=captions, columns=even_columns(len(panels), IN_A_ROW))
    session.keep_look(chosen)
    st.header("What they are", anchor=False)
    with st.grid(3, min_column_width=440, gap="medium"):
        for panel in panels:
            st.markdown(method_text(panel.method))
    st.caption(
        "*Like Grad-CAM*: rank correlation of the two maps on the photo, 1 where they put all pixels in the same "
        "order. Agreement does not make a method right: methods may share an error, and each answers a question of "
        "its own. Forwards are of the photo, backwards of each class; what several methods need is computed once."
    )
    return chosen


def _like_gradcam(panels: Sequence[Panel]) -> list[str]:
    """Return the rank correlation of each panel with Grad-CAM's."""
    position = next(number for number, panel in enumerate(panels) if panel.method == GRADCAM.name)
    numbers = results.agreements(panels, rank_correlation)[position]
    return ["–" if np.isnan(number) else minus_sign(f"{number:.2f}") for number in numbers]


def _caption(panel: Panel, alike: str) -> Caption:
    method = find_method(panel.method)
    facts = [f"like Grad-CAM\N{NO-BREAK SPACE}{alike}"] if method is not GRADCAM else []
    facts += [] if method.class_specific else ["the same for every class"]
    subtitle = str(panel.scored) if isinstance(panel, Heatmap) else "no map"
    return Caption(method.name, subtitle, " · ".join(facts))


def method_text(name: str) -> str:
    """Describe a method in Markdown."""
    method = find_method(name)
    facts = (
        f"**[{method.name}]({method.link})**",
        method.citation,
        method.cost,
        "knows the class" if method.class_specific else "the same for every class",
    )
    text = " ".join(filter(None, (method.says, method.caveats, method.zero)))
    return f"{' · '.join(facts)}  \n{text}"
