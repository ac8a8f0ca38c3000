"""What the dashboard computes, and what it does not compute again: looks, classes, failures, cancelled runs."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from streamlit.testing.v1 import AppTest

from dashboard import library, results
from dashboard.components import Request
from dashboard.library import DEFAULT_PHOTOS as DEFAULT
from gradcam import Classifier, GradcamError, Progress, Top, parse_target, sample_photo
from gradcam.forward import Answer
from gradcam.forward_cache import ForwardCache
from tests.dashboard.first_page import (
    LITE0,
    LITE2,
    heatmaps,
    one_model,
    reasons,
    scenes,
)


def test_a_change_of_look_runs_no_model_and_a_new_model_only_itself(
    page: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    results._shared_panels.clear()
    one_model(page).run()
    asked: list[str] = []
    explain = ForwardCache.explain_each

    def counted(cache: ForwardCache, classifier: Classifier, *args: Any, **options: Any) -> tuple[Answer, ...]:
        asked.append(str(classifier.spec))
        return explain(cache, classifier, *args, **options)

    monkeypatch.setattr(ForwardCache, "explain_each", counted)
    page.radio(key="scale").set_value("shared").run()
    page.run()
    assert asked == []
    assert "maximum of all maps" in scenes(page)[0]["words"]
    page.multiselect(key="models").set_value([LITE0, LITE2]).run()
    page.multiselect(key="photos").set_value(["coffee"]).run()
    assert asked.count(LITE0) == 1
    assert len(heatmaps(page)) == 2


def test_another_class_of_the_same_photo_needs_no_forward(page: AppTest) -> None:
    one_model(page).run()
    counted: list[None] = []
    hook = library.classifier(LITE0).module.register_forward_hook(lambda *_: counted.append(None))
    page.multiselect(key="classes").set_value(["tabby", "espresso"]).run()
    assert heatmaps(page) == [f"{LITE0}: tabby", f"{LITE0}: espresso"]
    assert counted == []
    page.radio(key="fit").set_value("squash").run()
    assert len(counted) == 1
    hook.remove()


def test_a_failed_model_is_not_asked_again_at_once_but_later(
    page: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def load(model: str):
        tried.append(model)
        raise library.GradcamError(f"expected a network for {model}; plug it in")

    monkeypatch.setattr(library, "load_classifier", load)
    page.session_state["models"] = ["timm/resnet18.a1_in1k"]
    page.run()
    page.radio(key="scale").set_value("shared").run()
    assert len(tried) == 1
    assert "plug it in" in reasons(page)[0]
    monkeypatch.setattr(library, "SECONDS_BEFORE_RETRY", 0.0)
    page.run()
    assert len(tried) > 1


def test_a_cancelled_run_shows_what_it_has_and_goes_on_when_asked(page: AppTest) -> None:
    page.query_params["classes"] = ["lynx"]
    one_model(page).run()
    request = Request((parse_target("zebra"),), "crop")
    page.session_state["_cancelled"] = ((LITE0,), (sample_photo(*DEFAULT).sha256,), request)
    page.multiselect(key="classes").set_value(["zebra"]).run()
    assert [info.value for info in page.info] == ["Cancelled. 0 of 1 heatmap had finished."]
    assert reasons(page) == []
    assert not page.get("download_button")
    next(button for button in page.button if button.label == "Continue").click().run()
    assert heatmaps(page) == [f"{LITE0}: zebra"]
    assert not page.info


def test_a_run_can_be_ended_while_a_model_still_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    arrived, words = threading.Event(), []

    def load(model: str):
        arrived.wait(60)
        raise GradcamError("too late")

    class StopRun(BaseException):
        pass

    def say(progress: Progress) -> None:
        words.append(progress)
        if len(words) == 3:
            raise StopRun

    monkeypatch.setattr(library, "load_classifier", load)
    with pytest.raises(StopRun):
        results.compared(["timm/never"], [sample_photo("chelsea")], [Top()], on_progress=say)
    assert {progress.photo for progress in words} == {None}
    arrived.set()


def test_a_layer_that_was_read_from_shapes_is_looked_up_anew_once_the_weights_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADCAM_WEIGHTS", str(tmp_path))
    model = "timm/test_resnet.r160_in1k"
    assert results.located(model).untrained
    file = tmp_path / f"{model}.pth"
    file.parent.mkdir()
    torch.save(timm.create_model("test_resnet").state_dict(), file)
    assert not results.located(model).untrained
    assert results.located(model).layer.name == "layer4"
