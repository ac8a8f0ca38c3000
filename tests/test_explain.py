"""From a photo to heat: with the real weights of the bundled models, and in every corner case."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from itertools import islice
from pathlib import Path
from unittest import TestCase

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from gradcam import (
    ClassError,
    Classifier,
    Contrast,
    Explanation,
    Heatmap,
    Labels,
    MapError,
    ModelError,
    ModelSpec,
    OptionError,
    Photo,
    PhotoError,
    PhotoFailure,
    Preprocessing,
    Top,
    compare,
    explain,
    explain_many,
    load_classifier,
    open_photo,
    open_photos,
    photo_file,
    sample_photo,
)
from gradcam._compare import Progress
from gradcam.methods import METHODS, Signals
from gradcam.running import clone_sharing_weights, lock_of

BUNDLED = [f"bundled/tf_efficientnet_lite{i}" for i in range(3)]
CAT, COFFEE = "Egyptian cat", "espresso"


@pytest.fixture(scope="module", params=BUNDLED)
def bundled(request: pytest.FixtureRequest) -> Classifier:
    return load_classifier(request.param)


def test_chelsea_is_a_cat_and_coffee_is_espresso(bundled: Classifier) -> None:
    assert explain(bundled, sample_photo("chelsea")).targets[0].label in {"tabby", "tiger cat", CAT}
    assert explain(bundled, sample_photo("coffee")).targets[0].label == COFFEE


@pytest.mark.parametrize(("sample", "cat_half"), [("cat and coffee", 0), ("coffee and cat", 1)])
def test_the_cats_heat_lies_in_the_cats_half_and_the_coffees_in_the_other(
    bundled: Classifier, sample: str, cat_half: int
) -> None:
    cat, coffee = explain(bundled, sample_photo(sample), [CAT, COFFEE], fit="squash").maps
    for heat, half in ((cat, cat_half), (coffee, 1 - cat_half)):
        assert share_in_half(heat, half) >= 0.75


def share_in_half(heat: np.ndarray, half: int) -> float:
    """Mass in the left (0) or right (1) half; a middle column counts half."""
    places = (np.arange(heat.shape[1]) + 0.5) / heat.shape[1]
    weight = np.where(places == 0.5, 0.5, (places > 0.5) == half)
    return float((heat * weight).sum() / heat.sum())


class Colours(nn.Module):
    """Three classes: how red, how green and how blue a photo is; the maps are the colour channels themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Conv2d(3, 3, 1, bias=False)
        self.maps.weight = nn.Parameter(torch.eye(3)[:, :, None, None], requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.maps(x).mean((2, 3))


def colours(module: nn.Module | None = None, names: tuple[str, ...] = ("red", "green", "blue")) -> Classifier:
    plain = Preprocessing((4, 4), (4, 4), interpolation="nearest", mean=(0.0,) * 3, std=(1.0,) * 3)
    return Classifier((module or Colours()).eval(), plain, Labels(names), ModelSpec("own", "colours"))


def quarters() -> Photo:
    """4×4 pixels: red top left, green top right, blue bottom left, white bottom right."""
    corners = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], np.uint8)
    return Photo(corners.repeat(2, 0).repeat(2, 1), "quarters", "0" * 64)


def test_a_model_of_colours_looks_at_its_colour_and_the_numbers_are_those_of_the_paper() -> None:
    # y_red = mean(red) over 16 places, so α = (1/16, 0, 0) and the map is red/16.
    explanation = explain(colours(), quarters(), ["red", "blue"], layer="maps")
    red = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]) / 16
    blue = np.array([[0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1]]) / 16
    assert np.allclose(explanation.maps, [red, blue])
    assert [target.label for target in explanation.targets] == ["red", "blue"]
    assert explanation.targets[0].score == pytest.approx(0.5)
    assert explanation.layer.grid == (4, 4)


def test_a_contrast_is_the_heat_of_a_difference_of_logits() -> None:
    # y_blue − y_red: α = (−1/16, 0, 1/16), so white cancels and pure blue is left.
    explanation = explain(colours(), quarters(), [Contrast("blue", "red")], layer="maps")
    expected = np.zeros((4, 4))
    expected[2:, :2] = 1 / 16
    assert np.allclose(explanation.maps[0], expected)
    assert str(explanation.targets[0]) == "blue rather than red"
    assert explanation.targets[0].score == pytest.approx(0.0)


def test_the_second_prediction_is_the_second_most_probable_class() -> None:
    photo = Photo(np.full((4, 4, 3), (30, 200, 90), np.uint8), "green", "1" * 64)
    labels = [target.label for target in explain(colours(), photo, [Top(1), Top(2), Top(3)], layer="maps").targets]
    assert labels == ["green", "blue", "red"]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("purple", "purple"),
        (3, "0 to 2"),
        (Top(4), "from 1 to 3, got 4"),
        (Top(0), "from 1 to 3, got 0"),
        (Contrast("red", 0), "two different classes"),
    ],
)
def test_a_class_that_the_model_does_not_have_is_refused(target: object, message: str) -> None:
    with pytest.raises(ClassError, match=message):
        explain(colours(), quarters(), [target], layer="maps")


