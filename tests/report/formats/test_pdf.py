"""The PDF: every panel, in every script, from any process."""

from __future__ import annotations

import io
import multiprocessing
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pypdf
import pytest

from gradcam import sample_photo
from gradcam.errors import ReportError
from gradcam.model_spec import read_spec
from gradcam.models.sources import configuration_of
from gradcam.report import (
    Note,
    Verdict,
    build_report,
    render_report,
)
from gradcam.report.formats import pdf, typesetting
from tests import fakes
from tests.report_fakes import NOON, comparison, pdf_text, report

A4_WIDTH = 595
"""In points."""


def test_every_panel_is_in_the_pdf_and_it_is_tagged_and_numbered():
    made = report(fakes.photo(name="one.jpg"), fakes.photo(30, 30, "two.jpg"))
    document = pypdf.PdfReader(io.BytesIO(render_report(made, "pdf")))
    text = "\n".join(page.extract_text() for page in document.pages).replace("\N{NO-BREAK SPACE}", " ")
    panels = text[text.rindex("Overlay, then what") : text.rindex("Disagreements, ranked")]
    assert panels.count("tabby · 70.0 %") == 4
    assert document.trailer["/Root"]["/MarkInfo"]["/Marked"]
    assert document.trailer["/Root"]["/Lang"] == "en"
    assert f"1 / {len(document.pages)}" in document.pages[0].extract_text()
    chapters = [item.title for item in document.outline if not isinstance(item, list)]
    assert chapters[:3] == ["Verdict", "What was compared", "Findings"]
    assert chapters[-1] == "Provenance"


def test_three_photos_and_three_models_take_five_pages_with_a_picture_on_the_first_and_none_half_empty():
    photos = [sample_photo(name) for name in ("chelsea", "coffee", "cat and coffee")]
    models = [f"bundled/tf_efficientnet_lite{size}" for size in range(3)]
    verdict = Verdict(
        "approved", "Ada", "2026-11-22", "All look at **the animal**.\n\n- fine for triage", ("Why?",)
    )
    made = build_report(comparison(photos, models), now=NOON, verdict=verdict, notes=[Note(text="The face")] * 3)
    pages = pypdf.PdfReader(io.BytesIO(render_report(made, "pdf"))).pages
    assert len(pages) <= 5
    assert len(pages[0].images) >= 2, "maps that are the same are one image in the file"
    assert all(lowest_line(page) < 0.4 for page in pages[:-1])


def test_one_photo_and_one_model_take_three_pages():
    model = "bundled/tf_efficientnet_lite0"
    made = build_report(comparison([sample_photo("chelsea")], [model]), now=NOON)
    told = replace(made, models=(replace(made.models[0], configuration=configuration_of(read_spec(model))),))
    assert len(pypdf.PdfReader(io.BytesIO(render_report(told, "pdf"))).pages) == 3


def test_no_last_page_is_nearly_empty_however_long_the_report_is():
    for lines in range(0, 56, 8):
        made = report(verdict=Verdict(questions=("Why?",) * lines))
        last = pypdf.PdfReader(io.BytesIO(render_report(made, "pdf"))).pages[-1]
        assert lowest_line(last) < 1 - pdf.LEAST_FILLED + 0.02, f"{lines} questions"


@pytest.mark.parametrize(
    ("usual", "close", "apart", "taken"),
    [
        ((5, 0.3), None, None, ""),
        ((5, 0.1), (4, 0.9), None, "close"),
        ((5, 0.1), (5, 0.05), (5, 0.5), "apart"),
        ((5, 0.1), (5, 0.05), (5, 0.2), ""),
        ((1, 0.1), None, None, ""),
        ((pdf.MOST_PAGES + 1, 0.1), None, None, ""),
    ],
)
def test_another_layout_is_taken_only_where_it_mends_the_last_page(usual, close, apart, taken, monkeypatch):
    ends = {"": usual, "close": close, "apart": apart}

    def typeset(job: typesetting.Job) -> typesetting.Typeset:
        layout = job.inputs.get("layout", "")
        pages, filled = ends[layout] or pytest.fail(f"{layout} is typeset for nothing")
        return typesetting.Typeset(layout.encode(), 0, pages, filled)

    monkeypatch.setattr(pdf, "typeset", typeset)
    assert pdf._typeset(typesetting.Job([], False)).pdf == taken.encode()


def test_the_numbers_of_a_marked_photo_stand_in_one_line():
    marked = replace(fakes.photo(), region=((2, 2), (9, 9)))
    page = next(
        page
        for page in pypdf.PdfReader(io.BytesIO(render_report(report(marked), "pdf"))).pages
        if "Every map in numbers" in page.extract_text()
    )
    heads = {round(y) for word in ("Question", "Hottest at", "Heat inside") for _, y in places(page, word)[:1]}
    assert len(heads) == 1


def test_four_panels_stand_two_by_two_and_a_panoramas_facts_keep_to_its_panel():
    made = build_report(comparison([fakes.photo(60, 300)], ["x/a", "x/b", "x/c", "x/d"]), now=NOON)
    pages = pypdf.PdfReader(io.BytesIO(render_report(made, "pdf"))).pages
    facts = [place for page in pages for place in places(page, "Peak 4")]
    columns, rows = sorted({round(x) for x, _ in facts}), {round(y) for _, y in facts}
    assert (len(facts), len(columns), len(rows)) == (4, 2, 2)
    assert columns[0] < A4_WIDTH / 2 - 100, (
        "a fact has room beside its pictures, and does not stand letter by letter"
    )
    assert columns[1] < A4_WIDTH - 150


@pytest.mark.parametrize(
    ("panels", "columns"), [(1, 2), (3, 3), (4, 2), (5, 3), (6, 3), (7, 4), (8, 4), (9, 3), (10, 4)]
)
def test_panels_stand_in_even_rows(panels, columns):
    assert pdf._columns(panels) == columns


def test_the_facts_of_four_panels_in_a_row_stand_under_their_pictures_and_over_the_colour_bar():
    made = build_report(comparison([fakes.photo(60, 80)], [f"x/{name}" for name in "abcdefg"]), now=NOON)
    pages = pypdf.PdfReader(io.BytesIO(render_report(made, "pdf"))).pages
    facts = [place for page in pages for place in places(page, "Peak 4")]
    assert len({round(x) for x, _ in facts}) == 4
    assert len({round(y) for _, y in facts}) == 2


def places(page: pypdf.PageObject, start: str = "") -> list[tuple[float, float]]:
    """Where each piece of text stands that begins with `start`, in points from the page's lower left corner."""
    found: list[tuple[float, float]] = []

    def hear(text: str, on_page: Sequence[float], at: Sequence[float], *_: object) -> None:
        if text.strip() and text.strip().startswith(start):
            x, y = at[4], at[5]
            found.append(
                (x * on_page[0] + y * on_page[2] + on_page[4], x * on_page[1] + y * on_page[3] + on_page[5])
            )

    page.extract_text(visitor_text=hear)
    return found


def lowest_line(page: pypdf.PageObject) -> float:
    """How far the last line above the footer is from the page's foot, as a share of its height."""
    return min(y for _, y in places(page) if y > 60) / float(page.mediabox.height)


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
    text = pdf_text(report(fakes.photo(name="cat.jpg"), notes=[Note(text=" ".join(SCRIPTS + COMPOSED_SCRIPTS))]))
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
    shown = "".join(pdf_text(report(fakes.photo(name="𒀀𒀁 🐱 Łódź.jpg"))).split())
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
