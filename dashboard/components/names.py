"""Writes the names of models: an owner's short name or an id, cut in its middle where there is little room."""

from __future__ import annotations

from html import escape

from dashboard.components.messages import escape_markdown
from gradcam.model_spec import display_name

TAIL = 10
"""Letters at the end of a name that are always shown, for they tell models apart."""
UNTRAINED = " (untrained"
"""Where the name of a model with random weights ends, and what is never cut off begins."""


def name_markdown(model: str) -> str:
    """Write what a model is called, in Markdown."""
    return escape_markdown(display_name(model))


def name_html(name: str, tip: str = "") -> str:
    """Write a name in one line with a tooltip, by default the whole name. `style.css` cuts it."""
    stem, bracket, mark = name.partition(UNTRAINED)
    tail = stem[-TAIL:] if len(stem) > 2 * TAIL else ""
    parts = [part for part in (stem[: len(stem) - len(tail)], tail) if part]
    spans = "".join(f"<span>{escape(part)}</span>" for part in parts)
    marked = f" <i>{escape(bracket.strip() + mark)}</i>" if mark else ""
    return f'<span class="model-name" title="{escape(tip or name)}">{spans}{marked}</span>'
