from __future__ import annotations

import mmap
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from random import Random

import pytest

from gradcam.errors import GradcamError
from tests.fuzz import KINDS, kind_named
from tests.fuzz.kind import Kind, wrong
from tests.fuzz.memory import Growth, can_be_counted, counted_by_system, watched
from tests.fuzz.run import run

INPUTS = 100


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_inputs_end_in_an_answer_or_a_sentence(kind: str) -> None:
    tally = run(kind_named(kind), count=INPUTS)
    assert tally.wrong == {}
    assert tally.inputs == INPUTS


def test_what_is_no_sentence_is_wrong() -> None:
    def raising(error: Exception) -> str | None:
        def meet(given: object) -> None:
            raise error

        return wrong(Kind("any", lambda random: None, meet), None)

    assert raising(GradcamError("expected a, got b; do c")) is None
    assert raising(ValueError("no")) == "ValueError: 'no'"
    assert raising(GradcamError("a\nb")) == "characters that cannot be shown: 'a\\nb'"
    assert raising(GradcamError("a" * 1001)) is not None
    assert raising(GradcamError("")) == "an empty sentence"


def test_every_module_with_a_kind_is_named() -> None:
    found = {file.stem for file in Path(__file__).parent.glob("*.py") if "\nKIND = " in file.read_text("utf-8")}
    assert found == set(KINDS)


def test_a_seed_makes_the_same_input_whatever_was_made_before() -> None:
    make = kind_named("hub_configs").make
    assert [make(Random(seed)) for seed in range(50)] == [make(Random(seed)) for seed in range(50)]


@pytest.mark.parametrize("measure", [counted_by_system, watched])
def test_the_peak_of_an_input_is_measured_though_it_is_given_back(
    measure: Callable[[], AbstractContextManager[Growth]],
) -> None:
    if measure is counted_by_system and not can_be_counted():
        pytest.skip("this system keeps no peak that can be reset")
    # a map is never memory that was freed before and not given back
    with measure() as growth, mmap.mmap(-1, 200_000_000) as fresh:
        fresh[:: mmap.PAGESIZE] = b"x" * len(range(0, len(fresh), mmap.PAGESIZE))
        assert growth() == pytest.approx(200, abs=20)
    with measure() as growth:
        assert growth() < 20
