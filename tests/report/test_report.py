"""The report's content and its formats: true, complete, the same bytes for the same report."""

from __future__ import annotations

import base64
import csv
import io
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import unicodedata
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import numpy as np
import pypdf
import pytest
from PIL import Image

from gradcam.comparison import Comparison
from gradcam.errors import OptionError, ReportError
from gradcam.models.sources import configuration_of
from gradcam.photo import open_photo
from gradcam.report import (
    FORMATS,
    Note,
    Report,
    Thresholds,
    Verdict,
    build_report,
    check,
    codec,
    render_report,
    revised,
    sections,
    write_report,
)
from gradcam.report._diff import diff
from gradcam.report.checks import outside_box
from gradcam.report.formats import pdf, typesetting
from gradcam.report.reproduce import command, python_lines
from gradcam.targets import parse_target
from gradcam.types import ModelSpec, Photo, Style, Top, WeightsFile
from tests import fakes
from tests.report_fakes import HEAT, NOON, comparison, report

# ------------------------------------------------------------------------------------------ content


def test_a_finding_keeps_the_raw_map_to_the_last_bit():
    heat = np.array([[0.1, 1e-7], [1 / 3, 2.5e9]], np.float32)
    made = build_report(comparison([fakes.photo()], ["x/a"], heat=heat), now=NOON)
    kept = codec.decode(codec.encode(made)).heatmaps[0].values
    assert kept.dtype == np.float32
    assert kept.tobytes() == heat.tobytes()


def test_the_numbers_of_a_panel_are_those_of_its_map():
    numbers = report().heatmaps[0].numbers
    assert (numbers.peak, numbers.mean, numbers.positive, numbers.vmax) == (4.0, 1.75, 0.75, 4.0)
    assert numbers.hottest == (45.0, 30.0)  # the lower right cell's centre on a photo of 60×40


def test_on_a_shared_scale_full_colour_is_the_highest_peak_of_all():
    photo = fakes.photo()
    both = fakes.comparison(fakes.panel(photo, HEAT), fakes.panel(photo, HEAT * 3, model="x/b"))
    made = build_report(both, style=Style(scale="shared"), now=NOON)
    assert [panel.numbers.vmax for panel in made.heatmaps] == [12.0, 12.0]


def test_opposite_maps_disagree_and_rank_before_equal_ones():
    photo = fakes.photo()
    panels = [
        fakes.panel(photo, heat, model=f"x/{name}") for name, heat in (("a", HEAT), ("b", HEAT), ("c", HEAT[::-1]))
    ]
    ranked = build_report(fakes.comparison(*panels), now=NOON).disagreements
    assert [one.models for one in ranked][-1] == (0, 1)
    assert ranked[-1].rank_correlation == pytest.approx(1)
    assert ranked[-1].iou == pytest.approx(1)
    assert ranked[0].rank_correlation is not None
    assert ranked[0].rank_correlation < 0.5


@pytest.mark.parametrize(
    ("heat", "about", "words"),
    [
        (HEAT * 0, {}, "No positive evidence"),
        (HEAT * 0 + 1, {}, "one value everywhere"),
        (HEAT, {"untrained": True}, "Untrained"),
        (HEAT, {"view": fakes.middle(fakes.photo())}, "hides 33 % of the photo"),
        (HEAT, {"view": fakes.whole(fakes.photo())}, "squashed: width and height were scaled 1.50 to 1"),
    ],
)
def test_a_warning_stands_beside_the_panel_it_concerns(heat, about, words):
    photo = fakes.photo()
    sound = fakes.panel(photo, HEAT, model="x/b", view=replace(fakes.whole(photo), input_size=photo.size))
    made = build_report(fakes.comparison(fakes.panel(photo, heat, **about), sound), now=NOON)
    assert any(words in warning for warning in made.heatmaps[0].warnings)
    assert made.heatmaps[1].warnings == ()


