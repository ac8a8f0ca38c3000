"""A target may be any function of a photo's logits: never kept, never replayed, and told of by its name."""

from __future__ import annotations

import io
import json
from contextlib import nullcontext
from dataclasses import dataclass, replace

import jsonschema
import numpy as np
import pypdf
import pytest
import torch
from torch import Tensor, nn

from gradcam import ClassError, Comparison, MethodError, PanelMemory, compare, explain, heatmaps
from gradcam.report import FORMATS, Report, build_report, codec, diff, read_report, render_report, replay
from gradcam.report.reproduce import command, python_lines
from gradcam.targets import as_targets, write_target
from gradcam.types import PythonTarget
from tests.methods.nets import DeepHead, PooledHead, images, net, walked
from tests.report_fakes import NOON
from tests.test_explain import colours, quarters

LAYER = "maps"


def log_probability(logits: Tensor) -> Tensor:
    return logits.log_softmax(-1)[0]


def two_classes(logits: Tensor) -> Tensor:
    return logits[0] + logits[1]


def test_a_function_that_picks_a_logit_is_that_class() -> None:
    model, batch = net(DeepHead), images()
    as_class, as_function = (heatmaps(model, batch, of, model.layer) for of in (2, lambda logits: logits[2]))
    assert torch.equal(as_class, as_function)
    assert as_class.max() > 0


def test_a_function_is_differentiated_where_each_photo_s_logits_are() -> None:
    model, batch = net(DeepHead), images()
    activation, gradients = walked(model, batch, [0, 1, 2, 3])
    shares = torch.softmax(model(batch), -1)  # ∂ log p₀ / ∂y = 1 at class 0, minus the probabilities
    weights = torch.eye(4)[0].double() - shares
    mixed = torch.einsum("bc,cbkhw->bkhw", weights, gradients).mean((2, 3))
    expected = torch.einsum("bk,bkhw->bhw", mixed, activation).relu()
    found = heatmaps(model, batch, [log_probability, two_classes], model.layer)
    assert torch.allclose(found[:, 0], expected, rtol=1e-9)
    assert found[:, 1].max() > 0


def test_a_method_that_runs_the_model_again_differentiates_the_function_anew() -> None:
    model, batch = net(DeepHead), images(1)
    start, _ = walked(model, 0 * batch, [0])
    total = torch.zeros(1, 6, 6).double()
    for step in range(1, 17):
        scaled = batch * step / 16
        activation, gradients = walked(model, scaled, [0, 1, 2, 3])
        weights = torch.eye(4)[0].double() - torch.softmax(model(scaled), -1)[0]
        alpha = torch.einsum("c,cbkhw->bkhw", weights, gradients).mean((2, 3), keepdim=True)
        total += (alpha * (activation - start)).sum(1) / 16
    found = heatmaps(model, batch, log_probability, model.layer, method="Integrated Grad-CAM")
    assert torch.allclose(found[:, 0], total.relu(), rtol=1e-9)


@pytest.mark.parametrize("method", ["Finer-CAM", "Shapley-CAM", "RISE"])
def test_a_method_that_needs_a_class_says_so(method: str) -> None:
    model = net(DeepHead)
    with pytest.raises(MethodError, match="expected a class as target, got a function of the logits; use"):
        heatmaps(model, images(), log_probability, model.layer, method=method)


@pytest.mark.parametrize(
    ("function", "got"),
    [
        (lambda logits: logits, r"got \[4\]; return a scalar"),
        (lambda logits: 3.0, "got float; return"),
        (lambda logits: torch.tensor(1.0), "got one that does not depend on them"),
        (lambda logits: logits[9], "got IndexError"),
        (lambda logits: logits.exp().add_(1).sum(), "got RuntimeError"),
        (lambda logits: logits[0] * 1j, "got RuntimeError"),
        (lambda logits: (logits[0] - 1e6).log(), "a finite number of the logits, got nan; return one"),
    ],
)
def test_a_function_that_makes_no_number_is_refused_in_a_sentence(function: object, got: str) -> None:
    model = net(PooledHead)
    with pytest.raises(ClassError, match=got):
        heatmaps(model, images(), function, model.layer)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ClassError, match="classes or functions, got both"):
        heatmaps(model, images(), [1, function], model.layer)  # pyright: ignore[reportArgumentType]


def test_an_explanation_tells_the_value_and_the_name() -> None:
    explanation = explain(colours(), quarters(), [log_probability, "red"], layer=LAYER)
    ours, red = explanation.targets
    assert str(ours) == "defined in Python by log_probability"
    assert ours.score == pytest.approx(float(np.log(explanation.probabilities[0])), rel=1e-5)
    assert (ours.is_class, red.is_class) == (False, True)
    assert f"defined in Python by log_probability value {ours.score:.4g}" in repr(explanation)
    assert "defined in Python" in explanation._repr_html_()


def test_any_callable_is_a_target_by_its_name() -> None:
    assert [write_target(target) for target in as_targets([log_probability, nn.Flatten(0), lambda y: y[0]])] == [
        "defined in Python by log_probability",
        "defined in Python by Flatten",
        "defined in Python by <lambda>",
    ]
    with pytest.raises(ClassError, match="expected a function to differentiate, got the name 'gone'; pass both"):
        explain(colours(), quarters(), PythonTarget("gone"), layer=LAYER)


