"""Who asks: anybody, on one's own machine; where `[auth]` or `auth.proxies` is set, whom somebody vouches for.

With `[auth]` in `.streamlit/secrets.toml` an OpenID Connect provider vouches (`st.login`); `serving.Guard` sees to
it that what `auth.proxies` say comes from them alone. What somebody may do is in the file `auth.roles`.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import streamlit as st
from msgspec import structs
from streamlit.auth_util import get_secrets_auth_section

from dashboard import serving, session
from gradcam.config import settings
from gradcam.errors import ReviewError, SigningError, quoted
from gradcam.keys import SecretKey, has_secret_key, secret_key
from gradcam.reviews import Actor, read_roles

if TYPE_CHECKING:
    from gradcam.reviews import ReviewStore


def has_login() -> bool:
    """Whether people sign in here, with an OpenID Connect provider."""
    return bool(get_secrets_auth_section())


def requires_sign_in() -> bool:
    """Whether somebody has to be known to see any page."""
    return has_login() or bool(settings().auth.proxies)


def actor() -> Actor | None:
    """Who asks, as of now; None for somebody who has to sign in first, or has not said a name yet.

    Whoever uses a server that asks nobody may do all, under the name that they typed. Raises: ReviewError where the
    file of roles cannot be read.
    """
    if not requires_sign_in():
        return Actor(name, "owner") if (name := session.own_name()) else None
    email, groups = _signed_in() if has_login() else _named_by_proxy()
    return Actor(email, read_roles(settings().auth.roles.expanduser()).role_of(email, groups)) if email else None


def known_actor() -> Actor:
    """Who asks, as of now. Raises: ReviewError where nobody is known, as after somebody was signed out."""
    if (found := actor()) is None:
        do = "sign in again" if requires_sign_in() else "type it in the sidebar"
        raise ReviewError(f"expected to know who you are, got nobody; {do}")
    return found


def as_known(name: str) -> str:
    """A typed name as this server knows somebody by it: where it asks who people are, an address in lower case."""
    return name.strip().lower() if requires_sign_in() else name


def _signed_in() -> tuple[str, list[str]]:
    """The e-mail address and groups of whoever signed in not too long ago; empty for anybody else."""
    claims = st.user.to_dict()
    issued = claims.get("iat")
    age = time.time() - issued if isinstance(issued, int | float) else math.inf
    refused = claims.get("email_verified") in (False, "false") or age > 3600 * settings().auth.hours
    if not claims.get("is_logged_in") or refused:
        return "", []
    groups = claims.get("groups") or []
    return str(claims.get("email") or "").strip().lower(), [str(one) for one in groups] if isinstance(
        groups, list
    ) else []


def _named_by_proxy() -> tuple[str, list[str]]:
    headers = st.context.headers
    groups = headers.get(settings().auth.groups_header, "").split(",")
    email = headers.get(settings().auth.email_header, "")
    return email.strip().lower(), [group.strip() for group in groups if group.strip()]


def team_store(name: str = "") -> ReviewStore:
    """The store of reviews as the visitor may use it, as of now.

    name: what they call themselves on a page of its own, where the server asks nobody. Raises: ReviewError.
    """
    from gradcam.reviews import default_store  # which brings SQL

    who = Actor(name, "owner") if name and not requires_sign_in() else known_actor()
    return _opened(default_store()).acting_as(who)


def store_to_read() -> ReviewStore:
    """The store as whoever asks may read it: where the server asks nobody, also somebody who has said no name."""
    from gradcam.reviews import default_store

    who = Actor(session.own_name(), "viewer") if not requires_sign_in() else known_actor()
    return _opened(default_store()).acting_as(who)


@st.cache_resource(show_spinner=False)
def _opened(address: str) -> ReviewStore:
    from gradcam.reviews import ReviewStore

    return ReviewStore(address)


def lacks_key() -> bool:
    """Whether the visitor has no key to sign with yet, and sits where one can be made."""
    return not requires_sign_in() and serving.is_local() and not has_secret_key()


def signing_key() -> SecretKey:
    """The key that the visitor signs with: their own at their own machine, else the server's, in their name.

    Raises: SigningError for a visitor whom nobody vouches for, or who may not sign.
    """
    if requires_sign_in():
        if not (who := known_actor()).may("reviewer"):
            raise SigningError(
                f"expected the role reviewer to sign, got {quoted(who.name)} with {who.role or 'no role'}; "
                "ask an owner"
            )
        key = secret_key(choose="leave the server's own alone there")
        if not key.public.vouches:
            raise SigningError(
                f"expected the server's own key, got {key.public}, which is a person's; whoever keeps the server "
                'makes one with gradcam key new --server --name "…"'
            )
        return structs.replace(key, public=structs.replace(key.public, name=who.name))
    if not serving.is_local():
        raise SigningError(
            "expected somebody who signed in, or who sits at the server's machine, got neither; "
            "sign the ZIP on your own machine with `gradcam sign`"
        )
    return secret_key(choose="leave one alone there, or sign the ZIP with `gradcam sign --key`")