def test_a_class_far_down_the_predictions_is_warned_of_and_one_in_the_first_five_is_not():
    photo = fakes.photo()
    view = replace(fakes.whole(photo), input_size=photo.size)
    panels = []
    for rank, name in ((5, "a"), (6, "b")):
        panel = fakes.panel(photo, HEAT, model=f"x/{name}", view=view)
        assert panel.explanation is not None
        target = replace(panel.explanation.targets[0], rank=rank)
        panels.append(replace(panel, explanation=replace(panel.explanation, targets=(target,))))
    first, second = build_report(fakes.comparison(*panels), now=NOON).heatmaps
    assert first.warnings == ()
    assert "number 6 among its predictions" in second.warnings[0]


def test_a_failure_stays_in_the_report_with_its_reason():
    photo = fakes.photo()
    made = build_report(fakes.comparison(fakes.panel(photo, HEAT), fakes.failure(photo, "no network")), now=NOON)
    assert [(finding.model, finding.reason) for finding in made.failures] == [(1, "no network")]
    for format in ("html", "markdown", "csv", "junit", "json"):
        assert "no network" in render_report(made, format).decode()
    assert "no network" in _pdf_text(made)


def test_what_the_library_says_about_the_weights_is_in_the_report():
    photo = fakes.photo()
    models = ("bundled/tf_efficientnet_lite0", "torchvision/resnet50", "x/by_hand")
    made = build_report(fakes.comparison(*(fakes.panel(photo, HEAT, model=model) for model in models)), now=NOON)
    lite, resnet, by_hand = (model.configuration for model in made.models)
    assert (lite["hf_hub_id"], lite["crop_pct"]) == ("timm/tf_efficientnet_lite0.in1k", 0.875)
    assert (resnet["weights"], resnet["num_params"]) == ("ResNet50_Weights.IMAGENET1K_V2", 25_557_032)
    assert (resnet["transforms.crop_size"], resnet["transforms.interpolation"]) == ([224], "bilinear")
    assert by_hand == {}
    assert not {"file", "categories", "label_names"} & {*lite, *resnet}
    assert codec.decode(codec.encode(made)).models == made.models
    for format in ("html", "markdown"):
        assert "tf_efficientnet_lite0.in1k" in render_report(made, format).decode().replace("\\", "")
    assert "ResNet50_Weights.IMAGENET1K_V2" in _pdf_text(made)
    other = replace(made.models[0], configuration=lite | {"crop_pct": 1.0})
    assert [str(change) for change in diff(made, replace(made, models=(other, *made.models[1:])))] == [
        f"Models: {models[0]}: crop_pct in its configuration was 0.875 and is 1.0"
    ]


def test_what_was_found_in_a_file_is_in_the_table_of_models_and_absent_where_nobody_brought_one():
    made = report()
    assert not {"Network in the file", "Found in the file"} & {row[0] for row in sections.models_table(made).rows}
    file = WeightsFile("x.pt", "0" * 64, prefix="teacher", note="its head is fc.1, a Linear from 512 to 3")
    brought = replace(made, models=(replace(made.models[0], file=file), *made.models[1:]))
    rows = {row[0]: row[1:] for row in sections.models_table(brought).rows}
    assert rows["Network in the file"][0] == "teacher"
    assert rows["Found in the file"] == (file.note, "–")


def test_which_output_the_class_scores_are_is_in_the_report_where_somebody_chose_one():
    photo = fakes.photo()
    chosen = fakes.panel(photo, HEAT, model="x/a")
    chosen = replace(chosen, explanation=replace(chosen.explanation, output="'logits'"))
    made = build_report(fakes.comparison(chosen, fakes.panel(photo, HEAT, model="x/b")), now=NOON)
    assert [model.output for model in made.models] == ["'logits'", ""]
    rows = {row[0]: row[1:] for row in sections.models_table(made).rows}
    assert rows["Class scores"] == ("'logits'", "–")
    assert "Class scores" not in {row[0] for row in sections.models_table(report()).rows}


def test_random_weights_and_those_of_a_file_have_no_configuration():
    assert configuration_of(ModelSpec("timm", "resnet18", "a1_in1k"))["tag"] == "a1_in1k"
    assert configuration_of(ModelSpec("timm", "resnet18", "random", 1)) == {}
    assert configuration_of(ModelSpec("timm", "resnet18", "mine.pt")) == {}


