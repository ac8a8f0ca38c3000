"""The ZIP: everything about a review in one file, whose order, times and attributes are fixed."""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Iterator
from datetime import datetime

import numpy as np

from gradcam.report.codec import encode, published_schema
from gradcam.report.formats import csv, html, pdf
from gradcam.report.model import Report
from gradcam.report.pictures import Pictures, png
from gradcam.report.reproduce import command, python_lines, required_files
from gradcam.report.statements import conclusion, extent
from gradcam.report.zip_layout import MANIFEST, manifest, map_file, panel_stem, photo_file
from gradcam.targets import write_target
from gradcam.text import paragraphs

SIDE = 1024
"""The longest side of the heatmaps and overlays in a ZIP, in pixels; the photos keep their own."""

_README = """{title}
{extent}
Verdict: {conclusion}
Made {created} with gradcam {version}.

report.html      the review as a page; opens offline in any browser
report.pdf       the same for paper
report.json      the same for programs: canonical, every other file is made from it
schema.json      the JSON Schema (2020-12) of report.json
metrics.csv      a row a photo × model × class
images/          photo-P.png: the photos' pixels; pP-mM-input.png: what the models were given;
                 pP-mM-{by_method}qQ-heatmap.png and -overlay.png: photo P, model M, {method}question Q
maps/            pP-mM-{by_method}qQ.npy: the raw heatmaps, float32, on the layer's own grid (numpy.load)
MANIFEST.sha256  check with: sha256sum -c MANIFEST.sha256

Photos
{photos}

Models
{models}
{methods}
Questions
{questions}

To check the maps with the models at hand:
python -m gradcam replay review.zip

To make this report again, in a folder that holds {needed}:
{command}

Or in Python:
{python}
"""


def render(report: Report) -> bytes:
    """The report as a ZIP whose order, times and attributes are fixed: the same report gives the same bytes."""
    files = dict(_members(report))
    files[MANIFEST] = manifest(files)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(_entry(name, report.created), data)
    return out.getvalue()


def _members(report: Report) -> Iterator[tuple[str, bytes]]:
    yield "report.html", html.render(report)
    yield "report.pdf", pdf.render(report)
    yield "report.json", encode(report)
    yield "schema.json", published_schema()
    yield "metrics.csv", csv.render(report)
    for place, pixels in enumerate(report.pixels):
        if pixels is not None:
            yield photo_file(place), png(pixels)
    pictures = Pictures(report, SIDE)
    given = {(panel.photo, panel.model): pictures.seen(panel) for panel in report.heatmaps}
    for (photo, model), seen in given.items():
        if seen is not None:
            yield f"images/p{photo + 1}-m{model + 1}-input.png", png(seen)
    for panel in report.heatmaps:
        yield f"images/{panel_stem(report, panel)}-heatmap.png", png(pictures.heatmap(panel))
        yield f"images/{panel_stem(report, panel)}-overlay.png", png(pictures.overlay(panel))
    for panel in report.heatmaps:
        out = io.BytesIO()
        np.save(out, panel.values, allow_pickle=False)
        yield map_file(report, panel), out.getvalue()
    yield "README.txt", _readme(report)


def _entry(name: str, created: str) -> zipfile.ZipInfo:
    made = datetime.fromisoformat(created)
    time = (made.year, made.month, made.day, made.hour, made.minute, made.second)
    entry = zipfile.ZipInfo(name, time)
    entry.create_system, entry.external_attr = 3, (stat.S_IFREG | 0o644) << 16
    # What is compressed already is stored: that also keeps every honest entry far below MAX_RATIO.
    entry.compress_type = zipfile.ZIP_STORED if name.endswith((".png", ".pdf")) else zipfile.ZIP_DEFLATED
    return entry


def _readme(report: Report) -> bytes:
    methods = _numbered([method.name for method in report.methods])
    several = len(report.methods) > 1
    text = _README.format(
        by_method="methodN-" if several else "",
        method="method N, " if several else "",
        methods=f"\nMethods\n{methods}\n" if several else "",
        title=report.title,
        extent=extent(report),
        conclusion=conclusion(report.verdict),
        created=report.created,
        version=report.environment.gradcam,
        photos=_numbered([f"{photo.name} (sha256 {photo.sha256})" for photo in report.photos]),
        models=_numbered([model.id for model in report.models]),
        questions=_numbered([write_target(entry.target) for entry in report.targets]),
        needed=required_files(report),
        command=command(report),
        python=python_lines(report),
    )
    return paragraphs(text).encode()


def _numbered(items: list[str]) -> str:
    return "\n".join(f"{place}. {item}" for place, item in enumerate(items, start=1))
