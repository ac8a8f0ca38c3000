"""Everything a visitor has chosen or brought, in one typed place.

A choice lives under a `Key`, in the session and in the link: a copied link reopens the same view, and every page
finds the same choices. Photos live in the session as the bytes that were uploaded: a change of page loses nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypedDict

import streamlit as st


class Key(StrEnum):
    """The choices: their keys in the session and their names in the link."""

    PHOTOS = "photos"
    MODELS = "models"
    CLASSES = "classes"
    FIT = "fit"
    COLORMAP = "colormap"
    OPACITY = "opacity"
    SCALE = "scale"


class Linked(TypedDict):
    """The arguments that tie a widget to its key, in the session and in the link."""

    key: str
    bind: Literal["query-params"]


def linked(key: Key) -> Linked:
    """Arguments for a widget whose options read in the link as they read on the page."""
    return {"key": key.value, "bind": "query-params"}


def open_link(key: Key, default: Sequence[str], most: int) -> None:
    """Fill a list from the link, else with its default.

    For a widget whose options read otherwise on the page than in the link: call it before the widget, which gets
    `key=` alone, and `write_link` after.
    """
    if key not in st.session_state:
        asked = st.query_params.get_all(key)
        st.session_state[key] = list(dict.fromkeys(asked))[:most] if key in st.query_params else list(default)


def write_link(key: Key, default: Sequence[str]) -> None:
    """Put a list into the link, unless it is the default."""
    values = list(st.session_state[key])
    if values == list(default):
        st.query_params.pop(key, None)
    elif st.query_params.get_all(key) != (values or [""]):
        st.query_params[key] = values or [""]


# Photos -------------------------------------------------------------------------------------------------------

_UPLOADS = "_uploads"
_MARK = "~"


@dataclass(frozen=True)
class Upload:
    """A photo that this visitor brought, as encoded bytes."""

    name: str
    data: bytes
    sha256: str

    @property
    def token(self) -> str:
        """What stands for it in a list of photos and in a link."""
        return f"{self.name}{_MARK}{self.sha256[:16]}"


def uploads() -> dict[str, Upload]:
    """This visitor's photos by token, oldest first."""
    return st.session_state.setdefault(_UPLOADS, {})


def remember(name: str, data: bytes) -> Upload:
    """Keep a photo for this session."""
    upload = Upload(name, data, hashlib.sha256(data).hexdigest())
    uploads()[upload.token] = upload
    return upload


def is_upload(token: str) -> bool:
    """Whether a token stands for a photo that somebody uploaded, here or where the link was made."""
    return _MARK in token


def photo_name(token: str) -> str:
    """The name of the photo that a token stands for."""
    return token.rpartition(_MARK)[0] or token
