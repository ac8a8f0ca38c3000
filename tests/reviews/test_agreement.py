"""Agreement beyond chance, against figures worked by hand and published."""

from __future__ import annotations

import pytest

from gradcam.reviews import cohen_kappa, krippendorff_alpha


def rated(statuses: str) -> dict[int, str]:
    """A status for each subject, `.` for none."""
    return {number: status for number, status in enumerate(statuses) if status != "."}


def test_kappa_by_hand():
    """50 subjects: 20 both yes, 15 both no, 5 and 10 apart: p_o = 0.7, p_e = 0.5, κ = 0.4."""
    first = rated("y" * 20 + "y" * 5 + "n" * 10 + "n" * 15)
    second = rated("y" * 20 + "n" * 5 + "y" * 10 + "n" * 15)
    found = cohen_kappa(first, second)
    assert found.value == pytest.approx(0.4)
    assert found.subjects == 50
    assert found.low < 0.4 < found.high


def test_alpha_is_krippendorffs_own_example():
    """Krippendorff 2011, section C: four observers, missing data, nominal: α = 0.743."""
    observers = ["123321412...", "1233224125.3", ".33323422 51.".replace(" ", ""), "12332441251."]
    found = krippendorff_alpha([rated(observer) for observer in observers])
    assert found.value == pytest.approx(0.743, abs=5e-4)
    assert found.subjects == 11


def test_it_is_a_sentence_and_where_it_cannot_be_said_that_says_why():
    first, second = rated("y" * 25 + "n" * 25), rated("y" * 20 + "n" * 5 + "y" * 10 + "n" * 15)
    assert str(cohen_kappa(first, second)).startswith("Cohen's κ = 0.40, 95 % interval 0.1")
    assert str(cohen_kappa(first, second)).endswith(", over 50 parts")
    assert str(cohen_kappa(rated("yn.."), rated("..yn"))) == (
        "Cohen's κ cannot be said: fewer than two of its parts were judged by two reviewers or more"
    )
    assert str(cohen_kappa(rated("yyy"), rated("yyy"))) == (
        "Cohen's κ cannot be said: all verdicts are the same, as they might be by chance"
    )


def test_full_agreement_is_1_and_systematic_disagreement_below_0():
    assert cohen_kappa(rated("ynyn"), rated("ynyn")).value == 1
    assert cohen_kappa(rated("ynyn"), rated("nyny")).value == pytest.approx(-1)
    assert krippendorff_alpha([rated("ynyn")] * 3).value == 1


@pytest.mark.parametrize("one", ["", "y", "yyyy"])
def test_without_overlap_or_variation_it_cannot_be_said(one):
    assert cohen_kappa(rated(one), rated(one)).value is None
    assert krippendorff_alpha([rated(one), rated(one)]).value is None


def test_one_reviewer_alone_cannot_agree():
    assert krippendorff_alpha([rated("ynyn")]).value is None
    assert krippendorff_alpha([]).value is None
    assert cohen_kappa(rated("yn.."), rated("..yn")).value is None


def test_what_one_did_not_judge_counts_for_nothing():
    assert cohen_kappa(rated("ynyny"), rated("yny..")) == cohen_kappa(rated("yny"), rated("yny"))
