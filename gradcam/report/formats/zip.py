"""The ZIP: everything about a review in one file, whose order, times and attributes are fixed."""

from __future__ import annotations

import hashlib
import io
import stat
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import IO, Any, BinaryIO, TypeAlias

import numpy as np

from gradcam.draw.render import png
from gradcam.report.codec import published_schema
from gradcam.report.formats import csv, html, json, markdown, pdf
from gradcam.report.model import Report
from gradcam.report.pictures import Pictures
from gradcam.report.reproduce import command, python_lines, replay_command, required_files
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
report.md        the same for a repository or a wiki, with the pictures of the folder images
report.json      the same for programs: canonical, every other file is made from it
schema.json      the JSON Schema (2020-12) of report.json
metrics.csv      a row a photo × model × {per_method}question: scores before softmax or sigmoid; peak, mean
                 and full_colour in the map's raw units; probabilities and shares from 0 to 1;
                 hottest_x and hottest_y in the photo's pixels from its upper left corner;
                 UTF-8 with a byte order mark, for Excel (Python: encoding="utf-8-sig")
images/          photo-P.png: the photos' pixels; pP-mM-input.png: what the models were given;
                 pP-mM-{by_method}qQ-heatmap.png and -overlay.png: photo P, model M, {method}question Q
maps/            pP-mM-{by_method}qQ.npy: the raw heatmaps, float32, on their own grid (numpy.load)
MANIFEST.sha256  check with: sha256sum -c MANIFEST.sha256
signatures/      who signed, if anybody did; check with: gradcam verify review.zip

Photos
{photos}

Models
{models}
{methods}
Questions
{questions}

To check the maps with the models at hand:
{replay}

To make this report again, in a folder that holds {needed}:
{command}

Or in Python:
{python}
"""


WriteContent: TypeAlias = Callable[[Any], object]
"""Writes the content of one file into the ZIP."""


def write(report: Report, file: BinaryIO) -> None:
    """Write the ZIP file by file, so that only one is in memory beside the PDF. The PDF takes as long as all
    others, so it is typeset in the meantime. The checksums come last.
    """
    hashes: dict[str, str] = {}
    with ThreadPoolExecutor(1) as typesetter, zipfile.ZipFile(file, "w") as archive:
        for name, write_content in _members(report, typesetter.submit(_pdf, report)):
            with archive.open(entry(name, report.created), "w") as member:
                hashing = _HashingFile(member)
                write_content(hashing)
            hashes[name] = hashing.sha256.hexdigest()
        archive.writestr(entry(MANIFEST, report.created), manifest(hashes))


def hashes_of(report: Report) -> dict[str, str]:
    """The SHA-256 of each file but `MANIFEST` that `write` puts into the ZIP; the files are made anew for it."""
    hashes: dict[str, str] = {}
    with ThreadPoolExecutor(1) as typesetter:
        for name, write_content in _members(report, typesetter.submit(_pdf, report)):
            hashing = _HashingFile()
            write_content(hashing)
            hashes[name] = hashing.sha256.hexdigest()
    return hashes


class _HashingFile(io.RawIOBase):
    """A file that hashes what it passes on to another, if there is one."""

    def __init__(self, file: IO[bytes] | None = None) -> None:
        self.sha256 = hashlib.sha256()
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.sha256.update(data)
        return len(data) if self._file is None else self._file.write(data)


def _pdf(report: Report) -> bytes:
    out = io.BytesIO()
    pdf.write(report, out)
    return out.getvalue()


def _members(report: Report, typeset: Future[bytes]) -> Iterator[tuple[str, WriteContent]]:
    """The name of each file, in their order, and what writes its content; the PDF comes last."""
    yield "README.txt", _put(_readme(report))
    yield "report.html", partial(html.write, report)
    yield "report.json", partial(json.write, report)
    yield "schema.json", _put(published_schema())
    yield "metrics.csv", partial(csv.write, report)
    yield "report.md", partial(markdown.write_linked, report)
    for index, pixels in enumerate(report.pixels):
        if pixels is not None:
            yield photo_file(index), _put(png(pixels))
    pictures = Pictures(report, SIDE)
    maps = report.heatmaps
    for (photo, model), panel in {(panel.photo, panel.model): panel for panel in maps}.items():
        if (seen := pictures.seen(panel)) is not None:
            yield f"images/p{photo + 1}-m{model + 1}-input.png", _put(png(seen))
    for panel in maps:
        heatmap, overlay = pictures.heatmap_and_overlay(panel)
        yield f"images/{panel_stem(report, panel)}-heatmap.png", _put(png(heatmap))
        yield f"images/{panel_stem(report, panel)}-overlay.png", _put(png(overlay))
    for panel in maps:
        yield map_file(report, panel), partial(np.save, arr=panel.values, allow_pickle=False)
    yield "report.pdf", _put(typeset.result())


def _put(data: bytes) -> WriteContent:
    return lambda file: file.write(data)


def entry(name: str, created: str) -> zipfile.ZipInfo:
    """The entry of a file in the ZIP. created: the report's time."""
    made = datetime.fromisoformat(created)
    time = (made.year, made.month, made.day, made.hour, made.minute, made.second)
    made_entry = zipfile.ZipInfo(name, time)
    made_entry.create_system, made_entry.external_attr = 3, (stat.S_IFREG | 0o644) << 16
    # What is compressed already is stored: that also keeps every honest entry far below MAX_RATIO.
    made_entry.compress_type = zipfile.ZIP_STORED if name.endswith((".png", ".pdf")) else zipfile.ZIP_DEFLATED
    return made_entry


def _readme(report: Report) -> bytes:
    methods = _numbered([method.name for method in report.methods])
    several = len(report.methods) > 1
    text = _README.format(
        per_method="method × " if several else "",
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
        replay=replay_command(report),
        command=command(report),
        python=python_lines(report),
    )
    return paragraphs(text).encode()


def _numbered(items: list[str]) -> str:
    return "\n".join(f"{index}. {item}" for index, item in enumerate(items, start=1))
