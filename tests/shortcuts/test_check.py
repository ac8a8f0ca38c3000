"""The causal check on photos of plain colours, where every number can be worked out."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

from gradcam.errors import OptionError
from gradcam.runs import Run
from gradcam.shortcuts import Accuracy, Candidate, Channel, Member, check_shortcut
from gradcam.shortcuts.components import Component
from tests import plain
from tests.runs.small_set import classifiers, run_over, write_set

MODELS = {str(one.spec): one for one in classifiers()}
USE = plain.lender(MODELS)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("colours")
    return run_over(write_set(folder / "set", 24), folder / "run")


def candidate(run: Run) -> Candidate:
    """Four red photos as members, eight beside them; channel 0, red, makes it."""
    units = {unit.photo: unit for unit in run.units() if unit.label == "red"}
    red = [Member(unit.photo, unit.path, 1.0, unit.predicted, unit.right) for unit in units.values()]
    nothing = np.zeros(3, np.float32)
    return Candidate(
        model="plain/own",
        label="red",
        score=1.0,
        threshold=0.5,
        members=tuple(red[:4]),
        others=tuple(red[4:]),
        channels=(Channel(0, 1.0),),
        earlier_channels=(Channel(2, 1.0),),
        member_heat=None,
        other_heat=None,
        accuracy={"plain/own": Accuracy(1.0, 1.0)},
        component=Component(nothing, nothing, 0.0),
    )


def reds(run: Run, members: tuple[Member, ...]) -> dict[int, float]:
    """The mean red of each photo, from 0 to 1."""
    return {one.photo: run.photo(one.path).pixels[..., 0].mean() / 255 for one in members}


def test_members_lose_eight_times_the_red_that_they_have_above_the_others(run: Run) -> None:
    found = candidate(run)
    usual = np.mean(list(reds(run, found.others).values()))
    checked = check_shortcut(run, found, use=USE)
    assert checked.finished
    assert [effect.photo for effect in checked.members] == [one.photo for one in found.members]
    assert len(checked.others) == 4
    for effect in checked.effects:
        red = reds(run, (*found.members, *found.others))[effect.photo]
        assert effect.drop == pytest.approx(8 * (red - usual), abs=0.01)
        assert effect.before == "red"
        assert not effect.flips


def test_a_photo_flips_where_what_is_left_speaks_for_the_other_class(run: Run) -> None:
    """With blue photos as what is usual, red falls to what these have, beside each member's own blue."""
    found = candidate(run)
    blue = {unit.photo: unit for unit in run.units() if unit.label == "blue"}
    others = tuple(Member(unit.photo, unit.path, 0.0, "blue", True) for unit in blue.values())
    usual = np.mean(list(reds(run, others).values()))
    checked = check_shortcut(run, replace(found, others=others), use=USE)
    for effect in checked.members:
        own_blue = run.photo(effect.path).pixels[..., 2].mean() / 255
        assert (effect.before, effect.after) == ("red", "red" if usual > own_blue else "blue")
    assert any(effect.flips for effect in checked.members)
    assert not any(effect.flips for effect in checked.others)


def test_the_earlier_layer_or_both_can_be_set_and_another_word_is_refused(run: Run) -> None:
    found = candidate(run)
    assert check_shortcut(run, found, at="earlier", use=USE).channels == ()
    both = check_shortcut(run, found, at="both", use=USE)
    assert (both.channels, both.earlier_channels) == ((0,), (2,))
    with pytest.raises(OptionError, match="expected 'target', 'earlier' or 'both', got 'all'"):
        check_shortcut(run, found, at="all", use=USE)  # pyright: ignore[reportArgumentType]


def test_progress_counts_photos_and_a_stop_keeps_what_is_done(run: Run) -> None:
    stop, seen = threading.Event(), list[tuple[int, int]]()

    def note(done: int, total: int) -> None:
        seen.append((done, total))
        stop.set()

    checked = check_shortcut(run, candidate(run), at_once=3, use=USE, on_progress=note, stop=stop)
    assert seen == [(3, 8)]
    assert (len(checked.effects), checked.finished) == (3, False)


def test_a_photo_that_is_gone_is_named_and_the_others_are_answered(run: Run) -> None:
    found = candidate(run)
    gone = replace(found.members[0], path="red/gone.png")
    checked = check_shortcut(run, replace(found, members=(gone, *found.members[1:])), use=USE)
    assert list(checked.failed) == ["red/gone.png"]
    assert len(checked.effects) == 7
    assert checked.finished


def test_the_model_is_left_as_it_was_found(run: Run) -> None:
    module = MODELS["plain/own"].module
    before = {name: value.clone() for name, value in module.state_dict().items()}
    check_shortcut(run, candidate(run), use=USE)
    assert all((value == before[name]).all() for name, value in module.state_dict().items())
    assert not any(part._forward_hooks for part in module.modules())
