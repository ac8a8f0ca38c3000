"""Signing in and out with a real OpenID provider on loopback, as a browser is led from one to the other."""

from __future__ import annotations

import json
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
from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value
from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME

from dashboard import identity
from gradcam.config import Auth, Settings
from gradcam.reviews import Actor
from tests.server import dashboard

pytestmark = pytest.mark.filterwarnings("ignore")  # the provider runs in this process, and warns as it likes
SECRET = "a secret of this test that is long enough"
HOURS = 12
"""After which somebody has to sign in again."""


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """To whom everybody is who they say."""
    from oidc_provider_mock import run_server_in_thread

    with run_server_in_thread() as server:
        yield f"http://localhost:{server.server_port}"


@pytest.fixture(scope="module")
def address(provider: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A dashboard that asks that provider, and knows one reviewer."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "roles.toml").write_text('reviewer = ["ben@example.org"]\n')
    (folder / "gradcam.toml").write_text(f'[auth]\nroles = "{folder / "roles.toml"}"\n')
    (folder / ".streamlit").mkdir()
    (folder / ".streamlit" / "secrets.toml").write_text(
        "[auth]\n"
        'redirect_uri = "http://127.0.0.1:{port}/oauth2callback"\n'
        f'cookie_secret = "{SECRET}"\n'
        'client_id = "gradcam"\n'
        'client_secret = "not asked for"\n'
        f'server_metadata_url = "{provider}/.well-known/openid-configuration"\n'
    )
    with dashboard(start_in=folder, no_proxy="localhost,127.0.0.1") as address:
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
    value = browser.cookies.get(USER_COOKIE_NAME)
    decoded = decode_signed_value(SECRET, USER_COOKIE_NAME, value.encode()) if value else None
    return json.loads(decoded) if decoded else {}


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