@dataclass
class Likeness:
    """A function without a hash."""

    reference: Tensor

    def __call__(self, logits: Tensor) -> Tensor:
        return logits @ self.reference


def test_functions_of_one_name_are_told_apart_and_need_no_hash() -> None:
    asked = [
        Likeness(torch.tensor([1.0, 0, 0])),
        Likeness(torch.tensor([0, 3.0, 0])),
        lambda y: y[0],
        lambda y: 3 * y[1],
    ]
    found = compare([colours()], [quarters()], [*asked, asked[0]], layer=LAYER)
    first, second, third, fourth, again = found.heatmaps
    names = [write_target(panel.target).rpartition(" by ")[2] for panel in found.heatmaps]
    assert names == ["Likeness", "Likeness 2", "<lambda>", "<lambda> 2", "Likeness"]
    assert first.scored.score == third.scored.score != second.scored.score == fourth.scored.score
    assert np.array_equal(first.map, again.map)
    lines = python_lines(build_report(found, now=NOON))
    assert "targets = [Likeness, function_2, function_3, function_4, " in lines
    assert "# function_4: define it, the report has only the name <lambda> 2" in lines


def test_the_script_gives_its_own_names_to_no_function() -> None:
    def photos(logits: Tensor) -> Tensor:
        return logits[0]

    report = build_report(compare([colours()], [quarters()], [photos, two_classes], layer=LAYER), now=NOON)
    assert "targets = [function_1, two_classes]" in python_lines(report)


def test_a_function_without_a_finite_value_fails_alone() -> None:
    asked = [lambda logits: (logits[0] - 1e6).log(), "red"]
    found = compare([colours()], [quarters()], asked, layer=LAYER)
    assert [panel.target for panel in found.heatmaps] == ["red"]
    assert "to make a finite number of the logits, got nan" in found.failures[0].reason


@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_function_that_fails_at_another_forward_fails_the_method_of_that_forward_alone(batch_size: int) -> None:
    def bright(logits: Tensor) -> Tensor:
        if logits[0] < 0.4:
            raise ValueError("too dark")
        return logits[0]

    methods = ["Integrated Grad-CAM", "Grad-CAM"]
    found = compare(
        [colours()], [quarters()], [bright, two_classes], methods=methods, layer=LAYER, batch_size=batch_size
    )
    assert [(panel.method, str(panel.target)) for panel in found.failures] == [
        ("Integrated Grad-CAM", "defined in Python by bright")
    ]
    assert "too dark" in found.failures[0].reason
    assert len(found.heatmaps) == 3


@pytest.mark.parametrize("method", ["Finer-CAM", "Shapley-CAM"])
@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_class_beside_a_function_is_explained_by_a_method_that_needs_one(method: str, batch_size: int) -> None:
    found = compare(
        [colours()], [quarters()], ["red", two_classes], methods=[method], layer=LAYER, batch_size=batch_size
    )
    assert [panel.target for panel in found.heatmaps] == ["red"]
    assert "expected a class as target, got a function" in found.failures[0].reason


def compared() -> Comparison:
    return compare([colours()], [quarters()], [two_classes, "red"], layer=LAYER)


def test_what_a_function_makes_is_never_kept() -> None:
    class Remembers(PanelMemory):
        def put(self, key, panel) -> None:  # pyright: ignore[reportMissingParameterType]
            kept.append(panel.target)

    kept: list[object] = []
    photo = replace(quarters(), sha256="ab" * 32)
    asked = [two_classes, "red"]
    compare(["own/colours"], [photo], asked, layer=LAYER, results=Remembers(), use=lambda _: nullcontext(colours()))
    assert kept == ["red"]


@pytest.fixture(scope="module")
def made() -> Report:
    return build_report(compared(), now=NOON)


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "zip"])
def test_every_format_says_that_it_cannot_be_recomputed(made: Report, name: str) -> None:
    written = render_report(made, name)
    if name == "pdf":
        text = " ".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(written)).pages)
    else:
        text = written.decode()
    text = " ".join(text.replace("\\_", "_").split())
    assert "two_classes" in text
    if name not in ("junit", "interactive"):  # which have no warnings beside a panel
        assert "Defined in Python by two_classes; cannot be recomputed." in text


def test_a_report_comes_back_the_same_and_replays_all_but_the_function(made: Report) -> None:
    data = codec.encode(made)
    jsonschema.validate(json.loads(data), json.loads(codec.published_schema()))
    again = read_report(render_report(made, "zip"))
    assert [entry.target for entry in again.targets] == [PythonTarget("two_classes"), "red"]
    assert not [*diff(made, again)]
    assert "No command computes what is defined in Python by two_classes" in command(again)
    assert "# two_classes: define it, the report has only the name two_classes" in python_lines(again)
    assert "targets = [two_classes, 'red']" in python_lines(again)
    checks = replay(again, use=lambda _: nullcontext(colours())).checks
    assert "because it is defined in Python by two_classes; it cannot be recomputed" in checks[0].statement
    assert checks[1].outcome in ("same", "differs")
