"""Lets the visitor search the catalogue of models by words, by source and by where the weights are."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard import library, results, session
from dashboard.components.messages import escape_markdown, show_errors
from dashboard.components.models import MOST
from dashboard.session import Key
from gradcam.model_spec import untrained
from gradcam.models import SOURCES, CatalogueEntry, search_models
from gradcam.text import dimensions

PHONE_ROW = 66
"""Pixels of a row on a phone: Streamlit breaks lines in rows of more than 4rem only, which is 64."""

_TABLE, _LOCATED = "_catalogue-{}", "_located"


def search_catalogue() -> list[CatalogueEntry]:
    """Let the visitor search; return the entries that fit, closest first."""
    known = list(library.catalogue().values())
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input(
            "Search",
            type="search",
            placeholder="Parts of a name, such as resnet 50",
            icon=":material/search:",
            **session.linked(Key.SEARCH),
        )
        sources = st.pills(
            "Source",
            [source for source, row in SOURCES.items() if row.listed],
            selection_mode="multi",
            width="content",
            **session.linked(Key.SOURCES),
        )
        here = st.toggle("On this machine", help="Models that need no download.", **session.linked(Key.AT_HAND))
    found = [
        entry
        for entry in search_models(text or "", known)
        if (not sources or entry.source in sources) and not (here and entry.weights.startswith("download"))
    ]
    st.caption(f"{len(found):,} of {len(known):,} models")
    return found


def pick_entries(entries: Sequence[CatalogueEntry]) -> list[str]:
    """Show the entries as a table; return the ids of the rows that the visitor ticked.

    On a phone the names stay in sight beside the columns that are moved, each in up to three lines.
    """
    if not entries:
        st.info("No model fits. Try fewer words, or another source.", icon=":material/search_off:")
        return []
    rows = [_row(entry) for entry in entries]
    on_phone = "Mobi" in (st.context.headers.get("User-Agent") or "")
    height, width = (PHONE_ROW, 170) if on_phone else (35, "large")  # what is wider than 60 % would not stay
    ticked = st.dataframe(
        {title: [row[title] for row in rows] for title in rows[0]},
        height=min(38 + height * len(rows), 38 + 350),
        row_height=height,
        hide_index=True,
        on_select="rerun",
        selection_mode="multi-row",
        placeholder="–",
        key=_TABLE.format(hash(tuple(entry.id for entry in entries))),  # other rows, other ticks
        column_config={
            "Model": st.column_config.TextColumn(width=width, pinned=on_phone),
            "Parameters": st.column_config.NumberColumn(format="%.1f M", help="Millions of weights"),
            "Input": st.column_config.TextColumn(help="Height × width in pixels"),
            "Weights": st.column_config.TextColumn(help="Whether they are on this machine already"),
            "Download": st.column_config.NumberColumn(format="%.0f MB"),
        },
        alt="The models of the catalogue with source, parameters, input size, label set and weights.",
    )
    return [entries[row].id for row in ticked.selection.rows if row < len(entries)]


def _row(entry: CatalogueEntry) -> dict[str, object]:
    kind, _, size = entry.weights.partition(" ")
    return {
        "Model": entry.id,
        "Parameters": None if entry.parameters is None else entry.parameters / 1e6,
        "Input": dimensions(*entry.input_size),
        "Label set": entry.label_set,
        "Weights": kind,
        "Download": float(size.removesuffix(" MB")) if size else None,
    }


def offer_models(ticked: Sequence[str], chosen: Sequence[str]) -> None:
    """Offer to use the ticked models on every page, and to find target layers: theirs, else the chosen models'."""
    new = [model for model in ticked if model not in chosen]
    room = len(chosen) + max(len(new), len(ticked)) <= MOST
    located: set[str] = st.session_state.setdefault(_LOCATED, set())
    models = ticked or chosen
    with st.container(horizontal=True):
        st.button(
            f"Use {len(new)} on every page" if new else "Use on every page",
            on_click=_choose,
            args=(new,),
            disabled=not new or not room,
            icon=":material/add:",
        )
        st.button(
            f"Find target layers of the {len(models)} {'ticked' if ticked else 'chosen'}",
            on_click=located.update,
            args=(models,),
            disabled=located.issuperset(models),
            icon=":material/center_focus_strong:",
            help="Where the heatmap would lie, and why. Downloads nothing: a model whose weights are not here "
            "is built without them, for its layers do not depend on them.",
        )
        st.button(
            "Use untrained",
            on_click=_choose,
            args=([untrained(model) for model in ticked],),
            disabled=not ticked or not room or any(untrained(model) in chosen for model in ticked),
            icon=":material/casino:",
            help="With random weights, to see what of a heatmap comes from the architecture alone. Nothing is "
            "downloaded, and *untrained* stands wherever such a model is shown.",
        )
    if not room:
        st.caption(f"At most {MOST} at once: take some out in the sidebar.")
    elif not ticked:
        st.caption("Tick models in the table. Those in the sidebar are what every page compares.")
    for model in models:
        if model in located:
            with show_errors():
                _show_layer(model, results.located(model))


def _choose(models: Sequence[str]) -> None:
    st.session_state[Key.MODELS] = [*st.session_state[Key.MODELS], *models]


def _show_layer(model: str, found: results.Located) -> None:
    layer = found.layer
    how = "an untrained build, for want of weights" if found.untrained else "the model itself"
    where = f"`{layer.name}` · {dimensions(*layer.grid)} grid · {layer.channels} channels"
    st.markdown(
        f"**{escape_markdown(model)}** · {where}  "
        f"\n{escape_markdown(layer.rule[:1].upper() + layer.rule[1:])}. Found on {how}."
    )
