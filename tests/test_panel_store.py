"""Panels that are kept are found again by their contents, and only what is missing is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import NoReturn

import pytest
import torch
from torch import Tensor, nn

from gradcam import (
    Classifier,
    Comparison,
    Explanation,
    Failure,
    Heatmap,
    ModelError,
    OptionError,
    Photo,
    Top,
    compare,
    explain,
)
from gradcam._explain import explain_each
from gradcam.panel_store import PanelMemory
from gradcam.types import UnreadablePhoto
from tests.test_explain import Colours, colours, quarters

RED, GREEN = "red", "green"


class Shop:
    """Models by id, each made by hand; it counts what is loaded and what is explained."""

    def __init__(self, **models: Classifier) -> None:
        self.models, self.loaded, self.explained = models, list[str](), list[tuple[str, str, tuple]]()

    @contextmanager
    def use(self, model: str) -> Iterator[Classifier]:
        self.loaded.append(model)
        if model not in self.models:
            raise ModelError(f"expected a model, got {model}; name another")
        yield self.models[model]

    def explain(self, classifier: Classifier, photo: Photo, targets: Sequence, **options) -> Explanation:
        self.explained.append((str(classifier.spec), photo.name, tuple(targets)))
        return explain(classifier, photo, targets, **options)


def named(photo: Photo, name: str, sha256: str) -> Photo:
    return replace(photo, name=name, sha256=sha256)


A, B = named(quarters(), "a.png", "a" * 64), named(quarters(), "b.png", "b" * 64)


def ask(shop: Shop, store: PanelMemory, targets, photos=(A,), models=("one",), **options):
    return compare(
        list(models),
        list(photos),
        targets,
        layer="maps",
        results=store,
        use=shop.use,
        explainer=shop.explain,
        **options,
    )


def test_what_is_kept_is_not_computed_and_its_model_is_not_loaded() -> None:
    shop, store = Shop(one=colours()), PanelMemory()
    first = ask(shop, store, [RED, GREEN])
    again = ask(shop, store, [RED, GREEN], on_progress=lambda progress: pytest.fail("nothing takes time"))
    assert len(shop.loaded) == len(shop.explained) == 1
    for one, other in zip(first.heatmaps, again.heatmaps, strict=True):
        assert (one.map == other.map).all()
        assert one.target == other.target
        assert other.explanation.photo is other.photo is A


def test_only_what_is_missing_is_computed() -> None:
    shop, store = Shop(one=colours()), PanelMemory()
    ask(shop, store, [RED])
    found = ask(shop, store, [RED, GREEN], photos=[A, B])
    spec = str(colours().spec)
    assert shop.explained == [(spec, "a.png", (RED,)), (spec, "a.png", (GREEN,)), (spec, "b.png", (RED, GREEN))]
    assert [(panel.photo.name, panel.target) for panel in found.panels] == [
        ("a.png", RED),
        ("a.png", GREEN),
        ("b.png", RED),
        ("b.png", GREEN),
    ]


class NoGreen(Colours):
    """The weights of one class are not finite."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 3, bias=False)
        self.head.weight.data.copy_(torch.eye(3))
        self.head.weight.data[1] = torch.nan

    def forward(self, x: Tensor) -> Tensor:
        return self.head(super().forward(x))


@pytest.mark.parametrize("explainer", [explain_each, explain])
def test_a_class_whose_map_is_not_finite_fails_no_other_class(explainer: Callable) -> None:
    shop, store = Shop(one=colours(NoGreen())), PanelMemory()

    def asked(targets: list[str]) -> Comparison:
        return compare(["one"], [A], targets, layer="maps", results=store, use=shop.use, explainer=explainer)

    red, green = asked([RED, GREEN]).panels
    assert isinstance(red, Heatmap)
    assert isinstance(green, Failure)
    assert "for class green, got NaN" in green.reason
    (again,) = asked([RED]).panels  # from the store
    assert isinstance(again, Heatmap)
    assert (again.map == red.map).all()


def test_a_photo_of_the_same_content_is_found_under_its_new_name() -> None:
    shop, store = Shop(one=colours()), PanelMemory()
    ask(shop, store, [RED])
    (panel,) = ask(shop, store, [RED], photos=[named(A, "renamed.png", A.sha256)]).panels
    assert len(shop.explained) == 1
    assert panel.photo.name == "renamed.png"


@pytest.mark.parametrize(
    "options",
    [{"fit": "squash"}, {"activation": "sigmoid"}, {"precision": "bfloat16"}, {"targets": [Top(1)]}],
)
def test_another_question_is_another_panel(options: dict) -> None:
    shop, store = Shop(one=colours()), PanelMemory()
    ask(shop, store, [RED])
    for _ in range(2):
        ask(shop, store, **{"targets": [RED], **options})
    assert len(shop.explained) == 2


