from __future__ import annotations

import pytest

from gradcam.errors import GradcamError
from tests.fuzz import kinds
from tests.fuzz.kind import Kind, wrong
from tests.fuzz.run import run

INPUTS = 250


@pytest.mark.parametrize("kind", kinds())
def test_hostile_inputs_end_in_an_answer_or_a_sentence(kind: str) -> None:
    tally = run(kinds()[kind], count=INPUTS)
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
