"""Where the files of a report lie in its ZIP: what the writer and the reader agree on."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gradcam.report.model import Content, HeatmapEntry

MANIFEST = "MANIFEST.sha256"

LAYOUT = re.compile(
    r"report\.(html|pdf|json|md)|schema\.json|metrics\.csv|README\.txt|MANIFEST\.sha256"
    r"|images/photo-\d+\.png|images/p\d+-m\d+(-input|(-method\d+)?-q\d+-(heatmap|overlay))\.png"
    r"|maps/p\d+-m\d+(-method\d+)?-q\d+\.npy"
    r"|signatures/[1-9]\d{0,3}\.sig"
)
"""The names that files in a ZIP can have."""

SIGNATURES = "signatures/"
"""Where signatures lie, which come after the manifest is written and are not listed in it."""


def signature_file(number: int) -> str:
    """number: from 1."""
    return f"{SIGNATURES}{number}.sig"


def photo_file(index: int) -> str:
    """Where in a ZIP the pixels of a photo lie."""
    return f"images/photo-{index + 1}.png"


def map_file(report: Content, panel: HeatmapEntry) -> str:
    """Where in a ZIP a raw map lies."""
    return f"maps/{panel_stem(report, panel)}.npy"


def panel_stem(report: Content, panel: HeatmapEntry) -> str:
    """How the names of a panel's files begin: `p1-m1-q1`, or `p1-m1-method1-q1` where there are several methods."""
    by_method = f"method{panel.method + 1}-" if len(report.methods) > 1 else ""
    return f"p{panel.photo + 1}-m{panel.model + 1}-{by_method}q{panel.target + 1}"


def manifest(hashes: Mapping[str, str]) -> bytes:
    """The SHA-256 of each file by its name, as `sha256sum` prints them."""
    return "".join(f"{sha256}  {name}\n" for name, sha256 in hashes.items()).encode()