def test_nothing_to_explain_and_an_unknown_precision_are_refused() -> None:
    with pytest.raises(OptionError, match="at least one target"):
        explain(colours(), quarters(), [], layer="maps")
    with pytest.raises(OptionError, match="bfloat16"):
        explain(colours(), quarters(), precision="bf16", layer="maps")


class Poisoned(Colours):
    def forward(self, x: Tensor) -> Tensor:
        return self.maps(x).mul(float("nan")).mean((2, 3))


def test_a_map_that_is_not_finite_names_model_layer_and_class() -> None:
    with pytest.raises(MapError, match=r"own/colours at layer 'maps' for class red"):
        explain(colours(Poisoned()), quarters(), "red", layer="maps")


def test_the_seconds_of_a_method_hold_no_other_method_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def slow(signals: Signals) -> Tensor:
        clock[0] += 60
        return METHODS["Grad-CAM"].compute(signals)

    monkeypatch.setitem(METHODS, "slow", replace(METHODS["Grad-CAM"], name="slow", compute=slow))
    monkeypatch.setattr("gradcam.forward.time.perf_counter", lambda: clock[0])
    names = ["Grad-CAM", "slow", "LayerCAM"]
    found = explain(colours(), quarters(), "red", method=names, layer="maps")
    assert [one.seconds for one in found] == [0, 60, 0]


def test_many_photos_in_batches_give_what_each_gives_alone() -> None:
    generator = np.random.default_rng(0)
    photos = [Photo(generator.integers(0, 256, (6, 5, 3), np.uint8), f"{i}", f"{i}") for i in range(7)]
    together = list(explain_many(colours(), iter(photos), [Top(1), "red"], layer="maps", batch_size=3))
    assert [explanation.photo for explanation in together] == photos
    for explanation in together:
        alone = explain(colours(), explanation.photo, [Top(1), "red"], layer="maps")
        assert np.allclose(explanation.maps, alone.maps, rtol=1e-6)
        assert explanation.targets == alone.targets


class Cramped(Colours):
    """Room for two photos only, as a small graphics card or machine."""

    full: BaseException = torch.OutOfMemoryError("no room")

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > 2:
            raise self.full
        return super().forward(x)


