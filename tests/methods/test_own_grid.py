"""A method may have a grid of its own and read no layer; it then explains models that have none."""

from __future__ import annotations

import csv
import io
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gradcam import Classifier, compare, explain, heatmaps
from gradcam.draw import comparison_html, grid_png, panels_slide
from gradcam.errors import LayerError
from gradcam.forward_cache import ForwardCache
from gradcam.methods import GRADCAM, METHODS, Signals
from gradcam.report import build_report, codec, render_report, replay
from gradcam.types import Photo
from tests.test_explain import colours, quarters

GRID = (3, 5)


def rising(signals: Signals) -> Tensor:
    """The same map for every score, larger from place to place."""
    values = torch.arange(1.0, 16.0).view(1, 1, *GRID)
    return values.expand(len(signals.images), -1, -1, -1)


OWN = replace(GRADCAM, name="Own", needs=("forwards",), compute=rising)


@pytest.fixture(autouse=True)
def _its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, OWN.name, OWN)


class Flat(nn.Module):
    """A network without any place on a grid, which ends in a softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(48, 3, bias=False)
        with torch.no_grad():
            self.head.weight.copy_(torch.eye(3).repeat_interleave(16, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.flatten(1)).softmax(1)


def test_beside_a_method_that_reads_a_layer_each_keeps_its_own_grid() -> None:
    own, grad = explain(colours(), quarters(), ["red", "blue"], method=["Own", "Grad-CAM"], layer="maps")
    assert (own.layer, own.grid, own.maps.shape) == (None, GRID, (2, *GRID))
    assert grad.layer is not None
    assert grad.grid == grad.layer.grid == (4, 4)
    assert repr(own).count(" at ") == 0
    with pytest.raises(LayerError, match="expected a method that reads a layer, got Own"):
        _ = own.target_layer


def test_several_layers_give_one_map_to_a_method_that_reads_none() -> None:
    model = colours().module
    once, twice = (
        heatmaps(model, torch.rand(1, 3, 4, 4), 0, layers, method="Own") for layers in ("maps", ["maps"] * 2)
    )
    assert torch.equal(once, twice)


def flat() -> Classifier:
    return colours(Flat())


def test_a_model_without_a_target_layer_is_explained_by_what_reads_none() -> None:
    for explained in (
        explain(flat(), quarters(), method="Own"),
        ForwardCache().explain(flat(), quarters(), method="Own"),
    ):
        assert explained.layer is None
        assert explained.logits == pytest.approx([8, 8, 8])  # before the softmax
    with pytest.raises(LayerError):
        explain(flat(), quarters())
    with pytest.raises(LayerError):  # one that was named must exist
        explain(flat(), quarters(), method="Own", layer="nowhere")


def test_a_kept_forward_without_a_layer_does_not_serve_a_method_that_reads_one() -> None:
    cache, classifier = ForwardCache(), flat()
    cache.explain(classifier, quarters(), method="Own")
    with pytest.raises(LayerError):
        cache.explain(classifier, quarters())


@pytest.mark.parametrize("methods", [("Own",), ("Own", "Grad-CAM")])
def test_pictures_and_reports_take_a_map_on_a_grid_of_its_own(methods: tuple[str, ...]) -> None:
    classifier = colours()
    made = compare([classifier], [quarters()], ["red"], methods=methods, layer="maps")
    assert comparison_html(made)
    assert grid_png(made)
    assert panels_slide(made.heatmaps).png()
    report = build_report(made, layer="maps")
    read = codec.decode(codec.encode(report))
    assert codec.encode(read) == codec.encode(report)
    own = read.heatmaps[0]
    assert (own.grid, read.layer_of(own)) == (GRID, None)
    assert [method.reads_layer for method in read.methods] == [name != "Own" for name in methods]
    assert "No layer, 3×5 cells" in render_report(report, "html").decode()
    (row, *_) = csv.DictReader(io.StringIO(render_report(report, "csv").decode("utf-8-sig")))
    assert (row["layer"], row["grid_height"], row["grid_width"]) == ("", "3", "5")
    assert np.array_equal(own.values, made.heatmaps[0].map)


def test_what_reads_no_layer_is_replayed_without_one() -> None:
    classifier, photo = flat(), Photo(quarters().pixels, "quarters", "1" * 64)
    report = build_report(compare([classifier], [photo], ["red"], methods=["Own"], fit="squash"))
    assert report.answer(report.heatmaps[0]).layer is None
    assert report.limits[0].text.startswith("The maps have 3×5 cells")
    assert replay(report, use=lambda _: nullcontext(classifier)).count("same") == 1
