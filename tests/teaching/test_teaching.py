"""Grad-CAM laid open: the steps add up to the heatmap, and so does the script that a reader copies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from gradcam import (
    Classifier,
    Contrast,
    Labels,
    MapError,
    explain,
    heatmaps,
    load_checkpoint,
    load_classifier,
    sample_photo,
)
from gradcam.draw.figures import weight_bars
from gradcam.draw.render import draw_grid
from gradcam.models.checkpoint import preprocessing_for
from gradcam.models.labels import make_labels
from gradcam.preprocess import to_input, view_of
from gradcam.teaching.script import to_script
from gradcam.teaching.steps import LINES, gradcam_steps
from gradcam.types import Layout, ModelSpec, Preprocessing, Target, TargetLayer
from tests.fakes import photo

LITE0 = "bundled/tf_efficientnet_lite0"


class _TwoMaps(torch.nn.Module):
    """Feature maps: the red channel, and minus twice the red channel. Scores: sums of their means."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = torch.nn.Conv2d(3, 2, 1, bias=False)
        self.maps.weight.data = torch.tensor([[1.0, 0, 0], [-2.0, 0, 0]])[:, :, None, None]
        self.head = torch.nn.Linear(2, 2, bias=False)
        self.head.weight.data = torch.tensor([[3.0, -0.5], [1.0, 1.0]])

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.head(self.maps(pixels).mean((2, 3)))


def by_hand() -> Classifier:
    preprocessing = Preprocessing((2, 2), (2, 2), mean=(0.0,) * 3, std=(1.0,) * 3, interpolation="nearest")
    return Classifier(_TwoMaps().eval(), preprocessing, make_labels(["a", "b"]), ModelSpec("own", "two"))


def test_the_numbers_are_those_that_one_gets_by_hand() -> None:
    laid_open = gradcam_steps(by_hand(), photo(2, 2, grey=51), "a", layer="maps")
    assert laid_open.activation == pytest.approx(np.array([[[0.2] * 2] * 2, [[-0.4] * 2] * 2]), rel=1e-6)
    assert laid_open.gradients == pytest.approx(np.array([[[0.75] * 2] * 2, [[-0.125] * 2] * 2]))
    assert laid_open.alpha == pytest.approx([0.75, -0.125])
    assert laid_open.by_weight.tolist() == [0, 1]
    assert laid_open.weighted_sum(0) == pytest.approx(np.zeros((2, 2)))
    assert laid_open.weighted_sum(1) == pytest.approx(np.full((2, 2), 0.15))
    assert laid_open.weighted_sum() == pytest.approx(np.full((2, 2), 0.2))


def test_channels_come_in_order_of_what_they_add_not_of_their_weight() -> None:
    laid_open = gradcam_steps(by_hand(), photo(2, 2, grey=51), "b", layer="maps")
    assert laid_open.alpha == pytest.approx([0.25, 0.25])
    assert laid_open.by_weight.tolist() == [0, 1]
    assert laid_open.by_effect.tolist() == [1, 0]