def test_a_report_of_nothing_but_failures_can_be_written_in_every_format():
    made = build_report(fakes.comparison(fakes.failure(fakes.photo(), "no network")), now=NOON)
    assert all(render_report(made, format) for format in FORMATS)


def test_a_revised_verdict_changes_nothing_else():
    made = report()
    again = revised(made, Verdict("approved", "Ada"), [Note("rejected", "no")])
    assert again.verdict.status == "approved"
    assert again.photos[0].note.text == "no"
    assert replace(again, verdict=made.verdict, photos=made.photos) == made


def test_an_unknown_status_and_a_missing_note_are_refused_in_a_sentence():
    with pytest.raises(ReportError, match="expected a status, got 'fine'; use"):
        revised(report(), Verdict("fine"))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ReportError, match="expected a note for each of 1 photos, got 2"):
        revised(report(), notes=[Note(), Note()])
    with pytest.raises(OptionError, match="expected how photos travel, got 'ful'; use 'full'"):
        report(embedded="ful")


def test_the_time_is_told_in_utc():
    eastern = datetime.fromisoformat("2026-11-22T07:00:00-05:00")
    assert report(now=eastern).created == report(now=datetime(2026, 11, 22, 12, tzinfo=UTC)).created


# ------------------------------------------------------------------------------------------- schema


def test_the_published_schema_is_the_data_models_own():
    assert codec.published_schema() == codec.schema_of_model()


def test_a_report_keeps_the_published_schema():
    jsonschema.validate(json.loads(codec.encode(report())), json.loads(codec.published_schema()))


def test_reading_and_writing_json_again_gives_the_same_bytes():
    data = codec.encode(report(verdict=Verdict(summary="[ 1,\n 2 ]", questions=("[\n1\n]",))))
    assert codec.encode(codec.decode(data)) == data


def test_json_written_in_pieces_is_laid_out_as_if_it_were_written_at_once():
    for made in (report(), report(fakes.photo(name="a.png"), fakes.photo(name="b.png"), title="[\n1\n]")):
        data = codec.encode(made)
        assert len(list(codec.encode_in_pieces(made))) > len(made.findings)
        assert data == codec._dumps(json.loads(data)) + b"\n"  # pyright: ignore[reportPrivateUsage]


# --------------------------------------------------------------------------------------- every format


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_report_gives_the_same_bytes(format):
    assert render_report(report(), format) == render_report(report(), format)


def test_another_process_writes_the_same_zip(tmp_path):
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from tests.report_fakes import report; "
        "from gradcam.report import write_report; write_report(report(), sys.argv[2])"
    )
    out = tmp_path / "review.zip"
    subprocess.run(
        [sys.executable, "-c", script, str(Path(__file__).parents[2]), str(out)], check=True, timeout=120
    )
    assert out.read_bytes() == render_report(report(), "zip")


def test_every_panel_is_in_the_pdf_and_it_is_tagged_and_numbered():
    made = report(fakes.photo(name="one.jpg"), fakes.photo(30, 30, "two.jpg"))
    document = pypdf.PdfReader(io.BytesIO(render_report(made, "pdf")))
    text = "\n".join(page.extract_text() for page in document.pages)
    panels = text[text.rindex("Overlay, then what") : text.rindex("Disagreements, ranked")]
    assert panels.count("tabby · 70.0 %") == 4
    assert document.trailer["/Root"]["/MarkInfo"]["/Marked"]
    assert document.trailer["/Root"]["/Lang"] == "en"
    assert f"1 / {len(document.pages)}" in document.pages[0].extract_text()
    chapters = [item.title for item in document.outline if not isinstance(item, list)]
    assert chapters[:3] == ["Verdict", "What was compared", "Findings"]
    assert chapters[-1] == "Provenance"


SCRIPTS = (
    "Ελληνικά",
    "Русский",
    "עברית",
    "العربية",
    "हिन्दी",
    "ไทย",
    "中文",
    "日本語",
    "한국어",
    "ქართული",
    "አማርኛ",
    "🐱",
)
COMPOSED_SCRIPTS = ("বাংলা", "தமிழ்")
"""Their letters are made of several glyphs, of which the test's own PDF reader makes something else."""


