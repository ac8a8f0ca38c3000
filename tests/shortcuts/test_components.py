"""Components are linear readings of two views, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from gradcam.shortcuts.components import PRINCIPAL, Component, Joint, independent
from tests.shortcuts.arrays import EARLIER, Made, made


def found(data: Made, seed: int = 0) -> list[Component]:
    joint = Joint.of(data.earlier, data.contrast, seed)
    return [joint.component(weights) for weights in independent(joint, seed)]


def test_a_strength_is_what_the_weights_read_of_both_views_and_the_offset() -> None:
    component = Component(np.array([2.0, 0.0]), np.array([0.0, 3.0]), 1.0)
    earlier, contrast = np.array([[1.0, 9.0], [0.0, 9.0]]), np.array([[9.0, 1.0], [9.0, 0.0]])
    assert component.strengths(earlier, contrast).tolist() == [2 + 3 + 1, 1]


def test_the_columns_are_both_views_and_a_component_reads_the_channels_as_its_weights_read_the_columns() -> None:
    data = made()
    joint = Joint.of(data.earlier, data.contrast)
    assert joint.values.mean(axis=0) == pytest.approx(np.zeros(EARLIER + PRINCIPAL), abs=1e-6)
    views = np.split(joint.values, [EARLIER], axis=1)
    assert [(view**2).sum(axis=1).mean() for view in views] == pytest.approx([1, 1], abs=1e-4)
    weights = np.random.default_rng(0).normal(size=EARLIER + PRINCIPAL)
    read = joint.values @ weights
    strengths = joint.component(weights).strengths(data.earlier, data.contrast)
    assert strengths == pytest.approx(read / read.std(), abs=1e-4)


def test_components_have_mean_0_and_deviation_1_and_one_is_of_the_marked_photos_alone() -> None:
    data = made()
    strengths = [one.strengths(data.earlier, data.contrast) for one in found(data)]
    assert len(strengths) == 25
    assert np.mean(strengths, axis=1) == pytest.approx(np.zeros(25), abs=1e-3)
    assert np.std(strengths, axis=1) == pytest.approx(np.ones(25), abs=1e-2)
    both_ends = [end for one in strengths for end in (one, -one)]
    assert max(end[data.marked].min() - end[~data.marked].max() for end in both_ends) > 0


def test_the_same_seed_gives_the_same_numbers() -> None:
    data = made()
    once, again = (found(data, seed=3) for _ in range(2))
    assert all(
        (a.earlier == b.earlier).all() and (a.contrast == b.contrast).all()
        for a, b in zip(once, again, strict=True)
    )


def test_a_channel_that_never_changes_and_fewer_photos_than_components_are_no_trouble() -> None:
    data = made(each=8)
    data.earlier[:, 0] = 7
    components = found(data)
    assert 0 < len(components) <= 15
    assert all(np.isfinite(one.strengths(data.earlier, data.contrast)).all() for one in components)
