"""Where the files of a report lie in its ZIP: what the writer and the reader agree on."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gradcam.report.model import Finding

MANIFEST = "MANIFEST.sha256"

LAYOUT = re.compile(
    r"report\.(html|pdf|json)|schema\.json|metrics\.csv|README\.txt|MANIFEST\.sha256"
    r"|images/photo-\d+\.png|images/p\d+-m\d+(-input|-q\d+-(heatmap|overlay))\.png|maps/p\d+-m\d+-q\d+\.npy"
)
"""The names that files in a ZIP can have."""


def photo_file(place: int) -> str:
    """Where in a ZIP the pixels of a photo lie."""
    return f"images/photo-{place + 1}.png"


def map_file(finding: Finding) -> str:
    """Where in a ZIP a raw map lies."""
    return f"maps/{panel_stem(finding)}.npy"


def panel_stem(finding: Finding) -> str:
    """How the names of a panel's files begin."""
    return f"p{finding.photo + 1}-m{finding.model + 1}-q{finding.question + 1}"


def manifest(hashes: Mapping[str, str]) -> bytes:
    """The SHA-256 of each file by its name, as `sha256sum` prints them."""
    return "".join(f"{sha256}  {name}\n" for name, sha256 in hashes.items()).encode()
