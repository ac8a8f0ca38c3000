"""The page *Reports*: written, built as the command line builds it, reopened, replayed, compared."""

from __future__ import annotations

import io
import re
import shlex
import subprocess
import sys
import zipfile
from datetime import date
from hashlib import sha256
from pathlib import Path
from xml.etree import ElementTree

import pytest
import timm
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest

from dashboard import serving
from dashboard.components import report_build, report_read
from dashboard.components.report_build import Built, size_label
from dashboard.components.report_changes import values_html
from dashboard.session import ReportKey
from gradcam import keys, load_checkpoint
from gradcam.errors import ReportError
from gradcam.models.label_files import read_labels
from gradcam.report import Change, Report, Verdict, build_report, read_report, render_report, replay, revised
from gradcam.report.reproduce import command
from gradcam.report.zip_layout import MANIFEST
from tests import fakes
from tests.dashboard.first_page import reasons
from tests.fuzz.kind import wrong_sentence
from tests.fuzz.memory import measured
from tests.opening import open_page
from tests.report_fakes import HEAT, NOON, comparison, report

DATA = Path(__file__).parents[1] / "data" / "reports"
LITES = [f"bundled/tf_efficientnet_lite{size}" for size in range(2)]


def opened(**link: str | list[str]) -> AppTest:
    """The page as a link opens it, with one small model unless the link names others."""
    return open_page("reports", **{"models": LITES[0], **link})


def press(page: AppTest, label: str) -> AppTest:
    next(button for button in page.button if button.label == label).click().run()
    assert not page.exception
    return page


def built(page: AppTest) -> Built:
    return page.session_state[ReportKey.BUILT]


def build(page: AppTest, *formats: str) -> Built:
    page.pills(key="_formats").set_value(list(formats)).run()
    return built(press(page, "Build the report"))


def test_a_report_that_cannot_be_written_leaves_its_reason_and_no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bytes:
        raise ReportError("expected a PDF, got none; write another format")

    monkeypatch.setattr(report_build, "render_report", refuse)
    page = opened()
    page.pills(key="_formats").set_value(["pdf"]).run()
    press(page, "Build the report")
    assert [error.value for error in page.error] == ["Expected a PDF, got none; write another format."]
    assert not page.get("progress")


@pytest.mark.parametrize(
    ("task", "slot"),
    [("Reopen", ReportKey.REOPENED), ("Compare", ReportKey.BEFORE), ("Compare", ReportKey.AFTER)],
)
def test_a_report_that_a_reload_has_lost_is_asked_for_again(task: str, slot: ReportKey) -> None:
    page = upload(opened(task=task), slot, "lesions.json", render_report(report(), "json"))
    assert not page.error
    link = page.query_params[slot.in_link]
    again = opened(task=task, **{slot.in_link: link})
    (told,) = [error.value.replace("\\", "") for error in again.error]
    assert told.startswith("Expected 'lesions.json', which this link shows but does not carry, as after a reload; ")
    upload(again, slot, "notes.txt", b"no report")
    assert "xpected a report" in again.error[0].value
    assert slot.in_link not in again.query_params
    upload(again, slot, "lesions.json", render_report(report(), "json"))
    assert not again.error


def note(page: AppTest, place: int = 0):
    return [area for area in page.text_area if area.label == "Note"][place]


def upload(page: AppTest, slot: ReportKey, name: str, data: bytes) -> AppTest:
    uploader = next(one for one in page.get("file_uploader") if str(one.key).startswith(f"{slot}-"))
    uploader.upload(name, data, "application/zip").run()
    assert not page.exception
    return page


def words(page: AppTest) -> str:
    kinds = ("markdown", "caption", "error", "success", "warning", "info", "header")
    return "\n".join(element.value for kind in kinds for element in page.main.get(kind))


def test_first_sight_shows_each_photo_beside_its_note_and_offers_to_build() -> None:
    page = opened(photos=["chelsea", "coffee"])
    assert not page.error
    assert len([area for area in page.text_area if area.label == "Note"]) == 2
    assert page.segmented_control(key="_status").value == "needs review"
    assert page.pills(key="_formats").value == ["zip", "html", "pdf"]
    assert [button.label for button in page.main.button] == ["Build the report"]
    assert not page.get("download_button")
    assert "tiger cat" in words(page)


