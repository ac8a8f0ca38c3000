"""Every format: the same bytes for the same report, and no more of a photo than was asked."""

from __future__ import annotations

import base64
import csv
import io
import re
import zipfile
from dataclasses import replace
from html import unescape

import numpy as np
import pytest
from markdown_it import MarkdownIt
from PIL import Image

from gradcam.comparison import Comparison
from gradcam.photo import open_photo
from gradcam.report import FORMATS, Note, Report, Verdict, build_report, model_tables, render_report, sections
from gradcam.report.formats import markdown
from gradcam.types import Top
from tests import fakes
from tests.another_process import said_elsewhere
from tests.report_fakes import HEAT, NOON, comparison, pdf_text, report


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_report_gives_the_same_bytes(format):
    assert render_report(report(), format) == render_report(report(), format)


def test_another_process_writes_the_same_zip(tmp_path):
    out = tmp_path / "review.zip"
    said_elsewhere(
        "from tests.report_fakes import report; from gradcam.report import write_report; "
        f"write_report(report(), {str(out)!r})"
    )
    assert out.read_bytes() == render_report(report(), "zip")


def test_the_csv_has_a_row_a_panel_with_its_numbers():
    rows = list(csv.DictReader(io.StringIO(render_report(report(), "csv").decode("utf-8-sig"))))
    assert [(row["model"], row["peak"], row["share_above_zero"]) for row in rows] == [
        ("x/a", "4.0", "0.75"),
        ("x/b", "4.0", "0.75"),
    ]
    assert rows[0]["mean_rank_correlation"] == rows[1]["mean_rank_correlation"] != ""


def test_the_csv_says_that_it_is_utf_8_so_that_excel_reads_every_name():
    data = render_report(report(fakes.photo(name="Zürich 猫.jpg")), "csv")
    assert data.startswith(b"\xef\xbb\xbfphoto,")
    assert {row["photo"] for row in csv.DictReader(io.StringIO(data.decode("utf-8-sig")))} == {"Zürich 猫.jpg"}


def test_the_zip_holds_what_its_manifest_says_in_fixed_order_and_time():
    with zipfile.ZipFile(io.BytesIO(render_report(report(), "zip"))) as archive:
        names = archive.namelist()
        assert names[:4] == ["README.txt", "report.html", "report.json", "schema.json"]
        assert names[4:6] == ["metrics.csv", "report.md"]
        assert {"images/photo-1.png", "images/p1-m2-q1-overlay.png", "maps/p1-m1-q1.npy"} <= set(names)
        assert names[-2:] == ["report.pdf", "MANIFEST.sha256"]
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
        page = archive.read("report.html")
    pictures = [base64.b64decode(part) for part in re.findall(rb"base64,([A-Za-z0-9+/=]+)", page)]
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


def test_a_comparison_without_pairs_says_so():
    made = build_report(Comparison(*_one()), now=NOON)
    assert "There are no two maps" in render_report(made, "html").decode()


def _one():
    one = fakes.comparison(fakes.panel(fakes.photo(), HEAT))
    return one.photos, one.models, one.methods, one.targets, one.panels


def tables_and_pictures(markdown: str) -> tuple[list[int], list[str]]:
    """How many columns the rows of each table have, and where each picture comes from, as GFM has it."""
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown)
    assert "| ---" not in page, "a table that fell apart"
    tables = [
        re.findall(r"<tr>(.*?)</tr>", table, re.S) for table in re.findall(r"<table>(.*?)</table>", page, re.S)
    ]
    counts = [{len(re.findall("<t[hd]", row)) for row in rows} for rows in tables]
    assert all(len(count) == 1 for count in counts)
    return [count.pop() for count in counts], re.findall(r'<img src="([^"]*)"', page)


def test_markdown_has_its_pictures_and_its_tables_whole():
    made = report(fakes.photo(), fakes.photo(50, 50, "two | three.jpg"))
    tables, pictures = tables_and_pictures(render_report(made, "markdown").decode())
    assert len(tables) >= 10
    assert len(pictures) == 4
    sizes = [Image.open(io.BytesIO(base64.b64decode(one.partition(",")[2]))).size for one in pictures]
    assert sizes == [(60, 40)] * 2 + [(50, 50)] * 2


def test_many_models_stand_in_even_rows_of_markdown_and_a_failed_one_takes_a_line():
    made = build_report(comparison([fakes.photo()], [f"x/{n}" for n in range(5)]), now=NOON)
    page = render_report(made, "markdown").decode()
    panels = page[page.index("## Panels") : page.index("## Disagreements")]
    assert tables_and_pictures(panels)[0] == [3, 2]
    assert f"- x/b: No map: {REASON}" in render_report(one_that_fails(), "markdown").decode()


@pytest.mark.parametrize("text", ["0.86", "1. one", "12) twelve", "- dash", "=", "+1", "#1 & more", "a|b"])
def test_markdown_shows_a_name_or_a_number_as_it_is(text: str) -> None:
    page = MarkdownIt("commonmark").render(markdown.escape(text))
    assert unescape(re.sub(r"<!-- -->|</?p>", "", page)).strip() == text


def test_the_markdown_in_a_zip_links_the_pictures_beside_it():
    with zipfile.ZipFile(io.BytesIO(render_report(report(), "zip"))) as archive:
        _, pictures = tables_and_pictures(archive.read("report.md").decode())
        assert pictures == [f"images/p1-m{model}-q1-overlay.png" for model in (1, 2)]
        assert set(pictures) <= set(archive.namelist())