def test_a_precision_that_there_is_not_is_refused_before_anything_is_loaded() -> None:
    shop = Shop(one=colours())
    with pytest.raises(OptionError, match="expected a precision, got 'bf16'; use 'bfloat16'"):
        ask(shop, PanelMemory(), [RED], precision="bf16")
    assert shop.loaded == []


def test_other_weights_under_the_same_id_are_another_model_once_they_are_loaded() -> None:
    shop, store = Shop(one=colours()), PanelMemory()
    ask(shop, store, [RED])
    changed = colours()
    with torch.no_grad():
        next(changed.module.parameters()).add_(1)
    shop.models["one"] = changed
    ask(shop, store, [RED, GREEN])  # loads the model, and finds that it is not the one whose panel is kept
    assert [targets for *_, targets in shop.explained] == [(RED,), (RED, GREEN)]


def test_a_class_that_a_model_lacks_is_kept_as_failed_and_one_that_is_not_there_is_asked_for_again() -> None:
    shop, store = Shop(one=colours()), PanelMemory()
    for _ in range(2):
        found = ask(shop, store, [RED, "purple"], models=["one", "none"])
        assert [type(panel) for panel in found.panels] == [Heatmap, Failure, Failure, Failure]
    assert shop.loaded == ["one", "none", "none"]


def test_what_was_finished_before_an_interruption_is_kept() -> None:
    shop, store = Shop(one=colours()), PanelMemory()

    def stop(progress) -> None:
        if progress.photo == "b.png":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(shop, store, [RED], photos=[A, B], on_progress=stop)

    def not_yet(model: str) -> NoReturn:
        raise ModelError("not yet")

    found = compare(["one"], [A, B], [RED], layer="maps", results=store, use=not_yet)
    assert [type(panel) for panel in found.panels] == [Heatmap, Failure]
    assert found.failures[0].reason == "not yet"


def test_a_classifier_that_is_passed_in_is_never_looked_up() -> None:
    store = PanelMemory()
    model = colours()
    (before,) = compare([model], [A], [RED], layer="maps", results=store).heatmaps
    with torch.no_grad():
        next(model.module.parameters()).mul_(2)
    (after,) = compare([model], [A], [RED], layer="maps", results=store).heatmaps
    assert after.map.max() > before.map.max() > 0


def test_the_panel_that_was_asked_for_longest_ago_leaves_first() -> None:
    shop, store = Shop(one=colours()), PanelMemory(most=2)
    for target in (RED, GREEN, RED, "blue", RED):
        ask(shop, store, [target])
    assert [targets for *_, targets in shop.explained] == [(RED,), (GREEN,), ("blue",)]


def test_photos_that_share_a_forward_have_the_maps_that_each_has_by_itself_and_are_kept() -> None:
    shop, store = Shop(one=colours()), PanelMemory()
    photos = [named(replace(A, pixels=A.pixels // shade), f"{shade}.png", f"{shade}" * 64) for shade in range(1, 6)]
    alone = ask(Shop(one=colours()), PanelMemory(), [RED, GREEN], photos=photos)
    said: list[str | None] = []
    together = ask(
        shop, store, [RED, GREEN], photos=photos, batch_size=2, on_progress=lambda now: said.append(now.photo)
    )
    assert shop.explained == []
    assert said == [None, *(photo.name for photo in photos)]
    for one, other in zip(alone.panels, together.panels, strict=True):
        assert isinstance(one, Heatmap)
        assert isinstance(other, Heatmap)
        assert (one.photo, one.target) == (other.photo, other.target)
        assert other.map == pytest.approx(one.map, abs=1e-6)
    ask(shop, store, [RED, GREEN], photos=photos)
    assert len(shop.loaded) == 1


def test_a_photo_or_class_that_fails_beside_others_fails_by_itself_with_its_reason() -> None:
    shop, unread = Shop(one=colours()), UnreadablePhoto(A.pixels, "c.png", "", reason="no picture")
    found = ask(shop, PanelMemory(), [RED, "purple"], photos=[A, unread, B], batch_size=8)
    assert [type(panel) for panel in found.panels] == [Heatmap, Failure, Failure, Failure, Heatmap, Failure]
    assert [failure.reason for failure in found.failures[1:3]] == ["no picture"] * 2
    assert [photo for _, photo, targets in shop.explained if targets == (RED,)] == ["a.png", "b.png"]