def test_what_is_written_is_in_the_report_and_a_later_word_asks_to_build_again() -> None:
    page = opened(scale="shared")
    note(page).set_value("The *eyes*").run()
    page.segmented_control(key="_status").set_value("approved").run()
    page.text_input(key="_reviewer").set_value("Ada").run()
    page.date_input(key="_date").set_value(date(2026, 11, 22)).run()
    page.text_input(key="_title").set_value("Cats").run()
    page.text_area(key="_summary").set_value("Good").run()
    page.text_area(key="_open_questions").set_value("Why?\n\n And dogs? ").run()
    page.segmented_control(key="_embedded").set_value("small").run()
    made = build(page, "json", "csv")
    assert made.report.verdict == Verdict("approved", "Ada", "2026-11-22", "Good", ("Why?", "And dogs?"))
    assert (made.report.title, made.report.embedded, made.report.style.scale) == ("Cats", "small", "shared")
    assert made.report.photos[0].note.text == "The *eyes*"
    sizes = [f"{name} · {size_label(len(made.files[name.lower()]))}" for name in ("CSV", "JSON")]
    assert [button.label for button in page.get("download_button")] == sizes
    assert read_report(made.files["json"]) == made.report
    assert page.code[0].value == command(made.report)
    assert not page.warning
    note(page).set_value("The nose").run()
    assert "build again" in page.warning[0].value
    assert built(page) is made


def test_beside_a_note_each_map_says_its_method_and_another_method_asks_to_build_again() -> None:
    page = opened(methods=["Grad-CAM", "LayerCAM"], classes=["top prediction", "lynx"])
    said = words(page)
    assert "tf\\_efficientnet\\_lite0 · LayerCAM" in said
    assert "Shown here: *top prediction*. The report shows all 2 questions." in said
    build(page, "json")
    page.multiselect(key="methods").set_value(["Grad-CAM"]).run()
    assert "build again" in page.warning[0].value
    page.multiselect(key="classes").set_value(["zzzzzz", "lynx"]).run()
    assert "Shown here: *lynx*." in words(page), "what has a map"


def test_drafts_outlive_another_page_and_no_other_visitor_sees_them() -> None:
    page = opened()
    note(page).set_value("Mine alone").run()
    page.text_area(key="_summary").set_value("Secret").run()
    page.switch_page("app_pages/layers.py").run()
    page.switch_page("app_pages/reports.py").run()
    assert note(page).value == "Mine alone"
    assert page.text_area(key="_summary").value == "Secret"
    assert "Secret" not in str(page.query_params)
    other = opened()
    assert note(other).value == ""
    assert other.text_area(key="_summary").value == ""
    assert ReportKey.BUILT not in other.session_state


def test_without_a_photo_or_a_format_the_page_says_what_is_missing() -> None:
    page = opened()
    page.pills(key="_formats").set_value([]).run()
    assert next(button for button in page.button if button.label == "Build the report").disabled
    page.multiselect(key="photos").set_value([]).run()
    assert "Choose a photo and a model" in page.info[0].value
    assert not page.text_area


def test_a_pinned_layer_is_in_the_report_and_in_its_command() -> None:
    page = opened(layers=f"{LITES[0]}~blocks.4")
    made = build(page, "json").report
    assert made.answers[0].layer.name == "blocks.4"
    assert "--layer blocks.4" in command(made)


def test_thresholds_are_asked_for_with_the_junit_file_and_decide_whether_it_passes() -> None:
    page = opened(photos="coffee")
    assert [area.label for area in page.text_area if "must predict" in area.label] == []
    page.pills(key="_formats").set_value(["junit"]).run()
    page.text_area(key="_expect_classes").set_value("coffee=espresso\n tabby ").run()
    page.text_area(key="_boxes").set_value("coffee=100,0,500,350").run()
    page.number_input(key="_max_outside_box").set_value(0.4).run()
    made = built(press(page, "Build the report"))
    asked = [case.get("name") for case in ElementTree.fromstring(made.files["junit"]).iter("testcase")]
    assert len(asked) == 4
    assert "1 of 4 checks" in page.warning[0].value
    assert "expected 'tabby' as the first prediction" in page.warning[0].value
    told = "--max-outside-box 0.4 --expect-class coffee=espresso --expect-class tabby --box coffee=100,0,500,350"
    assert page.code[0].value.endswith(told)
    page.text_area(key="_expect_classes").set_value("").run()
    assert "build again" in page.warning[0].value
    page.text_area(key="_boxes").set_value("cofee=1,2,3,4").run()
    assert "xpected one of the photos before =, got 'cofee=1,2,3,4'" in page.error[0].value


