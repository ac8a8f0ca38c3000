"""Arrays whose answer is known: the marked photos of a class are its first candidate."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from gradcam.shortcuts.components import Joint
from gradcam.shortcuts.ranking import NEAREST, STARTS, Discriminant, Groups, earlier_pattern, pattern, rank
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


def reading_itself(discriminant: Discriminant, groups: Groups, rests: Groups) -> NDArray[np.float64]:
    """In place of `Discriminant.left_out`: each photo along the direction that it helped to find."""
    return discriminant.weights(groups, rests) @ discriminant.values.T


def shares_in_noise(seed: int) -> list[tuple[float, float]]:
    """Of each candidate in noise: the share of the class's 25 photos that are members, and of new photos that
    would be."""
    random = np.random.default_rng(seed)
    earlier, contrast = (random.normal(size=(75, width)).astype(np.float32) for width in (64, 40))
    new = [random.normal(size=(4000, width)).astype(np.float32) for width in (64, 40)]
    in_class = np.arange(75) < 25
    return [
        (float(one.members[in_class].mean()), float((one.component.strengths(*new) >= one.threshold).mean()))
        for one in rank(in_class, earlier, contrast)
    ]


@pytest.mark.parametrize("seed", range(4))
def test_noise_does_not_stand_out_by_photos_that_found_their_own_direction(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert all(members < new + 0.1 for members, new in shares_in_noise(seed))
    monkeypatch.setattr(Discriminant, "left_out", reading_itself)
    assert max(members - new for members, new in shares_in_noise(seed)) > 0.1  # what that is for


def test_a_photo_of_the_class_is_read_along_a_direction_that_it_did_not_help_to_find() -> None:
    data = made(each=25)
    first, *_ = rank(data.in_class, data.earlier, data.contrast)
    helped = first.component.strengths(data.earlier, data.contrast) - first.strengths
    others = helped[~data.in_class]
    assert np.ptp(others) < 1e-4  # a constant, for strengths have no fixed zero
    assert (helped[first.members] > others.max() + 0.1).all()
    assert (helped[data.in_class & ~first.members] < others.min()).all()


def test_noise_scores_far_below_a_mark() -> None:
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
