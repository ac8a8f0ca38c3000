"""Signing in and out with a real OpenID provider on loopback, as a browser is led from one to the other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import streamlit as st
from joserfc import jwt
from joserfc.jwk import OctKey

from dashboard import identity
from gradcam.config import Auth, Settings
from gradcam.reviews import Actor
from tests.sign_in_server import COOKIE, PROVIDER_WARNS, SECRET, asking_dashboard, read_cookie

pytestmark = pytest.mark.filterwarnings(PROVIDER_WARNS)
HOURS = 12
"""After which somebody has to sign in again."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A dashboard that knows one reviewer."""
    with asking_dashboard(tmp_path_factory.mktemp("server"), 'reviewer = ["ben@example.org"]\n') as address:
        yield address


def sign_in(browser: httpx.Client, address: str, who: str) -> None:
    """Be led to the provider, say there who one is, and be led back."""
    token = jwt.encode(
        {"alg": "HS256"}, {"provider": "default", "exp": int(time.time()) + 60}, OctKey.import_key(SECRET)
    )
    asked = browser.get(f"{address}/auth/login", params={"provider": token})
    answered = browser.post(asked.headers["location"], data={"sub": who})
    back = browser.get(answered.headers["location"])
    assert (back.status_code, back.headers["location"]) == (302, "/")


def claims(browser: httpx.Client) -> dict[str, Any]:
    """What the server reads in the cookie of this browser."""
    return read_cookie(browser.cookies.get(COOKIE))


def test_people_sign_in_have_the_role_that_they_were_given_sign_out_and_are_asked_again_after_some_hours(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "roles.toml").write_text('reviewer = ["ben@example.org"]\n')
    auth = Auth(roles=tmp_path / "roles.toml", hours=HOURS)
    monkeypatch.setattr(identity, "settings", lambda: Settings(auth=auth))
    monkeypatch.setattr(identity, "get_secrets_auth_section", lambda: {"client_id": "gradcam"})
    with httpx.Client(trust_env=False, timeout=60) as browser:
        monkeypatch.setattr(type(st.user), "to_dict", lambda _: claims(browser))
        assert identity.actor() is None
        sign_in(browser, address, "ben@example.org")
        assert identity.actor() == Actor("ben@example.org", "reviewer")
        browser.get(f"{address}/auth/logout")
        assert identity.actor() is None
        sign_in(browser, address, "mallory@example.org")
        assert identity.actor() == Actor("mallory@example.org", None)
        sign_in(browser, address, "ben@example.org")
        assert identity.actor() == Actor("ben@example.org", "reviewer")
        later = time.time() + 3600 * HOURS + 1
        monkeypatch.setattr(identity, "time", SimpleNamespace(time=lambda: later))
        assert claims(browser)["is_logged_in"]
        assert identity.actor() is None
