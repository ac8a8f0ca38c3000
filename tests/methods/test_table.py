"""A method is a row: its name finds it, and its function makes the maps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gradcam import MethodError, compare, explain, explain_many
from gradcam.cli._main import main
from gradcam.errors import OptionError
from gradcam.methods import GRADCAM, METHODS, Signals, find_method, find_methods
from gradcam.methods.from_gradients import grad_cam, weighted_sum
from tests.test_explain import colours, quarters


def test_equation_2_by_hand() -> None:
    activation = torch.tensor([[[[1.0, 2.0]], [[3.0, -4.0]]]])  # one photo, two feature maps of 1×2
    alpha = torch.tensor([[[2.0, 1.0]], [[-1.0, 0.0]]])  # two scores
    assert weighted_sum(alpha, activation).relu().tolist() == [[[[5.0, 0.0]], [[0.0, 0.0]]]]


def test_another_row_makes_its_own_maps_beside_grad_cams(monkeypatch: pytest.MonkeyPatch) -> None:
    doubled = replace(GRADCAM, name="Double", compute=lambda signals: 2 * grad_cam(signals))
    monkeypatch.setitem(METHODS, "Double", doubled)
    comparison = compare([colours()], [quarters()], ["red"], methods=["grad-cam", "double"], layer="maps")
    once, twice = comparison.heatmaps
    assert (once.method, twice.method) == ("Grad-CAM", "Double")
    assert np.array_equal(2 * once.map, twice.map)
    assert once.map.max() > 0
    assert explain(colours(), quarters(), "red", method="double", layer="maps").method == "Double"


@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_method_that_cannot_explain_a_model_is_a_sentence_and_costs_no_other_a_forward(
    batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(signals: Signals) -> torch.Tensor:
        raise MethodError("expected another model; use Grad-CAM")

    monkeypatch.setitem(METHODS, "Never", replace(GRADCAM, name="Never", compute=refuse))
    classifier, photos = colours(), [quarters(), quarters()]
    forwards: list[int] = []
    explain(classifier, quarters(), "red", layer="maps")  # what is learnt of a model once
    classifier.module.register_forward_hook(lambda *call: forwards.append(len(call[2])))
    methods = ["Never", "Grad-CAM", "LayerCAM"]
    found = compare([classifier], photos, ["red"], methods=methods, layer="maps", batch_size=batch_size)
    assert [panel.method for panel in found.heatmaps] == ["Grad-CAM", "LayerCAM"] * 2
    assert {panel.reason for panel in found.failures} == {"expected another model; use Grad-CAM"}
    assert sum(forwards) == len(photos)
    with pytest.raises(MethodError, match="another model"):
        explain(classifier, quarters(), "red", method=methods, layer="maps")
    with pytest.raises(MethodError, match="another model"):
        list(explain_many(classifier, photos, "red", method=methods, layer="maps"))


@pytest.mark.parametrize("typed", ["Grad-CAM++", "gradcam++", "GRAD CAM++"])
def test_a_name_is_matched_without_case_and_hyphens(typed: str) -> None:
    assert find_method(typed).name == "Grad-CAM++"


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(OptionError, match="expected a method, got 'smooth'; use "):
        find_method("smooth")
    with pytest.raises(OptionError, match="at least one method"):
        find_methods([])
    assert [method.name for method in find_methods(["fem", "CAM", "FEM"])] == ["FEM", "CAM"]


def test_every_row_says_what_it_is() -> None:
    for name, method in METHODS.items():
        assert name == method.name
        assert method.link.startswith("https://")
        assert method.says.endswith(".")
        assert method.zero.startswith("Zero: ")
        assert "around zero" in method.zero if method.signed else "from zero" in method.zero
        assert method.parameters == tuple(sorted(method.parameters))
        assert method.class_specific == any(
            "gradients" in need or need in ("linear head", "forwards") for need in method.needs
        )


def test_readme_has_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods", "--markdown"]) == 0
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    assert (
        readme.partition("<!-- methods -->")[2].partition("<!-- /methods -->")[0].strip()
        == capsys.readouterr().out.strip()
    )
