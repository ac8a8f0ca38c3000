"""Reports reopened: what is whole comes back the same, what is not is refused in a sentence; replay and diff."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from msgspec import structs

from gradcam._compare import Use, compare
from gradcam.draw.render import png
from gradcam.errors import ReportError, WeightsError
from gradcam.models.classifier import Classifier, load_classifier
from gradcam.photo import sample_photo
from gradcam.report import Note, Report, Verdict, build_report, diff, read_report, render_report, replay, revised
from gradcam.report.limits import MAX_ENTRIES
from gradcam.report.model_tables import models_table
from gradcam.types import Style, Top
from tests import fakes
from tests.report_fakes import HEAT, NOON, comparison, report

pytestmark = pytest.mark.usefixtures("one_thread")

Files = dict[str, bytes]


@pytest.fixture(scope="module")
def bundle() -> bytes:
    return render_report(report(fakes.photo(name="one.jpg"), fakes.photo(30, 30, "two.jpg")), "zip")


# --------------------------------------------------------------------------------------------- reopening


def test_a_zip_reopens_as_the_report_it_was(bundle):
    made = report(fakes.photo(name="one.jpg"), fakes.photo(30, 30, "two.jpg"))
    again = read_report(bundle)
    assert again == made
    for one, other in zip(again.pixels, made.pixels, strict=True):
        assert one is not None
        assert np.array_equal(one, other)


@pytest.mark.parametrize("format", ["html", "pdf", "csv", "markdown", "junit", "json", "zip"])
def test_a_reopened_report_is_written_to_the_same_bytes(bundle, format):
    made = report(fakes.photo(name="one.jpg"), fakes.photo(30, 30, "two.jpg"))
    assert render_report(read_report(bundle), format) == render_report(made, format)


def test_a_json_reopens_without_pixels_and_can_still_be_written(tmp_path):
    path = tmp_path / "report.json"
    path.write_bytes(render_report(report(), "json"))
    again = read_report(path)
    assert again.pixels == (None,)
    assert b"<svg" in render_report(again, "html")


def test_a_report_tells_how_its_models_computed_and_one_that_does_not_is_of_eager_ones():
    photo = fakes.photo()
    eager, folded = (
        build_report(fakes.comparison(fakes.panel(photo, HEAT, numerics=numerics)), now=NOON)
        for numerics in ("eager", "folded")
    )
    assert [str(change) for change in diff(eager, read_report(render_report(folded, "json")))] == [
        "Models: bundled/a: how it computes was as its library built it and is in a faster form, equal but for "
        "rounding (folded)",
    ]
    rows = {row[0]: row[1] for row in models_table(folded).rows}
    assert rows["Device, type"] == "cpu, float32, in a faster form, equal but for rounding (folded)"
    older = json.loads(render_report(eager, "json"))
    del older["models"][0]["numerics"]
    assert read_report(json.dumps(older).encode()) == eager


def test_a_json_that_another_program_wrote_is_the_same_report():
    def rewritten(value):
        if isinstance(value, dict):
            return {name: rewritten(part) for name, part in reversed(value.items())}
        if isinstance(value, list):
            return [rewritten(part) for part in value]
        return int(value) if isinstance(value, float) and value.is_integer() else value

    made = report()
    other = json.dumps(rewritten(json.loads(render_report(made, "json"))))
    assert "[[0, 1], [2, 4]]" in other
    assert read_report(other.encode()) == made


# ---------------------------------------------------------------------------------------------- refusing


def _files(bundle: bytes) -> Files:
    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _zipped(files: Files, *, signed: bool = True, kind: int = stat.S_IFREG) -> bytes:
    """The files as a ZIP; `signed` writes a manifest that fits them, as an attacker would."""
    if signed:
        names = [name for name in files if name != "MANIFEST.sha256"]
        lines = [f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in names]
        files = files | {"MANIFEST.sha256": "".join(lines).encode()}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name)
            entry.create_system, entry.external_attr = 3, (kind if name.startswith("maps") else stat.S_IFREG) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return out.getvalue()


def _with(name: str, data: bytes, **options: object) -> Callable[[Files], bytes]:
    return lambda files: _zipped(files | {name: data}, **options)  # pyright: ignore[reportArgumentType]


def _array(value: object) -> bytes:
    out = io.BytesIO()
    np.save(out, np.array(value), allow_pickle=True)
    return out.getvalue()


def _json_with(**changes: object) -> Callable[[Files], bytes]:
    def changed(files: Files) -> bytes:
        content = json.loads(files["report.json"]) | changes
        return _zipped(files | {"report.json": json.dumps(content).encode()})

    return changed


def _without(name: str, *, signed: bool) -> Callable[[Files], bytes]:
    return lambda files: _zipped({key: data for key, data in files.items() if key != name}, signed=signed)


MAP, PHOTO = "maps/p1-m1-q1.npy", "images/photo-1.png"
REFUSED: dict[str, tuple[Callable[[Files], bytes], str]] = {
    "a path that climbs out": (_with("../evil.txt", b""), "leads out; it was not opened"),
    "a path that climbs out backwards": (_with("..\\evil.txt", b""), "leads out; it was not opened"),
    "an absolute path": (_with("/etc/cron.d/evil", b""), "leads out; it was not opened"),
    "a drive": (_with("C:evil", b""), "leads out; it was not opened"),
    "a link": (lambda files: _zipped(files, kind=stat.S_IFLNK), "a link or a device; it was not opened"),
    "a device": (lambda files: _zipped(files, kind=stat.S_IFCHR), "a link or a device; it was not opened"),
    "a bomb": (_with("report.html", bytes(50_000_000)), "would unpack enormously; it was not opened"),
    "too many files": (
        lambda files: _zipped({f"maps/p{n}-m1-q1.npy": b"" for n in range(MAX_ENTRIES + 1)}),
        f"at most {MAX_ENTRIES} files",
    ),
    "a stranger": (_with("setup.py", b"import os"), "expected the files of a report only, got 'setup.py'"),
    "a pickle beside the maps": (_with("maps/p1-m1-q1.pkl", pickle.dumps(1)), "the files of a report only"),
    "a pickle as a map": (_with(MAP, pickle.dumps(print)), "got a pickle or a damaged file; it was not read"),
    "a pickle inside an array": (_with(MAP, _array([print])), "got a pickle or a damaged file; it was not read"),
    "another map": (_with(MAP, _array(np.ones((2, 2), np.float32))), "the map of report.json in maps/p1-m1-q1.npy"),
    "a photo of another size": (_with(PHOTO, png(fakes.photo(50, 60).pixels)), "got one of another size"),
    "a map with more numbers": (_with(MAP, _array(HEAT) + b"0000"), "the map of report.json in maps/p1-m1-q1.npy"),
    "a map with a damaged header": (_with(MAP, b"\x93NUMPY\1\0\x76\0{'descr'"), "a pickle or a damaged file"),
    "no photo": (_with(PHOTO, b"not a picture"), "expected the photo in images/photo-1.png, got"),
    "an altered file": (
        _with("report.html", b"<p>fine</p>", signed=False),
        "'report.html' was changed",
    ),
    "an added file": (_with("images/photo-9.png", b"", signed=False), "'images/photo-9.png' was added"),
    "a missing file": (_without("report.pdf", signed=False), "'report.pdf' is missing; do not trust it"),
    "no report": (_without("report.json", signed=True), "expected report.json in the ZIP, got none"),
    "no manifest": (_without("MANIFEST.sha256", signed=False), "expected MANIFEST.sha256 in the ZIP, got none"),
    "a later format": (
        _json_with(format="gradcam-report-9"),
        "expected a report up to gradcam-report-2, got 'gradcam-report-9'; open it with the version of gradcam",
    ),
    "another format": (_json_with(format="other"), r"at \$.format"),
    "an unknown field": (_json_with(hook="import os"), r"got at \$: the unknown field .hook."),
    "a panel of no kind": (_json_with(findings=[{"panel": "nothing"}]), r"at \$.findings\[0\].panel"),
    "a status there is not": (_json_with(verdict={"status": "fine"}), r"at \$.verdict.status"),
    "a missing panel": (
        _json_with(findings=[]),
        "expected a panel for each of 2 photos × 2 models × 1 methods × 1 targets",
    ),
    "no answers": (_json_with(answers=[]), "expected an answer of model 1 on photo 1, got none"),
    "a deep JSON": (_with("report.json", b"[" * 100_000), "expected a report in JSON, got something else"),
    "NaN": (
        lambda files: _with("report.json", files["report.json"].replace(b"4.0", b"NaN"))(files),
        "NaN is no number",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_as_it_was_written_is_refused_in_one_sentence(bundle, case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spoil, words = REFUSED[case]
    with pytest.raises(ReportError, match=words) as caught:
        read_report(spoil(_files(bundle)))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_another_photo_of_the_same_size_is_refused_when_it_is_shown(bundle):
    opened = read_report(_with(PHOTO, png(fakes.photo(grey=7).pixels))(_files(bundle)))
    with pytest.raises(ReportError, match="expected the pixels that report"):
        render_report(opened, "html")


def test_what_is_too_large_as_a_file_or_unpacked_is_refused(bundle, monkeypatch):
    """An honest ZIP, under limits that it just breaks."""
    monkeypatch.setattr("gradcam.report.read.MAX_BYTES", len(bundle) - 1)
    with pytest.raises(ReportError, match="got a larger file; it was not opened"):
        read_report(bundle)
    monkeypatch.setattr("gradcam.report.read.MAX_BYTES", len(bundle))
    with pytest.raises(ReportError, match="unpacked, got a ZIP that holds more; it was not opened"):
        read_report(bundle)
    monkeypatch.undo()
    monkeypatch.setattr("gradcam.report.limits.MAX_JSON", 1000)
    with pytest.raises(ReportError, match=r"expected a report\.json of at most 0\.001 MB, got more"):
        read_report(bundle)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_comes_twice_is_refused(bundle):
    out = io.BytesIO(bundle)
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr("report.json", b"{}")
    with pytest.raises(ReportError, match="holds two of one name"):
        read_report(out.getvalue())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (pickle.dumps({"a": 1}), "got a pickle, which could run code; it was not opened"),
        (b"PK\x03\x04 not really", "expected a whole ZIP, got a damaged one"),
        (b"", "got another kind of file"),
        (b"%PDF-1.7", "got another kind of file"),
        (b"{", "expected a report in JSON"),
        (b"\x00\xff", "got another kind of file"),
    ],
)
def test_another_kind_of_file_is_refused(data, words):
    with pytest.raises(ReportError, match=words):
        read_report(data)


def test_a_damaged_zip_is_refused_wherever_the_damage_is(bundle):
    step = len(bundle) // 60
    for place in range(0, len(bundle), step):
        damaged = bytearray(bundle)
        damaged[place] ^= 0x55
        try:
            again = read_report(bytes(damaged))
        except ReportError:
            continue
        assert again == read_report(bundle)  # a byte that carries nothing, such as a time in a header


def test_a_report_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(
        ReportError,
        match=r"expected a report at '.*none\.zip', but there is no such file or folder; check the path$",
    ):
        read_report(tmp_path / "none.zip")


# ------------------------------------------------------------------------------------------ replay, diff


@pytest.fixture(scope="module")
def lite() -> Classifier:
    return load_classifier("bundled/tf_efficientnet_lite0")


@pytest.fixture(scope="module")
def reviewed(lite) -> Report:
    photos = [sample_photo("chelsea"), sample_photo("coffee")]
    return build_report(compare([lite], photos, [Top(), "espresso"]), now=NOON)


def _only(classifier: Classifier) -> Use:
    return lambda _: nullcontext(classifier)


def test_replay_on_the_same_machine_says_same_for_every_map(reviewed, lite):
    done = replay(read_report(render_report(reviewed, "zip")), use=_only(lite))
    assert [check.statement for check in done.checks] == ["same"] * 4
    assert str(done) == "4 panels: 4 same"
    assert done.environment == ()


def test_replay_tells_how_far_a_changed_map_is_off(reviewed, lite):
    def scaled(report: Report, factor: float) -> Report:
        first, *rest = report.heatmaps
        values = tuple(tuple(float(value) for value in row) for row in first.values * np.float32(factor))
        return replace(report, findings=(structs.replace(first, map=values), *rest))

    assert replay(scaled(reviewed, 1.00001), use=_only(lite)).checks[0].outcome == "same within tolerance"
    off = replay(scaled(reviewed, 0.5), use=_only(lite)).checks[0]
    assert off.outcome == "differs"
    assert "100 % of the peak" in off.statement


def test_replay_says_why_a_map_cannot_be_checked(reviewed, lite):
    @contextmanager
    def broken(_: str) -> Iterator[Classifier]:
        raise WeightsError("expected weights, got no network")
        yield

    def words(report: Report, **options: object) -> set[str]:
        return {check.statement for check in replay(report, **options).checks}  # pyright: ignore[reportArgumentType]

    assert words(reviewed, use=broken) == {
        "cannot be checked because the model gives no map: expected weights, got no network"
    }
    bare = read_report(render_report(reviewed, "json"))
    missing = words(bare, use=_only(lite))
    assert missing
    assert all("does not carry the photo in full; give the file" in said for said in missing)
    assert words(bare, use=_only(lite), photos=[sample_photo("chelsea"), sample_photo("coffee")]) == {"same"}


def test_replay_names_weights_that_are_others(reviewed, lite):
    another = load_classifier("bundled/tf_efficientnet_lite0", weights="random", seed=1)
    said = replay(reviewed, use=_only(another)).checks[0]
    assert said.outcome == "differs"
    assert "the weights are others" in said.statement
    assert lite.weights_sha256 != another.weights_sha256


def test_two_reports_of_one_comparison_differ_in_nothing_but_their_time():
    assert diff(report(), report(now=NOON + timedelta(days=1))) == ()


def test_diff_says_in_words_what_changed():
    one, two = fakes.photo(name="one.jpg"), fakes.photo(30, 30, "two.jpg")
    before = report(one, two)
    after = revised(report(one, style=Style("turbo")), Verdict("approved", "Ada"), [Note("rejected")])
    first = structs.replace(after.heatmaps[0], map=((0.0, 1.0), (2.0, 3.0)))
    after = replace(after, findings=(first, *after.findings[1:]))
    assert [str(change) for change in diff(before, after)] == [
        "Verdict: status was needs review and is approved",
        "Verdict: reviewer was empty and is Ada",
        "Notes: one.jpg: status was needs review and is rejected",
        "Photos: two.jpg was left out",
        "Settings: colormap was viridis and is turbo",
        "Maps: one.jpg · x/a · top prediction: largest difference 1, 25 % of the peak",
        "Maps: 1 panel the same",
    ]


def test_diff_calls_a_model_as_its_owner_does_unless_two_are_called_the_same():
    mine, other, namesake = (f"checkpoint/timm/resnet18@{name}" for name in ("mine~01", "other~02", "mine~03"))

    def changes(*models: str) -> list[str]:
        now = build_report(comparison([fakes.photo()], models), now=NOON)
        return [str(one) for one in diff(before, now) if one.section == "Models"]

    before = build_report(comparison([fakes.photo()], ("x/a", mine)), now=NOON)
    assert changes("x/a", other) == ["Models: mine was left out", "Models: other was added"]
    assert changes("x/a", namesake) == [f"Models: {mine} was left out", f"Models: {namesake} was added"]
