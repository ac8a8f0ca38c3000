"""Shows errors as sentences, and other people's words as plain text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from gradcam import GradcamError

_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+\-!|~$:])")


def escape_markdown(text: str) -> str:
    """Escape text so that Markdown shows it as it is: a file name becomes no link, picture or formula."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))


def say_error(sentence: str) -> None:
    """Show an error as a sentence."""
    st.error(as_sentence(sentence), icon=":material/error:")


def as_sentence(reason: object) -> str:
    """A reason as a sentence in Markdown; the name of a file or a model at its beginning stays as it is."""
    sentence = str(reason)
    shown = f"E{sentence[1:]}" if sentence.startswith("expected ") else sentence
    return f"{escape_markdown(shown)}."


@contextmanager
def show_errors() -> Iterator[None]:
    """Show a `GradcamError` raised in this block as a sentence, and go on after it."""
    try:
        yield
    except GradcamError as error:
        say_error(str(error))
