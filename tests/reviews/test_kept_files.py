"""Files that a store keeps: reports under review and shared models."""

from __future__ import annotations

import pytest

from gradcam.config import Limits, Settings
from gradcam.errors import ReviewError
from tests.reviews.examples import EVIDENCE


def test_a_file_of_evidence_is_kept_for_whoever_goes_on_and_the_latest_counts(store, review, monkeypatch):
    assert store.evidence(review) is None
    store.keep_evidence(review, b"a ZIP", "Anna")
    other = store.add_review(store.add_project("Other", "Ben"), EVIDENCE, "Lesions", "Ben")
    assert store.evidence(other) == b"a ZIP"
    store.keep_evidence(other, b"the ZIP, signed", "Ben")
    assert store.evidence(review) == b"the ZIP, signed"
    assert store.change_evidence(review, lambda before: before + b" twice", "Anna") == store.evidence(review)
    assert store.evidence(review) == b"the ZIP, signed twice"
    before = store.pulse(review)
    store.change_evidence(review, lambda before: before, "Anna")
    assert store.pulse(review) == before
    store.change_evidence(review, lambda before: before + b" thrice", "Anna")
    assert store.pulse(review) != before  # whoever has it open sees the signature
    monkeypatch.setattr("gradcam.reviews.kept_files.MAX_EVIDENCE", 3)
    with pytest.raises(ReviewError, match="expected evidence of at most"):
        store.keep_evidence(review, b"more", "Anna")


def test_shared_models_take_no_more_than_the_operator_allows(store, review, monkeypatch):
    limits = Limits(shared_gigabytes=1.05e-8)
    monkeypatch.setattr("gradcam.reviews.kept_files.settings", lambda: Settings(limits=limits))
    projects = store.projects()[0], store.add_project("Other", "Ben")
    shared = [store.share_model(project, "mine", "{}", b"bytes", "Anna") for project in projects]
    with pytest.raises(ReviewError, match="expected shared models of at most"):
        store.share_model(projects[0], "mine", "{}", b"1", "Anna")
    assert [store.shared_models(project) for project in projects] == [[one] for one in shared]
