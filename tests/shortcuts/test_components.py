"""Components are linear readings of two views, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from gradcam.shortcuts.components import Component, find_components
from tests.shortcuts.arrays import made


def test_a_strength_is_what_the_weights_read_of_both_views_and_the_offset() -> None:
    component = Component(np.array([2.0, 0.0]), np.array([0.0, 3.0]), 1.0)
    earlier, contrast = np.array([[1.0, 9.0], [0.0, 9.0]]), np.array([[9.0, 1.0], [9.0, 0.0]])
    assert component.strengths(earlier, contrast).tolist() == [2 + 3 + 1, 1]
    assert component.turned().strengths(earlier, contrast).tolist() == [-6, -1]


def test_each_component_comes_in_both_signs_with_mean_0_and_deviation_1() -> None:
    data = made()
    found = [one.strengths(data.earlier, data.contrast) for one in find_components(data.earlier, data.contrast)]
    assert len(found) == 50
    assert np.mean(found, axis=1) == pytest.approx(np.zeros(50), abs=1e-3)
    assert np.std(found, axis=1) == pytest.approx(np.ones(50), abs=1e-2)
    assert found[1] == pytest.approx(-found[0])


def test_one_component_is_strong_on_the_marked_photos_and_on_no_other() -> None:
    data = made()
    strengths = [one.strengths(data.earlier, data.contrast) for one in find_components(data.earlier, data.contrast)]
    clearest = max(strengths, key=lambda one: one[data.marked].min() - one[~data.marked].max())
    assert clearest[data.marked].min() > clearest[~data.marked].max()


def test_the_same_seed_gives_the_same_numbers() -> None:
    data = made()
    once, again = (find_components(data.earlier, data.contrast, seed=3) for _ in range(2))
    assert all(
        (a.earlier == b.earlier).all() and (a.contrast == b.contrast).all()
        for a, b in zip(once, again, strict=True)
    )


def test_a_channel_that_never_changes_and_fewer_photos_than_components_are_no_trouble() -> None:
    data = made(each=8)
    data.earlier[:, 0] = 7
    found = find_components(data.earlier, data.contrast)
    assert 0 < len(found) <= 2 * 15
    assert all(np.isfinite(one.strengths(data.earlier, data.contrast)).all() for one in found)