@pytest.fixture
def no_fonts_of_its_own(monkeypatch) -> Iterator[None]:
    """A machine without fonts."""
    bundled = typesetting._read_fonts(tuple(typesetting.font_folders()), False)
    monkeypatch.setattr(typesetting, "_read_fonts", lambda folders, own: bundled)
    pdf._first_missing.cache_clear()
    yield
    pdf._first_missing.cache_clear()


def test_the_pdf_shows_many_scripts_on_a_machine_without_fonts(no_fonts_of_its_own):
    text = _pdf_text(report(fakes.photo(name="cat.jpg"), notes=[Note(text=" ".join(SCRIPTS + COMPOSED_SCRIPTS))]))
    assert "⟨U+" not in text
    assert [word for word in SCRIPTS if word not in text] == []


_NAMES = """
ANATOLIAN, AVESTAN, BASSA VAH, BHAIKSUKI, BRAHMI, CARIAN, CAUCASIAN ALBANIAN, CHORASMIAN, CUNEIFORM, CYPRIOT,
CYPRO-MINOAN, DESERET, DIVES AKURU, DIVES AKURU PREFIXED NASAL, DOGRA, DUPLOYAN, EGYPTIAN, ELBASAN, ELYMAIC,
GLAGOLITIC, GOTHIC, HATRAN, HENTAIGANA, IMPERIAL ARAMAIC, INSCRIPTIONAL PAHLAVI, INSCRIPTIONAL PARTHIAN,
KAITHI, KHAROSHTHI, KHITAN, KHOJKI, KHUDAWADI, LINEAR A, LINEAR B, LYCIAN, LYDIAN, MAHAJANI, MAKASAR,
MANICHAEAN, MARCHEN, MEROITIC, MEROITIC CURSIVE, MODI, MULTANI, NABATAEAN, NANDINAGARI, NUSHU, OGHAM, OLD
HUNGARIAN, OLD ITALIC, OLD NORTH ARABIAN, OLD PERMIC, OLD PERSIAN, OLD SOGDIAN, OLD SOUTH ARABIAN, OLD TURKIC,
OLD UYGHUR, OSMANYA, PALMYRENE, PHAGS-PA, PHAGS-PA SUBJOINED, PHAGS-PA SUPERFIXED, PHOENICIAN, PSALTER
PAHLAVI, RUNIC, SHARADA, SHAVIAN, SIDDHAM, SOGDIAN, SOYOMBO, SOYOMBO CLUSTER-INITIAL, TAKRI, UGARITIC,
VITHKUQI, ZANABAZAR SQUARE, ZANABAZAR SQUARE CLUSTER-INITIAL
"""
HISTORIC = {" ".join(name.split()) for name in _NAMES.split(",")}
"""Scripts that nobody writes day to day, by the names of their letters."""


def test_the_pdf_shows_every_living_script(no_fonts_of_its_own):
    """The first letter of every script that Python's Unicode knows, told by the letter's name."""
    first: dict[str, str] = {}
    for letter in map(chr, range(0x370, 0x20000)):
        kind = re.match(
            "(.+?) (CAPITAL|SMALL|LETTER|SYLLABLE|SYLLABICS|SIGN|HIEROGLYPH|CHARACTER|IDEOGRAPH)",
            unicodedata.name(letter, ""),
        )
        if kind and unicodedata.category(letter).startswith("L"):
            first.setdefault(kind[1], letter)
    assert len(first) > 150
    missing = pdf._missing_glyphs(set(first.values()), own=False)
    assert {name for name, letter in first.items() if letter in missing} == HISTORIC


def test_without_a_font_for_a_script_the_pdf_names_its_characters(no_fonts_of_its_own):
    shown = "".join(_pdf_text(report(fakes.photo(name="𒀀𒀁 🐱 Łódź.jpg"))).split())
    assert "⟨U+12000⟩⟨U+12001⟩🐱Łódź.jpg" in shown


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs processes that fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_a_process_that_is_forked_after_a_pdf_writes_the_same_pdf():
    here = render_report(report(), "pdf")
    forking = multiprocessing.get_context("fork")
    answers = forking.SimpleQueue()
    child = forking.Process(target=lambda: answers.put(render_report(report(), "pdf") == here), daemon=True)
    child.start()
    child.join(60)
    ended = child.exitcode
    child.kill()
    assert ended == 0, "typesetting hangs"
    assert answers.get()


