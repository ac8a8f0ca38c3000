"""Typst: a source and its data in, a PDF out.

Typst works with threads, which a forked process does not inherit: a process forked from one that has typeset would
wait for them for ever. Such a process runs this file as a program instead, and reads the PDF from its output.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import typst

FONTS = ("manimgx_fonts", "manimgx_fonts_cjk", "fontpkg_ibm_plex_sans_arabic")
"""The installed packages that carry the fonts: Noto, and an Arabic font whose letters include their dots. Noto
composes letters and dots, and PDF readers copy such dots as letters."""

STANDARD = "ua-1"
"""PDF/UA-1: Typst refuses to write a document that a screen reader could not follow."""


@dataclass(frozen=True)
class Job:
    """What to typeset.

    source: the text of a document, or `root`, a folder that holds it as `report.typ` with all that it reads.
    own_fonts: whether the machine's own fonts may be used beside those that are installed with this package.
    fonts: folders of fonts. made: the document's time. counted: the label of what is counted; such a document has
    the label `<end>` at its end, on its page and its place on it.
    """

    fonts: list[str]
    own_fonts: bool
    source: str = ""
    root: str = ""
    inputs: dict[str, str] = field(default_factory=dict)
    made: str = ""
    counted: str = ""


@dataclass(frozen=True)
class Typeset:
    """The PDF and how many of the counted elements are in it, or Typst's complaint about the source.

    pages: how many there are. filled: where the last one's text ends, from 0 at its top to 1 at its foot.
    """

    pdf: bytes = b""
    count: int = 0
    pages: int = 0
    filled: float = 0.0
    complaint: str = ""


_first: int | None = None
"""The process that typeset first: processes that are forked from it lack its threads."""


def typeset(job: Job) -> Typeset:
    global _first
    _first = _first or os.getpid()
    return _typeset(job) if _first == os.getpid() else _in_another_process(job)


def font_folders() -> list[str]:
    """The fonts that are installed with this package."""
    return [
        *(str(resources.files(package)) for package in FONTS),
        str(resources.files("gradcam") / "data" / "fonts"),
    ]


def _typeset(job: Job) -> Typeset:
    root = Path(job.root) if job.root else None
    source: Any = root / "report.typ" if root else job.source.encode()
    fonts = _fonts(tuple(job.fonts), job.own_fonts)
    try:
        compiler = typst.Compiler(source, root=root, font_paths=fonts, sys_inputs=job.inputs)
        count = len(json.loads(compiler.query(job.counted))) if job.counted else 0
        end = json.loads(compiler.query("<end>"))[0]["value"] if job.counted else {"page": 0, "filled": 0.0}
        made = datetime.fromisoformat(job.made) if job.made else None
        pdf = compiler.compile(format="pdf", pdf_standards=STANDARD, timestamp=made)
    except RuntimeError as error:  # a TypstError, or what its binding raises for some of them
        return Typeset(complaint=error.message if isinstance(error, typst.TypstError) else str(error))
    return Typeset(pdf if isinstance(pdf, bytes) else b"", count, end["page"], end["filled"])


_loading = threading.Lock()


def _fonts(folders: tuple[str, ...], own: bool) -> typst.Fonts:
    with _loading:
        return _read_fonts(folders, own)


@cache
def _read_fonts(folders: tuple[str, ...], own: bool) -> typst.Fonts:
    return typst.Fonts(include_system_fonts=own, font_paths=list(folders))


def _in_another_process(job: Job) -> Typeset:
    request = json.dumps(asdict(job)).encode()
    done = subprocess.run([sys.executable, "-P", __file__], input=request, capture_output=True, check=False)
    if done.returncode:
        return Typeset(complaint=f"its process ended with code {done.returncode}")
    answer = json.loads(done.stdout)
    return Typeset(**answer | {"pdf": base64.b64decode(answer["pdf"])})


def _answer(request: bytes) -> bytes:
    done = _typeset(Job(**json.loads(request)))
    return json.dumps(asdict(done) | {"pdf": base64.b64encode(done.pdf).decode()}).encode()


if __name__ == "__main__":
    sys.stdout.buffer.write(_answer(sys.stdin.buffer.read()))
