"""Lets the visitor pick photos: samples, and their own."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import streamlit as st

from dashboard import library, session, uploads
from dashboard.components.messages import ask_again, escape_markdown, say_error
from dashboard.session import Key
from gradcam import GradcamError, Photo
from gradcam.config import settings
from gradcam.errors import quoted
from gradcam.photo import SAMPLES

MOST, AT_ONCE = 100, 6
"""Photos that are chosen, and those of them that a page shows at once."""

_UPLOADER = "_uploader"


def pick_photos() -> tuple[Photo, ...]:
    """Let the visitor pick samples and upload photos, which are then picked; return those that are shown at once.

    Each has the region that the visitor has marked on it.
    """
    session.open_link(Key.PHOTOS, library.DEFAULT_PHOTOS, MOST)
    chosen = st.session_state[Key.PHOTOS]
    tokens = st.multiselect(
        "Photos",
        list(dict.fromkeys([*SAMPLES, *uploads.by_token(), *chosen])),
        format_func=_label,
        key=Key.PHOTOS,
        persist_state="session",
        max_selections=MOST,
        select_all=False,
        placeholder="Take a sample or upload one",
        label_visibility="collapsed",
        on_change=uploads.forget_refused,
    )
    session.write_link(Key.PHOTOS, library.DEFAULT_PHOTOS)
    _drop_marks(tokens)
    session.write_regions()
    shown = _turn_pages(tokens)
    _uploader()
    _say_refused()
    lost = [token for token in tokens if uploads.is_upload(token) and not uploads.is_kept(token)]
    ask_again(list(map(uploads.photo_name, lost)))
    return tuple(photo for token in shown if (photo := _opened(token)) is not None)


def _drop_marks(tokens: Sequence[str]) -> None:
    """Drop the marks on photos that are chosen no more; all stay while a chosen one has to be given again."""
    if session.marked():
        with suppress(GradcamError):
            session.keep_marks([_sha256(token) for token in tokens])


def _sha256(token: str) -> str:
    """The SHA-256 of a photo, or its beginning. Raises: PhotoError where there is no such photo."""
    if uploads.is_upload(token) and not uploads.is_stretched(token):
        return uploads.digits(token)
    return library.photo(token).sha256


def _turn_pages(tokens: Sequence[str]) -> Sequence[str]:
    """Let the visitor turn pages; return the tokens of the current page."""
    pages = -(-len(tokens) // AT_ONCE)
    if pages < 2:
        st.session_state.pop(session.PHOTO_PAGE, None)
        return tokens
    if st.session_state.get(session.PHOTO_PAGE, 1) > pages:
        st.session_state[session.PHOTO_PAGE] = pages
    page = st.pagination(pages, key=session.PHOTO_PAGE, persist_state="session")
    first = AT_ONCE * (page - 1)
    shown = tokens[first : first + AT_ONCE]
    span = f"photos {first + 1} to {first + len(shown)}" if len(shown) > 1 else f"photo {first + 1}"
    st.caption(f"Shown: {span} of {len(tokens)}.")
    return shown


def offer_next_photos() -> None:
    """Offer at the end of a page to turn to the next photos, if there are more."""
    page, chosen = st.session_state.get(session.PHOTO_PAGE, 1), len(st.session_state[Key.PHOTOS])
    left = chosen - AT_ONCE * page
    if left > 0:
        st.button(
            f"Next {min(left, AT_ONCE)} of {chosen} photos",
            key="_next_photos",  # which page.js knows, to begin at the top
            on_click=st.session_state.update,
            args=({session.PHOTO_PAGE: page + 1},),
            icon=":material/arrow_forward:",
        )


def _say_refused() -> None:
    """Say in one line which files were not taken, until the visitor dismisses it."""
    refused = uploads.refused()
    if not refused:
        return
    if len(refused) == 1:
        say_error(refused[0])
    else:
        say_error(f"{len(refused)} files were not taken; the first: {refused[0]}")
        with st.expander("The others"):
            st.markdown("\n".join(f"- {escape_markdown(sentence)}" for sentence in refused[1:]))
    st.button("Dismiss", on_click=uploads.forget_refused, type="tertiary", icon=":material/close:")


def _label(token: str) -> str:
    if not uploads.is_upload(token):
        return f"{token} · sample"
    return uploads.photo_name(token) + " · stretched" * uploads.is_stretched(token)


def _opened(token: str) -> Photo | None:
    if uploads.is_upload(token) and not uploads.is_kept(token):
        return None
    try:
        photo = library.photo(token)
    except GradcamError as error:
        say_error(str(error))
        return None
    if photo.note:
        st.caption(escape_markdown(f"{photo.name}: {photo.note}"))
        _offer_stretch(token, photo)
    return replace(photo, region=session.region(photo.sha256))


def _offer_stretch(token: str, photo: Photo) -> None:
    """Let the visitor stretch the levels of an upload, which changes its token and the link."""
    if uploads.is_upload(token):
        st.checkbox(
            f"Stretch {escape_markdown(photo.name)} from black to white",
            photo.stretched,
            key=f"_stretch-{token}",
            on_change=_turn_stretch,
            args=(token,),
        )


def _turn_stretch(token: str) -> None:
    other = uploads.stretch(token, on=not uploads.is_stretched(token))
    chosen = (other if one == token else one for one in st.session_state[Key.PHOTOS])
    st.session_state[Key.PHOTOS] = list(dict.fromkeys(chosen))


def _uploader() -> None:
    """Show the uploader; it is emptied after each upload, for the list of photos then holds what it took."""
    turn = st.session_state.setdefault(_UPLOADER, 0)
    key = f"{_UPLOADER}-{turn}"
    st.file_uploader(
        "Upload photos",
        accept_multiple_files=True,
        max_upload_size=max(1, round(settings().limits.photo_megabytes)),
        key=key,
        on_change=_take,
        args=(key,),
        label_visibility="collapsed",
    )


def _take(key: str) -> None:
    """Keep every photo that opens and choose it; the untouched default makes way. Say why the others do not.

    The first of them is shown, on whatever page of the photos it is.
    """
    chosen = [] if session.is_untouched(Key.PHOTOS) else list(st.session_state[Key.PHOTOS])
    taken: list[str] = []
    refused: list[str] = []
    for file in st.session_state[key] or ():
        upload = uploads.Upload.of(file.name, file.getvalue())
        try:
            library.decoded(upload)
        except GradcamError as error:
            refused.append(str(error))
            continue
        token = uploads.keep(upload)
        if token not in chosen and len(chosen) == MOST:
            refused.append(
                f"expected at most {MOST} photos at once, got {quoted(file.name)} as well; take one out first"
            )
            continue
        if token not in chosen:
            chosen.append(token)
        taken.append(token)
    st.session_state[Key.PHOTOS] = chosen or st.session_state[Key.PHOTOS]
    if taken:
        st.session_state[session.PHOTO_PAGE] = 1 + chosen.index(taken[0]) // AT_ONCE
    uploads.forget_refused()
    uploads.refused().extend(refused)
    st.session_state[_UPLOADER] += 1
