"""The photos that a visitor brought, kept in the session as the bytes that were uploaded.

A token stands for an upload in a list of photos and in a link: its file name, a part of its SHA-256, and whether
its levels are stretched.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import streamlit as st

_UPLOADS, _REFUSED = "_uploads", "_refused"
MOST, MOST_BYTES = 100, 1_000_000_000
"""What a session keeps of uploads; the oldest leave first."""
_MARK = "~"
_STRETCHED = "-stretched"


@dataclass(frozen=True)
class Upload:
    """A photo that this visitor brought, as encoded bytes."""

    name: str
    data: bytes
    sha256: str

    @classmethod
    def of(cls, name: str, data: bytes) -> Upload:
        return cls(name, data, hashlib.sha256(data).hexdigest())

    @property
    def token(self) -> str:
        """What stands for it in a list of photos and in a link."""
        return f"{self.name}{_MARK}{self.sha256[:16]}"


def by_token() -> dict[str, Upload]:
    """This visitor's photos by token, oldest first."""
    return st.session_state.setdefault(_UPLOADS, {})


def keep(upload: Upload) -> str:
    """Keep a photo for this session, and of all the newest that it has room for; returns its token."""
    kept = by_token()
    kept.pop(upload.token, None)
    kept[upload.token] = upload
    while len(kept) > MOST or sum(len(one.data) for one in kept.values()) > MOST_BYTES:
        del kept[next(iter(kept))]
    return upload.token


def refused() -> list[str]:
    """Why files of the last upload were not taken: said until that is dismissed, or something else is done."""
    return st.session_state.setdefault(_REFUSED, [])


def forget_refused() -> None:
    """What was refused is no longer of interest."""
    refused().clear()


def stretch(token: str, on: bool = True) -> str:
    """The token of the same upload, with its levels stretched from black to white or as they are."""
    return token.removesuffix(_STRETCHED) + _STRETCHED * on


def is_kept(token: str) -> bool:
    """Whether this session has the upload that a token stands for."""
    return stretch(token, on=False) in by_token()


def is_stretched(token: str) -> bool:
    """Whether a token stands for an upload whose levels are stretched."""
    return is_upload(token) and token.endswith(_STRETCHED)


def is_upload(token: str) -> bool:
    """Whether a token stands for a photo that somebody uploaded, here or where the link was made."""
    return _MARK in token


def digits(token: str) -> str:
    """The first 16 digits of the SHA-256 of an upload, as it is without stretching."""
    return stretch(token, on=False).rpartition(_MARK)[2]


def photo_name(token: str) -> str:
    """The name of the photo that a token stands for."""
    return token.rpartition(_MARK)[0] or token