@pytest.mark.parametrize("target", ["Egyptian cat", 967, Contrast("tabby", "tiger cat")])
def test_the_steps_add_up_to_the_heatmap(target: Target) -> None:
    classifier, chelsea = load_classifier(LITE0, exact=True), sample_photo("chelsea")
    laid_open = gradcam_steps(classifier, chelsea, target)
    expected = explain(classifier, chelsea, target).maps[0]
    assert np.maximum(laid_open.weighted_sum(), 0) == pytest.approx(
        expected, rel=1e-4, abs=1e-6 * float(expected.max())
    )
    assert laid_open.channels == 1280
    assert laid_open.gradients.mean((1, 2)) == pytest.approx(laid_open.alpha, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize(
    ("model", "layer"),
    [
        (LITE0, "auto"),
        (LITE0, "blocks.2"),
        ("timm/vit_tiny_patch16_224 (untrained, seed 3)", "auto"),
        ("timm/swin_tiny_patch4_window7_224 (untrained, seed 3)", "auto"),
    ],
)
def test_the_script_runs_and_gives_the_same_map(model: str, layer: str) -> None:
    classifier, chelsea = load_classifier(model), sample_photo("chelsea")
    explanation = explain(classifier, chelsea, 281, fit="squash", layer=layer)
    names: dict = {}
    exec(compile(to_script(explanation, 'sample_photo("chelsea")'), "recipe", "exec"), names)
    batch = to_input(chelsea, view_of(chelsea.size, classifier.preprocessing, "squash"), classifier.preprocessing)
    expected = heatmaps(classifier.module, batch[None], 281, explanation.layer)[0, 0]
    assert expected.max() > 0
    assert torch.allclose(names["heat"], expected, rtol=1e-3, atol=1e-4 * float(expected.max()))
    assert names["smooth"].shape == batch.shape[1:]


class _Odd(torch.nn.Module):
    """A layer that gives `pack(maps)`, of which `read` makes maps again; two logits, or one."""

    def __init__(self, pack: Callable, read: Callable, logits: int = 2) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.maps, self.head = _Packed(pack), torch.nn.Linear(4, logits)
        self.read = read

    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": self.head(self.read(self.maps(pixels)).relu_().mean((2, 3)))}


class _Packed(torch.nn.Module):
    def __init__(self, pack: Callable) -> None:
        super().__init__()
        self.conv, self.pack = torch.nn.Conv2d(3, 4, 3, 2, 1), pack

    def forward(self, pixels: torch.Tensor) -> object:
        return self.pack(self.conv(pixels))


def _with_others(maps: torch.Tensor) -> torch.Tensor:
    """A token before the places and two after them."""
    tokens = maps.flatten(2).transpose(1, 2)
    return torch.cat([tokens[:, :1], tokens, tokens[:, -2:]], 1)


@pytest.mark.parametrize(
    ("pack", "read", "logits", "layout"),
    [
        (lambda maps: maps, lambda maps: maps, 2, "NCHW"),
        (lambda maps: (maps, maps.mean()), lambda found: found[0], 2, "NCHW"),
        (lambda maps: [maps], lambda found: found[0], 2, "NCHW"),
        (lambda maps: {"maps": maps}, lambda found: found["maps"], 2, "NCHW"),
        (lambda maps: maps.permute(0, 2, 3, 1), lambda maps: maps.permute(0, 3, 1, 2), 2, "NHWC"),
        (_with_others, lambda found: found[:, 1:-2].transpose(1, 2).unflatten(2, (4, 4)) * 1, 2, "tokens"),
        (lambda maps: maps, lambda maps: maps, 1, "NCHW"),
    ],
)
def test_the_script_gives_the_same_map_of_layers_and_heads_of_every_form(
    monkeypatch: pytest.MonkeyPatch, pack: Callable, read: Callable, logits: int, layout: Layout
) -> None:
    preprocessing = Preprocessing((8, 8), (8, 8), mean=(0.0,) * 3, std=(1.0,) * 3, interpolation="bilinear")
    module = _Odd(pack, read, logits).eval()
    odd = Classifier(module, preprocessing, make_labels(["a", "b"]), ModelSpec("timm", "odd"))
    monkeypatch.setattr("gradcam.load_classifier", lambda spec: odd)
    layer = TargetLayer("maps", (4, 4), 4, "by hand", layout=layout, prefix=int(layout == "tokens"))
    for target in ("a", "b"):
        explanation = explain(odd, sample_photo("chelsea"), target, layer=layer)
        names: dict = {}
        exec(compile(to_script(explanation, 'sample_photo("chelsea")'), "recipe", "exec"), names)
        assert names["heat"].numpy() == pytest.approx(explanation.maps[0], rel=1e-5, abs=1e-7)
        assert gradcam_steps(odd, sample_photo("chelsea"), target, layer=layer).weighted_sum().clip(
            0
        ) == pytest.approx(explanation.maps[0], rel=1e-5, abs=1e-7)


def test_the_script_loads_a_checkpoint_as_it_was_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    torch.save(timm.create_model("test_resnet", num_classes=2).state_dict(), "mine.pt")
    own = preprocessing_for("timm/test_resnet", size=96, mean="0.5, 0.5, 0.5")
    labels = Labels(("disc", "cross"))
    classifier = load_checkpoint("mine.pt", "timm/test_resnet", labels=labels, preprocessing=own)
    explanation = explain(classifier, sample_photo("chelsea"), "cross")
    names: dict = {}
    exec(compile(to_script(explanation, 'sample_photo("chelsea")'), "recipe", "exec"), names)
    assert names["classifier"].preprocessing == own
    assert names["classifier"].labels == labels
    expected = torch.from_numpy(explanation.maps[0])
    assert torch.allclose(names["heat"], expected, rtol=1e-3, atol=1e-4 * float(expected.max()))


def test_a_grid_is_drawn_cell_by_cell_with_zero_between_red_and_blue() -> None:
    picture = draw_grid(np.array([[-1.0, 0.0, 0.5]], np.float32), 6)
    assert picture.shape == (2, 6, 3)
    blue, white, red = picture[0, 0], picture[0, 2], picture[0, 5]
    assert blue.tolist() == [5, 48, 97]
    assert white.min() > 240
    assert red[0] > red[2]
    assert (picture[:, :2] == blue).all(), "a cell is of one colour"
    silent = draw_grid(np.zeros((2, 2), np.float32), 2)
    assert (silent == silent[0, 0]).all()
    with pytest.raises(MapError, match="finite numbers"):
        draw_grid(np.array([[np.nan]], np.float32), 2)


def test_the_weights_are_sorted_in_their_figure_and_keep_their_number() -> None:
    (bars,) = weight_bars(np.array([0.1, -0.2, 0.3], np.float32)).data
    assert list(bars.y) == pytest.approx([0.3, 0.1, -0.2])
    assert list(bars.customdata) == [2, 0, 1]
    colours = [bytes.fromhex(colour[1:]) for colour in bars.marker.color]
    assert [red > blue for red, _, blue in colours] == [True, True, False]  # as gradients are coloured


def test_a_contrast_and_a_later_call_are_in_the_script() -> None:
    explanation = explain(load_classifier(LITE0), sample_photo("chelsea"), Contrast("tabby", "tiger cat"))
    script = to_script(explanation, 'sample_photo("chelsea")')
    assert "logits[0, 281] - logits[0, 282]  # tabby rather than tiger cat" in script
    layer = TargetLayer("blocks", (7, 7), 8, "by hand", call=2)
    later = to_script(type(explanation)(**{**vars(explanation), "layer": layer}), "open_photo('x.png')")
    assert "outputs[2]" in later


def test_a_label_never_becomes_code() -> None:
    classifier = by_hand()
    evil = Classifier(
        classifier.module, classifier.preprocessing, make_labels(["a\nraise SystemExit", "b"]), classifier.spec
    )
    explanation = explain(evil, photo(2, 2, grey=51), 0, layer="maps")
    assert "\nraise" not in to_script(explanation, "open_photo('x.png')")


def test_another_line_over_the_same_numbers_is_what_that_method_explains() -> None:
    classifier, photo_of_cat = load_classifier(LITE0, exact=True), sample_photo("chelsea")
    steps = gradcam_steps(classifier, photo_of_cat)
    for method in LINES:
        expected = explain(classifier, photo_of_cat, method=method.name).maps[0]
        assert np.allclose(steps.map_by(method), expected, atol=1e-4 * np.abs(expected).max()), method.name
