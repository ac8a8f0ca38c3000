"""A target is typed as people speak, stored as data, and scored by hand-checkable numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from gradcam import (
    ClassError,
    Contrast,
    Labels,
    ModelError,
    OptionError,
    Target,
    Top,
    compare,
    explain,
    heatmaps,
    parse_target,
)
from gradcam.models.labels import make_labels, numbered
from gradcam.targets import known_names, probabilities, write_target
from gradcam.teaching.script import to_script
from gradcam.teaching.steps import gradcam_steps
from tests import plain
from tests.plain import BLACK, BLUE, RED

# Text --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("#281", 281),
        ("# 281", "# 281"),
        ("281", "281"),
        (" tabby ", "tabby"),
        ("top", Top(1)),
        ("Top-3", Top(3)),
        ("top 2", Top(2)),
        ("prediction 4", Top(4)),
        ("#top-4", Top(4)),
        ("#top", Top(1)),
        ("top ٣", "top ٣"),
        ("#٣", "#٣"),
        ("top hat", "top hat"),
        ('"top"', "top"),
        ('"#5"', "#5"),
        ('"half', '"half'),
        ("Egyptian cat rather than espresso", Contrast("Egyptian cat", "espresso")),
        ("top rather than #281", Contrast(Top(1), 281)),
        ('"A rather than B" rather than "top"', Contrast("A rather than B", "top")),
    ],
)
def test_targets_are_read_as_people_write_them(text: str, target: Target) -> None:
    assert parse_target(text) == target


ODD = [
    "tabby", "10", "٣", "007", "top", "TOP", "top-1", "top 2", "top prediction", "prediction 2", "Prediction 2",
    "#5", "#top", "#hashtag", "A rather than B", "rather than", "a rather than",
    '"cat"', '"', '"top" rather than 5',
    "a, b; c", " cat ", "", "two\nlines", "nul\0", "\u202eright", "🐈", "x" * 5000, "\\", "1e5", "-5", "class 3",
]  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_every_name_comes_back_as_what_it_is(name: str) -> None:
    others = (5, "tabby", Top(1), Top(7))
    targets = [name, *(Contrast(name, one) for one in others), *(Contrast(one, name) for one in others)]
    for target in targets:
        assert parse_target(write_target(target)) == target
    among = known_names(["tabby", name, *(str(one) for one in targets)])
    for target in [*targets, Top(1), Top(2), 5, Contrast(5, Top(2)), Contrast(Top(1), "tabby")]:
        assert parse_target(write_target(target, among), among) == target


@pytest.mark.parametrize("target", [5, Top(1), Top(3), Contrast("a b", Top(2)), Contrast(1, 2)])
def test_what_is_written_can_be_read_again(target: Target) -> None:
    assert parse_target(write_target(target)) == target


@pytest.mark.parametrize(
    "text", ["top", "Top-1", "prediction 2", "A rather than B", "a Rather Than b rather than c"]
)
def test_typed_text_is_the_name_of_a_class_first(text: str) -> None:
    assert parse_target(f" {text.lower()} ", known_names([text, "b"])) == text.lower()
    assert parse_target(text, known_names(["other"])) != text


def test_a_contrast_is_cut_where_both_sides_are_classes() -> None:
    names = known_names(["a rather than b", "c"])
    assert parse_target("a rather than b rather than c", names) == Contrast("a rather than b", "c")
    assert parse_target("a rather than b rather than c") == Contrast("a", "b rather than c")
    assert parse_target("#5", known_names(["#5"])) == 5, "always an index"


@pytest.mark.parametrize("text", ["", "  ", "tabby rather than ", " rather than tabby"])
def test_nothing_is_no_class(text: str) -> None:
    with pytest.raises(ClassError, match="got nothing"):
        parse_target(text)


@pytest.mark.parametrize(
    "text",
    [
        "9" * 5000,
        "#" + "9" * 5000,
        "top-" + "9" * 21,
        "prediction " + "9" * 5000,
        "-5",
        "1e5",
        "top-0",
        "#-1",
        "\ud800",
    ],
)
def test_a_number_that_no_class_has_is_one_sentence(text: str) -> None:
    for names in ([f"class {index}" for index in range(12)], plain.DIGITS):
        with pytest.raises(ClassError) as caught:
            explain(plain.classifier(names, [[0, 0, 0]] * 12), plain.photo(RED), parse_target(text))
        assert len(str(caught.value)) < 500
        assert "\n" not in str(caught.value)


# Digits ------------------------------------------------------------------------------------------------------


def named(target: Any, classifier: plain.Classifier | None = None) -> str:
    return explain(classifier or plain.digits(), plain.photo(RED), target).targets[0].label


def test_digits_are_a_name_first() -> None:
    found = explain(plain.digits(), plain.photo(RED), ["10", parse_target("10"), parse_target("#10"), 10])
    assert [(target.index, target.label) for target in found.targets] == [
        (2, "10"),
        (2, "10"),
        (10, "8"),
        (10, "8"),
    ]
    np.testing.assert_allclose(found.maps[:, 0, 0], [2 / 4, 2 / 4, 10 / 4, 10 / 4])


def test_digits_that_no_class_has_for_its_name_are_an_index_unless_another_class_has_digits() -> None:
    three = make_labels(["cat", "dog", "bird"])
    assert [three.index(text) for text in ("2", "02", "#2")] == [2, 2, 2]
    some = make_labels(["cat", "7", "bird"])
    assert (some.index("7"), some.index("#0"), some.index(0)) == (1, 0, 0)
    with pytest.raises(ClassError, match=r"got '2', which could be a name or an index.*; write '#2' for the index"):
        some.index("2")
    with pytest.raises(ClassError, match="write '#2'"):
        make_labels(["cat", "٧", "bird"]).index("2")
    with pytest.raises(ClassError, match=r"'7 \(0\)' \[0\], '7 \(2\)' \[2\]; name one of them, or its index as #0"):
        make_labels(["7", "cat", "7"]).index("7")
    with pytest.raises(ClassError, match="from 0 to 2, got 5000"):
        three.index("5000")


# Values ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "targets",
    [
        np.int64(2), np.uint8(2), np.array(2), torch.tensor(2), [np.int32(2)], np.array([2]), torch.tensor([2]),
        range(2, 3), (2,), iter([2]), np.str_("bird"), Top(np.int64(3)), "#2", ["2"],
    ],
)  # fmt: skip
def test_whole_numbers_of_every_kind_are_indices(targets: Any) -> None:
    three = plain.classifier(["cat", "dog", "bird"], [[3, 0, 0], [2, 0, 0], [1, 0, 0]])
    assert named(targets, three) == "bird"
    (panel,) = compare([three], [plain.photo(RED)], targets if not hasattr(targets, "__next__") else [2]).panels
    assert type(panel.scored.index) is int


@pytest.mark.parametrize(
    "target",
    [True, np.True_, torch.tensor(True), 0.9, 2.0, np.float32(1), -1, np.int64(-1), None, b"a", [True, False],
     [0.9, 3.7], np.array([[1, 2]]), Top(-1), Top(1.5), Contrast(0, True), pytest.param(10**5000, id="huge")],
)  # fmt: skip
def test_what_is_no_whole_number_from_0_is_refused_in_a_sentence(target: Any) -> None:
    with pytest.raises(ClassError, match=r"expected a (class|prediction)"):
        named(target)
    with pytest.raises(ClassError, match="expected a class from 0 to 2"):
        make_labels("abc").index(0.9)  # pyright: ignore[reportArgumentType]


def test_no_target_is_none() -> None:
    for nothing in ([], np.array([], int), ()):
        with pytest.raises(OptionError, match="at least one target"):
            explain(plain.digits(), plain.photo(RED), nothing)  # pyright: ignore[reportArgumentType]


# One logit ---------------------------------------------------------------------------------------------------


def test_a_negative_logit_is_the_negative_class_and_its_map_is_that_of_minus_y() -> None:
    found = explain(plain.detector(), plain.photo(BLUE, name="clean.png"), [Top(1), Top(2), Contrast(0, 1)])
    assert found.labels == ("not defect", "defect")
    assert [str(target) for target in found.targets] == ["not defect", "defect", "not defect rather than defect"]
    assert [target.score for target in found.targets] == [8, -8, 16]
    assert [target.rank for target in found.targets] == [1, 2, 1]
    assert [target.probability for target in found.targets] == pytest.approx([0.99966465, 0.00033535, 0.99966465])
    assert found.probabilities.sum() == pytest.approx(1)
    assert found.logits.tolist() == [8, -8]
    assert found.activation == "sigmoid"
    assert found.top() == [("not defect", pytest.approx(0.99966465)), ("defect", pytest.approx(0.00033535))]


def test_both_maps_of_a_single_logit_by_hand() -> None:
    """y = 16 · red − 8 · blue: red cells speak for the positive class, blue ones for the negative one."""
    net = plain.classifier(["defect"], [[16, 0, -8]])
    found = explain(net, plain.photo(RED, BLUE, BLACK, BLACK), ["defect", "not defect", 1, 0, Contrast(1, 0)])
    positive, negative = [[4, 0], [0, 0]], [[0, 2], [0, 0]]
    np.testing.assert_allclose(found.maps[:4], [positive, negative, positive, negative])
    np.testing.assert_allclose(found.maps[4], np.multiply(positive, 2))
    columns = heatmaps(net.module, torch.zeros(1, 3, 8, 8) + 1, classes=0)
    assert columns.shape == (1, 1, 2, 2), "columns: 0 is +y"
    with pytest.raises(ClassError):
        heatmaps(net.module, torch.zeros(1, 3, 8, 8), classes=1)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (make_labels(["defect"]), ("not defect", "defect")),
        (make_labels(["fine", "defect"]), ("fine", "defect")),
        (make_labels(["not defect"]), ("not not defect", "not defect")),
        (numbered(1), ("class 0", "class 1")),
        (numbered(2), ("class 0", "class 1")),
        (Labels(("7",)), ("not 7", "7")),
    ],
)
def test_a_single_logit_has_two_names_the_negative_first(labels: Labels, names: tuple[str, ...]) -> None:
    found = explain(plain.detector(labels), plain.photo(RED), names)
    assert [(target.index, target.label, target.score) for target in found.targets] == [
        (0, names[0], -8.0),
        (1, names[1], 8.0),
    ]


@pytest.mark.parametrize("count", [0, 3, 1000])
def test_a_single_logit_with_other_names_is_refused(count: int) -> None:
    with pytest.raises(ModelError, match=f"one class name or two, the negative class first.*, got {count} in"):
        explain(plain.detector(Labels(tuple(map(str, range(count))))), plain.photo(RED))


def test_names_that_are_not_as_many_as_logits_are_refused() -> None:
    with pytest.raises(ModelError, match="expected 3 class names, one for each class of the head, got 2 in 'own'"):
        explain(plain.classifier(["cat", "dog"], [[1, 0, 0]] * 3), plain.photo(RED))


def test_a_batch_of_photos_and_the_steps_explain_the_negative_class_too() -> None:
    net = plain.classifier(["defect"], [[16, 0, -8]])
    photo = plain.photo(BLUE, BLACK, BLACK, BLACK)
    steps = gradcam_steps(net, photo, Top(1))
    assert steps.explanation.targets[0].label == "not defect"
    np.testing.assert_allclose(steps.alpha, [-4, 0, 2])
    np.testing.assert_allclose(np.maximum(steps.weighted_sum(), 0), steps.explanation.maps[0])


@pytest.mark.parametrize("target", [0, 1, Contrast(0, 1), Contrast(1, 0)])
@pytest.mark.parametrize("logits", [[[16.0, 0, -8]], [[-9.0, 1, 0], [16, 0, -8]]])
def test_the_script_of_one_and_of_two_sigmoids_computes_the_same_map(
    target: Target, logits: list[list[float]]
) -> None:
    net = plain.classifier(["fine", "defect"], logits, activation="sigmoid")
    photo = plain.photo(RED, BLUE, BLACK, (90, 10, 50))
    found = explain(net, photo, target)
    script = to_script(found, "the_photo()")
    lines = [line for line in script.splitlines() if not line.startswith("from gradcam import")]
    room: dict[str, Any] = {"load_classifier": lambda model: net, "the_photo": lambda: photo}
    exec("\n".join(lines), room)
    np.testing.assert_allclose(room["heat"].numpy(), found.maps[0], rtol=1e-6)


# Activation --------------------------------------------------------------------------------------------------


def test_with_sigmoids_each_class_has_a_probability_of_its_own() -> None:
    both = plain.classifier(["cat", "dog", "bird"], [[2, 0, 0], [1, 0, 0], [-3, 0, 0]], activation="sigmoid")
    found = explain(both, plain.photo(RED), ["cat", "dog", Top(3)])
    expected = [1 / (1 + math.exp(-score)) for score in (2, 1, -3)]
    assert [target.probability for target in found.targets] == pytest.approx(expected)
    assert found.probabilities.tolist() == pytest.approx(expected)
    softmax = explain(both.with_activation("softmax"), plain.photo(RED), "cat")
    assert softmax.probabilities.sum() == pytest.approx(1)
    assert (found.activation, softmax.activation) == ("sigmoid", "softmax")
    np.testing.assert_array_equal(softmax.maps[0], found.maps[0])


def test_an_activation_is_said_of_all_models_or_of_one_and_reads_no_weights_again() -> None:
    a, b = (plain.classifier(["cat", "dog"], [[2, 0, 0], [1, 0, 0]], name=name) for name in "ab")
    assert a.weights_sha256 == a.with_activation("sigmoid").weights_sha256
    assert a.with_activation("softmax") is a
    for said, expected in (
        (None, ["softmax", "softmax"]),
        ("sigmoid", ["sigmoid", "sigmoid"]),
        ({"plain/b": "sigmoid"}, ["softmax", "sigmoid"]),
    ):
        panels = compare([a, b], [plain.photo(RED)], activation=said).panels
        assert [panel.explanation.activation for panel in panels if panel.explanation] == expected


@pytest.mark.parametrize("activation", ["tanh", "", None, "Softmax"])
def test_another_activation_is_refused(activation: Any) -> None:
    with pytest.raises(OptionError, match=r"expected an activation, got .*; use 'softmax'"):
        plain.detector(activation=activation)


def test_far_scores_are_probabilities_without_a_warning() -> None:
    far = np.array([-1e4, 0, 1e4], np.float32)
    assert probabilities(far, "sigmoid").tolist() == [0, 0.5, 1]
    assert probabilities(far).tolist() == [0, 0, 1]
    tied = explain(plain.classifier(["a", "b"], [[300, 0, 0], [400, 0, 0]], activation="sigmoid"), plain.photo(RED))
    assert tied.top(1)[0][0] == tied.targets[0].label == "b", "by the scores, where probabilities are alike"
