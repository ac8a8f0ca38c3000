"""A table of hostile inputs through every format: names, labels and notes are shown, never obeyed."""

from __future__ import annotations

import ast
import csv
import io
import json
import re
import zipfile
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pypdf
import pytest
from markdown_it import MarkdownIt

from gradcam.comparison import Comparison
from gradcam.report import Note, Report, Verdict, build_report, read_report, render_report
from gradcam.report.codec import canonical
from gradcam.report.notes import note_html
from gradcam.report.reproduce import command, python_lines
from gradcam.text import clean
from gradcam.types import Panel, WeightsFile
from tests import fakes
from tests.report_fakes import HEAT, NOON

HOSTILE = {
    "html": "<img src=x onerror=alert(1)>",
    "script end": "</script><script>alert(2)</script>",
    "style end": "</style></svg></title><iframe src=//evil.example>",
    "attribute": '" onmouseover="alert(3)" x=\'',
    "jinja": "{{ 7 * 7 }}{% include '/etc/passwd' %}",
    "markdown": "![x](http://evil.example/a.png) [y](javascript:alert(4)) `|` @everyone #1 www.evil.example",
    "markdown block": "# Title\n\n- item\n\n| a | b |\n```\n<b>",
    "typst": '#read("/etc/passwd") $x$ *b* @ref <label> #{1+1} \\u{41} // /*',
    "formula": '=HYPERLINK("http://evil.example","x")',
    "formula with a space": " +1+1",
    "formula with a tab": "\t@SUM(1)",
    "shell": "$(touch /tmp/owned); `id` && rm -rf ~ 'quoted'",
    "path": "../../../../etc/passwd",
    "xml": "]]><!ENTITY x SYSTEM 'file:///etc/passwd'>&x;",
    "control": "a\x00b\x07c\x1b[31md\r\ne",
    "turned round": "gpj.\u202eexe.cat",
    "right to left": "קפה حليب.jpg",
    "emoji": "🐱‍👤 日本語 हिन्दी 🏴󠁧󠁢󠁥󠁮󠁧󠁿.png",
    "undecodable": "caf\udce9.jpg",
    "noncharacter": "a\ufffeb\uffffc",
    "long": "W" * 300,
}
NOTE = """<script>alert(5)</script> <img src=x onerror=alert(6)>

[click](javascript:alert(7)) [data](data:text/html,<script>alert(8)</script>) ![pixel](https://evil.example/p.png)

[fine](https://example.org/?a=1&b="2") <javascript:alert(9)> [ref]

```
#read("/etc/passwd")
```

[ref]: vbscript:alert(10)
"""


def _hostile_report() -> Report:
    """Every hostile text as photo, class, model, question, reason, title and note."""
    photos = [replace(fakes.photo(20, 30, f"{n}"), name=text) for n, text in enumerate(HOSTILE.values())]
    panels: list[Panel] = []
    for photo, text in zip(photos, HOSTILE.values(), strict=True):
        sound = fakes.panel(photo, HEAT, model="x/y", label=text)
        assert sound.explanation is not None
        layer = replace(sound.explanation.layer, name=text, rule=text)
        spec = replace(sound.explanation.model, source=text, name=text)
        explanation = replace(sound.explanation, layer=layer, model=spec, method=text)
        panels += [replace(sound, explanation=explanation), fakes.failure(photo, text)]
    compared = Comparison(
        tuple(photos), ("x/y", HOSTILE["html"]), ("Grad-CAM",), (HOSTILE["script end"],), tuple(panels)
    )
    everything = " ".join(HOSTILE.values())
    made = build_report(
        compared,
        title=everything,
        layer=HOSTILE["html"],
        now=NOON,
        verdict=Verdict("rejected", everything, everything, NOTE + everything, tuple(HOSTILE.values())),
        notes=[Note("in review", NOTE + text) for text in HOSTILE.values()],
    )
    configuration = {text: [text] if n % 2 else text for n, text in enumerate(HOSTILE.values())}
    file = WeightsFile(everything, "0" * 64, everything, tuple(HOSTILE.values()))
    brought = replace(made.models[0], configuration=configuration, origin=everything, file=file)
    return canonical(replace(made, models=(brought, *made.models[1:])))


@pytest.fixture(scope="module")
def hostile() -> Report:
    return _hostile_report()


