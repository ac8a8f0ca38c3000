"""Shows one cell of a comparison, large: its picture, all its facts, and its files."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import streamlit as st
from PIL import Image

from dashboard.components.messages import escape_markdown
from gradcam import Heatmap, Panel, Style
from gradcam.draw import draw_panel, heat_caption, model_caption, region_caption, request_caption, scale_caption
from gradcam.methods import GRADCAM
from gradcam.text import dimensions, percent, unbroken
from gradcam.types import ScaledMap

LONG_SIDE = 1200
"""Pixels of the picture, where the photo is smaller."""

_CLASS = "_large_class"


def offer_large(panels: Sequence[Panel], scaled: Mapping[Heatmap, ScaledMap], style: Style, key: str) -> None:
    """Offer to open one model's heatmaps of one photo large, one class at a time."""
    heatmaps = [panel for panel in panels if isinstance(panel, Heatmap)]
    if heatmaps and st.button(
        "Open large",
        key=f"{key}-large",
        icon=":material/open_in_full:",
        help=f"The heatmap of {escape_markdown(model_caption(panels[0]))} with all its facts, to look "
        "at and to download",
    ):
        st.dialog("One heatmap", width="large", icon=":material/open_in_full:")(_show_large)(
            heatmaps, scaled, style
        )


def _show_large(heatmaps: Sequence[Heatmap], scaled: Mapping[Heatmap, ScaledMap], style: Style) -> None:
    panel = heatmaps[_pick_class(heatmaps)]
    heat = scaled[panel]
    st.markdown(f"**{escape_markdown(model_caption(panel))}** · {escape_markdown(str(panel.scored))}")
    method = "" if panel.method == GRADCAM.name else f"-{panel.method}"
    stem = re.sub(r"[^\w.-]+", "-", f"{panel.photo.name}-{panel.model}{method}-{panel.scored}")
    with st.container(horizontal=True):
        for label, suffix, kind, make, words in (
            ("PNG", "png", "image/png", partial(panel_png, panel, style, heat), "This picture"),
            ("Raw map", "npy", "application/octet-stream", partial(panel_npy, panel), "NumPy, float32, raw units"),
            ("Numbers", "json", "application/json", partial(panel_json, panel), "JSON, with the raw map"),
        ):
            st.download_button(
                label, make, f"{stem}.{suffix}", kind, on_click="ignore", icon=":material/download:", help=words
            )
    st.image(panel_png(panel, style, heat), alt=heat_caption(panel, heat))
    st.table({name: unbroken(escape_markdown(words)) for name, words in panel_facts_table(panel, heat).items()})


def _pick_class(panels: Sequence[Heatmap]) -> int:
    """Let the visitor pick one of a model's classes, named by its class and, if that differs, by its question."""
    if len(panels) == 1:
        return 0
    names, by_method = [], len({panel.method for panel in panels}) > 1
    for panel in panels:
        requested, answered = request_caption(panel.target), str(panel.scored)
        name = answered if requested == answered else f"{answered} ({requested})"
        names.append(f"{name} · {panel.method}" if by_method else name)
    if st.session_state.get(_CLASS) not in (None, *names):
        del st.session_state[_CLASS]
    name = st.segmented_control("Class", names, default=names[0], required=True, key=_CLASS)
    return names.index(name or names[0])


def panel_facts_table(panel: Heatmap, heat: ScaledMap) -> dict[str, str]:
    """Collect everything that is known of one heatmap, in words."""
    explanation, target, raw = panel.explanation, panel.scored, panel.map
    layer, view = explanation.layer, explanation.view
    facts = {
        "Model": model_caption(panel),
        "Class": f"{target} (index {target.index})",
        "Probability": f"{percent(target.probability)} ({explanation.activation}), rank {target.rank} of "
        f"{len(explanation.labels):,}",
        "Score": f"{target.score:.4g}, the number whose gradient was taken",
        "Predictions": ", ".join(f"{label} {percent(share)}" for label, share in explanation.top()),
        "Layer": f"{layer.name}, {layer.channels:,} feature maps" if layer else "",
        "Why this layer": layer.rule if layer else "",
        "Grid": f"{dimensions(*explanation.grid)} cells",
        "Heat": f"{scale_caption(heat)}; raw from {raw.min():.3g} to {raw.max():.3g}, in all {raw.sum():.3g}",
        "Heat inside": region_caption(panel),
        "Seen by the model": f"{percent(view.coverage)} of the photo, fit {view.fit}, "
        f"input {dimensions(*reversed(view.input_size))} px",
        "Photo": f"{panel.photo.name}, {dimensions(*reversed(panel.photo.size))} px, SHA-256 {panel.photo.sha256}",
        "Weights": f"SHA-256 {explanation.weights_sha256}" if explanation.weights_sha256 else "",
        "Method": explanation.method,
        "Computed": f"in {explanation.seconds:.2f} s on {explanation.device}, {explanation.dtype}",
    }
    return {name: words for name, words in facts.items() if words}


def panel_png(panel: Heatmap, style: Style, heat: ScaledMap) -> bytes:
    """Draw the heatmap over its photo, enlarged if the photo is small."""
    factor = max(1.0, LONG_SIDE / max(panel.photo.size))
    size = round(panel.photo.size[0] * factor), round(panel.photo.size[1] * factor)
    out = io.BytesIO()
    Image.fromarray(draw_panel(panel, style, heat.vmax or None, size)).save(out, "PNG")
    return out.getvalue()


def panel_npy(panel: Heatmap) -> bytes:
    """Write the raw map `[h, w]` as NumPy does."""
    out = io.BytesIO()
    np.save(out, panel.map, allow_pickle=False)
    return out.getvalue()


def panel_json(panel: Heatmap) -> bytes:
    """Write target, layer, view, raw map and predictions as numbers."""
    explanation, target, raw = panel.explanation, panel.scored, panel.map
    facts: dict[str, Any] = {
        "photo": {"name": panel.photo.name, "sha256": panel.photo.sha256, "size": panel.photo.size},
        "model": str(explanation.model),
        "weights_sha256": explanation.weights_sha256,
        "method": explanation.method,
        "target": asdict(target),
        "activation": explanation.activation,
        "layer": asdict(explanation.layer) if explanation.layer else None,
        "view": asdict(explanation.view),
        "map": raw.tolist(),
        "top": explanation.top(),
    }
    return json.dumps(facts, ensure_ascii=False, indent=1).encode()
