"""What a report says: true, complete, and told where something is missing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from numpy.typing import NDArray

from gradcam.comparison import Comparison
from gradcam.errors import OptionError, ReportError
from gradcam.model_spec import checkpoint_spec
from gradcam.models.sources import configuration_of
from gradcam.report import (
    FORMATS,
    Note,
    Verdict,
    build_report,
    codec,
    model_tables,
    render_report,
    revised,
    sections,
)
from gradcam.report._diff import diff
from gradcam.types import Heatmap, ModelSpec, ScoredTarget, Style, WeightsFile
from tests import fakes
from tests.report_fakes import HEAT, NOON, comparison, pdf_text, report


def test_a_finding_keeps_the_raw_map_to_the_last_bit():
    heat = np.array([[0.1, 1e-7], [1 / 3, 2.5e9]], np.float32)
    made = build_report(comparison([fakes.photo()], ["x/a"], heat=heat), now=NOON)
    kept = codec.decode(codec.encode(made)).heatmaps[0].values
    assert kept.dtype == np.float32
    assert kept.tobytes() == heat.tobytes()


def test_long_names_of_photos_lose_their_middle_in_long_tables_unless_two_would_read_alike():
    long = "a" * 30 + "{}" + "z" * 30 + ".jpg"
    one, other, short = (
        fakes.photo(name=long.format(1)),
        fakes.photo(20, 20, long.format(2)),
        fakes.photo(9, 9, "b"),
    )
    made = report(one, short)
    assert sections.short_photo_names(made) == ("a" * 16 + "…" + "z" * 11 + ".jpg", "b")
    for rows, column in ((sections.numbers_table(made).rows, 0), (sections.disagreements_table(made).rows, 1)):
        assert {row[column] for row in rows} == set(sections.short_photo_names(made))
    assert one.name in sections.photos_table(made).rows[0]
    assert sections.short_photo_names(report(one, other, short)) == (one.name, other.name, "b")


def test_the_numbers_of_a_panel_are_those_of_its_map():
    numbers = report().heatmaps[0].numbers
    assert (numbers.peak, numbers.mean, numbers.positive, numbers.vmax) == (4.0, 1.75, 0.75, 4.0)
    assert numbers.hottest == (45.0, 30.0)  # the lower right cell's centre on a photo of 60×40


def test_on_a_shared_scale_full_colour_is_the_highest_peak_of_all():
    photo = fakes.photo()
    both = fakes.comparison(fakes.panel(photo, HEAT), fakes.panel(photo, HEAT * 3, model="x/b"))
    made = build_report(both, style=Style(scale="shared"), now=NOON)
    assert [panel.numbers.vmax for panel in made.heatmaps] == [12.0, 12.0]


def test_a_report_begins_with_a_class_that_some_model_finds_likely_or_says_that_none_does():
    photo = fakes.photo()

    def panels(target: int, probability: float, *heats: NDArray[np.float32]) -> list[Heatmap]:
        scored = ScoredTarget(target, f"class {target}", 1.0, probability, 1)
        made = [
            fakes.panel(photo, heat, model=f"x/{name}", target=target)
            for heat, name in zip(heats, "ab", strict=True)
        ]
        return [replace(one, explanation=replace(one.explanation, targets=(scored,))) for one in made]

    def opening(*rows: list[Heatmap]) -> str:
        targets = tuple(row[0].target for row in rows)
        by_model = tuple(row[place] for place in range(2) for row in rows)
        asked = Comparison((photo,), ("x/a", "x/b"), ("Grad-CAM",), targets, by_model)
        made = build_report(asked, now=NOON)
        found = sections.opening_row(made)
        assert found is not None
        return sections.opening_title(made, found)

    opposite = panels(1, 0.0004, HEAT, HEAT[::-1])
    equal = panels(2, 0.6, HEAT, HEAT)
    assert opening(equal, panels(1, 0.3, HEAT, HEAT[::-1])) == "Where the models agree least: cat.jpg · Class 1"
    assert opening(opposite, equal) == "Where the models agree least on a likely class: cat.jpg · Class 2"
    assert opening(opposite) == "cat.jpg · Class 1 · no model gives this class even 1 %"


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
    assert "no network" in pdf_text(made)


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
        written = render_report(made, format).decode().replace("\\", "").replace("<wbr>", "")
        assert "tf_efficientnet_lite0.in1k" in written
    assert "ResNet50_Weights.IMAGENET1K_V2" in pdf_text(made)
    other = replace(made.models[0], configuration=lite | {"crop_pct": 1.0})
    assert [str(change) for change in diff(made, replace(made, models=(other, *made.models[1:])))] == [
        f"Models: {models[0]}: crop_pct in its configuration was 0.875 and is 1.0"
    ]


def test_what_was_found_in_a_file_is_in_the_table_of_models_and_absent_where_nobody_brought_one():
    made = report()
    assert not {"Network in the file", "Found in the file"} & {
        row[0] for row in model_tables.models_table(made).rows
    }
    file = WeightsFile("x.pt", "0" * 64, prefix="teacher", note="its head is fc.1, a Linear from 512 to 3")
    brought = replace(made, models=(replace(made.models[0], file=file), *made.models[1:]))
    rows = {row[0]: row[1:] for row in model_tables.models_table(brought).rows}
    assert rows["Network in the file"][0] == "teacher"
    assert rows["Found in the file"] == (file.note, "–")


def test_which_output_the_class_scores_are_is_in_the_report_where_somebody_chose_one():
    photo = fakes.photo()
    chosen = fakes.panel(photo, HEAT, model="x/a")
    chosen = replace(chosen, explanation=replace(chosen.explanation, output="'logits'"))
    made = build_report(fakes.comparison(chosen, fakes.panel(photo, HEAT, model="x/b")), now=NOON)
    assert [model.output for model in made.models] == ["'logits'", ""]
    rows = {row[0]: row[1:] for row in model_tables.models_table(made).rows}
    assert rows["Class scores"] == ("'logits'", "–")
    assert "Class scores" not in {row[0] for row in model_tables.models_table(report()).rows}


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


def checkpoint(letters: str) -> str:
    file = WeightsFile("skin.pth", letters * 32)
    return str(checkpoint_spec("timm/resnet18", file, letters * 32))


def test_a_checkpoint_is_called_by_its_owners_name_and_a_table_tells_its_id():
    made = build_report(comparison((fakes.photo(),), (checkpoint("ab"), "x/b")), now=NOON)
    assert made.model_names == ("skin", "x/b")
    assert model_tables.models_table(made).head == ("", "skin", "x/b")
    assert model_tables.models_table(made).rows[0] == ("Id", checkpoint("ab"), sections.UNKNOWN)
    assert ">skin</bdi>" in render_report(made, "html").decode()
    assert "| skin | x/b |" in render_report(made, "markdown").decode()
    assert "skin" in pdf_text(made)


def test_two_checkpoints_of_one_name_are_told_apart_by_their_ids():
    both = (checkpoint("ab"), checkpoint("cd"))
    assert build_report(comparison((fakes.photo(),), both), now=NOON).model_names == both


def test_a_model_of_which_nothing_is_known_has_no_column_unless_nothing_is_known_of_any():
    photo = fakes.photo()
    kept = comparison((photo,), ("x/a", "x/b"))
    fails = [fakes.failure(photo, "expected weights, found none", model=model) for model in kept.models]
    made = build_report(replace(kept, panels=(kept.panels[0], fails[1])), now=NOON)
    assert model_tables.models_table(made).head == ("", "x/a")
    assert sections.predictions_table(made, 0).head == ("", "x/a")
    assert "<bdi>x/<wbr>b</bdi>" in render_report(made, "html").decode(), "among the failures"
    made = build_report(replace(kept, panels=tuple(fails)), now=NOON)
    assert sections.predictions_table(made, 0).head == ("", "x/a", "x/b")