class _Tags(HTMLParser):
    """Every tag with its attributes, and all the text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def _tags(html: str) -> _Tags:
    parser = _Tags()
    parser.feed(html)
    return parser


def _assert_harmless(tags: _Tags) -> None:
    for tag, attributes in tags.tags:
        assert tag not in ("iframe", "object", "embed", "form", "base", "link"), tag
        assert not [name for name in attributes if name.startswith("on")], attributes
        href = attributes.get("href") or ""
        if href:
            assert re.match(r"#|https?://|mailto:|data:image/", href), href
        assert re.match(r"$|data:image/", attributes.get("src") or ""), attributes


def test_html_shows_every_hostile_text_and_obeys_none(hostile):
    tags = _tags(render_report(hostile, "html").decode())
    _assert_harmless(tags)
    assert [tag for tag, _ in tags.tags].count("script") == 1
    assert [tag for tag, _ in tags.tags].count("style") == 1
    shown = " ".join(tags.text.split())
    for text in HOSTILE.values():
        assert " ".join(clean(text).split()) in shown, text


def test_html_in_a_real_browser_asks_for_nothing_and_runs_nothing(hostile, browser, tmp_path):
    page_file = tmp_path / "hostile.html"
    page_file.write_bytes(render_report(hostile, "html"))
    page = browser.new_page()
    asked: list[str] = []
    heard: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: (heard.append(dialog.message), dialog.dismiss()))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("console", lambda message: heard.append(message.text))
    page.goto(page_file.as_uri())
    page.mouse.move(200, 200)
    page.wait_for_timeout(300)
    assert [url for url in asked if not url.startswith("data:")] == [page_file.as_uri()]
    assert heard == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.close()


def test_pdf_shows_every_hostile_text_and_links_to_sites_only(hostile):
    document = pypdf.PdfReader(io.BytesIO(render_report(hostile, "pdf")))
    raw = "".join("".join(page.extract_text().split()) for page in document.pages)
    for name in ("html", "script end", "jinja", "typst", "formula", "shell", "path"):
        assert "".join(HOSTILE[name].split()) in raw, name
    assert "日本語" in raw
    assert "🐱" in raw
    assert "root:x:0" not in raw
    links = [
        str(note.get_object()["/A"]["/URI"])
        for page in document.pages
        for note in page.get("/Annots", [])
        if "/URI" in note.get_object().get("/A", {})
    ]
    assert any(link.startswith("https://example.org/") for link in links)
    assert all(re.match("https?://", link) for link in links)
    assert not {"/JavaScript", "/OpenAction", "/AA"} & set(document.trailer["/Root"])


def test_markdown_rendered_with_raw_html_allowed_still_does_nothing(hostile):
    rendered = (
        MarkdownIt("commonmark", {"html": True}).enable("table").render(render_report(hostile, "markdown").decode())
    )
    tags = _tags(rendered)
    _assert_harmless(tags)
    assert not [tag for tag, _ in tags.tags if tag in ("script", "style", "svg")]
    assert [tag for tag, _ in tags.tags].count("img") == len(hostile.heatmaps)
    seen = re.sub(r"<(pre|code)\b.*?</\1>", "", rendered, flags=re.DOTALL)
    assert not re.search(r"(?<!\w)[@#]\w", re.sub(r'(href|src)="[^"]*"|&#\d+;', "", seen))
    assert HOSTILE["path"] in tags.text


def test_every_csv_row_is_whole_and_no_cell_is_a_formula(hostile):
    rows = list(csv.reader(io.StringIO(render_report(hostile, "csv").decode("utf-8-sig"), newline="")))
    assert len(rows) == 1 + 2 * len(HOSTILE)
    assert {len(row) for row in rows} == {len(rows[0])}
    for cell in (cell for row in rows[1:] for cell in row if not re.fullmatch(r"-?[\d.e+-]+", cell)):
        assert not cell.lstrip().startswith(("=", "+", "-", "@", "\t", "\r"))


def test_junit_is_well_formed_and_keeps_every_test(hostile):
    root = ElementTree.fromstring(render_report(hostile, "junit"))
    assert len(list(root.iter("testcase"))) == 2 * len(HOSTILE)
    assert HOSTILE["xml"] in {suite.get("name") for suite in root.iter("testsuite")}


def test_json_keeps_every_text_to_the_letter_but_what_no_file_can_hold(hostile):
    names = [photo["name"] for photo in json.loads(render_report(hostile, "json"))["photos"]]
    whole = {name: text for name, text in HOSTILE.items() if name != "undecodable"}
    assert set(whole.values()) < set(names)
    assert "caf⟨U+DCE9⟩.jpg" in names


def test_zip_names_come_from_numbers_and_it_reopens_to_the_same_bytes(hostile):
    data = render_report(hostile, "zip")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert all(re.fullmatch(r"[A-Za-z0-9./-]+", name) for name in archive.namelist())
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", archive.read("README.txt").decode())
    assert render_report(read_report(data), "zip") == data


def test_the_lines_that_make_it_again_call_nothing_but_what_they_should(hostile):
    calls = [node.func for node in ast.walk(ast.parse(python_lines(hostile))) if isinstance(node, ast.Call)]
    called = {call.id for call in calls if isinstance(call, ast.Name)}
    assert called == {
        *("open_photo", "load_checkpoint", "Labels", "compare"),
        *("Verdict", "Note", "build_report", "write_report"),
    }
    assert command(hostile).startswith("# No command loads ")
    assert len(command(hostile).splitlines()) == 1


def test_the_interactive_page_obeys_none_either(hostile):
    assert "0.00 s" not in render_report(hostile, "interactive").decode()
    for tag, attributes in _tags(render_report(hostile, "interactive").decode()).tags:
        assert tag not in ("iframe", "object", "embed")
        assert not [name for name in attributes if name.startswith("on")], attributes


@pytest.mark.parametrize(
    ("note", "html"),
    [
        ("**good**", "<p><strong>good</strong></p>\n"),
        ("<b>x</b>", "<p>&lt;b&gt;x&lt;/b&gt;</p>\n"),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>\n"),
        ("[x](JaVaScRiPt&#58;alert(1))", "<p>[x](JaVaScRiPt:alert(1))</p>\n"),
        ("[x](/local)", "<p>[x](/local)</p>\n"),
        ("[x](https://example.org)", '<p><a href="https://example.org">x</a></p>\n'),
        ("# Loud", "<p><strong>Loud</strong></p>\n"),
        ("a\u202eb", "<p>a⟨U+202E⟩b</p>\n"),
    ],
)
def test_a_note_is_markdown_without_raw_html_and_with_harmless_links(note, html):
    assert note_html(note) == html