def test_a_source_that_typst_refuses_is_a_sentence_in_either_process():
    job = typesetting.Job(typesetting.font_folders(), False, "#nothing(")
    for typeset in (typesetting.typeset, typesetting._in_another_process):
        done = typeset(job)
        assert done.pdf == b""
        assert "unclosed" in done.complaint


def test_a_pdf_that_lacks_a_panel_is_not_written(monkeypatch):
    whole = pdf._content

    def one_short(*arguments: Any) -> dict[str, Any]:
        content = whole(*arguments)
        content["photos"][0]["groups"][0]["panels"].pop()
        return content

    monkeypatch.setattr(pdf, "_content", one_short)
    with pytest.raises(ReportError, match="expected 2 panels in the PDF, got 1"):
        render_report(report(), "pdf")


def test_the_csv_has_a_row_a_panel_with_its_numbers():
    rows = list(csv.DictReader(io.StringIO(render_report(report(), "csv").decode())))
    assert [(row["model"], row["peak"], row["share_above_zero"]) for row in rows] == [
        ("x/a", "4.0", "0.75"),
        ("x/b", "4.0", "0.75"),
    ]
    assert rows[0]["mean_rank_correlation"] == rows[1]["mean_rank_correlation"] != ""


def test_the_zip_holds_what_its_manifest_says_in_fixed_order_and_time():
    with zipfile.ZipFile(io.BytesIO(render_report(report(), "zip"))) as archive:
        names = archive.namelist()
        assert names[:5] == ["report.html", "report.pdf", "report.json", "schema.json", "metrics.csv"]
        assert {"images/photo-1.png", "images/p1-m2-q1-overlay.png", "maps/p1-m1-q1.npy"} <= set(names)
        assert names[-2:] == ["README.txt", "MANIFEST.sha256"]
        assert {entry.date_time for entry in archive.infolist()} == {(2026, 11, 22, 12, 0, 0)}
        listed = [line.split("  ")[1] for line in archive.read("MANIFEST.sha256").decode().splitlines()]
        assert listed == names[:-1]
        assert np.array_equal(np.load(io.BytesIO(archive.read("maps/p1-m1-q1.npy"))), HEAT)


@pytest.mark.parametrize(("embedded", "size"), [("full", (60, 40)), ("none", None)])
def test_photos_travel_as_the_option_says(embedded, size):
    with zipfile.ZipFile(io.BytesIO(render_report(report(embedded=embedded), "zip"))) as archive:
        found = [name for name in archive.namelist() if name.startswith("images/photo")]
        assert [Image.open(io.BytesIO(archive.read(name))).size for name in found] == ([size] if size else [])


def test_a_large_photo_travels_small_if_asked():
    pixels = report(fakes.photo(1024, 2048), embedded="small").pixels[0]
    assert pixels is not None
    assert pixels.shape == (256, 512, 3)


def test_no_picture_in_a_zip_has_metadata():
    with zipfile.ZipFile(io.BytesIO(render_report(report(), "zip"))) as archive:
        for name in archive.namelist():
            if name.endswith(".png"):
                picture = Image.open(io.BytesIO(archive.read(name)))
                assert picture.info == {}
                assert not picture.getexif()


def test_where_a_photo_was_taken_does_not_travel_along():
    exif = Image.Exif()
    exif.get_ifd(0x8825)[1] = "N"
    exif[0x010F] = "Secret Camera Maker"
    out = io.BytesIO()
    Image.fromarray(fakes.photo().pixels).save(out, "JPEG", exif=exif)
    assert b"Secret Camera Maker" in out.getvalue()
    made = report(open_photo(out.getvalue(), name="holiday.jpg"))
    with zipfile.ZipFile(io.BytesIO(render_report(made, "zip"))) as archive:
        files = [archive.read(name) for name in archive.namelist()]
    pictures = [base64.b64decode(part) for part in re.findall(rb"base64,([A-Za-z0-9+/=]+)", files[0])]
    assert len(pictures) > 3
    assert not [data for data in files + pictures if b"Secret" in data or b"Exif\0" in data]


