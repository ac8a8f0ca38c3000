"""Words are measured, shortened and written as pixels."""

from __future__ import annotations

import cv2
import numpy as np

from gradcam.draw.lettering import Ink, fit, text_width, wrap, write

INK = Ink(16, 450, (0, 0, 0))


def test_opencv_writes_letters_beyond_ascii():
    assert text_width("中文", INK) > text_width("x", INK)
    canvas = np.full((40, 60, 3), 255, np.uint8)
    write(canvas, [("中文", INK)], 2, 2)
    assert (canvas < 128).any()
    assert cv2.__version__ >= "5"


def test_what_is_too_long_keeps_its_beginning_and_its_end():
    long = "bundled/" + "very_long_name_" * 9 + "lite0"
    short = fit(long, 200, INK)
    assert text_width(short, INK) <= 200
    assert short.startswith("bundled/")
    assert short.endswith("lite0")


def test_lines_are_no_wider_than_asked_and_no_more():
    lines = wrap("a few words that need room " * 9, 150, INK, 3)
    assert len(lines) == 3
    assert all(text_width(line, INK) <= 150 for line in lines)
    assert lines[-1].endswith("…")
