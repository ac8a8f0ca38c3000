"""Forwards that are kept: what they spare, and what they leave in memory."""

from __future__ import annotations

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from gradcam import Classifier, Contrast, OptionError, explain, load_classifier, sample_photo
from gradcam.forward_cache import ForwardCache

BUNDLED = "bundled/tf_efficientnet_lite0"
CAT, COFFEE = "Egyptian cat", "espresso"


def forwards(of: Classifier) -> list[None]:
    """Grows by one with every forward of an exact classifier: of others a copy runs, which has no hooks."""
    counted: list[None] = []
    of.module.register_forward_hook(lambda *_: counted.append(None))
    return counted


def test_another_class_of_the_same_photo_needs_no_forward_and_gets_the_same_map() -> None:
    classifier, recent = load_classifier(BUNDLED, exact=True), ForwardCache()
    fresh = explain(classifier, sample_photo("chelsea"), [CAT, Contrast(CAT, COFFEE)])
    counted = forwards(classifier)
    first = recent.explain(classifier, sample_photo("chelsea"), COFFEE)
    again = recent.explain(classifier, replace(sample_photo("chelsea"), name="mine"), [CAT, Contrast(CAT, COFFEE)])
    assert len(counted) == 1
    assert np.array_equal(again.maps, fresh.maps)
    assert (again.targets, again.photo.name) == (fresh.targets, "mine")
    assert again.seconds < first.seconds
    recent.explain(classifier, sample_photo("coffee"), COFFEE)
    recent.explain(classifier, sample_photo("chelsea"), COFFEE, fit="pad")
    assert len(counted) == 3


def test_forwards_of_another_precision_are_kept_apart() -> None:
    classifier, recent = load_classifier(BUNDLED), ForwardCache()
    whole, half = (
        recent.explain(classifier, sample_photo("chelsea"), precision=p) for p in ("float32", "bfloat16")
    )
    assert (whole.dtype, half.dtype) == ("float32", "bfloat16")
    assert not np.array_equal(whole.maps, half.maps)
    with pytest.raises(OptionError, match="expected a precision, got 'double'"):
        recent.explain(classifier, sample_photo("chelsea"), precision="double")


def test_many_threads_ask_the_same_forward_for_different_classes() -> None:
    classifier, recent = load_classifier(BUNDLED, exact=True), ForwardCache()
    recent.explain(classifier, sample_photo("chelsea"))
    counted = forwards(classifier)
    with ThreadPoolExecutor(8) as threads:
        together = list(
            threads.map(lambda index: recent.explain(classifier, sample_photo("chelsea"), index), range(64))
        )
    assert counted == []
    for index in range(0, 64, 8):
        assert np.array_equal(together[index].maps, explain(classifier, sample_photo("chelsea"), index).maps)


def test_only_the_last_forwards_are_kept_and_they_leave_with_their_classifier() -> None:
    classifier, recent = load_classifier(BUNDLED), ForwardCache(most=1)
    recent.explain(classifier, sample_photo("chelsea"))
    counted = forwards(classifier)
    for name in ("chelsea", "coffee", "coffee", "chelsea"):
        recent.explain(classifier, sample_photo(name))
    assert len(counted) == 2
    weight = weakref.ref(next(classifier.module.parameters()))
    del classifier
    gc.collect()
    assert weight() is None


def test_forwards_make_way_where_memory_is_short() -> None:
    classifier, recent = load_classifier(BUNDLED, exact=True), ForwardCache()
    recent.explain(classifier, sample_photo("chelsea"))
    short = [torch.OutOfMemoryError("no room")]
    classifier.module.register_forward_pre_hook(lambda *_: throw(short.pop()) if short else None)
    assert recent.explain(classifier, sample_photo("coffee")).targets[0].label == COFFEE
    counted = forwards(classifier)
    recent.explain(classifier, sample_photo("chelsea"))
    assert len(counted) == 1


def throw(error: Exception) -> None:
    raise error


def test_photos_without_a_hash_are_never_taken_for_each_other() -> None:
    classifier, recent = load_classifier(BUNDLED), ForwardCache()
    for name in ("chelsea", "coffee"):
        photo = replace(sample_photo(name), sha256="")
        assert np.array_equal(recent.explain(classifier, photo, CAT).maps, explain(classifier, photo, CAT).maps)