def test_without_the_photo_nothing_of_it_is_in_any_picture():
    light, dark = (
        report(replace(fakes.photo(), pixels=fakes.photo(grey=grey).pixels), embedded="none") for grey in (9, 250)
    )
    for finding, other in zip(light.heatmaps, dark.heatmaps, strict=True):
        assert finding.values.tobytes() == other.values.tobytes()
    pictures = []
    for made in (light, dark):
        with zipfile.ZipFile(io.BytesIO(render_report(made, "zip"))) as archive:
            pictures.append({name: archive.read(name) for name in archive.namelist() if name.startswith("images/")})
    assert pictures[0] == pictures[1]


# ------------------------------------------------------------------------------------------- thresholds


def test_thresholds_that_hold_give_no_failure():
    made = report(fakes.photo(name="cat.jpg"))
    asked = Thresholds(-1.0, ((None, "Tabby"),), 1.0, (("cat.jpg", (0, 0, 60, 40)),))
    assert [one.failure for one in check(made, asked)] == [None] * 7
    assert ElementTree.fromstring(render_report(made, "junit", asked)).get("failures") == "0"


def test_thresholds_that_do_not_hold_are_failures_in_the_junit_file():
    made = report(fakes.photo(name="cat.jpg"))
    asked = Thresholds(0.99, (("cat.jpg", "dog"),), 0.1, (("cat.jpg", (0, 0, 10, 10)),))
    root = ElementTree.fromstring(render_report(made, "junit", asked))
    assert (root.get("tests"), root.get("failures")) == ("7", "5")
    told = " ".join(str(failure.get("message")) for failure in root.iter("failure"))
    for words in ("expected a rank correlation of at least 0.99", "expected 'dog' as the first", "outside the box"):
        assert words in told


def test_the_share_outside_a_box_is_the_heat_outside_it():
    photo = fakes.photo(40, 40)
    heat = np.array([[1, 1], [1, 1]], np.float32)
    made = build_report(fakes.comparison(fakes.panel(photo, heat)), now=NOON)
    assert outside_box(made, made.heatmaps[0], (0, 0, 10, 40)) == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (Thresholds(min_agreement=2), "from -1 to 1"),
        (Thresholds(max_outside_box=0.5), "expected a box"),
        (
            Thresholds(expect_classes=(("cta.jpg", "tabby"),)),
            "expected a photo of the report, got 'cta.jpg'; use 'cat.jpg'",
        ),
    ],
)
def test_a_threshold_that_makes_no_sense_is_refused(asked, words):
    with pytest.raises(OptionError, match=words):
        check(report(), asked)


# --------------------------------------------------------------------------------------------- writing


def test_a_file_that_exists_is_replaced_only_by_force(tmp_path):
    out = tmp_path / "review.json"
    out.write_text("mine")
    with pytest.raises(ReportError, match="which exists; choose another name or add --force"):
        write_report(report(), out)
    assert out.read_text() == "mine"
    write_report(report(), out, force=True)
    assert out.read_bytes() == render_report(report(), "json")


