"""Modules and public names of gradcam 0.1.0 that have moved: each raises a sentence with its new place."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder

MOVED = {
    "gradcam.compare": "from gradcam import compare, the function",
    "gradcam.dissect": "gradcam.teaching",
    "gradcam.draw.sheet": "gradcam.draw.contact_sheet",
    "gradcam.draw.words": "gradcam.draw.captions",
    "gradcam.explain": "from gradcam import explain, the function",
    "gradcam.heatmaps": "from gradcam import heatmaps, the function",
    "gradcam.layers.joined": "gradcam.layers.merge_layers",
    "gradcam.layers.measure": "gradcam.layers.placement",
    "gradcam.layers.measured": "gradcam.layer_tables",
    "gradcam.layers.reach": "gradcam.layers.target_layer_support",
    "gradcam.layers.table": "gradcam.layer_tables",
    "gradcam.models.checkpoint_options": "gradcam.cli",
    "gradcam.recent": "gradcam.forward_cache",
    "gradcam.recipe": "gradcam.teaching",
    "gradcam.report.CARRIED": "gradcam.report.EMBEDDED",
    "gradcam.report.add_report_commands": "gradcam.cli",
    "gradcam.report.bundle": "gradcam.report",
    "gradcam.report.commands": "gradcam.cli",
    "gradcam.report.diff": "from gradcam import diff, the function",
    "gradcam.report.html": "gradcam.report.formats",
    "gradcam.report.junit": "gradcam.report.render_report",
    "gradcam.report.markdown": "gradcam.report.formats",
    "gradcam.report.packed": "gradcam.report.lazy_sequence",
    "gradcam.report.pdf": "gradcam.report.formats",
    "gradcam.report.read_layer": "gradcam.layers.read_layer",
    "gradcam.report.replay": "from gradcam import replay, the function",
    "gradcam.report.table": "gradcam.report.formats",
    "gradcam.report.text": "gradcam.text",
    "gradcam.report.typesetting": "gradcam.report.formats",
    "gradcam.report.words": "gradcam.report.statements",
    "gradcam.report.write": "gradcam.report",
    "gradcam.terminal": "gradcam.cli",
}
"""A module or public name of 0.1.0 -> what is used in its place."""


def sentence(name: str) -> str:
    """What is said to somebody who asks for a row of `MOVED`."""
    return f"expected a name of this gradcam, got {name!r} of gradcam 0.1.0; use {MOVED[name]}"


def refuse_moved(module: str, name: str) -> None:
    """Raises: AttributeError with the new place, where a module had this name in 0.1.0."""
    if f"{module}.{name}" in MOVED:
        raise AttributeError(sentence(f"{module}.{name}"))


class _Signpost(MetaPathFinder):
    """Finds nothing. Python asks it last, for a module that is nowhere else."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: object = None) -> None:
        """Raises: ImportError with the new place, also for `from gradcam.layers import joined`."""
        if name in MOVED:
            raise ImportError(sentence(name), name=name)


def put_up_signpost() -> None:
    """From here on, importing a row of `MOVED` raises its sentence."""
    if not any(isinstance(finder, _Signpost) for finder in sys.meta_path):
        sys.meta_path.append(_Signpost())