def test_a_report_of_a_visitors_own_model_names_its_file_in_the_command() -> None:
    weights = io.BytesIO()
    torch.save(timm.create_model("test_resnet", num_classes=2).state_dict(), weights)
    labels = read_labels(b"disc\ncross\n", "kinds.txt")
    mine = load_checkpoint(weights.getvalue(), "timm/test_resnet", name="mine.pt", labels=labels)
    page = opened()
    page.session_state["_own_models"] = {str(mine.spec): mine}
    page.multiselect(key="models").set_value([str(mine.spec)]).run()
    made = build(page, "json").report
    assert made.failures == ()
    digest = sha256(weights.getvalue()).hexdigest()
    own = f"--checkpoint mine.pt --sha256 {digest} --arch timm/test_resnet --labels kinds.txt --input-size 160"
    assert own in page.code[0].value
    assert "a folder that holds the photos, mine.pt and kinds.txt" in words(page).replace("\\", "")


def test_a_model_that_fails_is_on_the_page_and_in_the_report_with_its_reason() -> None:
    page = opened(models=[LITES[0], "timm/no_such_model"])
    (reason,) = reasons(page)
    assert reason.startswith("expected a model of timm, got 'no_such_model'")
    made = build(page, "json").report
    assert [type(finding).__name__ for finding in made.findings] == ["HeatmapEntry", "FailureEntry"]


