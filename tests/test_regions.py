"""Parts of a photo that somebody has marked: what they hold, and what is none."""

from __future__ import annotations

import numpy as np
import pytest

from gradcam.errors import OptionError
from gradcam.regions import MAX_CORNERS, outline_of, read_region, region_mask, region_share, write_region

BOX = ((2.0, 1.0), (4.0, 3.0))


def test_a_box_holds_the_pixels_whose_centres_lie_in_it():
    wanted = np.zeros((4, 6), bool)
    wanted[1:3, 2:4] = True
    for region in (BOX, BOX[::-1], outline_of(BOX)):  # whichever corner comes first
        np.testing.assert_array_equal(region_mask(region, (4, 6), (4, 6)), wanted)
    assert region_share(BOX, (4, 6)) == pytest.approx(4 / 24)


def test_the_same_region_is_found_on_a_photo_drawn_at_another_size():
    assert region_mask(BOX, (4, 6), (8, 12))[2:6, 4:8].all()
    assert region_mask(BOX, (4, 6), (8, 12)).sum() == 16


def test_an_outline_holds_what_it_goes_around_and_not_the_hollow_beside_it():
    hook = ((0, 0), (6, 0), (6, 2), (2, 2), (2, 6), (0, 6))
    held = region_mask(hook, (6, 6), (6, 6))
    assert held[:2].all()
    assert held[:, :2].all()
    assert not held[2:, 2:].any()


def test_a_region_may_reach_beyond_the_photo():
    assert region_share(((-100, -100), (3, 100)), (4, 6)) == pytest.approx(0.5)


@pytest.mark.parametrize("region", [BOX, ((0.5, 1.0), (20.0, 30.0), (7.0, 90.0))])
def test_a_region_reads_as_it_was_written(region):
    assert read_region(write_region(region)) == region


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1,2",
        "1,2,3",
        "1,2,1,9",
        "nan,0,1,1",
        "0,0,inf,1",
        "0,0,1e9,1e9",
        "a,b,c,d",
        ",".join(["1,2"] * (MAX_CORNERS + 1)),
    ],
)
def test_what_encloses_nothing_is_refused_in_a_sentence(text):
    with pytest.raises(OptionError, match=r"^expected "):
        read_region(text)