@pytest.mark.parametrize("link", [os.link, None])
def test_a_file_that_appears_while_a_report_is_made_stays_as_it_is(tmp_path, monkeypatch, link):
    """Also where the file system has no links."""
    out = tmp_path / "review.json"
    if link is None:
        monkeypatch.setattr("os.link", lambda *_: (_ for _ in ()).throw(PermissionError(1, "not permitted")))
    write_report(report(), out)
    whole = out.read_bytes()
    assert whole == render_report(report(), "json")

    out.unlink()
    monkeypatch.setattr(codec, "_dumps", lambda *_, **__: out.write_text("mine") and b"theirs")
    with pytest.raises(ReportError, match="which exists; choose another name or add --force"):
        write_report(report(), out)
    assert out.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("trouble", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_whatever_interrupts_writing_the_old_file_stays_whole_and_no_half_file_is_left(
    tmp_path, monkeypatch, trouble
):
    out = tmp_path / "review.json"
    out.write_text("mine")

    def interrupted(handle: int) -> None:
        raise trouble

    monkeypatch.setattr("os.fsync", interrupted)
    with pytest.raises((ReportError, KeyboardInterrupt)):
        write_report(report(), out, force=True)
    assert out.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a process that can be killed")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_a_kill_while_writing_leaves_the_old_file_whole(tmp_path, monkeypatch):
    out = tmp_path / "review.json"
    out.write_text("mine")
    made = report()
    monkeypatch.setattr("os.fsync", lambda _: os.kill(os.getpid(), signal.SIGKILL))
    if (child := os.fork()) == 0:
        write_report(made, out, force=True)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert out.read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "words"),
    [("review.doc", "ends in one of"), ("none/review.zip", "which is none; make it first"), ("", "got the folder")],
)
def test_a_path_that_cannot_be_written_is_refused_in_a_sentence(tmp_path, name, words):
    with pytest.raises((ReportError, OptionError), match=words):
        write_report(report(), tmp_path / name, None if name else "zip")


# ------------------------------------------------------------------------------------------ reproducing


def _of_known_models(*photos: Photo, **options: Any) -> Report:
    """`report`, whose models an id brings back."""
    made = report(*photos, **options)
    return replace(made, models=tuple(replace(model, origin="installed package") for model in made.models))


def test_the_command_names_everything_that_decides_the_report():
    made = _of_known_models(
        fakes.photo(name="-my cat.jpg"),
        style=Style("turbo", 0.4, "shared"),
        verdict=Verdict("approved", "Ada", questions=("-why?",)),
        notes=[Note("rejected", "no")],
        layer="features.29",
    )
    assert command(made) == (
        "python -m gradcam report './-my cat.jpg' --model x/a --model x/b --class 'top prediction' --fit squash "
        "--layer features.29 --colormap turbo --opacity 0.4 --scale shared --photos full "
        "--title 'What the models look at' --status approved --reviewer Ada '--open-question=-why?' "
        "--photo-status 1=rejected --note 1=no --now 2026-11-22T12:00:00Z --out review.zip"
    )


def test_the_command_asks_for_a_rank_as_a_number_where_a_class_is_so_called():
    photo = fakes.photo()
    panel = fakes.panel(photo, HEAT, model="x/a", label="prediction 2", target=Top(2))
    made = build_report(fakes.comparison(panel), now=NOON)
    made = replace(made, models=(replace(made.models[0], origin="installed package"),))
    assert "--class #top-2" in command(made).replace("'", "")
    assert parse_target("#top-2", {"prediction 2"}) == made.targets[0].target


def test_a_layer_named_for_one_model_is_said_asked_again_and_told_apart():
    one_by_hand = _of_known_models(layer={"x/b": "features.22"})
    assert [model.requested_layer for model in one_by_hand.models] == ["auto", "features.22"]
    assert "--layer x/b=features.22" in command(one_by_hand)
    assert "layer={'x/b': 'features.22'}" in python_lines(one_by_hand)
    said = {module_call.heading: module_call.text for module_call in one_by_hand.procedure}["Target layer"]
    assert said.startswith("Found in each model's own data flow")
    assert said.endswith("Overridden by hand: 'features.22' for x/b.")
    assert [str(change) for change in diff(_of_known_models(), one_by_hand)] == [
        "Models: x/b: requested_layer was auto and is features.22"
    ]


def test_the_python_lines_are_python():
    lines = python_lines(report(fakes.photo(name="a'b\"\n.jpg"), verdict=Verdict(summary="'''")))
    compile(lines, "<report>", "exec")
    assert "verdict=Verdict(status='needs review'" in lines


def _pdf_text(made) -> str:
    document = pypdf.PdfReader(io.BytesIO(render_report(made, "pdf")))
    return " ".join(" ".join(page.extract_text() for page in document.pages).split())


def test_a_comparison_without_pairs_says_so():
    made = build_report(Comparison(*_one()), now=NOON)
    assert "There are no two maps" in render_report(made, "html").decode()


def _one():
    one = fakes.comparison(fakes.panel(fakes.photo(), HEAT))
    return one.photos, one.models, one.methods, one.targets, one.panels
