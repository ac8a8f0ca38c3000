"""Shows errors as sentences, and other people's words as plain text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import streamlit as st

from dashboard.server_folders import without_folders
from gradcam import GradcamError
from gradcam.errors import quoted
from gradcam.text import first_few

_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+\-!|~$:])")


def escape_markdown(text: str) -> str:
    """Escape text so that Markdown shows it as it is: a file name becomes no link, picture or formula."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))


def say_error(sentence: str) -> None:
    """Show an error as a sentence."""
    st.error(as_sentence(sentence), icon=":material/error:")


def as_sentence(reason: object) -> str:
    """A reason as a sentence in Markdown, without the server's folders; the name of a file or a model at its
    beginning stays as it is."""
    sentence = without_folders(str(reason))
    shown = f"E{sentence[1:]}" if sentence.startswith("expected ") else sentence
    return f"{escape_markdown(shown)}."


def ask_again(names: Sequence[str]) -> None:
    """Say that this session has no files of these names, which its link shows, as after a reload."""
    if names:
        told = first_few([quoted(name, 40) for name in names], 3)
        files = "that file" if len(names) == 1 else "those files"
        say_error(
            f"expected {told}, which this link shows but does not carry, as after a reload; upload {files} again"
        )


@contextmanager
def show_errors() -> Iterator[None]:
    """Show a `GradcamError` raised in this block as a sentence, and go on after it."""
    try:
        yield
    except GradcamError as error:
        say_error(str(error))
