"""Which photos: samples, and the visitor's own."""

from __future__ import annotations

import streamlit as st

from dashboard import library, session
from dashboard.components.messages import escape_markdown, say_error
from dashboard.session import Key
from gradcam import GradcamError, Photo
from gradcam.config import settings
from gradcam.errors import quoted
from gradcam.photo import SAMPLES

DEFAULT = ("cat and coffee",)
"""Of the sample photos and twenty others the one on which the bundled ImageNet models look in places furthest
apart: two of them at the cat and one at the cup, with rank correlations of 0.89, −0.74 and −0.69. On the cat alone
they are 0.68 to 0.87, on the cup alone 0.83 to 0.96, with the two changed over −0.72, −0.62 and 0.93."""
MOST = 6

_UPLOADER = "_uploader"
_REFUSED = "_refused"
_TYPES = ["png", "apng", "jpg", "jpeg", "webp", "gif", "tif", "tiff", "bmp"]


def pick_photos() -> tuple[Photo, ...]:
    """The chosen photos, from a list of samples and uploads; uploading one chooses it."""
    session.open_link(Key.PHOTOS, DEFAULT, MOST)
    chosen = st.session_state[Key.PHOTOS]
    tokens = st.multiselect(
        "Photos",
        list(dict.fromkeys([*SAMPLES, *session.uploads(), *chosen])),
        format_func=_label,
        key=Key.PHOTOS,
        persist_state="session",
        max_selections=MOST,
        select_all=False,
        placeholder="Take a sample or upload one",
        label_visibility="collapsed",
    )
    session.write_link(Key.PHOTOS, DEFAULT)
    _uploader()
    return tuple(photo for token in tokens if (photo := _opened(token)) is not None)


def _label(token: str) -> str:
    if not session.is_upload(token):
        return f"{token} · sample"
    return session.photo_name(token) + " · stretched" * session.is_stretched(token)


def _opened(token: str) -> Photo | None:
    try:
        photo = library.photo(token)
    except GradcamError as error:
        say_error(str(error))
        return None
    if photo.note:
        st.caption(escape_markdown(f"{photo.name}: {photo.note}"))
        _offer_stretch(token, photo)
    return photo


def _offer_stretch(token: str, photo: Photo) -> None:
    """Let the visitor stretch the levels of an upload, or take them as they are: a part of its token and link."""
    if session.is_upload(token):
        st.checkbox(
            f"Stretch {escape_markdown(photo.name)} from black to white",
            photo.stretched,
            key=f"_stretch-{token}",
            on_change=_turn_stretch,
            args=(token,),
        )


def _turn_stretch(token: str) -> None:
    other = session.stretch(token, on=not session.is_stretched(token))
    chosen = (other if one == token else one for one in st.session_state[Key.PHOTOS])
    st.session_state[Key.PHOTOS] = list(dict.fromkeys(chosen))


def _uploader() -> None:
    """The uploader; it is emptied after each upload, for the list of photos then holds what it took."""
    turn = st.session_state.setdefault(_UPLOADER, 0)
    key = f"{_UPLOADER}-{turn}"
    st.file_uploader(
        "Upload photos",
        type=_TYPES,
        accept_multiple_files=True,
        max_upload_size=max(1, round(settings().limits.photo_megabytes)),
        key=key,
        on_change=_take,
        args=(key,),
        label_visibility="collapsed",
    )
    for sentence in st.session_state.get(_REFUSED, ()):
        say_error(sentence)


def _take(key: str) -> None:
    """Keep every photo that opens and choose it; the untouched default makes way. Say why the others do not."""
    chosen = [] if session.is_untouched(Key.PHOTOS) else list(st.session_state[Key.PHOTOS])
    refused: list[str] = []
    for file in st.session_state[key] or ():
        upload = session.Upload.of(file.name, file.getvalue())
        try:
            library.decoded(upload)
        except GradcamError as error:
            refused.append(str(error))
            continue
        token = session.remember(upload)
        if token not in chosen and len(chosen) == MOST:
            refused.append(
                f"expected at most {MOST} photos at once, got {quoted(file.name)} as well; take one out first"
            )
        elif token not in chosen:
            chosen.append(token)
    st.session_state[Key.PHOTOS] = chosen or st.session_state[Key.PHOTOS]
    st.session_state[_REFUSED] = refused
    st.session_state[_UPLOADER] += 1
