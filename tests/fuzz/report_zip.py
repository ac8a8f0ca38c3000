"""`review.zip`: spoiled members under right hashes, spoiled archives, other names, sizes and photos."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
from functools import cache
from random import Random

from gradcam.report import read_report, render_report
from tests.fuzz import photos, report_json
from tests.fuzz.kind import Kind
from tests.fuzz.mutate import spoil_bytes, spoil_json, to_json

MANIFEST = "MANIFEST.sha256"
NAMES = ("../../evil", "/etc/passwd", "images/photo-99999999.png", "maps/p1-m1-q9.npy", "a" * 60_000, "C:\\x", "")


@cache
def honest() -> bytes:
    return render_report(report_json.honest(), "zip")


@cache
def members() -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(honest())) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def make(random: Random) -> bytes:
    if random.random() < 0.3:
        return spoil_bytes(honest(), random)
    changed = dict(members())
    for _ in range(random.randint(1, 3)):
        _spoil_member(changed, random)
    if random.random() < 0.9:
        changed[MANIFEST] = b"".join(
            f"{hashlib.sha256(data).hexdigest()}  {name}\n".encode("utf-8", "replace")
            for name, data in changed.items()
            if name != MANIFEST
        )
    return packed(changed, random)


def _spoil_member(changed: dict[str, bytes], random: Random) -> None:
    name = random.choice(sorted(changed))
    match random.randrange(7):
        case 0:
            changed["report.json"] = to_json(spoil_json(json.loads(members()["report.json"]), random), random)
        case 1:
            map_name = random.choice([name for name in members() if name.startswith("maps/")])
            changed[map_name] = _array(random)
        case 2:
            changed[f"images/photo-{random.choice((1, 2))}.png"] = photos.make(random)
        case 3:
            changed.pop(name)
        case 4:
            changed[random.choice(NAMES)] = bytes(random.choice((0, 10, 10**6, 10**7)))
        case 5:
            changed[name] = spoil_bytes(changed[name], random)
        case _:
            changed[MANIFEST] = spoil_bytes(members()[MANIFEST], random)


def _array(random: Random) -> bytes:
    """A `.npy` whose header says anything, with hardly any numbers behind it."""
    shape = random.choice(
        ("(2, 2)", "(1, 200000)", "(200000, 200000)", "(-1,)", "()", "(10**9,)", "(2.5, 2)", "'x'")
    )
    dtype = random.choice(
        ("'<f4'", "'<f8'", "'|O'", "'|S2147483647'", "[('a', '<f4')]", "'<M8[ns]'", "None", "1/0")
    )
    header = f"{{'descr': {dtype}, 'fortran_order': {random.choice(('False', 'True', '3'))}, 'shape': {shape}, }}\n"
    version = random.choice((b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x09\x00"))
    length = struct.pack("<H" if version[0] == 1 else "<I", random.choice((len(header), 0, 65_535)))
    return b"\x93NUMPY" + version + length + header.encode() + random.randbytes(random.choice((0, 16, 1000)))


def packed(members: dict[str, bytes], random: Random) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, archive.compression)
    data = out.getvalue()
    return spoil_bytes(data, random, 1) if random.random() < 0.1 else data


def meet(data: bytes) -> None:
    report = read_report(data)
    for format in ("json", "html", "csv"):
        render_report(report, format)


KIND = Kind("report_zip", make, meet, seconds=8, megabytes=600)