def test_the_interactive_page_says_the_verdict_before_the_heatmaps_and_each_note_above_its_photo():
    verdict = Verdict("rejected", "Ada <b>", "2026-11-22", "Too **blurred**", ("Why?",))
    made = report(verdict=verdict, notes=[Note("in review", "Look *again*")], title="Cats & dogs")
    page = render_report(made, "interactive").decode()
    said = [
        "<h1>Cats &amp; dogs</h1>",
        "rejected</span>",
        "Ada &lt;b&gt;",
        "2026-11-22",
        "<strong>blurred</strong>",
        "Why?",
    ]
    said += ["<h2>cat.jpg</h2>", "in review</span>", "<em>again</em>", 'class="heatmaps"']
    places = [page.index(words) for words in said]
    assert places == sorted(places)


REASON = "expected weights, got no network; put the file there"


def one_that_fails(at_first: str = REASON) -> Report:
    """Two photos, two questions and two models, of which one has no map at all. at_first: why not of the first."""
    photos = tuple(fakes.photo(name=name) for name in ("one.jpg", "two.jpg"))
    targets = Top(), "tabby"
    panels = [
        panel
        for photo in photos
        for panel in (
            *(fakes.panel(photo, HEAT, model="x/a", target=target) for target in targets),
            *(fakes.failure(photo, REASON, model="x/b", target=target) for target in targets),
        )
    ]
    panels[2] = fakes.failure(photos[0], at_first, model="x/b", target=targets[0])
    return build_report(Comparison(photos, ("x/a", "x/b"), ("Grad-CAM",), targets, tuple(panels)), now=NOON)


def test_the_reason_of_a_model_without_any_map_is_read_once_among_the_panels_and_once_among_the_failures():
    made = one_that_fails()
    assert sections.failures_table(made).rows == (("x/b", "all 2", "all 2", REASON),)
    page = render_report(made, "html").decode()
    assert page.count(REASON) == 2
    assert page.count("No map, for the reason given above") == 3
    assert pdf_text(made).count("for the reason given above") == 3
    assert render_report(made, "markdown").decode().count(REASON) == 2


def test_models_that_fail_for_one_reason_are_named_together_wherever_they_are_read():
    one, names = fakes.photo(), ("x/a", "x/b", "x/c", "x/d")
    panels = (fakes.panel(one, HEAT, model="x/a"), *(fakes.failure(one, REASON, model=name) for name in names[1:]))
    made = build_report(Comparison((one,), names, ("Grad-CAM",), (Top(),), panels), now=NOON)
    assert [(row[0], row[3]) for row in sections.failures_table(made).rows] == [("x/b, x/c and x/d", REASON)]
    (line,) = sections.panel_groups(made, 0)[0].failures
    assert (line.labels, line.reason) == (names[1:], f"No map: {REASON}")
    text = re.sub(r"<[^>]+>", "", render_report(made, "html").decode())
    assert f"x/b, x/c and x/d. No map: {REASON}" in " ".join(text.split())
    assert f"- x/b, x/c and x/d: No map: {REASON}" in render_report(made, "markdown").decode()
    assert f"x/b, x/c and x/d. No map: {REASON}" in pdf_text(made)


def test_the_table_of_numbers_has_a_row_for_each_map_and_none_for_a_failure():
    made = one_that_fails()
    assert [row[1] for row in sections.numbers_table(made).rows] == ["x/a"] * 4
    nothing = fakes.failure(fakes.photo(), REASON, model="x/a")
    lost = build_report(Comparison((nothing.photo,), ("x/a",), ("Grad-CAM",), (Top(),), (nothing,)), now=NOON)
    assert sections.numbers_table(lost).rows == ()
    assert [">Numbers<" in render_report(one, "html").decode() for one in (made, lost)] == [True, False]


def test_configurations_are_those_of_the_models_that_have_one():
    made = report()
    told = replace(made, models=(replace(made.models[0], configuration={"crop_pct": 0.9}), made.models[1]))
    assert model_tables.configurations_table(told) == sections.Table(("", "x/a"), (("crop_pct", "0.9"),))
    assert "weights of x/a crop_pct 0.9" in pdf_text(told)


def test_a_reason_of_some_photos_or_questions_names_them():
    assert sections.failures_table(one_that_fails("too small")).rows == (
        ("x/b", "one.jpg", "top prediction", "too small"),
        ("x/b", "all 2", "tabby", REASON),
        ("x/b", "two.jpg", "top prediction", REASON),
    )


def test_one_models_answers_stand_beside_one_another_each_under_its_question():
    one = fakes.photo()
    panels = tuple(fakes.panel(one, HEAT, model="x/a", target=target) for target in (Top(), Top(2), Top(3)))
    made = build_report(Comparison((one,), ("x/a",), ("Grad-CAM",), (Top(), Top(2), Top(3)), panels), now=NOON)
    (group,) = sections.panel_groups(made, 0)
    assert list(group.labels) == [
        "top prediction",
        "prediction 2",
        "prediction 3",
    ]
    assert render_report(made, "html").decode().count('<div class="cards of-3">') == 1


def test_no_number_of_the_page_stands_apart_from_its_percent():
    page = render_report(report(), "html").decode()
    assert "70.0\N{NO-BREAK SPACE}%" in page
    assert not re.findall(r"\d %<", page)
