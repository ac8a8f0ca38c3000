"""Which of a model's outputs are its class scores, and what is differentiated where they are probabilities."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradcam import ModelError, candidate_layers, explain, heatmaps, resolve_target_layer
from gradcam.capture import record
from gradcam.models.classifier import Classifier
from gradcam.models.labels import numbered
from gradcam.scores import class_scores
from gradcam.types import ModelSpec
from tests import plain

Named = namedtuple("Named", ["embedding", "pred"])


@dataclass
class Held:
    embedding: Tensor
    scores: Tensor


class Net(nn.Module):
    """Sixteen feature maps, their means, five classes; `finish` makes of embedding and logits what is returned."""

    def __init__(self, finish: Callable[[Tensor, Tensor], Any] = lambda embedding, logits: logits) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.maps = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU())
            self.fc = nn.Linear(16, 5)
        self.finish = finish
        self.eval()

    def forward(self, x: Tensor) -> Any:
        embedding = self.maps(x).mean((2, 3))
        return self.finish(embedding, self.fc(embedding))


@pytest.fixture(scope="module")
def noise() -> Tensor:
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def right(noise: Tensor) -> Tensor:
    """The maps of the logits themselves."""
    return heatmaps(Net(), noise, [0, 3])


@pytest.mark.parametrize(
    "finish",
    [
        lambda e, y: {"features": e, "prediction": y},
        lambda e, y: {"output": e, "logits": y},
        lambda e, y: Named(e, y),
        lambda e, y: Held(e, y),
        lambda e, y: [y],
        lambda e, y: (y, y),
        lambda e, y: (y.argmax(1), y, None, "text"),
        lambda e, y: (e[:, 0], y),
        lambda e, y: y[:, :, None, None],
        lambda e, y: {"out": {"class": y}, "features": e},
        lambda e, y: {"head": {"logits": y, "pooled": e}, "hidden": [e, e]},
        lambda e, y: {"aux": None, "heads": ([y],)},
    ],
)
def test_the_only_output_with_scores_and_the_one_named_so_are_taken(
    finish: Any, noise: Tensor, right: Tensor
) -> None:
    assert torch.equal(heatmaps(Net(finish), noise, [0, 3]), right)


def test_several_outputs_are_listed_and_one_is_chosen_wherever_a_model_is_given(
    noise: Tensor, right: Tensor
) -> None:
    pair, named = Net(lambda e, y: (e, y)), Net(lambda e, y: {"early": e, "final": y})
    with pytest.raises(
        ModelError, match=r"several .* among 0: a tensor \[2, 16\], 1: a tensor \[2, 5\]; .*output="
    ):
        heatmaps(pair, noise, 0)
    with pytest.raises(ModelError, match=r"'early': a tensor \[2, 16\], 'final': a tensor \[2, 5\]"):
        resolve_target_layer(named, (8, 8))
    for model, output in ((pair, 1), (pair, -1), (named, "final"), (named, lambda found: found["final"])):
        assert torch.equal(heatmaps(model, noise, [0, 3], output=output), right)
        assert resolve_target_layer(model, (8, 8), output=output).name == "maps"
        assert candidate_layers(model, noise, output=output)[-1].name == "maps"
    assert heatmaps(pair, noise, [15], output=0).shape == (2, 1, 8, 8)
    with pytest.raises(ModelError, match=r"an output 2, got 0: a tensor"):
        heatmaps(pair, noise, 0, output=2)
    with pytest.raises(ModelError, match=r"scores .* as output 'shape', got Size"):
        heatmaps(Net(), noise, 0, output="shape")


def test_outputs_within_outputs_are_listed_and_chosen_by_their_path(noise: Tensor, right: Tensor) -> None:
    nested = Net(lambda e, y: ({"class": y}, [e]))
    with pytest.raises(
        ModelError, match=r"several .* among '0.class': a tensor \[2, 5\], '1.0': a tensor \[2, 16\]; .*output="
    ):
        heatmaps(nested, noise, 0)
    assert torch.equal(heatmaps(nested, noise, [0, 3], output="0.class"), right)


def test_a_truth_value_is_no_output(noise: Tensor) -> None:
    with pytest.raises(ModelError, match=r"an index, a key or a function as output, got True; choose one of 0: "):
        heatmaps(Net(lambda e, y: (e, y)), noise, 0, output=True)


def test_a_choice_written_in_place_is_remembered_like_any_other(noise: Tensor) -> None:
    model = Net(lambda e, y: (e, y))
    entered: list[None] = []
    model.register_forward_pre_hook(lambda *_: entered.append(None))
    for _ in range(3):
        heatmaps(model, noise, 0, output=lambda found: found[1])
    assert len(entered) <= 4  # one search, three forwards


def test_a_head_that_squeezes_a_batch_of_one_still_has_its_classes(noise: Tensor, right: Tensor) -> None:
    squeezing = Net(lambda e, y: y.squeeze())
    assert torch.allclose(heatmaps(squeezing, noise[:1], [0, 3]), right[:1], atol=1e-7)
    one = Net(lambda e, y: y[:, :1].squeeze())
    assert torch.allclose(heatmaps(one, noise[:1], 0), right[:1, :1], atol=1e-7)


def test_a_model_tied_to_a_batch_of_one_is_taken(noise: Tensor, right: Tensor) -> None:
    tied = Net(lambda e, y: y.view(1, 5))
    assert torch.allclose(heatmaps(tied, noise[:1], [0, 3]), right[:1], atol=1e-7)


@pytest.mark.parametrize(
    "output", [torch.zeros(3, 5), torch.zeros(2, 5, 4), torch.zeros(2, 5).long(), None, "text"]
)
def test_what_holds_no_scores_is_refused_with_its_shape(output: Any) -> None:
    with pytest.raises(ModelError, match=r"expected class scores \[batch, classes\] from the model, got"):
        class_scores(output, 2)


CONFIDENT = 60.0
"""A softmax of it is 1 in float32, and its gradient 0."""


def confident(finish: Callable[[Tensor, Tensor], Any]) -> Net:
    model = Net(finish)
    with torch.no_grad():
        model.fc.bias[0] = CONFIDENT
    return model


@pytest.mark.parametrize(
    ("finish", "said"),
    [
        (lambda e, y: y.softmax(1), "softmax"),
        (lambda e, y: nn.functional.softmax(y, dim=-1), "softmax"),
        (lambda e, y: nn.Softmax(1)(y), "softmax"),
        (lambda e, y: torch.log_softmax(y, 1), "log-softmax"),
        (lambda e, y: y.sigmoid(), "sigmoid"),
        (lambda e, y: nn.functional.logsigmoid(y), "sigmoid"),
        (lambda e, y: y[:, :, None, None].softmax(1).flatten(1), "softmax"),
        (lambda e, y: y[:, None].softmax(2).squeeze(1), "softmax"),
        (lambda e, y: y.T.softmax(0).T, "softmax"),
        (lambda e, y: {"features": e, "scores": y.softmax(1, dtype=torch.float32)}, "softmax"),
    ],
)
def test_the_logit_before_a_softmax_or_sigmoid_is_explained_and_said_to_be(
    finish: Any, said: str, noise: Tensor, right: Tensor
) -> None:
    model = confident(finish)
    layer = resolve_target_layer(model, (8, 8))
    assert f"ends in a {said}, so the logits before it are explained" in layer.rule
    assert torch.allclose(heatmaps(model, noise, [0, 3]), right, atol=1e-7)
    recording = record(model, noise, layer)
    assert torch.allclose(recording.logits.detach(), confident(lambda e, y: y)(noise), atol=1e-5)


@pytest.mark.parametrize(
    ("finish", "said"),
    [
        (lambda e, y: y.softmax(1) * 100, "softmax"),
        (lambda e, y: (100 * y.softmax(1))[:, :, None].squeeze(2), "softmax"),
        (lambda e, y: y.softmax(1).mul_(100), "softmax"),
        (lambda e, y: y.softmax(1) / 0.01 - 50, "softmax"),
        (lambda e, y: y.softmax(1).sqrt(), "softmax"),
        (lambda e, y: y.softmax(1) ** 0.25, "softmax"),
        (lambda e, y: (y.softmax(1) + 1e-9).log2(), "softmax"),
        (lambda e, y: torch.log10(y.softmax(1).clamp(1e-30)), "softmax"),
        (lambda e, y: 2.5 * y.log_softmax(1), "log-softmax"),
        (lambda e, y: y.log_softmax(1).exp() * 100, "log-softmax"),
        (lambda e, y: torch.tensor(100.0) * y.sigmoid(), "sigmoid"),
        (lambda e, y: {"percent": torch.special.expit(y).mul(100)}, "sigmoid"),
    ],
)
def test_what_keeps_the_order_of_probabilities_is_stepped_over_as_well(
    finish: Any, said: str, noise: Tensor, right: Tensor
) -> None:
    model = confident(finish)
    layer = resolve_target_layer(model, (8, 8))
    assert f"ends in a {said}, so the logits before it are explained" in layer.rule
    assert torch.allclose(heatmaps(model, noise, [0, 3]), right, atol=1e-7)
    assert torch.allclose(record(model, noise, layer).logits.detach(), confident(lambda e, y: y)(noise), atol=1e-5)


@pytest.mark.parametrize(
    "finish",
    [
        lambda e, y: -3 * y.softmax(1),
        lambda e, y: -100 * y.softmax(1),
        lambda e, y: 5 - y.sigmoid() * 3,
        lambda e, y: y.softmax(1) * torch.tensor([1.0, 2, 3, 4, 5]) * 7,
        lambda e, y: 3 * y.sigmoid() * y,
        lambda e, y: 1 / (y.softmax(1) + 1e-3),
    ],
)
def test_what_turns_or_mixes_the_order_of_probabilities_is_explained_as_it_is(finish: Any, noise: Tensor) -> None:
    model = Net(finish)
    recording = record(model, noise, resolve_target_layer(model, (8, 8)))
    assert recording.ends_in == ""
    assert torch.equal(recording.logits.detach(), model(noise))


def test_a_softmax_inside_the_model_is_none_at_its_end(noise: Tensor) -> None:
    gated = Net(lambda e, y: y + (y.softmax(1) * y).sum(1, keepdim=True))
    layer = resolve_target_layer(gated, (8, 8))
    assert "softmax" not in layer.rule
    leaf = gated.maps(noise).detach().requires_grad_()
    embedding = leaf.mean((2, 3))
    (gradient,) = torch.autograd.grad(gated.finish(embedding, gated.fc(embedding))[:, 1].sum(), leaf)
    expected = (gradient.mean((2, 3), keepdim=True) * leaf).sum(1).relu().detach()
    assert torch.allclose(heatmaps(gated, noise, 1)[:, 0], expected, atol=1e-7)


def test_a_softmax_that_is_taken_away_or_put_on_later_is_noticed(noise: Tensor, right: Tensor) -> None:
    model = Net(lambda e, y: y.softmax(1))
    for finish in (model.finish, lambda e, y: y, model.finish, lambda e, y: y.softmax(1).softmax(1) * 0 + y):
        model.finish = finish
        assert torch.allclose(heatmaps(model, noise, [0, 3]), right, atol=1e-7)


def softmax_by_hand(y: Tensor) -> Tensor:
    large = (y - y.max(1, keepdim=True).values).exp()
    return large / large.sum(1, keepdim=True)


@pytest.mark.parametrize(
    ("finish", "said"),
    [
        (lambda e, y: y.exp() / y.exp().sum(1, keepdim=True), "softmax"),
        (lambda e, y: softmax_by_hand(y), "softmax"),
        (lambda e, y: (y.softmax(1) + y.softmax(1)) / 2, "softmax"),
        (lambda e, y: y.softmax(1) + 1e-8, "softmax"),
        (lambda e, y: y.softmax(1).log(), "softmax"),
        (lambda e, y: y.softmax(1).clamp(1e-7).log(), "softmax"),
        (lambda e, y: y - y.logsumexp(1, keepdim=True), "softmax"),
        (lambda e, y: 1 / (1 + torch.exp(-y)), "sigmoid"),
        (lambda e, y: 0.5 * (torch.tanh(y / 2) + 1), "sigmoid"),
        (lambda e, y: (torch.tanh(0.5 * y) + 1) / 2, "sigmoid"),
        (lambda e, y: 1 - (-y).sigmoid(), "sigmoid"),
        (lambda e, y: -nn.functional.softplus(-y), "sigmoid"),
        (lambda e, y: y.sigmoid().clamp(1e-4, 1 - 1e-4), "sigmoid"),
    ],
)
def test_the_logit_before_a_softmax_or_sigmoid_written_by_hand_is_explained(
    finish: Any, said: str, noise: Tensor, right: Tensor
) -> None:
    model = Net(finish)
    layer = resolve_target_layer(model, (8, 8))
    assert f"ends in a {said}, so the logits before it are explained" in layer.rule
    assert torch.allclose(heatmaps(model, noise, [0, 3]), right, atol=1e-7)
    entered: list[None] = []
    model.register_forward_pre_hook(lambda *_: entered.append(None))
    recording = record(model, noise, layer)
    assert torch.allclose(recording.logits.detach(), Net()(noise), atol=1e-6)
    assert len(entered) == 1


def test_what_only_looks_like_probabilities_is_no_sigmoid(noise: Tensor) -> None:
    """Numbers in [0, 1] are not enough, nor is a layer whose sigmoid the scores happen to be for one picture."""
    for finish in (lambda e, y: torch.relu(y).clamp(max=1), lambda e, y: nn.functional.hardsigmoid(y)):
        model = Net(finish)
        recording = record(model, noise, resolve_target_layer(model, (8, 8)))
        assert recording.ends_in == ""
        assert torch.equal(recording.logits.detach(), model(noise))
    two = Net(lambda e, y: (y.softmax(1) + (y * e[:, :1] / e[:, :1].detach()).softmax(1)) / 2)
    assert record(two, noise, resolve_target_layer(two, (8, 8))).ends_in == "probabilities"


@pytest.mark.parametrize(
    ("finish", "wanted"),
    [
        (lambda e, y: y.softmax(1)[:, 1], lambda y: y.softmax(1)[:, 1:2]),
        (lambda e, y: y.softmax(1)[:, 1:], lambda y: y.softmax(1)[:, 1:]),
        (lambda e, y: (y.sigmoid() + (2 * y).sigmoid()) / 2, lambda y: (y.sigmoid() + (2 * y).sigmoid()) / 2),
    ],
)
def test_probabilities_that_need_not_add_up_give_their_log_odds(finish: Any, wanted: Any, noise: Tensor) -> None:
    model = Net(finish)
    layer = resolve_target_layer(model, (8, 8))
    assert "need not add up to one, so their log-odds are explained" in layer.rule
    recording = record(model, noise, layer)
    assert torch.allclose(recording.logits.detach().sigmoid(), wanted(Net()(noise)).detach(), atol=1e-6)


def test_probabilities_made_otherwise_are_told_by_their_numbers(noise: Tensor) -> None:
    model = Net(lambda e, y: (y.softmax(1) + (2 * y).softmax(1)) / 2)
    layer = resolve_target_layer(model, (8, 8))
    assert "gives probabilities, so their logarithms are explained" in layer.rule
    logits = record(model, noise, layer).logits.detach()
    assert torch.allclose(logits.softmax(1), model(noise), atol=1e-6)


def _last(output: Any) -> Tensor:
    return output[-1]


@pytest.mark.parametrize(("output", "text"), [(1, "1"), (_last, "by '_last'"), (None, "")])
def test_an_explanation_says_which_output_was_chosen(output: Any, text: str) -> None:
    pair = Net(lambda embedding, logits: (embedding, logits)) if output is not None else Net()
    classifier = Classifier(pair, plain.AS_IT_IS, numbered(5), ModelSpec("plain", "pair"), output=output)
    assert explain(classifier, plain.photo(plain.RED, plain.BLUE)).output == text
