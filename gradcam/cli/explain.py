"""The command `explain`: maps, pictures and a page in a folder."""

from __future__ import annotations

import argparse
import io
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from gradcam.cli import terminal
from gradcam.cli.options import add_comparison_options, read_request
from gradcam.comparison import Comparison
from gradcam.draw import WIDTH, check_width, comparison_html, grid_png, panels_slide, png, three_panels
from gradcam.files import make_folder, refuse_full_folder, write_whole
from gradcam.methods import GRADCAM
from gradcam.text import percent, shorten
from gradcam.types import Failure, Heatmap, Panel, Style

WRITERS = 2
"""Pictures that are drawn and packed side by side."""
TOGETHER = 8
"""Photos that share a forward."""


def add_options(parser: argparse.ArgumentParser) -> None:
    # No --format: the folder always holds the same kinds of files. Only a report keeps a time, what a reviewer
    # says, and what thresholds came to.
    parser.add_argument(
        "--out", required=True, type=terminal.path, metavar="DIR", help="folder for pictures, maps and page"
    )
    parser.add_argument(
        "--panels",
        action="store_true",
        help="also panels.png: photo, heatmap and overlay of every panel in JET at half opacity, for a slide",
    )
    parser.add_argument(
        "--panels-width", default=WIDTH, type=int, metavar="PIXELS", help=f"of panels.png [{WIDTH}]"
    )
    add_comparison_options(parser)


def run(options: argparse.Namespace) -> int:
    """Write maps, pictures and a page, and print a line for each panel; 1 where one failed."""
    refuse_full_folder(options.out, options.force)
    check_width(options.panels_width)
    request = read_request(options)
    comparison = request.compare(TOGETHER)
    for panel in comparison.panels:
        terminal.tell(_sentence(panel))
    if options.panels and comparison.heatmaps:
        make_folder(options.out)
        with write_whole(options.out / "panels.png", force=options.force) as file:
            file.write(panels_slide(comparison.heatmaps, width=options.panels_width).png())
    _write(options.out, comparison, request.style, force=options.force)
    terminal.tell(f"Wrote {options.out / 'comparison.html'}, comparison.png and {len(comparison.heatmaps)} map(s)")
    return terminal.DIFFERENT if comparison.failures else 0


def _sentence(panel: Panel) -> str:
    where = " · ".join([panel.photo.name, panel.model, *_other_method(panel)])
    if isinstance(panel, Failure):
        return f"{where} · FAILED: {panel.reason}"
    layer = panel.explanation.layer
    read = f"layer {layer} · {layer.rule}" if layer else "no layer"
    return f"{where} · {panel.scored} {percent(panel.scored.probability)} · {read}"


def _other_method(panel: Panel) -> list[str]:
    """The method's name, unless it is the usual one."""
    return [] if panel.method == GRADCAM.name else [panel.method]


def _write(folder: Path, comparison: Comparison, style: Style, *, force: bool) -> None:
    """Write pictures and raw maps first, so that a folder with `comparison.html` in it is complete."""
    make_folder(folder)
    numbered = [(n, panel) for n, panel in enumerate(comparison.panels, start=1) if isinstance(panel, Heatmap)]
    jobs = [partial(_write_sheet, folder / "comparison.png", comparison, style, force=force)]
    jobs += [partial(_write_panel, folder / _stem(n, panel), panel, style, force=force) for n, panel in numbered]
    with ThreadPoolExecutor(WRITERS) as pool:
        page = pool.submit(comparison_html, comparison, style)
        for _ in pool.map(lambda job: job(), jobs):  # asking for each result raises what went wrong
            pass
    with write_whole(folder / "comparison.html", force=force) as file:
        file.write(page.result().encode(errors="backslashreplace"))


def _write_sheet(path: Path, comparison: Comparison, style: Style, *, force: bool) -> None:
    with write_whole(path, force=force) as file:
        file.write(grid_png(comparison, style))


def _write_panel(stem: Path, panel: Heatmap, style: Style, *, force: bool) -> None:
    """Write a panel's picture and raw map as `stem` with the suffixes of both."""
    with write_whole(f"{stem}.png", force=force) as file:
        file.write(png(three_panels(panel, style)))
    with write_whole(f"{stem}.npy", force=force) as file:
        file.write(_npy(panel.map))


def _npy(values: np.ndarray) -> bytes:
    """An array as `numpy.load` reads it; NumPy itself does not say what is wrong with a disk that is full."""
    out = io.BytesIO()
    np.save(out, values)
    return out.getvalue()


def _stem(number: int, panel: Heatmap) -> str:
    """A file's name, without suffix, that every disk holds: in ASCII where the machine knows no other letters."""
    words = "-".join([f"{number:03}", panel.photo.name, panel.model, *_other_method(panel), str(panel.scored)])
    only_ascii = sys.getfilesystemencoding() != "utf-8"
    stem = re.sub(r"[^\w.-]+", "-", words, flags=re.ASCII if only_ascii else 0)
    return shorten(stem, 60 if len(stem) < len(stem.encode()) else 180)
