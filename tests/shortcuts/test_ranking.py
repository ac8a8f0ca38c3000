"""Arrays whose answer is known: the marked photos of a class are its first candidate."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from gradcam.shortcuts.components import Joint, independent
from gradcam.shortcuts.ranking import earlier_pattern, pattern, rank
from tests.shortcuts.arrays import SEEN, USED, made


@pytest.mark.parametrize("share", [0.1, 0.2])
def test_the_marked_photos_are_the_first_candidate(share: float) -> None:
    data = made(share)
    first, *_ = rank(data.in_class, data.earlier, data.contrast)
    assert (first.members & data.marked).sum() >= 0.9 * data.marked.sum()
    assert (first.members & data.marked).sum() >= 0.8 * first.members.sum()
    assert set(np.argsort(-pattern(data.contrast[data.in_class], first.strengths[data.in_class]))[:4]) == set(USED)
    follows = earlier_pattern(data.earlier[data.in_class], first.strengths[data.in_class])
    assert set(np.argsort(-follows)[:3]) == set(SEEN)


def test_a_faint_mark_is_told_better_after_sharpening_than_by_any_independent_component() -> None:
    data = made()
    data.earlier[np.ix_(data.marked, SEEN)] -= 2
    data.contrast[np.ix_(data.marked, USED)] -= 2
    first, *_ = rank(data.in_class, data.earlier, data.contrast)
    joint = Joint.of(data.earlier, data.contrast)
    marked = data.marked[data.in_class]
    begun = [abs(roc_auc_score(marked, (joint.values @ one)[data.in_class]) - 0.5) for one in independent(joint)]
    assert roc_auc_score(marked, first.strengths[data.in_class]) > 0.5 + max(begun)


def test_members_are_photos_of_the_class_at_and_above_the_threshold() -> None:
    data = made()
    for one in rank(data.in_class, data.earlier, data.contrast):
        assert (one.members == (data.in_class & (one.strengths >= one.threshold))).all()


def test_a_mark_that_the_model_does_not_use_scores_far_below_one_that_it_uses() -> None:
    used, unused = made(), made()
    unused.contrast[np.ix_(unused.marked, USED)] -= 4
    scores = [rank(data.in_class, data.earlier, data.contrast)[0].score for data in (used, unused)]
    assert scores[1] < scores[0] / 2


def test_there_are_three_candidates_at_most_and_no_two_of_the_same_photos() -> None:
    data = made()
    found = rank(data.in_class, data.earlier, data.contrast)
    assert len(found) <= 3
    assert [one.score for one in found] == sorted([one.score for one in found], reverse=True)
    for number, one in enumerate(found):
        for other in found[number + 1 :]:
            assert (one.members & other.members).sum() <= 0.5 * (one.members | other.members).sum()


def test_a_pattern_is_the_slope_of_each_channel_and_never_below_0() -> None:
    strengths = np.array([-1.0, 0.0, 1.0])
    channels = np.array([[0.0, 2.0, 5.0], [3.0, 1.0, 5.0], [6.0, 0.0, 5.0]])
    assert pattern(channels, strengths).tolist() == pytest.approx([3, 0, 0])
    assert earlier_pattern(channels, strengths).tolist() == pytest.approx([1, 1, 0])
