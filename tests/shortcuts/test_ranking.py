"""Arrays whose answer is known: the marked photos of a class are its first candidate."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from gradcam.shortcuts.components import Joint
from gradcam.shortcuts.ranking import NEAREST, STARTS, Discriminant, earlier_pattern, pattern, rank
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


def test_a_faint_mark_that_no_photo_shows_clearly_is_found() -> None:
    data = made()
    data.earlier[np.ix_(data.marked, np.array(SEEN))] -= 2
    data.contrast[np.ix_(data.marked, np.array(USED))] -= 2
    first, *_ = rank(data.in_class, data.earlier, data.contrast)
    assert roc_auc_score(data.marked[data.in_class], first.strengths[data.in_class]) > 0.95


def test_what_is_left_out_is_the_discriminant_of_the_other_photos() -> None:
    data = made(each=30)
    discriminant = Discriminant.of(Joint.of(data.earlier, data.contrast).values, data.in_class)
    group, rest = data.marked, data.in_class & ~data.marked
    left_out = discriminant.left_out(group, rest)
    for photo in (np.flatnonzero(group)[0], np.flatnonzero(rest)[0], np.flatnonzero(~data.in_class)[0]):
        others = np.arange(len(group)) != photo
        weights = discriminant.weights(group & others, rest & others)
        assert left_out[photo] == pytest.approx(float(discriminant.values[photo] @ weights))


def test_noise_does_not_stand_out_by_photos_that_found_their_own_direction() -> None:
    data = made()
    data.earlier[np.ix_(data.marked, np.array(SEEN))] -= 4
    data.contrast[np.ix_(data.marked, np.array(USED))] -= 4
    noise = [one.score for one in rank(data.in_class, data.earlier, data.contrast)]
    data = made()
    assert max(noise, default=0.0) < rank(data.in_class, data.earlier, data.contrast)[0].score / 2


def test_a_search_begins_at_so_many_photos_of_a_large_class_at_most_and_the_seed_draws_them() -> None:
    in_class = np.repeat([True, False], 1000)
    values = np.random.default_rng(0).normal(size=(2000, 4))
    discriminant = Discriminant.of(values, in_class)
    groups = discriminant.nearest(in_class, NEAREST, 0)
    assert groups.shape == (STARTS, 2000)
    assert (groups[:, in_class].sum(axis=1) == NEAREST).all()
    assert not groups[:, ~in_class].any()
    assert (groups == discriminant.nearest(in_class, NEAREST, 0)).all()
    assert (groups != discriminant.nearest(in_class, NEAREST, 1)).any()


def test_a_class_that_no_channel_gives_anything_has_no_candidate() -> None:
    data = made()
    data.contrast[data.in_class] = 0
    assert rank(data.in_class, data.earlier, data.contrast) == []


def test_members_are_photos_of_the_class_at_and_above_the_threshold() -> None:
    data = made()
    for one in rank(data.in_class, data.earlier, data.contrast):
        assert (one.members == (data.in_class & (one.strengths >= one.threshold))).all()


def test_a_mark_that_the_model_does_not_use_scores_far_below_one_that_it_uses() -> None:
    used, unused = made(), made()
    unused.contrast[np.ix_(unused.marked, np.array(USED))] -= 4
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
    means_and_spreads = np.array([[0.0, 5.0, 1.0, 5.0], [3.0, 5.0, 0.0, 1.0], [6.0, 5.0, 1.0, -3.0]])
    assert earlier_pattern(means_and_spreads, strengths).tolist() == pytest.approx([1, 1])