def test_the_page_and_the_command_line_make_the_same_file_and_replay_says_same(tmp_path: Path) -> None:
    """Two photos, two models, two classes; the classes are asked for one after the other on the page."""
    page = opened(photos=["cat and coffee", "coffee"], models=LITES[:2], scale="shared")
    page.multiselect(key="classes").set_value(["top prediction", "espresso"]).run()
    note(page, 1).set_value("Only the *cup*").run()
    page.segmented_control(key="_status").set_value("approved").run()
    made = build(page, "zip")
    assert len(made.report.findings) == 2 * 2 * 2

    python, *rest = shlex.split(command(made.report))
    assert python == "python"
    done = subprocess.run([sys.executable, *rest], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    written = (tmp_path / "review.zip").read_bytes()
    assert written == made.files["zip"]

    again = replay(read_report(written))
    assert [check.outcome for check in again.checks] == ["same"] * 8


def cat() -> Report:
    """A report of one photo and one model, as the page builds it."""
    return build(opened(), "json").report


def test_a_reopened_report_shows_what_was_reviewed_and_replays_as_same() -> None:
    reviewed = revised(cat(), Verdict("rejected", "Ada", "today", "Too **blurred**", ("Why?",)))
    page = opened(task="Reopen")
    assert "whether its heatmaps can be had again" in page.info[0].value
    upload(page, ReportKey.REOPENED, "review.zip", render_report(reviewed, "zip"))
    said = words(page)
    assert said_first(page).startswith(
        "**review.zip**: the files fit the manifest; nobody has signed it, so anyone could"
    )
    for told in ("**Rejected · by Ada · today**", "- Why?", reviewed.photos[0].name):
        assert told in said
    assert "<strong>blurred</strong>" in "".join(one.value for one in page.get("html"))
    press(page, "Replay")
    assert [element.value for element in page.success] == ["1 panel: 1 same."]
    assert page.table[0].value["Result"].tolist() == ["same"]


def said_first(page: AppTest) -> str:
    """The first sentence under the uploader."""
    return next(one.value for one in page.main if one.type in ("info", "success", "warning", "header")).replace(
        "\\", ""
    )


def test_every_file_of_a_reopened_report_is_rendered_again(monkeypatch: pytest.MonkeyPatch) -> None:
    page = opened(task="Reopen")
    upload(page, ReportKey.REOPENED, "review.zip", render_report(report(), "zip"))
    assert said_first(page).endswith("Every page and picture in it shows what report.json says.")
    with zipfile.ZipFile(io.BytesIO(render_report(report(), "zip"))) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    changed = resealed(members | {"report.html": b"<p>All is well"})
    upload(page, ReportKey.REOPENED, "review.zip", changed)
    assert said_first(page).endswith("report.html does not say what report.json says; do not trust them.")
    monkeypatch.setattr(report_read, "LARGE", 0)  # panels: this one is large, and waits until it is asked for
    upload(page, ReportKey.REOPENED, "large.zip", resealed(members | {"report.html": b"<p>All is very well"}))
    assert "anyone could have rewritten both" in said_first(page)
    press(page, "Check every file in it")
    assert said_first(page).endswith("report.html does not say what report.json says; do not trust them.")


def test_a_reopened_zip_takes_the_visitors_signature_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADCAM_KEYS", str(tmp_path))
    monkeypatch.setattr(serving, "is_local", lambda: True)
    page = opened(task="Reopen")
    upload(page, ReportKey.REOPENED, "review.zip", render_report(report(verdict=Verdict("approved", "Ada")), "zip"))
    assert "nobody has signed it" in said_first(page)
    assert "Sign it" not in [one.label for one in page.button], "the visitor has no key"
    press(page, "Make a key and sign")
    assert "xpected a name of 1 to 100 letters" in page.error[0].value
    page.text_input(key="_key_name-Sign it").set_value("Ben").run()
    press(page, "Make a key and sign")
    assert keys.secret_key().public.name == "Ben"
    assert re.search(r"- approved, .*, Ben \(.*\): it fits the evidence and the verdict", said_first(page))
    assert "Take it with its signatures" in [one.label for one in page.get("download_button")]
    press(page, "Sign it")
    assert "one signed as it is already" in page.error[0].value


def test_a_report_is_continued_with_other_words_on_the_same_evidence() -> None:
    before = revised(report(), Verdict("in review", "Ada", "22 November", "So far **good**", ("Why?",)))
    page = opened(task="Reopen")
    upload(page, ReportKey.REOPENED, "review.zip", render_report(before, "zip"))
    id = page.session_state[ReportKey.REOPENED].id
    page.session_state[f"_continue-{id}"] = True
    page.run()
    assert page.text_area(key=f"_summary~{id}").value == "So far **good**"
    page.segmented_control(key=f"_status~{id}").set_value("approved").run()
    note(page).set_value("The eyes").run()
    page.pills(key=f"_formats~{id}").set_value(["json"]).run()
    press(page, "Write it with these words")
    after = page.session_state[ReportKey.CONTINUED].report
    assert after.verdict == Verdict("approved", "Ada", "22 November", "So far **good**", ("Why?",))
    assert after.photos[0].note.text == "The eyes"
    assert (after.created, after.findings, after.answers) == (before.created, before.findings, before.answers)
    page.date_input(key=f"_date~{id}").set_value(date(2026, 11, 23)).run()
    assert "build again" in page.warning[0].value
    press(page, "Write it with these words")
    assert page.session_state[ReportKey.CONTINUED].report.verdict.date == "2026-11-23"
    page.pills(key=f"_formats~{id}").set_value(["zip"]).run()
    archive = press(page, "Write it with these words").session_state[ReportKey.CONTINUED].files["zip"]
    press(page, "Check or sign the ZIP")
    assert page.session_state[ReportKey.REOPENED].data == archive
    assert "**Approved · by Ada · 2026-11-23**" in words(page).replace("\\", "")


def test_a_changed_map_differs_and_an_unknown_photo_or_a_long_method_cannot_be_checked() -> None:
    page = opened(task="Reopen")
    text = render_report(cat(), "json").decode()
    peak = str(max(max(row) for row in cat().heatmaps[0].map))
    upload(page, ReportKey.REOPENED, "report.json", text.replace(peak, "9.5", 1).encode())
    press(page, "Replay")
    assert "1 panel: 1 differs." in words(page)
    assert "largest difference" in page.table[0].value["Result"][0]
    assert "a JSON carries no hashes and no signatures, so anyone could have rewritten it" in said_first(page)
    upload(page, ReportKey.REOPENED, "other.json", render_report(report(fakes.photo()), "json"))
    press(page, "Replay")
    assert "cannot be checked because the report does not carry" in page.table[0].value["Result"][0]
    upload(page, ReportKey.REOPENED, "long.json", text.replace('"Grad-CAM"', '"SmoothGrad(IS-CAM)"').encode())
    press(page, "Replay")
    assert "at most 25,000 forwards of each photo and model" in page.error[0].value


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"\x80\x04K.", "got a pickle"),
        (b"hello", "got another kind of file"),
        (b"{}", "by the published schema"),
        (b"PK\x03\x04 and no more", "got a damaged one"),
    ],
)
def test_a_bad_file_is_refused_in_one_sentence_and_the_next_good_one_opens(data: bytes, told: str) -> None:
    page = opened(task="Reopen")
    upload(page, ReportKey.REOPENED, "review.zip", data)
    assert len(page.error) == 1
    assert told in page.error[0].value
    assert page.error[0].value.startswith("review.zip"), "as the file is written"
    upload(page, ReportKey.REOPENED, "good.json", render_report(report(), "json"))
    assert not page.error
    assert "What the models look at" in words(page)


def test_known_bombs_are_a_sentence_each_in_little_memory_and_the_page_goes_on() -> None:
    page = opened(task="Reopen")
    for name in ("photobomb40.zip", "size_bigint.json", "surrogate.json", "int_1e308.json"):
        with measured() as growth:
            upload(page, ReportKey.REOPENED, name, (DATA / name).read_bytes())
            assert growth() < 300
        (error,) = page.error
        assert wrong_sentence(error.value) is None
        assert "xpected" in error.value
    upload(page, ReportKey.REOPENED, "good.json", render_report(report(), "json"))
    assert not page.error
    assert "What the models look at" in words(page)