@pytest.mark.parametrize(
    "full",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_a_batch_that_does_not_fit_is_halved_and_says_so(full: BaseException) -> None:
    photos = [quarters()] * 7
    model = Cramped()
    model.full = full
    with TestCase().assertLogs("gradcam") as logged:
        explanations = list(explain_many(colours(model), photos, "red", layer="maps"))
    assert len(explanations) == 7
    assert all(np.array_equal(e.maps, explanations[0].maps) for e in explanations)
    assert "7 photos do not fit into memory, halving" in logged.output[0]


def test_many_photos_go_through_two_sets_of_modules_which_are_left_without_hooks() -> None:
    classifier = load_classifier(BUNDLED[0])
    entered: set[nn.Module] = set()
    handle = classifier.module.register_forward_pre_hook(lambda module, _: entered.add(module))
    explanations = list(
        explain_many(classifier, [sample_photo("chelsea"), sample_photo("coffee")] * 8, batch_size=4)
    )
    handle.remove()
    assert [explanation.targets[0].label == COFFEE for explanation in explanations] == [False, True] * 8
    assert len(entered) == 2
    for model in entered:
        assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("before", [0, 3, 8, 10])
def test_a_photo_that_cannot_be_opened_ends_the_explanations_where_it_stands(before: int) -> None:
    def photos() -> Iterator[Photo]:
        yield from [quarters()] * before
        raise PhotoError("expected a photo")

    explanations = explain_many(colours(), photos(), "red", layer="maps", batch_size=4)
    assert len(list(islice(explanations, before))) == before
    with pytest.raises(PhotoError, match="expected a photo"):
        next(explanations)


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Nine pictures in files; the second is cut in the middle, the last does not exist."""
    paths = [tmp_path / f"{number}.png" for number in range(9)]
    for path in paths[:-1]:
        Image.fromarray(quarters().pixels).save(path)
    paths[1].write_bytes(paths[0].read_bytes()[:60])
    return paths


@pytest.mark.parametrize("lazy", [False, True])
def test_photos_that_cannot_be_opened_are_failures_in_their_places(pictures: list[Path], lazy: bool) -> None:
    photos = map(open_photo, pictures) if lazy else pictures
    found = list(explain_many(colours(), photos, "red", layer="maps", batch_size=3))
    broken = {place: one for place, one in enumerate(found, start=1) if isinstance(one, PhotoFailure)}
    assert len(found) == 9
    assert [(one.photo, place) for place, one in broken.items()] == [
        ("photo 2" if lazy else "1.png", 2),
        ("photo 9" if lazy else "8.png", 9),
    ]
    assert "damaged" in broken[2].reason
    assert "there is no file" in broken[9].reason
    assert all(np.array_equal(one.maps, found[0].maps) for one in found if isinstance(one, Explanation))


class DarkIsNaN(Colours):
    def forward(self, x: Tensor) -> Tensor:
        return (self.maps(x) / (x.amax((1, 2, 3), keepdim=True) > 0)).mean((2, 3))


def test_a_photo_whose_map_is_not_finite_is_a_failure_among_the_others() -> None:
    black = Photo(np.zeros((4, 4, 3), np.uint8), "black", "1" * 64)
    photos = [quarters(), black, quarters()]
    found = list(explain_many(colours(DarkIsNaN()), photos, "red", layer="maps"))
    assert [isinstance(one, PhotoFailure) for one in found] == [False, True, False]
    assert isinstance(found[1], PhotoFailure)
    assert (found[1].photo, "not finite" in found[1].reason or "NaN" in found[1].reason) == ("black", True)
    with pytest.raises(MapError):
        explain(colours(DarkIsNaN()), black, "red", layer="maps")


def test_a_class_that_no_photo_can_have_still_ends_the_run() -> None:
    with pytest.raises(ClassError, match="purple"):
        list(explain_many(colours(), [quarters()] * 3, "purple", layer="maps"))


@pytest.mark.parametrize("limit", [("KEPT", 8), ("KEPT_BYTES", 8 * 4 * 4 * 3)])
def test_many_files_are_explained_while_few_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: tuple[str, int]
) -> None:
    alive = most = 0

    def one_less() -> None:
        nonlocal alive
        alive -= 1

    def counting(path: Path, **options: bool) -> Photo:
        nonlocal alive, most
        photo = open_photo(path, **options)
        weakref.finalize(photo.pixels, one_less)
        alive += 1
        most = max(most, alive)
        return photo

    monkeypatch.setattr(photo_file, "open_photo", counting)
    monkeypatch.setattr(photo_file, *limit)
    photo_file._kept.clear()
    paths = [tmp_path / f"{number}.png" for number in range(30)]
    for number, path in enumerate(paths):
        Image.fromarray(np.full((4, 4, 3), number, np.uint8)).save(path)
    photos = open_photos(paths)
    comparison = compare([colours(), colours()], photos, ["red"], layer="maps")
    assert [photo.pixels[0, 0, 0] for photo in photos] == list(range(30))
    assert not comparison.failures
    assert comparison.panels[0].photo.size == (4, 4)
    assert 8 <= most <= 10


def test_a_photo_that_is_opened_again_stays_in_memory_longer(
    pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photo_file, "KEPT", 2)
    photo_file._kept.clear()
    open_photos(pictures[number] for number in (0, 1, 0, 2))
    assert [path for path, _, _ in photo_file._kept] == [pictures[0], pictures[2]]


def test_a_file_that_changes_after_it_was_opened_is_not_taken_for_the_same(pictures: list[Path]) -> None:
    photos = open_photos([pictures[0]])
    before = photos[0].pixels
    Image.fromarray(quarters().pixels[::-1]).save(pictures[0])
    assert photos[0].pixels is before
    photo_file._kept.clear()
    with pytest.raises(PhotoError, match="as it was opened first"):
        _ = photos[0].pixels


def test_a_photo_that_could_not_be_opened_is_a_panel_with_its_reason(pictures: list[Path]) -> None:
    photos = open_photos(pictures[:3])
    comparison = compare([colours(), colours()], photos, ["red", "blue"], layer="maps")
    assert [isinstance(panel, Heatmap) for panel in comparison.panels] == [True] * 4 + [False] * 4 + [True] * 4
    lost = comparison.failures[0]
    assert (lost.photo.name, "damaged" in lost.reason) == ("1.png", True)
    assert lost.photo.sha256 == sha256(pictures[1].read_bytes()).hexdigest()
    with pytest.raises(PhotoError, match="damaged"):
        explain(colours(), photos[1], layer="maps")
    (failure,) = explain_many(colours(), [photos[1]], layer="maps")
    assert failure == PhotoFailure("1.png", lost.reason)


def test_a_model_that_fits_into_no_memory_is_a_panel_with_its_reason() -> None:
    @contextmanager
    def use(_: str) -> Iterator[Classifier]:
        raise MemoryError
        yield

    comparison = compare(["huge", colours()], [quarters()], ["red"], layer="maps", use=use)
    (lost,), (found,) = comparison.failures, comparison.heatmaps
    assert (lost.reason, found.model) == ("huge needs more memory than there is", "own/colours")


def test_a_twin_computes_the_same_with_the_same_weights_and_hooks_of_its_own() -> None:
    model = load_classifier(BUNDLED[0]).module
    other = clone_sharing_weights(model)
    assert all(mine is its for mine, its in zip(model.parameters(), other.parameters(), strict=True))
    assert all(mine is its for mine, its in zip(model.buffers(), other.buffers(), strict=True))
    assert not set(model.modules()) & set(other.modules())
    assert lock_of(model) is not lock_of(other)
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model(pixels), other(pixels))


def test_a_model_that_cannot_be_copied_lets_its_threads_take_turns() -> None:
    classifier = colours()
    classifier.module.guard = threading.Lock()  # type: ignore[assignment]
    with TestCase().assertLogs("gradcam") as logged:
        assert clone_sharing_weights(classifier.module) is classifier.module
        assert len(list(explain_many(classifier, [quarters()] * 9, "red", layer="maps"))) == 9
    assert "Colours cannot be copied" in logged.output[0]


def test_one_photo_that_does_not_fit_is_a_sentence() -> None:
    class Full(Colours):
        def forward(self, x: Tensor) -> Tensor:
            raise torch.OutOfMemoryError("no room")

    with pytest.raises(ModelError, match="needs more memory than cpu has"):
        explain(colours(Full()), quarters(), layer="maps")


@pytest.mark.parametrize(("precision", "share"), [("bfloat16", 0.05), ("float16", 0.01)])
def test_autocast_maps_agree_with_float32(bundled: Classifier, precision: str, share: float) -> None:
    full = explain(bundled, sample_photo("chelsea"), CAT)
    half = explain(bundled, sample_photo("chelsea"), CAT, precision=precision)
    assert half.maps.dtype == np.float32
    assert not np.array_equal(full.maps, half.maps)
    assert np.abs(full.maps - half.maps).max() <= share * full.maps.max()


def test_a_model_that_fails_is_a_panel_with_its_reason_and_the_others_go_on() -> None:
    comparison = compare(["timm/no_such_model", colours()], [quarters()], ["red"], layer="maps")
    (lost,), (found,) = comparison.failures, comparison.heatmaps
    assert "no_such_model" in lost.reason
    assert comparison.panels == (lost, found)


def test_a_class_that_one_model_lacks_costs_one_panel() -> None:
    other = colours(names=("rouge", "green", "bleu"))
    comparison = compare([colours(), other], [quarters()], ["red", "green"], layer="maps")
    assert [isinstance(panel, Heatmap) for panel in comparison.panels] == [True, True, False, True]
    (lacking,) = comparison.failures
    assert lacking.target == "red"
    assert "red" in lacking.reason


def test_progress_counts_every_model_and_photo_before_it_starts() -> None:
    seen: list[Progress] = []
    compare([colours(), colours()], [quarters()], ["red"], layer="maps", on_progress=seen.append)
    name = "own/colours"
    assert seen == [
        Progress(0, 4, name, None),
        Progress(1, 4, name, "quarters"),
        Progress(2, 4, name, None),
        Progress(3, 4, name, "quarters"),
    ]


class Coarse(Colours):
    """Also seen through 2×2 pixels a cell, before the mean."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(2)
        self.coarse = nn.Conv2d(3, 3, 1, bias=False)
        self.coarse.weight = nn.Parameter(torch.eye(3)[:, :, None, None], requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.coarse(self.pool(self.maps(x))).mean((2, 3))


def test_several_layers_give_the_mean_of_their_maps_on_the_finest_grid() -> None:
    # Fine: red/16 on 4×4. Coarse: red/4 on 2×2, where only the diagonal is red; bilinear between cell centres.
    names = ["maps", "coarse"]
    explanation = explain(colours(Coarse()), quarters(), "red", layer=names)
    fine, coarse = (explain(colours(Coarse()), quarters(), "red", layer=name).maps[0] for name in names)
    weights = np.array([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
    assert np.array_equal(coarse, [[0.25, 0], [0, 0.25]])
    assert np.allclose(explanation.maps[0], (fine + weights @ coarse @ weights.T) / 2)
    assert (explanation.layer.name, explanation.layer.grid) == ("maps + coarse", (4, 4))
    again = explain(colours(Coarse()), quarters(), "red", layer=explanation.layer.name)
    assert np.array_equal(again.maps, explanation.maps)


@pytest.mark.parametrize(("models", "photos", "targets"), [([], [1], [1]), ([1], [], [1]), ([1], [1], [])])
def test_nothing_to_compare_is_refused(models: list[int], photos: list[int], targets: list[int]) -> None:
    with pytest.raises(OptionError, match="at least one"):
        compare([colours()] * len(models), [quarters()] * len(photos), ["red"] * len(targets))
