"""Components are linear readings of two views, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from gradcam.shortcuts.components import PRINCIPAL, Component, Joint
from tests.shortcuts.arrays import EARLIER, made


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


def test_strengths_have_mean_0_and_deviation_1_and_a_channel_that_never_changes_says_nothing() -> None:
    data = made()
    data.earlier[:, 0] = 7
    joint = Joint.of(data.earlier, data.contrast)
    component = joint.component(np.random.default_rng(0).normal(size=EARLIER + PRINCIPAL))
    strengths = component.strengths(data.earlier, data.contrast)
    assert [strengths.mean(), strengths.std()] == pytest.approx([0, 1], abs=1e-3)
    assert (joint.values[:, 0] == 0).all()


def test_few_photos_have_half_as_many_columns_which_are_read_alike() -> None:
    data = made(each=8)
    joint = Joint.of(data.earlier, data.contrast)
    assert joint.values.shape == (16, 8)
    read = joint.values @ np.arange(8.0)
    strengths = joint.component(np.arange(8.0)).strengths(data.earlier, data.contrast)
    assert strengths == pytest.approx(read / read.std(), abs=1e-4)


def test_the_same_seed_gives_the_same_columns() -> None:
    data = made()
    once, again = (Joint.of(data.earlier, data.contrast, seed=3) for _ in range(2))
    assert (once.values == again.values).all()
    assert (once.reader == again.reader).all()