def test_a_report_with_another_photo_opens_and_its_replay_is_a_sentence() -> None:
    page = opened(task="Reopen")
    upload(page, ReportKey.REOPENED, "review.zip", with_another_photo(report()))
    assert len(page.error) == 1
    assert "cannot be rendered again: expected the pixels that report.json names" in said_first(page)
    assert page.header[0].value == "What the models look at"
    press(page, "Replay")
    assert len(page.error) == 2
    for error in page.error:
        assert "xpected the pixels that report.json names in images/photo-1.png" in error.value.replace("\\", "")
    assert not page.get("progress")
    assert not page.table


def with_another_photo(made: Report) -> bytes:
    """Its ZIP with the first photo black, under right hashes."""
    with zipfile.ZipFile(io.BytesIO(render_report(made, "zip"))) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    black = io.BytesIO()
    Image.new("RGB", made.photos[0].size[::-1]).save(black, "PNG")
    return resealed(members | {"images/photo-1.png": black.getvalue()})


def resealed(members: dict[str, bytes]) -> bytes:
    """A ZIP of these files under right hashes, which anybody can make."""
    members[MANIFEST] = b"".join(
        f"{sha256(data).hexdigest()}  {name}\n".encode() for name, data in members.items() if name != MANIFEST
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def test_a_map_that_changed_is_shown_as_either_report_has_it() -> None:
    before, after = (build_report(comparison([fakes.photo()], heat=heat), now=NOON) for heat in (HEAT, HEAT[::-1]))
    page = opened(task="Compare")
    upload(page, ReportKey.BEFORE, "a.zip", render_report(before, "zip"))
    upload(page, ReportKey.AFTER, "b.zip", render_report(after, "zip"))
    assert [one.value for one in page.main.header] == ["What changed", "Maps that changed"]
    alts = [picture.alt for images in page.get("image") for picture in images.proto.imgs]
    assert alts == [
        f"cat.jpg · {model} · top prediction, {what}"
        for model in ("x/a", "x/b")
        for what in ("earlier", "later", "difference")
    ]
    assert "Earlier: **a.zip**" in words(page).replace("\\", "")


def test_two_reports_are_compared_in_words() -> None:
    made = report()
    page = opened(task="Compare")
    assert "Two reports side by side" in page.info[0].value
    upload(page, ReportKey.BEFORE, "a.json", render_report(made, "json"))
    later = Verdict("approved", "Ada", summary="First line\n" + "and many words more " * 10 + "to the end")
    upload(page, ReportKey.AFTER, "b.json", render_report(revised(made, later), "json"))
    (table,) = [html.proto.body for html in page.get("html") if 'class="changes"' in html.proto.body]
    assert '<th scope="row">status</th><td>needs review</td><td>approved</td>' in table
    assert f"<td>–</td><td>{later.summary}</td>" in table
    upload(page, ReportKey.AFTER, "c.json", render_report(made, "json"))
    assert [element.value for element in page.success] == ["Both reports say the same."]


def test_the_names_of_models_in_a_table_of_changes_may_be_broken_between_their_words() -> None:
    change = Change("Predictions", "", "a<b.jpg · bundled/tf_efficientnet_lite0", "tabby", "cup")
    name = "a&lt;b.<wbr>jpg · bundled/<wbr>tf_<wbr>efficientnet_<wbr>lite0"
    assert f'<th scope="row">{name}</th><td>tabby</td>' in values_html("Predictions", [change])


def test_the_sidebar_shows_what_acts_on_the_task_and_forgets_nothing() -> None:
    page = opened(photos="coffee", fit="squash", classes="tabby", scale="shared")
    controls = [control.label for control in (*page.sidebar.multiselect, *page.sidebar.radio)]
    assert controls == ["Photos", "Models", "Classes", "Methods", "Fit", "Scale"]
    for task, left in (("Reopen", ["Photos"]), ("Compare", [])):
        page.segmented_control(key="task").set_value(task).run()
        assert [control.label for control in (*page.sidebar.multiselect, *page.sidebar.radio)] == left
    page.segmented_control(key="task").set_value("Write").run()
    assert [page.multiselect(key=key).value for key in ("photos", "models", "classes")] == [
        ["coffee"], [LITES[0]], ["tabby"],
    ]  # fmt: skip
    assert [page.radio(key=key).value for key in ("fit", "scale")] == ["squash", "shared"]
